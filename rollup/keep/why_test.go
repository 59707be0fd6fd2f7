package keep

import (
	"strings"
	"testing"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"

	"github.com/pandometrics/pando/querytree"
)

const whyRules = `
rollups:
- {name: both, expr: sum by (job) (x), interval: 10s, keep: {root: [{for: 1h}, {every: 30s, for: 2h}]}}
- {name: below, expr: sum by (job) (y), interval: 10s, keep: {zone: {for: 1h}}}
- {name: minutes, expr: sum by (job) (z), interval: 1m, keep: {root: {for: 1h}}}
`

// Why a rule that matches is not read: of several distances, what keeps the one
// that is nearest to being read.
func TestWhyNotRead(t *testing.T) {
	const (
		now  = int64(10_000_000)
		old  = now - 3_000_000
		none = "none of the steps is there yet, or any more"
	)
	k := newTierOf(t, newWorld(), t.TempDir(), whyRules)
	for _, r := range k.store.Rules().All() {
		k.must(k.store.Owe(t.Context(), r, now-600_000))
	}
	k.must(k.collect())
	for _, c := range []struct {
		query            string
		start, end, step int64
		lookback         int64
		doubted          []int64 // distances of which it is not known whether they are right
		want             string
	}{
		{"sum(x)", now - 300_000, now - 100_000, 10_000, worldLookback, nil, ""},
		{"sum(x)", now - 300_000, now - 100_000, 10_000, 2 * worldLookback, nil, "both: its points were made with another lookback delta"},
		{"sum(y)", now - 300_000, now - 100_000, 10_000, worldLookback, nil, "below: it is not kept at this tier"},
		{"sum(x)", now - 300_000, now - 100_000, 10_000, worldLookback, []int64{10_000}, "both: it has just come back, and its points are not checked yet"},
		{"sum(x)", now - 300_000, now - 100_000, 30_000, worldLookback, []int64{10_000}, "both: it has just come back, and its points are not checked yet"},
		{"sum(x)", down(now-300_000, 30_000), now - 100_000, 30_000, worldLookback, []int64{10_000}, ""},
		{"sum(x)", old, old + 100_000, 10_000, worldLookback, nil, "both: " + none},
		{"sum(x)", old, old + 100_000, 10_000, worldLookback, []int64{30_000}, "both: " + none},
		{"sum(x)", down(old, 30_000), old + 120_000, 30_000, worldLookback, []int64{30_000}, "both: " + none},
		{"sum(x)", old, old + 105_000, 15_000, worldLookback, nil, "both: the step is no multiple of 10s"},
		{"sum(x)", old + 1, old + 100_001, 10_000, worldLookback, nil, "both: the times are no multiples of 10s"},
		{"sum(x)", old + 1, old + 1, 0, worldLookback, nil, "both: the times are no multiples of 10s"},
		{"sum(x offset 15s)", old, old + 100_000, 10_000, worldLookback, nil, "both: the offset is no multiple of 10s"},
		{"sum(x offset 15s)", now - 305_000, now - 105_000, 10_000, worldLookback, nil, ""}, // both are shifted by half of it
		{"sum(z offset 30s)", down(old, 60_000), down(old, 60_000) + 600_000, 60_000, worldLookback, nil, "minutes: the offset is no multiple of 60s"},
	} {
		k.store.mu.Lock()
		clear(k.store.unchecked)
		for key := range k.store.kept {
			for _, every := range c.doubted {
				if key.keep.Every.Milliseconds() == every {
					k.store.unchecked[key] = true
				}
			}
		}
		k.store.mu.Unlock()
		e, err := parser.NewParser(parser.Options{}).ParseExpr(c.query)
		if err != nil {
			t.Fatal(err)
		}
		at := querytree.RewriteAt{Start: c.start, End: c.end, Step: c.step, Lookback: c.lookback}
		r, why := k.store.Rewriter(labels.EmptyLabels(), worldLookback).Rewrite(e.(*parser.AggregateExpr), at)
		if why != c.want || (r == nil) != (c.want != "") || strings.Contains(why, ";") {
			t.Errorf("%s at %+v, not checked %v: %q, want %q", c.query, at, c.doubted, why, c.want)
		}
	}
}
