package querytree_test

import (
	"context"
	"math/rand"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/util/annotations"

	"github.com/pandometrics/pando/querytree"
	"github.com/pandometrics/pando/querytree/treetest"
)

// remembering is a Rewriter that has the right points of any aggregation that a
// rollup may have: of some steps, chosen at random.
type remembering struct {
	m   *querytree.Mixer
	mu  sync.Mutex // guards rnd: queries plan side by side
	rnd *rand.Rand
	// whole: it has all steps, but for the last ones if it lacks some.
	whole bool
	lacks int64
	used  *atomic.Int64
}

// finer is the label that the points are told apart by, as a rollup that keeps
// more labels than the query asks for has several series of a group.
var finer = []string{"pod"}

func (r *remembering) Rewrite(n *parser.AggregateExpr, at querytree.RewriteAt) (*querytree.Rollup, string) {
	ops := map[parser.ItemType][]string{
		parser.SUM: {"sum"}, parser.MIN: {"min"}, parser.MAX: {"max"}, parser.COUNT: {"count"}, parser.GROUP: {"group"}, parser.AVG: {"sum", "count"},
	}[n.Op]
	if ops == nil || !querytree.SeriesWise(n.Expr) || querytree.UsesAt(n) {
		return nil, ""
	}
	covered := r.covered(at)
	if len(covered) == 0 {
		return nil, "no step is there"
	}
	points := map[string]promql.Matrix{}
	for _, op := range ops {
		m, ok := r.evaluate(n, op, at)
		if !ok {
			return nil, "a point is not whole"
		}
		points[op] = m
	}
	r.used.Add(1)
	read := func(_ context.Context, op string, add func(promql.Series) error) (annotations.Annotations, error) {
		for _, s := range points[op] {
			in := func(t int64) bool {
				return slices.ContainsFunc(covered, func(i querytree.Interval) bool { return i.Mint <= t && t <= i.Maxt })
			}
			s.Metric = grouped(n, s.Metric)
			s.Floats = slices.DeleteFunc(slices.Clone(s.Floats), func(p promql.FPoint) bool { return !in(p.T) })
			s.Histograms = slices.DeleteFunc(slices.Clone(s.Histograms), func(p promql.HPoint) bool { return !in(p.T) })
			if err := add(s); err != nil {
				return nil, err
			}
		}
		return nil, nil
	}
	return &querytree.Rollup{Rule: "remembered", Covered: covered, Until: covered[len(covered)-1].Maxt, Ops: ops, Read: read}, ""
}

// covered chooses steps: mostly some at the start, as of a rollup that is behind.
func (r *remembering) covered(at querytree.RewriteAt) (out []querytree.Interval) {
	r.mu.Lock()
	defer r.mu.Unlock()
	last := int64(0)
	if at.Step > 0 {
		last = (at.End - at.Start) / at.Step
	}
	time := func(i int64) int64 { return at.Start + i*at.Step }
	if r.whole {
		return []querytree.Interval{{Mint: at.Start, Maxt: time(max(0, last-r.lacks))}}
	}
	for i := r.rnd.Int63n(3); i <= last && len(out) < querytree.MaxRollupRuns; {
		to := min(last, i+r.rnd.Int63n(last+1))
		out = append(out, querytree.Interval{Mint: time(i), Maxt: time(to)})
		i = to + 2 + r.rnd.Int63n(3)
	}
	return out
}

// evaluate asks for the points of finer groups than those of n.
func (r *remembering) evaluate(n *parser.AggregateExpr, op string, at querytree.RewriteAt) (promql.Matrix, bool) {
	c := *n
	if c.Without {
		c.Grouping = slices.DeleteFunc(slices.Clone(c.Grouping), func(l string) bool { return slices.Contains(finer, l) })
	} else {
		c.Grouping = slices.Concat(c.Grouping, finer)
	}
	set, err := r.m.Exec(context.Background(), querytree.ExecRequest{
		Options: querytree.Options{Strict: true, NoRollup: true}, Query: querytree.WithOperator(c.String(), op),
		Start: at.Start, End: at.End, Step: at.Step, Lookback: at.Lookback,
	})
	if err != nil {
		return nil, false
	}
	defer set.Close()
	var m promql.Matrix
	for set.Next() {
		m = append(m, set.At())
	}
	return m, set.Err() == nil && len(set.Warnings()) == 0
}

// grouped returns the labels of a finer group's result in that of n.
func grouped(n *parser.AggregateExpr, l labels.Labels) labels.Labels {
	if n.Without {
		return labels.NewBuilder(l).Del(n.Grouping...).Labels()
	}
	return labels.NewBuilder(l).Keep(n.Grouping...).Labels()
}

