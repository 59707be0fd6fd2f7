package fieldhint

import (
	"errors"
	"fmt"
	"math"

	"github.com/prometheus/prometheus/model/labels"
)

// ErrRebuilding is the error of starting a rebuild while another one runs.
var ErrRebuilding = errors.New("field hint set is being rebuilt already")

// Rebuild makes a new generation of sections, out of what scan adds and what is
// added to the set in the meantime: so series that are gone are forgotten. add
// takes a series and the spans in which it has samples; it is safe for
// concurrent use. If scan returns an error, nothing changes.
//
// The scan is also the census by which the set spends its Budget. The generation
// is made by the decisions of the census before. If those of the new one are much
// different, as they are the first time, scan is called again: it adds all
// series each time that it is called.
//
// Whatever is added to the set later, by AddSeries, must have no sample before
// layout.Current.
func (s *Set) Rebuild(layout Layout, scan func(add func(lset labels.Labels, spans ...Span)) error) error {
	if err := layout.Validate(); err != nil {
		return err
	}
	c, err := s.startScan(layout.round())
	if err != nil {
		return err
	}
	defer s.endScan()
	census := NewCensus(s.cfg.External)
	first := func(lset labels.Labels, spans ...Span) {
		census.Add(lset)
		if c.scheme.decided { // else what is collected will not be used
			c.add(lset, spans...)
		}
	}
	if err := scan(first); err != nil {
		return fmt.Errorf("rebuild field hint set: %w", err)
	}
	if again := s.reconsider(c, census.Plan(s.cfg.Budget)); again != nil {
		c = again
		if err := scan(c.add); err != nil {
			return fmt.Errorf("rebuild field hint set: %w", err)
		}
	}
	s.commit(c)
	return nil
}

func (s *Set) startScan(layout Layout) (*scan, error) {
	c := s.newScan(layout, s.nextScheme())
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.scan != nil {
		return nil, ErrRebuilding
	}
	s.scan, s.widened = c, math.MaxInt64
	return c, nil
}

func (s *Set) endScan() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.scan, s.next = nil, nil
}

// reconsider makes scheme that of generations to come. If it is so different from
// that of the scan that the scan starts over with it, it returns the new scan.
// What was added to the set until now can be found by that one.
func (s *Set) reconsider(c *scan, scheme *Scheme) *scan {
	var again *scan
	if c.scheme.differs(scheme) {
		again = s.newScan(c.layout, scheme)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.scheme = scheme
	if again != nil {
		s.scan = again
	}
	return again
}

// commit puts a new generation in the place of the old one, once it holds what
// the scan has collected. Meanwhile, additions go to it directly.
func (s *Set) commit(c *scan) {
	g := s.newGeneration(c.layout, c.scheme)
	s.mu.Lock()
	g.inherit(s.newest())
	s.next = g
	s.mu.Unlock()
	c.end(g)
	s.mu.Lock()
	g.seal()
	if s.widened < g.layout.Current {
		g.current.widen(Layout{Start: g.layout.Start, Window: g.layout.Window, Current: s.widened}.round().Current)
	}
	if s.next = nil; s.complete {
		s.gens = []*generation{s.newest(), g}
		s.retire()
	} else {
		s.gens = []*generation{g} // what there was may lack series
	}
	s.mu.Unlock()
	s.rebuilds.Inc()
	s.bell.ring()
}

// retire drops the generation before the newest if no stream relies on it. mu
// must be held for writing.
func (s *Set) retire() {
	for st := range s.streams {
		if st.base == s.gens[0] {
			return
		}
	}
	s.gens = s.gens[len(s.gens)-1:]
}
