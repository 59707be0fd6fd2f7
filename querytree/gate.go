package querytree

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/prometheus/prometheus/promql"
)

// Gate bounds the number of requests that a tier works on at the same time, and
// lets those that wait in fairly: clients in turn. One client may have three
// quarters of the slots, so that there is room when another comes. It is safe
// for concurrent use.
type Gate struct {
	fair    *fair
	kind    string // of requests
	tier    func() string
	metrics *boundsMetrics
}

// Kinds of requests that gates are for.
const (
	queryGate = "query"
	readGate  = "read"
)

// readsPerQuery is how many requests for raw series, names and exemplars may be
// worked on for each query that may be: they are short.
const readsPerQuery = 8

// newGate returns a gate for one kind of requests.
func newGate(kind string, l Limits, tier func() string, m *boundsMetrics) *Gate {
	slots, most := slotsOf(kind, l)
	f := newFair(slots, most)
	f.maxWaiting, f.maxWaitingEach = l.MaxQueue, l.MaxQueuePerClient
	g := &Gate{fair: f, kind: kind, tier: tier, metrics: m}
	m.watchQueue(g)
	return g
}

// slotsOf returns how many slots a gate has, and how many of them one client may
// have.
func slotsOf(kind string, l Limits) (slots, most int) {
	n := l.MaxConcurrent
	if kind == readGate {
		n *= readsPerQuery
	}
	return n, max(1, n-max(1, n/4))
}

// resize has the gate go by other limits. Requests that have a slot keep it, also
// if there are fewer now; those that wait go on waiting, also if they are too many.
func (g *Gate) resize(l Limits) {
	slots, most := slotsOf(g.kind, l)
	g.fair.resize(slots, most, l.MaxQueue, l.MaxQueuePerClient)
}

// Enter waits for a slot until ctx ends, and returns the function that gives it
// back. Its error is a *LimitError if too many wait already.
func (g *Gate) Enter(ctx context.Context, client string) (leave func(), err error) {
	begin := time.Now()
	waited, err := g.fair.enter(ctx, client)
	if waited {
		g.metrics.queueSeconds.WithLabelValues(g.kind).Observe(time.Since(begin).Seconds())
	}
	if err != nil {
		return nil, g.explain(ctx, err)
	}
	return sync.OnceFunc(func() { g.fair.leave(client) }), nil
}

// explain says in the error what was waited for.
func (g *Gate) explain(ctx context.Context, err error) error {
	var limit *LimitError
	late := limitOfTime(ctx)
	switch {
	case errors.As(err, &limit):
		limit.Tier = g.tier()
		g.metrics.refuse(limit)
		return limit
	case late != nil:
		limit := *late
		limit.What += fmt.Sprintf(", which waited for one of the %d slots of --query.max-concurrency", g.fair.size())
		g.metrics.refuse(&limit)
		return &limit
	case errors.Is(err, context.Canceled):
		return promql.ErrQueryCanceled("while waiting for one of the slots of --query.max-concurrency")
	default:
		return promql.ErrQueryTimeout(fmt.Sprintf("waiting for one of the %d slots of --query.max-concurrency", g.fair.size()))
	}
}
