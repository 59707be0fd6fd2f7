package rollup

import (
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
)

// Halves returns how the sum and the count that make an average can be answered,
// by rules that do not keep both: those of sums and those of counts, each likely the smallest first;
// none of either if there is none of the other, or if n is no average. The
// average is the sum divided by the count where Holds of a sum says so.
//
// A sum of points that warn of nothing tells that no group had floats and
// histograms in it, so that all that was counted was added up. Both must be of the
// same series: that of a time at which one of them lacks a child is no average.
func (rs *Rules) Halves(n *parser.AggregateExpr, constants labels.Labels) (sums, counts []Match) {
	if n.Op != parser.AVG || len(rs.all) == 0 {
		return nil, nil
	}
	q, err := askedFor(n)
	if err != nil {
		return nil, nil
	}
	if sums = rs.half(q, parser.SUM, constants); len(sums) > 0 {
		counts = rs.half(q, parser.COUNT, constants)
	}
	if len(counts) == 0 {
		return nil, nil
	}
	return sums, counts
}

// half returns how rules of one operator answer a query that is by another.
func (rs *Rules) half(q query, op parser.ItemType, constants labels.Labels) (matches []Match) {
	q.op = op
	for _, r := range rs.byMetric[q.inner.metric] {
		if r.Expr.Op != op {
			continue
		}
		if m, err := r.match(q, constants); err == nil {
			matches = append(matches, m)
		}
	}
	return matches
}

// halfBeside returns what an average takes besides one of sum and count.
func halfBeside(op parser.ItemType) parser.ItemType {
	if op == parser.SUM {
		return parser.COUNT
	}
	return parser.SUM
}
