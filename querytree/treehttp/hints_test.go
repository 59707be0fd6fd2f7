package treehttp

import (
	"context"
	"encoding/json"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pandometrics/pando/querytree"
)

type fakeHints Hints

func (f fakeHints) Hints(context.Context) Hints { return Hints(f) }

func hintsOf(t *testing.T, cfg Config) Hints {
	t.Helper()
	w := build(t, cfg).do("GET", "/pando/api/v1/hints", "")
	var got struct {
		Status string
		Data   Hints
	}
	if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil || got.Status != "success" {
		t.Fatalf("%v: %s", err, w.Body)
	}
	return got.Data
}

// What is known of hints is served, with the sums over children.
func TestHints(t *testing.T) {
	uses := func(asked, told, empty, spared uint64) map[querytree.SelectorKind]Uses {
		return UsesOf(map[querytree.SelectorKind]querytree.HintUse{
			querytree.KindSeveral: {Asked: asked, Told: told, Empty: empty, Spared: spared}, querytree.KindEquality: {Asked: 1},
		})
	}
	want := Hints{
		Name: "zone=eu", Tier: "zone", Own: &OwnHint{Complete: true, Fingerprints: 12, Bytes: 300, Epoch: 1<<63 + 1},
		Savings: querytree.HintSavings{Labels: []querytree.LabelSaving{{Label: "job", Spared: 25}}, Together: 5},
		Children: []ChildHint{
			{Name: "zone=eu,cluster=eu-1", Tier: "leaf", Connected: true, Synced: true, Uses: uses(10, 8, 2, 30), Hint: &HintState{
				Fingerprints: 10, Bytes: 200, Layers: 2, Fill: 0.5, Epoch: 1<<63 + 7, Age: Seconds(1500 * time.Millisecond), FalsePositiveRate: 0.01,
			}},
			{Name: "zone=eu,cluster=eu-2", Tier: "leaf", Unsynced: "not connected", Uses: uses(6, 2, 1, 0)},
		},
	}
	cfg := zoneLike(t)
	cfg.Hints = fakeHints(want)
	want.Uses = map[querytree.SelectorKind]Uses{
		querytree.KindSeveral:  {HintUse: querytree.HintUse{Asked: 16, Told: 10, Empty: 3, Spared: 30}, EmptyRate: 0.3},
		querytree.KindEquality: {HintUse: querytree.HintUse{Asked: 2}}, querytree.KindRegexp: {}, querytree.KindNameless: {},
	}
	if d := cmp.Diff(want, hintsOf(t, cfg)); d != "" {
		t.Errorf("-want +got:\n%s", d)
	}
}

func TestHintsOfATierWithout(t *testing.T) {
	want := Hints{Name: "zone=eu", Tier: "zone", Uses: UsesOf(nil), Savings: querytree.HintSavings{Labels: []querytree.LabelSaving{}}, Children: []ChildHint{}}
	if d := cmp.Diff(want, hintsOf(t, zoneLike(t))); d != "" {
		t.Errorf("-want +got:\n%s", d)
	}
}
