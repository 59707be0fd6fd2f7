package querytree

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/prometheus/model/timestamp"
	"github.com/prometheus/prometheus/promql"
)

// inTime is the answer of somebody who asks a tree with so much time; zero sets no limit.
func inTime(t *testing.T, m *Mixer, timeout time.Duration, o Options) *promql.Result {
	t.Helper()
	ctx := WithOptions(t.Context(), o)
	if timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, timeout)
		defer cancel()
	}
	q, err := Engine{}.NewInstantQuery(ctx, m, nil, "sum(x) or vector(0)", timestamp.Time(600_000))
	if err != nil {
		t.Fatal(err)
	}
	defer q.Close()
	return q.Exec(ctx)
}

// A query for which every child is late has taken more time than it may: that is an
// error with the limit, and no answer. As long as anybody answers, or fails in another
// way, it is the answer of the others.
func TestAllLate(t *testing.T) {
	answering := saying(euOne, point(1, "zone", "eu", "cluster", "eu-1"))
	zoneOver := func(t *testing.T, children ...Child) Child { return mixerOver(t, eu.Identity, nil, children...) }
	for name, c := range map[string]struct {
		children func(*testing.T) []Child
		timeout  time.Duration
		explain  ExplainMode
		want     string // of the error; empty: an answer
		warnings int
	}{
		"by the client's own time": {
			func(*testing.T) []Child { return []Child{hanging(euOne), hanging(euTwo)} }, 2 * time.Second, ExplainOff,
			`time for children, of 2s for the query, none of which answered within 1.6s ("zone=eu,cluster=eu-1", "zone=eu,cluster=eu-2"): limit of 1.6s exceeded at root; narrow the query, or ask for a longer timeout`, 0,
		},
		"by the tier's deadline for children": {
			func(*testing.T) []Child { return []Child{hanging(euOne)} }, 0, ExplainOff,
			`time for children, none of which answered within 30s ("zone=eu,cluster=eu-1"): limit of 30s exceeded at root; narrow the query, or raise --query.child-deadline`, 0,
		},
		"of hardly any time": {
			func(*testing.T) []Child { return []Child{hanging(euOne)} }, 2 * time.Millisecond, ExplainOff,
			`within 2ms ("zone=eu,cluster=eu-1"): limit of 2ms exceeded at root`, 0,
		},
		"two tiers below": {
			func(t *testing.T) []Child { return []Child{zoneOver(t, hanging(euOne), hanging(euTwo)), hanging(us)} }, 2 * time.Second, ExplainOff,
			`none of which answered within 1.6s ("zone=eu,cluster=eu-1", "zone=eu,cluster=eu-2", "zone=us")`, 0,
		},
		"two tiers below, which have less": {
			func(t *testing.T) []Child { return []Child{zoneOver(t, hanging(euOne))} }, 2 * time.Second, ExplainOff,
			`within 1.28s ("zone=eu,cluster=eu-1"): limit of 1.6s exceeded at root`, 0,
		},
		"too many to name": {
			func(*testing.T) []Child {
				return []Child{hanging(euOne), hanging(euTwo), hanging(us), hanging(asia), hanging(usOne)}
			}, 2 * time.Second, ExplainOff,
			`"zone=eu,cluster=eu-2" and 2 more)`, 0,
		},
		"one answers":               {func(*testing.T) []Child { return []Child{answering, hanging(euTwo)} }, 2 * time.Second, ExplainOff, "", 1},
		"one answers, below a zone": {func(t *testing.T) []Child { return []Child{zoneOver(t, answering, hanging(euTwo)), hanging(us)} }, 2 * time.Second, ExplainOff, "", 2},
		"one holds nothing":         {func(*testing.T) []Child { return []Child{saying(euOne), hanging(euTwo)} }, 2 * time.Second, ExplainOff, "", 1},
		"one is away":               {func(*testing.T) []Child { return []Child{down(euOne), hanging(euTwo)} }, 2 * time.Second, ExplainOff, "", 2},
		"all are away":              {func(*testing.T) []Child { return []Child{down(euOne), down(euTwo)} }, 2 * time.Second, ExplainOff, "", 2},
		"analysed":                  {func(*testing.T) []Child { return []Child{hanging(euOne)} }, 2 * time.Second, ExplainAnalyze, "", 1},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				res := inTime(t, rootOver(t, c.children(t)...), c.timeout, Options{Explain: c.explain})
				var timeout promql.ErrQueryTimeout
				if c.want != "" {
					if res.Err == nil || !strings.Contains(res.Err.Error(), c.want) || !errors.As(res.Err, &timeout) {
						t.Errorf("want a timeout, %q, got %v", c.want, res.Err)
					}
					return
				}
				if n := len(res.Warnings); res.Err != nil || n != c.warnings {
					t.Errorf("%v, %d warnings, want %d: %v", res.Err, n, c.warnings, res.Warnings)
				}
			})
		})
	}
}

// Whoever had a part, or may have had one, keeps an answer from being none.
func TestAllLateOfReports(t *testing.T) {
	late := ChildReport{Tier: TierLeaf, Verdict: Asked, Failed: "soft deadline passed", Late: true}
	with := func(c ChildReport, change func(*Report)) Report {
		r := Report{}
		r.Add("late", late)
		r.Add("other", c)
		if change != nil {
			change(&r)
		}
		return r
	}
	pruned := ChildReport{Tier: TierLeaf, Verdict: PrunedHint}
	for name, c := range map[string]struct {
		r    Report
		want bool
	}{
		"nobody else was asked":            {with(pruned, nil), true},
		"a zone with nothing below":        {with(ChildReport{Tier: TierZone, Verdict: Asked}, nil), true},
		"nobody was late":                  {Report{Children: map[string]ChildReport{"other": pruned}}, false},
		"another was in time":              {with(ChildReport{Tier: TierLeaf, Verdict: Asked}, nil), false},
		"another took the place of one":    {with(ChildReport{Tier: TierLeaf, Verdict: Replaced}, nil), false},
		"late in one part, not in another": {with(ChildReport{Tier: TierLeaf, Verdict: Asked, Failed: "late", Late: true, Series: 1}, nil), false},
		"kept by a cache":                  {with(ChildReport{Tier: TierZone, Verdict: Asked, Cached: true}, nil), false},
		"of a rollup":                      {with(pruned, func(r *Report) { r.Rollups = []RollupUse{{Tier: "root", Rule: "r"}} }), false},
		"answers without a row":            {with(pruned, func(r *Report) { r.Unlisted = 1 }), false},
		"failures without a row":           {with(pruned, func(r *Report) { r.Unnamed = 1 }), false},
	} {
		if err := (patience{soft: time.Second, flag: flagChildDeadline}).allLate(c.r); (err != nil) != c.want {
			t.Errorf("%s: %v, want an error: %v", name, err, c.want)
		}
	}
}
