package querytree

import (
	"errors"
	"math"
	"slices"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/util/annotations"
)

// errUnusual says that an evaluation by columns met what it leaves to the stock
// engine: native histograms, or names that may collide.
var errUnusual = errors.New("left to the stock engine")

// tooManySamples is what the stock engine says.
var errTooManySamples = promql.ErrTooManySamples("query execution")

// columnar reports whether an aggregation can be evaluated by columns, and by
// parts: its operand is series-wise, and its parameter, if any, a number.
func columnar(n *parser.AggregateExpr) bool {
	if !slices.Contains(columnOps, n.Op) || seriesWiseSelector(n.Expr) == nil {
		return false
	}
	_, number := n.Param.(*parser.NumberLiteral)
	return n.Param == nil || number
}

// seriesWiseSelector returns the one selector of an expression whose value at a
// series depends on that series alone, whatever its labels, and whose series all
// have one metric name. It returns nil if the expression is not like that.
func seriesWiseSelector(e parser.Expr) *parser.VectorSelector {
	switch n := e.(type) {
	case *parser.VectorSelector:
		if n.Timestamp != nil || n.StartOrEnd != 0 || !selectsOneName(n.LabelMatchers) {
			return nil
		}
		return n
	case *parser.MatrixSelector:
		return seriesWiseSelector(n.VectorSelector)
	case *parser.SubqueryExpr:
		if n.Timestamp != nil || n.StartOrEnd != 0 {
			return nil
		}
		return seriesWiseSelector(n.Expr)
	case *parser.ParenExpr:
		return seriesWiseSelector(n.Expr)
	case *parser.UnaryExpr:
		return seriesWiseSelector(n.Expr)
	case *parser.BinaryExpr:
		return seriesWiseBinary(n)
	case *parser.Call:
		return seriesWiseCall(n)
	default:
		return nil
	}
}

// seriesWiseBinary handles a vector and a scalar without selectors. A scalar cannot be
// trimmed by any element, for one of two reasons, of which the engine tells that of the
// last element at each step: that depends on all series.
func seriesWiseBinary(n *parser.BinaryExpr) *parser.VectorSelector {
	switch {
	case (n.Op == parser.TRIM_UPPER || n.Op == parser.TRIM_LOWER) && n.LHS.Type() == parser.ValueTypeScalar:
		return nil
	case n.LHS.Type() == parser.ValueTypeVector && n.RHS.Type() == parser.ValueTypeScalar && !selects(n.RHS):
		return seriesWiseSelector(n.LHS)
	case n.LHS.Type() == parser.ValueTypeScalar && n.RHS.Type() == parser.ValueTypeVector && !selects(n.LHS):
		return seriesWiseSelector(n.RHS)
	default:
		return nil
	}
}

// seriesWiseFuncs are the functions that give one series for one series without
// looking at labels other than the metric name.
var seriesWiseFuncs = []string{
	"abs", "acos", "acosh", "asin", "asinh", "atan", "atanh", "avg_over_time", "ceil", "changes", "clamp", "clamp_max", "clamp_min",
	"cos", "cosh", "count_over_time", "day_of_month", "day_of_week", "day_of_year", "days_in_month", "deg", "delta", "deriv",
	"double_exponential_smoothing", "exp", "first_over_time", "floor", "histogram_avg", "histogram_count", "histogram_stddev",
	"histogram_stdvar", "histogram_sum", "hour", "idelta", "increase", "irate", "last_over_time", "ln", "log10", "log2",
	"mad_over_time", "max_over_time", "min_over_time", "minute", "month", "predict_linear", "present_over_time", "quantile_over_time",
	"rad", "rate", "resets", "round", "sgn", "sin", "sinh", "sqrt", "stddev_over_time", "stdvar_over_time", "sum_over_time", "tan",
	"tanh", "timestamp", "ts_of_first_over_time", "ts_of_last_over_time", "ts_of_max_over_time", "ts_of_min_over_time", "year",
}

