package treetest

import (
	"fmt"
	"testing"
)

// In rounds of jitter an answer may be anything that amplified rounding makes, but not
// what lies between two choices.
func TestBetweenTwoChoices(t *testing.T) {
	spreadOut := []float64{1, 1.1, 1.2, 1.3, 1.4, 1.5, 1.6, 1.7, 1.8, 1.9, 2}
	for _, c := range []struct {
		query  string
		jitter bool
		all    []float64
		v      float64
		want   bool
	}{
		{"topk(1, m)", true, []float64{1, 2}, 1, true},
		{"topk(1, m)", true, []float64{1, 2}, 1.5, false},
		{"topk(1, m)", true, []float64{1, 1.0000001, 2, 2.0000001}, 1.5, false},
		{"topk(1, m)", true, spreadOut, 1.55, true},
		{"topk(1, m)", true, spreadOut, 2.05, false},
		{"angle(m)", true, []float64{1, 2}, 1.5, true},
		{"sum(m)", false, []float64{1, 2}, 1.5, false},
		{"sum(m)", false, []float64{1, 1 + 1e-10}, 1 + 5e-11, true},
		{"topk(1, m)", true, []float64{1, 1 + 1e-10}, 1 + 5e-11, true},
	} {
		t.Run(fmt.Sprintf("%s of %v at %v", c.query, c.all, c.v), func(t *testing.T) {
			e := newEnvelope(Query{Expr: c.query}, (&Planet{}).tolerance(), "")
			e.jitter = c.jitter
			if got := e.within(c.all, c.v); got != c.want {
				t.Errorf("within: %v, want %v", got, c.want)
			}
		})
	}
}
