package querytree_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"

	"github.com/pandometrics/pando/querytree/treetest"
)

// hinted is a planet of four leaves whose hints tell all, and no more.
func hinted(t *testing.T) (*treetest.Planet, []treetest.Leaf) {
	t.Helper()
	cfg := treetest.Config{}
	cfg.Leaves, cfg.Zones = treetest.Clusters("eu", 2, "us", 2)
	withExactHints(&cfg)
	return treetest.New(t, cfg), cfg.Leaves
}

// What the engine has to tell whatever data there is, it tells also where every
// child lacks one operand of a join.
func TestNobodyLeftOfAJoin(t *testing.T) {
	p, leaves := hinted(t)
	app := p.AppenderV2(t.Context())
	for n, leaf := range leaves {
		for i := range 30 {
			name := []string{"here", "there"}[n%2]
			l := labels.NewBuilder(leaf.Labels).Set("__name__", name).Labels()
			if _, err := app.Append(0, l, 0, int64(i)*60_000, float64(i), nil, nil, storage.AOptions{}); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := app.Commit(); err != nil {
		t.Fatal(err)
	}
	operands := []string{
		`avg_over_time(here[5m] anchored)`,
		`avg_over_time(here[5m] smoothed)`,
		`count_over_time(here[5m] smoothed)`,
		`last_over_time(here[5m] anchored)`,
		`deriv(here[5m] smoothed)`,
		`increase(here[5m] smoothed)`,
		`resets(here[5m] smoothed)`,
		`rate(here[5m-10m])`,
		`rate(here[5m])`,
		`sort(here)`,
		`sort_by_label(here, "zone")`,
		`topk(1, here)`,
		`limit_ratio(0.5, here)`,
		`count_values("a b", here)`,
		`quantile_over_time(2, here[5m])`,
		`double_exponential_smoothing(here[5m], 2, 2)`,
		`histogram_fraction(NaN, 1, here)`,
		`clamp(here, 1, 0)`,
		`round(here, 0)`,
		`max_over_time(here[5m:1m])`,
		`avg_over_time((here)[5m:1m])`,
		`here * fill(0) here`,
		`here offset -1h`,
		`here @ end()`,
		`sum(here)`,
		`mad_over_time(here[5m])`,
		`ts_of_max_over_time(here[5m])`,
		`predict_linear(here[5m], 1)`,
		`label_replace(here, "zone", "", "", "")`,
		`label_join(here, "x", "", "y")`,
	}
	for _, operand := range slices.Clone(operands) {
		operands = append(operands, strings.ReplaceAll(operand, "here", "nowhere"))
	}
	for _, operand := range operands {
		for _, join := range []string{"%s and there", "there * %s", "there * fill(0) %s", "absent(%s and there)", "(here and there) unless %s"} {
			for _, q := range []treetest.Query{
				{Expr: fmt.Sprintf(join, operand), Start: 1_500_000},
				{Expr: fmt.Sprintf(join, operand), Start: 1_500_000, Step: 60_000, End: 1_620_000},
			} {
				if diff := p.DiffAnswers(q, p.Oracle(q), p.Ask(t.Context(), q)); diff != "" {
					t.Error(diff)
				}
			}
		}
	}
}

// Series of one metric that differ in its type only become equal without the
// name, which is an error wherever the other operand of a join is.
func TestTypesBesideNothing(t *testing.T) {
	p, leaves := hinted(t)
	app := p.AppenderV2(t.Context())
	for _, leaf := range leaves {
		for _, kind := range []string{"counter", "gauge"} {
			l := labels.NewBuilder(leaf.Labels).Set("__name__", "here").Set("__type__", kind).Labels()
			if _, err := app.Append(0, l, 0, 1_500_000, 1, nil, nil, storage.AOptions{}); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := app.Commit(); err != nil {
		t.Fatal(err)
	}
	for _, expr := range []string{`-here and nowhere`, `nowhere * timestamp(here)`, `count_over_time(here[5m]) and nowhere`} {
		q := treetest.Query{Expr: expr, Start: 1_500_000}
		want := p.Oracle(q)
		if want.Err == nil {
			t.Errorf("%s: no error", expr)
		}
		if diff := p.DiffAnswers(q, want, p.Ask(t.Context(), q)); diff != "" {
			t.Error(diff)
		}
	}
}
