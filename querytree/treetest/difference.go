package treetest

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
)

// DiffResults compares two answers to one query, within Tolerance.
func DiffResults(query string, want, got *promql.Result) string {
	return tolerance(Tolerance).diff(query, want, got)
}

func (tol tolerance) diff(query string, want, got *promql.Result) string {
	if want.Err != nil || got.Err != nil {
		return diffErrors(want.Err, got.Err)
	}
	if d := tol.diffValues(want.Value, got.Value, ordered(query)); d != "" {
		// A warning may say why, and values are long.
		if a := diffAnnotations(query, want, got); a != "" {
			d = a + "\n" + d
		}
		return d
	}
	return diffAnnotations(query, want, got)
}

// ordered reports whether the order of a vector is part of the answer.
func ordered(query string) bool { return strings.HasPrefix(strings.TrimSpace(query), "sort") }

func (tol tolerance) diffValues(want, got parser.Value, inOrder bool) string {
	if want.Type() != got.Type() {
		return fmt.Sprintf("type: want %s, got %s", want.Type(), got.Type())
	}
	switch w := want.(type) {
	case promql.Scalar:
		return tol.diffMatrix(promql.Matrix{{Floats: []promql.FPoint{{T: w.T, F: w.V}}}}, scalarMatrix(got.(promql.Scalar)))
	case promql.String:
		if w != got.(promql.String) {
			return fmt.Sprintf("string: want %v, got %v", w, got)
		}
		return ""
	case promql.Vector:
		wm, gm := vectorMatrix(w), vectorMatrix(got.(promql.Vector))
		if !inOrder {
			sortMatrix(wm)
			sortMatrix(gm)
		}
		return tol.diffMatrix(wm, gm)
	case promql.Matrix:
		gm := slices.Clone(got.(promql.Matrix))
		w = slices.Clone(w)
		sortMatrix(w)
		sortMatrix(gm)
		return tol.diffMatrix(w, gm)
	default:
		return fmt.Sprintf("unknown value %T", want)
	}
}

// diffShape reports whether answers differ in more than values: in errors, in what
// series and points there are, or in their order.
func (tol tolerance) diffShape(query string, want, got *promql.Result) bool {
	if want.Err != nil || got.Err != nil || diffAnnotations(query, want, got) != "" {
		return true
	}
	w, g := flatten(want.Value, labels.Labels.String), flatten(got.Value, labels.Labels.String)
	return !maps.Equal(w.points, g.points) || ordered(query)
}

func scalarMatrix(s promql.Scalar) promql.Matrix {
	return promql.Matrix{{Floats: []promql.FPoint{{T: s.T, F: s.V}}}}
}

func vectorMatrix(v promql.Vector) promql.Matrix {
	m := make(promql.Matrix, len(v))
	for i, s := range v {
		m[i].Metric = s.Metric
		if s.H != nil {
			m[i].Histograms = []promql.HPoint{{T: s.T, H: s.H}}
		} else {
			m[i].Floats = []promql.FPoint{{T: s.T, F: s.F}}
		}
	}
	return m
}

func sortMatrix(m promql.Matrix) {
	slices.SortStableFunc(m, func(a, b promql.Series) int { return labels.Compare(a.Metric, b.Metric) })
}

func (tol tolerance) diffMatrix(want, got promql.Matrix) string {
	if len(want) != len(got) {
		return fmt.Sprintf("series: want %d, got %d\nwant %s\ngot  %s", len(want), len(got), want, got)
	}
	for i := range want {
		if d := tol.diffSeries(want[i], got[i]); d != "" {
			return d
		}
	}
	return ""
}

func (tol tolerance) diffSeries(want, got promql.Series) string {
	if !labels.Equal(want.Metric, got.Metric) {
		return fmt.Sprintf("labels: want %s, got %s", want.Metric, got.Metric)
	}
	if len(want.Floats) != len(got.Floats) || len(want.Histograms) != len(got.Histograms) {
		return fmt.Sprintf("points of %s:\nwant %v %v\ngot  %v %v", want.Metric, want.Floats, want.Histograms, got.Floats, got.Histograms)
	}
	for i, w := range want.Floats {
		if g := got.Floats[i]; w.T != g.T || !tol.near(w.F, g.F) {
			return fmt.Sprintf("%s: want %v at %d, got %v at %d", want.Metric, w.F, w.T, g.F, g.T)
		}
	}
	for i, w := range want.Histograms {
		if g := got.Histograms[i]; w.T != g.T || !tol.nearHistograms(w.H, g.H) {
			return fmt.Sprintf("%s at %d:\nwant %s\ngot  %s", want.Metric, w.T, w.H.TestExpression(), g.H.TestExpression())
		}
	}
	return ""
}

// Near reports whether two values differ by rounding only.
func Near(a, b float64) bool { return tolerance(Tolerance).near(a, b) }

func (tol tolerance) near(a, b float64) bool {
	if math.IsNaN(a) || math.IsNaN(b) {
		return math.IsNaN(a) && math.IsNaN(b)
	}
	return a == b || math.Abs(a-b) <= float64(tol)*max(math.Abs(a), math.Abs(b)) || math.Abs(a-b) <= denormal
}

// denormal is how far apart numbers may be that are too small to have all their
// digits: some units of the last place that there is. A variance of values near
// 1e-160, summed in another order, has seven digits instead of sixteen.
const denormal = 16 * math.SmallestNonzeroFloat64

// nearHistograms compares the histograms bucket by bucket; how spans are laid
// out is not part of the value.
func (tol tolerance) nearHistograms(a, b *histogram.FloatHistogram) bool {
	if a.Schema != b.Schema || !tol.near(a.Count, b.Count) || !tol.near(a.Sum, b.Sum) || !tol.near(a.ZeroCount, b.ZeroCount) ||
		!tol.near(a.ZeroThreshold, b.ZeroThreshold) || !slices.Equal(a.CustomValues, b.CustomValues) {
		return false
	}
	x, y := buckets(a), buckets(b)
	for k := range y {
		if _, ok := x[k]; !ok {
			x[k] = 0
		}
	}
	for k, v := range x {
		if !tol.near(v, y[k]) {
			return false
		}
	}
	return true
}

func buckets(h *histogram.FloatHistogram) map[string]float64 {
	out := map[string]float64{}
	for it := h.AllBucketIterator(); it.Next(); {
		b := it.At()
		out[fmt.Sprint(b.Lower, b.Upper)] += b.Count
	}
	return out
}
