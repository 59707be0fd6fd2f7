package querytree

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/rand"
	"slices"
	"testing"

	"github.com/prometheus/prometheus/promql"
)

// quantileBySorting is the engine's definition, by sorting.
func quantileBySorting(q float64, values []float64) float64 {
	sorted := slices.Clone(values)
	slices.SortFunc(sorted, func(a, b float64) int {
		switch {
		case math.IsNaN(a) && math.IsNaN(b), a == b:
			return 0
		case math.IsNaN(a) || a < b:
			return -1
		default:
			return 1
		}
	})
	rank := q * (float64(len(sorted)) - 1)
	lower := int(math.Floor(rank))
	upper := min(len(sorted)-1, lower+1)
	weight := rank - math.Floor(rank)
	return sorted[lower]*(1-weight) + sorted[upper]*weight
}

// sameFloat: equal, or both not a number.
func sameFloat(a, b float64) bool { return a == b || math.IsNaN(a) && math.IsNaN(b) }

// Selecting finds what sorting finds, to the bit, and what the engine does.
func TestQuantileIsTheEngines(t *testing.T) {
	rnd, e := rand.New(rand.NewSource(3)), newStock()
	for flavour := range flavours {
		for range rounds {
			q := []float64{0, 1, 0.5, 0.9, rnd.Float64()}[rnd.Intn(5)]
			all := bundleOf(rnd, flavour, 1+rnd.Intn(200))
			f := newQuantileFold(&Fragment{q: q, grouping: []string{"g"}}, grid{0, (steps - 1) * 1000, 1000})
			for _, part := range all.cut(rnd, 1+rnd.Intn(5)) {
				var m promql.Matrix
				for _, s := range part {
					series := promql.Series{Metric: s.lset}
					for i, v := range s.v {
						if s.has[i] {
							series.Floats = append(series.Floats, promql.FPoint{T: int64(i) * 1000, F: v})
						}
					}
					m = append(m, series)
				}
				if err := f.add(m); err != nil {
					t.Fatal(err)
				}
			}
			want := stock(t, e, all, fmt.Sprintf("quantile by (g) (%v, x)", q))
			if d := diffFolded(want, f.result(), 0); d != "" {
				t.Errorf("values of kind %d, %d series, q %v: %s", flavour, len(all), q, d)
			}
		}
	}
}

// Inputs that are hard on selection: sorted, reversed, equal, organ pipes.
func TestQuantileOfPatterns(t *testing.T) {
	const n = 5000
	for name, at := range map[string]func(i int) float64{
		"sorted":      func(i int) float64 { return float64(i) },
		"reversed":    func(i int) float64 { return float64(-i) },
		"equal":       func(int) float64 { return 0.1 },
		"two":         func(i int) float64 { return float64(i % 2) },
		"organ pipes": func(i int) float64 { return float64(min(i, n-i)) },
		"saw":         func(i int) float64 { return float64(i % 71) },
		"half NaN": func(i int) float64 {
			if i%2 == 0 {
				return math.NaN()
			}
			return float64(i * 7919 % n)
		},
	} {
		values := make([]float64, n)
		for i := range values {
			values[i] = at(i)
		}
		for _, q := range []float64{0, 0.001, 0.5, 0.51, 0.999, 1} {
			if got, want := quantileOf(q, slices.Clone(values)), quantileBySorting(q, values); !sameFloat(got, want) {
				t.Errorf("%s, q %v: want %v, got %v", name, q, want, got)
			}
		}
	}
}

// floatsOf reads floats of any bits.
func floatsOf(data []byte) []float64 {
	var out []float64
	for ; len(data) >= 8; data = data[8:] {
		out = append(out, math.Float64frombits(binary.LittleEndian.Uint64(data)))
	}
	return out
}

func bytesOf(values ...float64) []byte {
	var out []byte
	for _, v := range values {
		out = binary.LittleEndian.AppendUint64(out, math.Float64bits(v))
	}
	return out
}

func FuzzQuantileOf(f *testing.F) {
	f.Add(0.5, bytesOf(1, 2, 3))
	f.Add(0.9, bytesOf(math.NaN(), 1, math.Inf(1), math.Inf(-1), 0, math.NaN()))
	f.Add(1.0, bytesOf(values(rand.New(rand.NewSource(1)), 9, 40)...))
	f.Fuzz(func(t *testing.T, q float64, data []byte) {
		values := floatsOf(data)
		if len(values) == 0 || !(q >= 0 && q <= 1) {
			return
		}
		want := quantileBySorting(q, values)
		if got := quantileOf(q, values); !sameFloat(got, want) {
			t.Errorf("q %v of %v: want %v, got %v", q, floatsOf(data), want, got)
		}
	})
}
