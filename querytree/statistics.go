package querytree

import (
	"context"
	"errors"
	"fmt"

	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/util/annotations"
)

// statistics rebuilds histogram_count, histogram_sum or histogram_avg over what
// reads native histograms as they are. For these the engine leaves out the
// buckets, and tells counter resets from one sample to the next as it reads
// them; so the sums are asked for with histograms read in that way. What is
// evaluated here must be no more than the function itself: under it the engine
// would look for resets between the steps of a stand-in, too.
func (b *builder) statistics(n *parser.Call) parser.Expr {
	arg, ok := unparen(n.Args[0]).(*parser.AggregateExpr)
	if !ok || arg.Op != parser.SUM {
		return n
	}
	t := b.a.of(arg.Expr)
	if !t.operand() || (b.namesSeen && t.dropsName) {
		return n
	}
	stats := b.stats
	b.stats = true
	f := b.fragment(arg, arg, t, "fold")
	b.stats = stats
	if f == nil {
		return n
	}
	b.foldedAs(f, arg)
	c := *n
	c.Args = parser.Expressions{b.standIn(f, arg)}
	return &c
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

// errNoStats: the engine's options are not known, so that it takes text alone.
var errNoStats = errors.New("native histograms cannot be read without their buckets here")

// execStats has the stock engine read native histograms without their buckets.
func (l *Local) execStats(ctx context.Context, req ExecRequest) (promql.Matrix, annotations.Annotations, error) {
	if l.engine == nil {
		return nil, nil, fmt.Errorf("exec on %q: %w", l.name(), errNoStats)
	}
	e, err := l.tickets.Parser.ParseExpr(req.Query)
	if err != nil {
		return nil, nil, fmt.Errorf("exec on %q: %w", l.name(), err)
	}
	ctx, leave, err := l.begin(ctx, req)
	if err != nil {
		return nil, nil, err
	}
	defer leave()
	skipBuckets(e, func(*parser.VectorSelector) bool { return true })
	sorted := orderMatters(req.Query)
	req.Query = l.tickets.deposit(e)
	return l.execStock(ctx, l.engine, req, sorted)
}
