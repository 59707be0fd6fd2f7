package rollup

import (
	"math"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/promql/parser/posrange"
)

// shape is the canonical form of what an aggregation reads: a series-wise
// expression of one selector. Two of them with the same key have the same value
// at the same series, the one's at t being the other's at t less the difference
// of their offsets.
type shape struct {
	expr parser.Expr
	// selector is within expr. Its matchers are without that on the metric name.
	selector *parser.VectorSelector
	metric   string
	// key is the text without metric name, matchers and offset.
	key string
	// offset is that of the outermost selector or subquery: it shifts all that
	// is read.
	offset time.Duration
	// clocked: the value depends on the time of evaluation too, so that it is
	// not only shifted by the offset.
	clocked bool
	// keepsName: the series still have the metric name.
	keepsName bool
	instant   bool
	window    time.Duration // without the lookback delta
	// nonCounter: rate or increase of a metric that is not a counter by its
	// name, for which the engine annotates floats. rated is of the range.
	nonCounter bool
	rated      posrange.PositionRange
	// opaque: of the values one cannot tell whether it annotated.
	opaque bool
}

// newParser returns a parser that takes all that the tiers' parser takes.
func newParser() parser.Parser {
	return parser.NewParser(parser.Options{
		EnableExperimentalFunctions: true, ExperimentalDurationExpr: true, EnableExtendedRangeSelectors: true, EnableBinopFillModifiers: true,
	})
}

// shapeOf returns the shape of an expression, which is not changed, or a refusal.
func shapeOf(e parser.Expr) (shape, error) {
	c := canonicalizer{outermost: true}
	out, err := c.of(e)
	if err == nil && c.selector == nil {
		err = refuse("use a selector that names a metric", "%s reads no series", e)
	}
	if err != nil {
		return shape{}, err
	}
	c.expr = out
	c.key = c.keyOf()
	c.selector.Name = c.metric // for its text
	return c.shape, nil
}

// canonicalizer rewrites one expression.
type canonicalizer struct {
	shape
	// outermost: nothing above takes an offset.
	outermost bool
}

// keyOf prints the expression with another selector.
func (c *canonicalizer) keyOf() string {
	sel, offset := *c.selector, c.offset
	c.selector.Name, c.selector.LabelMatchers = "_", nil
	c.setOffset(c.expr, 0)
	key := c.expr.String()
	c.selector.Name, c.selector.LabelMatchers = sel.Name, sel.LabelMatchers
	c.setOffset(c.expr, offset)
	return key
}

// setOffset sets the offset of the outermost selector or subquery.
func (c *canonicalizer) setOffset(e parser.Expr, offset time.Duration) {
	parser.Inspect(e, func(n parser.Node, path []parser.Node) error {
		within := slices.ContainsFunc(path, func(p parser.Node) bool { _, ok := p.(*parser.SubqueryExpr); return ok })
		switch n := n.(type) {
		case *parser.SubqueryExpr:
			if !within {
				n.OriginalOffset = offset
			}
		case *parser.VectorSelector:
			if !within {
				n.OriginalOffset = offset
			}
		}
		return nil
	})
}

func (c *canonicalizer) of(e parser.Expr) (parser.Expr, error) {
	switch n := e.(type) {
	case *parser.ParenExpr:
		return c.of(n.Expr)
	case *parser.VectorSelector:
		c.instant = true
		return c.selectorOf(n)
	case *parser.MatrixSelector:
		return c.matrix(n)
	case *parser.SubqueryExpr:
		return c.subquery(n)
	case *parser.UnaryExpr:
		x, err := c.of(n.Expr)
		c.keepsName = c.keepsName && n.Op == parser.ADD
		return &parser.UnaryExpr{Op: n.Op, Expr: operand(x)}, err
	case *parser.BinaryExpr:
		return c.binary(n)
	case *parser.Call:
		return c.call(n)
	case *parser.AggregateExpr:
		return nil, refuse("keep one of the two: what is aggregated must be of single series", "%s is an aggregation within another", n)
	case *parser.StepInvariantExpr:
		return nil, refuse("leave @ out", "%s is of a fixed time", n)
	default:
		return nil, refuse("aggregate an expression with a selector", "%s reads no series", e)
	}
}

