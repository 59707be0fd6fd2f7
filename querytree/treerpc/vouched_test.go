package treerpc

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/storage"

	"github.com/pandometrics/pando/querytree"
)

// answeringFor is a leaf of one cluster whose series are those of another.
func answeringFor(cluster, other string) *fakeChild {
	lset := labels.FromStrings("__name__", "x", "cluster", other, "zone", "eu")
	return &fakeChild{
		description: querytree.Description{
			Identity: querytree.Identity{Tier: querytree.TierLeaf, Labels: labels.FromStrings("zone", "eu", "cluster", cluster)}, Instance: cluster, Leaves: 1, Maxt: 2000,
		},
		exec: func(_ context.Context, req querytree.ExecRequest) (querytree.ResultSet, error) {
			m := promql.Matrix{{Metric: lset, Floats: []promql.FPoint{{T: req.Start, F: 1}}}}
			return querytree.NewMatrixSet(m, nil, querytree.Report{}), nil
		},
		sel: func(context.Context, querytree.SelectRequest) querytree.SeriesSet {
			return &fakeSeries{next: seriesList[storage.ChunkSeries](&rawSeries{labels: lset})}
		},
		names: func(context.Context, querytree.NamesRequest) (querytree.Names, error) {
			return querytree.Names{Names: []string{other}}, nil
		},
	}
}

// What comes over the wire is held against the identity of the connection that it
// comes by.
func TestChildAnswersForAnother(t *testing.T) {
	var members []querytree.Member
	for _, c := range []*fakeChild{answeringFor("eu-1", "eu-2"), answeringFor("eu-3", "eu-3")} {
		members = append(members, querytree.Member{Child: linked(t, c), Description: c.description, Connected: true})
	}
	m, err := querytree.NewMixer(querytree.MixerConfig{
		Describe: parentSelf, Members: func() []querytree.Member { return members },
		Limits: querytree.DefaultLimits(), Lookback: 5 * time.Minute, SubqueryStep: time.Minute,
	})
	if err != nil {
		t.Fatal(err)
	}
	missing := []string{"zone=eu,cluster=eu-1"}
	set, err := m.Exec(t.Context(), querytree.ExecRequest{Query: "x", Start: 1000, End: 1000})
	if err != nil {
		t.Fatal(err)
	}
	defer set.Close()
	var clusters []string
	for set.Next() {
		clusters = append(clusters, set.At().Metric.Get("cluster"))
	}
	if !slices.Equal(clusters, []string{"eu-3"}) || !slices.Equal(set.Report().Missing(), missing) {
		t.Errorf("query: series of %v, missing %v", clusters, set.Report().Missing())
	}
	for w := range set.Warnings() {
		if !strings.Contains(w, `cluster="eu-2", while it registered with "eu-1"`) {
			t.Errorf("warning %q", w)
		}
	}
	raw := m.Select(t.Context(), querytree.SelectRequest{Maxt: 2000, Matchers: []*labels.Matcher{matcher(t, labels.MatchEqual, "__name__", "x")}})
	defer raw.Close()
	clusters = nil
	for raw.Next() {
		clusters = append(clusters, raw.At().Labels().Get("cluster"))
	}
	if raw.Err() != nil || !slices.Equal(clusters, []string{"eu-3"}) || !slices.Equal(raw.Report().Missing(), missing) {
		t.Errorf("raw series of %v, %v, missing %v", clusters, raw.Err(), raw.Report().Missing())
	}
	names, err := m.Names(t.Context(), querytree.NamesRequest{Label: "cluster", Maxt: 2000})
	if err != nil || !slices.Equal(names.Names, []string{"eu-3"}) || !slices.Equal(names.Report.Missing(), missing) {
		t.Errorf("names: %+v, %v", names, err)
	}
}
