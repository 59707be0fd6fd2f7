package querytree_test

import (
	"context"
	"errors"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
	"github.com/prometheus/prometheus/util/annotations"

	"github.com/pandometrics/pando/querytree"
)

// madeStorage returns series numbered from zero, each with a sample every 15 s,
// and calls a hook whenever one of them is read.
type madeStorage struct {
	storage.ChunkQueryable
	series int
	read   func(series int, it chunkenc.Iterator) chunkenc.Iterator
}

func (s *madeStorage) Querier(int64, int64) (storage.Querier, error) {
	return &madeQuerier{Querier: storage.NoopQuerier(), s: s}, nil
}

type madeQuerier struct {
	storage.Querier
	s *madeStorage
}

func (q *madeQuerier) Select(_ context.Context, _ bool, _ *storage.SelectHints, ms ...*labels.Matcher) storage.SeriesSet {
	set := &madeSet{}
	for _, m := range ms {
		if m.Name != labels.MetricName {
			continue
		}
		for i := range q.s.series {
			set.series = append(set.series, q.s.make(labels.FromStrings(labels.MetricName, m.Value, "i", strconv.Itoa(i)), i))
		}
	}
	return set
}

func (s *madeStorage) make(l labels.Labels, i int) storage.Series {
	var samples []promql.FPoint
	for t := int64(0); t < 1_000_000; t += 15_000 {
		samples = append(samples, promql.FPoint{T: t, F: float64(t)})
	}
	stored := promql.NewStorageSeries(promql.Series{Metric: l, Floats: samples})
	return &storage.SeriesEntry{Lset: l, SampleIteratorFn: func(chunkenc.Iterator) chunkenc.Iterator {
		return s.read(i, stored.Iterator(nil))
	}}
}

type madeSet struct {
	series []storage.Series
	at     int
}

func (s *madeSet) Next() bool                        { s.at++; return s.at <= len(s.series) }
func (s *madeSet) At() storage.Series                { return s.series[s.at-1] }
func (s *madeSet) Err() error                        { return nil }
func (s *madeSet) Warnings() annotations.Annotations { return nil }

// tornIterator fails after some samples.
type tornIterator struct {
	chunkenc.Iterator
	left int
	err  error
}

func (t *tornIterator) Next() chunkenc.ValueType {
	if t.left--; t.left < 0 {
		t.err = errors.New("checksum mismatch")
		return chunkenc.ValNone
	}
	return t.Iterator.Next()
}

func (t *tornIterator) Seek(at int64) chunkenc.ValueType {
	for kind := t.Next(); ; kind = t.Next() {
		if kind == chunkenc.ValNone || t.AtT() >= at {
			return kind
		}
	}
}

func (t *tornIterator) Err() error { return t.err }

// Whatever reads the samples, a storage that fails makes the child unavailable:
// another may answer the same query.
func TestFailingSamplesAreUnavailable(t *testing.T) {
	s := &madeStorage{series: 60, read: func(series int, it chunkenc.Iterator) chunkenc.Iterator {
		if series == 33 {
			return &tornIterator{Iterator: it, left: 9}
		}
		return it
	}}
	for _, startTimestamps := range []bool{false, true} {
		limits := querytree.DefaultLimits()
		l := newLocal(t, s, localOpts(startTimestamps, limits), true, 1, limits)
		for _, query := range []string{
			`sum(a)`, `sum(rate(a[1m]))`, `a`, `rate(a[1m])`, `topk(1, a)`, `timestamp(a)`, `a + b`, `sum(a) + on () group_right () b`, `absent(a)`,
			`sum(max_over_time(a[1m]))`,
		} {
			for _, step := range []int64{0, 15_000} {
				req := querytree.ExecRequest{Query: query, Start: 200_000, End: 200_000 + 20*step, Step: step}
				if _, err := l.Exec(t.Context(), req); !errors.Is(err, querytree.ErrUnavailable) {
					t.Errorf("%s, step %d: want the child to be unavailable, got %v", query, step, err)
				}
			}
		}
	}
}

