package querytree

import (
	"slices"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
)

// The engine refuses a match whose one side has two series for one match group,
// but only if neither side is empty at that time. A child may have an empty side
// where the whole tree has not, and would not notice. So a match is pushed down
// only if its one side cannot have such series, or together with a guard that
// finds them.

// oneSide returns the side of a match that must have one series a group.
func oneSide(n *parser.BinaryExpr, l, r traits) (parser.Expr, traits) {
	if n.VectorMatching.Card == parser.CardOneToMany {
		return n.LHS, l
	}
	return n.RHS, r
}

// distinct reports whether no two series of e can be in one match group.
func distinct(e parser.Expr, t traits, m *parser.VectorMatching) bool {
	switch n := e.(type) {
	case *parser.ParenExpr:
		return distinct(n.Expr, t, m)
	case *parser.AggregateExpr:
		return distinctGroups(n, m)
	}
	// Label sets differ; without the metric name still if all have the same.
	return t.oneName && !m.On && len(m.MatchingLabels) == 0
}

// distinctGroups reports whether the groups of an aggregation are told apart by
// the labels matched on.
func distinctGroups(n *parser.AggregateExpr, m *parser.VectorMatching) bool {
	switch n.Op {
	case parser.TOPK, parser.BOTTOMK, parser.LIMITK, parser.LIMIT_RATIO, parser.COUNT_VALUES:
		return false
	}
	for _, name := range n.Grouping {
		if n.Without {
			break
		}
		if slices.Contains(m.MatchingLabels, name) != m.On || name == labels.MetricName {
			return false
		}
	}
	if !n.Without {
		return true
	}
	if m.On {
		return false // it may keep any label
	}
	for _, name := range m.MatchingLabels {
		if !slices.Contains(n.Grouping, name) {
			return false
		}
	}
	return true
}

// guard returns an expression that has a result wherever two series of one are
// in one match group.
func guard(one parser.Expr, m *parser.VectorMatching) parser.Expr {
	count := &parser.AggregateExpr{Op: parser.COUNT, Expr: one, Grouping: m.MatchingLabels, Without: !m.On}
	return &parser.BinaryExpr{Op: parser.GTR, LHS: count, RHS: &parser.NumberLiteral{Val: 1}}
}
