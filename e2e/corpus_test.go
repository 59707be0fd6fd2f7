package e2e_test

import (
	"fmt"
	"sync"
	"testing"

	"github.com/pandometrics/pando/querytree/treetest"
)

// tally counts comparisons.
type tally struct {
	mu                                     sync.Mutex
	compared, nonEmpty, whole, pulled, bad int
	pruned, asked                          int
}

// maxBad is how many differences are told in full.
const maxBad = 25

// queriesOf returns a case as instant and range queries, as written and with
// comparisons as bool.
func queriesOf(c *treetest.Case) []treetest.Query {
	exprs := []string{c.Expr}
	if c.Bool != c.Expr {
		exprs = append(exprs, c.Bool)
	}
	var out []treetest.Query
	for _, e := range exprs {
		out = append(out,
			treetest.Query{Expr: e, Start: corpusTime},
			treetest.Query{Expr: e, Start: corpusTime - 4*60_000 + 1234, End: corpusTime + 3*60_000, Step: 55_000})
	}
	return out
}

// Real queries, over series made for them, against one stock engine over the
// union.
func TestCorpus(t *testing.T) {
	total := compareCases(t, corpusCases(t, (*treetest.Synthesizer).Answered), compareBatch)
	if p := total.percent(total.nonEmpty); p < 80 {
		t.Errorf("%.1f%% of the answers are not empty, want 80%%: the series do not fit the expressions", p)
	}
}

// The same over series that were not chosen for an answer: many matches are
// ambiguous, and sides of them empty in some leaves.
func TestCorpusAnySeries(t *testing.T) {
	compareCases(t, corpusCases(t, (*treetest.Synthesizer).Any), compareBatch)
}

// compareCases lets compare work through cases that fit into one tree.
func compareCases(t *testing.T, cases []*treetest.Case, compare func(*testing.T, []*treetest.Case, *tally)) *tally {
	batches := treetest.Batch(cases)
	total := &tally{}
	t.Run("batches", func(t *testing.T) {
		for i, b := range batches {
			t.Run(fmt.Sprint(i), func(t *testing.T) {
				t.Parallel()
				compare(t, b, total)
			})
		}
	})
	several := 0
	for _, c := range cases {
		if c.Spread() > 1 {
			several++
		}
	}
	t.Logf("%d expressions, %d of them over several leaves, in %d trees", len(cases), several, len(batches))
	t.Logf("%d comparisons, %.1f%% of the answers not empty, %.1f%% pushed down whole, %.1f%% with raw series pulled, %d wrong",
		total.compared, total.percent(total.nonEmpty), total.percent(total.whole), total.percent(total.pulled), total.bad)
	return total
}

func (c *tally) percent(n int) float64 { return 100 * float64(n) / float64(max(1, c.compared)) }

func compareBatch(t *testing.T, cases []*treetest.Case, total *tally) {
	s := &spies{}
	p := treetest.New(t, treetest.Config{Leaves: cases[0].Leaves, Zones: cases[0].Zones, Connect: s.connect, Tolerance: 1e-12})
	p.Fill(t, cases)
	for _, c := range cases {
		for _, q := range queriesOf(c) {
			s.reset()
			diff, found := p.Diff(t.Context(), q)
			total.add(t, diff, found)
			total.mu.Lock()
			if s.whole(q.Expr) {
				total.whole++
			}
			if s.raw() {
				total.pulled++
			}
			total.mu.Unlock()
		}
	}
}

// add counts one comparison, and fails the test if there is a difference.
func (c *tally) add(tb testing.TB, diff string, nonEmpty bool) {
	tb.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.compared++
	if nonEmpty {
		c.nonEmpty++
	}
	if diff == "" {
		return
	}
	if c.bad++; c.bad <= maxBad {
		tb.Error(diff)
	} else {
		tb.Fail()
	}
}
