package querytree

import (
	"math"
	"slices"
	"unicode/utf8"

	"github.com/grafana/regexp"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
)

// A child that cannot hold a series of one operand of a join has no part in the
// result: x and y is empty at a child without y, whatever x it has. It need not
// be asked, if nothing else comes of asking it either: an operand that is
// evaluated there may have a warning or an error to tell, such as rate() of a
// gauge, or a sum of floats and histograms.

// vacancy says of an expression at which children its value is empty at every
// step, and at which it has neither an annotation nor an error, whatever data
// the candidates of its selectors hold. A child that is in both sets need not
// evaluate it.
type vacancy struct{ empty, quiet bitset }

// vacancies finds vacancies. It is pure, and knows no more than which children
// are candidates for which selector.
type vacancies struct {
	candidates map[*parser.VectorSelector]bitset
	all        bitset
	memo       map[parser.Expr]vacancy
}

// of returns the vacancy of e. What it does not know is neither empty nor quiet
// anywhere.
func (v *vacancies) of(e parser.Expr) vacancy {
	if known, ok := v.memo[e]; ok {
		return known
	}
	out := v.compute(e)
	v.memo[e] = out
	return out
}

func (v *vacancies) compute(e parser.Expr) vacancy {
	switch n := e.(type) {
	case *parser.NumberLiteral, *parser.StringLiteral:
		return vacancy{quiet: v.all}
	case *parser.VectorSelector:
		candidates, known := v.candidates[n]
		if !known {
			return vacancy{}
		}
		empty := v.all.minus(candidates)
		if n.Anchored || n.Smoothed {
			return vacancy{empty, empty}
		}
		return vacancy{empty, v.all}
	case *parser.MatrixSelector:
		return v.of(n.VectorSelector)
	case *parser.SubqueryExpr:
		return v.of(n.Expr)
	case *parser.ParenExpr:
		return v.of(n.Expr)
	case *parser.StepInvariantExpr:
		return v.of(n.Expr)
	case *parser.UnaryExpr:
		return v.of(n.Expr).loud()
	case *parser.AggregateExpr:
		return v.aggregate(n)
	case *parser.BinaryExpr:
		return v.binary(n)
	case *parser.Call:
		return v.call(n)
	default:
		return vacancy{}
	}
}

// loud is the vacancy of what may tell of its data: it is quiet where there is
// none. What drops the metric name does, even of one metric: the labels of type
// and unit go with it, and two series that become equal are an error.
func (n vacancy) loud() vacancy { return vacancy{n.empty, n.quiet.and(n.empty)} }

func (v *vacancies) aggregate(n *parser.AggregateExpr) vacancy {
	of := v.of(n.Expr)
	switch n.Op {
	case parser.COUNT, parser.GROUP:
		return of
	case parser.SUM, parser.AVG, parser.MIN, parser.MAX, parser.STDDEV, parser.STDVAR:
		return of.loud()
	}
	if n.Param == nil {
		return vacancy{}
	}
	switch param := unparen(n.Param).(type) {
	case *parser.NumberLiteral:
		if !sensible(n.Op, param.Val) {
			return vacancy{}
		}
		return of.loud()
	case *parser.StringLiteral:
		if n.Op == parser.COUNT_VALUES && utf8.ValidString(param.Val) && param.Val != "" {
			return of.loud()
		}
	}
	return vacancy{}
}

// sensible reports whether an aggregation accepts its parameter in silence.
func sensible(op parser.ItemType, param float64) bool {
	switch op {
	case parser.QUANTILE:
		return param >= 0 && param <= 1
	case parser.TOPK, parser.BOTTOMK, parser.LIMITK:
		return param >= 1 && param < math.MaxInt32
	case parser.LIMIT_RATIO:
		return param >= -1 && param <= 1
	default:
		return false
	}
}

