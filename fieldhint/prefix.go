package fieldhint

import (
	"github.com/cespare/xxhash/v2"
	"github.com/prometheus/prometheus/model/labels"
)

// rungs are the lengths in bytes of the prefixes that are told of a value. The
// first and the last trigram of a query say what lies between two of them.
var rungs = [...]int{1, 3, 5, 8, 10, 12, 16, 20, 24, 32}

// leastPrefix is the shortest one that is told of a label alone: the trigrams
// ^^a and ^ab tell of shorter ones.
const leastPrefix = 3

// rung returns the longest prefix of s of which there are facts; empty if s is.
func rung(s string) string {
	for i := len(rungs) - 1; i >= 0; i-- {
		if rungs[i] <= len(s) {
			return s[:rungs[i]]
		}
	}
	return ""
}

// shorter returns the next shorter prefix of one of which there are facts, and
// false if there is none.
func shorter(prefix string) (string, bool) {
	if prefix == "" {
		return "", false
	}
	return rung(prefix[:len(prefix)-1]), true
}

// appendPrefixes appends the facts about what a label's value starts with.
func appendPrefixes(dst []uint64, name uint64, value string) []uint64 {
	for _, n := range rungs {
		if n > len(value) {
			break
		}
		if n >= leastPrefix {
			dst = append(dst, fact(name, factPrefix, xxhash.Sum64String(value[:n])))
		}
	}
	return dst
}

// orderedName is the hash of the names of two labels of which the first has a
// value and the second a prefix.
func orderedName(a, b uint64) uint64 { return mix(mix(a) + b) }

// prefixBase is what the facts pair(a=…, b^=…) have in common.
func prefixBase(a, b uint64) uint64 { return about(orderedName(a, b), factPrefixPair) }

func prefixFact(base, value, prefix uint64) uint64 {
	return mix(mix(base^value)^prefix) & fingerprintMask
}

// appendPaired appends the facts about the value of one label together with pieces
// of another one's, given what these facts have in common.
func appendPaired(dst []uint64, base, value uint64, pieces []uint64) []uint64 {
	base = mix(base ^ value)
	for _, piece := range pieces {
		dst = append(dst, mix(base^piece)&fingerprintMask)
	}
	return dst
}

// appendPrefixHashes appends the hashes of what a value starts with, where that is
// told beside the value of another label. The empty prefix says that the label is
// there.
func appendPrefixHashes(dst []uint64, value string) []uint64 {
	dst = append(dst, xxhash.Sum64String(""))
	for _, n := range rungs {
		if n > len(value) {
			break
		}
		dst = append(dst, xxhash.Sum64String(value[:n]))
	}
	return dst
}

// appendPrefixPairs appends the facts about the value of one label together with
// what the other one's value starts with.
func appendPrefixPairs(dst []uint64, base, value uint64, other string) []uint64 {
	var room [len(rungs) + 1]uint64
	return appendPaired(dst, base, value, appendPrefixHashes(room[:0], other))
}

// AppendUnprefixedOfAll appends the fact that the prefixes of some series are not
// kept, whichever they are. A parent adds it to the hint of a child that knows
// of no prefixes, such as one of an older release.
func AppendUnprefixedOfAll(dst []uint64) []uint64 { return appendSure(dst, 0, factUnprefixedAll) }

// appendUnprefixedPair appends the fact that prefixes of b are not kept with the
// values of a; of any label, if that holds of all.
func appendUnprefixedPair(dst []uint64, a, b uint64, ofAny bool) []uint64 {
	if ofAny {
		return appendSure(dst, a, factUnprefixedWith)
	}
	return appendSure(dst, orderedName(a, b), factUnprefixedPair)
}

// maxPrefixWitnesses is how many shorter prefixes a query looks for where it
// looks for one: so that what a bloom filter seems to have is not believed at once.
const maxPrefixWitnesses = 2

// hasPrefix asks for a value that starts with prefix, which must be a rung.
func hasPrefix(label, prefix string) *expr {
	name := xxhash.Sum64String(label)
	e := newAtom(atom{kind: factPrefix, label: label, value: prefix}, name, xxhash.Sum64String(prefix))
	if next, ok := shorter(prefix); ok {
		e.atom.proofs = []proof{{facts: prefixWitnesses(label, next)}}
	}
	return e
}

// prefixWitnesses are facts about a prefix, which must be a rung, and shorter ones.
func prefixWitnesses(label, prefix string) (out []*atom) {
	name := xxhash.Sum64String(label)
	for ok := true; ok && len(out) < maxPrefixWitnesses && len(prefix) >= leastPrefix; prefix, ok = shorter(prefix) {
		out = append(out, newAtom(atom{kind: factPrefix, label: label, value: prefix}, name, xxhash.Sum64String(prefix)).atom)
	}
	return out
}

// prefixProof is of the prefixes that come with a value.
func prefixProof(label, value string) proof {
	return proof{
		facts: prefixWitnesses(label, rung(value)),
		spare: []*atom{newSure(atom{kind: factUnprefixed, label: label}, xxhash.Sum64String(label)).atom, unprefixedAll().atom},
	}
}

