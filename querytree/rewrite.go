package querytree

import (
	"slices"
	"strconv"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/timestamp"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/promql/parser/posrange"
	"github.com/prometheus/prometheus/schema"
)

// plan rewrites an expression, largest pieces first: whatever is local is
// replaced by a selector that stands for the children's concatenated answers;
// an aggregation that re-aggregates is split in two; else the operands are
// tried. The expression itself is not changed.
func (p *Planner) plan(e parser.Expr) *Plan {
	b := &builder{p: p, a: &analyzer{p: p, memo: map[parser.Expr]traits{}}, plan: &Plan{}, pushed: map[parser.Expr]bool{}}
	b.namesSeen = p.delayedNames && observesName(e)
	b.plan.Local = b.a.of(e).reason
	if p.off {
		b.plan.Residual = e
		b.plan.Cuts = []Cut{{Expr: e.String(), Why: whyOff}}
		return b.plan
	}
	b.plan.Residual = b.build(e, true)
	return b.plan
}

type builder struct {
	p    *Planner
	a    *analyzer
	plan *Plan
	// namesSeen: with delayed name removal, an operator of the query looks at
	// metric names that fragments would already have dropped.
	namesSeen bool
	// pushed are the parts of the query that fragments stand for.
	pushed map[parser.Expr]bool
}

// build rewrites e, and notes what of it stays here.
func (b *builder) build(e parser.Expr, top bool) parser.Expr {
	at := len(b.plan.Cuts)
	out := b.rewrite(e, top)
	b.cut(e, top, at)
	return out
}

func (b *builder) rewrite(e parser.Expr, top bool) parser.Expr {
	t := b.a.of(e)
	if t.constant || t.children.count() == 0 {
		return e // without series it still may have a value, or a warning
	}
	if n, ok := e.(*parser.ParenExpr); ok {
		// The engine looks through brackets too, when it tells positions.
		return &parser.ParenExpr{Expr: b.build(n.Expr, top), PosRange: n.PosRange}
	}
	if t.local() && b.pushable(e, t, top) {
		if f := b.fragment(e, e, t, "concat"); f != nil {
			f.quiet = false
			return b.standIn(f, e)
		}
	}
	switch n := e.(type) {
	case *parser.UnaryExpr:
		return &parser.UnaryExpr{Op: n.Op, Expr: b.build(n.Expr, false), StartPos: n.StartPos}
	case *parser.AggregateExpr:
		return b.aggregate(n)
	case *parser.BinaryExpr:
		c := *n
		c.LHS, c.RHS = b.build(n.LHS, false), b.build(n.RHS, false)
		return &c
	case *parser.Call:
		return b.call(n)
	default: // selectors and subqueries: raw series are pulled
		return e
	}
}

func unparen(e parser.Expr) parser.Expr {
	for {
		p, ok := e.(*parser.ParenExpr)
		if !ok {
			return e
		}
		e = p.Expr
	}
}

// pushable reports whether a local expression may become a fragment here.
func (b *builder) pushable(e parser.Expr, t traits, top bool) bool {
	switch e.Type() {
	case parser.ValueTypeVector:
		return top || !b.namesSeen || !t.dropsName
	case parser.ValueTypeScalar:
		return t.children.count() == 1
	default:
		return false
	}
}

func (b *builder) aggregate(n *parser.AggregateExpr) parser.Expr {
	if e := b.reaggregate(n); e != nil {
		return e
	}
	if n.Op == parser.LIMITK && !b.a.of(n.Expr).ordered {
		return n // which series come first depends on the order of the operand
	}
	c := *n
	c.Expr = b.build(n.Expr, false)
	if n.Param != nil && !usesAt(n.Param) {
		c.Param = b.build(n.Param, false)
	}
	return &c
}

// usesAt reports whether e has an @ modifier. The stock engine does not prepare
// the parameters of aggregations for these, and takes them otherwise there than
// a child would on its own.
func usesAt(e parser.Expr) bool {
	found := false
	parser.Inspect(e, func(n parser.Node, _ []parser.Node) error {
		switch n := n.(type) {
		case *parser.VectorSelector:
			found = found || n.Timestamp != nil || n.StartOrEnd != 0
		case *parser.SubqueryExpr:
			found = found || n.Timestamp != nil || n.StartOrEnd != 0
		}
		return nil
	})
	return found
}

