package querytree

import (
	"context"
	"runtime"
	"time"
)

// turn lengths.
const (
	// lightTime is how long a query runs without having to ask.
	lightTime = 20 * time.Millisecond
	// turnTime is how long a heavy query runs until another one's turn.
	turnTime = 20 * time.Millisecond
	// turnStride is how many series the engine reads between looks at the clock.
	turnStride = 8
)

// turns shares the processors of a leaf between queries that evaluate there. A
// query that has run for lightTime is heavy: it goes on only with one of a few
// tokens, one less than there are processors, and passes it on after turnTime if
// another query wants it, to clients in turn. So there is always a processor for
// light queries, which never wait.
//
// A query looks at the clock where the engine comes by: when it reads a series.
// It waits for nothing else while it has a token, so there can be no deadlock.
type turns struct {
	tokens  *fair
	metrics *boundsMetrics
}

func newTurns(m *boundsMetrics) *turns {
	n := max(1, runtime.GOMAXPROCS(0)-1)
	return &turns{tokens: newFair(n, n), metrics: m}
}

// turn is one query's part in turns. It is used by one goroutine, that of the
// engine. A nil turn never waits.
type turn struct {
	t      *turns
	client string
	since  time.Time // when the query began, or got its token
	token  bool
	series uint
}

type turnKey struct{}

// begin returns the turn of a query, and a context that carries it. End must be
// called.
func (t *turns) begin(ctx context.Context, client string) (context.Context, *turn) {
	u := &turn{t: t, client: client, since: time.Now()}
	return context.WithValue(ctx, turnKey{}, u), u
}

func turnFrom(ctx context.Context) *turn {
	u, _ := ctx.Value(turnKey{}).(*turn)
	return u
}

// pass is called for every series that the query reads. It waits if it is
// another query's turn, and returns when it is this one's or ctx has ended.
func (u *turn) pass(ctx context.Context) {
	if u == nil {
		return
	}
	if u.series++; u.series%turnStride == 0 {
		u.passNow(ctx)
	}
}

// passNow is pass after many series.
func (u *turn) passNow(ctx context.Context) {
	if u == nil {
		return
	}
	now := time.Now()
	switch ran := now.Sub(u.since); {
	case !u.token && ran < lightTime, u.token && ran < turnTime:
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
	u.t.metrics.turnSeconds.Observe(u.since.Sub(now).Seconds())
}

// end gives the token back, if the query has one.
func (u *turn) end() {
	if u.token {
		u.token = false
		u.t.tokens.leave(u.client)
	}
}
