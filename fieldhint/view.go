package fieldhint

import (
	"cmp"
	"math"
	"slices"
)

// view is what readers see of a hint: the sections, those first that most
// questions are about. It is never changed, but its filters take additions; when
// one grows by a layer, there is a new view. All that a question needs stands
// together, so that looking a fact up costs little more than an access to memory
// for each section.
type view struct {
	n     int
	inner [2]visible // of the n sections, core and current usually
	outer []visible
}

// visible is a section as readers see it: the first layer of its filter, and the
// others if there are any.
type visible struct {
	span  Span
	first plate
	more  []plate
}

func (s *visible) has(locs []uint64) bool {
	if s.first.has(locs) {
		return true
	}
	for i := range s.more {
		if s.more[i].has(locs) {
			return true
		}
	}
	return false
}

// has reports whether a section that has any of the times from mint to maxt seems
// to have a fact.
func (v *view) has(locs []uint64, mint, maxt int64) bool {
	for i := range v.inner[:min(v.n, len(v.inner))] {
		if s := &v.inner[i]; s.span.overlaps(mint, maxt) && s.has(locs) {
			return true
		}
	}
	for i := range v.outer {
		if s := &v.outer[i]; s.span.overlaps(mint, maxt) && s.has(locs) {
			return true
		}
	}
	return false
}

// may reports whether the child may hold a match of the query with samples from
// mint to maxt.
func (v *view) may(q *expr, mint, maxt int64) bool {
	return q.holds(func(a *atom) bool { return v.has(a.locs, mint, maxt) })
}

// touch reads what will be looked at first, so that the processor fetches it for
// many children at the same time.
func (v *view) touch(a *atom) (sum uint64) {
	for i := range v.inner[:min(v.n, len(v.inner))] {
		sum += v.inner[i].first.touch(a.locs)
	}
	return sum
}

// view returns what readers may see of the hint.
func (h *hint) view() *view {
	type entry struct {
		span   Span
		filter *Filter
	}
	entries := make([]entry, 0, len(h.sections))
	for _, s := range h.sections {
		entries = append(entries, entry{s.span, s.filter})
	}
	rank := func(s entry) int {
		switch {
		case s.span == always:
			return 0
		case s.span.To == math.MaxInt64:
			return 1
		default:
			return 2
		}
	}
	slices.SortStableFunc(entries, func(a, b entry) int {
		return cmp.Or(cmp.Compare(rank(a), rank(b)), cmp.Compare(b.filter.Len(), a.filter.Len()))
	})
	v := &view{n: len(entries)}
	for i, e := range entries {
		layers := *e.filter.layers.Load()
		s := visible{span: e.span, first: layers[0].plate}
		for _, l := range layers[1:] {
			s.more = append(s.more, l.plate)
		}
		if i < len(v.inner) {
			v.inner[i] = s
		} else {
			v.outer = append(v.outer, s)
		}
	}
	return v
}

// all calls f with each layer of each section.
func (v *view) all(f func(Span, *plate)) {
	section := func(s *visible) {
		f(s.span, &s.first)
		for i := range s.more {
			f(s.span, &s.more[i])
		}
	}
	for i := range v.inner[:min(v.n, len(v.inner))] {
		section(&v.inner[i])
	}
	for i := range v.outer {
		section(&v.outer[i])
	}
}

// moved returns a view that has a layer in another place, and v if it has not
// that layer.
func (v *view) moved(from, to *plate) *view {
	found := false
	v.all(func(_ Span, p *plate) { found = found || p.same(from) })
	if !found {
		return v
	}
	w := &view{n: v.n, inner: v.inner, outer: slices.Clone(v.outer)}
	for _, sections := range [][]visible{w.inner[:], w.outer} {
		for i := range sections {
			sections[i].more = slices.Clone(sections[i].more)
		}
	}
	w.all(func(_ Span, p *plate) {
		if p.same(from) {
			*p = *to
		}
	})
	return w
}

// layers returns the number of layers of all filters.
func (h *hint) layers() (n int) {
	for _, s := range h.sections {
		if s.filter != nil {
			n += s.filter.Layers()
		}
	}
	return n
}