// A query that is cancelled ends in the middle of its parts.
func TestCancelledPartsEnd(t *testing.T) {
	for _, startTimestamps := range []bool{false, true} {
		ctx, cancel := context.WithCancel(t.Context())
		var read atomic.Int64
		s := &madeStorage{series: 500, read: func(series int, it chunkenc.Iterator) chunkenc.Iterator {
			if read.Add(1); series == 100 {
				cancel()
			}
			return it
		}}
		limits := querytree.DefaultLimits()
		l := newLocal(t, s, localOpts(startTimestamps, limits), true, 1, limits)
		_, err := l.Exec(ctx, querytree.ExecRequest{Query: `sum(rate(a[1m]))`, Start: 200_000, End: 500_000, Step: 15_000})
		var cancelled promql.ErrQueryCanceled
		if !errors.As(err, &cancelled) || errors.Is(err, querytree.ErrUnavailable) {
			t.Errorf("want the query to be cancelled, got %v", err)
		}
		if n := read.Load(); n > 110 {
			t.Errorf("%d series were read after the end", n)
		}
	}
}

// chunksOf makes chunks of what a storage holds.
type chunksOf struct{ storage.Queryable }

func (c chunksOf) ChunkQuerier(mint, maxt int64) (storage.ChunkQuerier, error) {
	q, err := c.Querier(mint, maxt)
	return chunkedQuerier{ChunkQuerier: storage.NoopChunkedQuerier(), q: q}, err
}

type chunkedQuerier struct {
	storage.ChunkQuerier
	q storage.Querier
}

func (c chunkedQuerier) Select(ctx context.Context, sorted bool, hints *storage.SelectHints, ms ...*labels.Matcher) storage.ChunkSeriesSet {
	return storage.NewSeriesSetToChunkSet(c.q.Select(ctx, sorted, hints, ms...))
}

// A heavy query takes a second core if that is idle: two parts are then under
// way at the same time. It gives the core back.
func TestHeavyQueriesAreSpread(t *testing.T) {
	limits := querytree.DefaultLimits()
	s := &madeStorage{series: 400, read: func(_ int, it chunkenc.Iterator) chunkenc.Iterator { return it }}
	met := &meeting{both: make(chan struct{})}
	l := newLocal(t, chunksOf{s}, localOpts(false, limits), true, 2, limits)
	l.OnPart(met.arrive)
	req := querytree.ExecRequest{Query: `sum(rate(a[1m]))`, Start: 200_000, End: 500_000, Step: 15_000}
	want := execAll(newLocal(t, chunksOf{s}, localOpts(false, limits), false, 1, limits), req)
	if d := diffAnswers(want, execAll(l, req), sameBits); d != "" {
		t.Error(d)
	}
	if !met.happened() {
		t.Error("no two parts were evaluated at the same time")
	}
	if n := l.BusyCores(); n != 0 {
		t.Errorf("%d cores are still in use", n)
	}
}

// With one core, or with as many queries under way as there are cores, no query
// is spread.
func TestQueriesAreNotSpreadOverBusyCores(t *testing.T) {
	limits := querytree.DefaultLimits()
	s := &madeStorage{series: 400, read: func(_ int, it chunkenc.Iterator) chunkenc.Iterator { return it }}
	for _, c := range []struct{ cores, busy int }{{1, 0}, {2, 1}, {2, 5}} {
		var under, most atomic.Int64
		l := newLocal(t, chunksOf{s}, localOpts(false, limits), true, c.cores, limits)
		l.Occupy(c.busy)
		l.OnPart(func(int) func() {
			most.Store(max(most.Load(), under.Add(1)))
			return func() { under.Add(-1) }
		})
		if a := execAll(l, querytree.ExecRequest{Query: `sum(rate(a[1m]))`, Start: 200_000, End: 500_000, Step: 15_000}); a.err != "" {
			t.Fatal(a.err)
		}
		if most.Load() != 1 {
			t.Errorf("%d cores, %d busy: %d parts at the same time", c.cores, c.busy, most.Load())
		}
	}
}

// meeting makes each part wait for another, from when a query may be spread.
type meeting struct {
	mu   sync.Mutex
	here int
	both chan struct{}
}

func (m *meeting) arrive(part int) func() {
	if part <= 8 {
		return func() {}
	}
	m.mu.Lock()
	if m.here++; m.here == 2 {
		close(m.both)
	}
	m.mu.Unlock()
	select {
	case <-m.both:
	case <-time.After(30 * time.Second):
	}
	return func() {}
}

func (m *meeting) happened() bool {
	select {
	case <-m.both:
		return true
	default:
		return false
	}
}
