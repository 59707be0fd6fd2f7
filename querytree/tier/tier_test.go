package tier

import (
	"context"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/pandometrics/pando/querytree"
)

type child struct{ querytree.Child }

// A tier tells of what changes below it, and says so only if all that are
// connected do.
func TestDescribeEpochs(t *testing.T) {
	tier, err := New(Config{
		Identity: querytree.Identity{Tier: querytree.TierZone, Labels: labels.FromStrings("zone", "eu")},
		Limits:   querytree.DefaultLimits(), Lookback: 5 * time.Minute, SubqueryStep: time.Minute,
	})
	if err != nil {
		t.Fatal(err)
	}
	join := func(cluster string, settled int64, features ...string) func() {
		d := querytree.Description{
			Identity: querytree.Identity{Tier: querytree.TierLeaf, Labels: labels.FromStrings("zone", "eu", "cluster", cluster)},
			Instance: cluster, Mint: 7, Features: features, Settled: settled,
		}
		e, err := tier.Roster.Admit(t.Context(), d, child{}, func(context.Context) error { return nil })
		if err != nil {
			t.Fatal(err)
		}
		return func() { e.Close(nil) }
	}
	join("a", 90, querytree.FeatureEpochs)
	if d := tier.Describe(); !d.Has(querytree.FeatureEpochs) || len(d.Epochs) != 1 || d.Epochs[0].Mint != 7 || d.Settled != 90 {
		t.Errorf("with a child that tells: %+v", d)
	}
	leave := join("b", 80)
	if d := tier.Describe(); d.Has(querytree.FeatureEpochs) || d.Settled != 80 {
		t.Errorf("with a child that does not: %+v", d)
	}
	leave()
	if d := tier.Describe(); !d.Has(querytree.FeatureEpochs) || d.Settled != 90 {
		t.Errorf("without it: %+v", d)
	}
}
