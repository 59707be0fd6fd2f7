package resultcache

import (
	"context"
	"errors"
	"maps"
	"sync"
	"time"

	"github.com/prometheus/prometheus/promql"

	"github.com/pandometrics/pando/querytree"
)

// flightKey names requests that get the same answer.
type flightKey struct {
	key
	from, to              int64
	strict, detail        bool
	maxSeries, maxSamples int
	maxBytes              int64
}

// flight is one evaluation, for all who ask for the same.
type flight struct {
	cancel context.CancelFunc
	until  time.Time // the deadline of who began it
	done   chan struct{}

	// Guarded by flights.mu.
	waiting int
	shared  bool

	// Set when done.
	answer querytree.Answer
	err    error
}

// flights are the evaluations under way. They are safe for concurrent use.
type flights struct {
	mu sync.Mutex
	m  map[flightKey]*flight
}

// patience is how much earlier than a request may end an evaluation that it
// joins, before a bad outcome of that is blamed on its haste.
const patience = time.Second

// do runs f, or joins the f of the same key that runs. f ends when all who wait
// for it have gone. budget is the time that the request has, zero meaning as
// long as ctx.
func (g *flights) do(ctx context.Context, k flightKey, budget time.Duration, f func(context.Context) (querytree.Answer, error)) (a querytree.Answer, shared bool, err error) {
	until := deadline(ctx, budget)
	for {
		fl, leads := g.join(ctx, k, until, f)
		a, shared, err := g.wait(ctx, k, fl)
		hasty := !fl.until.IsZero() && (until.IsZero() || until.Sub(fl.until) > patience)
		if leads || ctx.Err() != nil || !hasty || err == nil && !a.Report.Partial() {
			return a, shared, err
		}
	}
}

// deadline returns when a request is over at the latest; zero means never.
func deadline(ctx context.Context, budget time.Duration) time.Time {
	until, _ := ctx.Deadline()
	if budget > 0 {
		if end := time.Now().Add(budget); until.IsZero() || end.Before(until) {
			until = end
		}
	}
	return until
}

func (g *flights) join(ctx context.Context, k flightKey, until time.Time, f func(context.Context) (querytree.Answer, error)) (fl *flight, leads bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if fl := g.m[k]; fl != nil {
		fl.waiting++
		fl.shared = true
		return fl, false
	}
	own := context.WithoutCancel(ctx)
	fl = &flight{done: make(chan struct{}), waiting: 1, until: until}
	if end, ok := ctx.Deadline(); ok {
		own, fl.cancel = context.WithDeadline(own, end)
	} else {
		own, fl.cancel = context.WithCancel(own)
	}
	if g.m == nil {
		g.m = map[flightKey]*flight{}
	}
	g.m[k] = fl
	go func() {
		defer fl.cancel()
		fl.answer, fl.err = f(own)
		g.mu.Lock()
		defer g.mu.Unlock()
		g.forget(k, fl) // From here on nobody joins.
		close(fl.done)
	}()
	return fl, true
}

// forget makes room for another flight of the key. flights.mu is held.
func (g *flights) forget(k flightKey, fl *flight) {
	if g.m[k] == fl {
		delete(g.m, k)
	}
}

func (g *flights) wait(ctx context.Context, k flightKey, fl *flight) (a querytree.Answer, shared bool, err error) {
	select {
	case <-fl.done:
		if fl.shared {
			return copied(fl.answer), true, fl.err
		}
		return fl.answer, false, fl.err
	case <-ctx.Done():
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if fl.waiting--; fl.waiting == 0 {
		g.forget(k, fl)
		fl.cancel()
	}
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return a, false, promql.ErrQueryTimeout("query execution")
	}
	return a, false, promql.ErrQueryCanceled("query execution")
}

// copied returns an answer that shares no memory with a.
func copied(a querytree.Answer) querytree.Answer {
	out := querytree.Answer{Matrix: assemble([]extent{{series: a.Matrix}}), Warnings: maps.Clone(a.Warnings)}
	out.Report.Merge(a.Report)
	out.Report.Explanation = a.Report.Explanation
	if a.Report.Cache != nil {
		use := *a.Report.Cache
		out.Report.Cache = &use
	}
	return out
}
