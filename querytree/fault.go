package querytree

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync/atomic"

	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
)

// faultyQueryable remembers whether the storage failed, which the engine's
// errors do not tell from faults of the query. What fails for its storage is
// unavailable: another child may answer the same query.
//
// It also accounts for what the engine reads: see meter.
type faultyQueryable struct {
	storage.Queryable
	sorted bool
	failed atomic.Bool
	growth growth
	// pinned is the number of steps that points are copied to which the engine
	// evaluates once.
	pinned int64
}

// fault marks an error of the engine as the child's if its storage failed, or
// the engine itself.
func (q *faultyQueryable) fault(ctx context.Context, err error) error {
	var crash runtime.Error
	if ctx.Err() == nil && !IsLimit(err) && (q.failed.Load() || errors.As(err, &crash)) {
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	return err
}

func (q *faultyQueryable) note(err error) error {
	if err != nil {
		q.failed.Store(true)
	}
	return err
}

// Querier implements storage.Queryable.
func (q *faultyQueryable) Querier(mint, maxt int64) (storage.Querier, error) {
	querier, err := q.Queryable.Querier(mint, maxt)
	if q.note(err) != nil {
		return nil, err
	}
	return faultyQuerier{querier, q}, nil
}

type faultyQuerier struct {
	storage.Querier
	q *faultyQueryable
}

// Select implements storage.Querier.
func (q faultyQuerier) Select(ctx context.Context, sorted bool, hints *storage.SelectHints, ms ...*labels.Matcher) storage.SeriesSet {
	set := q.Querier.Select(ctx, sorted || q.q.sorted, hints, ms...)
	return &faultySet{SeriesSet: set, q: q.q, meter: newMeter(ctx, q.q, hints, set)}
}

type faultySet struct {
	storage.SeriesSet
	q     *faultyQueryable
	meter *meter // nil if nothing is accounted for
	cur   storage.Series
	err   error
}

// Next implements storage.SeriesSet.
func (s *faultySet) Next() bool {
	if s.err != nil || !s.SeriesSet.Next() {
		return false
	}
	s.cur = s.SeriesSet.At()
	s.err = s.meter.matched(s.cur)
	return s.err == nil
}

func (s *faultySet) At() storage.Series { return faultySeries{s.cur, s.q, s.meter} }

func (s *faultySet) Err() error {
	if s.err != nil {
		return s.err
	}
	return s.q.note(s.SeriesSet.Err())
}

type faultySeries struct {
	storage.Series
	q     *faultyQueryable
	meter *meter
}

// Iterator implements storage.Series.
func (s faultySeries) Iterator(it chunkenc.Iterator) chunkenc.Iterator {
	f, ok := it.(*faultyIterator)
	if !ok {
		f = &faultyIterator{q: s.q}
	}
	f.meter, f.histograms = s.meter, 0
	if s.meter.read() != nil {
		// The query's context has ended, which the engine sees next.
		f.Iterator = chunkenc.NewNopIterator()
		return f
	}
	f.Iterator = s.Series.Iterator(f.Iterator)
	return f
}

type faultyIterator struct {
	chunkenc.Iterator
	q     *faultyQueryable
	meter *meter
	// histograms counts those read of the series.
	histograms int64
}

// AtFloatHistogram implements chunkenc.Iterator.
func (f *faultyIterator) AtFloatHistogram(into *histogram.FloatHistogram) (int64, *histogram.FloatHistogram) {
	t, h := f.Iterator.AtFloatHistogram(into)
	f.histograms++
	f.meter.histogram(f.histograms, h)
	return t, h
}

func (f *faultyIterator) Err() error { return f.q.note(f.Iterator.Err()) }