// reaggregate splits an aggregation into one below and one above. It returns
// nil if that would not be exact.
func (b *builder) reaggregate(n *parser.AggregateExpr) parser.Expr {
	t := b.a.of(n.Expr)
	if !t.operand() || (n.Param != nil && !b.a.of(n.Param).constant) || (b.namesSeen && t.dropsName) {
		return nil
	}
	switch n.Op {
	case parser.SUM, parser.MIN, parser.MAX, parser.GROUP:
		return b.partial(n, n.Op, n.Op, t, n.Op == parser.SUM, false)
	case parser.COUNT:
		return b.partial(n, parser.COUNT, parser.SUM, t, false, false)
	case parser.AVG:
		return b.average(n, t)
	case parser.TOPK, parser.BOTTOMK:
		f := b.fragment(n, n, t, "concat")
		if f == nil {
			return nil
		}
		f.quiet = false
		c := *n
		c.Expr = b.standInAt(f, n, unparen(n.Expr))
		return &c
	default:
		return nil
	}
}

// partial pushes op over the operand of n and returns the aggregation above it
// of the children's answers.
func (b *builder) partial(n *parser.AggregateExpr, op, above parser.ItemType, t traits, sum, quiet bool) parser.Expr {
	below := *n
	below.Op = op
	f := b.fragment(&below, n, t, "partial "+op.String())
	if f == nil {
		return nil
	}
	f.Partial, f.Sum, f.quiet = true, sum, f.quiet && quiet
	c := *n
	c.Op = above
	c.Expr = b.standInAt(f, n, unparen(n.Expr))
	if n.Without {
		c.Grouping = append(slices.Clone(n.Grouping), childLabel)
	}
	return &c
}

// average pushes avg as a sum and a count. Division drops the metric name, so
// an average by name stays above.
func (b *builder) average(n *parser.AggregateExpr, t traits) parser.Expr {
	if !n.Without && slices.Contains(n.Grouping, labels.MetricName) {
		return nil
	}
	sum := b.partial(n, parser.SUM, parser.SUM, t, true, false)
	if sum == nil {
		return nil
	}
	count := b.partial(n, parser.COUNT, parser.SUM, t, false, true)
	if count == nil {
		return nil
	}
	return &parser.ParenExpr{PosRange: n.PosRange, Expr: &parser.BinaryExpr{
		Op: parser.DIV, LHS: sum, RHS: count,
		VectorMatching: &parser.VectorMatching{Card: parser.CardOneToOne},
	}}
}

// call rebuilds a call that stays above over rebuilt operands.
func (b *builder) call(n *parser.Call) parser.Expr {
	switch n.Func.Name {
	case "info", "timestamp", "start_timestamp":
		return n // they look at selectors, not at values
	case "histogram_count", "histogram_sum", "histogram_avg":
		// The engine then detects counter resets while it reads samples, and
		// warns of conflicts among them.
		if !onlyRates(n) {
			return n
		}
	}
	c := *n
	c.Args = make(parser.Expressions, len(n.Args))
	for i, arg := range n.Args {
		c.Args[i] = b.build(arg, false)
	}
	return &c
}

// maxFragments bounds what one query makes the children do at the same time.
const maxFragments = 128

// fragment adds a fragment for e, or returns the one that there is already. It
// returns nil if that is banned, if there are too many, or if the text would
// not mean e. at is the part of the query that it stands for.
func (b *builder) fragment(e, at parser.Expr, t traits, kind string) *Fragment {
	key := kind + " " + e.String()
	if b.p.banned[key] {
		return nil
	}
	for _, f := range b.plan.Fragments {
		if f.key == key {
			b.pushed[at] = true
			return f
		}
	}
	text := b.p.text(e, at)
	if text == "" || len(b.plan.Fragments) >= maxFragments {
		return nil
	}
	id := strconv.Itoa(len(b.plan.Fragments))
	f := &Fragment{ID: id, Kind: kind, at: at, Query: text, key: key, quiet: true}
	b.pushed[at] = true
	f.standIn = labels.MustNewMatcher(labels.MatchEqual, labels.MetricName, "fragment "+id)
	t.children.each(func(i int) { f.Children = append(f.Children, i) })
	if len(f.Children) > 1 {
		for _, g := range t.guards {
			f.guards = append(f.guards, &Fragment{ID: id + " guard", Query: g.String(), Children: f.Children, quiet: true})
		}
	}
	b.plan.Fragments = append(b.plan.Fragments, f)
	return f
}

// standIn returns the expression that stands for a fragment in the place of e.
// absent() makes labels of its operand's equality matchers, so a selector keeps
// them; offsets and @ have been done with below. What does not depend on the
// step is read at the start, so that the engine still knows.
func (b *builder) standIn(f *Fragment, e parser.Expr) parser.Expr { return b.standInAt(f, e, e) }

