package treetest

import (
	"fmt"
	"maps"
	"math/rand"
	"slices"
	"strings"
	"time"

	"github.com/cortexproject/promqlsmith"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"

	"github.com/pandometrics/pando/querytree"
)

// Generator makes random queries over given series, with several smiths in turn,
// which between them use every option that there is but one: WithEnableHoltWinters
// is a function that Prometheus 3 does not have.
//
// The same rnd does not make the same queries in another process, since a smith
// keeps label names in the order of a map: a query is found again by its text.
type Generator struct {
	rnd    *rand.Rand
	smiths []*promqlsmith.PromQLSmith
	small  *promqlsmith.PromQLSmith // of operands of subqueries
	data   Data
	parser parser.Parser
	made   int
	// dropped counts what was made and not used, by why.
	dropped map[string]int
}

// longest is the longest query that is used: the engine takes others, but much of
// the time of a test would go to one in a thousand of them.
const longest = 8000

// NewGenerator returns a generator of queries over the series of d.
func NewGenerator(rnd *rand.Rand, d Data, series []labels.Labels) *Generator {
	g := &Generator{rnd: rnd, data: d, parser: querytree.NewParser(), dropped: map[string]int{}}
	times := []promqlsmith.Option{
		promqlsmith.WithEnableOffset(true), promqlsmith.WithEnableAtModifier(true), promqlsmith.WithAtModifierMaxTimestamp(d.End()),
	}
	matching := promqlsmith.WithEnableVectorMatching(true)
	for _, more := range [][]promqlsmith.Option{
		append(slices.Clone(times), matching),
		append(slices.Clone(times), matching, promqlsmith.WithEnforceLabelMatchers(enforced(rnd, series))),
		// Without what changes times, most operands have series.
		{matching},
		{matching, promqlsmith.WithEnforceLabelMatchers(enforced(rnd, series)), promqlsmith.WithMaxDepth(6)},
		// Small ones of all kinds, and aggregations of aggregations and joins.
		append(slices.Clone(times), matching, promqlsmith.WithMaxDepth(3)),
		{matching, promqlsmith.WithEnabledExprs([]promqlsmith.ExprType{promqlsmith.VectorSelector, promqlsmith.AggregateExpr, promqlsmith.BinaryExpr, promqlsmith.NumberLiteral})},
	} {
		g.smiths = append(g.smiths, promqlsmith.New(rnd, series, append(language(), more...)...))
	}
	g.small = promqlsmith.New(rnd, series, append(language(), matching, promqlsmith.WithMaxDepth(3))...)
	return g
}

// language are all functions, aggregations and operators that the engine has; the
// smith's own lists lack some, and are in the order of a map.
func language() []promqlsmith.Option {
	var (
		functions         []*parser.Function
		aggregations, ops []parser.ItemType
	)
	for _, name := range slices.Sorted(maps.Keys(parser.Functions)) {
		if name != "holt_winters" {
			functions = append(functions, parser.Functions[name])
		}
	}
	for op := range parser.ItemTypeStr {
		switch {
		case op.IsAggregator():
			aggregations = append(aggregations, op)
		case op.IsOperator() && op != parser.EQL_REGEX && op != parser.NEQ_REGEX && op != parser.AT:
			ops = append(ops, op)
		}
	}
	slices.Sort(aggregations)
	slices.Sort(ops)
	return []promqlsmith.Option{
		promqlsmith.WithEnabledFunctions(functions), promqlsmith.WithEnabledAggrs(aggregations), promqlsmith.WithEnabledBinOps(ops), promqlsmith.WithMaxDepth(5),
	}
}

// enforced returns matchers that some of the series fit, for all selectors of a
// smith: one by value and one by pattern, as those of a tenant or of a page of a
// dashboard are.
func enforced(rnd *rand.Rand, series []labels.Labels) []*labels.Matcher {
	l := series[rnd.Intn(len(series))]
	return []*labels.Matcher{
		labels.MustNewMatcher(labels.MatchEqual, "job", l.Get("job")),
		labels.MustNewMatcher(labels.MatchRegexp, "pod", l.Get("pod")+"|pod-0"),
	}
}

// text prints e, or "" for the incomplete expressions that a smith makes now and
// then.
func (g *Generator) text(e parser.Expr) (s string) {
	defer func() {
		if recover() != nil {
			s = ""
		}
	}()
	g.complete(e)
	return e.String()
}

// complete adds what smiths leave out: the parameters of histogram_quantiles(),
// and subqueries over more than a selector. It spares scalars operators that are not
// for them: the query would be an error, and no more.
func (g *Generator) complete(e parser.Node) {
	switch n := e.(type) {
	case *parser.Call:
		if n.Func.Name == "histogram_quantiles" {
			n.Args = append(n.Args[:1], &parser.StringLiteral{Val: "q"}, &parser.NumberLiteral{Val: g.rnd.Float64()}, &parser.NumberLiteral{Val: 0.99})
		}
	case *parser.BinaryExpr:
		if trims := n.Op == parser.TRIM_UPPER || n.Op == parser.TRIM_LOWER; trims && n.Type() == parser.ValueTypeScalar {
			n.Op = parser.ADD
		}
	case *parser.SubqueryExpr:
		if g.rnd.Intn(2) == 0 {
			n.Range = time.Duration(1+g.rnd.Intn(20)) * time.Minute
			n.Step = []time.Duration{0, 15 * time.Second, time.Minute, 77 * time.Second}[g.rnd.Intn(4)]
			n.Expr = &parser.ParenExpr{Expr: g.small.Walk(parser.ValueTypeVector)}
		}
	}
	for child := range parser.ChildrenIter(e) {
		g.complete(child)
	}
}

// Next returns a query that parses, half of them range queries.
func (g *Generator) Next() Query {
	for {
		q := Query{Start: g.data.End()/4 + g.rnd.Int63n(g.data.End()/2)}
		smith := g.smiths[g.made%len(g.smiths)]
		g.made++
		var e parser.Expr
		if g.rnd.Intn(2) == 0 {
			e = smith.WalkInstantQuery()
		} else {
			e = smith.WalkRangeQuery()
			q.Step = []int64{1_000, 15_000, 60_000, 77_777}[g.rnd.Intn(4)]
			q.End = q.Start + q.Step*int64(1+g.rnd.Intn(20))
		}
		if q.Expr = g.text(e); q.Expr == "" {
			g.dropped["incomplete"]++
			continue
		}
		if len(q.Expr) > longest {
			g.dropped["too long"]++
			continue
		}
		if _, err := g.parser.ParseExpr(q.Expr); err != nil {
			g.dropped["does not parse"]++
			continue
		}
		return q
	}
}

// Dropped says how many of the queries that were made were not used, and why.
func (g *Generator) Dropped() string {
	var parts []string
	for _, why := range slices.Sorted(maps.Keys(g.dropped)) {
		parts = append(parts, fmt.Sprintf("%d %s", g.dropped[why], why))
	}
	return fmt.Sprintf("%d queries made, of them not used: %s", g.made, strings.Join(parts, ", "))
}
