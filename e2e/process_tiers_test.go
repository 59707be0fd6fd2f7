package e2e_test

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"net/url"
	"slices"
	"testing"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/promqltest"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/util/teststorage"

	"github.com/pandometrics/pando/querytree"
	"github.com/pandometrics/pando/querytree/treetest"
)

// tierQueries have something of every way in which a query is answered.
var tierQueries = []string{
	`requests_total`,
	`sum(rate(requests_total[2m]))`,
	`sum by (continent) (rate(requests_total[2m]))`,
	`sum by (zone, code) (increase(requests_total[3m]))`,
	`avg by (continent, code) (requests_total)`,
	`stddev by (code) (temperature)`,
	`quantile by (zone) (0.9, temperature)`,
	`topk(3, temperature)`,
	`count_values("v", round(temperature / 20))`,
	`max_over_time(temperature[5m:30s]) - on (continent, zone, cluster, pod) group_right () temperature`,
	`sum by (cluster) (requests_total{code="500"}) / ignoring (code) sum by (cluster) (requests_total)`,
	`requests_total{continent="emea"} unless on (pod) temperature{zone="us"} > 0`,
	`absent(requests_total{zone="mars"})`,
	`absent(requests_total{zone="us"})`,
	`histogram_quantile(0.9, sum by (le, continent) (rate(latency_bucket[3m])))`,
	`label_replace(sum by (zone) (temperature), "place", "$1-x", "zone", "(.*)")`,
	`sum(count by (continent) (temperature > 0)) or vector(0)`,
	`scalar(sum(temperature{cluster="eu-1"})) + temperature{cluster="us-1"}`,
	`deriv(temperature[5m] offset 1m)`,
	`group by (continent) ({__name__=~"temp.*|requests.*", cluster!="eu-2"})`,
}

// A tree of four tiers, one of whose branches has three, answers as one engine
// over the union of all samples.
func TestProcessFourTiers(t *testing.T) {
	processes(t)
	root := startRoot(t)
	emea := startZone(t, root.grpc, "--external-label=continent=emea")
	eu := startZone(t, emea.grpc, "--external-label=continent=emea", "--zone=eu")
	us := startZone(t, root.grpc, "--external-label=continent=amer", "--zone=us")
	oracle := teststorage.New(t)
	end := time.Now().Truncate(time.Second)
	for i, l := range []struct {
		parent                   *process
		continent, zone, cluster string
	}{
		{eu, "emea", "eu", "eu-1"}, {eu, "emea", "eu", "eu-2"}, {emea, "emea", "za", "za-1"}, {us, "amer", "us", "us-1"},
	} {
		leaf := startLeaf(t, l.parent.grpc, l.zone, l.cluster, "--external-label=continent="+l.continent)
		fill(t, leaf, oracle, i, end, labels.FromStrings("continent", l.continent, "zone", l.zone, "cluster", l.cluster))
	}
	awaitLeaves(t, root, 4)
	engine := promqltest.NewTestEngineWithOpts(t, querytree.EngineOpts(querytree.MixerConfig{
		Limits: querytree.DefaultLimits(), Lookback: treetest.Lookback, SubqueryStep: treetest.SubqueryStep,
	}, querytree.NewParser()))
	nonEmpty := 0
	for _, expr := range tierQueries {
		q := treetest.Query{Expr: expr, Start: end.Add(-15 * time.Minute).UnixMilli(), End: end.UnixMilli(), Step: 45_000}
		want := treetest.Run(context.Background(), engine, oracle, q)
		if want.Err != nil {
			t.Fatal(want.Err)
		}
		got, err := rangeOf(root.http, q)
		if err != nil {
			t.Errorf("%s: %v", expr, err)
			continue
		}
		compareGrids(t, expr, gridOf(want.Value.(promql.Matrix)), got)
		if len(got) > 0 {
			nonEmpty++
		}
	}
	if nonEmpty != len(tierQueries)-1 {
		t.Errorf("%d answers are not empty; of %d, all but one should be", nonEmpty, len(tierQueries))
	}
}

