package planetbench_test

import (
	"github.com/prometheus/prometheus/model/labels"
)

// judge knows the truth: it looks at every series of a leaf. It remembers what
// regexps said of values, and is for one goroutine.
type judge struct {
	regexps map[*labels.Matcher]map[string]bool
}

func newJudge() *judge { return &judge{regexps: map[*labels.Matcher]map[string]bool{}} }

func (j *judge) matches(m *labels.Matcher, value string) bool {
	if m.Type == labels.MatchEqual || m.Type == labels.MatchNotEqual {
		return m.Matches(value)
	}
	known := j.regexps[m]
	if known == nil {
		known = map[string]bool{}
		j.regexps[m] = known
	}
	matches, ok := known[value]
	if !ok {
		if len(known) > 1<<16 {
			clear(known)
		}
		matches = m.Matches(value)
		known[value] = matches
	}
	return matches
}

// content is the series of one leaf, and which of them have a label's value.
type content struct {
	series   []labels.Labels
	postings map[string]map[string][]int32
}

func newContent() *content { return &content{postings: map[string]map[string][]int32{}} }

func (c *content) add(lset labels.Labels) {
	i := int32(len(c.series))
	c.series = append(c.series, lset)
	lset.Range(func(l labels.Label) {
		values := c.postings[l.Name]
		if values == nil {
			values = map[string][]int32{}
			c.postings[l.Name] = values
		}
		values[l.Value] = append(values[l.Value], i)
	})
}

// scan calls add with every series.
func (c *content) scan(add func(labels.Labels)) error {
	for _, lset := range c.series {
		add(lset)
	}
	return nil
}

// holds reports whether some series matches all of ms, at least one of which
// does not match the empty string.
func (c *content) holds(j *judge, ms ...*labels.Matcher) bool {
	for _, series := range c.candidates(j, ms) {
		for _, i := range series {
			if all(ms, func(m *labels.Matcher) bool { return j.matches(m, c.series[i].Get(m.Name)) }) {
				return true
			}
		}
	}
	return false
}

// candidates returns lists of series, in one of which each match is.
func (c *content) candidates(j *judge, ms []*labels.Matcher) [][]int32 {
	var best []int32
	found := false
	for _, m := range ms {
		if m.Type == labels.MatchEqual && m.Value != "" {
			if p := c.postings[m.Name][m.Value]; !found || len(p) < len(best) {
				best, found = p, true
			}
		}
	}
	if found {
		return [][]int32{best}
	}
	for _, m := range ms {
		if j.matches(m, "") {
			continue
		}
		var out [][]int32
		for v, p := range c.postings[m.Name] {
			if j.matches(m, v) {
				out = append(out, p)
			}
		}
		return out
	}
	everything := make([]int32, len(c.series))
	for i := range everything {
		everything[i] = int32(i)
	}
	return [][]int32{everything}
}
