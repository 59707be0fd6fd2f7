package keep_test

import (
	"context"
	"fmt"
	"math/rand"
	"path/filepath"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/promql/promqltest"
	"github.com/prometheus/prometheus/storage"

	"github.com/pandometrics/pando/querytree"
	"github.com/pandometrics/pando/querytree/treetest"
	"github.com/pandometrics/pando/rollup"
	"github.com/pandometrics/pando/rollup/keep"
)

// kept is a tier that keeps rollups.
type kept struct {
	store     *keep.Store
	collector *keep.Collector
	past      *keep.Past
}

// planet is a planet all of whose tiers keep rollups.
type planet struct {
	asked atomic.Int64 // requests to leaves
	*treetest.Planet
	tb    testing.TB
	dir   string
	rules *rollup.Rules
	now   time.Time
	final int64
	tiers map[string]*kept // by name
	mixer map[string]*querytree.Mixer
}

func parseRules(tb testing.TB, text string) *rollup.Rules {
	tb.Helper()
	rules, err := rollup.Parse([]byte(text))
	if err != nil {
		tb.Fatal(err)
	}
	return rules
}

// newPlanet returns a planet whose clock is at the end of the data.
func newPlanet(tb testing.TB, text string, data treetest.Data) *planet {
	p := &planet{tb: tb, dir: tb.TempDir(), rules: parseRules(tb, text), tiers: map[string]*kept{}, mixer: map[string]*querytree.Mixer{}}
	p.now, p.final = time.UnixMilli(data.End()), data.End()
	cfg := treetest.Config{Rewriter: func(tb testing.TB, m *querytree.Mixer) querytree.Rewriter {
		p.mixer[m.Describe().Name()] = m
		p.open(m)
		return rewriting{p, m}
	}}
	cfg.Own = p.own
	cfg.LeafRewriter = cfg.Rewriter
	cfg.Connect = func(_ testing.TB, c querytree.Child) querytree.Child { return &counted{c, &p.asked} }
	cfg.Leaves, cfg.Zones = treetest.Clusters("eu", 3, "us", 1)
	p.Planet = treetest.New(tb, cfg)
	tb.Cleanup(func() {
		for _, k := range p.tiers {
			if err := k.store.Close(); err != nil {
				tb.Error(err)
			}
		}
	})
	return p
}

// counted counts the requests to a leaf.
type counted struct {
	querytree.Child
	n *atomic.Int64
}

func (c *counted) Exec(ctx context.Context, req querytree.ExecRequest) (querytree.ResultSet, error) {
	if c.Describe().Tier == querytree.TierLeaf {
		c.n.Add(1)
	}
	return c.Child.Exec(ctx, req)
}

// own answers by the rules' names.
func (p *planet) own(tb testing.TB, m *querytree.Mixer) querytree.Own {
	opts := querytree.EngineOpts(querytree.MixerConfig{Limits: querytree.DefaultLimits(), Lookback: treetest.Lookback, SubqueryStep: treetest.SubqueryStep}, querytree.NewParser())
	series := ownSeries{p, m}
	child, err := querytree.NewLocal(querytree.LocalConfig{
		Engine: promqltest.NewTestEngineWithOpts(tb, opts), EngineOpts: &opts, Samples: series, Chunks: series, Limits: querytree.DefaultLimits(),
		Describe: func() querytree.Description {
			return querytree.Description{Identity: querytree.Identity{Tier: "rollups", Labels: m.Describe().Labels, Shard: "rollups"}}
		},
	})
	if err != nil {
		tb.Fatal(err)
	}
	return querytree.Own{Child: child, Names: func() []string { return p.tiers[m.Describe().Name()].store.Names() }}
}

// ownSeries are those of the store that a tier has now.
type ownSeries struct {
	p *planet
	m *querytree.Mixer
}

func (o ownSeries) now() storage.SampleAndChunkQueryable {
	d := o.m.Describe()
	return o.p.tiers[d.Name()].store.ByName(d.Labels)
}

func (o ownSeries) Querier(mint, maxt int64) (storage.Querier, error) {
	return o.now().Querier(mint, maxt)
}

func (o ownSeries) ChunkQuerier(mint, maxt int64) (storage.ChunkQuerier, error) {
	return o.now().ChunkQuerier(mint, maxt)
}

// rewriting asks the store that a tier has now: it may be opened again.
type rewriting struct {
	p *planet
	m *querytree.Mixer
}

