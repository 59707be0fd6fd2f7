package keep

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"

	"github.com/pandometrics/pando/querytree"
	"github.com/pandometrics/pando/rollup"
)

const meanRules = `
rollups:
- {name: s, expr: sum by (job) (x), interval: 10s, keep: {root: [{for: 1h}, {every: 1m, for: 2h}]}}
- {name: c, expr: count by (job) (x), interval: 10s, keep: {root: {every: 30s, for: 1h}}}
`

func (k *tierOf) rewrite(query string, at querytree.RewriteAt) (*querytree.Rollup, string) {
	k.tb.Helper()
	e, err := parser.NewParser(parser.Options{}).ParseExpr(query)
	if err != nil {
		k.tb.Fatal(err)
	}
	at.Lookback = worldLookback
	return k.store.Rewriter(labels.EmptyLabels(), worldLookback).Rewrite(e.(*parser.AggregateExpr), at)
}

// owe has rules owe points from a time on, and makes them.
func (k *tierOf) owe(since int64, names ...string) {
	k.tb.Helper()
	for _, r := range k.store.Rules().All() {
		if slices.Contains(names, r.Name) {
			k.must(k.store.Owe(k.tb.Context(), r, since))
		}
	}
	k.must(k.collect())
}

// An average of two rules has the steps at which both have a whole point, and the
// watermark of the one that is behind.
func TestMeanOfTwoRules(t *testing.T) {
	const now, m = int64(9_960_000), int64(60_000) // whole minutes
	w := newWorld()
	w.now, w.final = now, now
	k := newTierOf(t, w, t.TempDir(), meanRules)
	of := map[string]*rollup.Rule{}
	for _, r := range k.store.Rules().All() {
		of[r.Name] = r
	}
	k.owe(now-20*m, "s")
	at := querytree.RewriteAt{Start: now - 30*m, End: now, Step: m, Partial: true}
	check := func(what, query string, at querytree.RewriteAt, wantRule, wantWhy string, until int64, covered ...querytree.Interval) {
		t.Helper()
		r, why := k.rewrite(query, at)
		if r == nil {
			r = &querytree.Rollup{}
		}
		want := querytree.Rollup{Rule: wantRule, Covered: covered, Until: until}
		got := querytree.Rollup{Rule: r.Rule, Covered: r.Covered, Until: r.Until, Missing: r.Missing}
		if d := cmp.Diff(want, got); d != "" || why != wantWhy {
			t.Errorf("%s: %s: why %q, want %q; -want +got:\n%s", what, query, why, wantWhy, d)
		}
	}
	run := func(from, to int64) querytree.Interval { return querytree.Interval{Mint: from, Maxt: to} }
	check("no count yet", "avg(x)", querytree.RewriteAt{Start: now - 30*m, End: now - m, Step: m}, "", "c: none of the steps is there yet, or any more", 0)
	k.owe(now-10*m, "c")
	check("both", "avg(x)", at, "s + c", "", now, run(now-10*m, now))
	check("an offset", "avg(x offset 2m)", at, "s + c", "", now+2*m, run(now-8*m, now))
	check("at one time", "avg by (job) (x)", querytree.RewriteAt{Start: now - 5*m, End: now - 5*m}, "s + c", "", now, run(now-5*m, now-5*m))
	check("what one keeps only", "avg(x)", querytree.RewriteAt{Start: now - 5*m, End: now, Step: 10_000}, "", "c: the step is no multiple of 30s", 0)
	check("another grouping", "avg by (pod) (x)", at, "", "s: it keeps sum, of which avg is made only together with a rule of the count; c: it keeps count, of which avg is made only together with a rule of the sum", 0)
	check("before the count", "avg(x)", querytree.RewriteAt{Start: now - 30*m, End: now - 15*m, Step: m}, "", "c: none of the steps is there yet, or any more", 0)

	// The sum is void here, the count there.
	k.must(k.store.Void(t.Context(), of["s"], now-5*m, now))
	k.must(k.store.Void(t.Context(), of["c"], now-8*m, now-7*m))
	check("void", "avg(x)", at, "s + c", "", now-6*m, run(now-10*m, now-9*m), run(now-6*m, now-6*m))
	check("never both", "avg(x)", querytree.RewriteAt{Start: now - 8*m, End: now - 4*m, Step: 4 * m}, "", "s + c: no step is there in both", 0)

	// A sum that lacks a child is not divided by a count that does not.
	k.away = true
	k.must(k.collect())
	k.pass(worldHold + time.Duration(m)*time.Millisecond)
	k.must(k.collect())
	if r, _ := k.rewrite("sum(x)", at); r == nil || len(r.Missing) == 0 {
		t.Fatalf("the sum lacks nothing: %+v", r)
	}
	check("partial", "avg(x)", at, "s + c", "", now-6*m, run(now-10*m, now-9*m), run(now-6*m, now-6*m))
}

