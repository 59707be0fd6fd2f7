package keep_test

import (
	"context"
	"math/rand"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/timestamp"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/storage"

	"github.com/pandometrics/pando/querytree"
	"github.com/pandometrics/pando/querytree/treetest"
)

// rangeWith evaluates a range query of a user with options.
func rangeWith(tb testing.TB, e promql.QueryEngine, s storage.Queryable, q treetest.Query, o querytree.Options) (*promql.Result, querytree.Report) {
	tb.Helper()
	ctx, sink := querytree.WithReport(querytree.WithOptions(tb.Context(), o))
	query, err := e.NewRangeQuery(ctx, s, nil, q.Expr, timestamp.Time(q.Start), timestamp.Time(q.End), time.Duration(q.Step)*time.Millisecond)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(query.Close)
	return query.Exec(ctx), sink.Report()
}

// A query that asks for it is evaluated at times where rollups have points, and
// its answer is that of the query at these times: at the root, a zone, a leaf.
func TestAlign(t *testing.T) {
	data := treetest.Data{Minutes: 60, Interval: 15_000}
	p := newPlanet(t, `
rollups:
- {name: a, expr: "sum by (job, code) (rate(http_requests_total[5m]))", interval: 1m, keep: {leaf: {for: 2d}, zone: {for: 2d}, root: {for: 2d}}}
- {name: b, expr: "avg by (pod) (temperature)", interval: 90s, keep: {leaf: {for: 2d}, zone: {for: 2d}, root: [{for: 30m}, {every: 6m, for: 1d}]}}
- {name: c, expr: "sum by (job) (rate(native_seconds[5m]))", interval: 30s, keep: {leaf: {for: 2d}, zone: {for: 2d}}}
- {name: d, expr: "count by (job, pod) (rate(http_requests_total[5m]))", interval: 90s, keep: {root: {for: 2d}}}
`, data)
	data.Fill(t, p.Planet, rand.New(rand.NewSource(3)))
	p.owe(0)
	p.collect()
	const (
		s     = int64(1000)
		m     = 60 * s
		whole = "there is no rollup"
	)
	ask := map[string]func(treetest.Query, querytree.Options) (*promql.Result, querytree.Report){}
	for tier, mixer := range map[string]*querytree.Mixer{"root": p.Root, "zone": p.ZoneMixers[0]} {
		ask[tier] = func(q treetest.Query, o querytree.Options) (*promql.Result, querytree.Report) {
			return rangeWith(t, querytree.Engine{}, mixer, q, o)
		}
	}
	leaf := p.leaf(leaves[0])
	ask["leaf"] = func(q treetest.Query, o querytree.Options) (*promql.Result, querytree.Report) {
		return rangeWith(t, leaf.Engine(), leaf.Reads(), q, o)
	}
	for _, c := range []struct {
		tier, expr       string
		start, end, step int64
		want             querytree.Alignment
		why              string
		rolled           bool
	}{
		{"root", `sum(rate(http_requests_total[5m]))`, 20*m + 7*s, 50*m + 13*s, m, querytree.Alignment{Start: 20 * m, End: 50 * m, Step: m}, "", true},
		{"root", `sum(rate(http_requests_total[5m]))`, 20*m + 7*s, 50*m + 13*s, 95 * s, querytree.Alignment{Start: 20 * m, End: 50 * m, Step: 2 * m}, "", true},
		{"root", `sum(rate(http_requests_total[5m]))`, 21 * m, 51 * m, 2 * m, querytree.Alignment{Start: 20 * m, End: 50 * m, Step: 2 * m}, "", true},
		{"root", `sum(rate(http_requests_total[5m]))`, 20 * m, 50 * m, 2 * m, querytree.Alignment{Start: 20 * m, End: 50 * m, Step: 2 * m}, "", true},
		{"root", `sum(rate(http_requests_total[5m]))`, 20*m + 7*s, 20*m + 9*s, 31 * s, querytree.Alignment{Start: 20 * m, End: 20 * m, Step: m}, "", true},
		{"root", `sum(rate(http_requests_total[5m]))`, 20*m + 7*s, 50*m + 13*s, 30 * s, querytree.Alignment{}, "would have to be 1m0s", false},
		{"root", `sum(rate(http_requests_total[5m] offset 30s))`, 20*m + 7*s, 50 * m, m, querytree.Alignment{}, whole, false},
		{"root", `sum(rate(http_requests_total[4m]))`, 20*m + 7*s, 50 * m, m, querytree.Alignment{}, whole, false},
		{"root", `rate(http_requests_total[5m])`, 20*m + 7*s, 50 * m, m, querytree.Alignment{}, whole, false},
		{"root", `max_over_time(sum(rate(http_requests_total[5m]))[10m:1m])`, 20*m + 7*s, 50 * m, m, querytree.Alignment{}, whole, true},
		// 90s are kept for 30m at the root, 6m for a day.
		{"root", `avg(temperature)`, 41*m + 7*s, 59 * m, 2 * m, querytree.Alignment{Start: 39 * m, End: 57 * m, Step: 3 * m}, "", true},
		{"root", `avg(temperature)`, 10*m + 7*s, 59 * m, 4 * m, querytree.Alignment{Start: 6 * m, End: 54 * m, Step: 6 * m}, "", true},
		{"root", `avg(temperature)`, 10*m + 7*s, 59 * m, 2 * m, querytree.Alignment{}, "would have to be 6m0s", false},
		// A sum of 1m and a count of 90s.
		{"root", `avg by (job) (rate(http_requests_total[5m]))`, 10*m + 7*s, 59 * m, 2 * m, querytree.Alignment{Start: 9 * m, End: 57 * m, Step: 3 * m}, "", true},
		// The zones keep it, the root does not.
		{"root", `sum(rate(native_seconds[5m]))`, 10*m + 7*s, 59 * m, m, querytree.Alignment{Start: 10 * m, End: 59 * m, Step: m}, "", true},
		// 60 s and 90 s.
		{"zone", `avg(temperature) * sum(rate(http_requests_total[5m]))`, 10*m + 7*s, 59 * m, 2 * m, querytree.Alignment{Start: 9 * m, End: 57 * m, Step: 3 * m}, "", true},
		{"zone", `sum by (zone) (rate(http_requests_total[5m]))`, 10*m + 7*s, 59 * m, m, querytree.Alignment{Start: 10 * m, End: 59 * m, Step: m}, "", true},
		{"leaf", `sum by (code) (rate(http_requests_total[5m])) > 0`, 10*m + 7*s, 59 * m, m, querytree.Alignment{Start: 10 * m, End: 59 * m, Step: m}, "", true},
		{"leaf", `sum(rate(http_requests_total[4m]))`, 10*m + 7*s, 59 * m, m, querytree.Alignment{}, whole, false},
		{"leaf", `avg(temperature)`, 10*m + 7*s, 59 * m, 100 * s, querytree.Alignment{Start: 9 * m, End: 57 * m, Step: 3 * m}, "", true},
	} {
		q := treetest.Query{Expr: c.expr, Start: c.start, End: c.end, Step: c.step}
		got, report := ask[c.tier](q, querytree.Options{Align: true})
		a := report.Aligned
		if a == nil {
			t.Errorf("%s: %v: nothing is said of alignment", c.tier, q)
			continue
		}
		if c.why != "" {
			c.want.Start, c.want.End, c.want.Step = c.start, c.end, c.step
		}
		c.want.AskedStart, c.want.AskedEnd, c.want.AskedStep = c.start, c.end, c.step
		if d := cmp.Diff(&c.want, a, cmpopts.IgnoreFields(querytree.Alignment{}, "Why")); d != "" || (a.Why == "") != (c.why == "") || !strings.Contains(a.Why, c.why) {
			t.Errorf("%s: %v: %q, -want +got:\n%s", c.tier, q, a.Why, d)
		}
		if (len(report.Rollups) > 0) != c.rolled {
			t.Errorf("%s: %v: rollups used %v", c.tier, q, report.Rollups)
		}
		// The same query at these times, without rollups and without being moved.
		at := treetest.Query{Expr: c.expr, Start: a.Start, End: a.End, Step: a.Step}
		want, plain := ask[c.tier](at, querytree.Options{NoRollup: true})
		if plain.Aligned != nil || len(plain.Rollups) > 0 {
			t.Errorf("%s: %v: %v, %v although it did not ask", c.tier, at, plain.Aligned, plain.Rollups)
		}
		if d := p.DiffAnswers(at, want, got); d != "" {
			t.Errorf("%s: %s", c.tier, d)
		}
		if m, ok := got.Value.(promql.Matrix); !ok || len(m) == 0 {
			t.Errorf("%s: %v: no answer: %v", c.tier, q, got)
		}
	}
}