func (v *vacancies) binary(n *parser.BinaryExpr) vacancy {
	l, r := v.of(n.LHS), v.of(n.RHS)
	either := vacancy{l.empty.or(r.empty), l.quiet.and(r.quiet)}
	both := vacancy{l.empty.and(r.empty), either.quiet}
	lScalar, rScalar := n.LHS.Type() == parser.ValueTypeScalar, n.RHS.Type() == parser.ValueTypeScalar
	switch {
	case lScalar && rScalar:
		return vacancy{quiet: either.quiet}
	case lScalar || rScalar:
		return either.loud() // a scalar is never empty
	case n.Op == parser.LAND:
		return either
	case n.Op == parser.LOR:
		return both
	case n.Op == parser.LUNLESS:
		return vacancy{l.empty, either.quiet}
	case n.VectorMatching == nil:
		return vacancy{}
	case n.VectorMatching.FillValues.LHS != nil || n.VectorMatching.FillValues.RHS != nil:
		return both.loud()
	}
	// The engine looks at neither side, nor for doubles, if one of them is empty.
	return either.loud()
}

// call knows functions of one vector or range vector, which have a result for
// some of its series and no other.
func (v *vacancies) call(n *parser.Call) vacancy {
	operand := -1
	for i, arg := range n.Args {
		switch arg.Type() {
		case parser.ValueTypeVector, parser.ValueTypeMatrix:
			if operand >= 0 {
				return vacancy{}
			}
			operand = i
		case parser.ValueTypeScalar:
			if _, literal := unparen(arg).(*parser.NumberLiteral); !literal {
				return vacancy{}
			}
		}
	}
	if operand < 0 {
		return vacancy{}
	}
	if !takes(n.Func.Name, n.Args[operand]) {
		return vacancy{}
	}
	of := v.of(n.Args[operand])
	switch n.Func.Name {
	case "last_over_time", "first_over_time":
		return of
	case "absent", "absent_over_time":
		return vacancy{quiet: of.quiet}
	case "vector", "scalar", "time", "pi", "info", "histogram_quantiles", "start_timestamp":
		return vacancy{}
	case "histogram_quantile":
		if q, ok := unparen(n.Args[0]).(*parser.NumberLiteral); !ok || !sensible(parser.QUANTILE, q.Val) {
			return vacancy{}
		}
	case "label_replace", "label_join":
		if !relabels(n) {
			return vacancy{}
		}
	}
	return of.loud()
}

// takes reports whether the engine lets a function have a range, which may be
// anchored or smoothed: otherwise it is an error without any data, too.
func takes(name string, e parser.Expr) bool {
	ms, ok := unparen(e).(*parser.MatrixSelector)
	if !ok {
		return true
	}
	vs, ok := ms.VectorSelector.(*parser.VectorSelector)
	if !ok {
		return false
	}
	_, anchored := promql.AnchoredSafeFunctions[name]
	_, smoothed := promql.SmoothedSafeFunctions[name]
	return (anchored || !vs.Anchored) && (smoothed || !vs.Smoothed)
}

// relabels reports whether label_replace or label_join accepts its parameters.
func relabels(n *parser.Call) bool {
	var params []string
	for _, arg := range n.Args[1:] {
		s, ok := unparen(arg).(*parser.StringLiteral)
		if !ok {
			return false
		}
		params = append(params, s.Val)
	}
	names := params[:1]
	if n.Func.Name == "label_join" {
		names = slices.Concat(names, params[2:])
	} else if _, err := regexp.Compile("^(?s:" + params[3] + ")$"); err != nil {
		return false
	}
	return !slices.ContainsFunc(names, func(name string) bool { return name == "" || !utf8.ValidString(name) })
}

