package querytree_test

import (
	"testing"

	"github.com/pandometrics/pando/querytree"
	"github.com/pandometrics/pando/querytree/treetest"
)

// A range query that is only to be explained has no value, and so nothing that a
// cache could answer or keep: it is told what would be asked, whether there is a
// cache or not.
func TestRangesAreExplainedWithACache(t *testing.T) {
	p, _ := rolledPlanet(t, true)
	cache := &passing{}
	m, err := querytree.NewMixer(querytree.MixerConfig{
		Describe: p.Root.Describe, Members: p.Root.MembersNow, Cache: cache,
		Limits: querytree.DefaultLimits(), Lookback: treetest.Lookback, SubqueryStep: treetest.SubqueryStep,
	})
	if err != nil {
		t.Fatal(err)
	}
	req := querytree.ExecRequest{Query: `sum(x)`, End: 600_000, Step: 60_000}
	req.Explain = querytree.ExplainPlan
	set, err := m.Exec(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	defer set.Close()
	if x := set.Report().Explanation; set.Next() || x == nil || len(x.Fragments) == 0 {
		t.Errorf("explanation %+v, error %v", x, set.Err())
	}
	if len(cache.asked) > 0 {
		t.Errorf("the cache was asked for %q", cache.asked)
	}
}
