package fieldhint

import (
	"slices"
	"strings"

	"github.com/cespare/xxhash/v2"
	"github.com/prometheus/prometheus/model/labels"
)

// infixLens are the lengths of infixes, marks included. Trigrams of the values of
// a label say little as soon as there are a few dozen of these: each occurs in
// some. Infixes that overlap by eight symbols have nearly one order, even if values
// have words in common; shorter ones are for what is shorter.
var infixLens = [...]int{5, 9}

// pairedInfix is the length of those that are kept with the metric's name: there
// are some of each pair, and the label's own longer ones say which there are.
const pairedInfix = 5

// fewInfixes is how many of the greatest length are believed alone.
const fewInfixes = 3

// infix is a piece of a value. The mark that stands before a value, and the one
// after it, are symbols of it, but no bytes: no value can imitate them.
type infix struct {
	text  string
	marks infixMarks
}

type infixMarks uint8

const (
	infixStarts infixMarks = 1 << iota // the value begins with it
	infixEnds                          // the value ends with it
)

// payload tells infixes apart.
func (f infix) payload() uint64 {
	return mix(xxhash.Sum64String(f.text) + uint64(f.marks))
}

// infixes yields the infixes of a value.
func infixes(value string) func(yield func(infix) bool) {
	return func(yield func(infix) bool) {
		for _, n := range infixLens {
			for f := range infixesOfLen(n, value, true, true) {
				if !yield(f) {
					return
				}
			}
		}
	}
}

// askedInfixes returns the infixes that say most of a piece of a value.
func askedInfixes(s string, start, end bool) (out []infix) {
	for i := len(infixLens) - 1; i >= 0 && len(out) < fewInfixes; i-- {
		for f := range infixesOfLen(infixLens[i], s, start, end) {
			out = append(out, f)
		}
	}
	return out
}

// infixesOfLen yields the infixes of n symbols of a piece of a value, with a mark
// before its start and after its end if it is known to stand there.
func infixesOfLen(n int, s string, start, end bool) func(yield func(infix) bool) {
	return func(yield func(infix) bool) {
		before, after := 0, len(s)
		if start {
			before = -1
		}
		if end {
			after++
		}
		for i := before; i+n <= after; i++ {
			f := infix{text: s[max(i, 0):min(i+n, len(s))]}
			if i < 0 {
				f.marks |= infixStarts
			}
			if i+n > len(s) {
				f.marks |= infixEnds
			}
			if !yield(f) {
				return
			}
		}
	}
}

// appendInfixes appends the infixes of a label's value, or that it has none.
func appendInfixes(dst []uint64, name uint64, value string, keep bool) []uint64 {
	if !keep || len(value) > maxGramValue {
		return appendSure(dst, name, factUninfixed)
	}
	base := about(name, factInfix)
	for f := range infixes(value) {
		dst = append(dst, mix(base^f.payload())&fingerprintMask)
	}
	return dst
}

// infixPairBase is what the facts pair(__name__=…, b~…) have in common.
func infixPairBase(b uint64) uint64 { return about(b, factInfixPair) }

// appendInfixPairs appends the infixes of the value of b together with the
// metric's name, of which the hash is given, or that there are none.
func appendInfixPairs(dst []uint64, metric, b uint64, value string, keep bool) []uint64 {
	if !keep || len(value) > maxGramValue {
		return appendSure(dst, b, factUninfixedPair)
	}
	var room [maxRoomInfixes]uint64
	return appendPaired(dst, infixPairBase(b), metric, appendInfixHashes(room[:0], value))
}

// appendInfixHashes appends what tells the infixes of a value apart, of those that
// are kept with the metric's name.
func appendInfixHashes(dst []uint64, value string) []uint64 {
	for f := range infixesOfLen(pairedInfix, value, true, true) {
		dst = append(dst, f.payload())
	}
	return dst
}

// AppendUninfixedOfAll appends the fact that the infixes of some series are not
// kept, whichever they are. A parent adds it to the hint of a child that knows
// of no infixes, such as one of an older release.
func AppendUninfixedOfAll(dst []uint64) []uint64 { return appendSure(dst, 0, factUninfixedAll) }

func uninfixedAll() *expr { return newSure(atom{kind: factUninfixedAll}, 0) }

// maxInfixes bounds the infixes that are asked for of one set of strings.
const maxInfixes = 256

// infixesOf asks for the infixes of one of the strings, as gramsOf does for
// trigrams.
func (a *analyzer) infixesOf(set []string, start, end bool) *expr {
	total := 0
	subs := make([]*expr, 0, len(set)+2)
	for _, s := range set {
		var row []*expr
		for _, f := range askedInfixes(s, start, end) {
			row = append(row, infixAtom(a.label, a.name, f))
		}
		if total += len(row); len(row) == 0 || total > maxInfixes || !a.spend(len(row)) {
			return all
		}
		subs = append(subs, and(row...))
	}
	subs = append(subs, newSure(atom{kind: factUninfixed, label: a.label}, a.name), uninfixedAll())
	return or(subs...)
}

// infixes says which infixes the values of a set have: what is said of
// their label's infixes, without what lets pass those that are not kept.
func (s valueSet) infixes(label string) *expr {
	if len(s.exact) == 0 {
		return s.rest.infixes()
	}
	a := &analyzer{label: label, name: xxhash.Sum64String(label)}
	return or(s.rest.infixes(), a.infixesOf(s.exact, true, true).infixes())
}

