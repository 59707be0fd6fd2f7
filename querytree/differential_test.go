package querytree_test

import (
	"context"
	"math/rand"
	"os"
	"strconv"
	"testing"

	"github.com/pandometrics/pando/querytree"
	"github.com/pandometrics/pando/querytree/treetest"
)

// queries returns how many generated queries to compare: PANDO_QUERIES, or few
// enough for quick feedback.
func queries(tb testing.TB, few int) int {
	s := os.Getenv("PANDO_QUERIES")
	if s == "" && underRace {
		return few / raceShare
	}
	if s == "" {
		return few
	}
	n, err := strconv.Atoi(s)
	if err != nil {
		tb.Fatalf("PANDO_QUERIES=%q: %v", s, err)
	}
	return n
}

// firstSeed returns of which seed they are generated: PANDO_SEED, or 1.
func firstSeed(tb testing.TB) int64 {
	s := os.Getenv("PANDO_SEED")
	if s == "" {
		return 1
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		tb.Fatalf("PANDO_SEED=%q: %v", s, err)
	}
	return n
}

// Generated queries, over a tree of two unequal zones, against one stock engine
// over the union.
func TestGeneratedQueries(t *testing.T) {
	seed := firstSeed(t)
	rnd := rand.New(rand.NewSource(seed))
	leaves, zones := treetest.Clusters("eu", 3, "us", 1)
	p := treetest.New(t, treetest.Config{Leaves: leaves, Zones: zones})
	data := treetest.Data{Minutes: 60, Interval: 15_000}
	g := treetest.NewGenerator(rnd, data, data.Fill(t, p, rnd))
	total, nonEmpty, wrong := queries(t, 2000), 0, 0
	for i := range total {
		q := g.Next()
		diff, found := p.Diff(context.Background(), q)
		if found {
			nonEmpty++
		}
		if diff != "" {
			wrong++
			t.Errorf("seed %d, query %d:\n%s", seed, i, data.Headed(seed, diff))
			if wrong > 10 {
				t.Fatal("too many differences")
			}
		}
		if (i+1)%50_000 == 0 {
			t.Logf("%d of %d queries, %d wrong", i+1, total, wrong)
		}
	}
	t.Logf("%d queries, %d with a non-empty answer, %d wrong; %s", total, nonEmpty, wrong, g.Dropped())
}

// Queries that once had a wrong answer, over the trees that the rows of the
// planner's table are checked on, pushed down and not.
func TestFound(t *testing.T) {
	for _, tree := range rowTrees {
		t.Run(tree.name, func(t *testing.T) {
			t.Parallel()
			one, nonEmpty, total := tree.pin, 0, 0
			if one == "" {
				one = `zone="us",cluster="us-0"`
			}
			for _, found := range treetest.ReadFound(t, "testdata/found.txt") {
				p, _ := tree.build(t, found.Data, found.Seed)
				for _, q := range found.Queries(one) {
					diff, found := p.Diff(t.Context(), q)
					if diff != "" {
						t.Error(diff)
					}
					if diff, _ := p.Diff(querytree.WithOptions(t.Context(), querytree.Options{NoPushdown: true}), q); diff != "" {
						t.Errorf("not pushed down: %s", diff)
					}
					if total++; found {
						nonEmpty++
					}
				}
			}
			if t.Logf("%d queries, %d with a non-empty answer", total, nonEmpty); nonEmpty*2 < total {
				t.Error("hardly any answer holds anything")
			}
		})
	}
}

// The same without end: each seed makes some queries of its own, which differ from
// one process to the next. What is found is therefore kept as text, in
// testdata/found.txt.
func FuzzGeneratedQueries(f *testing.F) {
	leaves, zones := treetest.Clusters("eu", 3, "us", 1)
	p := treetest.New(f, treetest.Config{Leaves: leaves, Zones: zones})
	data := treetest.Data{Minutes: 60, Interval: 15_000}
	series := data.Fill(f, p, rand.New(rand.NewSource(1)))
	f.Add(int64(2))
	f.Fuzz(func(t *testing.T, seed int64) {
		g := treetest.NewGenerator(rand.New(rand.NewSource(seed)), data, series)
		for range 20 {
			if diff, _ := p.Diff(t.Context(), g.Next()); diff != "" {
				t.Error(data.Headed(1, diff))
			}
		}
	})
}
