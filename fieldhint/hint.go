package fieldhint

import (
	"fmt"
	"slices"
)

const (
	maxLayers   = 4       // beyond this, a filter is made anew at the right size
	smallHint   = 1 << 15 // fingerprints up to which that is not worth it
	maxSections = 256     // of a child
	// leastShare is that of the false-positive rate which a section gets however
	// small it is: so its filter takes few bits, and all sections together stay
	// below twice the rate as long as there are no more than leastShare.
	leastShare = 8
)

// hint is what a parent holds of one child's set. It belongs to one feed at a
// time.
type hint struct {
	epoch    uint64
	sections []*held
	round    uint64 // child.wanted when the stream began
	facts    uint64 // what the child knows: see recordFacts
	// tooLarge says why the hint is of no use but to follow it; empty if it is.
	tooLarge string
}

// held is what a parent holds of a section. Two hints share it if a stream
// resumed. A hint beyond its bound has no filters.
type held struct {
	id     uint64
	number int64
	span   Span
	next   uint64 // position in the section of what comes next
	sum    uint64 // of what came; see Position
	told   Position
	filter *Filter
	slabs  *slabs // where the filter's layers are, or wait
	part   *part  // in the zone's set
	hints  int    // that have it
	// blind is set if sum is not that of what was before next any more.
	blind bool
}

// position returns what the child is told of the section, and remembers it: it may
// come back to it after it has sent more. ok is false if it should send all.
func (s *held) position() (at Position, ok bool) {
	if s.filter == nil || s.blind { // a staged hint that shared it grew too large
		return Position{}, false
	}
	s.told = Position{s.id, s.next, s.sum}
	return s.told, true
}

// rewind goes back to an earlier position. What came after it comes again.
func (s *held) rewind(to uint64) {
	switch to {
	case s.next:
	case s.told.Next:
		s.next, s.sum = to, s.told.Sum
	default:
		s.next, s.blind = to, true
	}
}

func (h *hint) find(id uint64) *held {
	for _, s := range h.sections {
		if s.id == id {
			return s
		}
	}
	return nil
}

// wasteful returns the sections whose filters have outgrown the size that they
// were made for so far that their layers take several times the memory that one
// would.
func (h *hint) wasteful() (out []*held) {
	for _, s := range h.sections {
		if s.filter != nil && s.filter.Layers() > maxLayers && s.next > smallHint &&
			uint64(s.filter.capacity()) < s.next/2 {
			out = append(out, s)
		}
	}
	return out
}

// open opens the sections that a frame opens, and widens those that are open. In
// the first frame of a stream, from is the hint that the parent had before, of
// the same epoch, or nil.
func (h *hint) open(x *Index, fr frame, from *hint) error {
	totals := map[int64]uint64{} // by generation
	for _, s := range h.sections {
		totals[s.number] += s.next
	}
	for _, r := range fr.records {
		if r.kind == recordOpen && h.find(r.id) == nil {
			totals[r.number] += r.total
		}
	}
	for _, r := range fr.records {
		if r.kind != recordOpen {
			continue
		}
		if s := h.find(r.id); s != nil {
			if r.at != s.next || r.span.To != s.span.To {
				return fmt.Errorf("%w: section %d is opened at %d again, next is %d", ErrGap, r.id, r.at, s.next)
			}
			if r.span.From < s.span.From {
				s.span.From = r.span.From
				s.part.widen(r.span.From)
			}
			continue
		}
		if err := h.add(x, r, from, totals[r.number]); err != nil {
			return err
		}
		if fr.old {
			h.sections[len(h.sections)-1].lacks(AppendUnpairedOfAll(nil))
		}
		if h.facts < factsPrefixes {
			h.sections[len(h.sections)-1].lacks(AppendUnprefixedOfAll(nil))
		}
		if h.facts < factsInfixes {
			h.sections[len(h.sections)-1].lacks(AppendUninfixedOfAll(nil))
		}
	}
	return nil
}

// lacks adds, for a child that does not know of some kinds of facts, that it has none.
func (s *held) lacks(fps []uint64) {
	s.part.add(fps)
	if s.filter != nil {
		for _, fp := range fps {
			s.filter.Add(fp)
		}
	}
}

// add opens one section, of a generation with so many fingerprints in total.
func (h *hint) add(x *Index, r record, from *hint, total uint64) error {
	if r.at > 0 {
		var s *held
		if from != nil {
			s = from.find(r.id)
		}
		if s == nil || s.next < r.at || s.filter == nil {
			return fmt.Errorf("%w: section %d cannot resume at %d", ErrGap, r.id, r.at)
		}
		s.rewind(r.at)
		if r.span.From < s.span.From {
			s.span.From = r.span.From
			s.part.widen(r.span.From)
		}
		s.hints++
		h.sections = append(h.sections, s)
		h.bound(x)
		return nil
	}
	s := &held{id: r.id, number: r.number, span: r.span, hints: 1, slabs: &x.slabs, part: x.cfg.Union.open(r.number, r.span)}
	h.sections = append(h.sections, s)
	if len(h.sections) > maxSections {
		h.giveUp(fmt.Sprintf("more than %d sections", maxSections))
	}
	if h.tooLarge == "" {
		size := int(min(r.total, max(uint64(x.cfg.Trusted), from.sent(r.id)), uint64(x.cfg.MaxFingerprints)))
		share := max(float64(r.total)/float64(max(total, 1)), 1.0/leastShare)
		s.filter = NewFilter(size, x.cfg.FalsePositiveRate*share)
	}
	return nil
}

// sent returns how many fingerprints of a section came; h may be nil.
func (h *hint) sent(id uint64) uint64 {
	if h == nil {
		return 0
	}
	if s := h.find(id); s != nil {
		return s.next
	}
	return 0
}

// total returns the number of fingerprints, of all sections.
func (h *hint) total() (n uint64) {
	for _, s := range h.sections {
		n += s.next
	}
	return n
}

// bound gives a hint up that has grown too large. A zone that changes from one
// generation to the next tells of both, each of which may be as large as one alone;
// there are no more than two such.
func (h *hint) bound(x *Index) {
	most := uint64(x.cfg.MaxFingerprints)
	sizes, large := map[int64]uint64{}, false
	for _, s := range h.sections {
		sizes[s.number] += s.next
		large = large || sizes[s.number] > most
	}
	if large || h.total() > maxUnionRooms*most {
		h.giveUp(fmt.Sprintf("more than %d fingerprints (--hints.max-fingerprints)", x.cfg.MaxFingerprints))
	}
}

// giveUp drops the filters.
func (h *hint) giveUp(why string) {
	if h.tooLarge == "" {
		h.tooLarge = why
	}
	for _, s := range h.sections {
		s.slabs.release(s.filter)
		s.filter = nil
	}
}

// drop takes a section out of the hint.
func (h *hint) drop(id uint64) error {
	i := slices.IndexFunc(h.sections, func(s *held) bool { return s.id == id })
	if i < 0 {
		return fmt.Errorf("%w: section %d is dropped, and was never opened", ErrGap, id)
	}
	h.sections[i].release()
	h.sections = slices.Delete(slices.Clone(h.sections), i, i+1)
	return nil
}

// close gives up the hint's sections.
func (h *hint) close() {
	if h == nil {
		return
	}
	for _, s := range h.sections {
		s.release()
	}
	h.sections = nil
}

// release notes that one hint less has the section.
func (s *held) release() {
	if s.hints--; s.hints == 0 {
		s.slabs.release(s.filter)
		s.part.close()
	}
}
