package treehttp

import (
	"encoding/json"
	"testing"

	"github.com/prometheus/prometheus/util/stats"

	"github.com/pandometrics/pando/querytree"
)

// What the cache had to do with an answer is in data.stats.
func TestCacheInStats(t *testing.T) {
	ctx, sink := querytree.WithReport(querytree.WithOptions(t.Context(), querytree.Options{Detail: true}))
	r := querytree.Report{Cache: &querytree.CacheUse{State: querytree.CachePartial, Steps: 10, Cached: 7, Pieces: 1}}
	r.Add("leaf", querytree.ChildReport{Verdict: querytree.Asked, Cached: true})
	sink.Merge(r)
	sink.Merge(querytree.Report{}) // Of another request of the same query.
	b, err := json.Marshal(renderStats(ctx, &stats.Statistics{Timers: stats.NewQueryTimers(), Samples: stats.NewQuerySamples(false)}, "all"))
	if err != nil {
		t.Fatal(err)
	}
	var got struct {
		Cache querytree.CacheUse
		Pando Completeness
	}
	if err := json.Unmarshal(b, &got); err != nil {
		t.Fatal(err)
	}
	if got.Cache != *r.Cache || len(got.Pando.Children) != 1 || !got.Pando.Children[0].Cached {
		t.Errorf("%s", b)
	}
}
