package treetest_test

import (
	"math/rand"
	"testing"

	"github.com/prometheus/prometheus/promql/parser"

	"github.com/pandometrics/pando/querytree"
	"github.com/pandometrics/pando/querytree/treetest"
)

// Between them, generated queries have all functions, aggregations and operators,
// and all ways to match, to group and to shift times that the smith knows.
func TestGeneratedQueriesHaveTheWholeLanguage(t *testing.T) {
	rnd := rand.New(rand.NewSource(1))
	leaves, zones := treetest.Clusters("eu", 3, "us", 1)
	data := treetest.Data{Minutes: 2, Interval: 15_000}
	p := treetest.New(t, treetest.Config{Leaves: leaves, Zones: zones})
	g := treetest.NewGenerator(rnd, data, data.Fill(t, p, rnd))
	seen := map[string]int{}
	const total = 10_000
	for range total {
		e, err := querytree.NewParser().ParseExpr(g.Next().Expr)
		if err != nil {
			t.Fatal(err)
		}
		parser.Inspect(e, func(n parser.Node, _ []parser.Node) error {
			for _, part := range partsOf(n) {
				seen[part]++
			}
			return nil
		})
	}
	for _, want := range wholeLanguage() {
		if seen[want] == 0 {
			t.Errorf("no query of %d has %s", total, want)
		}
	}
	t.Log(g.Dropped())
}

// partsOf names what a node shows of the language.
func partsOf(n parser.Node) []string {
	var out []string
	switch n := n.(type) {
	case *parser.Call:
		out = append(out, n.Func.Name+"()")
	case *parser.AggregateExpr:
		out = append(out, n.Op.String())
		if n.Without {
			out = append(out, "without")
		} else if len(n.Grouping) > 0 {
			out = append(out, "by")
		}
	case *parser.BinaryExpr:
		out = append(out, "operator "+n.Op.String())
		if n.ReturnBool {
			out = append(out, "bool")
		}
		if m := n.VectorMatching; m != nil {
			out = append(out, m.Card.String())
			if m.On {
				out = append(out, "on")
			} else if len(m.MatchingLabels) > 0 {
				out = append(out, "ignoring")
			}
			if len(m.Include) > 0 {
				out = append(out, "included labels")
			}
		}
	case *parser.VectorSelector:
		if n.OriginalOffset != 0 {
			out = append(out, "offset")
		}
		switch {
		case n.Timestamp != nil:
			out = append(out, "@ time")
		case n.StartOrEnd == parser.START:
			out = append(out, "@ start()")
		case n.StartOrEnd == parser.END:
			out = append(out, "@ end()")
		}
	case *parser.SubqueryExpr:
		if out = append(out, "subquery"); n.Expr.Type() == parser.ValueTypeVector {
			if _, simple := n.Expr.(*parser.VectorSelector); !simple {
				out = append(out, "subquery over more than a selector")
			}
		}
	case *parser.UnaryExpr:
		out = append(out, "unary")
	}
	return out
}

func wholeLanguage() []string {
	out := []string{
		"by", "without", "bool", "on", "ignoring", "included labels", "offset", "@ time", "@ start()", "@ end()", "subquery", "subquery over more than a selector", "unary",
		parser.CardOneToOne.String(), parser.CardManyToOne.String(), parser.CardOneToMany.String(), parser.CardManyToMany.String(),
	}
	for name := range parser.Functions {
		if name != "holt_winters" { // The smith's, for versions before 3.
			out = append(out, name+"()")
		}
	}
	for op := range parser.ItemTypeStr {
		if op.IsAggregator() {
			out = append(out, op.String())
		} else if op.IsOperator() && op != parser.EQL_REGEX && op != parser.NEQ_REGEX && op != parser.AT {
			out = append(out, "operator "+op.String())
		}
	}
	return out
}
