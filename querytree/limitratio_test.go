package querytree_test

import (
	"math/rand"
	"testing"

	"github.com/pandometrics/pando/querytree/treetest"
)

// limitk takes the first of what comes in an order of its own: limit_ratio gives
// that of a heap of the series of all children, `or` first all of its left side.
func TestFirstInOrder(t *testing.T) {
	leaves, zones := treetest.Clusters("eu", 3, "us", 1)
	p := treetest.New(t, treetest.Config{Leaves: leaves, Zones: zones})
	data := treetest.Data{Minutes: 60, Interval: 15_000}
	data.Fill(t, p, rand.New(rand.NewSource(1)))
	for _, expr := range []string{
		`limitk by (code) (1, -limit_ratio(0.2842172452619111, latency_seconds_bucket))`,
		`limitk(2, limit_ratio(0.5, latency_seconds_bucket))`,
		`limitk by (zone) (1, abs(limit_ratio(0.7, temperature)))`,
		`limitk by (cluster, instance, pod) (1, -temperature or -latency_seconds_bucket{instance=~"10.0..*",le!~"0.*",zone!="eu"})`,
		`limitk(3, temperature or latency_seconds_bucket)`,
		`limitk(2, sort_desc(temperature))`,
		`limitk by (job) (1, sort(-temperature))`,
		`limitk(2, abs(sort_by_label_desc(temperature, "pod")))`,
		`limitk(2, topk(3, temperature))`,
		`limitk(1, bottomk by (zone) (2, temperature))`,
		`limitk by (job) (1, topk by (job, zone) (2, temperature))`,
		`limitk(2, limitk by (pod) (1, temperature or http_requests_total))`,
	} {
		p.Check(t, treetest.Query{Expr: expr, Start: 2_560_219})
	}
}
