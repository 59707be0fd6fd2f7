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
	ClassPrefixes Class = "prefixes" // what a label's value starts with
	// ClassPrefixPairs tells that a label of a series has a value, and what the value
	// of another one starts with; or that the other is there.
	ClassPrefixPairs Class = "prefix pairs"
	ClassInfixes     Class = "infixes" // which five characters a label's value holds in a row
	// ClassInfixPairs tells which metrics have series whose other label holds an infix.
	ClassInfixPairs Class = "infix pairs"
)

// Decision is what was decided about one kind of facts.
type Decision struct {
	Class Class `json:"class"`
	// Labels are the label, or the two labels, that the facts are about; of prefix
	// pairs, the second is the one with the prefix.
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

// Scheme says which kinds of facts about series are kept: values, trigrams,
// prefixes and pairs. It is immutable, and made by a Census. What is not kept is a fact
// itself, so that queries hold for the fingerprints of any scheme, and of
// several together.
//
// Kinds that the census did not know: values, trigrams and prefixes are kept, pairs
// only with the metric name, infixes, prefix pairs and infix pairs not. The nil Scheme is that of a set that has taken no census:
// it keeps no pairs.
type Scheme struct {
	series    int
	decisions []Decision
	decided   bool
	labels    map[string]labelKinds // known to the census
	pairs     map[[2]string]bool    // kept or not
	// prefixPairs are those that are kept, prefixed the labels whose values are in any.
	prefixPairs map[[2]string]bool
	prefixed    map[string]bool
	infixPairs  map[string]bool // labels of which infixes are kept with the metric's name
	drop        map[string]bool // labels of which only presence is kept, by configuration
}

// labelKinds says what is kept of a label.
type labelKinds struct{ values, trigrams, prefixes, infixes bool }

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
		return labelKinds{values: true, trigrams: true, prefixes: true}
	}
	keep, ok := s.labels[name]
	if !ok {
		keep = labelKinds{values: !s.drop[name], trigrams: !s.drop[name], prefixes: !s.drop[name]}
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

// keepsPrefixPair reports whether values of a are kept with prefixes of b.
func (s *Scheme) keepsPrefixPair(a, b string) bool {
	return s != nil && s.decided && s.prefixPairs[[2]string{a, b}]
}

// prefixes reports whether values of a are kept with prefixes of any label.
func (s *Scheme) prefixes(a string) bool { return s != nil && s.decided && s.prefixed[a] }

// keepsInfixPair reports whether infixes of a label are kept with the metric's name.
func (s *Scheme) keepsInfixPair(label string) bool {
	return s != nil && s.decided && s.infixPairs[label]
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
	case ClassPrefixes:
		return s.label(d.Labels[0]).prefixes
	case ClassPrefixPairs:
		return s.keepsPrefixPair(d.Labels[0], d.Labels[1])
	case ClassInfixes:
		return s.label(d.Labels[0]).infixes
	case ClassInfixPairs:
		return s.keepsInfixPair(d.Labels[1])
	default:
		return s.keepsPair(d.Labels[0], d.Labels[1])
	}
}

// AppendFingerprints appends the fingerprints of all facts about a series'
// labels that the scheme keeps, the metric name being the label __name__: which
// labels are there, their values, the trigrams, prefixes and infixes of the values, pairs,
// and what of these is not kept. Some may be appended twice. Labels with an
// empty value count as absent, as everywhere in Prometheus.
func (s *Scheme) AppendFingerprints(dst []uint64, lset labels.Labels) []uint64 {
	var all []labels.Label
	hashes := hashAll(lset)
	lset.Range(func(l labels.Label) {
		if l.Value == "" {
			return
		}
		h := hashes[len(all)]
		dst = appendLabel(dst, h.name, l.Value, h.value, s.label(l.Name))
		all = append(all, l)
	})
	if len(all) > maxPaired {
		return AppendUninfixedOfAll(AppendUnprefixedOfAll(AppendUnpairedOfAll(dst)))
	}
	for i, a := range all {
		for j, b := range all {
			if i == j {
				continue
			}
			if i < j && s.keepsPair(a.Name, b.Name) {
				dst = append(dst, pairFact(pairBase(hashes[i].name, hashes[j].name), hashes[i], hashes[j]))
			} else if i < j {
				dst = appendUnpaired(dst, hashes[i].name, hashes[j].name)
			}
			if s.keepsPrefixPair(a.Name, b.Name) {
				dst = appendPrefixPairs(dst, prefixBase(hashes[i].name, hashes[j].name), hashes[i].value, b.Value)
			} else {
				dst = appendUnprefixedPair(dst, hashes[i].name, hashes[j].name, !s.prefixes(a.Name))
			}
			if a.Name == labels.MetricName {
				dst = appendInfixPairs(dst, hashes[i].value, hashes[j].name, b.Value, s.keepsInfixPair(b.Name))
			}
		}
	}
	return dst
}
