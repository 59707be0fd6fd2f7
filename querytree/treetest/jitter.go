package treetest

import (
	"context"
	"hash/fnv"
	"math"

	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
)

// jittered is a storage whose series are scaled by a factor that differs from one
// by some units of the last place, each by one of its own: what an answer makes
// of that is what it makes of the rounding of partial results. All samples of a
// series are scaled alike, or a counter that stands still would be reset.
type jittered struct {
	storage.Queryable
	seed int64
}

// Querier implements storage.Queryable.
func (j jittered) Querier(mint, maxt int64) (storage.Querier, error) {
	q, err := j.Queryable.Querier(mint, maxt)
	if err != nil {
		return nil, err
	}
	return jitteredQuerier{q, j.seed}, nil
}

type jitteredQuerier struct {
	storage.Querier
	seed int64
}

// Select implements storage.Querier.
func (q jitteredQuerier) Select(ctx context.Context, sorted bool, hints *storage.SelectHints, ms ...*labels.Matcher) storage.SeriesSet {
	return jitteredSet{q.Querier.Select(ctx, sorted, hints, ms...), q.seed}
}

type jitteredSet struct {
	storage.SeriesSet
	seed int64
}

// At implements storage.SeriesSet.
func (s jitteredSet) At() storage.Series {
	series := s.SeriesSet.At()
	h := fnv.New64a()
	h.Write([]byte(series.Labels().String()))
	const most = 4 // units of the last place, either way
	units := int64((h.Sum64()^uint64(s.seed)*0x9e3779b97f4a7c15)>>32%(2*most+1)) - most
	return jitteredSeries{series, 1 + float64(units)*0x1p-52}
}

type jitteredSeries struct {
	storage.Series
	factor float64
}

// Iterator implements storage.Series.
func (s jitteredSeries) Iterator(it chunkenc.Iterator) chunkenc.Iterator {
	if old, ok := it.(*jitteredIterator); ok {
		it = old.Iterator
	}
	return &jitteredIterator{s.Series.Iterator(it), s.factor}
}

type jitteredIterator struct {
	chunkenc.Iterator
	factor float64
}

// At implements chunkenc.Iterator.
func (i *jitteredIterator) At() (int64, float64) {
	t, v := i.Iterator.At()
	if math.IsNaN(v) { // which may be a stale marker
		return t, v
	}
	return t, v * i.factor
}

// AtFloatHistogram implements chunkenc.Iterator.
func (i *jitteredIterator) AtFloatHistogram(fh *histogram.FloatHistogram) (int64, *histogram.FloatHistogram) {
	t, h := i.Iterator.AtFloatHistogram(fh)
	if math.IsNaN(h.Sum) {
		return t, h
	}
	return t, h.Copy().Mul(i.factor)
}
