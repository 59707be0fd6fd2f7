package treerpc

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/util/annotations"
	"google.golang.org/protobuf/proto"

	"github.com/pandometrics/pando/querytree"
)

// failing is a tier most of whose children failed.
func failing(children int) *fakeChild {
	var report querytree.Report
	var warn annotations.Annotations
	for i := range children {
		name := fmt.Sprintf("zone=eu,cluster=of-very-many-%06d", i)
		why := fmt.Sprintf("unavailable: not connected to %q since 2026-11-22T00:24:32Z, and nothing is known of why", name)
		report.Add(name, querytree.ChildReport{Tier: querytree.TierLeaf, Verdict: querytree.Asked, Requests: 1, Failed: why})
		warn.Add(fmt.Errorf("partial answer: leaf %q did not answer: %s", name, why))
	}
	report.Add("zone=eu,cluster=whole", querytree.ChildReport{Tier: querytree.TierLeaf, Verdict: querytree.Asked, Requests: 1, Series: 1})
	return &fakeChild{
		description: querytree.Description{
			Identity: querytree.Identity{Tier: querytree.TierZone, Labels: labels.FromStrings("zone", "eu")}, Instance: "eu", Leaves: children + 1, Maxt: 2000,
		},
		exec: func(_ context.Context, req querytree.ExecRequest) (querytree.ResultSet, error) {
			m := promql.Matrix{{Metric: labels.FromStrings("__name__", "x", "zone", "eu", "cluster", "whole"), Floats: []promql.FPoint{{T: req.Start, F: 1}}}}
			return querytree.NewMatrixSet(m, warn, report), nil
		},
	}
}

// parentOf is a mixer over children that registered over the wire.
func parentOf(t *testing.T, children ...*fakeChild) *querytree.Mixer {
	t.Helper()
	var members []querytree.Member
	for _, c := range children {
		members = append(members, querytree.Member{Child: linked(t, c), Description: c.description, Connected: true})
	}
	m, err := querytree.NewMixer(querytree.MixerConfig{
		Describe: parentSelf, Members: func() []querytree.Member { return members },
		Limits: querytree.DefaultLimits(), Lookback: 5 * time.Minute, SubqueryStep: time.Minute,
	})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// However many children failed, the answer comes, and tells through all tiers how many
// did not, though not the names of all.
func TestMoreFailedThanAFrameNames(t *testing.T) {
	const failed = 50_000
	below := failing(failed)
	between := parentOf(t, below)
	var asked atomic.Int32
	root := parentOf(t, &fakeChild{description: below.description, exec: func(ctx context.Context, req querytree.ExecRequest) (querytree.ResultSet, error) {
		asked.Add(1)
		return between.Exec(ctx, req)
	}}, answeringFor("beside", "beside"))
	for _, query := range []string{"sum(x)", "sum(x) / count(x)"} {
		set, err := root.Exec(t.Context(), querytree.ExecRequest{Query: query, Start: 1000, End: 1000})
		if err != nil {
			t.Fatal(err)
		}
		if n := len(drain(set)); n == 0 || set.Err() != nil {
			t.Fatalf("%s: %d series, %v", query, n, set.Err())
		}
		report, size, told := set.Report(), 0, 0
		named := len(report.Missing())
		if named+report.Unnamed != failed || named < 5000 || report.Unnamed == 0 || !report.Partial() {
			t.Errorf("%s: %d failed by name and %d without, want %d; unlisted %d", query, named, report.Unnamed, failed, report.Unlisted)
		}
		for w, err := range set.Warnings() {
			size += len(w)
			if more, ok := errors.AsType[*querytree.UnnamedError](err); ok {
				told += more.Children
			}
		}
		if told != report.Unnamed || size > 2*maxAnnotations {
			t.Errorf("%s: %d told of as not named, want %d; warnings of %d bytes", query, told, report.Unnamed, size)
		}
		set.Close()
	}
	if asked.Load() < 3 {
		t.Errorf("%d requests, so that no query had several parts", asked.Load())
	}
}

// The last word fits a frame whatever is in it, and those that failed come first.
func TestReportFitsAFrame(t *testing.T) {
	var report querytree.Report
	why, long := string(make([]byte, 40_000)), string(make([]byte, 12_000))
	for i := range 900 {
		report.Add(fmt.Sprint(i), querytree.ChildReport{Verdict: querytree.Asked, Evidence: long})
		report.Rollups = append(report.Rollups, querytree.RollupUse{Tier: fmt.Sprint(i), Rule: long})
	}
	for i := range 20 {
		report.Add(fmt.Sprint("failed ", i), querytree.ChildReport{Verdict: querytree.Asked, Failed: why})
	}
	var warn annotations.Annotations
	for i := range 200 {
		warn.Add(fmt.Errorf("%d %s", i, why))
	}
	end := endOf(warn, "x", report, errors.New(why))
	if n := proto.Size(end); n > maxFrameSize-64 {
		t.Errorf("%d bytes, want %d at most", n, maxFrameSize)
	}
	got := reportFromWire(end.GetReport())
	if len(got.Missing()) != 20 || len(got.Children)+got.Unlisted != 920 || got.Unnamed != 0 {
		t.Errorf("%d failed, %d rows, %d unlisted, %d unnamed", len(got.Missing()), len(got.Children), got.Unlisted, got.Unnamed)
	}
}
