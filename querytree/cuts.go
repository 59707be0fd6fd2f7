package querytree

import (
	"slices"
	"strings"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
)

// Reasons of the builder's own, where an expression is local but stays here.
const (
	whyAbove    = "the tier above reads raw series"
	whyOperands = "what it is made of is put together here first"
	whyNobody   = "no child can hold a series of it"
	whyOff      = "push-down is switched off for this query"
	whyBanned   = "the children's answers to it could not be put together exactly; see the replans"
	whyText     = "its text for the children would be longer than a query may be, or mean something else there, or there are too many fragments"
	whyScalar   = "a scalar has one value, and several children would each have one"
	whyRaw      = "its samples are read by what is evaluated here"
	whyNames    = "with delayed name removal, an operator above looks at metric names that would be gone"
)

// derived are reasons that only say that there is a reason further down.
var derived = []string{"operand is not local", "an operand is not local"}

// cut notes of an expression that was rewritten why it stays here, if it does.
// Cuts from at on are those of its operands: if they say why, they do.
func (b *builder) cut(e parser.Expr, top bool, at int) {
	t := b.a.of(e)
	if _, paren := e.(*parser.ParenExpr); paren || t.constant || t.children.count() == 0 || b.pushed[e] {
		return
	}
	why := b.whyCut(e, t, top)
	if slices.Contains(derived, why) {
		if len(b.plan.Cuts) > at {
			return
		}
		why = whyOperands
	}
	b.plan.Cuts = slices.Insert(b.plan.Cuts, at, Cut{Expr: e.String(), Why: why})
}

// whyCut says why an expression that is not pushed down is not.
func (b *builder) whyCut(e parser.Expr, t traits, top bool) string {
	switch {
	case !t.local():
		return t.reason
	case e.Type() == parser.ValueTypeScalar:
		return whyScalar
	case e.Type() != parser.ValueTypeVector:
		return whyRaw
	case !b.pushable(e, t, top):
		return whyNames
	case b.isBanned(e):
		return whyBanned
	}
	return whyText
}

// isBanned reports whether any way to push e down was given up in an earlier
// attempt.
func (b *builder) isBanned(e parser.Expr) bool {
	for key := range b.p.banned {
		if _, text, ok := strings.Cut(key, " "); ok && strings.HasSuffix(text, e.String()) {
			return true
		}
	}
	return false
}

// standsFor notes that a fragment, if there is one, stands for a part of the
// query.
func (b *builder) standsFor(f *Fragment, at parser.Expr) *Fragment {
	if f != nil {
		b.pushed[at] = true
		if f.at == nil {
			f.at = at
		}
	}
	return f
}

// why says by which rule a fragment of this kind was pushed down.
func (f *Fragment) why() string {
	agg, isAgg := unparen(f.at).(*parser.AggregateExpr)
	switch {
	case f.rollup != nil && len(f.grids()) == 0:
		return "a rollup has all steps of it"
	case f.rollup != nil:
		return "a rollup has some of its steps, to which the children's parts of the others are added"
	case f.info != nil:
		return "info() joins series of any child: those of its targets are asked for once these are known"
	case !f.several:
		return "no other child can hold a series of it"
	case f.Merge == MergeQuantile:
		return "all values are gathered here"
	case f.Merge == MergeOperand:
		return "its operand is put together here, and aggregated"
	case f.Merge == MergeFold || f.Merge == MergeParts:
		return "aggregates again: the children's parts are put together here"
	case isAgg && (agg.Op == parser.TOPK || agg.Op == parser.BOTTOMK || agg.Op == parser.LIMITK):
		return "picks again: what is picked of all is among what is picked of each child"
	}
	return "local: each child's series give results of their own"
}

// rawSelectors returns the selectors of the residual expression that read raw
// series, each once.
func (pl *Plan) rawSelectors() []*parser.VectorSelector {
	var out []*parser.VectorSelector
	seen := map[string]bool{}
	parser.Inspect(pl.Residual, func(n parser.Node, _ []parser.Node) error {
		vs, ok := n.(*parser.VectorSelector)
		if !ok || slices.ContainsFunc(vs.LabelMatchers, pl.isStandIn) || seen[matchersText(vs.LabelMatchers)] {
			return nil
		}
		seen[matchersText(vs.LabelMatchers)] = true
		out = append(out, vs)
		return nil
	})
	return out
}

func (pl *Plan) isStandIn(m *labels.Matcher) bool {
	return slices.ContainsFunc(pl.Fragments, func(f *Fragment) bool { return f.standIn == m })
}