// selectorOf returns the canonical selector, and notes it.
func (c *canonicalizer) selectorOf(n *parser.VectorSelector) (*parser.VectorSelector, error) {
	switch {
	case c.selector != nil:
		return nil, refuse("keep an aggregate of each metric, and join these in the query", "it reads several selectors, %s and %s", c.selector, n)
	case n.Timestamp != nil || n.StartOrEnd != 0:
		return nil, refuse("leave @ out", "%s is of a fixed time", n)
	case n.Anchored || n.Smoothed:
		return nil, refuse("use a plain selector", "%s looks beyond its range for as long as the query's lookback delta", n)
	case n.OriginalOffsetExpr != nil:
		return nil, refuse("write the offset as one duration, such as 5m", "%s computes its offset", n)
	}
	matchers, name, err := normalized(n.LabelMatchers)
	if err != nil {
		return nil, err
	}
	c.selector = &parser.VectorSelector{LabelMatchers: matchers, OriginalOffset: n.OriginalOffset}
	c.metric, c.keepsName = name, true
	return c.selector, c.shift(n.OriginalOffset, n)
}

// shift notes an offset.
func (c *canonicalizer) shift(offset time.Duration, n parser.Expr) error {
	if c.outermost {
		c.offset = offset
	}
	return c.reach(n, offset)
}

// maxWindow bounds how far back an expression may look.
const maxWindow = 10 * 365 * 24 * time.Hour

// reach adds to the window.
func (c *canonicalizer) reach(n parser.Expr, by time.Duration) error {
	switch {
	case by%time.Millisecond != 0:
		return refuse("use whole milliseconds", "%s has a duration of %v", n, by)
	case by > maxWindow || by < -maxWindow || c.window+max(by, 0) > maxWindow:
		return refuse("use shorter ranges and offsets", "%s looks further back than %d days", n, maxWindow/(24*time.Hour))
	}
	c.window += max(by, 0)
	return nil
}

func (c *canonicalizer) matrix(n *parser.MatrixSelector) (parser.Expr, error) {
	vs, ok := n.VectorSelector.(*parser.VectorSelector)
	switch {
	case !ok:
		return nil, refuse("", "%s is not a range of a selector", n)
	case n.RangeExpr != nil:
		return nil, refuse("write the range as one duration, such as 5m", "%s computes its range", n)
	}
	sel, err := c.selectorOf(vs)
	if err != nil {
		return nil, err
	}
	return &parser.MatrixSelector{VectorSelector: sel, Range: n.Range}, c.reach(n, n.Range)
}

func (c *canonicalizer) subquery(n *parser.SubqueryExpr) (parser.Expr, error) {
	switch {
	case n.Timestamp != nil || n.StartOrEnd != 0:
		return nil, refuse("leave @ out", "%s is of a fixed time", n)
	case n.RangeExpr != nil || n.StepExpr != nil || n.OriginalOffsetExpr != nil:
		return nil, refuse("write each as one duration, such as 5m", "%s computes its range, step or offset", n)
	case n.Step == 0:
		return nil, refuse("write the step, as in [1h:1m]", "%s leaves its step to the server", n)
	case n.Step%time.Millisecond != 0:
		return nil, refuse("use whole milliseconds", "%s has a step of %v", n, n.Step)
	}
	if err := c.shift(n.OriginalOffset, n); err != nil {
		return nil, err
	}
	outermost := c.outermost
	c.outermost = false
	x, err := c.of(n.Expr)
	if err != nil {
		return nil, err
	}
	if outermost {
		c.clocked = false // within, the time of evaluation is shifted too
	}
	// Between the windows of distant steps there may be values that nobody sees.
	c.opaque = true
	if vs, ok := x.(*parser.VectorSelector); ok && vs.OriginalOffset != 0 {
		x = &parser.ParenExpr{Expr: x}
	}
	return &parser.SubqueryExpr{Expr: operand(x), Range: n.Range, Step: n.Step, OriginalOffset: n.OriginalOffset}, c.reach(n, n.Range)
}

// operand puts an expression that binds less tightly than its surroundings in
// parentheses.
func operand(e parser.Expr) parser.Expr {
	switch n := e.(type) {
	case *parser.BinaryExpr, *parser.UnaryExpr:
		return &parser.ParenExpr{Expr: e}
	case *parser.NumberLiteral:
		if math.Signbit(n.Val) || math.IsInf(n.Val, 0) {
			return &parser.ParenExpr{Expr: e}
		}
	}
	return e
}

// flipped are the operators that mean the same with exchanged operands.
var flipped = map[parser.ItemType]parser.ItemType{
	parser.ADD: parser.ADD, parser.MUL: parser.MUL, parser.EQLC: parser.EQLC, parser.NEQ: parser.NEQ,
	parser.GTR: parser.LSS, parser.LSS: parser.GTR, parser.GTE: parser.LTE, parser.LTE: parser.GTE,
}

