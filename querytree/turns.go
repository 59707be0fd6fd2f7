package querytree

import (
	"context"
	"runtime"
	"sync/atomic"
	"time"
)

// What makes a query heavy, and turn lengths.
const (
	// lightPoints is how many points a query may make and be light: what takes a
	// processor about five milliseconds. Unlike time it does not depend on what
	// else runs.
	lightPoints = 64 << 10
	// lightTime is how long a query that makes few points may run and be light.
	lightTime = 20 * time.Millisecond
	// turnTime is how long a heavy query runs until another one's turn.
	turnTime = 10 * time.Millisecond
	// turnStride is how many series the engine reads between looks at the clock.
	turnStride = 8
)

// Turns shares the processors of a process between the queries that compute
// there. A query that is heavy goes on only with one of a few tokens, one less than
// GOMAXPROCS, and passes it on after turnTime if another query wants it, to
// clients in turn. So there is always a processor for light queries, which
// never wait. Heavy ones may run at low priority (atLowPriority): then light
// queries of other processes on the same machine go first too.
//
// A query waits for nothing else while it has a token, so there can be no
// deadlock. All tiers of a process share one. It is safe for concurrent use; a
// nil Turns lets everything run at once.
type Turns struct {
	tokens *fair
	low    atomic.Bool
}

// NewTurns returns the turns of a process in which n heavy queries may compute at
// a time; zero means one less than GOMAXPROCS. If low is set, they do so at low
// priority.
func NewTurns(n int, low bool) *Turns {
	if n <= 0 {
		n = max(1, runtime.GOMAXPROCS(0)-1)
	}
	t := &Turns{tokens: newFair(n, n)}
	t.low.Store(low)
	return t
}

// turns are those of one tier: it knows its heavy queries again.
type turns struct {
	*Turns
	known   *heavyQueries
	metrics *boundsMetrics
}

func newTurns(t *Turns, m *boundsMetrics) *turns {
	if t == nil {
		t = NewTurns(0, false)
	}
	return &turns{Turns: t, known: newHeavyQueries(), metrics: m}
}

// Turn is one query's part in Turns. It is used by one goroutine at a time. A nil
// Turn never waits.
type Turn struct {
	t      *Turns
	tier   *turns // nil if the query is not of a tier's own
	client string
	query  string
	since  time.Time // when the query began, or got its token
	heavy  bool
	token  bool
	low    bool // at low priority
	points int64
	series uint
}

type turnKey struct{}

// begin returns the turn of a query, and a context that carries it. A query
// without text is not known again. End must be called.
func (t *turns) begin(ctx context.Context, client, query string) (context.Context, *Turn) {
	u := &Turn{t: t.Turns, tier: t, client: client, query: query, since: time.Now()}
	u.heavy = t.known.has(query)
	return context.WithValue(ctx, turnKey{}, u), u
}

func turnFrom(ctx context.Context) *Turn {
	u, _ := ctx.Value(turnKey{}).(*Turn)
	return u
}

// Heavy does work that is known to be heavy, when it is the client's turn. It
// returns what ended ctx if that came first, else what the work returns. Work
// must pause its turn while it waits for anything.
func (t *Turns) Heavy(ctx context.Context, client string, work func(*Turn) error) (err error) {
	if t == nil {
		return work(nil)
	}
	u := &Turn{t: t, client: client, heavy: true}
	defer u.end()
	if u.PassNow(ctx); !u.token {
		return context.Cause(ctx)
	}
	u.lowered(func() { err = work(u) })
	return err
}

// did notes that the query made points.
func (u *Turn) did(points int64) {
	if u == nil {
		return
	}
	if u.points += points; u.points > lightPoints {
		u.heavy = true
	}
}

// pass is called for every series that the query reads. It waits if it is
// another query's turn, and returns when it is this one's or ctx has ended.
func (u *Turn) pass(ctx context.Context) {
	if u == nil {
		return
	}
	if u.series++; u.series%turnStride == 0 {
		u.PassNow(ctx)
	}
}

// PassNow waits if it is another query's turn, and returns when it is this one's
// or ctx has ended.
func (u *Turn) PassNow(ctx context.Context) {
	if u == nil {
		return
	}
	now := time.Now()
	ran := now.Sub(u.since)
	u.heavy = u.heavy || ran >= lightTime
	switch {
	case !u.heavy, u.token && ran < turnTime:
		return
	case u.token && !u.t.tokens.wanted():
		u.since = now
		return
	}
	if u.token {
		u.token = u.t.tokens.again(ctx, u.client) == nil
	} else {
		_, err := u.t.tokens.enter(ctx, u.client)
		u.token = err == nil
	}
	u.since = time.Now()
	if u.tier != nil {
		u.tier.metrics.turnSeconds.Observe(u.since.Sub(now).Seconds())
	}
}

// Pause gives the token back for the time of something that may wait for others.
// PassNow goes on.
func (u *Turn) Pause() {
	if u != nil && u.token {
		u.token = false
		u.t.tokens.leave(u.client)
	}
}

// lowered does work, at low priority if the query is heavy. It returns when the
// work is done.
func (u *Turn) lowered(work func()) {
	if !u.sinks() {
		work()
		return
	}
	u.low = true
	defer func() { u.low = false }()
	atLowPriority(work)
}

// sinks reports whether the query runs at a higher priority than it should.
func (u *Turn) sinks() bool { return u != nil && u.t.low.Load() && u.heavy && !u.low }

// helper is for another goroutine that works for a heavy query, which needs no
// token but should not have a higher priority. Any goroutine may call it.
func (u *Turn) helper() *Turn {
	if u == nil {
		return nil
	}
	return &Turn{t: u.t, heavy: true}
}

// end gives the token back, if the query has one, and keeps in mind whether the
// query was heavy.
func (u *Turn) end() {
	if u == nil {
		return
	}
	u.Pause()
	if u.tier != nil {
		u.tier.known.note(u.query, u.points > lightPoints)
	}
}
