package treerpc

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pandometrics/pando/querytree"
	"github.com/pandometrics/pando/querytree/querytreepb"
)

// explained returns an explanation with so many levels of so many children
// below, each with a text of some size.
func explained(levels, children, size int) *querytree.Explanation {
	e := &querytree.Explanation{
		Name: fmt.Sprint("level ", levels), Tier: "zone", Query: `sum(x{a="{[\"\\"})`, Start: -1, End: 2, Step: 3, Ops: []string{"sum"},
		Residual: "a + b", Cuts: []querytree.Cut{{Expr: "absent(x)", Why: strings.Repeat("w", size)}}, Replans: []string{"late"},
		Cache: "hit", Queued: 1, Planned: 2, Total: time.Hour, Series: 5, Samples: 6,
	}
	f := querytree.FragmentExplanation{ID: "f1", Kind: "concat", Query: "x", Why: "local"}
	for i := range children {
		c := querytree.EdgeExplanation{Child: fmt.Sprint("child ", i), Tier: "leaf", Verdict: querytree.Asked, Late: true, Bytes: 7, Time: time.Second}
		if levels > 0 {
			c.Below = explained(levels-1, children, size)
		}
		f.Children = append(f.Children, c)
	}
	e.Fragments = []querytree.FragmentExplanation{f}
	return e
}

// An explanation arrives whole; one that is too large without the lowest levels
// that do not fit, and says so; and always in bounds.
func TestExplanation(t *testing.T) {
	over := func(e *querytree.Explanation) *querytree.Explanation {
		b := explanationToWire(e)
		if len(b) > maxExplanation {
			t.Errorf("%d bytes", len(b))
		}
		return explanationFromWire(b)
	}
	whole := explained(3, 3, 100)
	if diff := cmp.Diff(whole, over(whole)); diff != "" {
		t.Error(diff)
	}
	if over(nil) != nil {
		t.Error("an explanation from none")
	}
	got := over(explained(3, 10, 1000)) // 111 explanations of 3 KB, and 1,000 of the lowest level
	if n := depthOf(got); n != 2 || got.Truncated != "" {
		t.Errorf("%d levels left, truncated %q at the top", n, got.Truncated)
	}
	if low := got.Fragments[0].Children[9].Below.Fragments[0].Children[9].Below; len(low.Fragments[0].Children) != 10 || low.Truncated == "" {
		t.Errorf("lowest level left: %+v", low)
	}
	if got := over(explained(1, 2, 600<<10)); depthOf(got) != 0 || len(got.Fragments[0].Children) != 2 || got.Truncated == "" {
		t.Errorf("large children: %+v", got)
	}
	if got := over(explained(0, 2, 2<<20)); got == nil || got.Fragments != nil || got.Query == "" || got.Truncated == "" {
		t.Errorf("large lists: %+v", got)
	}
	if got := over(&querytree.Explanation{Name: "n", Query: strings.Repeat("q", 2<<20)}); got == nil || got.Name != "n" || got.Truncated == "" {
		t.Errorf("large query: %+v", got)
	}
	if got := over(explained(0, 2*maxExplained, 0)); got == nil || got.Truncated == "" {
		t.Errorf("many rows: %+v", got)
	}
	if n := depthOf(over(explained(100, 1, 0))); n == 0 || n > maxExplainedDepth {
		t.Errorf("very deep: %d levels left", n)
	}
}

// Nonsense in place of an explanation is dropped; the query does not suffer.
func TestExplanationNonsense(t *testing.T) {
	for name, text := range map[string]string{
		"text":      "no JSON",
		"cut off":   `{"name":"a"`,
		"types":     `{"name":7}`,
		"deep":      strings.Repeat("[", 100_000),
		"deep keys": strings.Repeat(`{"fragments":[{"children":[{"below":`, 1000),
		"many":      `{"fragments":[` + strings.Repeat("{},", maxExplained) + `{}]}`,
		"large":     `{"name":"` + strings.Repeat("x", maxExplanation) + `"}`,
	} {
		r := reportFromWire(&querytreepb.Report{Explanation: []byte(text), Children: []*querytreepb.ChildReport{{Name: []byte("c")}}})
		if r.Explanation != nil || len(r.Children) != 1 {
			t.Errorf("%s: %+v", name, r)
		}
	}
}

func TestExplanationOverLink(t *testing.T) {
	want := explained(2, 2, 10)
	var got querytree.ExecRequest
	remote := linked(t, &fakeChild{exec: func(_ context.Context, r querytree.ExecRequest) (querytree.ResultSet, error) {
		got = r
		return &fakeResult{report: querytree.Report{Explanation: want}}, nil
	}})
	set, err := remote.Exec(t.Context(), querytree.ExecRequest{Query: "x", Options: querytree.Options{Explain: querytree.ExplainPlan}})
	if err != nil {
		t.Fatal(err)
	}
	defer set.Close()
	drain(set)
	if diff := cmp.Diff(want, set.Report().Explanation); diff != "" || set.Err() != nil || got.Explain != querytree.ExplainPlan {
		t.Error(set.Err(), got.Explain, diff)
	}
}
