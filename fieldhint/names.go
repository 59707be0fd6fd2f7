package fieldhint

import (
	"github.com/cespare/xxhash/v2"
	"github.com/prometheus/prometheus/model/labels"
)

// Generations of the sections that hold the names of a tier itself. Those of leaves
// are numbered by the times at which their windows begin, which these are not. There
// are two, so that new names can stand beside the old ones until these are dropped;
// and no more, so that tiers with children that have names too have few sections.
const (
	firstNames  = -1
	secondNames = -2
)

// names are the metric names that a tier answers by itself, in the set that it
// offers upward.
type names struct {
	number int64
	part   *part // nil if there are none
}

// SetNames says which metric names the tier holds series of itself, beside what its
// children hold: parents do not rule it out for a selector that gives such a name by
// equality, whatever else that asks for and of whatever time, nor for one of the name
// alone that matches it. These names replace those of the call before, once the new
// ones are in the set. It is for a set that is never rebuilt nor reset: that of a
// zone. It is safe for concurrent use.
func (s *Set) SetNames(all []string) {
	s.naming.Lock()
	defer s.naming.Unlock()
	old := s.names
	s.names = names{number: firstNames}
	if old.number == firstNames {
		s.names.number = secondNames
	}
	if len(all) > 0 {
		s.names.part = s.open(s.names.number, always)
		s.names.part.add(appendNames(nil, all))
	}
	old.part.close()
}

// appendNames appends the facts of names that a tier holds itself: those of the label
// __name__, that the name is held, and that any is.
//
// There are none of the other labels, on purpose. What a tier holds itself changes
// as its rules are evaluated, for times that are long settled too, as points of rollups
// are made late; a parent that was not asked takes it that nothing is there, and may
// keep that answer for as long as no epoch tells otherwise. A name changes with the
// configuration alone.
func appendNames(dst []uint64, all []string) []uint64 {
	label := xxhash.Sum64String(labels.MetricName)
	for _, name := range all {
		hash := xxhash.Sum64String(name)
		dst = appendLabel(dst, label, name, hash, labelKinds{values: true, trigrams: true, prefixes: true, infixes: true})
		dst = appendSure(dst, hash, factHeldName)
	}
	return appendSure(dst, 0, factHoldsNames)
}

// holdsNames is a fingerprint that a child sends if it holds series of some names itself.
var holdsNames = fact(0, factHoldsNames, 0)

// heldName asks whether a tier holds series of a name itself. It is nil unless the
// matchers give one by equality.
func heldName(ms []*labels.Matcher) *atom {
	for _, m := range ms {
		if usable(m) && m.Name == labels.MetricName && m.Type == labels.MatchEqual {
			held := newSure(atom{kind: factHeldName, value: m.Value}, xxhash.Sum64String(m.Value)).atom
			held.locate()
			return held
		}
	}
	return nil
}

// notesNames notes if a child says that it holds series of names itself. It must be
// called before the frame is shown to readers.
func (x *Index) notesNames(c *child, fr frame) {
	if c.names.Load() {
		return
	}
	for _, r := range fr.records {
		for _, fp := range r.fps {
			if fp == holdsNames {
				c.names.Store(true)
				x.names.Store(true)
				return
			}
		}
	}
}
