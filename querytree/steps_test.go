package querytree

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// Queries whose steps cannot be evaluated apart.
func TestStepwise(t *testing.T) {
	for query, want := range map[string]bool{
		"x": true, "rate(x[5m] offset 1m)": true, `sum by (job) (rate(x{a="b"}[5m]))`: true, "topk(3, x)": true,
		"max_over_time(rate(x[1m])[5m:1m])": true, `{__name__="x"}`: true, "x > 5 and y": true,
		"x @ 5": false, "x @ end()": false, "x - start()": false, "range() * x": false, "step() * x": false, "x[range()]": false,
		`{job="a"}`: false, `{__name__=~"x|y"}`: false, "x or y": false, `label_replace(x, "a", "b", "c", "d")`: false,
		"topk(time(), x)": false, `count_values("__name__", x)`: false, "info(x)": false, "quantile(scalar(y), x)": false,
	} {
		e, err := NewParser().ParseExpr(query)
		if err != nil {
			t.Fatalf("%s: %v", query, err)
		}
		if got := stepwise(query, e); got != want {
			t.Errorf("%s: %t", query, got)
		}
	}
}

// A range query is answered by replicas for the steps that they cover, and from
// merged series for those that none covers.
func TestStepRuns(t *testing.T) {
	m := rootOver(t)
	members := []Member{
		{Description: replicaOf("a", Interval{300, 400}, Interval{700, 720}), Connected: true},
		{Description: replicaOf("b", Interval{450, 600}), Connected: true},
	}
	set := m.newReplicaSet(members, Interval{0, 1000}, nil)
	var got []string
	for _, r := range set.view.stepRuns(ExecRequest{Start: 100, End: 1000, Step: 50}, window{back: 100}) {
		by := "merged"
		if r.by != nil {
			by = r.by.Description.Replica
		}
		got = append(got, fmt.Sprintf("%d-%d %s", r.start, r.end, by))
	}
	want := []string{"100-250 a", "300-400 b", "450-500 merged", "550-650 a", "700-700 merged", "750-800 b", "850-1000 a"}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("-want +got:\n%s", d)
	}
}
