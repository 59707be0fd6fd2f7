package querytree

import (
	"errors"
	"math"

	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
)

// resultSeries is a result on a grid as a storage.Series, made so that an instant
// selector reads the result back unchanged: the first step of each gap holds a
// stale marker, lest the lookback delta smears the value before over it. It reads
// the points where they are: a copy of all would be more than they take.
type resultSeries struct {
	s    *promql.Series
	grid grid
	// once: the points are left to the first iterator, and taken by it.
	once, taken bool
}

// errReadTwice: the engine reads a series again of which it is known that it is
// read once. It never does; a series without points would be a wrong answer.
var errReadTwice = errors.New("the answer of a fragment is read twice")

// newGridSeries returns a series of the points of s, which nobody may change.
func newGridSeries(s *promql.Series, g grid) storage.Series { return &resultSeries{s: s, grid: g} }

// Labels implements storage.Series.
func (r *resultSeries) Labels() labels.Labels { return r.s.Metric }

// Iterator implements storage.Series.
func (r *resultSeries) Iterator(it chunkenc.Iterator) chunkenc.Iterator {
	i, ok := it.(*resultIterator)
	if !ok {
		i = &resultIterator{}
	}
	*i = resultIterator{floats: r.s.Floats, histograms: r.s.Histograms, grid: r.grid}
	if r.taken {
		i.err = errReadTwice
	}
	if r.once {
		r.taken, r.s.Floats, r.s.Histograms = true, nil, nil
	}
	return i
}

// resultIterator iterates over points in the order of their times. Histograms are
// copied, since the engine may change what it reads.
type resultIterator struct {
	floats     []promql.FPoint // that are left
	histograms []promql.HPoint
	grid       grid

	begun bool
	kind  chunkenc.ValueType
	t     int64
	v     float64
	h     *histogram.FloatHistogram
	stale bool
	err   error
}

// Next implements chunkenc.Iterator.
func (r *resultIterator) Next() chunkenc.ValueType {
	next, some := r.peek()
	switch gap := r.t + r.grid.step; {
	case r.kind != chunkenc.ValNone && !r.stale && r.grid.step > 0 && gap <= r.grid.end && (!some || next > gap):
		r.t, r.v, r.h, r.stale, r.kind = gap, math.Float64frombits(value.StaleNaN), nil, true, chunkenc.ValFloat
	case !some:
		r.kind = chunkenc.ValNone
	case len(r.floats) > 0 && r.floats[0].T == next:
		r.t, r.v, r.h, r.stale, r.kind = next, r.floats[0].F, nil, false, chunkenc.ValFloat
		r.floats = r.floats[1:]
	default:
		r.t, r.h, r.stale, r.kind = next, r.histograms[0].H, false, chunkenc.ValFloatHistogram
		r.histograms = r.histograms[1:]
	}
	r.begun = true
	return r.kind
}

// peek returns the time of the next point, if there is one.
func (r *resultIterator) peek() (t int64, some bool) {
	t = math.MaxInt64
	if len(r.floats) > 0 {
		t = r.floats[0].T
	}
	if len(r.histograms) > 0 {
		t = min(t, r.histograms[0].T)
	}
	return t, len(r.floats)+len(r.histograms) > 0
}

// Seek implements chunkenc.Iterator.
func (r *resultIterator) Seek(t int64) chunkenc.ValueType {
	if !r.begun {
		r.Next()
	}
	for r.kind != chunkenc.ValNone && r.t < t {
		r.Next()
	}
	return r.kind
}

// At implements chunkenc.Iterator.
func (r *resultIterator) At() (int64, float64) { return r.t, r.v }

// AtHistogram implements chunkenc.Iterator.
func (r *resultIterator) AtHistogram(*histogram.Histogram) (int64, *histogram.Histogram) {
	return r.t, nil
}

// AtFloatHistogram implements chunkenc.Iterator.
func (r *resultIterator) AtFloatHistogram(fh *histogram.FloatHistogram) (int64, *histogram.FloatHistogram) {
	if fh == nil {
		return r.t, r.h.Copy()
	}
	r.h.CopyTo(fh)
	return r.t, fh
}

// AtT implements chunkenc.Iterator.
func (r *resultIterator) AtT() int64 { return r.t }

// AtST implements chunkenc.Iterator.
func (r *resultIterator) AtST() int64 { return 0 }

// Err implements chunkenc.Iterator.
func (r *resultIterator) Err() error { return r.err }