// rolledPlanet is a planet of three tiers all of whose mixers have rollups.
func rolledPlanet(t *testing.T, whole bool) (p *treetest.Planet, used *atomic.Int64) {
	t.Helper()
	used = &atomic.Int64{}
	cfg := treetest.Config{Rewriter: func(_ testing.TB, m *querytree.Mixer) querytree.Rewriter {
		return &remembering{m: m, rnd: rand.New(rand.NewSource(5)), whole: whole, used: used}
	}}
	cfg.Leaves, cfg.Zones = treetest.Clusters("eu", 3, "us", 1)
	return treetest.New(t, cfg), used
}

// rolledLeaves is a planet of three tiers all of whose leaves have rollups.
func rolledLeaves(t *testing.T, whole bool) (p *treetest.Planet, used *atomic.Int64) {
	t.Helper()
	used = &atomic.Int64{}
	cfg := treetest.Config{LeafRewriter: func(_ testing.TB, m *querytree.Mixer) querytree.Rewriter {
		return &remembering{m: m, rnd: rand.New(rand.NewSource(5)), whole: whole, used: used}
	}}
	cfg.Leaves, cfg.Zones = treetest.Clusters("eu", 3, "us", 1)
	return treetest.New(t, cfg), used
}

// Generated queries, with rollups of any part of them and at any steps, against
// one stock engine.
func TestGeneratedQueriesOverRollups(t *testing.T) {
	for name, planet := range map[string]func(*testing.T) (*treetest.Planet, *atomic.Int64){
		"some steps":           func(t *testing.T) (*treetest.Planet, *atomic.Int64) { return rolledPlanet(t, false) },
		"all steps":            func(t *testing.T) (*treetest.Planet, *atomic.Int64) { return rolledPlanet(t, true) },
		"some steps at leaves": func(t *testing.T) (*treetest.Planet, *atomic.Int64) { return rolledLeaves(t, false) },
		"all steps at leaves":  func(t *testing.T) (*treetest.Planet, *atomic.Int64) { return rolledLeaves(t, true) },
	} {
		t.Run(name, func(t *testing.T) {
			rnd := rand.New(rand.NewSource(11))
			p, used := planet(t)
			data := treetest.Data{Minutes: 60, Interval: 15_000}
			g := treetest.NewGenerator(rnd, data, data.Fill(t, p, rnd))
			total, wrong := queries(t, 1500), 0
			for i := range total {
				if diff, _ := p.Diff(t.Context(), g.Next()); diff != "" {
					t.Errorf("query %d: %s", i, diff)
					if wrong++; wrong > 5 {
						t.Fatal("too many differences")
					}
				}
			}
			if t.Logf("%d queries, %d rollups", total, used.Load()); used.Load() < int64(total)/8 {
				t.Errorf("rollups were used only %d times", used.Load())
			}
		})
	}
}

// What a rollup has is not asked of children; what it is inside of is evaluated
// above it. A query may do without.
func TestRollupPlans(t *testing.T) {
	p, _ := rolledPlanet(t, true)
	for _, c := range []struct {
		query, want string
		plain       bool
	}{
		{query: `sum by (job) (rate(x[5m]))`, want: `
{__name__="fragment 0"}
  0 fold sum [] but for rollup remembered of [{0 600000}] <- sum by (job) (rate(x[5m]))
`},
		{query: `sum by (zone) (rate(x[5m])) > 5`, want: `
{__name__="fragment 0"} > 5
  0 fold sum [] but for rollup remembered of [{0 600000}] <- sum by (zone) (rate(x[5m]))
`},
		{query: `avg by (job) (x)`, want: `
{__name__="fragment 0"}
  0 fold sum+count [] but for rollup remembered of [{0 600000}] <- sum by (job) (x)
`},
		{query: `sum(x{code="500"}) / sum(x)`, want: `
{__name__="fragment 0"} / {__name__="fragment 1"}
  0 fold sum [] but for rollup remembered of [{0 600000}] <- sum(x{code="500"})
  1 fold sum [] but for rollup remembered of [{0 600000}] <- sum(x)
`},
		{query: `max_over_time(sum(x)[5m:1m])`, want: `
max_over_time({__name__="fragment 0"}[5m:1m])
  0 fold sum [] but for rollup remembered of [{-240000 600000}] at -240000..600000/60000 <- sum(x)
`},
		{query: `quantile(0.5, x)`, want: `
{__name__="fragment 0"}
  0 quantile [0 1] <- x
`},
		{query: `sum by (zone) (rate(x[5m])) > 5`, plain: true, want: `
{__name__="fragment 0"}
  0 concat [0 1] <- sum by (zone) (rate(x[5m])) > 5
`},
	} {
		plan, err := p.Root.PlanOf(querytree.ExecRequest{Options: querytree.Options{NoRollup: c.plain}, Query: c.query, End: 600_000, Step: 60_000})
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(c.want[1:], plan.String()); d != "" {
			t.Errorf("%s: -want +got:\n%s", c.query, d)
		}
	}
}

