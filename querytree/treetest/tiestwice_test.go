package treetest

import (
	"math"
	"testing"

	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
)

// What is chosen is what there was, with all that a histogram has, and once.
func TestTakenFrom(t *testing.T) {
	series := labels.FromStrings("a", "b")
	number := func(v ...float64) promql.Series {
		s := promql.Series{Metric: series}
		for _, v := range v {
			s.Floats = append(s.Floats, promql.FPoint{T: 1, F: v})
		}
		return s
	}
	buckets := func(v ...float64) promql.Series {
		h := &histogram.FloatHistogram{Count: 3, Sum: 5, PositiveSpans: []histogram.Span{{Length: uint32(len(v))}}, PositiveBuckets: v}
		return promql.Series{Metric: series, Histograms: []promql.HPoint{{T: 1, H: h}}}
	}
	for _, c := range []struct {
		name      string
		from, got promql.Matrix
		want      bool
	}{
		{"the same", promql.Matrix{number(2)}, promql.Matrix{number(2)}, true},
		{"nothing", promql.Matrix{number(2)}, promql.Matrix{}, true},
		{"another value", promql.Matrix{number(2)}, promql.Matrix{number(3)}, false},
		{"twice in one series", promql.Matrix{number(2)}, promql.Matrix{number(1, 1)}, false},
		{"twice a zero", promql.Matrix{number(0)}, promql.Matrix{number(0, 0)}, false},
		{"a series twice", promql.Matrix{number(0)}, promql.Matrix{number(0), number(0)}, false},
		{"a histogram", promql.Matrix{buckets(1, 2)}, promql.Matrix{buckets(1, 2)}, true},
		{"other buckets of as many observations", promql.Matrix{buckets(1, 2)}, promql.Matrix{buckets(2, 1)}, false},
		{"a histogram twice", promql.Matrix{buckets(1, 2)}, promql.Matrix{buckets(1, 2), buckets(1, 2)}, false},
		{"a histogram where a number is", promql.Matrix{number(3)}, promql.Matrix{buckets(1, 2)}, false},
	} {
		if got := (&Planet{}).takenFrom(c.from, c.got); got != c.want {
			t.Errorf("%s: taken from it: %v, want %v", c.name, got, c.want)
		}
	}
}

// A histogram is chosen by limitk alone.
func TestChosenTwiceOfHistograms(t *testing.T) {
	series := promql.Series{Metric: labels.FromStrings("i", "a", "o", "x")}
	all := map[candidateKey]candidate{{series.Metric.String(), 0}: {series, 0, 3, true}}
	for _, c := range []struct {
		query           string
		kept, leftAlone bool // whether an answer that has it, and one that lacks it, is right
	}{
		{"limitk by (o) (1, limitk by (i) (1, m))", true, false},
		{"topk by (o) (1, limitk by (i) (1, m))", false, true},
		{"limitk by (o) (1, bottomk by (i) (1, m))", false, true},
		{"topk by (o) (1, topk by (i) (1, m))", false, true},
	} {
		outer := choiceOf(c.query)
		w := twice{
			outer: outer, inner: choiceOf(outer.Expr.String()), near: (&Planet{}).tolerance().near,
			kOuter: map[int64]int{0: 1}, kInner: map[int64]int{0: 1},
		}
		if got := w.allows(all, all); got != c.kept {
			t.Errorf("%s: with the histogram allowed: %v, want %v", c.query, got, c.kept)
		}
		if got := w.allows(all, nil); got != c.leftAlone {
			t.Errorf("%s: without the histogram allowed: %v, want %v", c.query, got, c.leftAlone)
		}
	}
}

// One choice over another is right if there is any way for the inner one to choose of
// which the outer one makes the answer.
func TestChosenTwice(t *testing.T) {
	type have map[[2]string]float64 // by the group of the inner one and of the outer
	all := have{
		{"a", "x"}: 1, {"a", "y"}: 2,
		{"b", "x"}: 3, {"b", "y"}: 4,
		{"c", "x"}: 5, {"c", "y"}: math.NaN(),
	}
	for _, c := range []struct {
		query string
		got   have
		want  bool
	}{
		// One of a, one of b, one of c: any.
		{"topk by (o) (2, limitk by (i) (1, m))", have{{"a", "x"}: 1, {"b", "x"}: 3, {"c", "y"}: math.NaN()}, true},
		// All three have x, of which one is too many.
		{"topk by (o) (2, limitk by (i) (1, m))", have{{"b", "x"}: 3, {"c", "x"}: 5}, true},
		// The one that is not kept is better.
		{"topk by (o) (2, limitk by (i) (1, m))", have{{"a", "x"}: 1, {"b", "x"}: 3}, false},
		// Nothing of c, though its groups are not full.
		{"topk by (o) (2, limitk by (i) (1, m))", have{{"a", "x"}: 1, {"b", "y"}: 4}, false},
		// Two of a, where one was chosen.
		{"topk by (o) (2, limitk by (i) (1, m))", have{{"a", "x"}: 1, {"a", "y"}: 2, {"b", "x"}: 3, {"c", "y"}: math.NaN()}, false},
		// More than there may be.
		{"topk by (o) (1, limitk by (i) (1, m))", have{{"a", "x"}: 1, {"b", "x"}: 3, {"c", "x"}: 5}, false},
		// Another value.
		{"topk by (o) (2, limitk by (i) (1, m))", have{{"b", "x"}: 3, {"c", "x"}: 6}, false},
		// What the operand does not have.
		{"topk by (o) (2, limitk by (i) (1, m))", have{{"b", "x"}: 3, {"d", "x"}: 5}, false},
		{"limitk by (o) (1, limitk by (i) (1, m))", have{{"a", "x"}: 1}, true},
		{"limitk by (o) (2, limitk by (i) (1, m))", have{{"a", "x"}: 1}, false},
		{"limitk by (o) (1, limitk by (i) (1, m))", have{}, false},
		{"limitk by (o) (0, limitk by (i) (1, m))", have{}, true},
		{"limitk by (o) (3, topk by (i) (1, m))", have{{"a", "y"}: 2, {"b", "y"}: 4, {"c", "x"}: 5}, true},
		{"limitk by (o) (3, topk by (i) (1, m))", have{{"a", "x"}: 1, {"b", "y"}: 4, {"c", "x"}: 5}, false},
		{"limitk by (o) (1, topk by (i) (1, m))", have{{"b", "y"}: 4, {"c", "x"}: 5}, true},
		{"bottomk by (o) (1, bottomk by (i) (1, m))", have{{"a", "x"}: 1}, true},
		{"bottomk by (o) (1, bottomk by (i) (1, m))", have{{"b", "x"}: 3}, false},
	} {
		outer := choiceOf(c.query)
		inner := choiceOf(outer.Expr.String())
		samples := func(h have) map[candidateKey]candidate {
			out := map[candidateKey]candidate{}
			for key, v := range h {
				series := promql.Series{Metric: labels.FromStrings("i", key[0], "o", key[1])}
				out[candidateKey{series.Metric.String(), 0}] = candidate{series, 0, v, false}
			}
			return out
		}
		number := func(s string) map[int64]int { return map[int64]int{0: int(s[0] - '0')} }
		w := twice{
			outer: outer, inner: inner, near: (&Planet{}).tolerance().near,
			kOuter: number(outer.Param.String()), kInner: number(inner.Param.String()),
		}
		if got := w.allows(samples(all), samples(c.got)); got != c.want {
			t.Errorf("%s: %v allowed: %v, want %v", c.query, c.got, got, c.want)
		}
	}
}
