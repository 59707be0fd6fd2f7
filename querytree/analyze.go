package querytree

import (
	"slices"
	"strings"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
)

// traits are what the planner knows of a subexpression. Let v(e) be the value of
// e over the union of all children's series, and v_c(e) its value over the
// series of child c alone.
type traits struct {
	// constant: e selects no series, so every child computes the same value.
	constant bool
	// local: v(e) is the union of v_c(e) over the children. An empty reason
	// says so; otherwise it says why not.
	reason string
	// unique: no label set of v_c(e) can equal one of v_d(e) for c ≠ d. What is
	// local but not unique may be pushed down, the merge noticing collisions,
	// but nothing that is pushed down may be built on it.
	unique bool
	// keeps holds the key labels that every series of v(e) still carries with
	// the value that they had in storage.
	keeps set
	// oneName: every series of e was selected by the same metric name, so that
	// dropping the name cannot make two of them equal.
	oneName bool
	// dropsName: e has dropped the metric name somewhere. With delayed name
	// removal, operators above e could still have seen it.
	dropsName bool
	// ordered: v(e) comes in the order of its label sets, as storage has it.
	ordered bool
	// guards are expressions that have a result only where v(e) would be an
	// error that no child would notice.
	guards []parser.Expr
	// children may hold series of one of the selectors of e.
	children bitset
}

func (t traits) local() bool { return t.reason == "" }

// operand reports whether an expression with these traits can be evaluated
// inside a larger one that is pushed down.
func (t traits) operand() bool { return !t.constant && t.local() && t.unique }

// set is a small set of label names.
type set []string

func (s set) has(name string) bool { return slices.Contains(s, name) }

func (s set) without(names ...string) set {
	var out set
	for _, n := range s {
		if !slices.Contains(names, n) {
			out = append(out, n)
		}
	}
	return out
}

func (s set) and(other set) set {
	var out set
	for _, n := range s {
		if other.has(n) {
			out = append(out, n)
		}
	}
	return out
}

// analyzer computes traits, by the rules of docs/decisions/0001-planner.md. It
// is pure: what the children may hold was decided before, by prune.
type analyzer struct {
	p    *Planner
	memo map[parser.Expr]traits
}

func (a *analyzer) of(e parser.Expr) traits {
	if t, ok := a.memo[e]; ok {
		return t
	}
	t := a.compute(e)
	// Whatever it is, what concerns a single child can be left to that child.
	if !t.constant && t.children.count() == 1 {
		t.reason, t.unique = "", true
	}
	a.memo[e] = t
	return t
}

func (a *analyzer) compute(e parser.Expr) traits {
	switch n := e.(type) {
	case *parser.NumberLiteral, *parser.StringLiteral:
		return traits{constant: true}
	case *parser.VectorSelector:
		return a.selector(n)
	case *parser.MatrixSelector:
		return a.of(n.VectorSelector)
	case *parser.SubqueryExpr:
		t := a.of(n.Expr)
		if len(t.guards) > 0 {
			t.reason = "a match within a subquery may be ambiguous"
		}
		return t
	case *parser.ParenExpr:
		return a.of(n.Expr)
	case *parser.StepInvariantExpr:
		return a.of(n.Expr)
	case *parser.UnaryExpr:
		return a.nameDropped(a.of(n.Expr))
	case *parser.AggregateExpr:
		return a.aggregate(n)
	case *parser.BinaryExpr:
		return a.binary(n)
	case *parser.Call:
		return a.call(n)
	default:
		return traits{reason: "unknown expression"}
	}
}

func (a *analyzer) selector(n *parser.VectorSelector) traits {
	return traits{unique: true, keeps: a.p.keyLabels, oneName: selectsOneName(n.LabelMatchers), ordered: true, children: a.p.candidates[n]}
}

func selectsOneName(ms []*labels.Matcher) bool {
	for _, m := range ms {
		if m.Name == labels.MetricName && m.Type == labels.MatchEqual && m.Value != "" {
			return true
		}
	}
	return false
}

// nameDropped returns the traits after an operation that drops the metric name:
// without it, series of two children can become equal if they had several names
// and nothing else tells the children apart.
func (a *analyzer) nameDropped(t traits) traits {
	if t.constant {
		return t
	}
	t.dropsName = true
	t.ordered = t.ordered && t.oneName
	t.unique = t.unique && (t.oneName || a.p.separated(t.children, t.keeps))
	return t
}

