package fieldhint

import (
	"cmp"
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
	// prefixWorth is that of a label's prefixes, without which no value is believed
	// whose trigrams are common; prefixPairWorth that of prefixes with
	// values of other labels than the metric's name, if all series have both.
	prefixWorth     = 2
	prefixPairWorth = 0.25
	// infixWorth is that of a label's infixes.
	infixWorth = 0.5
	// otherPairWorth is that of pairs of values of which neither is the metric's name,
	// if all series have both.
	otherPairWorth = 0.25
	// prefixShare is the part of the budget that prefix pairs and infix pairs may take:
	// there are several of each pair.
	prefixShare = 0.5
	// leastPrefixBudget is what they may take however few series there are.
	leastPrefixBudget = leastBudget / 4
	// maxPrefixed is the number of labels whose values are kept with prefixes: each
	// costs a fact for every label that it is not kept with.
	maxPrefixed = 8
)

// Budget bounds what a Scheme keeps.
type Budget struct {
	// BytesPerSeries is what the facts may take at a parent, divided by the
	// number of series; zero means 2. Small sets may take 64 KiB.
	BytesPerSeries float64
	// Keep names labels whose values, trigrams, prefixes and pairs of values are
	// kept whatever they take; Drop names labels of which presence alone is kept.
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
	p := &planner{
		budget: b, series: c.series.count(), prefixed: map[string]bool{},
		counts: map[string]int{}, starts: map[string]int{}, pieces: map[string]int{}, ranks: map[string]float64{},
	}
	p.room = max(leastBudget, b.BytesPerSeries*float64(p.series))
	p.prefixRoom = max(leastPrefixBudget, prefixShare*b.BytesPerSeries*float64(p.series))
	names := slices.Sorted(maps.Keys(c.labels))
	for _, name := range names {
		p.addLabel(name, c.labels[name])
	}
	for _, key := range slices.SortedFunc(maps.Keys(c.pairs), func(x, y [2]string) int { return slices.Compare(x[:], y[:]) }) {
		share := float64(c.pairs[key].series) / float64(max(c.added, 1))
		p.addPair(key, c.pairs[key], share)
		// Which clusters to ask is decided by their own labels before hints are.
		if !c.external.Has(key[0]) && !c.external.Has(key[1]) {
			p.addPrefixPair(key[0], key[1], c.pairs[key].prefixes[0].count(), share)
			p.addPrefixPair(key[1], key[0], c.pairs[key].prefixes[1].count(), share)
			p.addInfixPair(key, c.pairs[key].infixes, share)
		}
	}
	s := undecided(b.Drop)
	s.series, s.decided = p.series, true
	s.decisions = p.decide()
	s.labels, s.pairs = map[string]labelKinds{}, map[[2]string]bool{}
	s.prefixPairs, s.prefixed, s.infixPairs = map[[2]string]bool{}, map[string]bool{}, map[string]bool{}
	for _, name := range names {
		s.labels[name] = labelKinds{}
	}
	for _, d := range s.decisions {
		s.adopt(d)
	}
	return s
}

// place puts pairs behind what is about one label.
func (c Class) place() int {
	switch c {
	case ClassPairs:
		return 1
	case ClassPrefixPairs, ClassInfixPairs:
		return 2
	default:
		return 0
	}
}

// adopt takes a decision into the scheme that is being made.
func (s *Scheme) adopt(d Decision) {
	k := s.labels[d.Labels[0]]
	switch d.Class {
	case ClassPairs:
		s.pairs[pairKey(d.Labels[0], d.Labels[1])] = d.Kept
	case ClassPrefixPairs:
		if d.Kept {
			s.prefixPairs[[2]string{d.Labels[0], d.Labels[1]}], s.prefixed[d.Labels[0]] = true, true
		}
	case ClassInfixPairs:
		s.infixPairs[d.Labels[1]] = d.Kept
	case ClassInfixes:
		k.infixes = d.Kept
	case ClassValues:
		k.values = d.Kept
	case ClassPrefixes:
		k.prefixes = d.Kept
	default:
		k.trigrams = d.Kept
	}
	s.labels[d.Labels[0]] = k
}