func (r rewriting) now() querytree.Rewriter {
	d := r.m.Describe()
	k := r.p.tiers[d.Name()]
	return k.store.CurrentRewriter(k.past, d.Labels, treetest.Lookback.Milliseconds())
}

func (r rewriting) Rewrite(n *parser.AggregateExpr, at querytree.RewriteAt) (*querytree.Rollup, string) {
	return r.now().Rewrite(n, at)
}

func (r rewriting) Distance(n *parser.AggregateExpr, at querytree.RewriteAt) int64 {
	return r.now().(querytree.Aligner).Distance(n, at)
}

// open opens a tier's rollups.
func (p *planet) open(m *querytree.Mixer) {
	p.tb.Helper()
	d := m.Describe()
	dir := filepath.Join(p.dir, d.Name())
	store, err := keep.Open(keep.StoreConfig{Dir: dir, Tier: d.Tier, Rules: p.rules, Now: func() time.Time { return p.now }})
	if err != nil {
		p.tb.Fatal(err)
	}
	past, err := keep.OpenPast(filepath.Join(dir, "past.json"))
	if err != nil {
		p.tb.Fatal(err)
	}
	cfg := keep.DefaultCollectorConfig()
	cfg.Store, cfg.Source, cfg.Past, cfg.Lookback = store, m, past, treetest.Lookback.Milliseconds()
	cfg.Final = func() int64 { return p.final }
	cfg.Now = func() time.Time { return p.now }
	c, err := keep.NewCollector(cfg)
	if err != nil {
		p.tb.Fatal(err)
	}
	p.tiers[d.Name()] = &kept{store, c, past}
}

// restart closes a tier's rollups and opens them again.
func (p *planet) restart(name string) {
	p.tb.Helper()
	if err := p.tiers[name].store.Close(); err != nil {
		p.tb.Fatal(err)
	}
	p.open(p.mixer[name])
	if err := p.tiers[name].collector.Fresh(context.Background()); err != nil {
		p.tb.Fatal(err)
	}
}

// owe has all tiers owe points from a time on.
func (p *planet) owe(since int64) {
	p.tb.Helper()
	for _, k := range p.tiers {
		for _, r := range p.rules.All() {
			if err := k.store.Owe(context.Background(), r, since); err != nil {
				p.tb.Fatal(err)
			}
		}
	}
}

// leaves are the names of the leaves.
var leaves = []string{"zone=eu,cluster=eu-0", "zone=eu,cluster=eu-1", "zone=eu,cluster=eu-2", "zone=us,cluster=us-0"}

// collect makes all that is due, lower tiers first.
func (p *planet) collect() {
	p.tb.Helper()
	for _, name := range slices.Concat(leaves, []string{"zone=eu", "zone=us", "root"}) {
		c := p.tiers[name].collector
		if err := c.Fresh(context.Background()); err != nil {
			p.tb.Fatal(err)
		}
		for c.MakeGood(context.Background()) {
		}
	}
}

const rules = `
rollups:
- name: job:requests:rate5m
  expr: sum by (job, code) (rate(http_requests_total[5m]))
  interval: 30s
  keep: {zone: {for: 2d}, root: {for: 2d}}
- name: pod:temperature
  expr: avg by (pod) (temperature)
  interval: 30s
  keep: {zone: {for: 2d}, root: [{for: 2d}, {every: 5m, for: 4d}]}
- name: hottest
  expr: max without (pod, instance) (temperature)
  interval: 1m
  keep: {root: {for: 2d}}
- name: natives
  expr: sum by (job) (rate(native_seconds[5m]))
  interval: 1m
  keep: {zone: {for: 2d}}
- name: requests:count
  expr: count by (job, code, pod) (rate(http_requests_total[5m]))
  interval: 1m
  keep: {root: {for: 2d}}
- name: natives:count
  expr: count without (instance) (rate(native_seconds[5m]))
  interval: 30s
  keep: {zone: {for: 2d}}
`

