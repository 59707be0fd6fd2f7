package tier

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/pandometrics/pando/querytree"
)

// What a zone without leaves tells of final samples: nothing while it may merely
// not know of a leaf, and as of now once it is known to have none.
func TestFinalWithoutChildren(t *testing.T) {
	const leaf = `[{"tier":"leaf","labels":{"zone":"eu","cluster":"c"}}]`
	for _, c := range []struct {
		name, file    string // of known children; "" is none
		atFirst, then bool   // it says that samples are final
	}{
		{"never had any, or has lost what it knew", "", false, true},
		{"knows that it has none", "[]", true, true},
		{"one is not back yet", leaf, false, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				dir := t.TempDir()
				if c.file != "" {
					if err := os.WriteFile(filepath.Join(dir, "children.json"), []byte(c.file), 0o600); err != nil {
						t.Fatal(err)
					}
				}
				z := finalTier(t, dir)
				says := func(when string, want bool) {
					t.Helper()
					got, now := z.Describe().Final, time.Now().UnixMilli()
					if want && got != now || !want && got != 0 {
						t.Errorf("%s: final up to %d, want %v of %d", when, got, want, now)
					}
					// What it says it owes, it answers: nothing, or that it does not know.
					if _, err := z.Mixer.Exec(t.Context(), querytree.ExecRequest{Query: "sum(x)", Options: querytree.Options{Strict: true}}); (err == nil) != want {
						t.Errorf("%s: a strict query: %v", when, err)
					}
					if own := z.Final(); own != 0 {
						t.Errorf("%s: own points up to %d, although there is nothing to make them of", when, own)
					}
				}
				says("at first", c.atFirst)
				time.Sleep(emptyGrace)
				says("after a while", c.then)
				joins(t, z, "c", 77)
				if got := z.Describe().Final; got != 77 {
					t.Errorf("with a leaf: final up to %d, want what it says", got)
				}
			})
		})
	}
}

// A zone that has no leaf does not hold up what its parent makes of others.
func TestFinalBesideAnEmptyZone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		empty, root := finalTier(t, t.TempDir()), finalTier(t, t.TempDir())
		time.Sleep(emptyGrace)
		joins(t, root, "a", 90)
		d := empty.Describe()
		d.Labels = labels.FromStrings("zone", "eu", "part", "empty")
		if _, err := root.Roster.Admit(t.Context(), d, child{}, func(context.Context) error { return nil }); err != nil {
			t.Fatal(err)
		}
		if got := root.Final(); got != 90 {
			t.Errorf("final up to %d, want 90", got)
		}
	})
}

func finalTier(t *testing.T, dir string) *Tier {
	t.Helper()
	z, err := New(Config{
		Identity: querytree.Identity{Tier: querytree.TierZone, Labels: labels.FromStrings("zone", "eu")}, DataDir: dir,
		Limits: querytree.DefaultLimits(), Lookback: 5 * time.Minute, SubqueryStep: time.Minute,
		Told: func() (string, []querytree.Restatement) { return "id", nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	return z
}

func joins(t *testing.T, z *Tier, cluster string, final int64) {
	t.Helper()
	d := querytree.Description{
		Identity: querytree.Identity{Tier: querytree.TierLeaf, Labels: labels.FromStrings("zone", "eu", "cluster", cluster)}, Instance: cluster, Final: final,
	}
	if _, err := z.Roster.Admit(t.Context(), d, child{}, func(context.Context) error { return nil }); err != nil {
		t.Fatal(err)
	}
}