type planner struct {
	budget Budget
	series int
	room   float64 // bytes
	// prefixRoom is what of room prefix pairs may take, prefixed the labels whose
	// values they are of.
	prefixRoom float64
	prefixed   map[string]bool
	counts     map[string]int
	starts     map[string]int     // prefixes of a label
	pieces     map[string]int     // infixes of a label
	ranks      map[string]float64 // of a label's values
	kinds      []candidate
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
	prefixes := newCandidate(ClassPrefixes, l.prefixes.count(), prefixWorth, name)
	prefixes.rank = min(prefixes.rank, values.rank)
	infixes := newCandidate(ClassInfixes, l.infixes.count(), infixWorth, name)
	infixes.rank = min(infixes.rank, values.rank)
	p.counts[name], p.starts[name], p.pieces[name], p.ranks[name] = values.Facts, prefixes.Facts, infixes.Facts, values.rank
	p.kinds = append(p.kinds, values, trigrams, prefixes, infixes)
}

// addPair weighs pairs of values of two labels, which a share of the series have
// both.
func (p *planner) addPair(key [2]string, c *pairCounts, share float64) {
	facts := c.values.count()
	possible := float64(max(p.counts[key[0]], elsewhere)) * float64(max(p.counts[key[1]], elsewhere))
	k := newCandidate(ClassPairs, facts, max(0, 1-float64(facts)/possible), key[0], key[1])
	if key[0] != labels.MetricName && key[1] != labels.MetricName {
		k.rank *= share * otherPairWorth
	}
	k.rank = min(k.rank, p.ranks[key[0]], p.ranks[key[1]])
	p.kinds = append(p.kinds, k)
}

// addPrefixPair weighs the values of a with prefixes of b, which a share of the
// series have both.
func (p *planner) addPrefixPair(a, b string, facts int, share float64) {
	possible := float64(max(p.counts[a], elsewhere)) * float64(max(p.starts[b], elsewhere))
	k := newCandidate(ClassPrefixPairs, facts, max(0, 1-float64(facts)/possible), a, b)
	if k.rank *= share * prefixPairWorth; a == labels.MetricName {
		k.rank /= prefixPairWorth // nearly all selectors name it
	}
	p.kinds = append(p.kinds, k)
}

// addInfixPair weighs the infixes of a label with the metric's name, which is the
// other of two, if counted.
func (p *planner) addInfixPair(key [2]string, counted *sketch, share float64) {
	if counted == nil {
		return
	}
	other := key[1]
	if other == labels.MetricName {
		other = key[0]
	}
	facts := counted.count()
	possible := float64(max(p.counts[labels.MetricName], elsewhere)) * float64(max(p.pieces[other], elsewhere))
	k := newCandidate(ClassInfixPairs, facts, max(0, 1-float64(facts)/possible), labels.MetricName, other)
	k.rank *= share
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
		return cmp.Or(cmp.Compare(a.Class.place(), b.Class.place()), cmp.Compare(b.Facts, a.Facts))
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
	case k.Class.place() == 2: // there are many, and each takes much
	case among(p.budget.Keep):
		p.take(k, "kept by configuration")
	}
}

func (p *planner) take(k *candidate, reason string) {
	k.Kept, k.Reason = true, reason
	p.room -= float64(k.Bytes)
	if k.Class.place() == 2 {
		p.prefixRoom -= float64(k.Bytes)
	}
	if k.Class == ClassPrefixPairs {
		p.prefixed[k.Labels[0]] = true
	}
}

func (p *planner) weigh(k *candidate) {
	switch {
	case k.Class == ClassPairs && k.worth < leastWorth:
		k.Reason = "nearly all combinations occur"
	case float64(k.Bytes) > p.room:
		k.Reason = "beyond the budget"
	case k.Class.place() == 2:
		p.weighPrefixPair(k)
	case k.Class == ClassPairs:
		p.take(k, fmt.Sprintf("rules out %.0f%% of other combinations", 100*k.worth))
	default:
		p.take(k, "within the budget")
	}
}

func (p *planner) weighPrefixPair(k *candidate) {
	switch {
	case k.worth < leastWorth:
		k.Reason = "nearly all combinations occur"
	case float64(k.Bytes) > p.prefixRoom:
		k.Reason = "beyond the prefixes' part of the budget"
	case k.Class == ClassPrefixPairs && len(p.prefixed) >= maxPrefixed && !p.prefixed[k.Labels[0]]:
		k.Reason = fmt.Sprintf("prefixes are kept with values of %d labels already", maxPrefixed)
	default:
		p.take(k, fmt.Sprintf("rules out %.0f%% of other combinations", 100*k.worth))
	}
}
