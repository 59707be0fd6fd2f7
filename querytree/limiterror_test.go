package querytree

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/storage"
)

// limited asks a tree of a root and a leaf that has ten series of ten minutes.
type limited struct {
	leaf, root Limits
	query      string
	ask        func(ctx context.Context, root *Mixer, leaf *Local) error
}

// instant asks the root for the query of the case.
func (c limited) instant(ctx context.Context, root *Mixer, _ *Local) error {
	set, err := root.Exec(ctx, ExecRequest{Query: c.query, Start: 600_000, End: 600_000})
	if err != nil {
		return err
	}
	defer set.Close()
	for set.Next() {
	}
	return set.Err()
}

// Whichever limit ends a request, in whichever tier, the error at the root tells
// which it is, its value, what was reached, and the tier.
func TestLimitErrorsTellAll(t *testing.T) {
	raw := "quantile_over_time(scalar(sum(x)), x[5m])"
	selects := func(labelsOnly bool) func(context.Context, *Mixer, *Local) error {
		return func(ctx context.Context, root *Mixer, _ *Local) error {
			set := root.Select(ctx, SelectRequest{Maxt: 600_000, LabelsOnly: labelsOnly})
			defer set.Close()
			for set.Next() {
				for it := set.At().Iterator(nil); it.Next(); {
				}
			}
			return set.Err()
		}
	}
	reads := func(ctx context.Context, _ *Mixer, leaf *Local) error {
		q, err := leaf.Reads().Querier(0, 600_000)
		if err != nil {
			return err
		}
		defer q.Close()
		set := q.Select(ctx, true, nil)
		for set.Next() {
		}
		return set.Err()
	}
	waits := func(client string) func(context.Context, *Mixer, *Local) error {
		return func(ctx context.Context, root *Mixer, _ *Local) error {
			ctx, cancel := context.WithCancel(ctx)
			defer cancel()
			leave, err := root.gate.Enter(ctx, "other")
			if err != nil {
				return err
			}
			defer leave()
			go func() { _, _ = root.gate.Enter(ctx, client) }()
			for ctx.Err() == nil && root.gate.fair.queued() == 0 {
				runtime.Gosched()
			}
			_, err = root.gate.Enter(ctx, "me")
			return err
		}
	}
	for _, c := range []struct {
		limited
		name, flag, tier string
	}{
		{limited{root: Limits{MaxQueryLength: 3}, query: "x + 1"}, "length", "query.max-length", "root"},
		{limited{leaf: Limits{MaxQueryLength: 3}, query: "x + 1"}, "length below", "query.max-length", euOne.Name()},
		{limited{root: Limits{MaxQueryDepth: 2}, query: "(((x)))"}, "depth", "query.max-depth", "root"},
		{limited{root: Limits{MaxQueryDepth: 1}, query: "x" + strings.Repeat("+x", 20)}, "operators", "query.max-depth", "root"},
		{limited{root: Limits{MaxSamples: 5}, query: `x{cluster="eu-1"}`}, "samples, passed down", "query.max-samples", euOne.Name()},
		{limited{leaf: Limits{MaxSamples: 5}, query: "x"}, "samples of the leaf's engine", "query.max-samples", euOne.Name()},
		{limited{root: Limits{MaxSamples: 2}, query: strings.Repeat("vector(1)+", 3) + "vector(1)"}, "samples of the root's engine", "query.max-samples", "root"},
		{limited{root: Limits{MaxSamples: 900}, query: raw}, "samples of raw series", "query.max-samples", "root"},
		{limited{leaf: Limits{MaxSamples: 900}, ask: selects(false)}, "samples of a leaf's raw series", "query.max-samples", euOne.Name()},
		{limited{root: Limits{MaxSeries: 15}, query: "x"}, "series of all children", "query.max-series", "root"},
		{limited{leaf: Limits{MaxSeries: 5}, query: "x"}, "series of a leaf", "query.max-series", euOne.Name()},
		{limited{leaf: Limits{MaxSeries: 5}, ask: selects(true)}, "series of a leaf's raw series", "query.max-series", euOne.Name()},
		{limited{root: Limits{MaxSeries: 15}, ask: selects(true)}, "series of raw series", "query.max-series", "root"},
		{limited{leaf: Limits{MaxSeries: 5}, ask: reads}, "series of reads", "query.max-series", euOne.Name()},
		{limited{root: Limits{MaxBytes: 1000}, query: `x{cluster="eu-1"}`}, "bytes, passed down", "query.max-bytes", euOne.Name()},
		{limited{leaf: Limits{MaxBytes: 1000}, query: "x"}, "bytes of a leaf", "query.max-bytes", euOne.Name()},
		{limited{root: Limits{MaxBytes: 4 * pointBytes}, query: strings.Repeat("vector(1)+", 5) + "vector(1)"}, "bytes as samples", "query.max-bytes", "root"},
		{limited{leaf: Limits{MaxBytes: 1000}, ask: reads}, "bytes of reads", "query.max-bytes", euOne.Name()},
		{limited{root: Limits{MaxResponse: 1000}, query: "x"}, "response", "query.max-response-bytes", "root"},
		{limited{leaf: Limits{MaxResponse: 500}, query: "x"}, "response of a leaf", "query.max-response-bytes", euOne.Name()},
		{limited{leaf: Limits{MaxResponse: 100}, ask: selects(true)}, "response of raw series", "query.max-response-bytes", euOne.Name()},
		{limited{root: Limits{MaxFragments: 1}, query: "sum(x) + on () count(y)"}, "fragments", "query.max-fragments", "root"},
		{limited{root: Limits{MaxConcurrent: 1, MaxQueue: 1}, ask: waits("you")}, "queue", "query.max-queue", "root"},
		{limited{root: Limits{MaxConcurrent: 1, MaxQueuePerClient: 1}, ask: waits("me")}, "queue of a client", "query.max-queue-per-client", "root"},
	} {
		t.Run(c.name, func(t *testing.T) {
			leaf := holding(t, euOne, series(10)...).(*Local)
			other := holding(t, leafOf("zone", "us", "cluster", "us-1"), series(10)...)
			tune := func(l Limits) Tuning { return Tuning{Limits: over(DefaultLimits(), l), Lookback: 5 * time.Minute} }
			root := mixerOver(t, Identity{Tier: TierRoot}, func(m *MixerConfig) { m.Limits = tune(c.root).Limits }, bounded(leaf, tune(c.leaf).Limits), other)
			if c.ask == nil {
				c.ask = c.instant
			}
			err := c.ask(t.Context(), root, bounded(leaf, tune(c.leaf).Limits))
			var limit *LimitError
			if !errors.As(err, &limit) {
				t.Fatalf("want a limit, got %v", err)
			}
			if limit.Flag != c.flag || limit.Limit <= 0 || limit.Value <= limit.Limit || limit.What == "" {
				t.Errorf("want --%s, its value and what was reached, got %+v", c.flag, *limit)
			}
			if limit.Tier != c.tier || !strings.Contains(err.Error(), " at "+c.tier) || !strings.Contains(err.Error(), fmt.Sprint(" with ", limit.Value)) {
				t.Errorf("want tier %s, got %+v: %v", c.tier, *limit, err)
			}
		})
	}
}