// fill writes half an hour of samples to a leaf, and with its labels to the oracle.
func fill(t *testing.T, leaf *process, oracle *teststorage.TestStorage, n int, end time.Time, identity labels.Labels) {
	t.Helper()
	for at := end.Add(-30 * time.Minute); !at.After(end); at = at.Add(10 * time.Second) {
		step := at.Unix() / 10 % 10_000
		var points []point
		add := func(value float64, lset ...string) {
			points = append(points, point{labels.FromStrings(lset...), at, value})
		}
		for pod := range 2 + n%2 {
			name := fmt.Sprint("pod-", pod)
			add(40*math.Sin(float64(step)/9+float64(n*3+pod)), "__name__", "temperature", "pod", name)
			for i, code := range []string{"200", "500"} {
				add(float64(step%97)*float64(1+i+n), "__name__", "requests_total", "pod", name, "code", code)
			}
			for i, le := range []string{"0.1", "1", "+Inf"} {
				add(float64(step)*float64(1+i)*float64(1+n), "__name__", "latency_bucket", "pod", name, "le", le)
			}
		}
		write(t, leaf, points...)
		app := oracle.AppenderV2(context.Background())
		for _, p := range points {
			b := labels.NewBuilder(p.series)
			identity.Range(func(l labels.Label) { b.Set(l.Name, l.Value) })
			if _, err := app.Append(0, b.Labels(), 0, at.UnixMilli(), p.value, nil, nil, storage.AOptions{}); err != nil {
				t.Fatal(err)
			}
		}
		if err := app.Commit(); err != nil {
			t.Fatal(err)
		}
	}
}

// grid is an answer to a range query: series to time to value.
type grid map[string]map[int64]float64

func gridOf(m promql.Matrix) grid {
	g := grid{}
	for _, s := range m {
		row := map[int64]float64{}
		for _, p := range s.Floats {
			row[p.T] = p.F
		}
		g[s.Metric.String()] = row
	}
	return g
}

// rangeOf asks a range query that must be answered whole.
func rangeOf(base string, q treetest.Query, params ...string) (grid, error) {
	form := url.Values{
		"query": {q.Expr}, "step": {fmt.Sprint(float64(q.Step) / 1000)},
		"start": {seconds(time.UnixMilli(q.Start))}, "end": {seconds(time.UnixMilli(q.End))},
	}
	for i := 0; i < len(params); i += 2 {
		form.Set(params[i], params[i+1])
	}
	a, err := call(base, "/api/v1/query_range", form)
	if err != nil {
		return nil, err
	}
	d, err := a.query()
	if err != nil {
		return nil, err
	}
	if len(a.Warnings) > 0 || a.Partial {
		return nil, fmt.Errorf("partial: %q", a.Warnings)
	}
	var m model.Matrix
	if err := json.Unmarshal(d.Result, &m); err != nil {
		return nil, err
	}
	g := grid{}
	for _, s := range m {
		lset := map[string]string{}
		for k, v := range s.Metric {
			lset[string(k)] = string(v)
		}
		row := map[int64]float64{}
		for _, p := range s.Values {
			row[int64(p.Timestamp)] = float64(p.Value)
		}
		g[labels.FromMap(lset).String()] = row
	}
	return g, nil
}

func compareGrids(t *testing.T, expr string, want, got grid) {
	t.Helper()
	wantNames, gotNames := slices.Sorted(maps.Keys(want)), slices.Sorted(maps.Keys(got))
	if !slices.Equal(wantNames, gotNames) {
		t.Errorf("%s:\nwant %q\ngot  %q", expr, wantNames, gotNames)
		return
	}
	for name, row := range want {
		if len(row) != len(got[name]) {
			t.Errorf("%s: %s has %d points, want %d", expr, name, len(got[name]), len(row))
		}
		for at, v := range row {
			if g, ok := got[name][at]; !ok || !near(v, g) {
				t.Errorf("%s: %s at %d is %v, want %v", expr, name, at, g, v)
				break
			}
		}
	}
}
