package querytree_test

import (
	"fmt"
	"math"
	"testing"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/util/teststorage"

	"github.com/pandometrics/pando/querytree"
)

// Few steps over many series of a head give the same bits whatever cores are idle:
// iterators of one querier are never read side by side.
func TestFewStepsOfManySeries(t *testing.T) {
	s := teststorage.New(t)
	app := s.Appender(t.Context())
	for i := range 2000 {
		l := labels.FromStrings("__name__", "x_total", "i", fmt.Sprint(i))
		for k := range int64(500) {
			if _, err := app.Append(0, l, k*15_000, float64(i)*1e6+float64(k)); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := app.Commit(); err != nil {
		t.Fatal(err)
	}
	limits := querytree.DefaultLimits()
	opts := localOpts(false, limits)
	stock, parts := newLocal(t, s, opts, false, 1, limits), newLocal(t, s, opts, true, 4, limits)
	req := querytree.ExecRequest{Query: `sum by (i) (rate(x_total[1h]))`, Start: 4_000_000, End: 4_600_000, Step: 300_000}
	want := execAll(stock, req)
	for n := range 30 {
		if d := diffAnswers(want, execAll(parts, req), func(a, b float64) bool { return math.Float64bits(a) == math.Float64bits(b) }); d != "" {
			t.Fatalf("run %d: %.400s", n, d)
		}
	}
}