// series returns n series of metric x.
func series(n int) []promql.Series {
	var out []promql.Series
	for i := range n {
		out = append(out, point(1, "__name__", "x", "i", fmt.Sprint(i)))
	}
	return out
}

// over returns limits with those of l that are set.
func over(base, l Limits) Limits {
	for _, v := range []struct{ to, from *int }{
		{&base.MaxQueryLength, &l.MaxQueryLength},
		{&base.MaxQueryDepth, &l.MaxQueryDepth},
		{&base.MaxSamples, &l.MaxSamples},
		{&base.MaxSeries, &l.MaxSeries},
		{&base.MaxFragments, &l.MaxFragments},
		{&base.MaxQueue, &l.MaxQueue},
		{&base.MaxQueuePerClient, &l.MaxQueuePerClient},
		{&base.MaxConcurrent, &l.MaxConcurrent},
	} {
		if *v.from != 0 {
			*v.to = *v.from
		}
	}
	base.MaxBytes, base.MaxResponse = lower(base.MaxBytes, l.MaxBytes), lower(base.MaxResponse, l.MaxResponse)
	return base
}

// bounded returns a Local with limits.
func bounded(l *Local, limits Limits) *Local {
	cfg := l.cfg
	cfg.Limits = limits
	cfg.Engine = promql.NewEngine(EngineOpts(MixerConfig{Limits: limits, Lookback: 5 * time.Minute, SubqueryStep: time.Minute}, NewParser()))
	b, err := NewLocal(cfg)
	if err != nil {
		panic(err)
	}
	return b
}

