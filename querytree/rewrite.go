package querytree

import (
	"fmt"
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
// tried. The expression itself is not changed, but for the order of matchers where
// several are of one label.
func (p *Planner) plan(e parser.Expr) *Plan {
	b := p.builder()
	b.namesSeen = p.delayedNames && observesName(e)
	b.plan.Local = b.a.of(e).reason
	if p.off {
		b.plan.Residual = stored(e)
		b.plan.Cuts = []Cut{{Expr: e.String(), Why: whyOff}}
		return b.plan
	}
	b.plan.Residual = stored(b.build(e, true))
	b.plan.Unrolled = p.rollups.missed()
	return b.plan
}

func (p *Planner) builder() *builder {
	return &builder{
		p: p, a: &analyzer{p: p, memo: map[parser.Expr]traits{}}, plan: &Plan{grid: p.grid}, grid: p.grid, stats: p.stats, pushed: map[parser.Expr]bool{},
		vacant: &vacancies{candidates: p.candidates, all: p.everyone(), memo: map[parser.Expr]vacancy{}},
	}
}

type builder struct {
	p *Planner
	a *analyzer
	// vacant says which of the children that may hold series have no part in a
	// result all the same.
	vacant *vacancies
	plan   *Plan
	// grid is that on which the expression at hand is evaluated: the request's,
	// or the inner one of a subquery.
	grid grid
	// namesSeen: with delayed name removal, an operator of the query looks at
	// metric names that fragments would already have dropped.
	namesSeen bool
	// stats: what children are asked for is read without the buckets of native
	// histograms; buckets: it is not, whatever function is above, since it is
	// within a subquery or something that needs them.
	stats, buckets bool
	// first: a limitk above takes the first of what comes in an order of its
	// own, such as that of a heap of all series, so that is evaluated here.
	first bool
	// under: it is to stand under a function that leaves out the buckets.
	under bool
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
	if n, ok := e.(*parser.AggregateExpr); ok && !t.constant {
		if out := b.rolledUp(n); out != nil {
			return out
		}
	}
	rolled := b.holdsRollups(e, t.children.count() == 0)
	if t.constant || t.children.count() == 0 && !rolled {
		return e // without series it still may have a value, or a warning
	}
	if n, ok := e.(*parser.ParenExpr); ok {
		// The engine looks through brackets too, when it tells positions.
		return &parser.ParenExpr{Expr: b.build(n.Expr, top), PosRange: n.PosRange}
	}
	if t.local() && !rolled && b.pushable(e, t, top) {
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
		if n.Op == parser.TRIM_UPPER || n.Op == parser.TRIM_LOWER {
			defer b.readBuckets()()
		}
		c := *n
		c.LHS, c.RHS = b.build(n.LHS, false), b.build(n.RHS, false)
		return &c
	case *parser.Call:
		return b.call(n)
	case *parser.SubqueryExpr:
		return b.subquery(n)
	default: // selectors: raw series are pulled
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
	if b.first && ordersItself(e) && t.children.count() > 1 {
		return false
	}
	switch e.Type() {
	case parser.ValueTypeVector:
		return top || !b.namesSeen || !t.dropsName
	case parser.ValueTypeScalar:
		return t.children.count() == 1
	default:
		return false
	}
}

// call rebuilds a call that stays above over rebuilt operands.
func (b *builder) call(n *parser.Call) parser.Expr {
	switch n.Func.Name {
	case "histogram_quantile", "histogram_quantiles", "histogram_fraction", "histogram_stddev", "histogram_stdvar":
		defer b.readBuckets()()
	case "timestamp", "start_timestamp":
		return b.times(n)
	case "info":
		return b.info(n)
	case "absent", "absent_over_time":
		if e := b.absent(n); e != nil {
			return e
		}
	case "scalar":
		if e := b.scalar(n); e != nil {
			return e
		}
	case "histogram_count", "histogram_sum", "histogram_avg":
		// The engine then detects counter resets while it reads samples, and
		// warns of conflicts among them.
		if !b.buckets && !onlyRates(n) && (b.stats || !b.overRollups(n)) {
			return b.statistics(n)
		}
	}
	c := *n
	c.Args = make(parser.Expressions, len(n.Args))
	for i, arg := range n.Args {
		c.Args[i] = b.build(arg, false)
	}
	return &c
}

// fragment adds a fragment for e, or returns the one that there is already. It
// returns nil if that is banned, or if the text would not mean e. at is the part of the query that it stands for.
func (b *builder) fragment(e, at parser.Expr, t traits, kind string) *Fragment {
	f := b.fragmentOf(e, t, kind, func() string { return b.text(e, at) })
	if f != nil {
		f.keeps = b.a.of(e).keeps // t may be those of the operand
	}
	return b.standsFor(f, at)
}

func (b *builder) fragmentOf(e parser.Expr, t traits, kind string, textOf func() string) *Fragment {
	key := b.key(kind, e)
	if b.p.banned[key] || b.stats && !b.p.allHave(t.children, FeatureStats) || b.buckets && addsWithoutBuckets(e) {
		return nil
	}
	for _, f := range b.plan.Fragments {
		if f.key == key {
			return f
		}
	}
	text := textOf()
	if text == "" {
		return nil
	}
	id := strconv.Itoa(len(b.plan.Fragments))
	f := &Fragment{ID: id, Query: text, key: key, quiet: true, grid: b.grid, stats: b.stats}
	if ends, other := ofRequest(e); !ends && !other && b.p.stepInvariant(text) {
		f.grid.end = f.grid.start // it is the same at every step
	}
	f.standIn = labels.MustNewMatcher(labels.MatchEqual, labels.MetricName, "fragment "+id)
	f.Children, f.spared = b.ask(e, t.children)
	if f.several = t.children.count() > 1; f.several {
		for _, g := range t.guards {
			query := b.guardText(g)
			if query == "" {
				return nil
			}
			guard := &Fragment{ID: id + " guard", Query: query, quiet: true, grid: f.grid}
			if guard.Children, guard.spared = b.ask(g, t.children); len(guard.Children) > 0 {
				f.guards = append(f.guards, guard)
			}
		}
	}
	b.plan.Fragments = append(b.plan.Fragments, f)
	return f
}

// ask returns the indexes of the children that are asked for e, and which are
// not although they may hold series of it.
func (b *builder) ask(e parser.Expr, children bitset) (who []int, spared []spared) {
	live, spared := b.live(e, children)
	live.each(func(i int) { who = append(who, i) })
	return who, spared
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
		vs.Timestamp = &f.grid.start
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

// stored puts the matchers of each selector of e in the order in which the TSDB
// leaves those that it has read: a negative one comes after others that ask for a
// value of its label. absent() goes by that order where several are of one label.
func stored(e parser.Expr) parser.Expr {
	parser.Inspect(e, func(n parser.Node, _ []parser.Node) error {
		if vs, ok := n.(*parser.VectorSelector); ok {
			vs.LabelMatchers = asStored(vs.LabelMatchers)
		}
		return nil
	})
	return e
}

func asStored(ms []*labels.Matcher) []*labels.Matcher {
	set, count, several := map[string]bool{}, map[string]int{}, false
	for _, m := range ms {
		set[m.Name] = set[m.Name] || !m.Matches("")
		count[m.Name]++
		several = several || count[m.Name] > 1
	}
	if !several {
		return ms
	}
	var first, last []*labels.Matcher
	for _, m := range ms {
		if negative := m.Type == labels.MatchNotEqual || m.Type == labels.MatchNotRegexp; !set[m.Name] || negative && m.Matches("") {
			last = append(last, m)
		} else {
			first = append(first, m)
		}
	}
	return append(first, last...)
}

// stepInvariant reports whether the engine would evaluate a query only once.
func (p *Planner) stepInvariant(query string) bool {
	e, err := p.parse(query)
	if err != nil || !usesAt(e) {
		return false
	}
	e, err = promql.PreprocessExpr(e, timestamp.Time(p.grid.start), timestamp.Time(p.grid.end), time.Duration(p.grid.step)*time.Millisecond)
	if err != nil {
		return false
	}
	_, ok := e.(*parser.StepInvariantExpr)
	return ok
}

// key identifies a fragment within a query: an expression may stand in the query
// and in a subquery.
func (b *builder) key(kind string, e parser.Expr) string {
	if b.grid != b.p.grid {
		kind += fmt.Sprint(" at ", b.grid)
	}
	if b.stats {
		kind += " without buckets"
	}
	return kind + " " + e.String()
}

// text returns the text of e to send to children, or "" if there is none that
// means e on the grid at hand.
func (b *builder) text(e, at parser.Expr) string {
	if b.grid == b.p.grid {
		return b.p.text(e, at)
	}
	if e = b.fixed(e); e == nil {
		return ""
	}
	return b.p.text(e, at)
}

// around returns the text of a call of one operand with other text before it,
// which ends where the operand begins in the query so that positions in it stay
// true; or "" if there is no room for it.
func (b *builder) around(before string, arg parser.Expr) string {
	pos := arg.PositionRange()
	if b.grid != b.p.grid {
		if arg = b.fixed(arg); arg == nil {
			return ""
		}
	}
	room := int(pos.Start) - len(before)
	if room < 0 || int(pos.End) > len(b.p.query) || pos.End < pos.Start {
		return ""
	}
	want, err := b.p.parse(before + arg.String() + ")")
	if err != nil {
		return ""
	}
	for _, inner := range []string{b.p.query[pos.Start:pos.End], arg.String()} {
		text := blank(b.p.query[:room]) + before + inner + ")"
		if got, err := b.p.parse(text); err == nil && got.String() == want.String() && len(text) <= b.p.maxLength {
			return text
		}
	}
	return ""
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