func (c *canonicalizer) binary(n *parser.BinaryExpr) (parser.Expr, error) {
	l, r := n.LHS, n.RHS
	if l.Type() == parser.ValueTypeVector && r.Type() == parser.ValueTypeVector {
		if n.Op.IsSetOperator() {
			return nil, refuse("keep an aggregate of each side", "%s matches series with each other", n.Op)
		}
		return nil, refuse("keep an aggregate of each side, and join these in the query", "it joins two sides by %s", n.Op)
	}
	lv, lok := number(l)
	rv, rok := number(r)
	if lok == rok { // of two numbers nothing is read; of none, a scalar is
		return nil, refuse("use a number", "one side of %s has to be a number", n.Op)
	}
	vec, v := l, rv
	if lok {
		vec, v = r, lv
	}
	x, err := c.of(vec)
	if err != nil {
		return nil, err
	}
	filters := n.Op.IsComparisonOperator() && !n.ReturnBool
	trims := n.Op == parser.TRIM_UPPER || n.Op == parser.TRIM_LOWER
	c.keepsName = c.keepsName && filters
	c.opaque = c.opaque || filters || trims
	out := &parser.BinaryExpr{Op: n.Op, LHS: operand(x), RHS: operand(&parser.NumberLiteral{Val: v}), ReturnBool: n.ReturnBool}
	if lok {
		if op, ok := flipped[n.Op]; ok {
			out.Op = op
		} else {
			out.LHS, out.RHS = out.RHS, out.LHS
		}
	}
	return out, nil
}

func (c *canonicalizer) call(n *parser.Call) (parser.Expr, error) {
	name := n.Func.Name
	if !slices.Contains(seriesWise, name) {
		return nil, functionRefused(name)
	}
	if len(n.Args) == 0 {
		return nil, refuse("give it a selector", "%s() without an argument is of the clock", name)
	}
	out := &parser.Call{Func: n.Func}
	var (
		read    parser.Expr
		numbers []float64
	)
	for _, arg := range n.Args {
		if t := arg.Type(); t == parser.ValueTypeVector || t == parser.ValueTypeMatrix {
			x, err := c.of(arg)
			if err != nil {
				return nil, err
			}
			read = x
			out.Args = append(out.Args, x)
			continue
		}
		v, ok := number(arg)
		if !ok {
			return nil, refuse("use a number", "the argument %s of %s() is not a number", arg, name)
		}
		numbers = append(numbers, v)
		out.Args = append(out.Args, &parser.NumberLiteral{Val: v})
	}
	if err := checkNumbers(name, numbers); err != nil {
		return nil, err
	}
	c.called(n, read)
	return out, nil
}

// checkNumbers refuses parameters for which the engine fails or warns.
func checkNumbers(name string, numbers []float64) error {
	switch name {
	case "quantile_over_time":
		if !(numbers[0] >= 0 && numbers[0] <= 1) {
			return refuse("use one of them", "the quantile %v is not between 0 and 1", numbers[0])
		}
	case "double_exponential_smoothing":
		for _, v := range numbers {
			if !(v > 0 && v < 1) {
				return refuse("use such factors", "the smoothing factor %v is not between 0 and 1", v)
			}
		}
	}
	return nil
}

// called notes what a call does to what it reads.
func (c *canonicalizer) called(n *parser.Call, read parser.Expr) {
	name := n.Func.Name
	_, plain := read.(*parser.VectorSelector)
	if name == "predict_linear" || name == "timestamp" && !plain {
		c.clocked = true
	}
	rates := name == "rate" || name == "increase"
	c.keepsName = c.keepsName && slices.Contains(keepNames, name)
	if rates && !countsByName(c.metric) {
		c.nonCounter, c.rated = true, rangeOf(n)
	}
	if _, direct := read.(*parser.MatrixSelector); !(rates && direct) {
		c.opaque = c.opaque || !slices.Contains(floatForFloat, name)
	}
}

// rangeOf returns the position that a rate's annotations are of.
func rangeOf(n *parser.Call) posrange.PositionRange {
	e := n.Args[0]
	for {
		p, ok := e.(*parser.ParenExpr)
		if !ok {
			return e.PositionRange()
		}
		e = p.Expr
	}
}

// countsByName reports whether a metric is a counter by its name, as the engine
// does.
func countsByName(name string) bool {
	return slices.ContainsFunc([]string{"_total", "_sum", "_count", "_bucket"}, func(s string) bool { return strings.HasSuffix(name, s) })
}

// grouped returns the labels of a grouping, sorted, each once.
func grouped(names []string, without bool) []string {
	out := slices.Clone(names)
	if without {
		// The metric name goes in any case.
		out = slices.DeleteFunc(out, func(n string) bool { return n == labels.MetricName })
	}
	slices.Sort(out)
	return slices.Compact(out)
}
