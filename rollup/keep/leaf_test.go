package keep_test

import (
	"math/rand"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/prometheus/model/labels"

	"github.com/pandometrics/pando/querytree"
	"github.com/pandometrics/pando/querytree/treetest"
)

// usedOf returns how many steps of a query the rollups of each tier answered, and
// the report.
func (p *planet) usedOf(m *querytree.Mixer, q treetest.Query) (map[string]int, querytree.Report) {
	p.tb.Helper()
	end := q.End
	if q.Step == 0 {
		end = q.Start
	}
	set, err := m.Exec(p.tb.Context(), querytree.ExecRequest{Query: q.Expr, Start: q.Start, End: end, Step: q.Step})
	if err != nil {
		p.tb.Fatal(err)
	}
	defer set.Close()
	for set.Next() {
	}
	if set.Err() != nil {
		p.tb.Fatal(set.Err())
	}
	used := map[string]int{}
	for _, u := range set.Report().Rollups {
		used[u.Tier] += u.Steps
	}
	return used, set.Report()
}

// A tier without rollups of its own gets answers that its leaves have from
// theirs, equal to those of their samples; leaves answer the other steps from
// samples.
func TestLeavesAnswerFromRollups(t *testing.T) {
	data := treetest.Data{Minutes: 60, Interval: 15_000}
	p := newPlanet(t, `
rollups:
- {name: a, expr: "sum by (job, code) (rate(http_requests_total[5m]))", interval: 30s, keep: {leaf: {for: 2d}}}
- {name: b, expr: avg by (pod) (temperature), interval: 30s, keep: {leaf: [{for: 2d}, {every: 5m, for: 4d}]}}
- {name: c, expr: "sum by (job) (rate(native_seconds[5m]))", interval: 1m, keep: {leaf: {for: 2d}}}
`, data)
	data.Fill(t, p.Planet, rand.New(rand.NewSource(3)))
	p.owe(0)
	for _, final := range []int64{40 * 60_000, data.End()} {
		p.final = final
		p.collect()
		total := map[string]int{}
		for _, expr := range []string{
			`sum by (job) (rate(http_requests_total[5m]))`,
			`sum(rate(http_requests_total{code=~"5.."}[5m])) / sum(rate(http_requests_total[5m]))`,
			`sum by (zone, cluster) (rate(http_requests_total[5m]))`,
			`topk(2, sum by (job, code) (rate(http_requests_total{zone="eu"}[5m])))`,
			`max_over_time(sum by (code) (rate(http_requests_total[5m]))[10m:1m])`,
			`max_over_time(sum by (code) (rate(http_requests_total{cluster="us-0"}[5m]))[10m:])`,
			`avg by (pod) (temperature)`, `avg(temperature)`, `count(temperature)`,
			`histogram_quantile(0.9, sum by (job) (rate(native_seconds[5m])))`,
			`sum by (pod) (temperature) and on (pod) http_requests_total`,
			`stddev(temperature)`,
		} {
			for _, q := range []treetest.Query{
				{Expr: expr, Start: 20 * 60_000},
				{Expr: expr, Start: 10 * 60_000, End: 58 * 60_000, Step: 60_000},
				{Expr: expr, Start: 10*60_000 + 1, End: 30 * 60_000, Step: 60_000},
			} {
				p.Check(t, q)
				used, report := p.usedOf(p.Root, q)
				for tier, steps := range used {
					total[tier] += steps
				}
				for tier, row := range report.Children {
					if row.Tier == querytree.TierLeaf && row.Verdict != querytree.Asked || report.Pruned[querytree.RolledUp] > 0 {
						t.Errorf("%v: leaf %q was asked, and the report says %q, %v", q, tier, row.Verdict, report.Pruned)
					}
				}
			}
		}
		for _, leaf := range leaves {
			if total[leaf] == 0 {
				t.Errorf("rollups of leaf %q were never used: %v", leaf, total)
			}
		}
		t.Log(total)
	}
}