// Children are asked for the steps alone that a rollup does not have, and told of
// in the report as not asked if there are none.
func TestRollupReport(t *testing.T) {
	p, _ := rolledPlanet(t, true)
	p.Append(t, labels.FromStrings("__name__", "x", "zone", "eu", "cluster", "eu-0"), 0, 1)
	set, err := p.Root.Exec(t.Context(), querytree.ExecRequest{Query: `sum(x)`, End: 600_000, Step: 60_000})
	if err != nil {
		t.Fatal(err)
	}
	defer set.Close()
	for set.Next() {
	}
	got := set.Report()
	want := []querytree.RollupUse{{Tier: "root", Rule: "remembered", Steps: 11, Of: 11, Until: 600_000}}
	if d := cmp.Diff(want, got.Rollups); d != "" {
		t.Errorf("-want +got:\n%s", d)
	}
	if n := got.Pruned[querytree.RolledUp]; n != 2 || len(got.Children) > 0 {
		t.Errorf("%d children not asked because of the rollup, and rows of %v; want both zones, and none", n, got.Children)
	}
}

// passing is a Cache that notes what it is asked, and keeps nothing.
type passing struct{ asked []string }

func (c *passing) Range(ctx context.Context, req querytree.ExecRequest, tree querytree.Evaluator) (querytree.Answer, error) {
	c.asked = append(c.asked, req.Query)
	return tree.Eval(ctx, req)
}

// A range query that rollups have most of goes past the cache, which would take a
// long range to pieces; one that children have more of a part in does not.
func TestRollupsGoPastTheCache(t *testing.T) {
	withChildren := []string{`sum(x) + on () x`, `x`, `sum(x) or quantile(0.5, x)`}
	for lacks, want := range [][]string{withChildren, withChildren, append([]string{`sum(x)`, `sum(x) / count(x) > 0`}, withChildren...)} {
		pastTheCache(t, int64(lacks), want)
	}
}

