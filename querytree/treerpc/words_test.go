package treerpc

import (
	"encoding/binary"
	"math"
	"testing"

	"github.com/prometheus/prometheus/model/value"
)

// Values of every kind come back to the last bit, through words and planes.
func TestWords(t *testing.T) {
	var odd []float64
	for _, b := range []uint64{0, 1, 1 << 63, math.Float64bits(math.Inf(-1)), value.StaleNaN, value.NormalNaN, math.MaxUint64, 0x7ff8000000000abc} {
		odd = append(odd, math.Float64frombits(b))
	}
	odd = append(odd, math.MaxFloat64, -math.MaxFloat64, math.SmallestNonzeroFloat64, 1<<52, 1<<53, -(1<<52 - 1), 0.1, 1.0/3)
	checkWords(t, "odd", odd)
	for n := range len(odd) {
		checkWords(t, "odd alone", odd[n:n+1])
	}
	for _, kind := range wireKinds {
		checkWords(t, kind.name, kind.values(newWireData(), 241))
	}
}

func checkWords(t *testing.T, name string, values []float64) (scale uint32) {
	t.Helper()
	var w wordWriter
	// Twice, so that the second series can use the first one's scale.
	scale = w.add(values)
	again := w.add(values)
	words := wordsOf(nil, planesOf(nil, w.words))
	for i, word := range w.words {
		if words[i] != word {
			t.Fatalf("%s: word %d is %x after planes, not %x", name, i, words[i], word)
		}
	}
	for _, s := range []uint32{scale, again} {
		r := wordReader{scale: float64(s)}
		for i, v := range values {
			if got := r.value(words[i]); math.Float64bits(got) != math.Float64bits(v) {
				t.Fatalf("%s, scale %d: value %d is %x, not %x", name, s, i, math.Float64bits(got), math.Float64bits(v))
			}
		}
		words = words[len(values):]
	}
	return scale
}

// Multiples of one fraction are found out: what the size of answers rests on.
func TestScale(t *testing.T) {
	for _, test := range []struct {
		name   string
		values []float64
		scale  uint32
	}{
		{"integers", []float64{3, 0, -7, 1 << 40, 12, 99}, 1},
		{"tenths", []float64{0.1, 21.5, -3.2, 21.6}, 10},
		{"fractions of several", []float64{0.5, 1.0 / 3, 0.25, 7}, 12},
		{"noise", []float64{math.Pi, math.E, math.Sqrt2, math.Phi}, 0},
		{"one that is not", []float64{1, 2, 3, 4, 5, 6, 7, math.Pi}, 0},
		{"negative zero", []float64{1, math.Copysign(0, -1)}, 0},
		{"stale", []float64{1, math.Float64frombits(value.StaleNaN)}, 0},
		{"too large", []float64{1 << 53, 1}, 0},
	} {
		if got := checkWords(t, test.name, test.values); got != test.scale {
			t.Errorf("%s: scale %d, want %d", test.name, got, test.scale)
		}
	}
	// Counters scraped on the beat: [5m] holds 20 scrapes, 285 s apart.
	if got := checkWords(t, "rates", newWireData().rates(241, 20, 40, 0)); got != 285 {
		t.Errorf("rates: scale %d", got)
	}
}

func FuzzWords(f *testing.F) {
	f.Add([]byte("\x00\x00\x00\x00\x00\x00\xf0\x3f\x00\x00\x00\x00\x00\x00\x00\x40"))
	f.Fuzz(func(t *testing.T, data []byte) {
		var values []float64
		for ; len(data) >= 8; data = data[8:] {
			values = append(values, math.Float64frombits(binary.LittleEndian.Uint64(data)))
		}
		checkWords(t, "fuzz", values)
	})
}
