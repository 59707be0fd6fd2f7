package querytree

import (
	"fmt"
	"math"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
)

// hintFunc is a Pruner made of a function.
type hintFunc func(child string, ms []*labels.Matcher) bool

func (f hintFunc) RulesOutAll(children []string, ms []*labels.Matcher, _, _ int64) []bool {
	out := make([]bool, len(children))
	for i, c := range children {
		out[i] = f(c, ms)
	}
	return out
}

func matchersOf(tb testing.TB, selector string) []*labels.Matcher {
	tb.Helper()
	e, err := NewParser().ParseExpr(selector)
	if err != nil {
		tb.Fatal(err)
	}
	return e.(*parser.VectorSelector).LabelMatchers
}

func candidateNames(p *pruning, ms []*labels.Matcher) []string {
	var names []string
	p.candidates(ms).each(func(i int) { names = append(names, p.members[i].Description.Name()) })
	return names
}

func TestPruneByIdentity(t *testing.T) {
	members := []Member{
		{Description: leafOf("zone", "eu", "cluster", "eu-1"), Connected: true},
		{Description: leafOf("zone", "us", "cluster", "us-1"), Connected: false},
		{Description: zoneOf("zone", "asia"), Connected: true},
	}
	const one, two, three = "zone=eu,cluster=eu-1", "zone=us,cluster=us-1", "zone=asia"
	for selector, want := range map[string][]string{
		`x`:                                    {one, two, three},
		`x{zone="eu"}`:                         {one},
		`x{zone!="eu"}`:                        {two, three},
		`x{zone=~"eu|us"}`:                     {one, two},
		`x{zone!~"eu|us"}`:                     {three},
		`x{zone=""}`:                           nil,
		`x{zone!=""}`:                          {one, two, three},
		`x{zone=~".*"}`:                        {one, two, three},
		`x{zone=~"|eu"}`:                       {one},
		`x{zone!~"|eu"}`:                       {two, three},
		`x{zone!~".*"}`:                        nil,
		`x{cluster="eu-1"}`:                    {one, three},
		`x{cluster=""}`:                        {three},
		`x{cluster!="", zone=~"eu|asia"}`:      {one, three},
		`x{cluster="eu-1", cluster=~"us-.*"}`:  {three},
		`x{zone="eu", cluster="us-1"}`:         nil,
		`{zone=~"e.", __name__=~".+", job=""}`: {one},
	} {
		got := candidateNames(newPruning(members, nil, 0, 0), matchersOf(t, selector))
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("%s: -want +got:\n%s", selector, d)
		}
	}
}

func TestPruneByTime(t *testing.T) {
	at := func(mint int64, connected bool) Member {
		d := leafOf("cluster", fmt.Sprintf("%d-%t", mint, connected))
		d.Mint, d.Earliest = mint, mint
		return Member{Description: d, Connected: connected}
	}
	members := []Member{at(100, true), at(101, true), at(101, false), at(math.MaxInt64, true), at(math.MinInt64, true)}
	late := leafOf("cluster", "late")
	late.Mint, late.Earliest = 101, 90 // it has nothing so old yet, and may when it is asked
	members = append(members, Member{Description: late, Connected: true})
	got := candidateNames(newPruning(members, nil, 50, 100), matchersOf(t, "x"))
	old := leafOf("cluster", "old") // of a version that does not tell
	old.Mint = -200
	if got := candidateNames(newPruning([]Member{{Description: old, Connected: true}}, nil, -200, -100), matchersOf(t, "x")); len(got) != 1 {
		t.Error("who does not tell what may come is taken to have nothing from before 1970")
	}
	want := []string{"cluster=100-true", "cluster=101-false", "cluster=9223372036854775807-true", "cluster=-9223372036854775808-true", "cluster=late"}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("-want +got:\n%s", d)
	}
}

