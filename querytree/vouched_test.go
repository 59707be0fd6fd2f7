package querytree

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/prometheus/model/exemplar"
	"github.com/prometheus/prometheus/model/labels"
)

// lying is a child that registered with one identity and serves series of another.
func lying(t *testing.T, as Description) *fake {
	t.Helper()
	of := as
	of.Labels = labels.FromStrings("zone", "eu", "cluster", "eu-9")
	c := holding(t, of, point(7, "__name__", "x", "job", "a"))
	return &fake{
		desc: as, exec: c.Exec, selects: c.Select, names: c.Names,
		exemplars: func(context.Context, ExemplarsRequest) (Exemplars, error) {
			return Exemplars{Results: []exemplar.QueryResult{{SeriesLabels: of.Labels}}}, nil
		},
	}
}

// A child whose series carry labels of another one costs its part of the answer,
// and is named; those of the others are there.
func TestChildAnswersForAnother(t *testing.T) {
	m := mixerOver(t, eu.Identity, nil, lying(t, euOne), holding(t, euTwo, point(1, "__name__", "x", "job", "a")))
	missing := []string{"zone=eu,cluster=eu-1"}
	for _, query := range []string{
		"x", "x + 1", "max_over_time(x[1m])", "sum by (cluster) (x)", "topk(5, x)", "quantile by (cluster) (0.5, x)", "quantile(0.5, x)",
		"sum by (cluster) (x) / on (cluster) count by (cluster) (x)", "max_over_time(sum by (cluster) (x)[2m:1m])", "avg by (cluster) (x)",
		`sum by (cluster) (label_replace(x, "job", "b", "", ""))`, `label_replace(x, "cluster", "$1", "job", "(.*)")`, "sum(x) / count by (cluster) (x) ",
	} {
		for _, o := range []Options{{}, {NoPushdown: true}} {
			got := askInstant(t.Context(), m, query, o)
			if got.Err != "" || !slices.Equal(got.Missing, missing) || len(got.Warnings) != 1 || !strings.Contains(got.Warnings[0], `cluster="eu-9"`) {
				t.Errorf("%s, %+v: %+v", query, o, got)
			}
			for _, s := range got.Series {
				if strings.Contains(s, "eu-9") {
					t.Errorf("%s, %+v: the answer has %s", query, o, s)
				}
			}
		}
		if got := askInstant(t.Context(), m, query, Options{Strict: true}); !strings.Contains(got.Err, `cluster="eu-9"`) {
			t.Errorf("%s, strict: %+v", query, got)
		}
	}
	set := m.Select(t.Context(), SelectRequest{Maxt: 600_000, Matchers: matchersOf(t, "x"), LabelsOnly: true})
	defer set.Close()
	var series []string
	for set.Next() {
		series = append(series, set.At().Labels().Get("cluster"))
	}
	if set.Err() != nil || !slices.Equal(series, []string{"eu-2"}) || !slices.Equal(set.Report().Missing(), missing) {
		t.Errorf("series %v, %v, missing %v", series, set.Err(), set.Report().Missing())
	}
	n, err := m.Names(t.Context(), NamesRequest{Label: "cluster", Maxt: 600_000, Matchers: matchersOf(t, "x")})
	if err != nil || !slices.Equal(n.Names, []string{"eu-2"}) || !slices.Equal(n.Report.Missing(), missing) {
		t.Errorf("values %+v, %v", n, err)
	}
	ex, err := m.Exemplars(t.Context(), ExemplarsRequest{Maxt: 600_000, Selectors: [][]*labels.Matcher{matchersOf(t, "x")}})
	if err != nil || len(ex.Results) != 0 || !slices.Equal(ex.Report.Missing(), missing) {
		t.Errorf("exemplars %+v, %v", ex, err)
	}
}

// Where an expression writes or drops the label there is nothing to compare.
func TestLabelsThatAnExpressionWrites(t *testing.T) {
	m := mixerOver(t, eu.Identity, nil, holding(t, euOne, point(2, "__name__", "x", "job", "a")), holding(t, euTwo, point(1, "__name__", "x", "job", "a")))
	for _, query := range []string{
		`label_replace(x{cluster="eu-1"}, "cluster", "other", "", "")`, `label_join(x{cluster="eu-1"}, "cluster", "-", "job", "zone")`,
		`count_values("cluster", x)`, `count_values by (zone) ("cluster", x)`, `count_values by (cluster) (("cluster"), x)`, "sum(x)", "sum without (cluster) (x)", "x or on () vector(1)", "absent(nothing{cluster='eu-9'})",
		`x * on (zone, cluster) group_left (job) sum by (zone, cluster, job) (x)`, `sum by (job) (x) * on (job) group_right (zone) x`,
	} {
		if got := askInstant(t.Context(), m, query, Options{}); got.Err != "" || len(got.Warnings) != 0 || len(got.Series) == 0 {
			t.Errorf("%s: %+v", query, got)
		}
	}
}

// A replica that does so is replaced by another one.
func TestReplicaAnswersForAnother(t *testing.T) {
	m := rootOver(t, lying(t, replicaOf("a")), holding(t, replicaOf("b"), point(7, "__name__", "x")))
	for _, o := range []Options{{}, {Strict: true}, {NoPushdown: true}} {
		set, err := m.Exec(t.Context(), ExecRequest{Options: o, Query: "sum by (cluster) (x)", Start: 600_000, End: 600_000})
		if err != nil {
			t.Fatal(err)
		}
		if !set.Next() || set.At().Metric.Get("cluster") != "eu-1" || len(set.Warnings()) > 0 || set.Report().Partial() {
			t.Errorf("%+v: %v, warnings %v", o, set.At(), set.Warnings())
		}
		if row := set.Report().Children[nameA]; row.Verdict != Replaced || !strings.Contains(row.Evidence, "eu-9") {
			t.Errorf("%+v: row of the replica that lies: %+v", o, row)
		}
		set.Close()
	}
	n, err := m.Names(t.Context(), NamesRequest{Label: "cluster", Maxt: 600_000, Matchers: matchersOf(t, "x")})
	if err != nil || !slices.Equal(n.Names, []string{"eu-1"}) || n.Report.Partial() {
		t.Errorf("values %+v, %v", n, err)
	}
}
