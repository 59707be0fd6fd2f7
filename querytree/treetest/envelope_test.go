package treetest

import (
	"fmt"
	"maps"
	"slices"
	"testing"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
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

// Rounding within the labels that count_values makes is no difference, of numbers and
// of histograms, and other labels are what they are.
func TestRoundedLabels(t *testing.T) {
	e := newEnvelope(Query{Expr: `count_values("v", m)`}, (&Planet{}).tolerance(), "")
	key := func(value string) string {
		f := e.flatten(promql.Vector{{Metric: labels.FromStrings("v", value), F: 1}})
		return slices.Collect(maps.Keys(f.points))[0]
	}
	for _, c := range []struct {
		a, b string
		same bool
	}{
		{"496.79999999999995", "496.8", true},
		{"-1.0000000000000002e-07", "-1e-07", true},
		{"-1.0000000000000002e-07", "-1.0000000000000004e-07", true},
		{"496.8", "496.9", false},
		{"{count:255, sum:496.79999999999995, [-4,-2.5):27, (1,1.4142135623730951]:3.0000000000000004}", "{count:255, sum:496.8, [-4,-2.5):27, (1,1.414213562373095]:3.0000000000000001}", true},
		{"{count:255, sum:496.7, (1,2]:3}", "{count:255, sum:496.8, (1,2]:3}", false},
		{"{count:255, sum:496.8, (1,2]:3}", "{count:256, sum:496.8, (1,2]:3}", false},
		{"10.0.0.1:9090", "10.0.0.2:9090", false},
	} {
		if same := key(c.a) == key(c.b); same != c.same {
			t.Errorf("%s, %s: the same %v, want %v", key(c.a), key(c.b), same, c.same)
		}
	}
}
