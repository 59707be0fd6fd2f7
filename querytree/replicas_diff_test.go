package querytree_test

import (
	"context"
	"math/rand"
	"testing"

	"github.com/pandometrics/pando/querytree/treetest"
)

// Generated queries over replicas that were down by turns, against one engine
// over the union of what they hold: outages are seen by nobody, as long as some
// replica was up.
func TestGeneratedQueriesOverReplicas(t *testing.T) {
	seed := int64(7)
	rnd := rand.New(rand.NewSource(seed))
	leaves, zones := treetest.Clusters("eu", 2, "us", 1)
	data := treetest.Data{Minutes: 60, Interval: 15_000}
	p := treetest.New(t, treetest.Config{Leaves: leaves, Zones: zones, Outages: treetest.Alternating(20*60_000, data.End(), 20_000)})
	g := treetest.NewGenerator(rnd, data, data.Fill(t, p, rnd))
	total, nonEmpty, wrong := queries(t, 1000), 0, 0
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
	}
	t.Logf("%d queries, %d with a non-empty answer, %d wrong; %s", total, nonEmpty, wrong, g.Dropped())
}
