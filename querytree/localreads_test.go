package querytree

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/prompb"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/storage/remote"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
)

// reads is a leaf of series with 601 samples each, and what its users read of it.
func reads(t *testing.T, series int, limit func(*Limits)) (*Local, Reads) {
	t.Helper()
	var m []promql.Series
	for i := range series {
		m = append(m, point(1, labels.MetricName, "x", "n", fmt.Sprint(i)))
	}
	l := holding(t, euOne, m...).(*Local)
	limit(&l.cfg.Limits)
	l.bounded.limits = l.cfg.Limits
	l.reads = newGate(readGate, l.cfg.Limits, l.name, newBoundsMetrics(nil))
	return l, l.Reads()
}

func selectX(ctx context.Context, t *testing.T, r storage.Queryable) (storage.Querier, storage.SeriesSet) {
	t.Helper()
	q, err := r.Querier(0, 1e6)
	if err != nil {
		t.Fatal(err)
	}
	return q, q.Select(ctx, true, nil, labels.MustNewMatcher(labels.MatchEqual, labels.MetricName, "x"))
}

// count reads a set to its end.
func count(set storage.SeriesSet) (series, samples int) {
	var it chunkenc.Iterator
	for set.Next() {
		series++
		for it = set.At().Iterator(it); it.Next() != chunkenc.ValNone; {
			samples++
		}
	}
	return series, samples
}

// What does not fit the budget is refused with the name of the limit, however it
// is read, and is released with the request.
func TestReadsAreBounded(t *testing.T) {
	for _, c := range []struct {
		name    string
		series  int
		samples bool // are read too
		limit   func(*Limits)
		refused string
	}{
		{"fits", 5, true, func(l *Limits) { l.MaxBytes = 100_000 }, ""},
		{"many series", 400, false, func(l *Limits) { l.MaxBytes = 100_000 }, "--query.max-bytes"},
		{"many samples", 20, true, func(l *Limits) { l.MaxBytes = 100_000 }, "--query.max-bytes"},
		{"the same without samples", 20, false, func(l *Limits) { l.MaxBytes = 100_000 }, ""},
		{"more series than one request may have", 20, false, func(l *Limits) { l.MaxSeries = 19 }, "--query.max-series"},
		{"just as many", 20, false, func(l *Limits) { l.MaxSeries = 20 }, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l, r := reads(t, c.series, c.limit)
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				q, set := selectX(ctx, t, r)
				got, err := 0, error(nil)
				if c.samples {
					var res *prompb.QueryResult
					if res, _, err = remote.ToQueryResult(set, 0); err == nil {
						got = len(res.Timeseries)
					}
				} else {
					for set.Next() {
						got++
					}
					err = set.Err()
				}
				if c.refused != "" && (!IsLimit(err) || !strings.Contains(err.Error(), c.refused)) {
					t.Errorf("want %s, got %v", c.refused, err)
				}
				if c.refused == "" && (err != nil || got != c.series) {
					t.Errorf("%d series, %v", got, err)
				}
				if err := q.Close(); err != nil {
					t.Error(err)
				}
				if l.bounded.memory.held.Load() == 0 {
					t.Error("what the request read is not accounted for until its end")
				}
				cancel()
				synctest.Wait()
				if held := l.bounded.memory.held.Load(); held != 0 {
					t.Errorf("%d bytes are still held", held)
				}
			})
		})
	}
}

// Reads wait for a slot of the gate that requests from parents have, give it
// back when their series end, and have one however many selectors they have.
func TestReadsPassTheGate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, r := reads(t, 3, func(l *Limits) { l.MaxConcurrent, l.Timeout = 1, time.Minute })
		leaves := []func(){}
		for i := range readsPerQuery - 1 {
			leave, err := l.reads.Enter(t.Context(), fmt.Sprint(i))
			if err != nil {
				t.Fatal(err)
			}
			leaves = append(leaves, leave)
		}
		q, first := selectX(t.Context(), t, r)
		second := q.Select(t.Context(), true, nil, labels.MustNewMatcher(labels.MatchEqual, "n", "1"))
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		late, refused := selectX(ctx, t, r)
		if n, _ := count(refused); n != 0 || refused.Err() == nil || !strings.Contains(refused.Err().Error(), "--query.max-concurrency") {
			t.Errorf("%d series without a slot, %v", n, refused.Err())
		}
		if names, _, err := late.LabelNames(cancelled(t), nil); err == nil {
			t.Errorf("names without a slot: %v", names)
		}
		chunks, err := r.ChunkQuerier(0, 1e6)
		if err != nil {
			t.Fatal(err)
		}
		if set := chunks.Select(cancelled(t), true, nil); set.Next() || set.Err() == nil {
			t.Error("chunks without a slot")
		}
		_ = chunks.Close()
		if n, _ := count(first); n != 3 || first.Err() != nil {
			t.Errorf("%d series, %v", n, first.Err())
		}
		if n, _ := count(second); n != 1 || second.Err() != nil {
			t.Errorf("%d series of the second selector, %v", n, second.Err())
		}
		again := q.Select(t.Context(), true, nil, labels.MustNewMatcher(labels.MatchEqual, "n", "2"))
		if n, _ := count(again); n != 1 || again.Err() != nil {
			t.Errorf("%d series of a selector that came later, %v", n, again.Err())
		}
		for range 2 { // the slot is free: another client may have it
			other, set := selectX(t.Context(), t, r)
			set.Next() // and does not wait for the end of its series
			_ = other.Close()
		}
		_, _ = q.Close(), late.Close()
		for _, leave := range leaves {
			leave()
		}
		if l.reads.fair.free != readsPerQuery || l.bounded.turns.tokens.wanted() {
			t.Errorf("%d slots are free", l.reads.fair.free)
		}
	})
}

func cancelled(t *testing.T) context.Context {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	return ctx
}

// A query that reads through Reads was admitted when it began: with one slot of
// each kind it does not wait for itself.
func TestQueriesPassReads(t *testing.T) {
	l, r := reads(t, 3, func(l *Limits) { l.MaxConcurrent = 1 })
	for i := range readsPerQuery {
		leave, err := l.reads.Enter(t.Context(), fmt.Sprint(i))
		if err != nil {
			t.Fatal(err)
		}
		defer leave()
	}
	q, err := l.Engine().NewInstantQuery(t.Context(), r, nil, "count(x)", time.Unix(10, 0))
	if err != nil {
		t.Fatal(err)
	}
	defer q.Close()
	res := q.Exec(t.Context())
	if v, err := res.Vector(); err != nil || len(v) != 1 || v[0].F != 3 {
		t.Errorf("got %v, %v", v, err)
	}
}
