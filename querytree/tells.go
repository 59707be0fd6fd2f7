package querytree

import (
	"slices"

	"github.com/prometheus/prometheus/promql/parser"
)

// tells reports whether an empty answer to e says that its only selector found
// nothing: no operator of e leaves out series, but for those of too few samples.
func tells(e parser.Expr) bool {
	switch n := e.(type) {
	case *parser.VectorSelector:
		return true
	case *parser.MatrixSelector:
		return true
	case *parser.SubqueryExpr:
		return tells(n.Expr)
	case *parser.ParenExpr:
		return tells(n.Expr)
	case *parser.StepInvariantExpr:
		return tells(n.Expr)
	case *parser.UnaryExpr:
		return tells(n.Expr)
	case *parser.AggregateExpr:
		return aggregationTells(n)
	case *parser.BinaryExpr:
		if n.Op.IsComparisonOperator() && !n.ReturnBool {
			return false
		}
		_, l := unparen(n.LHS).(*parser.NumberLiteral)
		_, r := unparen(n.RHS).(*parser.NumberLiteral)
		return l != r && (l || tells(n.LHS)) && (r || tells(n.RHS))
	case *parser.Call:
		return callTells(n)
	default:
		return false
	}
}

func aggregationTells(n *parser.AggregateExpr) bool {
	switch n.Op {
	case parser.SUM, parser.AVG, parser.MIN, parser.MAX, parser.COUNT, parser.GROUP, parser.STDDEV, parser.STDVAR:
		return tells(n.Expr)
	case parser.TOPK, parser.BOTTOMK, parser.LIMITK, parser.QUANTILE:
		k, ok := unparen(n.Param).(*parser.NumberLiteral)
		return ok && sensible(n.Op, k.Val) && tells(n.Expr)
	case parser.COUNT_VALUES:
		return tells(n.Expr)
	default:
		return false
	}
}

// tellingFuncs are functions with a result for each of their series, but for those of
// too few samples. Of absent() and scalar(), children are asked for the operand.
var tellingFuncs = []string{
	"absent", "absent_over_time", "scalar", "timestamp",
	"rate", "irate", "increase", "delta", "idelta", "deriv", "changes", "resets", "predict_linear",
	"avg_over_time", "min_over_time", "max_over_time", "sum_over_time", "count_over_time", "last_over_time",
	"first_over_time", "present_over_time", "quantile_over_time", "stddev_over_time", "stdvar_over_time",
	"abs", "ceil", "floor", "round", "exp", "ln", "log2", "log10", "sqrt", "sgn", "clamp_min", "clamp_max",
	"label_replace", "label_join", "sort", "sort_desc", "sort_by_label", "sort_by_label_desc",
}

func callTells(n *parser.Call) bool {
	if !slices.Contains(tellingFuncs, n.Func.Name) {
		return false
	}
	operands := 0
	for _, arg := range n.Args {
		switch unparen(arg).(type) {
		case *parser.NumberLiteral, *parser.StringLiteral:
		default:
			if operands++; !tells(arg) {
				return false
			}
		}
	}
	return operands == 1
}
