package querytree

import (
	"slices"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
)

func (b *builder) aggregate(n *parser.AggregateExpr) parser.Expr {
	rolled := b.overRollups(n.Expr)
	if b.under && !rolled {
		if f := b.aggregated(n); f != nil {
			return b.standIn(f, n)
		}
	}
	if !rolled {
		if e := b.reaggregate(n); e != nil {
			return e
		}
	}
	if n.Op == parser.LIMITK && ordersItself(n.Expr) {
		first := b.first
		b.first = true
		defer func() { b.first = first }()
	}
	c := *n
	c.Expr = b.build(n.Expr, false)
	if n.Param != nil && !usesAt(n.Param) {
		c.Param = b.parameter(n)
	}
	return &c
}

// parameter rebuilds the parameter of an aggregation. The engine takes an aggregation
// for one that is the same at every step if its operand is, and then looks at the
// first step of the parameter alone.
func (b *builder) parameter(n *parser.AggregateExpr) parser.Expr {
	if usesAt(n.Expr) && b.p.stepInvariant(n.Expr.String()) {
		outer := b.grid
		b.grid.end = b.grid.start
		defer func() { b.grid = outer }()
	}
	return b.build(n.Param, false)
}

// usesAt reports whether e has an @ modifier. The stock engine does not prepare
// the parameters of aggregations for these, and takes them otherwise there than
// a child would on its own.
func usesAt(e parser.Expr) bool {
	found := false
	parser.Inspect(e, func(n parser.Node, _ []parser.Node) error {
		switch n := n.(type) {
		case *parser.VectorSelector:
			found = found || n.Timestamp != nil || n.StartOrEnd != 0
		case *parser.SubqueryExpr:
			found = found || n.Timestamp != nil || n.StartOrEnd != 0
		}
		return nil
	})
	return found
}

// reaggregate splits an aggregation into one below and one above. It returns
// nil if that would not be exact.
func (b *builder) reaggregate(n *parser.AggregateExpr) parser.Expr {
	t := b.a.of(n.Expr)
	if !t.operand() || (n.Param != nil && !b.a.of(n.Param).constant) || (b.namesSeen && t.dropsName) {
		return nil
	}
	switch n.Op {
	case parser.SUM, parser.MIN, parser.MAX, parser.GROUP, parser.COUNT, parser.COUNT_VALUES:
		return b.foldOne(n, t)
	case parser.AVG:
		return b.average(n, t)
	case parser.STDDEV, parser.STDVAR:
		return b.foldSeveral(n, n.Op, "fold", []string{"count", "avg", n.Op.String()}, t)
	case parser.QUANTILE:
		return b.quantile(n, t)
	case parser.TOPK, parser.BOTTOMK:
		return b.choose(n, t)
	case parser.LIMITK:
		if t.ordered {
			return b.choose(n, t)
		}
	}
	return nil
}

// choose asks for the k of each child and chooses among them again.
func (b *builder) choose(n *parser.AggregateExpr, t traits) parser.Expr {
	f := b.fragment(n, n, t, "concat")
	if f == nil {
		return nil
	}
	f.quiet = false
	c := *n
	c.Expr = b.standInAt(f, n, unparen(n.Expr))
	return &c
}

// foldOne asks for the parts of an aggregation, and merges them as they come.
func (b *builder) foldOne(n *parser.AggregateExpr, t traits) parser.Expr {
	f := b.fragment(n, n, t, "fold")
	if f == nil {
		return b.partial(n, n.Op, aboveOf(n.Op), t, false)
	}
	b.foldedAs(f, n)
	f.keys = []string{b.key("partial "+n.Op.String(), n)}
	return b.standIn(f, n)
}

// foldedAs makes a fragment one of parts of an aggregation, merged as they come.
func (b *builder) foldedAs(f *Fragment, n *parser.AggregateExpr) {
	f.Merge, f.Ops, f.quiet = MergeFold, []string{n.Op.String()}, false
	f.above = b.overParts(f, n, aboveOf(n.Op))
}

