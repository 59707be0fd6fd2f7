package querytree

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/prometheus/prometheus/model/timestamp"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/util/stats"
)

// Engine is a promql.QueryEngine that answers from a tree, for Prometheus' HTTP
// API and rules. It is safe for concurrent use.
//
// The queryable that a query is made with has to be a *Mixer, or have a method
// Mixer that returns one.
type Engine struct{}

var _ promql.QueryEngine = Engine{}

// NewInstantQuery implements promql.QueryEngine.
func (Engine) NewInstantQuery(_ context.Context, q storage.Queryable, opts promql.QueryOpts, qs string, ts time.Time) (promql.Query, error) {
	return newTreeQuery(q, opts, ExecRequest{Query: qs, Start: timestamp.FromTime(ts), End: timestamp.FromTime(ts)})
}

// NewRangeQuery implements promql.QueryEngine.
func (Engine) NewRangeQuery(_ context.Context, q storage.Queryable, opts promql.QueryOpts, qs string, start, end time.Time, interval time.Duration) (promql.Query, error) {
	req := ExecRequest{Query: qs, Start: timestamp.FromTime(start), End: timestamp.FromTime(end), Step: interval.Milliseconds()}
	if req.Step <= 0 {
		return nil, fmt.Errorf("range query: step %s is shorter than a millisecond", interval)
	}
	tq, err := newTreeQuery(q, opts, req)
	if err != nil {
		return nil, err
	}
	if t := tq.expr.Type(); t != parser.ValueTypeVector && t != parser.ValueTypeScalar {
		return nil, fmt.Errorf("invalid expression type %q for range query, must be Scalar or instant Vector", parser.DocumentedType(t))
	}
	return tq, nil
}

// treeQuery is one query of an Engine.
type treeQuery struct {
	m      *Mixer
	expr   parser.Expr
	req    ExecRequest
	timers *stats.QueryTimers
	sample *stats.QuerySamples
	cancel context.CancelFunc
	budget *Budget
}

func newTreeQuery(q storage.Queryable, opts promql.QueryOpts, req ExecRequest) (*treeQuery, error) {
	tree, ok := q.(interface{ Mixer() *Mixer })
	if !ok {
		return nil, fmt.Errorf("query over a tree: the storage is a %T, not a tree", q)
	}
	m := tree.Mixer()
	expr, err := m.parse(req.Query)
	if err != nil {
		return nil, err
	}
	if opts != nil {
		req.Lookback = opts.LookbackDelta().Milliseconds()
	}
	return newTreeQueryOf(m, expr, req), nil
}

func newTreeQueryOf(m *Mixer, expr parser.Expr, req ExecRequest) *treeQuery {
	return &treeQuery{m: m, expr: expr, req: req, timers: stats.NewQueryTimers(), sample: stats.NewQuerySamples(false)}
}

// Exec implements promql.Query.
func (q *treeQuery) Exec(ctx context.Context) *promql.Result {
	ctx, q.cancel = context.WithCancel(ctx)
	defer q.cancel()
	timer, ctx := q.timers.GetSpanTimer(ctx, stats.ExecTotalTime)
	defer timer.Finish()
	q.req.Options = q.m.requestOptions(ctx)
	ctx, q.budget = q.m.budget(ctx, q.req.Options)
	t := &trail{live: &watch{}}
	ReportFrom(ctx).watch(t.live)
	req, aligned := q.m.align(q.req)
	patience := q.m.cfg.Limits.patienceFor(ctx, req.Options, q.m.name())
	value, warn, report, err := q.m.eval(ctx, req, t)
	// Who analyses a query is shown who was late.
	if err == nil && req.Explain == ExplainOff {
		if err = patience.allLate(report); err != nil {
			err = q.m.limited(ctx, err)
		}
	}
	if report.Aligned = aligned; report.Explanation != nil {
		report.Explanation.Aligned = aligned
	}
	ReportFrom(ctx).Merge(report)
	ReportFrom(ctx).follow(t)
	if err != nil {
		return &promql.Result{Err: err, Warnings: warn}
	}
	for _, c := range report.Children {
		if c.Tier == TierLeaf {
			q.sample.TotalSamples += c.Samples
		}
	}
	q.sample.PeakSamples = int(q.sample.TotalSamples)
	return &promql.Result{Value: value, Warnings: warn}
}

// Close implements promql.Query.
func (q *treeQuery) Close() { q.budget.Close() }

// Statement implements promql.Query.
func (q *treeQuery) Statement() parser.Statement {
	return &parser.EvalStmt{
		Expr: q.expr, Start: timestamp.Time(q.req.Start), End: timestamp.Time(q.req.End),
		Interval: time.Duration(q.req.Step) * time.Millisecond, LookbackDelta: time.Duration(q.req.Lookback) * time.Millisecond,
	}
}

// Stats implements promql.Query.
func (q *treeQuery) Stats() *stats.Statistics {
	return &stats.Statistics{Timers: q.timers, Samples: q.sample}
}

// Cancel implements promql.Query.
func (q *treeQuery) Cancel() {
	if q.cancel != nil {
		q.cancel()
	}
}

// String implements promql.Query.
func (q *treeQuery) String() string { return q.req.Query }

// IsStrictFailure reports whether a strict request failed because a child did.
func IsStrictFailure(err error) bool { return errors.Is(err, ErrUnavailable) }
