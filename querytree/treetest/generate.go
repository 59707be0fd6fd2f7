package treetest

import (
	"math/rand"

	"github.com/cortexproject/promqlsmith"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"

	"github.com/pandometrics/pando/querytree"
)

// Generator makes random queries over given series.
type Generator struct {
	rnd    *rand.Rand
	smith  *promqlsmith.PromQLSmith
	data   Data
	parser parser.Parser
}

// NewGenerator returns a generator of queries over the series of d; the same rnd
// makes the same queries.
func NewGenerator(rnd *rand.Rand, d Data, series []labels.Labels) *Generator {
	return &Generator{rnd: rnd, data: d, parser: querytree.NewParser(), smith: promqlsmith.New(rnd, series,
		promqlsmith.WithEnableOffset(true),
		promqlsmith.WithEnableAtModifier(true),
		promqlsmith.WithAtModifierMaxTimestamp(d.End()),
		promqlsmith.WithEnableVectorMatching(true),
		promqlsmith.WithEnableExperimentalPromQLFunctions(true),
		promqlsmith.WithMaxDepth(4),
	)}
}

// text prints e, or "" for the incomplete expressions that the generator makes
// now and then.
func text(e parser.Expr) (s string) {
	defer func() {
		if recover() != nil {
			s = ""
		}
	}()
	return e.String()
}

// Next returns a query that parses, half of them range queries.
func (g *Generator) Next() Query {
	for {
		q := Query{Start: g.data.End()/4 + g.rnd.Int63n(g.data.End()/2)}
		var e parser.Expr
		if g.rnd.Intn(2) == 0 {
			e = g.smith.WalkInstantQuery()
		} else {
			e = g.smith.WalkRangeQuery()
			q.Step = []int64{1_000, 15_000, 60_000, 77_777}[g.rnd.Intn(4)]
			q.End = q.Start + q.Step*int64(1+g.rnd.Intn(20))
		}
		if q.Expr = text(e); q.Expr == "" {
			continue
		}
		if _, err := g.parser.ParseExpr(q.Expr); err == nil && len(q.Expr) < 2000 {
			return q
		}
	}
}