// standInAt is standIn with the position of another expression: an aggregation
// warns of its operand.
func (b *builder) standInAt(f *Fragment, e, at parser.Expr) parser.Expr {
	vs := &parser.VectorSelector{
		LabelMatchers: []*labels.Matcher{f.standIn},
		PosRange:      at.PositionRange(),
	}
	if b.p.stepInvariant(f.Query) {
		vs.Timestamp = &b.p.grid.start
	}
	if orig, ok := e.(*parser.VectorSelector); ok {
		for _, m := range orig.LabelMatchers {
			if m.Name != labels.MetricName {
				vs.LabelMatchers = append(vs.LabelMatchers, m)
			}
		}
	}
	if e.Type() == parser.ValueTypeScalar {
		return &parser.Call{Func: parser.Functions["scalar"], Args: parser.Expressions{vs}, PosRange: e.PositionRange()}
	}
	return vs
}

// stepInvariant reports whether the engine would evaluate a query only once.
func (p *Planner) stepInvariant(query string) bool {
	e, err := p.parse(query)
	if err != nil {
		return false
	}
	e, err = promql.PreprocessExpr(e, timestamp.Time(p.grid.start), timestamp.Time(p.grid.end), time.Duration(p.grid.step)*time.Millisecond)
	if err != nil {
		return false
	}
	_, ok := e.(*parser.StepInvariantExpr)
	return ok
}

// text returns the text of e to send to children, or "" if there is none that
// means e. If it can, it cuts e out of the query and blanks the rest, so that
// positions in annotations stay true.
func (p *Planner) text(e, at parser.Expr) string {
	want := e.String()
	pos := at.PositionRange()
	if pos.Start < 0 || int(pos.Start) > len(p.query) {
		pos.Start, pos.End = 0, 0
	}
	before := blank(p.query[:pos.Start])
	for _, text := range []string{before + p.cut(e, at, pos), before + want, want} {
		if got, err := p.parse(text); err == nil && got.String() == want && len(text) <= p.maxLength {
			return text
		}
	}
	return ""
}

// cut returns the query's own text of at, with the operator of e.
func (p *Planner) cut(e, at parser.Expr, pos posrange.PositionRange) string {
	if int(pos.End) > len(p.query) || pos.End < pos.Start {
		return ""
	}
	text := p.query[pos.Start:pos.End]
	if n, ok := at.(*parser.AggregateExpr); ok && at != e && n.Op == parser.AVG {
		return e.(*parser.AggregateExpr).Op.String() + text[len("avg"):]
	}
	return text
}

// blank replaces every byte but line ends by a space.
func blank(s string) string {
	b := []byte(s)
	for i, c := range b {
		if c != '\n' {
			b[i] = ' '
		}
	}
	return string(b)
}

// onlyRates reports whether all selectors of e are read by functions whose
// results have no counter reset hints.
func onlyRates(e parser.Expr) bool {
	ok := true
	parser.Inspect(e, func(n parser.Node, path []parser.Node) error {
		if _, selector := n.(*parser.VectorSelector); !selector {
			return nil
		}
		rate := false
		for _, p := range path {
			if c, isCall := p.(*parser.Call); isCall {
				rate = rate || slices.Contains([]string{"rate", "increase", "delta", "irate", "idelta"}, c.Func.Name)
			}
		}
		ok = ok && rate
		return nil
	})
	return ok
}

// isSchemaLabel reports whether a label is dropped along with the metric name.
func isSchemaLabel(name string) bool { return schema.IsMetadataLabel(name) }

// observesName reports whether an operator of e looks at the metric name, or at
// the type and unit labels that go with it.
func observesName(e parser.Expr) bool {
	seen := false
	parser.Inspect(e, func(n parser.Node, _ []parser.Node) error {
		switch n := n.(type) {
		case *parser.AggregateExpr:
			seen = seen || n.Without || n.Op == parser.LIMIT_RATIO || slices.ContainsFunc(n.Grouping, isSchemaLabel)
		case *parser.BinaryExpr:
			if m := n.VectorMatching; m != nil {
				seen = seen || !m.On || slices.ContainsFunc(m.MatchingLabels, isSchemaLabel) || slices.ContainsFunc(m.Include, isSchemaLabel)
			}
		case *parser.Call:
			switch n.Func.Name {
			case "label_replace", "label_join", "sort_by_label", "sort_by_label_desc", "info",
				"histogram_quantile", "histogram_quantiles", "histogram_fraction": // they warn of it
				seen = true
			}
		}
		return nil
	})
	return seen
}