// aboveOf returns the operator that aggregates parts further.
func aboveOf(op parser.ItemType) parser.ItemType {
	switch op {
	case parser.COUNT, parser.COUNT_VALUES:
		return parser.SUM
	default:
		return op
	}
}

// foldSeveral asks for several aggregations of one operand at once. loud is the
// one whose annotations are those of n; keys are of what does not do either if
// this does not.
func (b *builder) foldSeveral(n *parser.AggregateExpr, loud parser.ItemType, kind string, ops []string, t traits, keys ...string) parser.Expr {
	below := *n
	below.Op = loud
	f := b.fragment(&below, n, t, kind+" for "+n.Op.String())
	if f == nil {
		return nil
	}
	f.Merge, f.Ops, f.final, f.quiet, f.keys = MergeFold, ops, n.Op.String(), false, keys
	return b.standIn(f, n)
}

// foldAgain is the kind of a fold that asks for means as well, after a sum was
// not a number.
const foldAgain = "fold again"

// average asks for sums and counts. Where they cannot be merged as they come,
// as those of native histograms, the residual divides one by the other; division
// drops the metric name, so that an average by name stays above then.
func (b *builder) average(n *parser.AggregateExpr, t traits) parser.Expr {
	again, parts := *n, *n
	again.Op, parts.Op = parser.SUM, parser.SUM
	if e := b.foldSeveral(n, parser.SUM, "fold", []string{"sum", "count"}, t, b.key(foldAgain+" for avg", &again)); e != nil {
		return e
	}
	if e := b.foldSeveral(n, parser.SUM, foldAgain, []string{"sum", "count", "avg"}, t, b.key("partial sum", &parts)); e != nil {
		return e
	}
	if !n.Without && slices.Contains(n.Grouping, labels.MetricName) {
		return nil
	}
	sum := b.partial(n, parser.SUM, parser.SUM, t, false)
	if sum == nil {
		return nil
	}
	for _, f := range b.plan.Fragments {
		if f.key == b.key("partial sum", &parts) {
			f.final = n.Op.String()
		}
	}
	count := b.partial(n, parser.COUNT, parser.SUM, t, true)
	if count == nil {
		return nil
	}
	return &parser.ParenExpr{PosRange: n.PosRange, Expr: &parser.BinaryExpr{
		Op: parser.DIV, LHS: sum, RHS: count,
		VectorMatching: &parser.VectorMatching{Card: parser.CardOneToOne},
	}}
}

// quantile asks for the operand and gathers its values, which is exact whatever
// the grouping.
func (b *builder) quantile(n *parser.AggregateExpr, t traits) parser.Expr {
	q, ok := unparen(n.Param).(*parser.NumberLiteral)
	if !ok || !(q.Val >= 0 && q.Val <= 1) || !b.pushable(n.Expr, t, false) {
		return nil
	}
	f := b.fragment(n.Expr, n.Expr, t, "quantile "+n.String()+" of")
	if f == nil {
		return nil
	}
	b.standsFor(f, n)
	f.Merge, f.q, f.grouping, f.without, f.quiet = MergeQuantile, q.Val, n.Grouping, n.Without, false
	return b.standInAt(f, n, n)
}

// partial pushes op over the operand of n and returns the aggregation above it
// of the children's answers.
func (b *builder) partial(n *parser.AggregateExpr, op, above parser.ItemType, t traits, quiet bool) parser.Expr {
	if op == parser.COUNT_VALUES {
		return nil // a count is a float whatever was counted
	}
	below := *n
	below.Op = op
	f := b.fragment(&below, n, t, "partial "+op.String())
	if f == nil {
		return nil
	}
	f.Merge, f.Ops, f.quiet = MergeParts, []string{op.String()}, f.quiet && quiet
	return b.overParts(f, n, above)
}

// overParts returns the aggregation of a fragment's parts, told apart by
// childLabel.
func (b *builder) overParts(f *Fragment, n *parser.AggregateExpr, above parser.ItemType) parser.Expr {
	c := *n
	c.Op, c.Param = above, nil
	c.Expr = b.standInAt(f, n, unparen(n.Expr))
	if n.Without {
		c.Grouping = append(slices.Clone(n.Grouping), childLabel)
	}
	return &c
}
