package treetest

import (
	"cmp"
	"context"
	"math"
	"slices"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"

	"github.com/pandometrics/pando/querytree"
)

// chosen reports whether two answers to a topk or bottomk differ in which of
// several equals they keep, and in nothing else: their values are the same at each
// time, and each sample is one that the operand has.
func (p *Planet) chosen(q Query, want, got *promql.Result) bool {
	if want.Err != nil || got.Err != nil || diffAnnotations(q.Expr, want, got) != "" {
		return false
	}
	n := choiceOf(q.Expr)
	if n == nil || n.Op == parser.LIMITK {
		return false
	}
	operand := Run(context.Background(), p.oracle, querytree.Sorted(p.TestStorage), Query{n.Expr.String(), q.Start, q.End, q.Step})
	if operand.Err != nil {
		return false
	}
	if !p.takenFrom(operand.Value, got.Value) {
		return false
	}
	w, g := valuesByTime(want.Value), valuesByTime(got.Value)
	if len(w) != len(g) {
		return false
	}
	for t, values := range w {
		if !slices.EqualFunc(values, g[t], p.tolerance().near) {
			return false
		}
	}
	return true
}

// takenFrom reports whether each sample of an answer is one that is chosen from, with
// all of a histogram's components, and none is there twice.
func (p *Planet) takenFrom(from, got parser.Value) bool {
	all := flatten(from, labels.Labels.String).values
	for key, v := range flatten(got, labels.Labels.String).values {
		if has, ok := all[key]; !ok || !p.tolerance().near(has, v) {
			return false
		}
	}
	return nothingTwice(got)
}

// nothingTwice reports whether no series of an answer has two samples at a time.
func nothingTwice(v parser.Value) bool {
	seen := map[candidateKey]bool{}
	isNew := func(series string, t int64) bool {
		key := candidateKey{series, t}
		was := seen[key]
		seen[key] = true
		return !was
	}
	for _, s := range matrixOf(v) {
		name := s.Metric.String()
		for _, x := range s.Floats {
			if !isNew(name, x.T) {
				return false
			}
		}
		for _, x := range s.Histograms {
			if !isNew(name, x.T) {
				return false
			}
		}
	}
	return true
}

// choiceOf returns the topk, bottomk or limitk that a query is, nil if it is none.
func choiceOf(query string) *parser.AggregateExpr {
	if n := aggregationOf(query); n != nil && choosing(n.Op) {
		return n
	}
	return nil
}

// chosenOfChosen reports whether an answer to a topk, bottomk or limitk is right
// whose operand makes such a choice too, so that there are more ways to choose than
// the oracle can be asked for: if what the tree says of the operand is right, and the
// answer is what the operator makes of that.
func (p *Planet) chosenOfChosen(q Query, got *promql.Result) bool {
	n := choiceOf(q.Expr)
	if n == nil || got.Err != nil || !choosesWithin(n.Expr) {
		return false
	}
	k := Run(context.Background(), p.oracle, querytree.Sorted(p.TestStorage), Query{n.Param.String(), q.Start, q.End, q.Step})
	if k.Err != nil {
		return false
	}
	operand := Query{n.Expr.String(), q.Start, q.End, q.Step}
	want, own := p.Oracle(operand), p.Ask(context.Background(), operand)
	if p.tolerance().diff(operand.Expr, want, own) != "" {
		if reason, _ := p.accepted(operand, want, own); reason == "" {
			return false
		}
	}
	if want.Err != nil {
		return false
	}
	if !p.takenFrom(own.Value, got.Value) {
		return false
	}
	return p.keeps(n, countsByTime(k.Value), groupsOf(n, own.Value), groupsOf(n, got.Value))
}

// moment is one group of an aggregation at one time.
type moment struct {
	t     int64
	group string
}

// momentOf returns the group of an aggregation that a sample is in.
func momentOf(n *parser.AggregateExpr, s candidate) moment {
	group := s.series.Metric.MatchLabels(!n.Without, n.Grouping...)
	if n.Without {
		group = labels.NewBuilder(group).Del(labels.MetricName).Labels()
	}
	return moment{s.t, group.String()}
}

// groupsOf returns the floats of a value by the groups of an aggregation; limitk, which
// does not look at values, keeps histograms too.
func groupsOf(n *parser.AggregateExpr, v parser.Value) map[moment][]float64 {
	out := map[moment][]float64{}
	for _, s := range candidatesOf(v) {
		if !s.hist || n.Op == parser.LIMITK {
			at := momentOf(n, s)
			out[at] = append(out[at], s.v)
		}
	}
	return out
}

// keeps reports whether an answer has k samples of each group, or all, and of a topk
// or bottomk those that are the largest or smallest.
func (p *Planet) keeps(n *parser.AggregateExpr, k map[int64]int, all, got map[moment][]float64) bool {
	for at, values := range all {
		kept := got[at]
		if len(kept) != min(max(k[at.t], 0), len(values)) {
			return false
		}
		if n.Op == parser.LIMITK {
			continue
		}
		order := rank(n.Op)
		slices.SortFunc(values, order)
		slices.SortFunc(kept, order)
		if !slices.EqualFunc(values[:len(kept)], kept, p.tolerance().near) {
			return false
		}
	}
	return true
}

// rank orders values as topk and bottomk prefer them; both like NaN least.
func rank(op parser.ItemType) func(a, b float64) int {
	return func(a, b float64) int {
		switch {
		case math.IsNaN(a) || math.IsNaN(b):
			return cmp.Compare(b, a) // NaN is less than all for Compare
		case op == parser.TOPK:
			return cmp.Compare(b, a)
		default:
			return cmp.Compare(a, b)
		}
	}
}

func choosing(op parser.ItemType) bool {
	return op == parser.TOPK || op == parser.BOTTOMK || op == parser.LIMITK
}

// choosesWithin reports whether any operator within an expression chooses.
func choosesWithin(e parser.Expr) (found bool) {
	parser.Inspect(e, func(n parser.Node, _ []parser.Node) error {
		if a, ok := n.(*parser.AggregateExpr); ok && choosing(a.Op) {
			found = true
		}
		return nil
	})
	return found
}

// valuesByTime returns the floats of an answer, sorted; topk keeps no histograms.
func valuesByTime(v parser.Value) map[int64][]float64 {
	out := map[int64][]float64{}
	for _, s := range matrixOf(v) {
		for _, p := range s.Floats {
			out[p.T] = append(out[p.T], p.F)
		}
	}
	for _, values := range out {
		slices.Sort(values)
	}
	return out
}

// matrixOf returns a vector or matrix as a matrix, and nothing of anything else.
func matrixOf(v parser.Value) promql.Matrix {
	switch v := v.(type) {
	case promql.Vector:
		return vectorMatrix(v)
	case promql.Matrix:
		return v
	}
	return nil
}
