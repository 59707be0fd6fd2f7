package querytree_test

import (
	"testing"

	"github.com/prometheus/prometheus/promql/promqltest"
	"github.com/prometheus/prometheus/storage"

	"github.com/pandometrics/pando/querytree"
	"github.com/pandometrics/pando/querytree/treetest"
)

// Prometheus' own scripts, over trees whose leaves are shards: once with series
// spread by hash, so that nothing but disjointness is known, once with a label
// of the scripts as co-location key, and once with two replicas of each shard
// that were down by turns.
func TestPromQLScripts(t *testing.T) {
	shapes := map[string][]string{"hash": nil, "by instance": {"instance"}, "replicas": {"instance"}}
	if underRace {
		shapes = map[string][]string{"replicas": {"instance"}}
	}
	for name, key := range shapes {
		t.Run(name, func(t *testing.T) {
			promqltest.RunBuiltinTestsWithStorage(t, querytree.Engine{}, func(tb testing.TB) storage.Storage {
				cfg := treetest.Shards(4, key...)
				cfg.DelayedNameRemoval = true
				if name == "replicas" {
					cfg.Outages = treetest.Alternating(30*60_000, 6*3_600_000, 15_000)
				}
				return treetest.New(tb, cfg)
			})
		})
	}
}
