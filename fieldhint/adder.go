package fieldhint

import (
	"math/bits"
	"slices"

	"github.com/prometheus/prometheus/model/labels"
)

// adder adds series to a log, one at a time. What a series has in common with the
// one before it is there already: most come in groups, of one target or one metric.
type adder struct {
	// labels are those of the series before, n of its own and then the external
	// ones that it lacks; way is what is kept of their pairs, nil if there are none.
	labels [maxPaired]interned
	n, all int
	way    *pairing
	// clash is set if the series has labels with the names of external ones.
	clash bool
	// stable are places of labels that are those of the series before; group numbers
	// the run of series for which these are the same. grouped remembers labels all of
	// whose pairs with these are there, by their ids, with the group.
	stable  uint64
	group   uint32
	grouped [groupedLabels]uint64
	// tuples remembers labels all of whose pairs with each other are there.
	tuples []tuple
	pieces [pieceLabels]pieces

	facts   []uint64 // about pairs of the series, to be inserted together
	pairIDs []uint64 // of these pairs
	changed uint64   // places of labels that are not those of the series before
	foreign uint64   // places of labels that are not to be kept
	renamed bool     // a label that has changed has another name
	added   bool     // anything was new
}

// groupedLabels is how many labels an adder remembers.
const groupedLabels = 128

// pieceLabels is how many labels' pieces an adder remembers.
const pieceLabels = 16

// pieces are the parts of a label's value that are told beside the value of another
// one, by their hashes: many metrics in turn are told beside those of one job.
type pieces struct {
	label    interned
	prefixes []uint64
	infixes  []uint64
}

// piecesOf returns the pieces of a label, until those of another one are asked for.
func (a *adder) piecesOf(n *interned) *pieces {
	p := &a.pieces[n.id%pieceLabels]
	if n.id == 0 || p.label.id != n.id {
		p.label, p.prefixes, p.infixes = *n, p.prefixes[:0], p.infixes[:0]
	}
	return p
}

func (p *pieces) prefixHashes() []uint64 {
	if len(p.prefixes) == 0 {
		p.prefixes = appendPrefixHashes(p.prefixes, p.label.label.Value)
	}
	return p.prefixes
}

func (p *pieces) infixHashes() []uint64 {
	if len(p.infixes) == 0 {
		p.infixes = appendInfixHashes(p.infixes, p.label.label.Value)
	}
	return p.infixes
}

// addSeries adds the fingerprints of series and reports whether any is new.
func (l *fpLog) addSeries(series ...labels.Labels) (added bool) {
	a, _ := l.adders.Get().(*adder)
	if a == nil {
		a = &adder{}
	}
	defer l.adders.Put(a)
	for _, lset := range series {
		added = a.series(l, lset) || added
	}
	return added
}

func (a *adder) series(l *fpLog, lset labels.Labels) (added bool) {
	a.changed, a.foreign, a.renamed, a.added = 0, 0, false, false
	n := 0
	lset.Range(func(lb labels.Label) {
		if lb.Value != "" {
			a.label(l, n, lb)
			n++
		}
	})
	a.together(l, n)
	a.insert(l)
	if a.foreign != 0 {
		a.pieces[0].label = interned{}
	}
	for m := a.foreign; m != 0; m &= m - 1 {
		a.labels[bits.TrailingZeros64(m)].label = labels.Label{} // no series has it
	}
	return a.added
}

// label adds a label, which is at a place of the series.
func (a *adder) label(l *fpLog, at int, lb labels.Label) {
	if at >= maxPaired {
		_, added := l.intern(lb)
		a.added = added || a.added
		return
	}
	last := &a.labels[at]
	if at < a.n && last.label == lb {
		return
	}
	now, added := l.intern(lb)
	a.added = added || a.added
	a.renamed = a.renamed || now.name != last.name
	a.changed |= 1 << at
	if now.id == 0 {
		a.foreign |= 1 << at
	}
	*last = now
}

// together adds what the n labels of the series are together.
func (a *adder) together(l *fpLog, n int) {
	stable := a.stable
	a.stable = 0 // a series whose pairs are not added ends the run
	if l.pairs.off.Load() {
		a.n, a.way = 0, nil
		return
	}
	if a.n != n || a.renamed || a.way == nil {
		a.changed, a.way = ^uint64(0), nil
		if a.complete(l, n); a.all > maxPaired {
			a.n, a.added = 0, l.unpairAll() || a.added
			return
		}
		if a.all < 2 {
			return
		}
		var added bool
		a.way, added = l.pairs.pairing(l, a.labels[:a.all])
		a.added = a.added || added
	}
	if a.way == nil || len(a.way.kept) == 0 {
		return
	}
	if a.clash {
		a.pairs(l, a.labels[:a.all])
		served := a.labels
		override(served[:a.n], l.outer)
		a.pairs(l, served[:a.all])
		return
	}
	a.regroup(stable)
	a.groupedPairs(l)
}

// regroup begins another group unless the labels that have not changed are those
// that had not the last time.
func (a *adder) regroup(before uint64) {
	a.stable = (1<<a.all - 1) &^ a.changed
	if a.stable == before && before != 0 {
		return
	}
	if a.group++; a.group == 0 { // after four billion
		clear(a.grouped[:])
		a.group = 1
	}
}