// hasPrefixPair asks for a label with a value beside one that starts with prefix.
func hasPrefixPair(a labels.Label, label, prefix string) *expr {
	base, value := prefixBase(xxhash.Sum64String(a.Name), xxhash.Sum64String(label)), xxhash.Sum64String(a.Value)
	e := prefixPairAtom(base, value, a, label, prefix)
	if next, ok := shorter(prefix); ok {
		e.atom.proofs = []proof{{facts: prefixPairWitnesses(base, value, a, label, next)}}
	}
	return e
}

func prefixPairAtom(base, value uint64, a labels.Label, label, prefix string) *expr {
	return atomOf(atom{
		kind: factPrefixPair, label: a.Name, value: a.Value, with: labels.Label{Name: label, Value: prefix},
		fp: prefixFact(base, value, xxhash.Sum64String(prefix)),
	})
}

// prefixPairWitnesses are facts about a prefix and shorter ones, which come with
// those about a longer one.
func prefixPairWitnesses(base, value uint64, a labels.Label, label, prefix string) (out []*atom) {
	for ok := true; ok && len(out) < maxPrefixWitnesses; prefix, ok = shorter(prefix) {
		out = append(out, prefixPairAtom(base, value, a, label, prefix).atom)
	}
	return out
}

// unprefixedPair asks for what tells that prefixes of b are not kept with values
// of a; but for unprefixedAll.
func unprefixedPair(a, b string) (ofBoth, ofAny *expr) {
	first := xxhash.Sum64String(a)
	return newSure(atom{kind: factUnprefixedPair, label: a, with: labels.Label{Name: b}}, orderedName(first, xxhash.Sum64String(b))),
		newSure(atom{kind: factUnprefixedWith, label: a}, first)
}

func unprefixedAll() *expr { return newSure(atom{kind: factUnprefixedAll}, 0) }

// askPrefixes asks that the value starts with one of some strings.
func askPrefixes(label string, starts []string) *expr {
	starts = cutRungs(starts)
	subs := make([]*expr, 0, len(starts)+2)
	for _, p := range starts {
		if len(p) < leastPrefix {
			return all
		}
		subs = append(subs, hasPrefix(label, p))
	}
	if len(subs) == 0 {
		return none
	}
	subs = append(subs, newSure(atom{kind: factUnprefixed, label: label}, xxhash.Sum64String(label)), unprefixedAll())
	return or(subs...)
}

// cutRungs shortens strings to prefixes of which there are facts.
func cutRungs(starts []string) []string {
	out := make([]string, 0, len(starts))
	for _, s := range starts {
		out = append(out, rung(s))
	}
	return covering(union(out))
}

// covering drops, from sorted prefixes, those that others are prefixes of.
func covering(sorted []string) []string {
	out := sorted[:0]
	for _, s := range sorted {
		if len(out) == 0 || len(s) < len(out[len(out)-1]) || s[:len(out[len(out)-1])] != out[len(out)-1] {
			out = append(out, s)
		}
	}
	return out
}

// askPrefixPairs says what a series that satisfies all demands implies of a label
// whose values are listed and another one: one of the values, beside one of the
// prefixes of the other. It leaves out what is paired, and asks for at most room.
func askPrefixPairs(listed []*demand, demands []demand, paired map[[2]string]bool, room int) *expr {
	pairs := all
	for _, a := range listed {
		for i := range demands[:min(len(demands), maxPairLabels)] {
			b := &demands[i]
			if b.label == a.label || !b.present || paired[pairKey(a.label, b.label)] || room == 0 {
				continue
			}
			starts, ok := fitRungs(b.starts, len(a.values))
			if n := len(starts) * len(a.values); ok && n <= room {
				room -= n
				pairs = and(pairs, askPrefixPair(a, b, starts))
			}
		}
	}
	if pairs.op == opAll || pairs.op == opNone {
		return pairs
	}
	return or(pairs, unprefixedAll())
}

// fitRungs shortens prefixes until there are no more pairs than are asked for.
func fitRungs(starts []string, values int) ([]string, bool) {
	starts = cutRungs(starts)
	for i := len(rungs) - 1; len(starts)*values > maxPairProduct; i-- {
		if i < 0 {
			return starts, false
		}
		most := 0
		if i > 0 {
			most = rungs[i-1]
		}
		starts = covering(union(cut(starts, most, firstBytes)))
	}
	return starts, true
}

func askPrefixPair(a, b *demand, starts []string) *expr {
	subs := make([]*expr, 0, len(a.values)*len(starts)+4)
	for _, v := range a.values {
		for _, p := range starts {
			subs = append(subs, hasPrefixPair(labels.Label{Name: a.label, Value: v}, b.label, p))
		}
	}
	if a.wide {
		subs = append(subs, hasWide(a.label))
	}
	if b.startsWide {
		subs = append(subs, hasWide(b.label))
	}
	ofBoth, ofAny := unprefixedPair(a.label, b.label)
	return or(append(subs, ofBoth, ofAny)...)
}