// What a tier holds itself, under names of its own, may be older than all that its
// children have.
func TestPruneByTimeOfOwn(t *testing.T) {
	young, own := zoneOf("zone", "young"), zoneOf("zone", "own")
	young.Mint, own.Mint, own.Features = 101, 101, []string{FeatureOwn}
	young.Earliest, own.Earliest = 101, 101
	members := []Member{{Description: young, Connected: true}, {Description: own, Connected: true}}
	for selector, want := range map[string][]string{
		`x`:                 {"zone=own"},
		`x{cluster="a"}`:    {"zone=own"},
		`{__name__=~"x|y"}`: nil,
		`{job="a"}`:         nil,
		`x{zone="young"}`:   nil,
	} {
		if d := cmp.Diff(want, candidateNames(newPruning(members, nil, 50, 100), matchersOf(t, selector))); d != "" {
			t.Errorf("%s: -want +got:\n%s", selector, d)
		}
	}
}

// A query looks at times other than its own: offsets, @, ranges, subqueries.
func TestTimesOfQueries(t *testing.T) {
	d := leafOf("cluster", "young")
	d.Mint, d.Earliest = 3_600_000, 3_600_000
	m := planner(t, false, d)
	for query, asked := range map[string]bool{
		`x`: false, `x[5m]`: false, `x offset 10m`: false, `x @ 3599`: false,
		`x offset -1s`: true, `x @ 3600`: true, `x @ 0 offset -2h`: true,
		`max_over_time(x[5m:1m] offset -1m)`: true, `rate(x[1m] smoothed)`: true, `x smoothed`: true, `y + x @ 3600`: true,
		`max_over_time(max_over_time(x[5m:1m] @ 3600)[5m:1m])`: true,
	} {
		e, err := m.newExecution(ExecRequest{Query: query, Start: 3_599_999, End: 3_599_999, Lookback: 300_000}, nil, nil)
		if err != nil {
			t.Errorf("%s: %v", query, err)
			continue
		}
		if got := e.prune.verdicts[0] == Asked; got != asked {
			t.Errorf("%s: verdict %q", query, e.prune.verdicts[0])
		}
	}
}

// The hint of a child that is not connected may lack its last series, and so
// does not count.
func TestPruneByHint(t *testing.T) {
	members := []Member{
		{Description: leafOf("zone", "eu", "cluster", "a"), Connected: true},
		{Description: leafOf("zone", "eu", "cluster", "b"), Connected: false},
		{Description: leafOf("zone", "eu", "cluster", "c"), Connected: true},
		{Description: leafOf("zone", "us", "cluster", "d"), Connected: true},
	}
	var asked []string
	hints := hintFunc(func(child string, _ []*labels.Matcher) bool {
		asked = append(asked, child)
		return child != "zone=eu,cluster=c"
	})
	p := newPruning(members, hints, 0, 0)
	got := candidateNames(p, matchersOf(t, `x{zone="eu"}`))
	if d := cmp.Diff([]string{"zone=eu,cluster=b", "zone=eu,cluster=c"}, got); d != "" {
		t.Errorf("-want +got:\n%s", d)
	}
	if d := cmp.Diff([]string{"zone=eu,cluster=a", "zone=eu,cluster=c"}, asked); d != "" {
		t.Errorf("hints looked at, -want +got:\n%s", d)
	}
	want := Report{Pruned: map[Verdict]int{PrunedHint: 1, PrunedLabel: 1}}
	if d := cmp.Diff(want, p.report(false)); d != "" {
		t.Errorf("report -want +got:\n%s", d)
	}
	want.Children = map[string]ChildReport{
		"zone=eu,cluster=a": {Tier: TierLeaf, Verdict: PrunedHint, Evidence: `zone="eu"`},
		"zone=us,cluster=d": {Tier: TierLeaf, Verdict: PrunedLabel, Evidence: `zone="eu"`},
	}
	if d := cmp.Diff(want, p.report(true)); d != "" {
		t.Errorf("detailed report -want +got:\n%s", d)
	}
	// What one selector prunes, another needs.
	if p.candidates(matchersOf(t, `x{zone="us"}`)); p.report(false).Pruned[PrunedHint] != 2 {
		t.Errorf("hints of two selectors: %v", p.report(false))
	}
	p.pruner = nil
	if p.candidates(matchersOf(t, `x`)); p.report(false).Pruned != nil {
		t.Errorf("a later selector needs all: %v", p.report(false))
	}
}