// Whoever was told that a late sample is stored finds it in the answer, although
// the leaf has a point of that time that was made without it.
func TestLateSampleAtLeaf(t *testing.T) {
	p := newPlanet(t, "rollups: [{name: r, expr: sum by (job) (x), interval: 1m, keep: {leaf: {for: 2d}}}]", treetest.Data{Minutes: 30, Interval: 15_000})
	const leaf = "zone=eu,cluster=eu-0"
	add := func(job string, from, to int64, v float64) {
		for at := from; at <= to; at += 15_000 {
			p.Append(t, labels.FromStrings("__name__", "x", "zone", "eu", "cluster", "eu-0", "job", job), at, v)
		}
	}
	add("a", 0, 600_000, 1)
	add("b", 0, 1_800_000, 1)
	p.owe(0)
	p.collect()
	query := treetest.Query{Expr: "sum(x)", End: 1_800_000, Step: 60_000}
	p.Check(t, query)
	if used, _ := p.usedOf(p.Root, query); used[leaf] != 31 {
		t.Fatalf("used %v, want all of 31 steps", used)
	}
	seen, err := p.tiers[leaf].past.Restate(615_000, 1_200_000)
	if err != nil {
		t.Fatal(err)
	}
	add("a", 615_000, 1_200_000, 2)
	p.Check(t, query)
	seen()
	p.Check(t, query)
	// Those before 615 s, and those whose lookback ends after 1200 s.
	if used, _ := p.usedOf(p.Root, query); used[leaf] != 11+5 {
		t.Errorf("used %v, want the 11 steps before what was restated and the 5 after", used)
	}
	p.collect()
	p.Check(t, query)
	if used, _ := p.usedOf(p.Root, query); used[leaf] != 31 {
		t.Errorf("used %v, want all of 31 steps", used)
	}
}

// Points of a greater distance are chosen for old times, and are made of the
// finer ones of the same tier: no leaf is asked.
func TestLongRanges(t *testing.T) {
	rule := func(keep string) string {
		return `rollups: [{name: r, expr: "sum by (job) (rate(http_requests_total[5m]))", interval: 1m, keep: {root: ` + keep + `}}]`
	}
	data := treetest.Data{Minutes: 120, Interval: 15_000}
	p := newPlanet(t, rule("[{for: 3h}]"), data)
	data.Fill(t, p.Planet, rand.New(rand.NewSource(3)))
	p.owe(0)
	p.collect()
	// The greater distance comes later.
	p.rules = parseRules(t, rule("[{for: 3h}, {every: 10m, for: 1d}]"))
	p.asked.Store(0)
	if err := p.tiers["root"].store.SetRules(p.rules); err != nil {
		t.Fatal(err)
	}
	p.collect()
	if n := p.asked.Load(); n > 0 {
		t.Errorf("leaves were asked %d times for points that the tier has at a smaller distance", n)
	}
	// What is kept of the smaller distance is now the last hour.
	p.now = p.now.Add(2 * time.Hour)
	p.collect()
	for _, c := range []struct {
		q    treetest.Query
		used int
	}{
		{treetest.Query{End: 120 * 60_000, Step: 600_000}, 13},
		{treetest.Query{End: 120 * 60_000, Step: 1_200_000}, 7},
		{treetest.Query{Start: 65 * 60_000, End: 120 * 60_000, Step: 60_000}, 56},
		{treetest.Query{Start: 30 * 60_000, End: 90 * 60_000, Step: 60_000}, 30}, // from 61m on
		{treetest.Query{Start: 31 * 60_000}, 0},
		{treetest.Query{Start: 30 * 60_000}, 1},
	} {
		c.q.Expr = `sum(rate(http_requests_total[5m]))`
		p.Check(t, c.q)
		p.asked.Store(0)
		used, _ := p.usedOf(p.Root, c.q)
		if d := cmp.Diff(c.used, used["root"]); d != "" {
			t.Errorf("%v: steps used -want +got:\n%s", c.q, d)
		}
		steps := 1
		if c.q.Step > 0 {
			steps = int((c.q.End-c.q.Start)/c.q.Step) + 1
		}
		if n := p.asked.Load(); (n == 0) != (c.used == steps) {
			t.Errorf("%v: leaves were asked %d times, %d of %d steps are there", c.q, n, c.used, steps)
		}
	}
}
