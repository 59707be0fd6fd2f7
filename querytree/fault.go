package querytree

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"

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
	// unmetered: what is read is accounted for elsewhere.
	unmetered bool
	failed    atomic.Bool

	mu      sync.Mutex
	reading []chunkenc.Iterator // what the engine may be reading from
}

// fault marks an error of the engine as the child's if its storage failed, or
// the engine itself.
func (q *faultyQueryable) fault(ctx context.Context, err error) error {
	var crash runtime.Error
	if ctx.Err() == nil && !IsLimit(err) && (q.broken() || errors.As(err, &crash)) {
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
	f := &faultySet{SeriesSet: set, q: q.q}
	if !q.q.unmetered {
		f.meter = newMeter(ctx, hints, set)
	}
	return f
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

// Iterator implements storage.Series. The iterator is that of the storage: one
// of ours around it would cost a call a sample.
func (s faultySeries) Iterator(it chunkenc.Iterator) chunkenc.Iterator {
	if s.meter.read() != nil {
		return chunkenc.NewNopIterator() // the query's context has ended, which the engine sees next
	}
	next := s.Series.Iterator(it)
	s.q.read(it != nil, next)
	return next
}

// read remembers an iterator, in place of the latest if that was reused: the
// engine is done with it then, or would have failed.
func (q *faultyQueryable) read(reused bool, it chunkenc.Iterator) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if n := len(q.reading); reused && n > 0 {
		q.reading[n-1] = it
		return
	}
	q.reading = append(q.reading, it)
}

// broken reports whether the storage failed.
func (q *faultyQueryable) broken() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, it := range q.reading {
		if it.Err() != nil {
			return true
		}
	}
	return q.failed.Load()
}
