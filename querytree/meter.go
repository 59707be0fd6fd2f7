package querytree

import (
	"context"

	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/storage"
)

// meter reserves, in the budget of the query, what the stock engine holds for
// one selector: all matching series from when it expands the selector, and then
// for each series it reads a point for every step of the grid, since it evaluates
// a selector over the whole grid before it goes on. What it had read before is
// not released until the query ends, because what of it lives on in a result
// cannot be seen from here: the account errs on the high side. Native histograms
// are larger; of these the engine's own limit of samples takes account. A nil
// meter does nothing. It is used by one goroutine, that of the engine.
type meter struct {
	ctx    context.Context
	budget *Budget
	turn   *Turn
	growth growth
	points int64 // of each series
	bytes  int64 // of each point
}

// newMeter returns a meter for a selector, or nil if ctx is of no query that has
// bounds.
func newMeter(ctx context.Context, hints *storage.SelectHints, set storage.SeriesSet) *meter {
	of, _ := ctx.Value(measuresKey{}).(measures)
	m := &meter{ctx: ctx, budget: budgetFrom(ctx), turn: turnFrom(ctx), growth: of.growth, points: of.pinned, bytes: pointBytes}
	if m.budget == nil && m.turn == nil {
		return nil
	}
	// For info() at an instant the engine takes a millisecond to be the step, and
	// the lookback to be a part of the range.
	if hints != nil && hints.Step > 0 && (hints.Func != "info" || hints.Step > 1) {
		m.points = max(m.points, (hints.End-hints.Start-hints.Range)/hints.Step+1)
	}
	m.points = max(m.points, 1)
	if f, ok := set.(*fragmentSet); ok && f.run.f.info != nil { // which makes samples of its own
		m.bytes += gridSampleBytes
	}
	return m
}

// measures are what a query may do to the series it reads, by its text.
type measures struct {
	growth growth
	// pinned is the number of steps that points are copied to which the engine
	// evaluates once.
	pinned int64
	// key tells queries apart of which one costs about what it did last time.
	key string
}

func measuresOf(e parser.Expr, g grid) measures {
	m := measures{growth: growthOf(e)}
	if usesAt(e) {
		m.pinned = int64(g.steps())
	}
	return m
}

type measuresKey struct{}

// in returns a context that carries the measures of the query it is of.
func (m measures) in(ctx context.Context) context.Context {
	return context.WithValue(ctx, measuresKey{}, m)
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
	m.turn.did(m.points)
	m.turn.pass(m.ctx)
	return m.budget.Reserve(m.points * m.bytes)
}
