package querytree_test

import (
	"context"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/pandometrics/pando/querytree"
	"github.com/pandometrics/pando/querytree/treetest"
)

// past is a cache that keeps nothing.
type past struct{}

func (past) Range(ctx context.Context, req querytree.ExecRequest, tree querytree.Evaluator) (querytree.Answer, error) {
	return tree.Eval(ctx, req)
}

// A tier with a cache tells the plan of a range, which has no value.
func TestPlanOfARangeWithACache(t *testing.T) {
	leaves, zones := treetest.Clusters("eu", 2)
	p := treetest.New(t, treetest.Config{Leaves: leaves, Zones: zones})
	p.Append(t, labels.NewBuilder(leaves[0].Labels).Set("__name__", "up").Labels(), 60_000, 1)
	top := querytree.Description{Identity: querytree.Identity{Tier: querytree.TierRoot}, Leaves: 2}
	m, err := querytree.NewMixer(querytree.MixerConfig{
		Describe: func() querytree.Description { return top },
		Members: func() []querytree.Member {
			return []querytree.Member{{Child: p.Root, Description: p.Root.Describe(), Connected: true}}
		},
		Limits: querytree.DefaultLimits(), Lookback: 5 * time.Minute, SubqueryStep: time.Minute, Cache: past{},
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, mode := range []querytree.ExplainMode{querytree.ExplainPlan, querytree.ExplainAnalyze} {
		set, err := m.Exec(t.Context(), querytree.ExecRequest{
			Query: "sum by (cluster) (up)", Start: 60_000, End: 120_000, Step: 60_000, Options: querytree.Options{Explain: mode, Detail: true},
		})
		if err != nil {
			t.Fatalf("mode %v: %v", mode, err)
		}
		for set.Next() {
		}
		if x := set.Report().Explanation; set.Err() != nil || x == nil || len(x.Fragments) != 1 || x.Step != 60_000 {
			t.Errorf("mode %v: %+v, %v", mode, x, set.Err())
		}
		set.Close()
	}
}