func seriesWiseCall(n *parser.Call) *parser.VectorSelector {
	if !slices.Contains(seriesWiseFuncs, n.Func.Name) {
		return nil
	}
	var found *parser.VectorSelector
	for _, arg := range n.Args {
		switch t := arg.Type(); {
		case t == parser.ValueTypeVector || t == parser.ValueTypeMatrix:
			if found != nil {
				return nil
			}
			if found = seriesWiseSelector(arg); found == nil {
				return nil
			}
		case selects(arg):
			return nil
		}
	}
	return found
}

// selects reports whether an expression has a selector.
func selects(e parser.Expr) bool {
	found := false
	parser.Inspect(e, func(n parser.Node, _ []parser.Node) error {
		_, vs := n.(*parser.VectorSelector)
		found = found || vs
		return nil
	})
	return found
}

// seeThroughFuncs are those that look at values and labels of their operands,
// not at how these came to be: an operand may be replaced by a selector of it.
var seeThroughFuncs = []string{
	"abs", "ceil", "clamp", "clamp_max", "clamp_min", "exp", "floor", "histogram_quantile", "label_join", "label_replace",
	"ln", "log10", "log2", "round", "scalar", "sgn", "sort", "sort_desc", "sqrt",
}

// replaceAggregations replaces the aggregations of an expression that can be evaluated
// by themselves: those on the expression's own grid. It changes e, and returns
// what to put in its place.
func replaceAggregations(e parser.Expr, by func(*parser.AggregateExpr) parser.Expr) parser.Expr {
	switch n := e.(type) {
	case *parser.AggregateExpr:
		if columnar(n) {
			return by(n)
		}
		n.Expr = replaceAggregations(n.Expr, by)
	case *parser.ParenExpr:
		n.Expr = replaceAggregations(n.Expr, by)
	case *parser.UnaryExpr:
		n.Expr = replaceAggregations(n.Expr, by)
	case *parser.BinaryExpr:
		n.LHS, n.RHS = replaceAggregations(n.LHS, by), replaceAggregations(n.RHS, by)
	case *parser.Call:
		if slices.Contains(seeThroughFuncs, n.Func.Name) {
			for i, arg := range n.Args {
				n.Args[i] = replaceAggregations(arg, by)
			}
		}
	}
	return e
}

// aggregations returns the aggregations that replaceAggregations replaces, in its order.
func aggregations(e parser.Expr) []*parser.AggregateExpr {
	var found []*parser.AggregateExpr
	replaceAggregations(e, func(n *parser.AggregateExpr) parser.Expr {
		found = append(found, n)
		return n
	})
	return found
}

// grouping gives the groups of an aggregation numbers, in the order in which
// their first series come, as the stock engine does.
type grouping struct {
	names    []string // sorted
	without  bool
	metadata bool // names has labels that are dropped with the metric name
	numbers  map[uint64]int
	groups   []labels.Labels
	builder  *labels.Builder
	buf      []byte
}

func newGrouping(n *parser.AggregateExpr) *grouping {
	names := slices.Sorted(slices.Values(n.Grouping))
	return &grouping{
		names: names, without: n.Without, metadata: slices.ContainsFunc(names, isSchemaLabel),
		numbers: map[uint64]int{}, builder: labels.NewBuilder(labels.EmptyLabels()), buf: make([]byte, 0, 1024),
	}
}

// of returns the number of a series' group, and whether the group is new.
// unnamed says that the series has lost its metric name since lset.
func (g *grouping) of(lset labels.Labels, unnamed bool) (number int, isNew bool) {
	if unnamed && g.metadata {
		lset = lset.DropReserved(isSchemaLabel)
	}
	key := g.key(lset)
	number, ok := g.numbers[key]
	if !ok {
		number = len(g.groups)
		g.numbers[key] = number
		g.groups = append(g.groups, g.labels(lset))
	}
	return number, !ok
}

func (g *grouping) key(lset labels.Labels) (key uint64) {
	switch {
	case g.without:
		key, g.buf = lset.HashWithoutLabels(g.buf, g.names...)
	case len(g.names) > 0:
		key, g.buf = lset.HashForLabels(g.buf, g.names...)
	}
	return key
}