// groupedPairs is pairs, but for those that a label had with the stable ones when it
// was there before, and those of labels that were there together before.
func (a *adder) groupedPairs(l *fpLog) {
	changed := a.changed & (1<<a.all - 1)
	for m := changed; m != 0; m &= m - 1 {
		at := bits.TrailingZeros64(m)
		id := a.labels[at].id
		slot := &a.grouped[id%groupedLabels]
		if name := uint64(id)<<32 | uint64(a.group); id != 0 && *slot == name {
			continue
		} else if id != 0 {
			*slot = name
		}
		a.pairsWith(l, at, a.stable)
	}
	a.pairsAmong(l, changed)
}

// pairsWith adds the pairs of the label at a place with those at others.
func (a *adder) pairsWith(l *fpLog, at int, others uint64) {
	for _, i := range a.way.of[at] {
		if p := &a.way.kept[i]; p.places&others != 0 {
			a.pair(l, p, &a.labels[p.a], &a.labels[p.b])
		}
	}
}

// pairsAmong adds the pairs of the labels at some places with each other.
func (a *adder) pairsAmong(l *fpLog, places uint64) {
	if places&(places-1) == 0 {
		return
	}
	t, ok := a.tuple(places)
	if ok {
		slot := a.tupleSlot(l, t)
		if *slot == t {
			return
		}
		*slot = t
	}
	for m := places; m != 0; m &= m - 1 {
		a.pairsWith(l, bits.TrailingZeros64(m), m&(m-1))
	}
}

// tuple is the labels at some places by their ids; zeros fill it up.
type tuple [6]uint32

func (a *adder) tuple(places uint64) (t tuple, ok bool) {
	if bits.OnesCount64(places) > len(t) {
		return t, false
	}
	for i := 0; places != 0; i, places = i+1, places&(places-1) {
		if t[i] = a.labels[bits.TrailingZeros64(places)].id; t[i] == 0 {
			return t, false
		}
	}
	return t, true
}

const (
	minTuples = 16 // of a log with a small cache
	maxTuples = 2048
)

// tupleSlot is where a tuple may be remembered.
func (a *adder) tupleSlot(l *fpLog, t tuple) *tuple {
	if a.tuples == nil {
		a.tuples = make([]tuple, min(maxTuples, max(minTuples, 1<<bits.Len(uint(l.known.size/64)))))
	}
	key := uint64(0)
	for _, id := range t {
		key = (bits.RotateLeft64(key, 7) ^ uint64(id)) * 0x9e3779b97f4a7c15
	}
	return &a.tuples[key>>32&uint64(len(a.tuples)-1)]
}

// complete adds the external labels that the series lacks, since it is served
// with them. If it has another value of one, it is not known with which it is served.
func (a *adder) complete(l *fpLog, n int) {
	a.n, a.all, a.clash = min(n, maxPaired), n, false
	for i := range l.outer {
		e := &l.outer[i]
		if slices.ContainsFunc(a.labels[:a.n], func(own interned) bool { return own.name == e.name }) {
			a.clash = true
			continue
		}
		if a.all < maxPaired {
			a.labels[a.all] = *e
		}
		a.all++
	}
}

// override gives labels the external ones' values.
func override(own, external []interned) {
	for i := range own {
		for _, e := range external {
			if own[i].name == e.name {
				own[i] = e
			}
		}
	}
}

func (a *adder) pairs(l *fpLog, ls []interned) {
	for i := range a.way.kept {
		if p := &a.way.kept[i]; p.places&a.changed != 0 {
			a.pair(l, p, &ls[p.a], &ls[p.b])
		}
	}
}

// maxWaiting is how many facts wait to be inserted together.
const maxWaiting = 1024

// pair takes the facts about a pair of labels, unless they are known to be there.
func (a *adder) pair(l *fpLog, p *pairOf, x, y *interned) {
	id := uint64(x.id)<<32 | uint64(y.id)
	named := x.id != 0 && y.id != 0
	if named && l.pairs.knows(id) {
		return
	}
	if len(a.facts) >= maxWaiting {
		a.insert(l)
	}
	if p.values {
		a.facts = append(a.facts, pairFact(p.base, x.hashed, y.hashed))
	}
	if p.prefixed[0] {
		a.facts = appendPaired(a.facts, p.bases[0], x.value, a.piecesOf(y).prefixHashes())
	}
	if p.prefixed[1] {
		a.facts = appendPaired(a.facts, p.bases[1], y.value, a.piecesOf(x).prefixHashes())
	}
	if p.infixed {
		metric, other, _ := metricFirst(x, y, (*interned).labelName)
		if len(other.label.Value) > maxGramValue {
			a.facts = appendSure(a.facts, other.name, factUninfixedPair)
		} else {
			a.facts = appendPaired(a.facts, infixPairBase(other.name), metric.value, a.piecesOf(other).infixHashes())
		}
	}
	if named {
		a.pairIDs = append(a.pairIDs, id)
	}
}

// insert inserts the facts that wait, and only then lets others know that they are there.
func (a *adder) insert(l *fpLog) {
	if len(a.facts) > 0 {
		a.added = l.insertAll(a.facts) || a.added
	}
	for _, id := range a.pairIDs {
		l.pairs.know(id)
	}
	a.facts, a.pairIDs = a.facts[:0], a.pairIDs[:0]
}