// infixes keeps nothing of an expression but what it asks of infixes, in terms of
// those that are kept with the metric's name.
func (e *expr) infixes() *expr {
	return e.replace(func(a *atom) *expr {
		switch a.kind {
		case factInfix:
			return a.shortInfixes()
		case factUninfixed, factUninfixedAll:
			return none // whoever asks says so in other words
		default:
			return all
		}
	})
}

// infixProof is of the infixes that come with a pair of the metric's name and another
// label's value; empty of other pairs.
func infixProof(metric, other labels.Label) (p proof) {
	if metric.Name != labels.MetricName || len(other.Value) > maxGramValue {
		return p
	}
	name, value := xxhash.Sum64String(other.Name), xxhash.Sum64String(metric.Value)
	for f := range infixesOfLen(pairedInfix, other.Value, true, true) {
		if p.facts = append(p.facts, infixPairAtom(metric, other.Name, name, value, f).atom); len(p.facts) == fewInfixes {
			break
		}
	}
	p.spare = []*atom{newSure(atom{kind: factUninfixedPair, label: other.Name}, name).atom, uninfixedAll().atom}
	return p
}

// infixPairAtom asks for a metric with a label that holds an infix, given the hashes
// of the label's name and of the metric's.
func infixPairAtom(metric labels.Label, label string, name, value uint64, f infix) *expr {
	return atomOf(atom{
		kind: factInfixPair, label: metric.Name, value: metric.Value, with: labels.Label{Name: label, Value: f.text}, gram: gram(f.marks),
		fp: prefixFact(infixPairBase(name), value, f.payload()),
	})
}

// shortInfixes asks for the short infixes of one.
func (a *atom) shortInfixes() *expr {
	name := xxhash.Sum64String(a.label)
	marks := infixMarks(a.gram)
	var out []*expr
	for f := range infixesOfLen(pairedInfix, a.value, marks&infixStarts != 0, marks&infixEnds != 0) {
		out = append(out, infixAtom(a.label, name, f))
	}
	return and(out...)
}

func infixAtom(label string, name uint64, f infix) *expr {
	return newAtom(atom{kind: factInfix, label: label, value: f.text, gram: gram(f.marks)}, name, f.payload())
}

// replace puts other expressions in the place of atoms.
func (e *expr) replace(by func(*atom) *expr) *expr {
	switch e.op {
	case opAtom:
		return by(e.atom)
	case opAnd, opOr:
		subs := make([]*expr, 0, len(e.subs))
		for _, sub := range e.subs {
			subs = append(subs, sub.replace(by))
		}
		if e.op == opAnd {
			return and(subs...)
		}
		return or(subs...)
	default:
		return e
	}
}

// askInfixPairs says what a series that satisfies all demands implies of its
// metric's name, if that is listed, and another label whose values are not: one
// of the names, beside the infixes of the other. It asks for at most room.
func askInfixPairs(demands []demand, room int) *expr {
	i := slices.IndexFunc(demands, func(d demand) bool { return d.label == labels.MetricName && d.listed })
	if i < 0 {
		return all
	}
	metric, pairs := &demands[i], all
	for i := range demands {
		d := &demands[i]
		if d.label == metric.label || d.listed || !d.present || d.infixes == nil || d.infixes.size == 0 {
			continue
		}
		n := d.infixes.size * len(metric.values)
		if n > room {
			continue
		}
		room -= n
		pairs = and(pairs, askInfixPair(metric, d))
	}
	if pairs.op == opAll {
		return all
	}
	return or(pairs, uninfixedAll())
}

func askInfixPair(metric, d *demand) *expr {
	name := xxhash.Sum64String(d.label)
	subs := make([]*expr, 0, len(metric.values)+3)
	for _, v := range metric.values {
		value := xxhash.Sum64String(v)
		subs = append(subs, d.infixes.replace(func(a *atom) *expr {
			return infixPairAtom(labels.Label{Name: metric.label, Value: v}, d.label, name, value, infix{a.value, infixMarks(a.gram)})
		}))
	}
	if metric.wide {
		subs = append(subs, hasWide(metric.label))
	}
	if d.infixesWide {
		subs = append(subs, hasWide(d.label))
	}
	subs = append(subs, newSure(atom{kind: factUninfixedPair, label: d.label}, name))
	return or(subs...)
}

// String shows an infix with ^ and $ for its marks, as trigrams are shown.
func (f infix) String() string {
	var b strings.Builder
	if f.marks&infixStarts != 0 {
		b.WriteByte('^')
	}
	for i := range len(f.text) {
		writeByte(&b, f.text[i])
	}
	if f.marks&infixEnds != 0 {
		b.WriteByte('$')
	}
	return b.String()
}

// maxRoomInfixes is how many infixes of a value need no memory of their own.
const maxRoomInfixes = 64

// metricFirst tells the one of two labels that is the metric's name, and the other,
// if either is.
func metricFirst[T any](a, b T, name func(T) string) (metric, other T, ok bool) {
	switch labels.MetricName {
	case name(a):
		return a, b, true
	case name(b):
		return b, a, true
	default:
		return a, b, false
	}
}
