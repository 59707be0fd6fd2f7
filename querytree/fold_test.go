package querytree

import (
	"errors"
	"fmt"
	"math"
	"math/rand"
	"slices"
	"testing"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/tsdb/tsdbutil"
)

// folded says how an aggregation is folded: which operators children answer
// with, and which is made of them.
var folded = []struct {
	op, final string
	ops       []string
}{
	{"sum", "", []string{"sum"}},
	{"count", "", []string{"count"}},
	{"min", "", []string{"min"}},
	{"max", "", []string{"max"}},
	{"group", "", []string{"group"}},
	{"avg", "avg", []string{"sum", "count"}},
	{"stddev", "stddev", []string{"count", "avg", "stddev"}},
	{"stdvar", "stdvar", []string{"count", "avg", "stdvar"}},
}

// ofLeaf is a leaf's answer to several operators, in the form that a parent
// folds.
func ofLeaf(tb testing.TB, e *promql.Engine, b bundle, ops []string) promql.Matrix {
	tb.Helper()
	var out promql.Matrix
	for _, op := range ops {
		for _, s := range stock(tb, e, b, op+" by (g) (x)") {
			if len(ops) > 1 {
				s.Metric = withOp(s.Metric, op)
			}
			out = append(out, s)
		}
	}
	sortSeries(out)
	return out
}

// foldParts folds answers as one tier does. With a final operator it returns
// what that makes of them, else what its parent folds further.
func foldParts(ops []string, final string, parts []promql.Matrix) (promql.Matrix, error) {
	f := newFold(ops, grid{0, (steps - 1) * 1000, 1000}, 0, "")
	for _, p := range parts {
		if err := f.add(p); err != nil {
			return nil, err
		}
	}
	switch final {
	case "":
		m, hists, err := f.result()
		if err == nil && len(hists) > 0 {
			err = errors.New("histograms from nowhere")
		}
		return m, err
	case "avg":
		return f.averages()
	default:
		return f.spreads(final)
	}
}

// foldTree folds over tiers: leaves below zones below the root.
func foldTree(tb testing.TB, e *promql.Engine, ops []string, final string, zones [][]bundle) (promql.Matrix, error) {
	tb.Helper()
	var atRoot []promql.Matrix
	for _, zone := range zones {
		var parts []promql.Matrix
		for _, leaf := range zone {
			parts = append(parts, ofLeaf(tb, e, leaf, ops))
		}
		m, err := foldParts(ops, "", parts)
		if err != nil {
			return nil, err
		}
		atRoot = append(atRoot, m)
	}
	return foldParts(ops, final, atRoot)
}

// closeTo reports whether two values differ by rounding, or by what denormals
// cannot hold.
func closeTo(want, got, tolerance float64) bool {
	switch {
	case math.IsNaN(want) || math.IsNaN(got):
		return math.IsNaN(want) && math.IsNaN(got)
	case want == got:
		return true
	case math.IsInf(want, 0) || math.IsInf(got, 0):
		return false
	}
	return math.Abs(want-got) <= tolerance*max(math.Abs(want), math.Abs(got))
}

// diffFolded compares two answers series by series.
func diffFolded(want, got promql.Matrix, tolerance float64) string {
	if len(want) != len(got) {
		return fmt.Sprintf("want %v\ngot  %v", want, got)
	}
	for i, w := range want {
		g := got[i]
		if !labels.Equal(w.Metric, g.Metric) || len(w.Floats) != len(g.Floats) {
			return fmt.Sprintf("want %v\ngot  %v", w, g)
		}
		for j, p := range w.Floats {
			if p.T != g.Floats[j].T || !closeTo(p.F, g.Floats[j].F, tolerance) {
				return fmt.Sprintf("%s at %d: want %v, got %v", w.Metric, p.T, p.F, g.Floats[j].F)
			}
		}
	}
	return ""
}

