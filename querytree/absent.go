package querytree

import (
	"github.com/prometheus/prometheus/promql/parser"
)

// absent asks each child whether it has anything, not for what it has: absence
// above is that of all. The labels of the answer are those of the selector's
// equality matchers, which the stand-in keeps.
func (b *builder) absent(n *parser.Call) parser.Expr {
	arg := unparen(n.Args[0])
	t := b.a.of(arg)
	if t.constant || !t.local() || (b.namesSeen && t.dropsName) || b.overRollups(arg) {
		return nil
	}
	var labelled parser.Expr = n
	var below parser.Expr = &parser.AggregateExpr{Op: parser.GROUP, Expr: arg}
	text := func() string { return b.around("group(", arg) }
	switch s := arg.(type) {
	case *parser.VectorSelector:
		labelled = s
	case *parser.MatrixSelector:
		labelled = s.VectorSelector
	}
	if arg.Type() == parser.ValueTypeMatrix {
		below = &parser.AggregateExpr{Op: parser.GROUP, Expr: &parser.Call{
			Func: parser.Functions["present_over_time"], Args: parser.Expressions{arg},
		}}
		text = func() string { return b.text(below, n) }
	}
	f := b.fragmentOf(below, t, "fold", text)
	if f == nil {
		return nil
	}
	b.standsFor(f, n)
	f.Merge, f.Ops, f.quiet = MergeFold, []string{"group"}, false
	return &parser.Call{
		Func: parser.Functions["absent"], Args: parser.Expressions{b.standInAt(f, labelled, arg)}, PosRange: n.PosRange,
	}
}

// scalar asks each child for two values at most: of more than one it makes NaN,
// whichever they are.
func (b *builder) scalar(n *parser.Call) parser.Expr {
	arg := unparen(n.Args[0])
	t := b.a.of(arg)
	if !t.operand() || !b.pushable(arg, t, false) || b.overRollups(arg) {
		return nil
	}
	two := &parser.AggregateExpr{Op: parser.LIMITK, Param: &parser.NumberLiteral{Val: 2}, Expr: arg}
	f := b.fragmentOf(two, t, "scalar", func() string { return b.around("limitk(2,", arg) })
	if f == nil {
		return nil
	}
	b.standsFor(f, n)
	f.quiet, f.floatsOnly = false, true
	c := *n
	c.Args = parser.Expressions{b.standInAt(f, n.Args[0], arg)}
	return &c
}
