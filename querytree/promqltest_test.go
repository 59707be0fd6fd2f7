package querytree_test

import (
	"fmt"
	"testing"

	"github.com/pandometrics/pando/querytree"
	"github.com/pandometrics/pando/querytree/treetest"
)

// Prometheus' own scripts, over trees whose leaves are shards, each of two
// replicas that were down by turns: once with series spread by hash, so that
// nothing but disjointness is known, once with a label of the scripts as
// co-location key, and once with a tier more.
func TestPromQLScripts(t *testing.T) {
	shapes := map[string]treetest.Config{
		"hash": treetest.Shards(4), "by instance": treetest.Shards(4, "instance"), "four tiers": shardsOfFourTiers(),
	}
	if underRace {
		shapes = map[string]treetest.Config{"by instance": shapes["by instance"]}
	}
	for name, cfg := range shapes {
		t.Run(name, func(t *testing.T) {
			cfg.Outages = treetest.Alternating(30*60_000, 6*3_600_000, 15_000)
			treetest.RunScripts(t, raceShare, func(testing.TB) treetest.Config { return cfg })
		})
	}
}

// shardsOfFourTiers are shards by hash below zones of unequal groups.
func shardsOfFourTiers() treetest.Config {
	cfg := treetest.Shards(4)
	cfg.Zones = nil
	for z := range 3 {
		cfg.Zones = append(cfg.Zones, querytree.Identity{Tier: querytree.TierZone, Shard: fmt.Sprint(z)})
	}
	for i := range cfg.Leaves {
		cfg.Leaves[i].Zone = i % 3
	}
	for g, zones := range [][]int{{0, 1}, {2}} {
		cfg.Groups = append(cfg.Groups, treetest.Group{Identity: querytree.Identity{Tier: querytree.TierZone, Shard: fmt.Sprint("group ", g)}, Zones: zones})
	}
	return cfg
}
