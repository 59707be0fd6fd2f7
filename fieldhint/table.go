package fieldhint

import (
	"slices"
	"sync/atomic"
	"time"
)

// shown is what readers see of a child. Those of many children stand together,
// so that looking at all of them is quick.
type shown struct {
	view atomic.Pointer[view] // nil unless synced
	last atomic.Int64         // when the last frame for hint came, by Index.clock
	// names is set once the child has said that it holds series of some names itself.
	names atomic.Bool
}

// shownAtOnce is how many are allocated together.
const shownAtOnce = 128

// table is the views of all children at some moment, laid out for a question
// about all of them: by slab, where 64 children are asked at once, and then the
// layers that are in none. It is never changed. A child that has another view by
// now is asked by itself; when there are many, a new table is made.
//
// A child has a place in the table. Those whose first layers share a slab have
// places that follow one another as the columns do, so that a row of the slab is
// a word of a set of places.
type table struct {
	rows   []row
	places []int32 // by child.number; -1 of those that the table has not
	slabs  []slabRows
	loose  []looseLayer
}

// row is a child with its view of the moment; both are nil where there is none.
type row struct {
	child *child
	view  *view
}

// slabRows are the columns of a slab that are of one span.
type slabRows struct {
	plate
	span    Span
	columns uint64
	word    int32 // of a set of places, whose bits are the columns; -1 if there is none
	places  [slabColumns]int32
}

// looseLayer is a layer in no slab.
type looseLayer struct {
	plate
	span  Span
	place int32
}

// newTable returns the table of children by number; those that are nil are none.
// Only one may be made at a time.
func newTable(children []*child) *table {
	t := &table{places: make([]int32, len(children))}
	views := make([]*view, len(children))
	for n, c := range children {
		t.places[n] = -1
		if c == nil {
			continue
		}
		if views[n] = c.view.Load(); views[n] != nil {
			t.places[n] = t.home(views[n])
		}
	}
	for n, c := range children {
		v := views[n]
		if v == nil {
			continue
		}
		if t.places[n] < 0 {
			t.places[n] = int32(len(t.rows))
			t.rows = append(t.rows, row{})
		}
		t.rows[t.places[n]] = row{c, v}
		v.all(func(span Span, p *plate) { t.add(t.places[n], span, p) })
	}
	for i := range t.slabs {
		t.slabs[i].slab.made = nil
	}
	return t
}

// home returns the place of a child in the slab of its first layer; -1 if that is
// in none.
func (t *table) home(v *view) int32 {
	p := &v.inner[0].first
	if v.n == 0 || p.slab == nil {
		return -1
	}
	t.visit(p.slab)
	if p.slab.base < 0 {
		p.slab.base = int32(len(t.rows))
		t.rows = append(t.rows, make([]row, slabColumns)...)
	}
	return p.slab.base + int32(p.column)
}

func (t *table) visit(s *slab) {
	if s.made != t {
		s.made, s.rows, s.base = t, s.rows[:0], -1
	}
}

func (t *table) add(place int32, span Span, p *plate) {
	s := p.slab
	if s == nil {
		t.loose = append(t.loose, looseLayer{*p, span, place})
		return
	}
	t.visit(s)
	i := slices.IndexFunc(s.rows, func(i int32) bool { return t.slabs[i].span == span })
	if i < 0 {
		i = len(s.rows)
		s.rows = append(s.rows, int32(len(t.slabs)))
		t.slabs = append(t.slabs, slabRows{plate: *p, span: span, word: s.base >> 6})
	}
	r := &t.slabs[s.rows[i]]
	r.columns |= 1 << p.column
	r.places[p.column] = place
	if place != s.base+int32(p.column) {
		r.word = -1
	}
}

// place returns that of a child; -1 if it has none.
func (t *table) place(k *known) int32 {
	if k.child == nil || int(k.number) >= len(t.places) {
		return -1
	}
	at := t.places[k.number]
	if at >= 0 && t.rows[at].child != k.child {
		return -1 // the number was another's
	}
	return at
}

// A table is made anew when so many children have another view than it has, and
// a share of all.
const (
	newViewsBase = 32
	newViewShare = 64 // a 64th of the children
)

// sweep sets out for the children that the table tells are ruled out, and
// returns which of all it does not tell of.
func (x *Index) sweep(out []bool, asked *resolved, q *expr, mint, maxt int64, now time.Duration) (rest []int32) {
	t, all := x.table.Load(), asked.children
	if t == nil || t.few(len(all)) {
		for i := range all {
			if all[i].child != nil {
				rest = append(rest, int32(i))
			}
		}
		return rest
	}
	places, among := asked.in(t), newPlaceSet(len(t.rows))
	for i, at := range places {
		k := &all[i]
		if k.child == nil || !k.shown.fresh(now, x.cfg.MaxAge) {
			continue
		}
		switch v := k.shown.view.Load(); {
		case v == nil:
		case at >= 0 && t.rows[at].view == v:
			among.add(at)
			out[i] = true
		default:
			rest = append(rest, int32(i))
		}
	}
	s := sweep{table: t, mint: mint, maxt: maxt, known: map[uint64]answer{}}
	may := s.may(q, among)
	for i, at := range places {
		out[i] = out[i] && !may.has(at)
	}
	return rest
}

// few reports whether so many children are sooner asked one by one than by a look
// at all slabs and layers.
func (t *table) few(n int) bool {
	return n*fewEach <= len(t.slabs)+len(t.loose)/4
}

// tidy does what makes questions quicker. No lock of a child may be held.
func (x *Index) tidy() {
	x.slabs.work()
	children := 0
	if t := x.table.Load(); t != nil {
		children = len(t.places)
	}
	if x.newViews.Load() < int64(newViewsBase+children/newViewShare) || !x.tableMu.TryLock() {
		return
	}
	defer x.tableMu.Unlock()
	x.newViews.Store(0) // what comes from now on may be missed
	x.mu.RLock()
	all := slices.Clone(x.numbered)
	x.mu.RUnlock()
	x.table.Store(newTable(all))
}
