package querytree

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync/atomic"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
)

// faultyQueryable remembers whether the storage failed, which the engine's
// errors do not tell from faults of the query. What fails for its storage is
// unavailable: another child may answer the same query.
type faultyQueryable struct {
	storage.Queryable
	sorted bool
	failed atomic.Bool
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
	return &faultySet{q.Querier.Select(ctx, sorted || q.q.sorted, hints, ms...), q.q}
}

type faultySet struct {
	storage.SeriesSet
	q *faultyQueryable
}

func (s *faultySet) At() storage.Series { return faultySeries{s.SeriesSet.At(), s.q} }
func (s *faultySet) Err() error         { return s.q.note(s.SeriesSet.Err()) }

type faultySeries struct {
	storage.Series
	q *faultyQueryable
}

// Iterator implements storage.Series.
func (s faultySeries) Iterator(it chunkenc.Iterator) chunkenc.Iterator {
	f, ok := it.(*faultyIterator)
	if !ok {
		f = &faultyIterator{q: s.q}
	}
	f.Iterator = s.Series.Iterator(f.Iterator)
	return f
}

type faultyIterator struct {
	chunkenc.Iterator
	q *faultyQueryable
}

func (f *faultyIterator) Err() error { return f.q.note(f.Iterator.Err()) }
