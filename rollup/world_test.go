package rollup_test

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/timestamp"
	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
	"github.com/prometheus/prometheus/tsdb/chunks"
	"github.com/prometheus/prometheus/tsdb/tsdbutil"
	"github.com/prometheus/prometheus/util/annotations"
)

// sample is a float or a histogram.
type sample struct {
	t int64
	f float64
	h *histogram.FloatHistogram
}

func (s sample) T() int64                      { return s.t }
func (s sample) ST() int64                     { return 0 }
func (s sample) F() float64                    { return s.f }
func (s sample) H() *histogram.Histogram       { return nil }
func (s sample) FH() *histogram.FloatHistogram { return s.h }
func (s sample) Copy() chunks.Sample           { return s }
func (s sample) Type() chunkenc.ValueType {
	if s.h != nil {
		return chunkenc.ValFloatHistogram
	}
	return chunkenc.ValFloat
}

// world is a storage in memory.
type world struct {
	series    []storage.Series
	constants labels.Labels
	engine    *promql.Engine
}

func (w *world) Querier(int64, int64) (storage.Querier, error) { return querier{w: w}, nil }

type querier struct {
	storage.LabelQuerier
	w *world
}

func (querier) Close() error { return nil }

func (q querier) Select(_ context.Context, _ bool, _ *storage.SelectHints, ms ...*labels.Matcher) storage.SeriesSet {
	set := &seriesSet{}
	for _, s := range q.w.series {
		if !slices.ContainsFunc(ms, func(m *labels.Matcher) bool { return !m.Matches(s.Labels().Get(m.Name)) }) {
			set.series = append(set.series, s)
		}
	}
	return set
}

type seriesSet struct {
	series []storage.Series
	at     int
}

func (s *seriesSet) Next() bool                        { s.at++; return s.at <= len(s.series) }
func (s *seriesSet) At() storage.Series                { return s.series[s.at-1] }
func (s *seriesSet) Err() error                        { return nil }
func (s *seriesSet) Warnings() annotations.Annotations { return nil }

// Metrics of a world: some that are not counters by their name, and one that is.
var metrics = []string{"x", "x_total", "x.y"}

// Times of a world.
const (
	firstSample = int64(1_700_000_040_000)
	lastSample  = firstSample + int64(time.Hour/time.Millisecond)
)

// newWorld returns a storage of random series: of floats mostly, of histograms,
// or of both.
func newWorld(r *rand.Rand, engine *promql.Engine) *world {
	w := &world{engine: engine}
	if r.IntN(2) == 0 {
		w.constants = labels.FromStrings("zone", "eu")
	}
	kind := r.IntN(10)
	seen := map[string]bool{}
	for i := range 6 + r.IntN(24) {
		b := labels.NewBuilder(w.constants)
		b.Set("__name__", metrics[i%len(metrics)]).Set("pod", fmt.Sprint("p", r.IntN(4)))
		b.Set("job", []string{"", "api", "web"}[r.IntN(3)]).Set("code", []string{"", "200", "404", "500"}[r.IntN(4)])
		b.Set("a.b", []string{"", "1", "2"}[r.IntN(3)])
		if w.constants.IsEmpty() {
			b.Set("zone", []string{"", "eu", "us"}[r.IntN(3)])
		}
		if l := b.Labels(); !seen[l.String()] {
			seen[l.String()] = true
			histograms := kind >= 5 && (kind < 9 || r.IntN(2) == 0)
			w.series = append(w.series, storage.NewListSeries(l, randomSamples(r, histograms)))
		}
	}
	return w
}

func randomSamples(r *rand.Rand, histograms bool) (out []chunks.Sample) {
	every := []int64{15_000, 30_000, 60_000}[r.IntN(3)]
	counter, odd, v, n := r.IntN(2) == 0, r.IntN(10) == 0, r.Float64()*10, int64(0)
	custom, coarse := r.IntN(20) == 0, r.IntN(3) == 0
	for t := firstSample + r.Int64N(every); t < lastSample; t += every {
		if r.IntN(30) == 0 {
			out = append(out, sample{t: t, f: math.Float64frombits(value.StaleNaN)})
			t += r.Int64N(600_000)
			continue
		}
		if counter {
			v += float64(r.IntN(5))
		} else {
			v = math.Round(r.NormFloat64()*100) / 8
		}
		if r.IntN(40) == 0 {
			v, n = 0, 0
		}
		f := v
		if odd && r.IntN(8) == 0 {
			f = []float64{math.NaN(), math.Inf(1), math.Inf(-1)}[r.IntN(3)]
		}
		n += r.Int64N(4)
		out = append(out, sample{t: t, f: f})
		if histograms {
			h := tsdbutil.GenerateTestFloatHistogram(n)
			if coarse {
				h = h.CopyToSchema(0)
				h.ZeroThreshold = pick(r, []float64{0.001, 0.01})
			}
			if custom {
				h = tsdbutil.GenerateTestCustomBucketsFloatHistogram(n)
			}
			out[len(out)-1] = sample{t: t, h: h}
		}
	}
	return out
}

// newEngine returns a stock engine.
func newEngine(delayedNames bool) *promql.Engine {
	return promql.NewEngine(promql.EngineOpts{
		MaxSamples: 1e6, Timeout: time.Minute, LookbackDelta: 5 * time.Minute, EnableNegativeOffset: true, EnableDelayedNameRemoval: delayedNames, Parser: queryParser(),
	})
}

func queryParser() parser.Parser {
	return parser.NewParser(parser.Options{EnableExperimentalFunctions: true, ExperimentalDurationExpr: true, EnableExtendedRangeSelectors: true})
}

// steps are when to evaluate, in milliseconds.
type steps struct{ start, end, step int64 }

func (s steps) before(offset int64) steps { return steps{s.start - offset, s.end - offset, s.step} }

func (w *world) eval(t testing.TB, query string, at steps) (promql.Matrix, annotations.Annotations) {
	t.Helper()
	q, err := w.engine.NewRangeQuery(t.Context(), w, nil, query, timestamp.Time(at.start), timestamp.Time(at.end), time.Duration(at.step)*time.Millisecond)
	if err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	defer q.Close()
	res := q.Exec(t.Context())
	m, err := res.Matrix()
	if err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	out := make(promql.Matrix, len(m)) // its points are the engine's again
	for i, s := range m {
		out[i] = promql.Series{Metric: s.Metric, Floats: slices.Clone(s.Floats)}
		for _, p := range s.Histograms {
			out[i].Histograms = append(out[i].Histograms, promql.HPoint{T: p.T, H: p.H.Copy()})
		}
	}
	return out, res.Warnings
}
