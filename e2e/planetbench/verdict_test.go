package planetbench_test

import (
	"fmt"
	"sync"

	"github.com/prometheus/prometheus/model/labels"
)

// verdict gathers, for each query, which children passed and which hold a match.
// It is safe for concurrent use.
type verdict struct {
	mu      sync.Mutex
	missed  []string // false negatives: there must be none
	queries []outcome
	// causes count why leaves and zones passed that hold nothing.
	leafCauses, zoneCauses map[string]int
}

// outcome is what became of one query.
type outcome struct {
	matchers, pairs []part
	leaves          [zoneCount]struct{ passed, held int }
	zonePassed      [zoneCount]bool
}

// part is some of a query's matchers, and the zones where they are satisfied
// together by one series.
type part struct {
	label    string
	matchers []*labels.Matcher
	of       []int // places of the matchers in the query
	held     [zoneCount]bool
}

func newVerdict(queries []query) *verdict {
	v := &verdict{queries: make([]outcome, len(queries)), leafCauses: map[string]int{}, zoneCauses: map[string]int{}}
	for i, q := range queries {
		o := &v.queries[i]
		for k, m := range q.matchers {
			o.matchers = append(o.matchers, part{label: m.Name, matchers: q.matchers[k : k+1], of: []int{k}})
			for l, n := range q.matchers[:k] {
				o.pairs = append(o.pairs, part{label: n.Name + " × " + m.Name, matchers: []*labels.Matcher{n, m}, of: []int{l, k}})
			}
		}
	}
	return v
}

// leaf takes in what is true of a leaf and what its hint says.
func (v *verdict) leaf(i, zone int, q query, c *content, j *judge, passed bool) {
	o := &v.queries[i]
	held := c.holds(j, q.matchers...)
	var satisfied []bool // of matchers, then of pairs
	parts := append(append([]part{}, o.matchers...), o.pairs...)
	for _, p := range parts {
		possible := len(p.of) == 1 || satisfied[p.of[0]] && satisfied[p.of[1]]
		satisfied = append(satisfied, held || possible && c.holds(j, p.matchers...))
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	for k := range parts {
		if k < len(o.matchers) {
			o.matchers[k].held[zone] = o.matchers[k].held[zone] || satisfied[k]
		} else {
			n := k - len(o.matchers)
			o.pairs[n].held[zone] = o.pairs[n].held[zone] || satisfied[k]
		}
	}
	tally := &o.leaves[zone]
	if passed {
		tally.passed++
	}
	if held {
		tally.held++
	}
	switch {
	case held && !passed:
		v.missed = append(v.missed, fmt.Sprintf("leaf of zone %d: %s", zone, q))
	case passed && !held:
		v.leafCauses[cause(parts, len(o.matchers), func(k int) bool { return satisfied[k] })]++
	}
}

// zone takes in what the root's hint says of a zone, all of whose leaves were
// taken in.
func (v *verdict) zone(i, zone int, q query, passed bool) {
	o := &v.queries[i]
	o.zonePassed[zone] = passed
	held := o.leaves[zone].held > 0
	switch {
	case held && !passed:
		v.missed = append(v.missed, fmt.Sprintf("zone %d: %s", zone, q))
	case passed && !held:
		parts := append(append([]part{}, o.matchers...), o.pairs...)
		v.zoneCauses[cause(parts, len(o.matchers), func(k int) bool { return parts[k].held[zone] })]++
	}
}

// cause tells why a child passed that holds no match: a matcher of which the
// hint wrongly says that it can be satisfied, or matchers that can be satisfied,
// but not by one series.
func cause(parts []part, matchers int, satisfied func(int) bool) string {
	for k := range matchers {
		if m := parts[k].matchers[0]; !satisfied(k) {
			if m.Type == labels.MatchEqual || len(m.SetMatches()) > 0 {
				return "bloom: " + m.Name
			}
			return "trigrams: " + m.Name
		}
	}
	for k := matchers; k < len(parts); k++ {
		if !satisfied(k) {
			a, b := parts[k].matchers[0], parts[k].matchers[1]
			if enumerable(a) && enumerable(b) {
				return "pair: " + parts[k].label
			}
			return "pair with a pattern: " + parts[k].label
		}
	}
	return "three or more matchers"
}

func enumerable(m *labels.Matcher) bool {
	return m.Type == labels.MatchEqual || m.Type == labels.MatchRegexp && len(m.SetMatches()) > 0
}
