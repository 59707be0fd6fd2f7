package querytree

import (
	"math"
	"math/rand"
	"slices"
	"testing"

	"github.com/prometheus/prometheus/promql"
)

// However a series is held, as a row, as runs or by step, its values come back at
// their steps, to the bit, but for the bits of a NaN.
func TestValuesOfAGroupComeBack(t *testing.T) {
	const steps, series = 241, 600
	on, rnd := grid{30_000, 30_000 + (steps-1)*15_000, 15_000}, rand.New(rand.NewSource(5))
	signalling := math.Float64frombits(absentBits)
	kinds := []func(i int) (float64, bool){
		func(int) (float64, bool) { return rnd.NormFloat64(), true },
		func(int) (float64, bool) { return rnd.NormFloat64(), rnd.Intn(3) > 0 },
		func(i int) (float64, bool) { return float64(i / 60), true },
		func(i int) (float64, bool) { return 7, i >= 20 && i < 230 },
		func(i int) (float64, bool) { return math.Copysign(0, float64(i%100-50)), i/40%2 == 0 },
		func(i int) (float64, bool) { return signalling, i%7 > 0 },
		func(i int) (float64, bool) { return math.NaN(), true },
		func(i int) (float64, bool) { return float64(i), i%50 == 3 },
		func(int) (float64, bool) { return 0, false },
		func(i int) (float64, bool) { return math.Inf(i%2*2 - 1), true },
	}
	want := make([][]uint64, steps)
	g, row := groupValues{steps: steps}, &quantileRow{}
	for range series {
		kind := kinds[rnd.Intn(len(kinds))]
		var points []promql.FPoint
		for i := range steps {
			if v, ok := kind(i); ok {
				points = append(points, promql.FPoint{T: on.time(i), F: v})
				want[i] = append(want[i], comparable64(v))
			}
		}
		g.add(on, points, row)
	}
	got := make([][]uint64, steps)
	g.eachStep(&gathered{}, func(i int, values []float64) {
		for _, v := range values {
			got[i] = append(got[i], comparable64(v))
		}
		clear(values) // they are the caller's to change
	})
	for i := range want {
		slices.Sort(want[i])
		slices.Sort(got[i])
		if !slices.Equal(want[i], got[i]) {
			t.Fatalf("step %d: %d values, want %d, or others", i, len(got[i]), len(want[i]))
		}
	}
	if len(g.rows) < 3 || len(g.runs) < 2 || g.sparse == nil {
		t.Errorf("%d blocks of rows, %d of runs, sparse %v: the test does not try all", len(g.rows), len(g.runs), g.sparse != nil)
	}
}

// comparable64 is a value's bits, all NaN being alike.
func comparable64(v float64) uint64 {
	if math.IsNaN(v) {
		v = math.NaN()
	}
	return math.Float64bits(v)
}

// A series that stands still takes little.
func TestRunsTakeLittle(t *testing.T) {
	const steps, series = 241, 10_000
	on := grid{0, (steps - 1) * 1000, 1000}
	g, row := groupValues{steps: steps}, &quantileRow{}
	points := make([]promql.FPoint, steps)
	for i := range points {
		points[i] = promql.FPoint{T: on.time(i), F: float64(min(i, 10))}
	}
	for range series {
		g.add(on, points, row)
	}
	held := 0
	for _, b := range append(slices.Clone(g.rows), g.runs...) {
		held += 8 * cap(b)
	}
	if per := held / series; per > 8*steps/8 {
		t.Errorf("%d bytes held for each series of %d points in 11 runs", per, steps)
	}
}