func (g *grouping) labels(lset labels.Labels) labels.Labels {
	g.builder.Reset(lset)
	switch {
	case g.without:
		return g.builder.Del(g.names...).Del(labels.MetricName).Labels()
	case len(g.names) > 0:
		return g.builder.Keep(g.names...).Labels()
	default:
		return labels.EmptyLabels()
	}
}

// aggregation aggregates series by one grouping with one operator or several.
type aggregation struct {
	grouping *grouping
	columns  []*columns
	limit    int // of values held
}

func newAggregation(n *parser.AggregateExpr, ops []parser.ItemType, g grid, limit int) *aggregation {
	f := &aggregation{grouping: newGrouping(n), limit: limit}
	param := 0.0
	if l, ok := n.Param.(*parser.NumberLiteral); ok {
		param = l.Val
	}
	for _, op := range ops {
		f.columns = append(f.columns, newColumns(op, param, g))
	}
	return f
}

// add takes in one series of the operand.
func (f *aggregation) add(lset labels.Labels, unnamed bool, s promql.Series) error {
	if len(s.Histograms) > 0 {
		return errUnusual
	}
	number, isNew := f.grouping.of(lset, unnamed)
	held := 0
	for _, c := range f.columns {
		if isNew {
			c.open()
		}
		c.add(number, s.Floats)
		held += c.cells()
	}
	if held > f.limit {
		return errTooManySamples
	}
	return nil
}

// take implements partSink.
func (f *aggregation) take(p *part) error {
	for k, s := range p.value {
		i, unnamed, err := p.origin(k)
		if err != nil {
			return err
		}
		lset := p.series[i].Labels()
		if unnamed && hasMetadata(lset) {
			return errUnusual // two series may become one
		}
		if err := f.add(lset, unnamed, s); err != nil {
			return err
		}
	}
	p.done()
	return nil
}

// bytes implements partSink.
func (f *aggregation) bytes() int64 {
	cells := 0
	for _, c := range f.columns {
		cells += c.cells()
	}
	return int64(cells)*8 + int64(len(f.grouping.groups))*seriesBytes
}

// hasMetadata reports whether labels other than the metric name go with it.
func hasMetadata(lset labels.Labels) bool {
	return lset.Has("__type__") || lset.Has("__unit__")
}

// matrix returns the groups in the order of their first series; it can be
// called once.
func (f *aggregation) matrix(column int) promql.Matrix {
	m := make(promql.Matrix, 0, len(f.grouping.groups))
	for i, lset := range f.grouping.groups {
		if points := f.columns[column].points(i); len(points) > 0 {
			m = append(m, promql.Series{Metric: lset, Floats: points})
		}
	}
	return m
}

// aggregationWarnings are the stock engine's on an aggregation itself.
func aggregationWarnings(n *parser.AggregateExpr) annotations.Annotations {
	var warn annotations.Annotations
	if l, ok := n.Param.(*parser.NumberLiteral); ok && n.Op == parser.QUANTILE && (math.IsNaN(l.Val) || l.Val < 0 || l.Val > 1) {
		warn.Add(annotations.NewInvalidQuantileWarning(l.Val, n.Param.PositionRange()))
	}
	return warn
}

// gather keeps the series of a series-wise expression as they are.
type gather struct {
	m       promql.Matrix
	samples int
	limit   int // of samples
}

// take implements partSink. It does not give the points back: they are the
// answer.
func (g *gather) take(p *part) error {
	for k, s := range p.value {
		i, unnamed, err := p.origin(k)
		if err != nil {
			return err
		}
		lset := p.series[i].Labels()
		if unnamed {
			if hasMetadata(lset) {
				return errUnusual
			}
			lset = lset.DropReserved(isSchemaLabel)
		}
		if len(s.Floats) == 0 && len(s.Histograms) == 0 {
			continue
		}
		g.samples += promql.Matrix{s}.TotalSamples()
		g.m = append(g.m, promql.Series{Metric: lset, Floats: s.Floats, Histograms: s.Histograms})
	}
	if g.samples > g.limit {
		return errTooManySamples
	}
	return nil
}

// bytes implements partSink.
func (g *gather) bytes() int64 { return int64(g.samples)*pointBytes + int64(len(g.m))*seriesBytes }