func (a *analyzer) aggregate(n *parser.AggregateExpr) traits {
	t := a.of(n.Expr)
	if n.Param != nil && !a.of(n.Param).constant {
		param := a.of(n.Param)
		return traits{reason: "parameter depends on series", children: t.children.or(param.children)}
	}
	if t.constant {
		return traits{constant: true}
	}
	group := t.keeps.and(n.Grouping)
	if n.Without {
		group = t.keeps.without(n.Grouping...)
	}
	out := traits{unique: true, keeps: group, children: t.children, dropsName: true, guards: t.guards}
	switch {
	case !t.operand():
		out.reason = "operand is not local"
	case n.Op == parser.LIMITK && hasLimitRatio(n.Expr):
		// limit_ratio gives its results in the order of a heap, of which a
		// child's is no part, and limitk takes the first.
		out.reason = "the order of limit_ratio is that of all children"
	case n.Op == parser.LIMIT_RATIO:
		// It keeps or drops each series by the hash of its labels, whatever
		// others there are.
	case !a.p.separated(t.children, group):
		out.reason = "grouping does not keep the co-location key"
	}
	switch n.Op {
	case parser.TOPK, parser.BOTTOMK, parser.LIMITK, parser.LIMIT_RATIO:
		out.keeps, out.dropsName = t.keeps, t.dropsName // they return their inputs
	case parser.COUNT_VALUES:
		if s, ok := unparen(n.Param).(*parser.StringLiteral); ok {
			out.keeps = out.keeps.without(s.Val)
		}
		out.unique = a.p.separated(t.children, out.keeps)
	}
	return out
}

// ordersItself reports whether the series of e may come in another order than
// that of labels or of what storage returns: one that results of several children
// lose when they are merged.
func ordersItself(e parser.Expr) bool {
	found := false
	parser.Inspect(e, func(n parser.Node, _ []parser.Node) error {
		switch n := n.(type) {
		case *parser.AggregateExpr:
			found = found || n.Op == parser.TOPK || n.Op == parser.BOTTOMK || n.Op == parser.LIMITK || n.Op == parser.LIMIT_RATIO
		case *parser.BinaryExpr:
			found = found || n.Op == parser.LOR
		case *parser.Call:
			found = found || strings.HasPrefix(n.Func.Name, "sort")
		}
		return nil
	})
	return found
}

func hasLimitRatio(e parser.Expr) bool {
	found := false
	parser.Inspect(e, func(n parser.Node, _ []parser.Node) error {
		agg, ok := n.(*parser.AggregateExpr)
		found = found || ok && agg.Op == parser.LIMIT_RATIO
		return nil
	})
	return found
}

func (a *analyzer) binary(n *parser.BinaryExpr) traits {
	l, r := a.of(n.LHS), a.of(n.RHS)
	if l.constant && r.constant {
		return traits{constant: true}
	}
	children := l.children.or(r.children)
	lScalar, rScalar := n.LHS.Type() == parser.ValueTypeScalar, n.RHS.Type() == parser.ValueTypeScalar
	switch {
	case lScalar && rScalar:
		return traits{reason: "scalar of series", children: children}
	case lScalar || rScalar:
		return a.withScalar(n, l, r, children)
	}
	if !l.operand() || !r.operand() {
		return traits{reason: "an operand is not local", children: children}
	}
	return a.match(n, l, r, children)
}

// withScalar handles vector op scalar and scalar op vector.
func (a *analyzer) withScalar(n *parser.BinaryExpr, l, r traits, children bitset) traits {
	vec, scalar := l, r
	if n.LHS.Type() == parser.ValueTypeScalar {
		vec, scalar = r, l
	}
	if !scalar.constant || vec.constant {
		return traits{reason: "scalar depends on series", children: children}
	}
	vec.children = children
	if !vec.operand() {
		vec.reason = "operand is not local"
	}
	if n.Op.IsComparisonOperator() && !n.ReturnBool {
		return vec
	}
	return a.nameDropped(vec)
}

// match handles vector op vector: it is local if no pair of matching series can
// stem from two children.
func (a *analyzer) match(n *parser.BinaryExpr, l, r traits, children bitset) traits {
	m := n.VectorMatching
	both := l.keeps.and(r.keeps)
	on := both.and(m.MatchingLabels)
	if !m.On {
		on = both.without(m.MatchingLabels...)
	}
	if !a.p.separated(children, on) {
		return traits{reason: "matching does not keep the co-location key", children: children}
	}
	out := traits{unique: true, children: children, dropsName: l.dropsName || r.dropsName, guards: slices.Concat(l.guards, r.guards)}
	switch {
	case n.Op == parser.LOR:
		out.keeps = both
	case n.Op.IsSetOperator():
		out.keeps = l.keeps
	default:
		out.keeps = a.joinKeeps(m, l, r, on, children)
		out.dropsName = true
		if one, t := oneSide(n, l, r); !distinct(one, t, m) {
			out.guards = append(out.guards, guard(one, m))
		}
	}
	out.unique = a.p.separated(children, out.keeps)
	return out
}