// orderMattersTo reports whether the engine's own answer depends on the order of
// series, and may be got: a sum may overflow on the way or not.
func orderMattersTo(tb testing.TB, e *promql.Engine, rnd *rand.Rand, all bundle, op string, got promql.Matrix) bool {
	tb.Helper()
	seen := map[string]bool{}
	for range 100 {
		shuffled := slices.Clone(all)
		rnd.Shuffle(len(shuffled), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
		for _, s := range stock(tb, e, shuffled, op+" by (g) (x)") {
			for _, p := range s.Floats {
				seen[fmt.Sprintf("%s %d %.12g", s.Metric, p.T, p.F)] = true
			}
		}
	}
	for _, s := range got {
		for _, p := range s.Floats {
			if !seen[fmt.Sprintf("%s %d %.12g", s.Metric, p.T, p.F)] {
				return false
			}
		}
	}
	return true
}

// Whatever the values and however they are spread over parts, and parts of
// parts, a fold is what the engine makes of all of them, or says that it cannot
// tell; and of ordinary values it can.
func TestFoldIsTheEngines(t *testing.T) {
	rnd, e := rand.New(rand.NewSource(1)), newStock()
	for flavour := range flavours {
		refused, total := map[string]int{}, 0
		for range rounds {
			all := bundleOf(rnd, flavour, 1+rnd.Intn(30))
			var zones [][]bundle
			for _, zone := range all.cut(rnd, 1+rnd.Intn(3)) {
				zones = append(zones, zone.cut(rnd, 1+rnd.Intn(4)))
			}
			total++
			for _, c := range folded {
				want := stock(t, e, all, c.op+" by (g) (x)")
				got, err := foldTree(t, e, c.ops, c.final, zones)
				if err != nil {
					refused[c.op]++
					continue
				}
				if d := diffFolded(want, got, 1e-12); d != "" && !orderMattersTo(t, e, rnd, all, c.op, got) {
					t.Errorf("values of kind %d: %s of %d series: %s", flavour, c.op, len(all), d)
				}
			}
		}
		t.Logf("values of kind %d: could not be merged, of %d: %v", flavour, total, refused)
		for op, n := range refused {
			ordinary := flavour == 0 || flavour == 1 || flavour == 9
			if n*10 > total && ordinary || slices.Contains([]string{"count", "min", "max", "group"}, op) {
				t.Errorf("values of kind %d: %d of %d could not be merged by %s", flavour, n, total, op)
			}
		}
	}
}

// The same of thousands of series, whose sums round more.
func TestFoldOfManySeries(t *testing.T) {
	rnd, e := rand.New(rand.NewSource(2)), newStock()
	for flavour := range 4 {
		all := bundleOf(rnd, flavour, 3000)
		var zones [][]bundle
		for _, zone := range all.cut(rnd, 3) {
			zones = append(zones, zone.cut(rnd, 5))
		}
		for _, c := range folded {
			got, err := foldTree(t, e, c.ops, c.final, zones)
			if err != nil {
				t.Logf("values of kind %d: %s: %v", flavour, c.op, err)
				continue
			}
			if d := diffFolded(stock(t, e, all, c.op+" by (g) (x)"), got, 1e-9); d != "" {
				t.Errorf("values of kind %d: %s: %s", flavour, c.op, d)
			}
		}
	}
}

// What does not belong together is refused, not merged.
func TestFoldRefuses(t *testing.T) {
	g := grid{0, 2000, 1000}
	hist := []promql.HPoint{{T: 0, H: tsdbutil.GenerateTestFloatHistogram(1)}}
	float := []promql.FPoint{{T: 0, F: 1}}
	of := func(op string, f []promql.FPoint, h []promql.HPoint) promql.Series {
		return promql.Series{Metric: labels.FromStrings(OpLabel, op), Floats: f, Histograms: h}
	}
	bare := func(f []promql.FPoint, h []promql.HPoint) promql.Series {
		return promql.Series{Floats: f, Histograms: h}
	}
	for name, c := range map[string]struct {
		ops   []string
		parts []promql.Matrix
		is    error
	}{
		"floats, then histograms":      {[]string{"sum"}, []promql.Matrix{{bare(float, nil)}, {bare(nil, hist)}}, errMixed},
		"histograms, then floats":      {[]string{"sum"}, []promql.Matrix{{bare(nil, hist)}, {bare(float, nil)}}, errMixed},
		"both in one part":             {[]string{"sum"}, []promql.Matrix{{bare(float, hist)}}, errMixed},
		"histograms after two floats":  {[]string{"max"}, []promql.Matrix{{bare(float, nil)}, {bare(float, nil)}, {bare(nil, hist)}}, errMixed},
		"a sum of histograms":          {[]string{"sum", "count"}, []promql.Matrix{{of("sum", nil, hist), of("count", float, nil)}}, errMixed},
		"a count without a sum":        {[]string{"sum", "count"}, []promql.Matrix{{of("count", float, nil)}}, errMixed},
		"a sum without a count":        {[]string{"sum", "count"}, []promql.Matrix{{of("sum", float, nil)}}, errMixed},
		"a count without a mean":       {[]string{"count", "avg", "stddev"}, []promql.Matrix{{of("count", float, nil), of("stddev", float, nil)}}, errMixed},
		"an operator nobody asked for": {[]string{"sum", "count"}, []promql.Matrix{{of("max", float, nil)}}, ErrUnavailable},
		"no operator":                  {[]string{"sum", "count"}, []promql.Matrix{{bare(float, nil)}}, ErrUnavailable},
	} {
		f := newFold(c.ops, g, 0, "")
		var err error
		for _, p := range c.parts {
			if err = f.add(p); err != nil {
				break
			}
		}
		if !errors.Is(err, c.is) {
			t.Errorf("%s: want %v, got %v", name, c.is, err)
		}
	}
	q := newQuantileFold(&Fragment{q: 0.5}, g)
	if err := q.add(promql.Matrix{bare(nil, hist)}); !errors.Is(err, errMixed) {
		t.Errorf("a quantile of histograms: %v", err)
	}
}

// A fold holds as much as its answer, not as its parts.
func TestFoldIsOfTheSizeOfTheAnswer(t *testing.T) {
	f := newFold([]string{"max"}, grid{0, 2000, 1000}, 0, "")
	for i := range 1000 {
		part := promql.Matrix{{Metric: labels.FromStrings("g", fmt.Sprint(i%5)), Floats: []promql.FPoint{{T: 0, F: 1}, {T: 1000, F: 2}}}}
		if err := f.add(part); err != nil {
			t.Fatal(err)
		}
	}
	if f.held().points > 5*(2+steps) {
		t.Errorf("%+v held for an answer of 10 points", f.held())
	}
}

// Any values, in any parts: the engine's answer, or none. Values stay where one
// engine's own sums cannot overflow.
func FuzzFold(f *testing.F) {
	for flavour := range flavours {
		f.Add(int64(flavour), bytesOf(values(rand.New(rand.NewSource(1)), flavour, 21)...))
	}
	e := newStock()
	f.Fuzz(func(t *testing.T, seed int64, data []byte) {
		rnd := rand.New(rand.NewSource(seed))
		values := floatsOf(data[:min(len(data), 8*steps*100)])
		var all bundle
		for i := 0; len(values) >= steps; i++ {
			s := gridValues{lset: labels.FromStrings("g", fmt.Sprint(rnd.Intn(2)), "i", fmt.Sprint(i)), v: values[:steps], has: make([]bool, steps)}
			for j, v := range s.v {
				s.has[j] = rnd.Intn(10) > 0 && !value.IsStaleNaN(v) && !(math.Abs(v) > 1e100 && !math.IsInf(v, 0)) && !(v != 0 && math.Abs(v) < 1e-100)
			}
			all, values = append(all, s), values[steps:]
		}
		leaves := all.cut(rnd, 1+rnd.Intn(6))
		for _, c := range folded {
			// One tier: sums that cancel in each of several lose digits in each.
			var parts []promql.Matrix
			for _, leaf := range leaves {
				parts = append(parts, ofLeaf(t, e, leaf, c.ops))
			}
			got, err := foldParts(c.ops, c.final, parts)
			if err != nil {
				continue
			}
			if d := diffFolded(stock(t, e, all, c.op+" by (g) (x)"), got, 2e-12); d != "" {
				t.Errorf("%s of %v in %d parts: %s", c.op, all, len(leaves), d)
			}
		}
	})
}

// Points are decoded where others were that have been merged. A point that is kept
// does not keep the room of all the others, which goes on being used.
func TestFoldKeepsNoMoreRoomThanItNeeds(t *testing.T) {
	f := newFold([]string{"sum"}, grid{0, 999_000, 1000}, 0, "")
	series := []promql.Series{
		{Metric: labels.FromStrings("g", "rare"), Floats: append(make([]promql.FPoint, 0, 1000), promql.FPoint{T: 0, F: 1})},
		{Metric: labels.FromStrings("g", "dense"), Floats: make([]promql.FPoint, 1000)},
	}
	for i := range series[1].Floats {
		series[1].Floats[i].T = int64(i) * 1000
	}
	if err := f.add(series); err != nil {
		t.Fatal(err)
	}
	if series[0].Floats == nil || series[1].Floats != nil {
		t.Errorf("left of the points: room for %d and for %d", cap(series[0].Floats), cap(series[1].Floats))
	}
	m, _, err := f.result()
	if err != nil || len(m) != 2 || cap(m[1].Floats) > 2 || m[1].Floats[0].F != 1 {
		t.Errorf("%v, %v", m, err)
	}
}
