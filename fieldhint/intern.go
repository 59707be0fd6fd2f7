package fieldhint

import (
	"math"
	"math/bits"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/cespare/xxhash/v2"
	"github.com/prometheus/prometheus/model/labels"
)

// interned is a label all of whose facts are in a log. Labels with the same id,
// if that is not zero, are equal; the same label may have several ids.
type interned struct {
	hashed
	id    uint32
	label labels.Label
}

func (n *interned) labelName() string { return n.label.Name }

// interner remembers labels whose fingerprints are in the log, so that a label
// that many series share costs one lookup, and so that pairs of labels can be told
// by numbers. It compares whole strings, not hashes: two values with the same hash
// have different trigrams. Two slots per hash keep the latest two labels.
type interner struct {
	size  int
	once  sync.Once
	slots []atomic.Pointer[interned]
	ids   atomic.Uint64
}

// find returns the label, and false if it is not known.
func (c *interner) find(slot uint64, lb labels.Label) (interned, bool) {
	c.once.Do(func() { c.slots = make([]atomic.Pointer[interned], (c.size+1)&^1) })
	i, ok := c.slot(slot)
	if !ok {
		return interned{}, false
	}
	if a := c.slots[i].Load(); a != nil && a.label == lb {
		return *a, true
	}
	if b := c.slots[i+1].Load(); b != nil && b.label == lb {
		return *b, true
	}
	return interned{}, false
}

// put remembers a label, if it is not too long and there is any room.
func (c *interner) put(slot uint64, h hashed, lb labels.Label) interned {
	i, ok := c.slot(slot)
	if !ok || len(lb.Name)+len(lb.Value) > 2*maxGramValue {
		return interned{hashed: h, label: lb}
	}
	own := lb.Name + lb.Value // a copy: a label may keep a whole label set alive
	n := c.name(labels.Label{Name: own[:len(lb.Name)], Value: own[len(lb.Name):]})
	if a := c.slots[i].Load(); a != nil {
		c.slots[i+1].Store(a)
	}
	c.slots[i].Store(&n)
	return n
}

// name gives a label an id that no other one has, as long as there are any. The
// label is kept.
func (c *interner) name(lb labels.Label) interned {
	n := interned{hashed: hashed{xxhash.Sum64String(lb.Name), xxhash.Sum64String(lb.Value)}, label: lb}
	if id := c.ids.Add(1); id <= math.MaxUint32 {
		n.id = uint32(id)
	}
	return n
}

func (c *interner) slot(hash uint64) (int, bool) {
	hi, _ := bits.Mul64(hash, uint64(len(c.slots)/2))
	return int(hi) * 2, len(c.slots) > 0
}

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

	changed uint64 // places of labels that are not those of the series before
	foreign uint64 // places of labels that are not to be kept
	renamed bool   // a label that has changed has another name
	added   bool   // anything was new
}

// groupedLabels is how many labels an adder remembers.
const groupedLabels = 128

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
	if a.way == nil {
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
// was there before.
func (a *adder) groupedPairs(l *fpLog) {
	var known uint64 // places of such labels
	for m := a.changed & (1<<a.all - 1); m != 0; m &= m - 1 {
		at := bits.TrailingZeros64(m)
		id := a.labels[at].id
		if a.grouped[id%groupedLabels] == uint64(id)<<32|uint64(a.group) && id != 0 {
			known |= 1 << at
		}
	}
	for i := range a.way.kept {
		p := &a.way.kept[i]
		switch of := p.places & a.changed; {
		case of == 0:
		case of&known == of && of != p.places: // one has changed, and is known
		default:
			a.added = l.addPair(p, &a.labels[p.a], &a.labels[p.b]) || a.added
		}
	}
	for m := a.changed & (1<<a.all - 1) &^ known; m != 0; m &= m - 1 {
		if id := a.labels[bits.TrailingZeros64(m)].id; id != 0 {
			a.grouped[id%groupedLabels] = uint64(id)<<32 | uint64(a.group)
		}
	}
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
			a.added = l.addPair(p, &ls[p.a], &ls[p.b]) || a.added
		}
	}
}

// intern adds the fingerprints of one label, and reports whether any is new.
func (l *fpLog) intern(lb labels.Label) (n interned, added bool) {
	h := hashed{xxhash.Sum64String(lb.Name), xxhash.Sum64String(lb.Value)}
	slot := mix(h.name ^ mix(h.value))
	n, ok := l.known.find(slot, lb)
	if ok {
		return n, false
	}
	var room [128]uint64
	added = l.insertAll(appendLabel(room[:0], h.name, lb.Value, h.value, l.scheme.label(lb.Name)))
	return l.known.put(slot, h, lb), added
}
