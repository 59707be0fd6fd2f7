package resultcache

import (
	"math"
	"slices"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/timestamp"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"

	"github.com/pandometrics/pando/querytree"
)

// reads is which samples a query looks at, for a step at time t.
type reads struct {
	// The newest sample that it may look at is at t+forward, or at fixed if that
	// is later; fixed is math.MinInt64 if the query has no @.
	forward, fixed int64
	// The oldest is at t-back, @ aside.
	back int64
	// selectors are those of all series that it looks at.
	selectors [][]*labels.Matcher
}

// Reasons why a query is neither kept nor split.
const (
	whyNoSeries  = "not used: the query reads no series"
	whyWholeAt   = "not used: @ start() and @ end() depend on the whole range"
	whyWholeCall = "not used: start(), end() and range() depend on the whole range"
	whyInfo      = "not used: info() chooses series by the whole range"
	whySort      = "not used: the query sorts"
	whyNames     = "not used: whether series of several names collide depends on the whole range"
	whyInvalid   = "not used: the query cannot be evaluated"
)

// far is a time after, and before, all that queries talk about.
const far = int64(1) << 50

// analyze tells what each step of a query reads; or, if its steps depend on each
// other or on the range that is asked for, why it can not be taken apart.
func analyze(expr parser.Expr, req querytree.ExecRequest) (r reads, why string) {
	parser.Inspect(expr, func(n parser.Node, _ []parser.Node) error {
		if why == "" {
			why = rangeDependent(n)
		}
		if vs, ok := n.(*parser.VectorSelector); ok {
			r.selectors = append(r.selectors, vs.LabelMatchers)
		}
		return nil
	})
	if why != "" {
		return r, why
	}
	if len(r.selectors) == 0 {
		return r, whyNoSeries
	}
	step := time.Duration(req.Step) * time.Millisecond
	expr, err := promql.PreprocessExpr(expr, timestamp.Time(req.Start), timestamp.Time(req.End), step)
	if err != nil {
		return r, whyInvalid
	}
	at := func(t int64) (mint, maxt int64) {
		return promql.FindMinMaxTime(&parser.EvalStmt{
			Expr: expr, Start: timestamp.Time(t), End: timestamp.Time(t), Interval: step,
			LookbackDelta: time.Duration(req.Lookback) * time.Millisecond,
		})
	}
	_, newest := at(far)
	r.forward, r.fixed = newest-far, math.MinInt64
	oldest, newest := at(-far)
	if r.back = -far - oldest; newest > -far/2 {
		r.fixed = newest
	}
	return r, ""
}

// rangeDependent says why what a node stands for depends on more than one step,
// if it does.
func rangeDependent(n parser.Node) string {
	switch n := n.(type) {
	case *parser.VectorSelector:
		switch {
		case n.StartOrEnd != 0:
			return whyWholeAt
		case usesRange(n.OriginalOffsetExpr):
			return whyWholeCall
		}
	case *parser.MatrixSelector:
		if usesRange(n.RangeExpr) {
			return whyWholeCall
		}
	case *parser.SubqueryExpr:
		switch {
		case n.StartOrEnd != 0:
			return whyWholeAt
		case usesRange(n.RangeExpr) || usesRange(n.OriginalOffsetExpr) || usesRange(n.StepExpr):
			return whyWholeCall
		}
	case *parser.Call:
		return callDependent(n)
	}
	return ""
}

// usesRange reports whether a duration is computed from the range asked for.
func usesRange(d *parser.DurationExpr) bool {
	if d == nil {
		return false
	}
	if d.Op == parser.RANGE {
		return true
	}
	for _, e := range []parser.Expr{d.LHS, d.RHS} {
		if inner, ok := e.(*parser.DurationExpr); ok && usesRange(inner) {
			return true
		}
	}
	return false
}

func callDependent(c *parser.Call) string {
	switch c.Func.Name {
	case "start", "end", "range":
		return whyWholeCall
	case "info":
		return whyInfo
	case "sort", "sort_desc", "sort_by_label", "sort_by_label_desc":
		return whySort // Prometheus warns that it is of no use, but not if there is one step.
	case "last_over_time", "first_over_time":
		return "" // They keep names.
	}
	for _, arg := range c.Args {
		if arg.Type() == parser.ValueTypeMatrix && severalNames(arg) {
			return whyNames
		}
	}
	return ""
}

// severalNames reports whether a range vector may hold series that differ in
// nothing but their names. A function that drops names fails if it does, also if
// the series never meet at any one step.
func severalNames(e parser.Expr) bool {
	switch e := e.(type) {
	case *parser.ParenExpr:
		return severalNames(e.Expr)
	case *parser.StepInvariantExpr:
		return severalNames(e.Expr)
	case *parser.SubqueryExpr:
		if agg, ok := e.Expr.(*parser.AggregateExpr); ok && nameless(agg) {
			return false
		}
		return severalNames(e.Expr)
	}
	names := map[string]bool{}
	parser.Inspect(e, func(n parser.Node, _ []parser.Node) error {
		switch n := n.(type) {
		case *parser.VectorSelector:
			names[nameOf(n)] = true
		case *parser.Call:
			if n.Func.Name == "label_replace" || n.Func.Name == "label_join" {
				names[""] = true
			}
		}
		return nil
	})
	return names[""] || len(names) > 1
}

// nameless reports whether the results of an aggregation have no names.
func nameless(a *parser.AggregateExpr) bool {
	switch a.Op {
	case parser.TOPK, parser.BOTTOMK, parser.LIMITK, parser.LIMIT_RATIO, parser.COUNT_VALUES:
		return false
	}
	return a.Without || !slices.Contains(a.Grouping, labels.MetricName)
}

// nameOf returns the only name that a selector's series may have, or "".
func nameOf(vs *parser.VectorSelector) string {
	for _, m := range vs.LabelMatchers {
		if m.Name == labels.MetricName && m.Type == labels.MatchEqual {
			return m.Value
		}
	}
	return ""
}

// newest returns the last step that reads nothing after bound, in milliseconds,
// not necessarily on the grid; math.MinInt64 if there is none.
func (r reads) newest(bound int64) int64 {
	if r.fixed > bound {
		return math.MinInt64
	}
	return sub(bound, r.forward)
}

// touches reports whether a series with all labels of scope may be among those
// that are read.
func (r reads) touches(scope labels.Labels) bool {
	return slices.ContainsFunc(r.selectors, func(ms []*labels.Matcher) bool {
		return !slices.ContainsFunc(ms, func(m *labels.Matcher) bool {
			v := scope.Get(m.Name)
			return v != "" && !m.Matches(v)
		})
	})
}

// sub returns a-b, or the nearest there is.
func sub(a, b int64) int64 {
	switch d := a - b; {
	case b > 0 && d > a:
		return math.MinInt64
	case b < 0 && d < a:
		return math.MaxInt64
	default:
		return d
	}
}
