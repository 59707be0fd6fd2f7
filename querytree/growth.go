package querytree

import (
	"math"
	"strings"

	"github.com/prometheus/prometheus/promql/parser"
)

// growth bounds how long label_replace and label_join may make the labels of a
// series: a label of n bytes comes to factor*n + extra bytes at most. Forty
// times label_replace(…, "a", "$1$1", "a", "(.+)") make a terabyte of one byte,
// without the engine coming by anything that could stop it.
type growth struct{ factor, extra float64 }

// growthOf returns the bound for a query. All label functions in it are taken
// as if they came one after the other, in the order of evaluation, and each of
// their sources as if it were the whole label set.
func growthOf(e parser.Expr) growth {
	lens := map[string]growth{}
	of := func(label string) growth {
		if g, ok := lens[label]; ok {
			return g
		}
		return growth{factor: 1}
	}
	eachCall(e, func(c *parser.Call) {
		switch c.Func.Name {
		case "label_replace":
			text := literal(c.Args[2])
			refs := float64(strings.Count(text, "$"))
			src := of(literal(c.Args[3]))
			dst := of(literal(c.Args[1])) // kept where the regexp does not match
			lens[literal(c.Args[1])] = growth{max(dst.factor, refs*src.factor), max(dst.extra, refs*src.extra+float64(len(text)))}
		case "label_join":
			var sum growth
			for _, a := range c.Args[3:] {
				src := of(literal(a))
				sum.factor += src.factor
				sum.extra += src.extra + float64(len(literal(c.Args[2])))
			}
			lens[literal(c.Args[1])] = sum
		}
	})
	var total growth
	for _, g := range lens {
		total.factor += g.factor
		total.extra += g.extra
	}
	return total
}

// eachCall visits calls in the order of their evaluation.
func eachCall(n parser.Node, visit func(*parser.Call)) {
	for child := range parser.ChildrenIter(n) {
		eachCall(child, visit)
	}
	if c, ok := n.(*parser.Call); ok {
		visit(c)
	}
}

func literal(e parser.Expr) string {
	if s, ok := unparen(e).(*parser.StringLiteral); ok {
		return s.Val
	}
	return ""
}

// bytes returns what the labels of a series of n bytes may grow by.
func (g growth) bytes(n int64) int64 {
	b := g.factor*float64(n) + g.extra
	if b >= math.MaxInt64/4 {
		return math.MaxInt64 / 4
	}
	return int64(b)
}
