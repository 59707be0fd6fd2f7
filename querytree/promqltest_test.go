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
// of the scripts as co-location key.
func TestPromQLScripts(t *testing.T) {
	for name, key := range map[string][]string{"hash": nil, "by instance": {"instance"}} {
		t.Run(name, func(t *testing.T) {
			promqltest.RunBuiltinTestsWithStorage(t, querytree.Engine{}, func(tb testing.TB) storage.Storage {
				cfg := treetest.Shards(4, key...)
				cfg.DelayedNameRemoval = true
				return treetest.New(tb, cfg)
			})
		})
	}
}
