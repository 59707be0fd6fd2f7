package fieldhint

import (
	"fmt"
	"maps"
	"math"
	"slices"

	"github.com/prometheus/prometheus/model/labels"
)

const (
	bytesPerFact = 1.26 // in a parent's filter
	// leastBudget is given to a set however few its series are.
	leastBudget = 64 << 10
	// elsewhere is how many values a label is taken to have at least. A label
	// that has one value here has others at other children; a zone's hint is of
	// all of them, and is unpaired if one of them is.
	elsewhere = 16
	// leastWorth is the share of other combinations that a kind of pairs must
	// rule out.
	leastWorth = 0.1
	// trigramWorth is that of a label's trigrams, values being worth 1: regexps
	// that cannot be enumerated are rarer.
	trigramWorth = 0.5
)

// Budget bounds what a Scheme keeps.
type Budget struct {
	// BytesPerSeries is what the facts may take at a parent, divided by the
	// number of series; zero means 2. Small sets may take 64 KiB.
	BytesPerSeries float64
	// Keep names labels whose values, trigrams and pairs are kept whatever they
	// take; Drop names labels of which presence alone is kept.
	Keep, Drop []string
}

// Validate reports whether the budget can be used, and what to change if not.
func (b Budget) Validate() error {
	if b.BytesPerSeries < 0 || math.IsNaN(b.BytesPerSeries) || math.IsInf(b.BytesPerSeries, 0) {
		return fmt.Errorf("field hint budget: %v bytes per series: use a positive number", b.BytesPerSeries)
	}
	for _, name := range b.Drop {
		if name == labels.MetricName {
			return fmt.Errorf("field hint budget: label %q cannot be dropped; remove it", name)
		}
		if slices.Contains(b.Keep, name) {
			return fmt.Errorf("field hint budget: label %q is to be kept and dropped; choose one", name)
		}
	}
	return nil
}

// candidate is a kind of facts, as the planner weighs it.
type candidate struct {
	Decision
	worth float64 // share of what is asked in vain that it rules out
	rank  float64 // worth for each fact; no better than that of the kinds it builds on
}

// Plan decides which kinds of facts are worth keeping within a budget: those
// first that rule out most for a byte. For one label, values come before
// trigrams, and these before pairs. What a kind of pairs rules out is the
// combinations of values that do not occur.
func (c *Census) Plan(b Budget) *Scheme {
	c.mu.Lock()
	defer c.mu.Unlock()
	orDefault(&b.BytesPerSeries, 2)
	p := &planner{budget: b, series: c.series.count(), counts: map[string]int{}, ranks: map[string]float64{}}
	p.room = max(leastBudget, b.BytesPerSeries*float64(p.series))
	names := slices.Sorted(maps.Keys(c.labels))
	for _, name := range names {
		p.addLabel(name, c.labels[name])
	}
	for _, key := range slices.SortedFunc(maps.Keys(c.pairs), func(x, y [2]string) int { return slices.Compare(x[:], y[:]) }) {
		p.addPair(key, c.pairs[key].count())
	}
	s := undecided(b.Drop)
	s.series, s.decided = p.series, true
	s.decisions = p.decide()
	s.labels, s.pairs = map[string]labelKinds{}, map[[2]string]bool{}
	for _, name := range names {
		s.labels[name] = labelKinds{}
	}
	for _, d := range s.decisions {
		s.adopt(d)
	}
	return s
}

// adopt takes a decision into the scheme that is being made.
func (s *Scheme) adopt(d Decision) {
	if d.Class == ClassPairs {
		s.pairs[pairKey(d.Labels[0], d.Labels[1])] = d.Kept
		return
	}
	k := s.labels[d.Labels[0]]
	if d.Class == ClassValues {
		k.values = d.Kept
	} else {
		k.trigrams = d.Kept
	}
	s.labels[d.Labels[0]] = k
}

type planner struct {
	budget Budget
	series int
	room   float64 // bytes
	counts map[string]int
	ranks  map[string]float64 // of a label's trigrams, the last of its own kinds
	kinds  []candidate
}

func newCandidate(class Class, facts int, worth float64, names ...string) candidate {
	return candidate{
		Decision: Decision{Class: class, Labels: names, Facts: facts, Bytes: int(math.Ceil(bytesPerFact * float64(facts)))},
		worth:    worth, rank: worth / float64(max(facts, 1)),
	}
}

func (p *planner) addLabel(name string, l *labelCount) {
	p.room -= bytesPerFact // for presence
	values := newCandidate(ClassValues, l.values.count(), 1, name)
	trigrams := newCandidate(ClassTrigrams, l.trigrams.count(), trigramWorth, name)
	trigrams.rank = min(trigrams.rank, values.rank)
	p.counts[name], p.ranks[name] = values.Facts, trigrams.rank
	p.kinds = append(p.kinds, values, trigrams)
}

func (p *planner) addPair(key [2]string, facts int) {
	possible := float64(max(p.counts[key[0]], elsewhere)) * float64(max(p.counts[key[1]], elsewhere))
	k := newCandidate(ClassPairs, facts, max(0, 1-float64(facts)/possible), key[0], key[1])
	k.rank = min(k.rank, p.ranks[key[0]], p.ranks[key[1]])
	p.kinds = append(p.kinds, k)
}

// decide takes the kinds in their order while they fit.
func (p *planner) decide() []Decision {
	for i := range p.kinds {
		p.impose(&p.kinds[i])
	}
	order := make([]*candidate, len(p.kinds))
	for i := range p.kinds {
		order[i] = &p.kinds[i]
	}
	slices.SortStableFunc(order, func(a, b *candidate) int {
		switch {
		case a.rank > b.rank:
			return -1
		case a.rank < b.rank:
			return 1
		}
		return 0
	})
	for _, k := range order {
		if k.Reason == "" {
			p.weigh(k)
		}
	}
	out := make([]Decision, 0, len(p.kinds))
	for i := range p.kinds {
		out = append(out, p.kinds[i].Decision)
	}
	slices.SortStableFunc(out, func(a, b Decision) int {
		if (a.Class == ClassPairs) != (b.Class == ClassPairs) {
			if a.Class == ClassPairs {
				return 1
			}
			return -1
		}
		return b.Facts - a.Facts
	})
	return out
}

// impose decides what is not the planner's to choose.
func (p *planner) impose(k *candidate) {
	among := func(names []string) bool {
		return slices.ContainsFunc(k.Labels, func(name string) bool { return slices.Contains(names, name) })
	}
	switch {
	case among(p.budget.Drop):
		k.Reason = "dropped by configuration"
	case k.Class == ClassValues && k.Labels[0] == labels.MetricName:
		p.take(k, "always kept")
	case among(p.budget.Keep):
		p.take(k, "kept by configuration")
	}
}

func (p *planner) take(k *candidate, reason string) {
	k.Kept, k.Reason = true, reason
	p.room -= float64(k.Bytes)
}

func (p *planner) weigh(k *candidate) {
	switch {
	case k.Class == ClassPairs && k.worth < leastWorth:
		k.Reason = "nearly all combinations occur"
	case float64(k.Bytes) > p.room:
		k.Reason = "beyond the budget"
	case k.Class == ClassPairs:
		p.take(k, fmt.Sprintf("rules out %.0f%% of other combinations", 100*k.worth))
	default:
		p.take(k, "within the budget")
	}
}
