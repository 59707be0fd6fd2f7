package treerpc

import (
	"encoding/binary"
	"math"
)

// Most of what is asked for is not noise to the last bit. Counts are integers;
// a rate of a counter that is scraped on the beat is an integer divided by one
// number, the same for all points and often for all series; and so is any sum of
// these, but for the rounding of each. Written as differences of such integers
// they take a byte or three. What is no such multiple, as rates of targets that
// are scraped with jitter are not, is written as differences of the bits, of
// which the upper bytes are alike.

const (
	maxScale = 1 << 20
	// scaleTries is how many series in a row may have no scale before only one
	// of scaleRest is looked at.
	scaleTries = 8
	scaleRest  = 64
)

// wordWriter turns values into words.
type wordWriter struct {
	words  []uint64
	scale  uint32 // of the last series that had one of its own
	misses int    // series without a scale since then
}

// add appends the words of a series' values and returns their scale.
func (w *wordWriter) add(values []float64) (scale uint32) {
	if scale := w.fit(values); scale > 0 && w.multiples(values, scale) {
		w.scale, w.misses = scale, 0
		return scale
	}
	// The few values looked at may not tell all: another series' may fit.
	if w.scale > 0 && w.multiples(values, w.scale) {
		w.misses = 0
		return w.scale
	}
	w.misses++
	prev := uint64(0)
	for _, v := range values {
		b := math.Float64bits(v)
		w.words = append(w.words, zigzag(int64(b-prev)))
		prev = b
	}
	return 0
}

// fit returns the least scale that fits some of the values, or zero.
func (w *wordWriter) fit(values []float64) uint32 {
	if w.misses >= scaleTries && w.misses%scaleRest != 0 {
		return 0
	}
	scale := uint64(1)
	for i := range min(4, len(values)) {
		d := uint64(denominator(values[i*len(values)/4]))
		if d == 0 {
			return 0
		}
		if scale *= d / gcd(scale, d); scale > maxScale {
			return 0
		}
	}
	return uint32(scale)
}

// multiples appends the words of values that are all multiples of 1/scale, to
// within a rounding error. It appends nothing, and returns false, if some are
// not.
func (w *wordWriter) multiples(values []float64, scale uint32) bool {
	base := len(w.words)
	prev, n := int64(0), float64(scale)
	for _, v := range values {
		x := v * n
		if !(math.Abs(x) < 1<<52) { // NaN is not
			w.words = w.words[:base]
			return false
		}
		k := int64(math.RoundToEven(x))
		near := float64(k)
		if scale > 1 { // divisions are slow, and integers frequent
			near /= n
		}
		d := int64(math.Float64bits(v) - math.Float64bits(near))
		if d < -128 || d > 127 {
			w.words = w.words[:base]
			return false
		}
		w.words = append(w.words, zigzag(k-prev)<<8|zigzag(d))
		prev = k
	}
	return true
}

// denominator returns the least n of at most 16 bits by which v is a fraction,
// to within a rounding error, or zero.
func denominator(v float64) uint32 {
	v = math.Abs(v)
	if !(v < 1<<52) {
		return 0
	}
	// Continued fractions: the convergents are the best approximations.
	before, n, x := 0.0, 1.0, v
	for n <= 1<<16 {
		if math.Abs(math.RoundToEven(v*n)/n-v) <= v*0x1p-46 {
			return uint32(n)
		}
		if x -= math.Floor(x); x < 0x1p-46 {
			return 0
		}
		x = 1 / x
		before, n = n, math.Floor(x)*n+before
	}
	return 0
}

func gcd(a, b uint64) uint64 {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}

// wordReader is the inverse of wordWriter for one series.
type wordReader struct {
	scale float64
	bits  uint64
	k     int64
}

func (r *wordReader) value(word uint64) float64 {
	if r.scale == 0 {
		r.bits += uint64(unzigzag(word))
		return math.Float64frombits(r.bits)
	}
	r.k += unzigzag(word >> 8)
	near := float64(r.k)
	if r.scale != 1 {
		near /= r.scale
	}
	return math.Float64frombits(math.Float64bits(near) + uint64(unzigzag(word&0xff)))
}

func zigzag(d int64) uint64   { return uint64(d<<1 ^ d>>63) }
func unzigzag(w uint64) int64 { return int64(w>>1) ^ -int64(w&1) }

// planesOf returns the words as eight planes, in dst if that is large enough:
// the highest byte of every word, then the next, down to the lowest.
func planesOf(dst []byte, words []uint64) []byte {
	n := len(words)
	if cap(dst) < 8*n {
		dst = make([]byte, 8*n)
	}
	dst = dst[:8*n]
	i := 0
	for ; i+8 <= n; i += 8 {
		x := [8]uint64(words[i:])
		transpose(&x)
		for p, plane := range x {
			binary.LittleEndian.PutUint64(dst[(7-p)*n+i:], plane)
		}
	}
	for ; i < n; i++ {
		for p := range 8 {
			dst[(7-p)*n+i] = byte(words[i] >> (8 * p))
		}
	}
	return dst
}

// wordsOf is the inverse of planesOf. The length of planes is a multiple of 8.
func wordsOf(dst []uint64, planes []byte) []uint64 {
	n := len(planes) / 8
	if cap(dst) < n {
		dst = make([]uint64, n)
	}
	dst = dst[:n]
	i := 0
	for ; i+8 <= n; i += 8 {
		x := (*[8]uint64)(dst[i:])
		for p := range x {
			x[p] = binary.LittleEndian.Uint64(planes[(7-p)*n+i:])
		}
		transpose(x)
	}
	for ; i < n; i++ {
		dst[i] = 0
		for p := range 8 {
			dst[i] |= uint64(planes[(7-p)*n+i]) << (8 * p)
		}
	}
	return dst
}

// transpose swaps rows and columns of eight rows of eight bytes, the lowest
// byte of a row being its first: halves, then quarters, then single bytes. It
// is written out for the sake of registers.
func transpose(x *[8]uint64) {
	a, b, c, d, e, f, g, h := x[0], x[1], x[2], x[3], x[4], x[5], x[6], x[7]
	const m4, m2, m1 = 0x00000000ffffffff, 0x0000ffff0000ffff, 0x00ff00ff00ff00ff
	a, e = a&m4|e<<32, a>>32|e&^m4
	b, f = b&m4|f<<32, b>>32|f&^m4
	c, g = c&m4|g<<32, c>>32|g&^m4
	d, h = d&m4|h<<32, d>>32|h&^m4

	a, c = a&m2|c&m2<<16, a>>16&m2|c&^m2
	b, d = b&m2|d&m2<<16, b>>16&m2|d&^m2
	e, g = e&m2|g&m2<<16, e>>16&m2|g&^m2
	f, h = f&m2|h&m2<<16, f>>16&m2|h&^m2

	a, b = a&m1|b&m1<<8, a>>8&m1|b&^m1
	c, d = c&m1|d&m1<<8, c>>8&m1|d&^m1
	e, f = e&m1|f&m1<<8, e>>8&m1|f&^m1
	g, h = g&m1|h&m1<<8, g>>8&m1|h&^m1
	*x = [8]uint64{a, b, c, d, e, f, g, h}
}
