package treetest

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/timestamp"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/storage"

	"github.com/pandometrics/pando/querytree"
)

type (
	histogramT      = histogram.Histogram
	floatHistogramT = histogram.FloatHistogram
)

// Tolerance is the relative difference between answers that is allowed unless a
// tree's Config says otherwise: the rounding of a different summation order of
// fewer than a thousand series. Of more, it is ManySeries.
const (
	Tolerance  = 1e-12
	ManySeries = 1e-9
)

// tolerance is a relative difference that is allowed.
type tolerance float64

// Query is a query to compare. A zero Step makes it an instant query at Start.
// Times are in milliseconds.
type Query struct {
	Expr             string
	Start, End, Step int64
}

// String is the query as it is printed when answers differ.
func (q Query) String() string {
	if q.Step == 0 {
		return fmt.Sprintf("%s @ %d", q.Expr, q.Start)
	}
	return fmt.Sprintf("%s from %d to %d step %d", q.Expr, q.Start, q.End, q.Step)
}

// Run evaluates q with a stock engine over a storage. The query is not closed, for
// its answer would be used again.
func Run(ctx context.Context, e promql.QueryEngine, s storage.Queryable, q Query) *promql.Result {
	query, err := prepare(ctx, e, s, q)
	if err != nil {
		return &promql.Result{Err: err}
	}
	return query.Exec(ctx)
}

func prepare(ctx context.Context, e promql.QueryEngine, s storage.Queryable, q Query) (promql.Query, error) {
	opts := promql.NewPrometheusQueryOpts(false, 0)
	if q.Step == 0 {
		return e.NewInstantQuery(ctx, s, opts, q.Expr, timestamp.Time(q.Start))
	}
	return e.NewRangeQuery(ctx, s, opts, q.Expr, timestamp.Time(q.Start), timestamp.Time(q.End), time.Duration(q.Step)*time.Millisecond)
}

// Oracle evaluates q with one stock engine over the union of all series. It
// reads series in the order of their labels, since topk and limitk choose among
// equals by order.
func (p *Planet) Oracle(q Query) *promql.Result {
	return Run(context.Background(), p.oracle, querytree.Sorted(p.TestStorage), q)
}

// Ask evaluates q at the root.
func (p *Planet) Ask(ctx context.Context, q Query) *promql.Result {
	query, err := prepare(ctx, querytree.Engine{}, p.Root, q)
	if err != nil {
		return &promql.Result{Err: err}
	}
	defer query.Close()
	return query.Exec(ctx)
}

// Diff compares the root's answer to q with the oracle's: values, labels,
// errors and annotations. It returns "" if they are equal, and whether the
// answer held anything.
func (p *Planet) Diff(ctx context.Context, q Query) (diff string, nonEmpty bool) {
	want, got := p.Oracle(q), p.Ask(ctx, q)
	return p.DiffAnswers(q, want, got), want.Err == nil && sizeOf(want.Value) > 0
}

// DiffAnswers compares an answer to q with another, which is the oracle's or as
// good. What is accepted for a Reason is counted.
func (p *Planet) DiffAnswers(q Query, want, got *promql.Result) string {
	d := p.tolerance().diff(q.Expr, want, got)
	if d == "" {
		p.verdicts.add(q, "")
		return ""
	}
	reason, why := p.accepted(q, want, got)
	p.verdicts.add(q, reason)
	if reason != "" {
		return ""
	}
	return fmt.Sprintf("%s\n%s\nand one engine, asked again: %s\nto keep it in querytree/testdata/found.txt:\n%s", q, d, why, q.line())
}

func (p *Planet) tolerance() tolerance {
	if p.cfg.Tolerance > 0 {
		return tolerance(p.cfg.Tolerance)
	}
	return Tolerance
}

func sizeOf(v parser.Value) int {
	switch v := v.(type) {
	case promql.Matrix:
		return len(v)
	case promql.Vector:
		return len(v)
	default:
		return 1
	}
}

// Check fails the test if the root's answer to q differs from the oracle's.
func (p *Planet) Check(tb testing.TB, q Query) {
	tb.Helper()
	if d, _ := p.Diff(context.Background(), q); d != "" {
		tb.Error(d)
	}
}

// IsLimit is a helper for tests that expect a limit to be enforced.
func IsLimit(err error) bool {
	var many promql.ErrTooManySamples
	return querytree.IsLimit(err) || errors.As(err, &many)
}