// culprit returns the selector without which e is empty at a child, where e is
// empty.
func (v *vacancies) culprit(e parser.Expr, child int) *parser.VectorSelector {
	switch n := e.(type) {
	case *parser.VectorSelector:
		return n
	case *parser.MatrixSelector:
		return v.culprit(n.VectorSelector, child)
	case *parser.BinaryExpr:
		if inSet(v.of(n.LHS).empty, child) {
			return v.culprit(n.LHS, child)
		}
		return v.culprit(n.RHS, child)
	}
	for sub := range parser.ChildrenIter(e) {
		if x, ok := sub.(parser.Expr); ok && inSet(v.of(x).empty, child) {
			return v.culprit(x, child)
		}
	}
	return nil
}

// spared is a child that a fragment is not asked of, although some selector of
// it may find series there, and the matchers of the one that cannot.
type spared struct {
	child int
	by    []*labels.Matcher
}

// live returns the children that have to be asked for e, of those that may hold
// series of its selectors, and why the others do not.
func (b *builder) live(e parser.Expr, children bitset) (bitset, []spared) {
	if children.count() < 2 {
		return children, nil // it has to tell what is wrong with e, if anything is
	}
	at := b.vacant.of(e)
	idle := children.and(at.empty).and(at.quiet)
	var out []spared
	idle.each(func(i int) {
		if vs := b.vacant.culprit(e, i); vs != nil {
			out = append(out, spared{i, vs.LabelMatchers})
		}
	})
	return children.minus(idle), out
}

// and returns the intersection in memory of its own.
func (b bitset) and(c bitset) bitset {
	out := make(bitset, min(len(b), len(c)))
	for i := range out {
		out[i] = b[i] & c[i]
	}
	return out
}

// minus returns what is in b but not in c, in memory of its own.
func (b bitset) minus(c bitset) bitset {
	out := slices.Clone(b)
	for i := range min(len(b), len(c)) {
		out[i] &^= c[i]
	}
	return out
}

// spare settles the verdicts of the members that no fragment of the plan, no
// guard and no selector above asks: the operand that they lack decides.
func (p *pruning) spare(pl *Plan) {
	var asked bitset
	for _, f := range pl.Fragments {
		for _, i := range f.Children {
			asked = asked.with(i)
		}
		for _, g := range f.guards {
			for _, i := range g.Children {
				asked = asked.with(i)
			}
		}
	}
	raw := pl.rawSelectors()
	p.rollUp(pl, asked, raw)
	for _, f := range pl.Fragments {
		for _, s := range f.spared {
			if p.verdicts[s.child] != Asked || inSet(asked, s.child) || p.reads(raw, s.child) {
				continue
			}
			if sel, ok := p.selection(s.by); ok {
				p.verdicts[s.child], p.by[s.child] = byRank[sel.ranks[s.child]], sel.ms
			}
		}
	}
}

// reads reports whether a member is a candidate for one of the selectors.
func (p *pruning) reads(raw []*parser.VectorSelector, member int) bool {
	return slices.ContainsFunc(raw, func(vs *parser.VectorSelector) bool {
		same := p.selected(vs.LabelMatchers)
		return len(same) == 0 || slices.ContainsFunc(same, func(s selection) bool { return byRank[s.ranks[member]] == Asked })
	})
}

// selection returns what was decided for the very selector of these matchers.
func (p *pruning) selection(ms []*labels.Matcher) (selection, bool) {
	for _, s := range p.selections {
		if sameMatchers(s.ms, ms) {
			return s, true
		}
	}
	return selection{}, false
}

// sparedEdges returns rows for the members that a fragment spares.
func (p *pruning) sparedEdges(f *Fragment) []EdgeExplanation {
	var out []EdgeExplanation
	for _, s := range f.spared {
		sel, ok := p.selection(s.by)
		if !ok {
			continue
		}
		d := p.members[s.child].Description
		out = append(out, EdgeExplanation{
			Child: d.Name(), Tier: d.Tier, Verdict: byRank[sel.ranks[s.child]], Evidence: p.prove(sel, []int{s.child})[s.child],
		})
	}
	return out
}