// Each half is read from its own rule.
func TestMeanReadsBoth(t *testing.T) {
	w := newWorld()
	k := newTierOf(t, w, t.TempDir(), `
rollups:
- {name: s, expr: sum by (job) (x), interval: 10s, keep: {root: {for: 1h}}}
- {name: c, expr: "count by (job, pod) (x offset 20s)", interval: 10s, keep: {root: {for: 1h}}}
`)
	k.owe(w.now-600_000, "s", "c")
	at := w.now - 300_000
	r, why := k.rewrite("avg by (job) (x)", querytree.RewriteAt{Start: at, End: at})
	if r == nil {
		t.Fatal(why)
	}
	got := map[string]map[string]float64{}
	for _, op := range r.Ops {
		got[op] = map[string]float64{}
		_, err := r.Read(context.Background(), op, func(s promql.Series) error {
			for _, p := range s.Floats {
				if p.T != at {
					t.Errorf("a point at %d, want %d", p.T, at)
				}
				got[op][s.Metric.Get("job")] += p.F
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	// The world answers everything by its values, whatever the operator is.
	want := map[string]map[string]float64{
		"sum":   {"a": k.value("a", at), "b": k.value("b", at)},
		"count": {"a": k.value("a", at+20_000), "b": k.value("b", at+20_000)},
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

// What was made late may lack who has gone for good, which the points of the other rule
// do not: no average is made of the two, also after a restart. A rule of averages is.
func TestMeanOfLatePoints(t *testing.T) {
	const now, m = int64(9_960_000), int64(60_000) // whole minutes
	const early, late, span = now - 100*m, now - 10*m, 4 * m
	w := newWorld()
	w.now, w.final = now-95*m, now-95*m
	k := newTierOf(t, w, t.TempDir(), `
rollups:
- {name: s, expr: sum by (job) (x), interval: 1m, keep: {root: {for: 2h}}}
- {name: c, expr: count by (job) (x), interval: 1m, keep: {root: {for: 2h}}}
- {name: a, expr: avg by (job) (y), interval: 1m, keep: {root: {for: 2h}}}
`)
	k.owe(early, "s")
	w.now, w.final = now, now
	k.owe(early, "c", "a", "s")
	check := func(what string) {
		t.Helper()
		for _, c := range []struct {
			query, rule, why string
			start            int64
		}{
			{"sum(x)", "s", "", early},
			{"count(x)", "c", "", early},
			{"avg(y)", "a", "", early},
			{"avg(x)", "", "made late", early},
			{"avg(x)", "s + c", "", late},
		} {
			r, why := k.rewrite(c.query, querytree.RewriteAt{Start: c.start, End: c.start + span, Step: m})
			if r == nil {
				r = &querytree.Rollup{}
			} else if d := cmp.Diff([]querytree.Interval{{Mint: c.start, Maxt: c.start + span}}, r.Covered); d != "" {
				t.Errorf("%s: %s: -want +got:\n%s", what, c.query, d)
			}
			if r.Rule != c.rule || !strings.Contains(why, c.why) || (why != "") != (c.why != "") {
				t.Errorf("%s: %s is from %q, why %q; want %q, %q", what, c.query, r.Rule, why, c.rule, c.why)
			}
		}
	}
	check("made")
	k.must(k.store.Close())
	k.open()
	k.must(k.collect())
	check("after a restart")
}
