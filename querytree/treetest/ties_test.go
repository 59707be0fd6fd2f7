package treetest

import (
	"math"
	"testing"
)

// A choice of what was chosen before is right if it is as many as there should be of
// each group, and of a topk or bottomk the right ones.
func TestKeeps(t *testing.T) {
	p := &Planet{}
	nan := math.NaN()
	all := map[moment][]float64{{1, "a"}: {3, 1, nan, 2}, {1, "b"}: {5}}
	for _, c := range []struct {
		query string
		a, b  []float64
		want  bool
	}{
		{"topk(2, limitk(9, x))", []float64{2, 3}, []float64{5}, true},
		{"topk(2, limitk(9, x))", []float64{1, 3}, []float64{5}, false},
		{"topk(2, limitk(9, x))", []float64{3}, []float64{5}, false},
		{"topk(2, limitk(9, x))", []float64{2, 3}, nil, false},
		{"bottomk(2, limitk(9, x))", []float64{1, 2}, []float64{5}, true},
		{"bottomk(2, limitk(9, x))", []float64{1, nan}, []float64{5}, false},
		{"limitk(2, topk(9, x))", []float64{nan, 1}, []float64{5}, true},
		{"limitk(2, topk(9, x))", []float64{1}, []float64{5}, false},
	} {
		n := choiceOf(c.query)
		if n == nil || !choosesWithin(n.Expr) {
			t.Fatalf("%s: no choice of a choice", c.query)
		}
		got := map[moment][]float64{{1, "a"}: c.a, {1, "b"}: c.b}
		if p.keeps(n, map[int64]int{1: 2}, all, got) != c.want {
			t.Errorf("%s: %v and %v are right: %v, want %v", c.query, c.a, c.b, !c.want, c.want)
		}
	}
}
