package e2e_test

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/timestamp"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"

	"github.com/pandometrics/pando/querytree"
	"github.com/pandometrics/pando/querytree/treetest"
	"github.com/pandometrics/pando/rollup"
	"github.com/pandometrics/pando/rollup/keep"
)

// rollupsOfPart returns rules for the aggregations of every second case of a
// corpus, as far as there can be rules for them, that one tier keeps.
func rollupsOfPart(tb testing.TB, cases []*treetest.Case, tier string) *rollup.Rules {
	tb.Helper()
	var file strings.Builder
	file.WriteString("rollups: [")
	known := map[string]bool{}
	for i, c := range cases {
		expr, err := querytree.NewParser().ParseExpr(c.Expr)
		if i%2 == 1 || err != nil {
			continue
		}
		parser.Inspect(expr, func(n parser.Node, _ []parser.Node) error {
			a, ok := n.(*parser.AggregateExpr)
			if !ok {
				return nil
			}
			rule := fmt.Sprintf("{expr: %q, interval: 1m, keep: {%s: {for: 2d}}}", a.String(), tier)
			if one, err := rollup.Parse([]byte("rollups: [" + rule + "]")); err == nil && !known[one.All()[0].ID] {
				known[one.All()[0].ID] = true
				file.WriteString(rule + ",")
			}
			return nil
		})
	}
	file.WriteString("]")
	rules, err := rollup.Parse([]byte(file.String()))
	if err != nil {
		tb.Fatal(err)
	}
	return rules
}

// keptTier is a tier of a test tree that keeps rollups.
type keptTier struct {
	store *keep.Store
	c     *keep.Collector
}

// keptTree is a test tree one of whose tiers keeps rollups.
type keptTree struct {
	*treetest.Planet
	tiers []keptTier
	asked atomic.Int64 // requests to leaves
}

// Points are there of the ten minutes before corpusTime, and of two after it.
const (
	keptSince = corpusTime - 10*60_000
	keptFinal = corpusTime + 2*60_000
)

// newKeptTree builds a tree for some cases.
func newKeptTree(tb testing.TB, cases []*treetest.Case, tier string, rules *rollup.Rules) *keptTree {
	tb.Helper()
	t := &keptTree{}
	cfg := treetest.Config{Leaves: cases[0].Leaves, Zones: cases[0].Zones, Tolerance: 1e-12}
	cfg.Connect = func(_ testing.TB, c querytree.Child) querytree.Child {
		if c.Describe().Tier != querytree.TierLeaf {
			return c
		}
		return &countedLeaf{c, &t.asked}
	}
	cfg.Rewriter = func(tb testing.TB, m *querytree.Mixer) querytree.Rewriter { return t.keep(tb, m, tier, rules) }
	if tier == rollup.Leaf {
		cfg.Rewriter, cfg.LeafRewriter = nil, cfg.Rewriter
	}
	t.Planet = treetest.New(tb, cfg)
	t.Fill(tb, cases)
	for _, k := range t.tiers {
		for _, r := range rules.All() {
			if err := k.store.Owe(tb.Context(), r, keptSince); err != nil {
				tb.Fatal(err)
			}
		}
		if err := k.c.Fresh(tb.Context()); err != nil {
			tb.Fatal(err)
		}
		for k.c.MakeGood(tb.Context()) {
		}
	}
	return t
}

// keep opens the rollups of one tier; those of another keep nothing.
func (t *keptTree) keep(tb testing.TB, m *querytree.Mixer, tier string, rules *rollup.Rules) querytree.Rewriter {
	tb.Helper()
	d := m.Describe()
	if d.Tier != tier {
		return nothingKept{}
	}
	dir := tb.TempDir()
	now := func() time.Time { return time.UnixMilli(keptFinal) }
	store, err := keep.Open(keep.StoreConfig{Dir: dir, Tier: tier, Rules: rules, Now: now})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := store.Close(); err != nil {
			tb.Error(err)
		}
	})
	past, err := keep.OpenPast(filepath.Join(dir, "past.json"))
	if err != nil {
		tb.Fatal(err)
	}
	c := keep.DefaultCollectorConfig()
	c.Store, c.Source, c.Past, c.Lookback, c.Now = store, m, past, treetest.Lookback.Milliseconds(), now
	c.Final = func() int64 { return keptFinal }
	collector, err := keep.NewCollector(c)
	if err != nil {
		tb.Fatal(err)
	}
	t.tiers = append(t.tiers, keptTier{store, collector})
	return store.CurrentRewriter(past, d.Labels, treetest.Lookback.Milliseconds())
}

// nothingKept is a tier without rollups.
type nothingKept struct{}

func (nothingKept) Rewrite(*parser.AggregateExpr, querytree.RewriteAt) (*querytree.Rollup, string) {
	return nil, ""
}

// countedLeaf counts the requests to a leaf.
type countedLeaf struct {
	querytree.Child
	n *atomic.Int64
}

func (c *countedLeaf) Exec(ctx context.Context, req querytree.ExecRequest) (querytree.ResultSet, error) {
	c.n.Add(1)
	return c.Child.Exec(ctx, req)
}

func (c *countedLeaf) Select(ctx context.Context, req querytree.SelectRequest) querytree.SeriesSet {
	c.n.Add(1)
	return c.Child.Select(ctx, req)
}

