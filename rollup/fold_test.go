package rollup_test

import (
	"fmt"
	"math"
	"slices"

	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"

	"github.com/pandometrics/pando/rollup"
)

// point is a value, or what adds up to one.
type point struct {
	f float64
	h *histogram.FloatHistogram
	// mixed: there is no sum, since there are floats and histograms, or
	// histograms that do not go together.
	mixed bool
}

// table holds the points of series by their labels.
type table map[string]map[int64]point

func tableOf(m promql.Matrix) table {
	out := table{}
	for _, s := range m {
		points := map[int64]point{}
		for _, p := range s.Floats {
			points[p.T] = point{f: p.F}
		}
		for _, p := range s.Histograms {
			points[p.T] = point{h: p.H}
		}
		if len(points) > 0 {
			out[s.Metric.String()] = points
		}
	}
	return out
}

// fold is the plainest way to answer from what is kept by one operator. mixed
// tells that there is no value at some step, of which the engine warns; floats,
// that it was made of floats, of which it may say that they are no counters.
func fold(m rollup.Match, op string, kept promql.Matrix, constants labels.Labels) (out table, mixed, floats bool) {
	out = table{}
	for _, s := range kept {
		if slices.ContainsFunc(m.Matchers, func(m *labels.Matcher) bool { return !m.Matches(s.Metric.Get(m.Name)) }) {
			continue
		}
		key := m.Labels(s.Metric, constants).String()
		if out[key] == nil {
			out[key] = map[int64]point{}
		}
		for at, p := range tableOf(promql.Matrix{s})[s.Metric.String()] {
			floats = floats || p.h == nil
			have, ok := out[key][at+m.Offset]
			if ok {
				p = combined(op, have, p)
			}
			out[key][at+m.Offset] = p
		}
	}
	for key, points := range out {
		for at, p := range points {
			if p.mixed {
				mixed = true
				delete(points, at)
			}
		}
		if len(points) == 0 {
			delete(out, key)
		}
	}
	return out, mixed, floats
}

func combined(op string, a, b point) point {
	switch op {
	case "sum", "count":
		if a.mixed || b.mixed || (a.h == nil) != (b.h == nil) {
			return point{mixed: true}
		}
		if a.h != nil {
			sum, _, _, err := a.h.Copy().Add(b.h)
			return point{h: sum, mixed: err != nil}
		}
		return point{f: a.f + b.f}
	case "group":
		return point{f: 1}
	case "min":
		if a.f > b.f || math.IsNaN(a.f) {
			return b
		}
		return a
	default:
		if a.f < b.f || math.IsNaN(a.f) {
			return b
		}
		return a
	}
}

// answer makes the query's answer of tables by operator.
func answer(m rollup.Match, by map[string]table) table {
	if m.Op != parser.AVG && m.Op != parser.GROUP {
		return by[m.Ops[0]]
	}
	out := table{}
	for key, points := range by[m.Ops[0]] {
		out[key] = map[int64]point{}
		for at, p := range points {
			switch n := by["count"][key][at].f; {
			case m.Op == parser.GROUP:
				p = point{f: 1}
			case p.h != nil:
				p = point{h: p.h.Copy().Div(n)}
			default:
				p = point{f: p.f / n}
			}
			out[key][at] = p
		}
	}
	return out
}

// difference says how two tables differ, or "".
func difference(got, want table) string {
	if len(got) != len(want) {
		return fmt.Sprintf("%d series, want %d: %v, want %v", len(got), len(want), keysOf(got), keysOf(want))
	}
	for key, points := range want {
		if len(got[key]) != len(points) {
			return fmt.Sprintf("%s has %d points, want %d", key, len(got[key]), len(points))
		}
		for at, p := range points {
			g, ok := got[key][at]
			if !ok || (g.h == nil) != (p.h == nil) || !near(g.f, p.f) || p.h != nil && !nearHistograms(g.h, p.h) {
				return fmt.Sprintf("%s at %d is %v, want %v", key, at, g, p)
			}
		}
	}
	return ""
}

func keysOf(t table) (out []string) {
	for key := range t {
		out = append(out, key)
	}
	slices.Sort(out)
	return out
}

// near allows for the rounding of another order of summation.
func near(a, b float64) bool {
	if a == b || math.IsNaN(a) && math.IsNaN(b) {
		return true
	}
	return math.Abs(a-b) <= 1e-12*max(1, math.Abs(a), math.Abs(b))
}

func nearHistograms(a, b *histogram.FloatHistogram) bool {
	if a.Schema != b.Schema || a.ZeroThreshold != b.ZeroThreshold || !near(a.Count, b.Count) || !near(a.Sum, b.Sum) || !near(a.ZeroCount, b.ZeroCount) {
		return false
	}
	x, y := bucketsOf(a), bucketsOf(b)
	return slices.EqualFunc(x, y, func(p, q histogram.Bucket[float64]) bool {
		return p.Lower == q.Lower && p.Upper == q.Upper && near(p.Count, q.Count)
	})
}

func bucketsOf(h *histogram.FloatHistogram) (out []histogram.Bucket[float64]) {
	for it := h.AllBucketIterator(); it.Next(); {
		if b := it.At(); b.Count != 0 {
			out = append(out, b)
		}
	}
	return out
}
