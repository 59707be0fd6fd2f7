package querytree

import (
	"cmp"
	"math"
	"slices"
	"sort"

	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
)

// grid holds the evaluation times of a request, in milliseconds; step is zero
// for an instant.
type grid struct{ start, end, step int64 }

// gridSeries is a result on a grid as a storage.Series, made so that an instant
// selector reads the result back unchanged: the first step of each gap holds a
// stale marker, lest the lookback delta smears the value before over it.
type gridSeries struct {
	lset    labels.Labels
	samples []gridSample
}

type gridSample struct {
	t int64
	f float64
	h *histogram.FloatHistogram
}

// gridSampleBytes is the size of a gridSample.
const gridSampleBytes = 24

func newGridSeries(s promql.Series, g grid) *gridSeries {
	points := make([]gridSample, 0, len(s.Floats)+len(s.Histograms)+4)
	for _, p := range s.Floats {
		points = append(points, gridSample{t: p.T, f: p.F})
	}
	for _, p := range s.Histograms {
		points = append(points, gridSample{t: p.T, h: p.H})
	}
	byTime := func(a, b gridSample) int { return cmp.Compare(a.t, b.t) }
	if len(s.Histograms) > 0 {
		slices.SortFunc(points, byTime)
	}
	if n := len(points); g.step > 0 {
		for i := range n {
			if next := points[i].t + g.step; next <= g.end && (i == n-1 || points[i+1].t > next) {
				points = append(points, gridSample{t: next, f: math.Float64frombits(value.StaleNaN)})
			}
		}
		if len(points) > n {
			slices.SortFunc(points, byTime)
		}
	}
	return &gridSeries{lset: s.Metric, samples: points}
}

// Labels implements storage.Series.
func (s *gridSeries) Labels() labels.Labels { return s.lset }

// Iterator implements storage.Series.
func (s *gridSeries) Iterator(it chunkenc.Iterator) chunkenc.Iterator {
	g, ok := it.(*gridIterator)
	if !ok {
		g = &gridIterator{}
	}
	g.samples, g.i = s.samples, -1
	return g
}

// gridIterator iterates over the samples of a gridSeries. Histograms are
// copied, since the engine may change what it reads.
type gridIterator struct {
	samples []gridSample
	i       int
}

func (g *gridIterator) typ() chunkenc.ValueType {
	switch {
	case g.i >= len(g.samples):
		return chunkenc.ValNone
	case g.samples[g.i].h != nil:
		return chunkenc.ValFloatHistogram
	default:
		return chunkenc.ValFloat
	}
}

func (g *gridIterator) Next() chunkenc.ValueType {
	if g.i < len(g.samples) {
		g.i++
	}
	return g.typ()
}

func (g *gridIterator) Seek(t int64) chunkenc.ValueType {
	g.i = max(g.i, 0)
	if g.i < len(g.samples) && g.samples[g.i].t < t {
		rest := g.samples[g.i:]
		g.i += sort.Search(len(rest), func(i int) bool { return rest[i].t >= t })
	}
	return g.typ()
}

func (g *gridIterator) At() (int64, float64) { return g.samples[g.i].t, g.samples[g.i].f }

func (g *gridIterator) AtHistogram(*histogram.Histogram) (int64, *histogram.Histogram) {
	return g.samples[g.i].t, nil
}

func (g *gridIterator) AtFloatHistogram(fh *histogram.FloatHistogram) (int64, *histogram.FloatHistogram) {
	s := g.samples[g.i]
	if fh == nil {
		return s.t, s.h.Copy()
	}
	s.h.CopyTo(fh)
	return s.t, fh
}

func (g *gridIterator) AtT() int64  { return g.samples[g.i].t }
func (g *gridIterator) AtST() int64 { return 0 }
func (g *gridIterator) Err() error  { return nil }
