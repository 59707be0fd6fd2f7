package leaf

import (
	"context"
	"sync"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/prometheus/promql"

	"github.com/pandometrics/pando/querytree"
)

// Retune changes the limits of queries and the lookback delta while the leaf
// answers; see querytree.Local.Retune.
func (l *Leaf) Retune(t querytree.Tuning) error {
	if err := t.Validate(); err != nil {
		return err
	}
	l.active.most.Store(int64(t.Limits.MaxConcurrent))
	return l.child.Retune(t)
}

// trackedQueries is how many active queries are noted for the next start, at least.
const trackedQueries = 256

// mostTracked bounds the file that they are noted in, of a kilobyte each.
const mostTracked = 10_000

// activeQueries notes the queries that are evaluated, so that the next start can
// tell which ran when the process died. It never has a query wait: the gate does,
// by limits that may be raised; those for which the file has no room are not noted.
type activeQueries struct {
	*promql.ActiveQueryTracker
	room atomic.Int64
	most atomic.Int64 // queries at the same time
}

func newActiveQueries(t *promql.ActiveQueryTracker, most int) *activeQueries {
	a := &activeQueries{ActiveQueryTracker: t}
	a.room.Store(int64(t.GetMaxConcurrent()))
	a.most.Store(int64(most))
	return a
}

// GetMaxConcurrent implements promql.QueryTracker.
func (a *activeQueries) GetMaxConcurrent() int { return int(a.most.Load()) }

// unnoted is the place of a query that is not noted.
const unnoted = -1

// Insert implements promql.QueryTracker.
func (a *activeQueries) Insert(ctx context.Context, query string) (int, error) {
	if a.room.Add(-1) < 0 {
		a.room.Add(1)
		return unnoted, ctx.Err()
	}
	i, err := a.ActiveQueryTracker.Insert(ctx, query)
	if err != nil {
		a.room.Add(1)
	}
	return i, err
}

// Delete implements promql.QueryTracker.
func (a *activeQueries) Delete(i int) {
	if i == unnoted {
		return
	}
	a.ActiveQueryTracker.Delete(i)
	a.room.Add(1)
}

// engineMetrics are those of the engine of the moment. Its counters begin anew with
// each, which rate() and its like know how to read.
type engineMetrics struct {
	prometheus.Registerer // of the leaf

	mu      sync.Mutex
	current []prometheus.Collector
}

// newEngineMetrics returns a registerer for one engine after the other.
func newEngineMetrics(reg prometheus.Registerer) *engineMetrics {
	return &engineMetrics{Registerer: reg}
}

// MustRegister implements prometheus.Registerer.
func (m *engineMetrics) MustRegister(cs ...prometheus.Collector) {
	m.mu.Lock()
	first := m.current == nil
	m.current = cs
	m.mu.Unlock()
	if first {
		m.Registerer.MustRegister(m)
	}
}

func (m *engineMetrics) collectors() []prometheus.Collector {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.current
}

// Describe implements prometheus.Collector.
func (m *engineMetrics) Describe(ch chan<- *prometheus.Desc) {
	for _, c := range m.collectors() {
		c.Describe(ch)
	}
}

// Collect implements prometheus.Collector.
func (m *engineMetrics) Collect(ch chan<- prometheus.Metric) {
	for _, c := range m.collectors() {
		c.Collect(ch)
	}
}
