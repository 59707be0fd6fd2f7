package fieldhint

import (
	"cmp"
	"math/bits"
	"slices"
)

// sweep holds an expression against many children of a table at once, fact by
// fact: each narrows the children that the next is about, and when few are left,
// they are asked one by one.
type sweep struct {
	table      *table
	mint, maxt int64
	// rough leaves out what only confirms what was found: what comes with a value.
	rough bool
	// known are answers by fingerprint, for facts that are asked for again, about
	// fewer children.
	known map[uint64]answer
}

// answer is which of some children seem to have a fact.
type answer struct{ among, found placeSet }

const (
	// fewEach is how many slabs a sweep looks at in the time that one child is
	// asked.
	fewEach = 4
	// maxKnown bounds the answers that a sweep remembers.
	maxKnown = 64
	// batchOfLayers is how many layers in no slab are fetched at a time.
	batchOfLayers = 32
)

// may returns those of some children that may hold a match of an expression. It
// is rough first: a fact that many children have is not confirmed for those that
// another one rules out.
func (s *sweep) may(e *expr, among placeSet) placeSet {
	s.rough = true
	left := s.holds(e, among)
	s.rough = false
	if left.empty() {
		return left
	}
	return s.holds(e, left)
}

func (s *sweep) holds(e *expr, among placeSet) placeSet {
	if s.table.few(among.len()) {
		return s.filter(among, func(v *view) bool { return v.may(e, s.mint, s.maxt) })
	}
	switch e.op {
	case opNone:
		return make(placeSet, len(among))
	case opAtom:
		return s.found(e.atom, among)
	case opAnd:
		for _, sub := range bySize(e.subs) {
			if among = s.holds(sub, among); among.empty() {
				break
			}
		}
		return among
	case opOr:
		found := make(placeSet, len(among))
		for _, sub := range e.subs {
			if among = among.less(found); among.empty() {
				break
			}
			found.unite(s.holds(sub, among))
		}
		return found
	default:
		return among
	}
}

// bySize puts first what takes least to find out: pairs come last, which are many
// facts, for what is left then.
func bySize(subs []*expr) []*expr {
	return slices.SortedStableFunc(slices.Values(subs), func(a, b *expr) int { return cmp.Compare(a.size, b.size) })
}

// found is atom.found of many. What more than half of them have is not confirmed:
// of the rest, one in a hundred only seems to have it, which is less than one in a
// hundred of all that are found.
func (s *sweep) found(a *atom, among placeSet) placeSet {
	asked := among.len()
	among = s.there(a, among)
	if s.rough || among.len() > asked/2 {
		return among
	}
	for i := range a.proofs {
		if among = s.proven(&a.proofs[i], among); among.empty() {
			break
		}
	}
	return among
}

// proven returns those of some children of which a proof holds.
func (s *sweep) proven(p *proof, among placeSet) placeSet {
	sure := slices.Clone(among)
	for _, f := range p.facts {
		if sure = s.has(f, sure); sure.empty() {
			break
		}
	}
	for _, spare := range p.spare {
		sure.unite(s.there(spare, among.less(sure)))
	}
	return sure
}

// there is atom.there of many.
func (s *sweep) there(a *atom, among placeSet) placeSet {
	if among = s.has(a, among); a.echo != nil {
		among = s.has(a.echo, among)
	}
	return among
}

func (s *sweep) filter(among placeSet, may func(*view) bool) placeSet {
	left := make(placeSet, len(among))
	among.each(func(n int32) {
		if may(s.table.rows[n].view) {
			left.add(n)
		}
	})
	return left
}

// has returns those of some children that seem to have a fact.
func (s *sweep) has(a *atom, among placeSet) placeSet {
	known, again := s.known[a.fp]
	if again {
		if more := among.less(known.among); !more.empty() {
			known = answer{known.among.or(more), known.found.or(s.look(a, more))}
		}
	} else {
		known = answer{among, s.look(a, among)}
	}
	if again || len(s.known) < maxKnown {
		s.known[a.fp] = known
	}
	return known.found.and(among)
}

// look is has of what is not known.
func (s *sweep) look(a *atom, among placeSet) placeSet {
	if s.table.few(among.len()) {
		return s.filter(among, func(v *view) bool { return v.has(a.locs, s.mint, s.maxt) })
	}
	found := make(placeSet, len(among))
	s.hasRows(a, among, found)
	s.hasLoose(a, among, found)
	return found
}

// hasRows adds those of some children of which a layer in a slab seems to have a
// fact.
func (s *sweep) hasRows(a *atom, among, found placeSet) {
	for i := range s.table.slabs {
		r := &s.table.slabs[i]
		if !r.span.overlaps(s.mint, s.maxt) {
			continue
		}
		if r.word >= 0 {
			if asked := among[r.word] & r.columns; asked != 0 {
				found[r.word] |= asked & r.row(a.locs)
			}
			continue
		}
		for w := r.columns & r.row(a.locs); w != 0; w &= w - 1 {
			if at := r.places[bits.TrailingZeros64(w)]; among.has(at) {
				found.add(at)
			}
		}
	}
}

// hasLoose adds those of some children of which a layer in no slab seems to have
// a fact. It touches a batch of layers first, so that the processor fetches what
// it will look at for all of them at the same time.
func (s *sweep) hasLoose(a *atom, among, found placeSet) {
	var batch [batchOfLayers]*looseLayer
	n := 0
	for i := range s.table.loose {
		l := &s.table.loose[i]
		if l.span.overlaps(s.mint, s.maxt) && among.has(l.place) {
			batch[n] = l
			l.touch(a.locs)
			n++
		}
		if n < len(batch) && i < len(s.table.loose)-1 {
			continue
		}
		for _, l := range batch[:n] {
			if l.has(a.locs) {
				found.add(l.place)
			}
		}
		n = 0
	}
}
