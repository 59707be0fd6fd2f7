package querytree

import (
	"math"
	"testing"
	"testing/synctest"
	"time"
)

// A replica of a zone that no leaf has found knows of none: it does not answer for
// the one that has them, neither because that is slow nor because it lacks one.
func TestReplicaWithoutLeaves(t *testing.T) {
	for what, c := range map[string]struct {
		slow    time.Duration
		missing []string
	}{"fast": {}, "slow": {slow: time.Second}, "one missing": {missing: []string{"leaf z"}}} {
		synctest.Test(t, func(t *testing.T) {
			da := replicaOf("a")
			da.Tier, da.Leaves, da.Missing = TierZone, 10, c.missing
			a, _, _ := slowly(da, c.slow, 7)
			db := replicaOf("b")
			db.Tier, db.Leaves, db.Mint, db.Maxt = TierZone, 0, math.MaxInt64, math.MinInt64
			b := mixerOver(t, db.Identity, func(m *MixerConfig) {
				m.Describe = func() Description { return db }
				m.Members = func() []Member { return nil }
				m.Childless = func() bool { return true }
			})
			m := mixerOver(t, Identity{Tier: TierRoot}, impatient, a, b)
			for _, strict := range []bool{true, false} {
				got := askInstant(t.Context(), m, "sum(x)", Options{Strict: strict})
				if got.Err != "" || len(got.Series) != 1 {
					t.Errorf("%s, strict %t: %+v", what, strict, got)
				}
			}
		})
	}
}
