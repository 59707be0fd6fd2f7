package fieldhint

import "math"

// Detail is what else is known of the field hint of one child, for people.
type Detail struct {
	// Unsynced says why the hint is not in use; empty if it is.
	Unsynced string
	// Fill is the share of the room of all filters that is taken, over all their
	// layers.
	Fill float64
	// Sections are those of the hint, in the order in which the child opened
	// them.
	Sections []SectionDetail
}

// SectionDetail describes one section of a child's hint.
type SectionDetail struct {
	// From and To are its times in Unix milliseconds, To excluded; the least and
	// the greatest int64 if it has no such end.
	From, To int64
	// Fingerprints is how many have arrived, Bytes the memory that its filter
	// takes.
	Fingerprints uint64
	Bytes        int
}

// Bounded reports whether the section begins and ends at some time.
func (s SectionDetail) Bounded() (from, to bool) {
	return s.From != math.MinInt64, s.To != math.MaxInt64
}

// Detail describes the field hint of one child, and reports whether the index
// knows the child.
func (x *Index) Detail(name string) (Detail, bool) {
	c := x.child(name)
	if c == nil {
		return Detail{}, false
	}
	size := c.size(x.clock(), x.cfg.MaxAge)
	d := Detail{Unsynced: size.Reason}
	if !size.Connected {
		d.Unsynced = "not connected"
	}
	c.mu.RLock()
	defer c.mu.RUnlock()
	if c.hint == nil {
		return d, true
	}
	n, room := 0.0, 0.0
	for _, h := range c.hint.sections {
		s := SectionDetail{From: h.span.From, To: h.span.To, Fingerprints: h.next}
		if h.filter != nil {
			s.Bytes = h.filter.Bytes()
			n += float64(h.filter.Len())
			room += float64(h.filter.room())
		}
		d.Sections = append(d.Sections, s)
	}
	if room > 0 {
		d.Fill = n / room
	}
	return d, true
}

// room is the number of fingerprints for which the layers were made.
func (f *Filter) room() (n int) {
	for _, l := range *f.layers.Load() {
		n += l.capacity
	}
	return n
}