// NoHints reruns a query without hints.
func TestNoHints(t *testing.T) {
	for _, noHints := range []bool{false, true} {
		m := mixerOver(t, Identity{Tier: TierRoot}, func(c *MixerConfig) {
			c.Pruner = hintFunc(func(string, []*labels.Matcher) bool { return true })
		}, saying(eu, point(1, "zone", "eu")))
		got := askInstant(t.Context(), m, "x", Options{NoHints: noHints})
		if (len(got.Series) == 1) != noHints {
			t.Errorf("without hints %t: %+v", noHints, got)
		}
	}
}

func TestReportMerge(t *testing.T) {
	var a, b Report
	a.Add("x", ChildReport{Verdict: PrunedHint})
	a.Add("x", ChildReport{Verdict: Asked, Requests: 1, Series: 2})
	b.Add("x", ChildReport{Verdict: Asked, Requests: 1, Series: 3, Failed: "broken", Late: true})
	b.Pruned = map[Verdict]int{PrunedTime: 1}
	a.Merge(b)
	a.Merge(b)
	want := ChildReport{Verdict: Asked, Requests: 3, Series: 8, Failed: "broken", Late: true}
	if d := cmp.Diff(want, a.Children["x"]); d != "" || a.Pruned[PrunedTime] != 2 {
		t.Errorf("pruned %v, -want +got:\n%s", a.Pruned, d)
	}
}

// A report is bounded, but never at the cost of saying that something is missing.
func TestFailuresAreAlwaysReported(t *testing.T) {
	var r Report
	for i := range maxSentRows {
		r.Add(fmt.Sprint(i), ChildReport{Verdict: Asked})
	}
	r.Add("whole", ChildReport{Verdict: Asked})
	r.Add("broken", ChildReport{Verdict: Asked, Failed: "broken"})
	if len(r.Children) > maxSentRows+1 || !r.Partial() {
		t.Errorf("%d rows, partial %t", len(r.Children), r.Partial())
	}
	var up Report
	up.Merge(r)
	for tier, r := range map[string]Report{"below": r, "above": up} {
		if all := len(r.Children) + r.Unlisted; r.Unlisted == 0 || all != maxSentRows+2 {
			t.Errorf("%s: %d answers without a row, %d in all, want %d", tier, r.Unlisted, all, maxSentRows+2)
		}
	}
}

// However many children were pruned, there is room for those that answered, for what
// is told of an answer is added up of their rows.
func TestPrunedRowsLeaveRoom(t *testing.T) {
	var r Report
	for i := range 2 * maxPrunedRows {
		r.Add(fmt.Sprint("pruned ", i), ChildReport{Verdict: PrunedHint})
	}
	for i := range 10 {
		r.Add(fmt.Sprint("asked ", i), ChildReport{Verdict: Asked, Samples: 1})
	}
	if len(r.Children) != maxPrunedRows+10 || r.Unlisted != 0 {
		t.Errorf("%d rows and %d not listed, want %d and none", len(r.Children), r.Unlisted, maxPrunedRows+10)
	}
}

// What deciding costs beside the hints.
func BenchmarkCandidates(b *testing.B) {
	members := make([]Member, 10_000)
	for i := range members {
		d := Description{Identity: Identity{Tier: TierLeaf, Labels: labels.FromStrings("zone", "eu", "cluster", fmt.Sprint("eu-", i))}}
		members[i] = Member{Name: d.Name(), Description: d, Connected: true}
	}
	ms := []*labels.Matcher{labels.MustNewMatcher(labels.MatchEqual, labels.MetricName, "up")}
	for b.Loop() {
		if n := newPruning(members, allowing{}, 0, 1).candidates(ms).count(); n != len(members) {
			b.Fatal(n)
		}
	}
}

// allowing is a Pruner that rules out nobody.
type allowing struct{}

func (allowing) RulesOutAll(children []string, _ []*labels.Matcher, _, _ int64) []bool {
	return make([]bool, len(children))
}