// A query that takes too long says which limit of which tier that is, whether it
// waits for children, the engine or a slot, and is a timeout for those who know
// Prometheus' errors only. What a client sets itself is told as that, and what a
// parent does is for the parent to tell.
func TestTimeLimitTellsAll(t *testing.T) {
	patient := func(c *MixerConfig) {
		c.Limits.Timeout, c.Limits.ChildDeadline, c.Limits.MaxConcurrent = 10*time.Second, time.Hour, 1
	}
	for name, c := range map[string]struct {
		ask  func(*testing.T, *Mixer) error
		want string
	}{
		"a slot": {func(t *testing.T, m *Mixer) error {
			leave, err := m.gate.Enter(t.Context(), "")
			if err != nil {
				return err
			}
			defer leave()
			_, err = m.Exec(t.Context(), ExecRequest{Query: "x"})
			return err
		}, "time of one query, which waited for one of the 1 slots of --query.max-concurrency: limit of 10s exceeded with 10s at root; narrow the query, or raise --query.timeout"},
		"the engine": {func(t *testing.T, m *Mixer) error {
			ctx, cancel := m.cfg.Limits.timed(t.Context(), Options{}, m.name())
			defer cancel()
			time.Sleep(10*time.Second - time.Millisecond)
			return m.settle(ctx, nil, promql.ErrQueryTimeout("expression evaluation"))
		}, "time of one query: limit of 10s exceeded with 10s at root; narrow the query, or raise --query.timeout"},
		"within a query": {func(t *testing.T, m *Mixer) error {
			ctx, cancel := m.cfg.Limits.timed(t.Context(), Options{}, m.name())
			defer cancel()
			ctx, stop := context.WithCancel(ctx)
			defer stop()
			<-ctx.Done()
			return contextError(ctx)
		}, "time of one query: limit of 10s exceeded with 10s at root; narrow the query, or raise --query.timeout"},
		"the client's own": {func(t *testing.T, m *Mixer) error {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			ctx, stop := m.cfg.Limits.timed(ctx, Options{}, m.name())
			defer stop()
			<-ctx.Done()
			return ofTime(ctx, contextError(ctx))
		}, "time of one query: limit of 1s exceeded with 1s at root; narrow the query, or ask for a longer timeout"},
		"a parent's": {func(t *testing.T, m *Mixer) error {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			ctx, stop := m.cfg.Limits.timed(ctx, Options{Budget: time.Second}, m.name())
			defer stop()
			<-ctx.Done()
			return ofTime(ctx, contextError(ctx))
		}, "query timed out in query execution"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				err := c.ask(t, mixerOver(t, Identity{Tier: TierRoot}, patient, hanging(eu)))
				var timeout promql.ErrQueryTimeout
				if err == nil || err.Error() != c.want || !errors.As(err, &timeout) {
					t.Errorf("want a timeout, %q, got %v", c.want, err)
				}
			})
		})
	}
}

// apart evaluates in a context of its own, as what several may wait for.
type apart struct{}

func (apart) Range(ctx context.Context, req ExecRequest, tree Evaluator) (Answer, error) {
	own, cancel := context.WithCancel(context.WithoutCancel(ctx))
	if end, ok := ctx.Deadline(); ok {
		own, cancel = context.WithDeadline(context.WithoutCancel(ctx), end)
	}
	defer cancel()
	return tree.Eval(own, req)
}

// Nor is it forgotten what was waited for where the evaluation is not the request's
// own, and it is counted once.
func TestTimeLimitOfSharedEvaluation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := mixerOver(t, Identity{Tier: TierRoot}, func(c *MixerConfig) {
			c.Limits.Timeout, c.Limits.ChildDeadline, c.Limits.MaxConcurrent, c.Cache = 10*time.Second, time.Hour, 1, apart{}
		}, hanging(eu))
		leave, err := m.gate.Enter(t.Context(), "")
		if err != nil {
			t.Fatal(err)
		}
		defer leave()
		_, err = m.Exec(t.Context(), ExecRequest{Query: "x", End: 60_000, Step: 1000})
		if err == nil || !strings.Contains(err.Error(), "which waited for one of the 1 slots") {
			t.Errorf("got %v", err)
		}
		if n := testutil.ToFloat64(m.memory.metrics.refused.WithLabelValues("query.timeout")); n != 1 {
			t.Errorf("counted %v times", n)
		}
	})
}

// slowStorage has series when the context ends, and not before.
type slowStorage struct{ memoryQuerier }

func (q slowStorage) Querier(int64, int64) (storage.Querier, error) { return q, nil }

func (slowStorage) Select(ctx context.Context, _ bool, _ *storage.SelectHints, _ ...*labels.Matcher) storage.SeriesSet {
	<-ctx.Done()
	return storage.ErrSeriesSet(ctx.Err())
}

// A leaf says so too, of what its engine reads.
func TestTimeLimitOfLeaf(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := holding(t, euOne, series(1)...).(*Local)
		l.cfg.Limits.Timeout, l.bounded.limits.Timeout = 10*time.Second, 10*time.Second
		l.cfg.Samples = slowStorage{}
		_, err := l.Exec(t.Context(), ExecRequest{Query: "x", Start: 600_000, End: 600_000})
		var limit *LimitError
		if !errors.As(err, &limit) || limit.Flag != "query.timeout" || limit.Tier != euOne.Name() || limit.Limit != int64(10*time.Second) {
			t.Errorf("got %v", err)
		}
	})
}
