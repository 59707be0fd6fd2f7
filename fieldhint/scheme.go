package fieldhint

import (
	"fmt"
	"slices"
	"strings"

	"github.com/prometheus/prometheus/model/labels"
)

// Class is what a kind of facts is about.
type Class string

// The classes of kinds.
const (
	ClassValues   Class = "values"   // that a label has a value
	ClassTrigrams Class = "trigrams" // that a label's value holds a trigram
	ClassPairs    Class = "pairs"    // that two labels of one series have two values
)

// Decision is what was decided about one kind of facts.
type Decision struct {
	Class Class `json:"class"`
	// Labels are the label, or the two labels, that the facts are about.
	Labels []string `json:"labels"`
	Kept   bool     `json:"kept"`
	// Facts is how many there are, as the census estimated; Bytes what they
	// take at a parent.
	Facts int `json:"facts"`
	Bytes int `json:"bytes"`
	// Reason says why.
	Reason string `json:"reason"`
}

// kind names the kind: job, or job with pod.
func (d Decision) kind() string {
	names := make([]string, 0, len(d.Labels))
	for _, name := range d.Labels {
		names = append(names, showName(name))
	}
	return string(d.Class) + "(" + strings.Join(names, ", ") + ")"
}

// Scheme says which kinds of facts about series are kept: values, trigrams and
// pairs. It is immutable, and made by a Census. What is not kept is a fact
// itself, so that queries hold for the fingerprints of any scheme, and of
// several together.
//
// Kinds that the census did not know: values and trigrams are kept, pairs only
// with the metric name. The nil Scheme is that of a set that has taken no census:
// it keeps no pairs.
type Scheme struct {
	series    int
	decisions []Decision
	decided   bool
	labels    map[string]labelKinds // known to the census
	pairs     map[[2]string]bool    // kept or not
	drop      map[string]bool       // labels of which only presence is kept, by configuration
}

// labelKinds says what is kept of a label.
type labelKinds struct{ values, trigrams bool }

// undecided returns the scheme of a set without a census.
func undecided(drop []string) *Scheme {
	s := &Scheme{drop: map[string]bool{}}
	for _, name := range drop {
		s.drop[name] = true
	}
	return s
}

func (s *Scheme) label(name string) labelKinds {
	if s == nil {
		return labelKinds{values: true, trigrams: true}
	}
	keep, ok := s.labels[name]
	if !ok {
		keep = labelKinds{values: !s.drop[name], trigrams: !s.drop[name]}
	}
	keep.values = keep.values || name == labels.MetricName // queries rely on it
	return keep
}

func (s *Scheme) keepsPair(a, b string) bool {
	if s == nil || !s.decided {
		return false
	}
	kept, known := s.pairs[pairKey(a, b)]
	if known {
		return kept
	}
	if a == b || s.drop[a] || s.drop[b] {
		return false
	}
	return a == labels.MetricName && !s.knows(b) || b == labels.MetricName && !s.knows(a)
}

func (s *Scheme) knows(label string) bool {
	_, ok := s.labels[label]
	return ok
}

func (s *Scheme) pairsKept() bool { return s != nil && s.decided }

func pairKey(a, b string) [2]string { return [2]string{min(a, b), max(a, b)} }

// Decisions lists what was decided about each kind that the census knew, pairs
// last, those with most facts first.
func (s *Scheme) Decisions() []Decision {
	if s == nil {
		return nil
	}
	return slices.Clone(s.decisions)
}

// Series is the number of series that the census estimated; zero if there was
// none.
func (s *Scheme) Series() int {
	if s == nil {
		return 0
	}
	return s.series
}

// String shows the decisions, one a line.
func (s *Scheme) String() string {
	if s == nil || !s.decided {
		return "no census yet: values and trigrams are kept, pairs are not\n"
	}
	var b strings.Builder
	facts, bytes := 0, 0
	for _, d := range s.decisions {
		if d.Kept {
			facts, bytes = facts+d.Facts, bytes+d.Bytes
		}
	}
	fmt.Fprintf(&b, "%d series, %d facts in %d bytes\n", s.series, facts, bytes)
	for _, d := range s.decisions {
		verb := "drop"
		if d.Kept {
			verb = "keep"
		}
		fmt.Fprintf(&b, "%s %s: %d facts, %d bytes: %s\n", verb, d.kind(), d.Facts, d.Bytes, d.Reason)
	}
	return b.String()
}

// differs reports whether a log made with the scheme would hold much else than
// one made with next.
func (s *Scheme) differs(next *Scheme) bool {
	if s == nil || s.decided != next.decided {
		return true
	}
	const few = 1024 // facts
	total, changed := 0, 0
	for _, d := range next.decisions {
		if d.Kept {
			total += d.Facts
		}
		if d.Kept != s.keeps(d) {
			changed += d.Facts
		}
	}
	return changed > max(few, total/10)
}

// keeps reports whether the scheme keeps the kind of a decision of another.
func (s *Scheme) keeps(d Decision) bool {
	switch d.Class {
	case ClassValues:
		return s.label(d.Labels[0]).values
	case ClassTrigrams:
		return s.label(d.Labels[0]).trigrams
	default:
		return s.keepsPair(d.Labels[0], d.Labels[1])
	}
}

// AppendFingerprints appends the fingerprints of all facts about a series'
// labels that the scheme keeps, the metric name being the label __name__: which
// labels are there, their values, the trigrams of the values, pairs of values,
// and what of these is not kept. Some may be appended twice. Labels with an
// empty value count as absent, as everywhere in Prometheus.
func (s *Scheme) AppendFingerprints(dst []uint64, lset labels.Labels) []uint64 {
	all := make([]hashed, 0, lset.Len())
	names := make([]string, 0, lset.Len())
	i := 0
	hashes := hashAll(lset)
	lset.Range(func(l labels.Label) {
		if l.Value == "" {
			return
		}
		h := hashes[i]
		i++
		dst = appendLabel(dst, h.name, l.Value, h.value, s.label(l.Name))
		all, names = append(all, h), append(names, l.Name)
	})
	if len(all) > maxPaired {
		return AppendUnpairedOfAll(dst)
	}
	for i := range all {
		for j := range i {
			if s.keepsPair(names[i], names[j]) {
				dst = append(dst, pairFact(pairBase(all[i].name, all[j].name), all[i], all[j]))
			} else {
				dst = appendUnpaired(dst, all[i].name, all[j].name)
			}
		}
	}
	return dst
}
