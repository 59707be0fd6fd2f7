package treetest

import (
	"context"
	"math"
	"slices"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/storage"

	"github.com/pandometrics/pando/querytree"
)

// madeOfChoice reports whether an answer to an aggregation is right whose operand
// chooses among equals, group by group, so that there are more ways to choose than the
// oracle can be asked for: if what the tree says of the operand is right, and the stock
// engine makes the answer of that. The tree may choose anew each time that it is
// asked, by the order of a map, so it is asked until it has chosen as it did.
func (p *Planet) madeOfChoice(q Query, got *promql.Result) bool {
	n := aggregationOf(q.Expr)
	if n == nil || got.Err != nil || choosing(n.Op) || !choosesWithin(n.Expr) || !readsNothing(n.Param) {
		return false
	}
	operand := Query{n.Expr.String(), q.Start, q.End, q.Step}
	want := p.Oracle(operand)
	n.Expr = &parser.VectorSelector{Name: "own"}
	whole := Query{n.String(), q.Start, q.End, q.Step}
	for i := range choicesAsked {
		ctx := querytree.WithOptions(context.Background(), querytree.Options{NoPushdown: i%2 == 1})
		if p.isMadeOf(whole, operand, want, p.Ask(ctx, operand), got) {
			return true
		}
	}
	return false
}

// choicesAsked is how often the tree is asked for the operand of an aggregation.
const choicesAsked = 100

// isMadeOf reports whether the tree's own answer to an operand is right, and an
// aggregation's answer is what the stock engine makes of it.
func (p *Planet) isMadeOf(whole, operand Query, want, own, got *promql.Result) bool {
	if own.Err != nil {
		return false
	}
	made := Run(context.Background(), p.oracle, answered(operand, own.Value), whole)
	if made.Err != nil || p.tolerance().diffValues(made.Value, got.Value, false) != "" {
		return false
	}
	if p.tolerance().diff(operand.Expr, want, own) == "" {
		return true
	}
	reason, _ := p.accepted(operand, want, own)
	return reason != ""
}

// aggregationOf returns the aggregation that a query is, nil if it is none.
func aggregationOf(query string) *parser.AggregateExpr {
	e, err := querytree.NewParser().ParseExpr(query)
	if err != nil {
		return nil
	}
	for paren, ok := e.(*parser.ParenExpr); ok; paren, ok = e.(*parser.ParenExpr) {
		e = paren.Expr
	}
	n, _ := e.(*parser.AggregateExpr)
	return n
}

// readsNothing reports whether a parameter reads nothing.
func readsNothing(param parser.Expr) bool {
	switch param.(type) {
	case nil, *parser.NumberLiteral, *parser.StringLiteral:
		return true
	}
	return false
}

// answered is a storage where whatever is selected is an answer to a query: nothing
// is there at the steps where the answer has nothing.
func answered(q Query, v parser.Value) storage.Queryable {
	var out answer
	for _, s := range matrixOf(v) {
		at := map[int64]SynthPoint{}
		for _, p := range s.Floats {
			at[p.T] = SynthPoint{Time: p.T, Float: p.F}
		}
		for _, p := range s.Histograms {
			at[p.T] = SynthPoint{Time: p.T, Histogram: p.H}
		}
		var points []SynthPoint
		for t := q.Start; t <= max(q.Start, q.End); t += max(q.Step, 1) {
			p, ok := at[t]
			if !ok {
				p = SynthPoint{Time: t, Float: math.Float64frombits(value.StaleNaN)}
			}
			points = append(points, p)
			if q.Step == 0 {
				break
			}
		}
		out = append(out, storage.NewListSeries(s.Metric, samplesOf(points)))
	}
	return out
}

// answer is the series of an answer, which every selector selects.
type answer []storage.Series

// Querier implements storage.Queryable.
func (a answer) Querier(int64, int64) (storage.Querier, error) { return answerQuerier{series: a}, nil }

type answerQuerier struct {
	storage.LabelQuerier
	series []storage.Series
}

// Close implements storage.Querier.
func (answerQuerier) Close() error { return nil }

// Select implements storage.Querier.
func (q answerQuerier) Select(context.Context, bool, *storage.SelectHints, ...*labels.Matcher) storage.SeriesSet {
	out := slices.Clone(q.series)
	slices.SortFunc(out, func(a, b storage.Series) int { return labels.Compare(a.Labels(), b.Labels()) })
	return &listSet{series: out, at: -1}
}
