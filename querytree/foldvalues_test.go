package querytree

import (
	"context"
	"fmt"
	"math"
	"math/rand"
	"slices"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
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

func cloneMatrix(m promql.Matrix) promql.Matrix {
	out := make(promql.Matrix, len(m))
	for i, s := range m {
		out[i] = promql.Series{Metric: s.Metric, Floats: slices.Clone(s.Floats), Histograms: make([]promql.HPoint, len(s.Histograms))}
		for j, p := range s.Histograms {
			out[i].Histograms[j] = promql.HPoint{T: p.T, H: p.H.Copy()}
		}
		if len(s.Histograms) == 0 {
			out[i].Histograms = nil
		}
	}
	return out
}
