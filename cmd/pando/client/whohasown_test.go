package client

import (
	"net/url"
	"testing"

	"github.com/pandometrics/pando/querytree"
)

// A tier that holds series of the name itself is named, once, beside the leaves that
// may have some elsewhere.
func TestWhoHasItself(t *testing.T) {
	x, tree := holders()
	eu := x.Explanation.Fragments[0].Children[0].Below
	eu.Fragments[0].Children = []querytree.EdgeExplanation{{Tier: querytree.TierOwn, Child: "zone=eu/shard=rollups", Verdict: querytree.Asked}}
	eu.Fragments[0].Pruned = nil
	eu.Fragments = append(eu.Fragments, eu.Fragments[0])
	x.Explanation.Fragments[0].Children = x.Explanation.Fragments[0].Children[:1]
	x.Explanation.Fragments[0].Pruned = nil
	api := serveTier(t, x, tree, func(url.Values) string { t.Error("no leaf is left to ask"); return "" })
	code, stdout, stderr := whoHas(WhoHasOptions{QueryOptions: QueryOptions{Server: api.URL, Expr: "x"}, Verify: true})
	want := "no leaf is asked for x\nzone zone=eu answers for that name itself, from what its rules record or its rollups keep\n"
	if code != OK || stdout != want || stderr != "" {
		t.Errorf("exit code %d, %q, %q", code, stdout, stderr)
	}
}