// joinKeeps returns the key labels that survive arithmetic or a comparison
// between two vectors.
//
// A label included from the one side is kept only if it is the same for the
// whole child: job or instance may differ between two series of one shard.
func (a *analyzer) joinKeeps(m *parser.VectorMatching, l, r traits, on set, children bitset) set {
	if m.FillValues.LHS != nil || m.FillValues.RHS != nil {
		return on // a series that is filled in has the labels matched on only
	}
	many, one := l, r
	switch m.Card {
	case parser.CardOneToOne:
		if m.On {
			return on
		}
		return l.keeps.without(m.MatchingLabels...)
	case parser.CardOneToMany:
		many, one = r, l
	}
	var lost []string
	for _, name := range m.Include {
		if !one.keeps.has(name) || !a.p.constant(children, name) {
			lost = append(lost, name)
		}
	}
	return many.keeps.without(lost...)
}

func (a *analyzer) call(n *parser.Call) traits {
	var (
		arg      traits
		children bitset
		vectors  int
		scalars  bool
	)
	for _, e := range n.Args {
		t := a.of(e)
		if t.constant {
			continue
		}
		arg, children, vectors = t, children.or(t.children), vectors+1
		scalars = scalars || e.Type() == parser.ValueTypeScalar
	}
	switch {
	case n.Func.Name == "info":
		return a.info(n)
	case vectors == 0:
		return traits{constant: true}
	case scalars:
		return traits{reason: "parameter depends on series", children: children}
	case vectors > 1:
		return traits{reason: "several operands", children: children}
	case !arg.operand():
		return traits{reason: "operand is not local", children: children}
	}
	return a.seriesWise(n, arg)
}

// info handles info(), whose second argument selects series as well.
func (a *analyzer) info(n *parser.Call) traits {
	series := a.p.targetInfo
	if len(n.Args) > 1 {
		series = a.of(n.Args[1]).children
	}
	return traits{reason: "info() joins series of any child", children: a.of(n.Args[0]).children.or(series)}
}

// seriesWise handles calls with one vector or matrix operand, which is local.
func (a *analyzer) seriesWise(n *parser.Call, arg traits) traits {
	switch n.Func.Name {
	case "absent", "absent_over_time":
		return traits{reason: "absence is a property of all children", children: arg.children}
	case "scalar":
		return traits{reason: "scalar of series", children: arg.children}
	case "sort", "sort_desc", "sort_by_label", "sort_by_label_desc":
		return traits{reason: "order is a property of all children", children: arg.children}
	case "histogram_quantile", "histogram_fraction", "histogram_quantiles":
		return a.bucketWise(n, arg)
	case "label_replace", "label_join":
		return a.relabelled(n, arg)
	case "last_over_time", "first_over_time":
		return arg // these keep the metric name
	}
	return a.nameDropped(arg)
}

// bucketWise handles functions over the buckets of a classic histogram, which
// must live in one child.
func (a *analyzer) bucketWise(n *parser.Call, arg traits) traits {
	arg.keeps = arg.keeps.without(labels.BucketLabel)
	if n.Func.Name == "histogram_quantiles" {
		for _, e := range n.Args {
			if s, ok := unparen(e).(*parser.StringLiteral); ok {
				arg.keeps = arg.keeps.without(s.Val)
			}
		}
	}
	if !a.p.separated(arg.children, arg.keeps) {
		return traits{reason: "buckets may live in several children", children: arg.children}
	}
	return a.nameDropped(arg)
}

func (a *analyzer) relabelled(n *parser.Call, arg traits) traits {
	dst, ok := n.Args[1].(*parser.StringLiteral)
	if !ok {
		return traits{reason: "unknown target label", children: arg.children}
	}
	arg.keeps = arg.keeps.without(dst.Val)
	arg.oneName, arg.ordered = false, false
	arg.dropsName = arg.dropsName || dst.Val == labels.MetricName
	arg.unique = a.p.separated(arg.children, arg.keeps)
	return arg
}
