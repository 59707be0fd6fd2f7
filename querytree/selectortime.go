package querytree

import (
	"math"
	"slices"
	"time"

	"github.com/prometheus/prometheus/model/timestamp"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
)

// selectorRange returns the times of the samples that one selector of a query
// looks at; path leads to it.
//
// Prometheus tells that of whole expressions. So the selector is taken out of its
// expression, with the subqueries around it, which are all that matters. Info
// looks for series of its own at times of its own, so what is in it may be of any
// time.
func (m *Mixer) selectorRange(req ExecRequest, vs *parser.VectorSelector, path []parser.Node) (mint, maxt int64) {
	alone := *vs
	var expr parser.Expr = &alone
	for _, n := range slices.Backward(path) {
		switch n := n.(type) {
		case *parser.MatrixSelector:
			around := *n
			around.VectorSelector = expr
			expr = &around
		case *parser.SubqueryExpr:
			around := *n
			around.Expr = expr
			expr = &around
		case *parser.Call:
			if n.Func.Name == "info" {
				return math.MinInt64, math.MaxInt64
			}
		}
	}
	start, end, step := timestamp.Time(req.Start), timestamp.Time(req.End), time.Duration(req.Step)*time.Millisecond
	expr, err := promql.PreprocessExpr(expr, start, end, step)
	if err != nil {
		return math.MinInt64, math.MaxInt64
	}
	return promql.FindMinMaxTime(&parser.EvalStmt{
		Expr: expr, Start: start, End: end, Interval: step, LookbackDelta: time.Duration(req.Lookback) * time.Millisecond,
	})
}
