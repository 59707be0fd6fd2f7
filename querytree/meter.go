package querytree

import (
	"context"

	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/storage"
)

// meter reserves, in the budget of the query, what the stock engine holds for
// one selector: all matching series from when it expands the selector, and then
// for each series it reads a point for every step of the grid, since it evaluates
// a selector over the whole grid before it goes on. What it had read before is
// not released until the query ends, because what of it lives on in a result
// cannot be seen from here: the account errs on the high side. A nil meter does
// nothing. It is used by one goroutine, that of the engine.
type meter struct {
	ctx    context.Context
	budget *Budget
	turn   *turn
	growth growth
	points int64 // of each series
	bytes  int64 // of each point
}

// newMeter returns a meter for a selector, or nil if ctx is of no query that has
// bounds.
func newMeter(ctx context.Context, q *faultyQueryable, hints *storage.SelectHints, set storage.SeriesSet) *meter {
	m := &meter{ctx: ctx, budget: budgetFrom(ctx), turn: turnFrom(ctx), growth: q.growth, points: q.pinned, bytes: pointBytes}
	if m.budget == nil && m.turn == nil {
		return nil
	}
	if hints != nil && hints.Step > 0 {
		m.points = max(m.points, (hints.End-hints.Start-hints.Range)/hints.Step+1)
	}
	m.points = max(m.points, 1)
	if _, ok := set.(*fragmentSet); ok {
		m.bytes += gridSampleBytes
	}
	return m
}

// measure notes what the query that reads q may do to series.
func (q *faultyQueryable) measure(e parser.Expr, steps int64) {
	q.growth = growthOf(e)
	if usesAt(e) {
		q.pinned = steps
	}
}

// matched accounts for a series that the selector matches.
func (m *meter) matched(s storage.Series) error {
	if m == nil {
		return nil
	}
	m.turn.pass(m.ctx)
	n := labelBytes(s.Labels())
	return m.budget.Reserve(seriesBytes + n + m.growth.bytes(n))
}

// read accounts for the points that the engine makes of a series.
func (m *meter) read() error {
	if m == nil {
		return nil
	}
	m.turn.pass(m.ctx)
	return m.budget.Reserve(m.points * m.bytes)
}

// histogram accounts for the n-th histogram of a series. Those beyond the number
// of points take the place of others.
func (m *meter) histogram(n int64, h *histogram.FloatHistogram) {
	if m == nil || h == nil || n > m.points {
		return
	}
	_ = m.budget.Reserve(int64(h.Size())) // the context ends if it is too much
}
