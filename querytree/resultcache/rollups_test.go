package resultcache

import (
	"context"
	"testing"

	"github.com/pandometrics/pando/querytree"
)

// Nobody tells when points of rollups are made void, so an answer that has some is
// asked for again.
func TestRollupsAreNotKept(t *testing.T) {
	tree, c := newTree(t), testCache(t, nil)
	rolled := true
	tree.before = func(_ context.Context, _ querytree.ExecRequest, a *querytree.Answer) error {
		if rolled {
			a.Report.Rollups = []querytree.RollupUse{{Tier: "zone=eu", Rule: "r", Steps: 1, Of: 10}}
		}
		return nil
	}
	tree.check(c, minutes(100, 110), querytree.CacheMiss, "100-110")
	tree.check(c, minutes(100, 110), querytree.CacheMiss, "100-110")
	rolled = false
	tree.check(c, minutes(100, 110), querytree.CacheMiss, "100-110")
	tree.check(c, minutes(100, 110), querytree.CacheHit, "")
}
