package querytree

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"math/rand"
	"slices"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
	"github.com/prometheus/prometheus/tsdb/tsdbutil"
	"github.com/prometheus/prometheus/util/annotations"
)

// bundle are series of floats on a grid of seconds, as a storage. NaN is a value
// like any other; where has is not set, there is none.
type bundle []gridValues

type gridValues struct {
	lset labels.Labels
	v    []float64
	has  []bool
}

func (b bundle) Querier(int64, int64) (storage.Querier, error) { return bundleQuerier{b: b}, nil }

type bundleQuerier struct {
	storage.LabelQuerier
	b bundle
}

func (q bundleQuerier) Close() error { return nil }

func (q bundleQuerier) Select(context.Context, bool, *storage.SelectHints, ...*labels.Matcher) storage.SeriesSet {
	all := []storage.Series{nil} // which the first Next leaves behind
	for _, s := range q.b {
		g := &gridSeries{lset: s.lset}
		for i, v := range s.v {
			if s.has[i] {
				g.samples = append(g.samples, gridSample{t: int64(i) * 1000, f: v})
			}
		}
		all = append(all, &storage.SeriesEntry{Lset: s.lset, SampleIteratorFn: func(it chunkenc.Iterator) chunkenc.Iterator { return g.Iterator(it) }})
	}
	return &bundleSet{all: all}
}

type bundleSet struct{ all []storage.Series }

func (s *bundleSet) Next() bool {
	if len(s.all) == 0 {
		return false
	}
	s.all = s.all[1:]
	return len(s.all) > 0
}

func (s *bundleSet) At() storage.Series                { return s.all[0] }
func (s *bundleSet) Err() error                        { return nil }
func (s *bundleSet) Warnings() annotations.Annotations { return nil }

// steps is how many evaluation times a bundle has.
const steps = 3

// stock evaluates an aggregation of a bundle with the stock engine, which sees
// no sample but those of the very step.
func stock(tb testing.TB, e *promql.Engine, b bundle, query string) promql.Matrix {
	tb.Helper()
	opts := promql.NewPrometheusQueryOpts(false, time.Millisecond)
	q, err := e.NewRangeQuery(tb.Context(), b, opts, query, time.UnixMilli(0), time.UnixMilli((steps-1)*1000), time.Second)
	if err != nil {
		tb.Fatal(err)
	}
	defer q.Close()
	res := q.Exec(tb.Context())
	m, err := res.Matrix()
	if err != nil {
		tb.Fatalf("%s: %v", query, err)
	}
	m = cloneMatrix(m)
	sortSeries(m)
	return m
}

func newStock() *promql.Engine {
	cfg := MixerConfig{Limits: DefaultLimits(), Lookback: time.Minute, SubqueryStep: time.Minute}
	return promql.NewEngine(EngineOpts(cfg, NewParser()))
}

// values are of all kinds that a float can be; flavour says which prevail.
func values(rnd *rand.Rand, flavour, n int) []float64 {
	constant := []float64{0.1, 1, 3e-7, 1e15, -0.1, 0}[rnd.Intn(6)]
	out := make([]float64, n)
	for i := range out {
		switch flavour {
		case 0:
			out[i] = rnd.Float64() * 1000
		case 1:
			out[i] = rnd.NormFloat64()
		case 2:
			out[i] = constant
		case 3: // of many magnitudes
			out[i] = rnd.NormFloat64() * math.Pow(10, float64(rnd.Intn(40)-20))
		case 4: // a large mean
			out[i] = 1e9 + rnd.Float64()
		case 5: // denormals
			out[i] = math.SmallestNonzeroFloat64 * float64(rnd.Intn(1000))
		case 6: // huge
			out[i] = (rnd.Float64() - 0.3) * math.MaxFloat64
		case 7: // whatever
			out[i] = []float64{math.NaN(), math.Inf(1), math.Inf(-1), 0, math.Copysign(0, -1), 1, -1, 1e300, 0.1}[rnd.Intn(9)]
		case 8: // rarely not finite
			if out[i] = float64(rnd.Intn(50)); rnd.Intn(10) == 0 {
				out[i] = []float64{math.NaN(), math.Inf(1), math.Inf(-1)}[rnd.Intn(3)]
			}
		default:
			out[i] = float64(rnd.Intn(5))
		}
	}
	return out
}

const flavours = 10

// rounds is how often each is tried.
const rounds = 60

// bundleOf returns n series in some groups, a tenth of their values missing.
func bundleOf(rnd *rand.Rand, flavour, n int) bundle {
	b := make(bundle, n)
	all := values(rnd, flavour, n*steps)
	for i := range b {
		s := gridValues{lset: labels.FromStrings("g", fmt.Sprint(rnd.Intn(2)), "i", fmt.Sprint(i)), v: all[i*steps : (i+1)*steps], has: make([]bool, steps)}
		for j := range s.has {
			s.has[j] = rnd.Intn(10) > 0
		}
		b[i] = s
	}
	return b
}

// cut spreads a bundle over parts, some of which may stay empty.
func (b bundle) cut(rnd *rand.Rand, parts int) []bundle {
	out := make([]bundle, parts)
	for _, s := range b {
		i := rnd.Intn(parts)
		out[i] = append(out[i], s)
	}
	return out
}

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
	f := newFold(ops, grid{0, (steps - 1) * 1000, 1000})
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
		f := newFold(c.ops, g)
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
	f := newFold([]string{"max"}, grid{0, 2000, 1000})
	for i := range 1000 {
		part := promql.Matrix{{Metric: labels.FromStrings("g", fmt.Sprint(i%5)), Floats: []promql.FPoint{{T: 0, F: 1}, {T: 1000, F: 2}}}}
		if err := f.add(part); err != nil {
			t.Fatal(err)
		}
	}
	if f.held() > 5*(2+steps) {
		t.Errorf("%d points held for an answer of 10", f.held())
	}
}

// sortedQuantile is the engine's definition, by sorting.
func sortedQuantile(q float64, values []float64) float64 {
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
			if got, want := quantileOf(q, slices.Clone(values)), sortedQuantile(q, values); !sameFloat(got, want) {
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
		want := sortedQuantile(q, values)
		if got := quantileOf(q, values); !sameFloat(got, want) {
			t.Errorf("q %v of %v: want %v, got %v", q, floatsOf(data), want, got)
		}
	})
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
