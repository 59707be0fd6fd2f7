package querytree

import (
	"math"
	"slices"
	"sort"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
)

// window is which samples an expression looks at, at each step: those from back
// milliseconds before it to ahead milliseconds after it.
type window struct{ back, ahead int64 }

// windowOf returns the window of a request, and false if steps cannot be
// evaluated apart: what one step gives may then depend on the others.
func (m *Mixer) windowOf(req ExecRequest) (window, bool) {
	expr, err := m.parse(req.Query)
	if err != nil || !stepwise(req.Query, expr) {
		return window{}, false
	}
	req.End = req.Start
	mint, maxt, err := m.timeRange(req)
	if err != nil || mint == math.MinInt64 {
		return window{}, false
	}
	return window{max(0, req.Start-mint), max(0, maxt-req.Start)}, true
}

// stepwise reports whether each step of a query is evaluated by itself. It is
// not if the query speaks of its own range, if an aggregation has a parameter
// that varies, of which the engine looks at the extremes, or if the engine may
// find series of equal labels at different steps, which it refuses: those that
// differ only in their names, or by labels made up.
func stepwise(query string, expr parser.Expr) bool {
	lexer := parser.Lex(query)
	for {
		var it parser.Item
		lexer.NextItem(&it)
		switch it.Typ {
		case parser.EOF:
			return named(expr)
		case parser.ERROR, parser.AT, parser.START, parser.END, parser.RANGE, parser.STEP, parser.LOR:
			return false
		}
		if slices.Contains([]string{"start", "end", "range", "step", "info", "label_replace", "label_join"}, it.Val) {
			return false
		}
	}
}

// named reports whether all series that one selector finds have the same name,
// and no operator gives them others.
func named(expr parser.Expr) bool {
	ok := true
	parser.Inspect(expr, func(n parser.Node, _ []parser.Node) error {
		switch n := n.(type) {
		case *parser.VectorSelector:
			ok = ok && slices.ContainsFunc(n.LabelMatchers, func(m *labels.Matcher) bool {
				return m.Name == labels.MetricName && m.Type == labels.MatchEqual && m.Value != ""
			})
		case *parser.AggregateExpr:
			switch param := unparen(n.Param).(type) {
			case nil, *parser.NumberLiteral:
			case *parser.StringLiteral:
				ok = ok && param.Val != labels.MetricName
			default:
				ok = false
			}
		case *parser.BinaryExpr:
			ok = ok && (n.VectorMatching == nil || !slices.Contains(n.VectorMatching.Include, labels.MetricName))
		}
		return nil
	})
	return ok
}

// stepRun is a part of a request's grid, and the replica that has all samples
// which it looks at; nil if none has.
type stepRun struct {
	start, end int64
	by         *replica
}

// maxStepRuns is how many parts a request may be asked in.
const maxStepRuns = 16

// stepRuns splits the grid of a request by which replica covers it.
func (v *view) stepRuns(req ExecRequest, w window) []stepRun {
	without := make([]intervals, len(v.order))
	for i, r := range v.order {
		without[i] = v.wants(r).grown(w.ahead, w.back)
	}
	var runs []stepRun
	for t := req.Start; t <= req.End; t += max(req.Step, 1) {
		var by *replica
		for i, r := range v.order {
			if !without[i].contain(t) {
				by = r
				break
			}
		}
		if n := len(runs); n > 0 && runs[n-1].by == by {
			runs[n-1].end = t
			continue
		}
		runs = append(runs, stepRun{t, t, by})
	}
	return fewer(runs, v.order[0])
}

// fewer makes one run of all that the first replica does not cover, and what is
// between, if there are too many.
func fewer(runs []stepRun, first *replica) []stepRun {
	if len(runs) <= maxStepRuns {
		return runs
	}
	other := func(r stepRun) bool { return r.by != first }
	from := slices.IndexFunc(runs, other)
	to := from
	for i, r := range runs {
		if other(r) {
			to = i
		}
	}
	middle := stepRun{start: runs[from].start, end: runs[to].end}
	return slices.Concat(runs[:from], []stepRun{middle}, runs[to+1:])
}

// contain reports whether a time is in any of the intervals.
func (is intervals) contain(t int64) bool {
	i := sort.Search(len(is), func(i int) bool { return is[i].Maxt >= t })
	return i < len(is) && is[i].Mint <= t
}
