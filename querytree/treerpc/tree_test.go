package treerpc

import (
	"context"
	"math"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"

	"github.com/pandometrics/pando/querytree"
)

func TestTreeRoundTrip(t *testing.T) {
	leaf := querytree.Node{
		Description: querytree.Description{Identity: querytree.Identity{Tier: querytree.TierLeaf, Labels: labels.FromStrings("zone", "eu", "cluster", "eu-1")}, Series: 7},
		Connected:   true, Since: time.UnixMilli(1234), RTT: time.Millisecond, SampleRate: 1.5,
		Hint: querytree.HintStatus{Synced: true, Fingerprints: 10, Bytes: 12, Age: time.Second, FalsePositiveRate: 0.01, Reason: "too-large"},
	}
	want := []querytree.Node{
		{Description: querytree.Description{Identity: querytree.Identity{Tier: querytree.TierZone, Labels: labels.FromStrings("zone", "eu")}}, Connected: true, Children: []querytree.Node{leaf}},
		{Description: querytree.Description{Identity: querytree.Identity{Tier: querytree.TierZone, Labels: labels.FromStrings("zone", "us")}}, Error: "connection closed"},
	}
	for _, n := range want {
		got, _, err := nodeFromWire(nodeToWire(n), maxTreeDepth)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(n, got, cmp.Comparer(labels.Equal)); d != "" {
			t.Error(d)
		}
	}
}

// A peer cannot make the parent recurse without end.
func TestTreeTooDeep(t *testing.T) {
	n := querytree.Node{Description: querytree.Description{Identity: querytree.Identity{Tier: querytree.TierZone}}}
	for range maxTreeDepth {
		n = querytree.Node{Description: n.Description, Children: []querytree.Node{n}}
	}
	if _, _, err := nodeFromWire(nodeToWire(n), maxTreeDepth); err == nil {
		t.Error("a tree deeper than the bound was taken")
	}
}

// What JSON cannot tell would cost all others their place in the tree.
func TestTreeOfNoNumbers(t *testing.T) {
	for _, rate := range []float64{math.NaN(), math.Inf(1), math.Inf(-1), -1} {
		for _, n := range []querytree.Node{
			{Description: leafDescription(), SampleRate: rate},
			{Description: leafDescription(), Hint: querytree.HintStatus{FalsePositiveRate: rate}},
			{Description: leafDescription(), Children: []querytree.Node{{Description: leafDescription(), SampleRate: rate}}},
		} {
			if _, _, err := nodeFromWire(nodeToWire(n), maxTreeDepth); err == nil {
				t.Errorf("a rate of %v is taken", rate)
			}
		}
	}
}

func TestOptionsRoundTrip(t *testing.T) {
	want := querytree.Options{
		ID: "q1", Strict: true, Detail: true, NoHints: true, NoPushdown: true, MaxSeries: 1, MaxSamples: 2, Budget: 3 * time.Second,
	}
	if d := cmp.Diff(want, optionsFromWire(optionsToWire(want))); d != "" {
		t.Error(d)
	}
	if got, _ := selectFromWire(selectToWire(querytree.SelectRequest{WholeChunks: true}, 0)); !got.WholeChunks {
		t.Error("whole chunks were not asked for")
	}
}

// The order of an instant query is part of its answer: sort, topk.
func TestInstantOrderIsKept(t *testing.T) {
	m := promql.Matrix{
		{Metric: labels.FromStrings("a", "2"), Floats: []promql.FPoint{{T: 5, F: 2}}},
		{Metric: labels.FromStrings("a", "1"), Floats: []promql.FPoint{{T: 5, F: 1}}},
	}
	child := linked(t, &fakeChild{exec: func(context.Context, querytree.ExecRequest) (querytree.ResultSet, error) {
		return querytree.NewMatrixSet(m, nil, querytree.Report{}), nil
	}})
	set, err := child.Exec(t.Context(), querytree.ExecRequest{Query: "sort_desc(x)", Start: 5, End: 5})
	if err != nil {
		t.Fatal(err)
	}
	defer set.Close()
	var got []string
	for set.Next() {
		got = append(got, set.At().Metric.Get("a"))
	}
	if d := cmp.Diff([]string{"2", "1"}, got); d != "" || set.Err() != nil {
		t.Error(d, set.Err())
	}
}