// Queries over what rollups have, against one stock engine: steps that are there,
// that are not yet, and after a restart.
func TestQueriesOverRollups(t *testing.T) {
	data := treetest.Data{Minutes: 60, Interval: 15_000}
	p := newPlanet(t, rules, data)
	data.Fill(t, p.Planet, rand.New(rand.NewSource(3)))
	p.owe(0)
	p.final = 40 * 60_000
	p.collect()
	check := func(t *testing.T) {
		used := map[string]int{}
		for _, expr := range []string{
			`sum by (job) (rate(http_requests_total[5m]))`,
			`sum(rate(http_requests_total[5m]))`,
			`sum by (code) (rate(http_requests_total{code="500"}[5m]))`,
			`sum by (zone, code) (rate(http_requests_total[5m]))`,
			`sum(rate(http_requests_total{code=~"5.."}[5m])) / sum(rate(http_requests_total[5m]))`,
			`sum by (code) (rate(http_requests_total[5m] offset 5m)) > 0`,
			`sum(rate(http_requests_total{zone="eu"}[5m]))`,
			`max_over_time(sum by (code) (rate(http_requests_total[5m]))[10m:1m])`,
			`avg by (pod) (temperature)`, `sum by (pod) (temperature)`, `count(temperature)`, `avg(temperature)`,
			`avg by (code) (rate(http_requests_total[5m]))`, `avg(rate(http_requests_total{job!="",zone="eu"}[5m] offset 2m))`,
			`avg by (job) (rate(native_seconds[5m]))`, `avg by (zone) (rate(native_seconds{zone="eu"}[5m]))`,
			`max by (job) (temperature)`, `max without (pod, instance, job) (temperature)`,
			`histogram_quantile(0.9, sum by (job) (rate(native_seconds[5m])))`,
			`histogram_quantile(0.9, sum by (zone) (rate(native_seconds[5m])))`,
			`topk(2, sum by (job, code) (rate(http_requests_total[5m])))`,
			`absent(sum(rate(http_requests_total{code="none"}[5m])))`,
			// What stands around it is no rule's business.
			`limit_ratio(0.5, sum by (job, code) (rate(http_requests_total[5m])))`, `sort_desc(sum by (code) (rate(http_requests_total[5m])))`, `sum(sum by (job) (rate(http_requests_total[5m])))`,
			`max_over_time(sum by (code) (rate(http_requests_total[5m]))[10m:1m] @ 1500)`, `max_over_time(sum by (code) (rate(http_requests_total[5m]))[10m:1m] @ end() offset 1m)`,
			`sum by (code) (rate(http_requests_total[5m] @ 1500))`, `sum by (code) (rate(http_requests_total[5m] @ start())) + sum by (code) (rate(http_requests_total[5m]))`,
			`count_values("v", max by (job) (temperature) > bool 20)`, `quantile(0.5, sum by (job, code) (rate(http_requests_total[5m])))`, `stddev(avg by (pod) (temperature))`,
			`label_replace(sum by (job) (rate(http_requests_total[5m])), "x", "$1", "job", "(.*)")`, `vector(scalar(sum(rate(http_requests_total[5m]))))`, `timestamp(sum by (job) (rate(http_requests_total[5m])))`,
			`sum by (job) (rate(http_requests_total[5m])) and on (job) max by (job) (temperature)`, `sum by (job) (rate(http_requests_total[5m])) * on (job) group_left max by (job) (temperature)`,
			`info(sum by (job, code) (rate(http_requests_total[5m])))`, `absent_over_time(sum(rate(http_requests_total[5m]))[5m:1m])`, `deriv(avg by (pod) (temperature)[10m:1m])`, `-sum by (code) (rate(http_requests_total[5m])) ^ 2`,
			`sum by (__name__, job) (rate(http_requests_total[5m]))`, `count by (__name__, pod) (temperature)`, `sum without (pod) (rate(http_requests_total[5m]))`, `sum by (job) (rate(http_requests_total{pod=""}[5m]))`,
			`sum by (job) (rate(http_requests_total{code=~"5..",code!="500"}[5m] offset -1m))`, `sum_over_time(sum by (job) (rate(http_requests_total[5m]))[6m:90s])`,
		} {
			for _, q := range []treetest.Query{
				{Expr: expr, Start: 20 * 60_000},
				{Expr: expr, Start: 50 * 60_000},
				{Expr: expr, Start: 10 * 60_000, End: 58 * 60_000, Step: 60_000},
				{Expr: expr, Start: 10 * 60_000, End: 30 * 60_000, Step: 300_000},
				{Expr: expr, Start: 10*60_000 + 1, End: 30 * 60_000, Step: 60_000},
			} {
				p.Check(t, q)
				set, err := p.Root.Exec(t.Context(), querytree.ExecRequest{Query: q.Expr, Start: q.Start, End: q.End + q.Start*b2i(q.Step == 0), Step: q.Step})
				if err != nil {
					t.Fatal(err)
				}
				for set.Next() {
				}
				for _, u := range set.Report().Rollups {
					used[u.Tier+" "+u.Rule] += u.Steps
				}
				set.Close()
			}
		}
		for _, name := range []string{"root job:requests:rate5m", "root pod:temperature", "root hottest", "zone=eu natives", "zone=eu job:requests:rate5m", "root job:requests:rate5m + requests:count", "zone=eu natives:count"} {
			if used[name] == 0 {
				t.Errorf("rollup %q was never used: %v", name, used)
			}
		}
		t.Log(used)
	}
	t.Run("some", check)
	for _, name := range []string{"zone=eu", "zone=us", "root"} {
		p.restart(name)
	}
	t.Run("restarted", check)
	p.final = data.End()
	p.collect()
	t.Run("all", check)
	for _, k := range p.tiers {
		for _, r := range p.rules.All() {
			if err := k.store.Void(t.Context(), r, 15*60_000, 25*60_000); err != nil {
				t.Fatal(err)
			}
		}
	}
	t.Run("void", check)
	p.collect()
	t.Run("again", check)
	for _, name := range []string{"zone=eu", "zone=us", "root"} {
		p.restart(name)
	}
	t.Run("again restarted", check)
}