// rolledTally counts queries over a tree that keeps rollups.
type rolledTally struct {
	mu sync.Mutex
	// asked are the queries, rolled those that rollups had a part in, leafless
	// those that no leaf was asked for although there are leaves to ask without
	// rollups.
	asked, rolled, leafless, bad int
	aggregated, rules            int
}

func (r *rolledTally) String() string {
	of := func(n, of int) float64 { return 100 * float64(n) / float64(max(1, of)) }
	return fmt.Sprintf("%d queries, %d of them with an aggregation, %d rules from every second expression: rollups had a part in %.1f%%, no leaf was asked for %.1f%% (of those with an aggregation %.1f%%), %d wrong",
		r.asked, r.aggregated, r.rules, of(r.rolled, r.asked), of(r.leafless, r.asked), of(r.leafless, r.aggregated), r.bad)
}

// compare asks a query with rollups and without, and compares.
func (t *keptTree) compare(tb testing.TB, q treetest.Query, total *rolledTally) {
	tb.Helper()
	ask := func(plain bool) (*promql.Result, querytree.Report, int64) {
		t.asked.Store(0)
		ctx, sink := querytree.WithReport(querytree.WithOptions(tb.Context(), querytree.Options{NoRollup: plain}))
		query, err := querytree.Engine{}.NewInstantQuery(ctx, t.Root, nil, q.Expr, timestamp.Time(q.Start))
		if q.Step > 0 {
			query, err = querytree.Engine{}.NewRangeQuery(ctx, t.Root, nil, q.Expr, timestamp.Time(q.Start), timestamp.Time(q.End), time.Duration(q.Step)*time.Millisecond)
		}
		if err != nil {
			return &promql.Result{Err: err}, querytree.Report{}, 0
		}
		defer query.Close()
		return query.Exec(ctx), sink.Report(), t.asked.Load()
	}
	want, _, without := ask(true)
	got, report, with := ask(false)
	diff := t.DiffAnswers(q, want, got)
	total.mu.Lock()
	defer total.mu.Unlock()
	total.asked++
	if aggregates(q.Expr) {
		total.aggregated++
	}
	if len(report.Rollups) > 0 {
		total.rolled++
	}
	if with == 0 && without > 0 {
		total.leafless++
	}
	if diff == "" {
		return
	}
	if total.bad++; total.bad <= maxBad {
		tb.Errorf("%s\nrollups: %v", diff, report.Rollups)
	} else {
		tb.Fail()
	}
}

func aggregates(expr string) (found bool) {
	e, err := querytree.NewParser().ParseExpr(expr)
	if err != nil {
		return false
	}
	parser.Inspect(e, func(n parser.Node, _ []parser.Node) error {
		_, ok := n.(*parser.AggregateExpr)
		found = found || ok
		return nil
	})
	return found
}

// rolledBatch compares the cases of one tree.
func rolledBatch(tb testing.TB, cases []*treetest.Case, tier string, total *rolledTally) {
	tb.Helper()
	rules := rollupsOfPart(tb, cases, tier)
	tree := newKeptTree(tb, cases, tier, rules)
	total.mu.Lock()
	total.rules += len(rules.All())
	total.mu.Unlock()
	for i, c := range cases {
		tree.compare(tb, treetest.Query{Expr: c.Expr, Start: corpusTime}, total)
		end := int64(keptFinal)
		if i/2%2 == 1 {
			end += 60_000 // which is not there yet
		}
		tree.compare(tb, treetest.Query{Expr: c.Expr, Start: corpusTime - 4*60_000, End: end, Step: 60_000}, total)
	}
}

// Real queries over trees whose root, zones or leaves keep rollups of the
// aggregations of a half of them, with rollups and without.
func TestCorpusOverRollups(t *testing.T) {
	totals := map[string]*rolledTally{}
	for _, tier := range rollup.Tiers() {
		totals[tier] = &rolledTally{}
	}
	t.Run("batches", func(t *testing.T) {
		for i, b := range treetest.Batch(corpusCases(t, (*treetest.Synthesizer).Answered)) {
			tier := rollup.Tiers()[i%len(rollup.Tiers())]
			t.Run(fmt.Sprint(i, " ", tier), func(t *testing.T) {
				t.Parallel()
				rolledBatch(t, b, tier, totals[tier])
			})
		}
	})
	for _, tier := range rollup.Tiers() {
		if t.Logf("%s: %v", tier, totals[tier]); totals[tier].rolled < totals[tier].aggregated/3 {
			t.Errorf("%s: rollups had a part in %d of %d answers with aggregations, want a third at least", tier, totals[tier].rolled, totals[tier].aggregated)
		}
	}
}

// The share of real queries that the root answers without a leaf, from rollups of
// the aggregations of a half of them.
func BenchmarkCorpusOverRollups(b *testing.B) {
	total := &rolledTally{}
	for _, batch := range treetest.Batch(corpusCases(b, (*treetest.Synthesizer).Answered)) {
		rolledBatch(b, batch, rollup.Root, total)
	}
	b.Log(total)
	b.ReportMetric(100*float64(total.rolled)/float64(total.asked), "%rolled")
	b.ReportMetric(100*float64(total.leafless)/float64(total.asked), "%leafless")
	b.ReportMetric(0, "ns/op")
}