// pastTheCache compares what a cache is asked by a tier whose rollups lack the
// last steps.
func pastTheCache(t *testing.T, lacks int64, want []string) {
	t.Helper()
	p, used := rolledPlanet(t, true)
	for at := int64(0); at <= 600_000; at += 15_000 {
		p.Append(t, labels.FromStrings("__name__", "x", "zone", "eu", "cluster", "eu-0"), at, 1)
	}
	cache := &passing{}
	m, err := querytree.NewMixer(querytree.MixerConfig{
		Describe: p.Root.Describe, Members: p.Root.MembersNow, Cache: cache,
		Rewriter: &remembering{m: p.Root, rnd: rand.New(rand.NewSource(5)), whole: true, lacks: lacks, used: used},
		Limits:   querytree.DefaultLimits(), Lookback: treetest.Lookback, SubqueryStep: treetest.SubqueryStep,
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, query := range []string{`sum(x)`, `sum(x) / count(x) > 0`, `sum(x) + on () x`, `x`, `sum(x) or quantile(0.5, x)`} {
		set, err := m.Exec(t.Context(), querytree.ExecRequest{Query: query, End: 600_000, Step: 60_000})
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		for set.Next() {
			n += len(set.At().Floats)
		}
		if use := set.Report().Cache; n != 11 || set.Err() != nil || use != nil && use.State != "not used: rollups have it, or most of it" {
			t.Errorf("%s: %d points, %v, %+v", query, n, set.Err(), use)
		}
		set.Close()
	}
	if d := cmp.Diff(want, cache.asked); d != "" {
		t.Errorf("lacking %d steps, asked of the cache: -want +got:\n%s", lacks, d)
	}
}

// lacking is a Rewriter whose rules lack children in some point.
type lacking struct {
	rules   map[parser.ItemType]string
	missing map[parser.ItemType]map[string]string
	until   map[parser.ItemType]int64
	late    map[parser.ItemType]bool
}

func (l lacking) Rewrite(n *parser.AggregateExpr, at querytree.RewriteAt) (*querytree.Rollup, string) {
	r := &querytree.Rollup{
		Rule: l.rules[n.Op], Covered: []querytree.Interval{{Mint: at.Start, Maxt: at.End - l.until[n.Op]}},
		Missing: l.missing[n.Op], Late: l.late[n.Op], Ops: []string{n.Op.String()},
		Read: func(context.Context, string, func(promql.Series) error) (annotations.Annotations, error) {
			return nil, nil
		},
	}
	return r, ""
}

// A parent that asks for sums and counts is not given a sum that lacks a child
// beside a count that does not.
func TestSumsAndCountsOfTheSameChildren(t *testing.T) {
	p, _ := rolledPlanet(t, true)
	p.Append(t, labels.FromStrings("__name__", "x", "zone", "eu", "cluster", "eu-0"), 0, 1)
	gone := map[string]string{"eu-1": "leaf"}
	for _, c := range []struct {
		what       string
		sum, count string
		missing    map[string]string // of the sums
		also       map[string]string // of the counts
		until      int64             // how many milliseconds fewer the counts have
		late       bool              // of the counts
		rolled     bool
	}{
		{"two rules", "s", "c", nil, nil, 0, false, true},
		{"two rules, of which one has less", "s", "c", nil, nil, 60_000, false, true},
		{"two rules, of which one lacks a child", "s", "c", gone, nil, 0, false, false},
		{"two rules that lack the same", "s", "c", gone, gone, 0, false, false},
		{"two rules, of which one was made late", "s", "c", nil, nil, 0, true, false},
		{"one rule", "both", "both", nil, nil, 0, false, true},
		{"one rule that was made late", "both", "both", nil, nil, 0, true, true},
		{"one rule that lacks a child", "both", "both", gone, gone, 0, false, true},
		{"one rule, looked up before and after a point was made whole", "both", "both", gone, nil, 0, false, false},
		{"one rule, looked up before and after a point was added", "both", "both", nil, nil, 60_000, false, false},
	} {
		m, err := querytree.NewMixer(querytree.MixerConfig{
			Describe: p.Root.Describe, Members: p.Root.MembersNow, Rewriter: lacking{
				rules:   map[parser.ItemType]string{parser.SUM: c.sum, parser.COUNT: c.count},
				missing: map[parser.ItemType]map[string]string{parser.SUM: c.missing, parser.COUNT: c.also},
				until:   map[parser.ItemType]int64{parser.COUNT: c.until},
				late:    map[parser.ItemType]bool{parser.COUNT: c.late},
			},
			Limits: querytree.DefaultLimits(), Lookback: treetest.Lookback, SubqueryStep: treetest.SubqueryStep,
		})
		if err != nil {
			t.Fatal(err)
		}
		set, err := m.Exec(t.Context(), querytree.ExecRequest{Query: `sum(x)`, Ops: []string{"sum", "count"}, End: 600_000, Step: 60_000})
		if err != nil {
			t.Fatal(err)
		}
		for set.Next() {
		}
		own := slices.ContainsFunc(set.Report().Rollups, func(u querytree.RollupUse) bool { return u.Tier == "root" })
		if own != c.rolled || set.Err() != nil {
			t.Errorf("%s: answered from its own rollups: %v, %v", c.what, own, set.Err())
		}
		set.Close()
	}
}

// vague is a child that tells of others below it that failed, without their names.
type vague struct{ querytree.Child }

func (v vague) Exec(ctx context.Context, req querytree.ExecRequest) (querytree.ResultSet, error) {
	return querytree.NewMatrixSet(nil, nil, querytree.Report{Unnamed: 7}), nil
}

// middle is a Rewriter that lacks the ends of a range.
type middle struct{ lacking }

func (m middle) Rewrite(n *parser.AggregateExpr, at querytree.RewriteAt) (*querytree.Rollup, string) {
	r, why := m.lacking.Rewrite(n, at)
	r.Covered = []querytree.Interval{{Mint: at.Start + at.Step, Maxt: at.End - at.Step}}
	return r, why
}

// Those who failed without a name are counted once, in however many parts of a range
// a child is asked, and once for each child.
func TestUnnamedOfPartsOfARange(t *testing.T) {
	p, _ := rolledPlanet(t, true)
	members := p.Root.MembersNow()
	for i := range members {
		members[i].Child, members[i].Connected = vague{members[i].Child}, true
	}
	m, err := querytree.NewMixer(querytree.MixerConfig{
		Describe: p.Root.Describe, Members: func() []querytree.Member { return members }, Rewriter: middle{},
		Limits: querytree.DefaultLimits(), Lookback: treetest.Lookback, SubqueryStep: treetest.SubqueryStep,
	})
	if err != nil {
		t.Fatal(err)
	}
	set, err := m.Exec(t.Context(), querytree.ExecRequest{Query: `sum(x)`, End: 600_000, Step: 60_000})
	if err != nil {
		t.Fatal(err)
	}
	defer set.Close()
	for set.Next() {
	}
	if r := set.Report(); r.Unnamed != 7*len(members) || set.Err() != nil || len(members) < 2 || len(r.Rollups) == 0 {
		t.Errorf("%d unnamed of %d children, %v, rollups %v", r.Unnamed, len(members), set.Err(), r.Rollups)
	}
}
