package querytree

import (
	"slices"

	"github.com/prometheus/prometheus/promql/parser"
)

// subquery evaluates what can be pushed down of a subquery's expression on the
// subquery's own grid. What is pulled raw there is left alone: so is a subquery
// whose times are not known before it is evaluated.
func (b *builder) subquery(n *parser.SubqueryExpr) parser.Expr {
	g, ok := b.inner(n)
	if !ok {
		return n
	}
	outer := b.grid
	b.grid = g
	defer func() { b.grid = outer }()
	defer b.readBuckets()()
	c := *n
	c.Expr = b.build(n.Expr, false)
	return &c
}

// maxInner is how many steps of a subquery children are asked for at most; a
// finer one is computed from raw series.
const maxInner = 100_000

// inner returns the times at which the engine may evaluate the expression of a
// subquery, as its subqueryTimeRange tells: multiples of the step, from the
// range before the first outer time to the last outer time.
func (b *builder) inner(n *parser.SubqueryExpr) (grid, bool) {
	if n.RangeExpr != nil || n.StepExpr != nil || n.OriginalOffsetExpr != nil || n.Step <= 0 {
		return grid{}, false
	}
	start, end := b.grid.start, b.grid.end
	switch {
	case n.StartOrEnd == parser.START:
		start, end = b.p.grid.start, b.p.grid.start
	case n.StartOrEnd == parser.END:
		start, end = b.p.grid.end, b.p.grid.end
	case n.Timestamp != nil:
		start, end = *n.Timestamp, *n.Timestamp
	}
	offset, step := n.OriginalOffset.Milliseconds(), n.Step.Milliseconds()
	if step <= 0 {
		return grid{}, false
	}
	from := start - offset - n.Range.Milliseconds()
	g := grid{start: step * (from / step), end: end - offset, step: step}
	if g.start <= from {
		g.start += step
	}
	if g.start > g.end || (g.end-g.start)/g.step >= maxInner {
		return grid{}, false
	}
	g.end = g.time(g.steps() - 1)
	return g, true
}

// fixed returns e as it is to be evaluated on a grid that is not the request's:
// start() and end() of an @ modifier are those of the request. It returns nil if
// e depends on the request in other ways.
func (b *builder) fixed(e parser.Expr) parser.Expr {
	ends, other := ofRequest(e)
	if other {
		return nil
	}
	if !ends {
		return e
	}
	c, err := b.p.parse(e.String())
	if err != nil {
		return nil
	}
	at := func(t **int64, which *parser.ItemType) {
		switch *which {
		case parser.START:
			*t = &b.p.grid.start
		case parser.END:
			*t = &b.p.grid.end
		}
		*which = 0
	}
	parser.Inspect(c, func(n parser.Node, _ []parser.Node) error {
		switch n := n.(type) {
		case *parser.VectorSelector:
			at(&n.Timestamp, &n.StartOrEnd)
		case *parser.SubqueryExpr:
			at(&n.Timestamp, &n.StartOrEnd)
		}
		return nil
	})
	return c
}

// ofRequest reports whether e depends on the times of the request as a whole: by
// start() or end() in an @ modifier, or in other ways.
func ofRequest(e parser.Expr) (ends, other bool) {
	parser.Inspect(e, func(n parser.Node, _ []parser.Node) error {
		switch n := n.(type) {
		case *parser.VectorSelector:
			ends = ends || n.StartOrEnd != 0
			other = other || n.OriginalOffsetExpr != nil
		case *parser.MatrixSelector:
			other = other || n.RangeExpr != nil
		case *parser.SubqueryExpr:
			ends = ends || n.StartOrEnd != 0
			other = other || n.RangeExpr != nil || n.StepExpr != nil || n.OriginalOffsetExpr != nil
		case *parser.Call:
			other = other || slices.Contains([]string{"start", "end", "range", "step"}, n.Func.Name)
		}
		return nil
	})
	return ends, other
}

// guardText is text for a guard, whose position does not matter.
func (b *builder) guardText(g parser.Expr) string {
	if b.grid != b.p.grid {
		if g = b.fixed(g); g == nil {
			return ""
		}
	}
	return g.String()
}

// shifted reports whether e reads series at other times than it is evaluated at.
func shifted(e parser.Expr) bool {
	found := usesAt(e)
	parser.Inspect(e, func(n parser.Node, _ []parser.Node) error {
		switch n := n.(type) {
		case *parser.VectorSelector:
			found = found || n.OriginalOffset != 0 || n.OriginalOffsetExpr != nil
		case *parser.SubqueryExpr:
			found = found || n.OriginalOffset != 0 || n.OriginalOffsetExpr != nil
		}
		return nil
	})
	return found
}
