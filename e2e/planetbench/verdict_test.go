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
	var satisfied []bool // as parts are; also true where nobody needs to know
	for k, known := range v.known(o, zone) {
		p := o.part(k)
		possible := len(p.of) == 1 || satisfied[p.of[0]] && satisfied[p.of[1]]
		satisfied = append(satisfied, held || known && !passed || possible && c.holds(j, p.matchers...))
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	for k, s := range satisfied {
		held := &o.part(k).held[zone]
		*held = *held || s
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
		v.leafCauses[o.cause(func(k int) bool { return satisfied[k] })]++
	}
}

// known says which parts of a query some leaf of a zone was found to satisfy.
func (v *verdict) known(o *outcome, zone int) []bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	known := make([]bool, len(o.matchers)+len(o.pairs))
	for k := range known {
		known[k] = o.part(k).held[zone]
	}
	return known
}

// part is one of the matchers, or, after them, of the pairs.
func (o *outcome) part(k int) *part {
	if k < len(o.matchers) {
		return &o.matchers[k]
	}
	return &o.pairs[k-len(o.matchers)]
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
		v.zoneCauses[o.cause(func(k int) bool { return o.part(k).held[zone] })]++
	}
}

// cause tells why a child passed that holds no match: a matcher of which the
// hint wrongly says that it can be satisfied, or matchers that can be satisfied,
// but not by one series.
func (o *outcome) cause(satisfied func(part int) bool) string {
	for k, p := range o.matchers {
		if satisfied(k) {
			continue
		}
		if enumerable(p.matchers[0]) {
			return "bloom: " + p.label
		}
		return "trigrams: " + p.label
	}
	for k, p := range o.pairs {
		switch {
		case satisfied(len(o.matchers) + k):
		case enumerable(p.matchers[0]) && enumerable(p.matchers[1]):
			return "pair: " + p.label
		default:
			return "pair with a pattern: " + p.label
		}
	}
	return "three or more matchers"
}

func enumerable(m *labels.Matcher) bool {
	return m.Type == labels.MatchEqual || m.Type == labels.MatchRegexp && len(m.SetMatches()) > 0
}