func b2i(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

// A point that was made again counts with what it is then, over restarts.
func TestRestated(t *testing.T) {
	p := newPlanet(t, "rollups: [{name: r, expr: sum by (job) (x), interval: 1m, keep: {root: {for: 2d}, zone: {for: 2d}}}]", treetest.Data{Minutes: 30, Interval: 15_000})
	add := func(job string, from, to int64, v float64) {
		for at := from; at <= to; at += 15_000 {
			p.Append(t, labels.FromStrings("__name__", "x", "zone", "eu", "cluster", "eu-0", "job", job), at, v)
		}
	}
	add("a", 0, 600_000, 1)
	add("b", 0, 1_800_000, 1)
	p.owe(0)
	p.collect()
	query := treetest.Query{Expr: "sum by (job) (x)", End: 1_800_000, Step: 60_000}
	p.Check(t, query)
	// Late, in order for its series.
	add("a", 615_000, 1_200_000, 2)
	for name := range p.tiers {
		seen, err := p.tiers[name].past.Restate(615_000, 1_200_000)
		if err != nil {
			t.Fatal(err)
		}
		seen()
	}
	for round := range 3 {
		t.Run(fmt.Sprint(round), func(t *testing.T) {
			if round == 1 {
				p.restart("root")
			}
			p.collect()
			p.Check(t, query)
			set, err := p.Root.Exec(t.Context(), querytree.ExecRequest{Query: query.Expr, End: query.End, Step: query.Step})
			if err != nil {
				t.Fatal(err)
			}
			defer set.Close()
			for set.Next() {
			}
			if u := set.Report().Rollups; len(u) != 1 || u[0].Steps != 31 {
				t.Errorf("used %v, want all of 31 steps", u)
			}
		})
	}
}

// Points can be asked for by the name of their rule, beside series and by
// themselves: they are what the rule's expression is.
func TestByName(t *testing.T) {
	data := treetest.Data{Minutes: 60, Interval: 15_000}
	p := newPlanet(t, rules, data)
	data.Fill(t, p.Planet, rand.New(rand.NewSource(3)))
	p.owe(0)
	p.collect()
	for name, expr := range map[string]string{
		`job:requests:rate5m`:                         `sum by (job, code) (rate(http_requests_total[5m]))`,
		`job:requests:rate5m{code="500"}`:             `sum by (job, code) (rate(http_requests_total{code="500"}[5m]))`,
		`pod:temperature`:                             `avg by (pod) (temperature)`,
		`hottest{zone="eu"}`:                          `max without (pod, instance) (temperature{zone="eu"})`,
		`max_over_time(job:requests:rate5m[10m:30s])`: `max_over_time(sum by (job, code) (rate(http_requests_total[5m]))[10m:30s])`,
		`sum by (code) (job:requests:rate5m) / sum by (code) (rate(http_requests_total[5m]))`:        `sum by (code) (rate(http_requests_total[5m])) / sum by (code) (rate(http_requests_total[5m]))`,
		`sum by (job) (rate(http_requests_total[5m])) - on (job) group_right () job:requests:rate5m`: `sum by (job) (rate(http_requests_total[5m])) - on (job) group_right () sum by (job, code) (rate(http_requests_total[5m]))`,
		`absent(job:requests:rate5m)`: `absent(sum by (job, code) (rate(http_requests_total[5m])))`,
	} {
		got := p.Ask(t.Context(), treetest.Query{Expr: name, Start: 20 * 60_000, End: 58 * 60_000, Step: 60_000})
		want := p.Oracle(treetest.Query{Expr: expr, Start: 20 * 60_000, End: 58 * 60_000, Step: 60_000})
		if got.Err != nil || want.Err != nil {
			t.Fatalf("%s: %v, want %v", name, got.Err, want.Err)
		}
		if d := cmp.Diff(nameless(want), nameless(got), cmp.Comparer(func(a, b float64) bool { return treetest.Near(a, b) })); d != "" {
			t.Errorf("%s: -want +got:\n%s", name, d)
		}
	}
	q, err := p.Root.Querier(0, data.End())
	if err != nil {
		t.Fatal(err)
	}
	defer q.Close()
	names, _, err := q.LabelValues(t.Context(), "__name__", nil)
	if err != nil || !slices.Contains(names, "job:requests:rate5m") || !slices.Contains(names, "natives") {
		t.Errorf("names %v, %v; want the rules of the root and of the zones among them", names, err)
	}
	testNamesBelow(t, p)
	testSeriesByName(t, p)
}

// testNamesBelow asks the root for what zones alone keep, whole and by raw series.
func testNamesBelow(t *testing.T, p *planet) {
	t.Helper()
	at := treetest.Query{Expr: `histogram_count(natives)`, Start: 20 * 60_000, End: 58 * 60_000, Step: 60_000}
	want := p.Oracle(treetest.Query{Expr: `histogram_count(sum by (zone, job) (rate(native_seconds[5m])))`, Start: at.Start, End: at.End, Step: at.Step})
	for _, o := range []querytree.Options{{}, {NoPushdown: true}} {
		got := p.Ask(querytree.WithOptions(t.Context(), o), at)
		if got.Err != nil || want.Err != nil {
			t.Fatalf("%+v: %v, want %v", o, got.Err, want.Err)
		}
		if d := cmp.Diff(nameless(want), nameless(got), cmp.Comparer(func(a, b float64) bool { return treetest.Near(a, b) })); d != "" || len(nameless(want)) == 0 {
			t.Errorf("%+v: -want +got:\n%s", o, d)
		}
	}
}

// testSeriesByName asks for labels and series of names, those of the root and those
// of zones.
func testSeriesByName(t *testing.T, p *planet) {
	t.Helper()
	q, err := p.Root.Querier(0, p.final)
	if err != nil {
		t.Fatal(err)
	}
	defer q.Close()
	for name, want := range map[string][]string{
		"job:requests:rate5m": {"__name__", "code", "job"},
		"natives":             {"__name__", "job", "zone"},
	} {
		by := labels.MustNewMatcher(labels.MatchEqual, labels.MetricName, name)
		got, _, err := q.LabelNames(t.Context(), nil, by)
		if d := cmp.Diff(want, got); err != nil || d != "" {
			t.Errorf("labels of %s: %v, -want +got:\n%s", name, err, d)
		}
		jobs, _, err := q.LabelValues(t.Context(), "job", nil, by)
		if err != nil || len(jobs) == 0 {
			t.Errorf("jobs of %s: %v, %v", name, jobs, err)
		}
		set, n := q.Select(t.Context(), true, &storage.SelectHints{Start: 0, End: p.final, Func: "series"}, by), 0
		for set.Next() {
			n++
		}
		if set.Err() != nil || n < len(jobs) {
			t.Errorf("%d series of %s, %v; want %d at least", n, name, set.Err(), len(jobs))
		}
	}
}

// nameless returns the points of a matrix by labels without the metric name.
func nameless(res *promql.Result) map[string][]promql.FPoint {
	out := map[string][]promql.FPoint{}
	for _, s := range res.Value.(promql.Matrix) {
		out[labels.NewBuilder(s.Metric).Del("__name__").Labels().String()] = s.Floats
	}
	return out
}
