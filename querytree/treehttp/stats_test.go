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

// A replica in whose place another one answered is neither missing nor one that
// answered; if it answered another part of the query, it is.
func TestReplacedInStats(t *testing.T) {
	var r querytree.Report
	r.Add("a", querytree.ChildReport{Tier: querytree.TierLeaf, Verdict: querytree.Replaced, Evidence: "another replica answered: gone"})
	r.Add("b", querytree.ChildReport{Tier: querytree.TierLeaf, Verdict: querytree.Asked, Requests: 1})
	r.Add("c", querytree.ChildReport{Tier: querytree.TierLeaf, Verdict: querytree.Replaced, Hedged: true})
	r.Add("c", querytree.ChildReport{Tier: querytree.TierLeaf, Verdict: querytree.PrunedHint})
	r.Add("d", querytree.ChildReport{Tier: querytree.TierLeaf, Verdict: querytree.Replaced})
	r.Add("d", querytree.ChildReport{Tier: querytree.TierLeaf, Verdict: querytree.Asked, Requests: 1})
	c := completeness(r)
	if !c.Complete || c.Asked != 2 || c.Answered != 2 || c.Replaced != 2 || c.Hedged != 1 || len(c.Failed) != 0 || len(c.PrunedBy) != 0 {
		t.Errorf("%+v", c)
	}
	if row := c.Children[0]; row.Verdict != querytree.Replaced || row.Evidence == "" {
		t.Errorf("%+v", row)
	}
}
