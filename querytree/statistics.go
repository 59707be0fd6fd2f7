package querytree

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/util/annotations"
)

// statistics rebuilds histogram_count, histogram_sum or histogram_avg over what
// reads native histograms as they are. For these the engine leaves out the
// buckets, and tells counter resets from one sample to the next as it reads
// them; so histograms are asked for that were read in that way. Under the
// function the engine looks for resets between the steps of a stand-in, too:
// nothing may be evaluated there that asks for resets.
func (b *builder) statistics(n *parser.Call) parser.Expr {
	fragments, cuts, pushed, stats, under := len(b.plan.Fragments), slices.Clone(b.plan.Cuts), maps.Clone(b.pushed), b.stats, b.under
	b.stats, b.under = true, true
	c := *n
	c.Args = parser.Expressions{b.build(n.Args[0], false)}
	b.stats, b.under = stats, under
	if !asksForResets(c.Args[0]) {
		return &c
	}
	b.plan.Fragments, b.plan.Cuts, b.pushed = b.plan.Fragments[:fragments], cuts, pushed
	return n
}

// readBuckets makes the engine's exception, for what is rebuilt until the
// function returned is called: whatever is above, below a subquery and what
// depends on buckets these are read.
func (b *builder) readBuckets() (restore func()) {
	stats, buckets, under := b.stats, b.buckets, b.under
	b.stats, b.buckets, b.under = false, true, false
	return func() { b.stats, b.buckets, b.under = stats, buckets, under }
}

// asksForResets reports whether anything in e adds native histograms up, which
// warns if only some were reset.
func asksForResets(e parser.Expr) bool {
	found := false
	parser.Inspect(e, func(n parser.Node, _ []parser.Node) error {
		switch n := n.(type) {
		case *parser.AggregateExpr:
			found = true
		case *parser.BinaryExpr:
			found = found || n.VectorMatching != nil && (n.Op == parser.ADD || n.Op == parser.SUB)
		}
		return nil
	})
	return found
}

// addsWithoutBuckets reports whether the engine, given e alone, would add up native
// histograms that it reads without their buckets. It tells of other resets then than
// with them, so e is not sent alone where something above makes it read them.
func addsWithoutBuckets(e parser.Node) bool {
	switch n := e.(type) {
	case *parser.SubqueryExpr:
		return false // all below it is read with buckets
	case *parser.BinaryExpr:
		if n.Op == parser.TRIM_UPPER || n.Op == parser.TRIM_LOWER {
			return false
		}
	case *parser.Call:
		switch n.Func.Name {
		case "histogram_quantile", "histogram_quantiles", "histogram_fraction", "histogram_stddev", "histogram_stdvar":
			return false
		case "histogram_count", "histogram_sum", "histogram_avg":
			return !onlyRates(n) && (asksForResets(n) || addsOverTime(n))
		}
	}
	for child := range parser.ChildrenIter(e) {
		if addsWithoutBuckets(child) {
			return true
		}
	}
	return false
}

// addsOverTime reports whether a function in e adds up the samples of a range.
func addsOverTime(e parser.Expr) bool {
	found := false
	parser.Inspect(e, func(n parser.Node, _ []parser.Node) error {
		if c, ok := n.(*parser.Call); ok {
			found = found || c.Func.Name == "sum_over_time" || c.Func.Name == "avg_over_time"
		}
		return nil
	})
	return found
}

// aggregated adds a fragment that stands for an aggregation, of which nothing is
// left for the residual: a sum is put together from the children's, unless these
// are not enough, and others from the operand.
func (b *builder) aggregated(n *parser.AggregateExpr) *Fragment {
	t := b.a.of(n.Expr)
	if !t.operand() || (b.namesSeen && t.dropsName) || n.Param != nil && !b.constantAnywhere(n.Param) {
		return nil
	}
	if n.Op == parser.SUM {
		if f := b.fragment(n, n, t, "fold"); f != nil {
			b.foldedAs(f, n)
			return f
		}
	}
	f := b.fragment(n.Expr, n.Expr, t, "operand of "+n.String()+" is")
	if f == nil {
		return nil
	}
	above := *n
	above.Expr = b.standInAt(f, unparen(n.Expr), unparen(n.Expr))
	f.Merge, f.above, f.quiet = MergeOperand, &above, false
	return b.standsFor(f, n)
}

// constantAnywhere reports whether e has no series, and is the same on any grid: a
// fragment of what is the same at every step has the first alone.
func (b *builder) constantAnywhere(e parser.Expr) bool {
	_, other := ofRequest(e)
	return b.a.of(e).constant && !other
}

// aggregateOperand evaluates the aggregation of a fragment over its operand.
func (r *fragmentRun) aggregateOperand(ctx context.Context, operand promql.Matrix, err error) (promql.Matrix, error) {
	if err != nil {
		return nil, err
	}
	m, warn, err := r.combine(ctx, r.f, operand)
	if err != nil {
		return nil, err
	}
	r.warn.Merge(warn)
	return m, nil
}

// skipBuckets makes the engine read raw series without the buckets of native
// histograms. What stands for fragments has been read that way below.
func (pl *Plan) skipBuckets() {
	skipBuckets(pl.Residual, func(vs *parser.VectorSelector) bool {
		for _, m := range vs.LabelMatchers {
			if pl.isStandIn(m) {
				return false
			}
		}
		return true
	})
}

// skipBuckets marks the selectors that are chosen, as the engine does for what
// is under histogram_count. Of those below a subquery or a function of buckets
// the engine takes the mark away.
func skipBuckets(e parser.Expr, of func(*parser.VectorSelector) bool) {
	parser.Inspect(e, func(n parser.Node, _ []parser.Node) error {
		if vs, ok := n.(*parser.VectorSelector); ok && of(vs) {
			vs.SkipHistogramBuckets = true
		}
		return nil
	})
}

// errNoStats: nothing is known of the engine's parser, so that it takes text alone.
var errNoStats = errors.New("native histograms cannot be read without their buckets here")

// execStats has the stock engine read native histograms without their buckets.
func (l *Local) execStats(ctx context.Context, req ExecRequest) (promql.Matrix, annotations.Annotations, error) {
	if l.tickets == nil {
		return nil, nil, fmt.Errorf("exec on %q: %w", l.name(), errNoStats)
	}
	e, err := l.tickets.Parser.ParseExpr(req.Query)
	if err != nil {
		return nil, nil, fmt.Errorf("exec on %q: %w", l.name(), err)
	}
	skipBuckets(e, func(*parser.VectorSelector) bool { return true })
	engine, sorted := l.cfg.Engine, orderMatters(req.Query)
	if l.engine != nil {
		var leave func()
		if ctx, leave, err = l.begin(ctx, req); err != nil {
			return nil, nil, err
		}
		defer leave()
		engine = l.engine
	}
	req.Query = l.tickets.deposit(e)
	return l.execStock(ctx, engine, req, sorted)
}