// leaf returns what a leaf is to its own users.
func (p *planet) leaf(name string) *querytree.Rolled {
	p.tb.Helper()
	for _, c := range p.LeafChildren {
		if r, ok := c.(*querytree.Rolled); ok && r.Describe().Name() == name {
			return r
		}
	}
	p.tb.Fatalf("no leaf %q", name)
	return nil
}

// What parents ask is never moved again: children must answer at the very steps.
func TestAlignIsNotForParents(t *testing.T) {
	data := treetest.Data{Minutes: 30, Interval: 15_000}
	p := newPlanet(t, "rollups: [{name: r, expr: sum by (job) (x), interval: 1m, keep: {leaf: {for: 2d}, zone: {for: 2d}}}]", data)
	for at := int64(0); at <= data.End(); at += 15_000 {
		p.Append(t, labels.FromStrings("__name__", "x", "zone", "eu", "cluster", "eu-0", "job", "a"), at, float64(at))
	}
	p.owe(0)
	p.collect()
	for _, c := range []querytree.Child{p.ZoneMixers[0], p.leaf(leaves[0])} {
		set, err := c.Exec(context.Background(), querytree.ExecRequest{Options: querytree.Options{Align: true}, Query: "sum(x)", Start: 61_000, End: 600_000, Step: 60_000})
		if err != nil {
			t.Fatal(err)
		}
		for set.Next() {
			if at := set.At().Floats[0].T; at != 61_000 {
				t.Errorf("%s: first step at %d, want 61000", c.Describe().Name(), at)
			}
		}
		if set.Err() != nil || set.Report().Aligned != nil {
			t.Errorf("%s: %v, %v", c.Describe().Name(), set.Err(), set.Report().Aligned)
		}
		set.Close()
	}
}
