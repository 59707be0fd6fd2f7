package treetest

import (
	"context"
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
	e, err := querytree.NewParser().ParseExpr(q.Expr)
	if err != nil {
		return false
	}
	for paren, ok := e.(*parser.ParenExpr); ok; paren, ok = e.(*parser.ParenExpr) {
		e = paren.Expr
	}
	n, ok := e.(*parser.AggregateExpr)
	if !ok || n.Op != parser.TOPK && n.Op != parser.BOTTOMK {
		return false
	}
	operand := Run(context.Background(), p.oracle, querytree.Sorted(p.TestStorage), Query{n.Expr.String(), q.Start, q.End, q.Step})
	if operand.Err != nil {
		return false
	}
	all := flatten(operand.Value, labels.Labels.String).values
	for key, v := range flatten(got.Value, labels.Labels.String).values {
		if has, ok := all[key]; !ok || !p.tolerance().near(has, v) {
			return false
		}
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

// chosenOfChosen reports whether an answer to a topk, bottomk or limitk is right
// whose operand makes such a choice too, so that there are more ways to choose than
// the oracle can be asked for: if what the tree says of the operand is right, and the
// answer is some of it.
func (p *Planet) chosenOfChosen(q Query, got *promql.Result) bool {
	e, err := querytree.NewParser().ParseExpr(q.Expr)
	if err != nil || got.Err != nil {
		return false
	}
	for paren, ok := e.(*parser.ParenExpr); ok; paren, ok = e.(*parser.ParenExpr) {
		e = paren.Expr
	}
	n, ok := e.(*parser.AggregateExpr)
	if !ok || !choosing(n.Op) || !choosesWithin(n.Expr) {
		return false
	}
	operand := Query{n.Expr.String(), q.Start, q.End, q.Step}
	want, own := p.Oracle(operand), p.Ask(context.Background(), operand)
	if p.tolerance().diff(operand.Expr, want, own) != "" {
		if reason, _ := p.accepted(operand, want, own); reason == "" {
			return false
		}
	}
	all, answer := flatten(own.Value, labels.Labels.String).values, flatten(got.Value, labels.Labels.String).values
	for key, v := range answer {
		if has, ok := all[key]; !ok || !p.tolerance().near(has, v) {
			return false
		}
	}
	return len(answer) > 0 || len(all) == 0
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
	var m promql.Matrix
	switch v := v.(type) {
	case promql.Vector:
		m = vectorMatrix(v)
	case promql.Matrix:
		m = v
	}
	out := map[int64][]float64{}
	for _, s := range m {
		for _, p := range s.Floats {
			out[p.T] = append(out[p.T], p.F)
		}
	}
	for _, values := range out {
		slices.Sort(values)
	}
	return out
}
