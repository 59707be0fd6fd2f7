package e2e_test

import (
	"context"
	"math/rand"
	"testing"

	"github.com/pandometrics/pando/querytree"
	"github.com/pandometrics/pando/querytree/treetest"
)

// ways are the accelerators, and the answers without them.
var ways = []struct {
	name    string
	options querytree.Options
}{
	{"pruned and pushed down", querytree.Options{}},
	{"without field hints", querytree.Options{NoHints: true}},
	{"without push-down", querytree.Options{NoPushdown: true}},
	{"without either", querytree.Options{NoHints: true, NoPushdown: true}},
}

// compareWays compares the answers to a query, with and without accelerators,
// with the oracle's, and counts the children that field hints pruned.
func compareWays(t *testing.T, p *treetest.Planet, q treetest.Query, total *tally) {
	t.Helper()
	for _, way := range ways {
		ctx, sink := querytree.WithReport(querytree.WithOptions(context.Background(), way.options))
		diff, found := p.Diff(ctx, q)
		if diff != "" {
			diff = way.name + ": " + diff
		}
		total.add(t, diff, found)
		r := sink.Report()
		pruned := r.Pruned[querytree.PrunedHint]
		if way.options.NoHints && pruned > 0 {
			t.Errorf("%s: %s: %d children pruned by field hints", way.name, q, pruned)
		}
		if way.options == (querytree.Options{}) {
			total.mu.Lock()
			total.pruned += pruned
			for _, c := range r.Children {
				if c.Verdict == querytree.Asked {
					total.asked++
				}
			}
			total.mu.Unlock()
		}
	}
}

// checkPruning fails the test if hints pruned fewer than the share of all
// children given: a pruner that has quietly stopped would pass otherwise.
func (c *tally) checkPruning(t *testing.T, want float64) {
	t.Helper()
	share := 100 * float64(c.pruned) / float64(max(1, c.pruned+c.asked))
	t.Logf("%d comparisons, %.1f%% of the answers not empty, %d wrong; %d children asked, %d (%.1f%%) pruned by field hints",
		c.compared, c.percent(c.nonEmpty), c.bad, c.asked, c.pruned, share)
	if share < want {
		t.Errorf("field hints pruned %.1f%% of the children, want %.1f%%", share, want)
	}
}

// Generated queries, with field hints that came as frames.
func TestHintsGeneratedQueries(t *testing.T) {
	rnd := rand.New(rand.NewSource(seed(t)))
	cfg := treetest.Config{}
	cfg.Leaves, cfg.Zones = treetest.Clusters("eu", 3, "us", 1)
	h := withHints(t, &cfg)
	p := treetest.New(t, cfg)
	data := treetest.Data{Minutes: 40, Interval: 15_000}
	g := treetest.NewGenerator(rnd, data, data.Fill(t, p, rnd))
	h.sync(t)
	total := &tally{}
	for range treetest.FromEnv(t, "PANDO_QUERIES", 500) {
		compareWays(t, p, g.Next(), total)
	}
	total.checkPruning(t, 1)
}

// Real queries, with field hints that came as frames.
func TestHintsCorpus(t *testing.T) {
	total := compareCases(t, corpusCases(t, (*treetest.Synthesizer).Any), func(t *testing.T, cases []*treetest.Case, total *tally) {
		cfg := treetest.Config{Leaves: cases[0].Leaves, Zones: cases[0].Zones}
		h := withHints(t, &cfg)
		p := treetest.New(t, cfg)
		p.Fill(t, cases)
		h.sync(t)
		for i, c := range cases {
			instant, ranged := queriesOf(c)[0], queriesOf(c)[1]
			if i%2 == 0 {
				instant = ranged
			}
			compareWays(t, p, instant, total)
		}
	})
	total.checkPruning(t, 20)
}
