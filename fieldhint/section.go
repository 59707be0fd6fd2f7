package fieldhint

import (
	"slices"
	"sync/atomic"
)

// section is a part of a Set: the facts of series that have samples in a span of
// time. Its log only grows, its span only widens.
type section struct {
	id     uint64 // unique in the set's epoch
	number int64  // of the generation
	from   atomic.Int64
	to     int64
	log    *fpLog
}

func (c *section) span() Span { return Span{c.from.Load(), c.to} }

// widen makes the section begin at from, if it began later, and reports whether
// it did.
func (c *section) widen(from int64) bool {
	for {
		old := c.from.Load()
		if from >= old {
			return false
		}
		if c.from.CompareAndSwap(old, from) {
			return true
		}
	}
}

// generation is all sections that were made together, which are enough to answer
// any question. Core holds what all sections would.
type generation struct {
	set      *Set
	number   int64
	layout   Layout // the zero Layout if the current section is of all time
	scheme   *Scheme
	room     *room
	core     *section
	current  *section
	eras     [maxEra + 1]*section
	sealed   bool       // the core is final: other sections leave out what it has
	kept     []*section // of what the tier keeps of metrics itself; two while it is renewed
	sections []*section // of any kind; replaced whole, never changed
}

// newGeneration returns a generation with a core of the external labels.
// Fingerprints of the series alone would rule out a matcher on an external label.
func (s *Set) newGeneration(layout Layout, scheme *Scheme) *generation {
	g := &generation{set: s, number: layout.Start, layout: layout, scheme: scheme, room: newRoom(s.cfg.MaxFingerprints)}
	now := always
	if layout.Window > 0 {
		now.From = layout.Current
	}
	g.core = g.newSection(g.number, always, s.cfg.CacheSize/8)
	g.current = g.newSection(g.number, now, s.cfg.CacheSize)
	g.core.log.addSeries(s.cfg.External)
	return g
}

func (g *generation) newSection(number int64, span Span, cacheSize int) *section {
	return g.newSectionIn(g.room, number, span, cacheSize)
}

func (g *generation) newSectionIn(room *room, number int64, span Span, cacheSize int) *section {
	c := &section{id: g.set.ids.Add(1), number: number, to: span.To}
	c.log = newLog(g.set.cfg.Epoch(), room, cacheSize).keep(g.scheme, g.set.cfg.External)
	c.from.Store(span.From)
	g.sections = append(slices.Clone(g.sections), c)
	return c
}

func (g *generation) newEra(era int) *section {
	c := g.newSection(g.number, g.layout.span(era), g.set.cfg.CacheSize/8)
	if g.sealed {
		c.log.base = g.core.log
	}
	g.eras[era] = c
	return c
}

// seal makes all sections leave out what is in the core.
func (g *generation) seal() {
	g.sealed = true
	for _, c := range g.sections {
		if c != g.core {
			c.log.base = g.core.log
		}
	}
}

// of returns the sections of a series that has samples in some spans, and makes
// those that are missing. Set.mu must be held for writing.
func (g *generation) of(spans []Span) []*section {
	if g.layout.Window == 0 {
		return []*section{g.current}
	}
	var out []*section
	mask := g.layout.sections(spans)
	if mask&currentBit != 0 {
		out = append(out, g.current)
	}
	for era := range g.eras {
		if mask&(1<<(era+1)) != 0 {
			out = append(out, g.era(era))
		}
	}
	return out
}

// era returns the section of an era, which it makes if it is missing. Set.mu must
// be held for writing.
func (g *generation) era(era int) *section {
	if g.eras[era] == nil {
		g.newEra(era)
	}
	return g.eras[era]
}

func (g *generation) full() bool {
	return slices.ContainsFunc(g.sections, func(c *section) bool { return c.log.full.Load() })
}

func (g *generation) len() (n int) {
	for _, c := range g.sections {
		n += c.log.len()
	}
	return n
}

func (g *generation) bytes() (n int) {
	for _, c := range g.sections {
		n += c.log.bytes()
	}
	return n
}
