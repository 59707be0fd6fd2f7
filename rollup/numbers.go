package rollup

import (
	"math"

	"github.com/prometheus/prometheus/promql/parser"
)

// number returns the value of an expression of numbers.
func number(e parser.Expr) (float64, bool) {
	switch n := e.(type) {
	case *parser.ParenExpr:
		return number(n.Expr)
	case *parser.NumberLiteral:
		return n.Val, true
	case *parser.UnaryExpr:
		v, ok := number(n.Expr)
		if n.Op == parser.SUB {
			v = -v
		}
		return v, ok
	case *parser.Call:
		return math.Pi, n.Func.Name == "pi"
	case *parser.BinaryExpr:
		l, lok := number(n.LHS)
		r, rok := number(n.RHS)
		v, ok := arithmetic(n.Op, l, r)
		return v, lok && rok && ok
	default:
		return 0, false
	}
}

func arithmetic(op parser.ItemType, l, r float64) (float64, bool) {
	switch op {
	case parser.ADD:
		return l + r, true
	case parser.SUB:
		return l - r, true
	case parser.MUL:
		return l * r, true
	case parser.DIV:
		return l / r, true
	case parser.POW:
		return math.Pow(l, r), true
	case parser.MOD:
		return math.Mod(l, r), true
	case parser.ATAN2:
		return math.Atan2(l, r), true
	default:
		return 0, false
	}
}
