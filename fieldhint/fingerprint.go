package fieldhint

import (
	"strings"

	"github.com/prometheus/prometheus/model/labels"
)

// maxGramValue is the length in bytes up to which a value is cut into trigrams.
// A longer one is only known as a whole, and marks its label as long, so that
// no regexp rules the label out.
const maxGramValue = 256

// A fingerprint is a hash of one fact about a label of some series. The first
// ingredient of the hash is the kind of the fact, so that facts of different
// kinds do not meet. Fingerprints travel between processes: whoever changes how
// they are made must raise frameVersion too. Who adds kinds must tell parents that
// there are none of a child that does not know them: see frame.facts.
type factKind uint64

const (
	factPresence factKind = 1 + iota // the label is there
	factValue                        // the label has exactly this value
	factGram                         // the label's value holds this trigram
	factLong                         // the label has some value without trigrams
	factWide                         // the label has some value with a byte beyond ASCII

	// What follows says what a scheme leaves out (see Scheme), and pairs.
	factUnvalued    // the label has some value that is not kept
	factPair        // two labels of one series have these values
	factUnpaired    // two labels are on one series whose pair of values is not kept
	factUnpairedAll // no pair is kept of some series

	// What follows tells what values start with (see rungs), and who does not.
	factPrefix         // the label's value starts with this
	factPrefixPair     // a label has this value, and another of the series starts with this
	factUnprefixed     // the label has some value whose prefixes are not kept
	factUnprefixedPair // the same, of the prefixes of one label with values of another
	factUnprefixedWith // the same, of the prefixes of any label with values of another
	factUnprefixedAll  // no prefix is kept of some series

	// What follows tells of pieces of values (see infixLen), and who does not.
	factInfix         // the label's value holds this infix
	factInfixPair     // the metric has this name, and another label's value holds this infix
	factUninfixed     // the label has some value whose infixes are not kept
	factUninfixedPair // the same, of the infixes of a label with the metric's name
	factUninfixedAll  // no infix is kept of some series

	// What follows tells what a tier holds itself, whatever the labels (see Set.SetNames).
	factHeldName   // series of this metric name
	factHoldsNames // series of any name, or aggregates of any metric

	// What follows tells what a tier keeps of a metric itself (see Set.AddKept).
	factKept      // aggregates of this metric
	factKeptLabel // some with this label
	factKeptValue // some with this value of a label
	factKeptFree  // some that may be asked by this label, though they have it not
)

// gram is three symbols of nine bits: bytes, and two marks which are no bytes
// and so cannot be mistaken for any.
type gram uint32

const (
	markStart = 256
	markEnd   = 257
	symbolLen = 9
)

func newGram(a, b, c uint32) gram {
	return gram(a<<(2*symbolLen) | b<<symbolLen | c)
}

// fact fingerprints a fact about the label whose name hashes to name.
func fact(name uint64, kind factKind, payload uint64) uint64 {
	return mix(about(name, kind)^payload) & fingerprintMask
}

// about is what facts of one kind about one label have in common.
func about(name uint64, kind factKind) uint64 {
	return mix(name + uint64(kind)*0x9e3779b97f4a7c15)
}

// mix is the finalizer of SplitMix64 (Steele, Lea and Flood, OOPSLA 2014), a
// bijection.
func mix(x uint64) uint64 {
	x ^= x >> 30
	x *= 0xbf58476d1ce4e5b9
	x ^= x >> 27
	x *= 0x94d049bb133111eb
	return x ^ x>>31
}

// AppendFingerprints appends the fingerprints of all facts about a series'
// labels, the metric name being the label __name__, as a set does that has taken
// no census yet: see Scheme.AppendFingerprints.
func AppendFingerprints(dst []uint64, lset labels.Labels) []uint64 {
	return (*Scheme)(nil).AppendFingerprints(dst, lset)
}

// appendLabel appends the fingerprints of one label, given the hash of its name
// and the hash of its value. What is not kept is a fact itself.
func appendLabel(dst []uint64, name uint64, value string, valueHash uint64, keep labelKinds) []uint64 {
	dst = append(dst, fact(name, factPresence, 0))
	if keep.values {
		dst = append(dst, fact(name, factValue, valueHash))
	} else {
		dst = appendSure(dst, name, factUnvalued)
	}
	if !isASCII(value) {
		dst = append(dst, fact(name, factWide, 0))
	}
	if keep.prefixes {
		dst = appendPrefixes(dst, name, value)
	} else {
		dst = appendSure(dst, name, factUnprefixed)
	}
	dst = appendInfixes(dst, name, value, keep.infixes)
	if len(value) > maxGramValue || !keep.trigrams {
		return append(dst, fact(name, factLong, 0))
	}
	for g := range grams(value, true, true) {
		dst = append(dst, fact(name, factGram, uint64(g)))
	}
	return dst
}

// appendSure appends a fact that tells of something that is not kept. Every
// query asks for such facts too, so that filters which seem to have them would
// cost precision everywhere. There are few, so each is two fingerprints: one in
// ten thousand filters seems to hold both.
func appendSure(dst []uint64, name uint64, kind factKind) []uint64 {
	return append(dst, fact(name, kind, 0), fact(name, kind, 1))
}

// grams yields the trigrams of s, if asked for with two marks before its start
// and after its end: ^^m ^mo mon … h$$ for monarch.
func grams(s string, start, end bool) func(yield func(gram) bool) {
	return func(yield func(gram) bool) {
		var a, b uint32
		seen := 0
		push := func(c uint32) bool {
			more := seen < 2 || yield(newGram(a, b, c))
			a, b, seen = b, c, seen+1
			return more
		}
		if start {
			push(markStart)
			push(markStart)
		}
		for i := 0; i < len(s); i++ {
			if !push(uint32(s[i])) {
				return
			}
		}
		if end && push(markEnd) {
			push(markEnd)
		}
	}
}

func isASCII(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}

// String shows a trigram with ^ and $ for its marks; these characters
// themselves, and whatever does not print, are escaped.
func (g gram) String() string {
	var b strings.Builder
	for shift := 2 * symbolLen; shift >= 0; shift -= symbolLen {
		switch sym := uint32(g) >> shift & (1<<symbolLen - 1); {
		case sym == markStart:
			b.WriteByte('^')
		case sym == markEnd:
			b.WriteByte('$')
		default:
			writeByte(&b, byte(sym))
		}
	}
	return b.String()
}

func writeByte(b *strings.Builder, c byte) {
	const hex = "0123456789abcdef"
	switch {
	case strings.IndexByte(`^$"\`, c) >= 0:
		b.WriteByte('\\')
		b.WriteByte(c)
	case c < ' ' || c >= 0x7f:
		b.WriteString(`\x`)
		b.WriteByte(hex[c>>4])
		b.WriteByte(hex[c&15])
	default:
		b.WriteByte(c)
	}
}
