package planetbench_test

import (
	"testing"
)

const platformMetricCount = 150

// A small planet of each locality: hints must miss nothing, and must rule out
// most of what can be.
func TestPlanetMissesNothing(t *testing.T) {
	corpus := corpusSelectors(t)
	for _, l := range []locality{byCluster, byTeam, byHash} {
		t.Run(string(l), func(t *testing.T) {
			g := newGenerator(config{leaves: 120, series: 300, seed: 1}, l, platformMetrics(corpus, platformMetricCount))
			queries := newAsker(g, corpus).queries(120)
			p := build(t, g, queries, planetOptions{})
			for _, m := range p.verdict.missed {
				t.Errorf("ruled out, but holds a match: %s", m)
			}
			held, passed := 0, 0
			for i := range queries {
				for _, z := range p.verdict.queries[i].leaves {
					held, passed = held+z.held, passed+z.passed
				}
			}
			if held == 0 || passed > 3*held {
				t.Errorf("%d leaves hold a match, %d are asked; of %d", held, passed, len(queries)*len(g.places))
			}
		})
	}
}

// Zones are unequal, and there are as many leaves as were asked for.
func TestZoneSizes(t *testing.T) {
	for _, leaves := range []int{100, 1_000, 10_000} {
		sizes, sum := zoneSizes(leaves), 0
		for _, n := range sizes {
			sum += n
		}
		if sum != leaves || sizes[0] < 10*sizes[zoneCount-1] {
			t.Errorf("%d leaves: %d in zones of %v", leaves, sum, sizes)
		}
	}
}
