package querytree

import (
	"sort"

	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
)

// grid holds the evaluation times of a request, in milliseconds; step is zero
// for an instant.
type grid struct{ start, end, step int64 }

// gridSeries is samples as a storage.Series.
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
