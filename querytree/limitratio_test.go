package querytree_test

import (
	"math/rand"
	"testing"

	"github.com/pandometrics/pando/querytree/treetest"
)

// limitk takes the first of what limit_ratio gives, in the order of a heap of the
// series of all children.
func TestFirstOfLimitRatio(t *testing.T) {
	leaves, zones := treetest.Clusters("eu", 3, "us", 1)
	p := treetest.New(t, treetest.Config{Leaves: leaves, Zones: zones})
	data := treetest.Data{Minutes: 60, Interval: 15_000}
	data.Fill(t, p, rand.New(rand.NewSource(1)))
	for _, expr := range []string{
		`limitk by (code) (1, -limit_ratio(0.2842172452619111, latency_seconds_bucket))`,
		`limitk(2, limit_ratio(0.5, latency_seconds_bucket))`,
		`limitk by (zone) (1, abs(limit_ratio(0.7, temperature)))`,
	} {
		p.Check(t, treetest.Query{Expr: expr, Start: 2_560_219})
	}
}
