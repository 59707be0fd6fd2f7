package querytree

import (
	"slices"

	"github.com/prometheus/prometheus/promql/parser"
)

// times rebuilds timestamp() or start_timestamp(). Of a selector they tell the
// times of its samples, so that one stays with what it reads; of anything else
// the time of evaluation, so that the stand-in of a fragment, which is read like
// a selector, is put behind a sign that changes nothing.
func (b *builder) times(n *parser.Call) parser.Expr {
	if _, ok := unparen(n.Args[0]).(*parser.VectorSelector); ok {
		return n
	}
	c := *n
	c.Args = slices.Clone(n.Args)
	c.Args[0] = b.build(n.Args[0], false)
	if vs, ok := unparen(c.Args[0]).(*parser.VectorSelector); ok {
		c.Args[0] = &parser.UnaryExpr{Op: parser.ADD, Expr: vs, StartPos: vs.PosRange.Start}
	}
	return &c
}
