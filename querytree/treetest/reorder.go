package treetest

import (
	"fmt"
	"math/rand"
	"slices"
	"strings"

	"github.com/grafana/regexp"
	"github.com/prometheus/prometheus/promql/parser"

	"github.com/pandometrics/pando/querytree"
)

// reordered returns an instant query with what its topk, bottomk and limitk choose
// from, and what it sorts, in another order, and whether there is any. That may come in
// an order that no order of storage changes: of another choice, of hashes, of the sides
// of an operator. Those in subqueries are left alone: sort_by_label does nothing over a
// range.
func reordered(q Query, seed int64) (Query, bool) {
	if q.Step != 0 || !chooses.MatchString(q.Expr) {
		return q, false
	}
	e, err := querytree.NewParser().ParseExpr(q.Expr)
	if err != nil {
		return q, false
	}
	rnd := rand.New(rand.NewSource(seed))
	names := labelNames(e)
	var operands []*parser.Expr // those within others come after these
	parser.Inspect(e, func(n parser.Node, path []parser.Node) error {
		if operand := goesByOrder(n); operand != nil && !slices.ContainsFunc(path, isSubquery) {
			operands = append(operands, operand)
		}
		return nil
	})
	for _, operand := range slices.Backward(operands) {
		if *operand, err = sortedBy(*operand, names, rnd); err != nil {
			return q, false
		}
	}
	q.Expr = e.String()
	return q, len(operands) > 0
}

// goesByOrder returns the operand of what depends on its order; nil of anything else.
func goesByOrder(n parser.Node) *parser.Expr {
	switch n := n.(type) {
	case *parser.AggregateExpr:
		if choosing(n.Op) {
			return &n.Expr
		}
	case *parser.Call:
		if strings.HasPrefix(n.Func.Name, "sort") && len(n.Args) > 0 {
			return &n.Args[0]
		}
	}
	return nil
}

func isSubquery(n parser.Node) bool {
	_, ok := n.(*parser.SubqueryExpr)
	return ok
}

// sortedBy returns an operand in an order of its labels.
func sortedBy(e parser.Expr, names []string, rnd *rand.Rand) (parser.Expr, error) {
	rnd.Shuffle(len(names), func(i, j int) { names[i], names[j] = names[j], names[i] })
	function := "sort_by_label"
	if rnd.Intn(2) == 0 {
		function = "sort_by_label_desc"
	}
	var by strings.Builder
	for _, name := range names {
		fmt.Fprintf(&by, ", %q", name)
	}
	return querytree.NewParser().ParseExpr(function + "(" + e.String() + by.String() + ")")
}

// labelName finds names of labels among the strings of an expression.
var labelName = regexp.MustCompile(`^[a-zA-Z_][a-zA-Z0-9_]*$`)

// labelNames returns the names of labels that series of the test data, or what an
// expression makes of them, are told apart by.
func labelNames(e parser.Expr) []string {
	names := []string{"__name__", "cluster", "code", "instance", "job", "le", "pod", "version", "zone"}
	parser.Inspect(e, func(n parser.Node, _ []parser.Node) error {
		if s, ok := n.(*parser.StringLiteral); ok && labelName.MatchString(s.Val) && !slices.Contains(names, s.Val) {
			names = append(names, s.Val)
		}
		return nil
	})
	return names
}
