package treetest

import (
	"context"
	"math"
	"slices"

	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"

	"github.com/pandometrics/pando/querytree"
)

// chosenTwice reports whether an answer to a topk, bottomk or limitk right over
// another one is one of those that these allow. The engine takes series of many an
// expression from a map (rangeEval in promql/engine.go), so that what the inner one
// chooses changes from one evaluation to the next, and there are too many ways to ask
// for all of them: whether there is a choice of which the answer is made is told from
// what the inner one chooses from.
func (p *Planet) chosenTwice(q Query, want, got *promql.Result) bool {
	outer := choiceOf(q.Expr)
	if outer == nil || want.Err != nil || got.Err != nil {
		return false
	}
	inner := choiceOf(outer.Expr.String())
	if inner == nil {
		return false
	}
	ask := func(e parser.Expr) *promql.Result {
		return Run(context.Background(), p.oracle, querytree.Sorted(p.TestStorage), Query{e.String(), q.Start, q.End, q.Step})
	}
	from, kOuter, kInner := ask(inner.Expr), ask(outer.Param), ask(inner.Param)
	if from.Err != nil || kOuter.Err != nil || kInner.Err != nil || !p.takenFrom(from.Value, got.Value) {
		return false
	}
	c := twice{
		outer: outer, inner: inner, near: p.tolerance().near,
		kOuter: countsByTime(kOuter.Value), kInner: countsByTime(kInner.Value),
	}
	return c.allows(candidatesOf(from.Value), candidatesOf(got.Value))
}

// twice is a choice among what was chosen.
type twice struct {
	outer, inner   *parser.AggregateExpr
	kOuter, kInner map[int64]int
	near           func(a, b float64) bool
}

// candidate is what a choice is made of at one time; the value of a histogram is its
// count of observations.
type candidate struct {
	series promql.Series
	t      int64
	v      float64
	hist   bool
}

// candidateKey identifies a candidate.
type candidateKey struct {
	series string
	t      int64
}

func candidatesOf(v parser.Value) map[candidateKey]candidate {
	out := map[candidateKey]candidate{}
	for _, s := range matrixOf(v) {
		name := s.Metric.String()
		for _, p := range s.Floats {
			out[candidateKey{name, p.T}] = candidate{s, p.T, p.F, false}
		}
		for _, p := range s.Histograms {
			out[candidateKey{name, p.T}] = candidate{s, p.T, p.H.Count, true}
		}
	}
	return out
}

// countsByTime returns the parameter of a choice at each time.
func countsByTime(v parser.Value) map[int64]int {
	out := map[int64]int{}
	if v, ok := v.(promql.Scalar); ok {
		out[v.T] = int(v.V)
	}
	for key, s := range candidatesOf(v) {
		out[key.t] = int(s.v)
	}
	return out
}

// allows reports whether the inner operator can choose of all such that the outer one
// keeps got. In a group of the outer one that is not full, all that was chosen is kept;
// in a full one, others may have been chosen that are not better than those kept.
// With that each group of the inner one is for itself.
func (c twice) allows(all, got map[candidateKey]candidate) bool {
	kept := map[moment][]float64{}
	for key, s := range got {
		has, ok := all[key]
		if !ok || has.hist != s.hist || !c.near(has.v, s.v) {
			return false
		}
		if s.hist && (c.outer.Op != parser.LIMITK || c.inner.Op != parser.LIMITK) {
			return false // the others leave histograms out
		}
		at := momentOf(c.outer, s)
		kept[at] = append(kept[at], s.v)
	}
	for at, values := range kept {
		if len(values) > max(c.kOuter[at.t], 0) {
			return false
		}
		slices.SortFunc(values, rank(c.outer.Op))
	}
	groups := map[moment]*innerGroup{}
	for key, s := range all {
		if s.hist && c.inner.Op != parser.LIMITK {
			continue
		}
		at := momentOf(c.inner, s)
		if groups[at] == nil {
			groups[at] = &innerGroup{}
		}
		_, is := got[key]
		groups[at].add(s.v, is, !is && c.mayBeLeftOut(s, kept))
	}
	for at, g := range groups {
		if !g.possible(c.inner.Op, max(c.kInner[at.t], 0), c.near) {
			return false
		}
	}
	return true
}

// mayBeLeftOut reports whether the outer operator leaves a candidate out that was chosen.
func (c twice) mayBeLeftOut(s candidate, kept map[moment][]float64) bool {
	if s.hist && c.outer.Op != parser.LIMITK {
		return true
	}
	at := momentOf(c.outer, s)
	values, k := kept[at], max(c.kOuter[at.t], 0)
	switch {
	case len(values) < k:
		return false
	case k == 0 || c.outer.Op == parser.LIMITK:
		return true
	}
	last := values[len(values)-1]
	return rank(c.outer.Op)(last, s.v) <= 0 || c.near(last, s.v)
}

// innerGroup is a group of the inner operator at one time.
type innerGroup struct {
	all   []float64
	must  []float64 // were chosen, for the outer operator kept them
	could []float64 // could have been
}

func (g *innerGroup) add(v float64, must, could bool) {
	g.all = append(g.all, v)
	if must {
		g.must = append(g.must, v)
	}
	if could {
		g.could = append(g.could, v)
	}
}

// possible reports whether k of the group, or all, were chosen, all those that must
// and for the rest some that could; of a topk or bottomk the k best.
func (g *innerGroup) possible(op parser.ItemType, k int, near func(a, b float64) bool) bool {
	k = min(k, len(g.all))
	if op == parser.LIMITK {
		return len(g.must) <= k && k <= len(g.must)+len(g.could)
	}
	slices.SortFunc(g.all, rank(op))
	best := slices.Clone(g.all[:k])
	take := func(v float64) bool {
		i := slices.IndexFunc(best, func(b float64) bool { return near(b, v) || math.IsNaN(b) && math.IsNaN(v) })
		if i >= 0 {
			best = slices.Delete(best, i, i+1)
		}
		return i >= 0
	}
	for _, v := range g.must {
		if !take(v) {
			return false
		}
	}
	for _, v := range g.could {
		take(v)
	}
	return len(best) == 0
}
