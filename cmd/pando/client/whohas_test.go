package client

import (
	"bytes"
	"context"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/pandometrics/pando/querytree"
	"github.com/pandometrics/pando/querytree/treehttp"
)

// holders is a tree of three zones: a leaf of eu may hold x, one cannot, us as a
// whole cannot, and ap does not answer.
func holders() (treehttp.Explained, treehttp.Tree) {
	edge := func(tier, name string, v querytree.Verdict, evidence string) querytree.EdgeExplanation {
		return querytree.EdgeExplanation{Tier: tier, Child: name, Verdict: v, Evidence: evidence}
	}
	fragment := func(kind string, edges ...querytree.EdgeExplanation) []querytree.FragmentExplanation {
		f := querytree.FragmentExplanation{ID: "0", Kind: kind, Query: "x", Children: edges, Pruned: map[querytree.Verdict]int{}}
		for _, e := range edges {
			if e.Verdict != querytree.Asked {
				f.Pruned[e.Verdict]++
			}
		}
		return []querytree.FragmentExplanation{f}
	}
	eu, ap := edge("zone", "zone=eu", querytree.Asked, ""), edge("zone", "zone=ap", querytree.Asked, "")
	eu.Below = &querytree.Explanation{Name: "zone=eu", Tier: "zone", Query: "x", Fragments: fragment("concat",
		edge("leaf", "zone=eu,cluster=eu-1", querytree.Asked, ""), edge("leaf", "zone=eu,cluster=eu-2", querytree.Asked, ""),
		edge("leaf", "zone=eu,cluster=eu-3", querytree.PrunedHint, `job="api"`), edge("leaf", "zone=eu,cluster=eu-4", querytree.PrunedHint, `job="api"`),
		edge("leaf", "zone=eu,cluster=eu-5", querytree.PrunedTime, "no samples"))}
	ap.Failed = "connection lost"
	root := &querytree.Explanation{Name: "root", Tier: "root", Query: "x", Fragments: fragment("concat", eu, ap,
		edge("zone", "zone=us", querytree.PrunedHint, `__name__="x"`))}
	leaf := func(cluster string, state treehttp.State) treehttp.Node {
		return treehttp.Node{Name: "zone=eu,cluster=" + cluster, Tier: "leaf", State: state, Leaves: 1, Labels: map[string]string{"zone": "eu", "cluster": cluster}}
	}
	tree := treehttp.Tree{Self: treehttp.Node{Name: "root", Tier: "root"}, Children: []treehttp.Node{
		{Name: "zone=ap", Tier: "zone", State: treehttp.StateMissing, Leaves: 4},
		{Name: "zone=eu", Tier: "zone", State: treehttp.StateConnected, Leaves: 5, Children: []treehttp.Node{
			leaf("eu-1", treehttp.StateConnected), leaf("eu-2", treehttp.StateMissing), leaf("eu-3", treehttp.StateConnected),
			leaf("eu-4", treehttp.StateConnected), leaf("eu-5", treehttp.StateConnected),
		}},
		{Name: "zone=us", Tier: "zone", State: treehttp.StateConnected, Leaves: 12},
	}}
	return treehttp.Explained{Explanation: root}, tree
}

func whoHas(o WhoHasOptions) (code int, stdout, stderr string) {
	var out, errs bytes.Buffer
	o.Now = func() time.Time { return testNow }
	code = WhoHas(context.Background(), o, &out, &errs)
	return code, out.String(), errs.String()
}

func TestWhoHas(t *testing.T) {
	x, tree := holders()
	var asked []url.Values
	api := serveTier(t, x, tree, func(p url.Values) string {
		asked = append(asked, p)
		if p.Get("stats") != "all" {
			t.Errorf("asked without statistics, which tell who did not answer: %v", p)
		}
		return `{"status":"success","warnings":["partial answer: zone \"zone=ap\" did not answer: connection lost"],"data":{"resultType":"vector","result":[
			{"metric":{"zone":"eu","cluster":"eu-1"},"value":[1,"17"]},{"metric":{"zone":"eu","cluster":"eu-2"},"value":[1,"3"]}],
			"stats":{"pando":{"failed":[{"name":"zone=ap"},{"name":"zone=eu,cluster=eu-2"}]}}}}`
	})
	var got strings.Builder
	for _, o := range []WhoHasOptions{
		{},
		{Verify: true},
		{Verify: true, QueryOptions: QueryOptions{Format: JSON}},
		{Verify: true, QueryOptions: QueryOptions{Time: "2026-01-01T00:00:00Z", Range: time.Hour}},
	} {
		o.Server, o.Expr = api.URL, `(x{job="api"})`
		code, stdout, stderr := whoHas(o)
		fmt.Fprintf(&got, "-- %q verify %v range %v, exit code %d --\n%s%s", o.Format, o.Verify, o.Range, code, stdout, stderr)
	}
	for _, p := range asked {
		fmt.Fprintf(&got, "asked %s at %s\n", p.Get("query"), p.Get("time"))
	}
	golden(t, "testdata/whohas.txt", got.String())
	if p := api.asked[len(api.asked)-2]; p.Get("start") != "1767222000" || p.Get("end") != "1767225600" || p.Get("query") != `x{job="api"}` {
		t.Errorf("explanation of a range: %v", p)
	}
}

// A whole answer, from a tier without children that may hold anything.
func TestNobodyHas(t *testing.T) {
	x, tree := holders()
	f := &x.Explanation.Fragments[0]
	f.Children = f.Children[2:]
	api := serveTier(t, x, tree, func(url.Values) string { t.Error("nobody is left to ask"); return "" })
	code, stdout, stderr := whoHas(WhoHasOptions{QueryOptions: QueryOptions{Server: api.URL, Expr: "x"}, Verify: true})
	want := "no leaf can hold x\nroot rules out 1 child (12 leaves) by field hint: __name__=\"x\"\n"
	if code != OK || stdout != want || stderr != "" {
		t.Errorf("exit code %d, %q, %q", code, stdout, stderr)
	}
}

// What an explanation had no room for is not passed over.
func TestWhoHasTellsOfTruncation(t *testing.T) {
	x, tree := holders()
	x.Explanation.Fragments[0].Children = x.Explanation.Fragments[0].Children[:1]
	x.Explanation.Fragments[0].Note = "no room"
	api := serveTier(t, x, tree, nil)
	code, stdout, _ := whoHas(WhoHasOptions{QueryOptions: QueryOptions{Server: api.URL, Expr: "x"}})
	if code != Partial || !strings.Contains(stdout, "root may hold it somewhere: no room") {
		t.Errorf("exit code %d, %s", code, stdout)
	}
}

func TestWhoHasTakesPlainSelectors(t *testing.T) {
	for _, expr := range []string{"", "sum(x)", "x[5m]", "x offset 5m", "x @ 7", "x{", "1"} {
		if code, _, stderr := whoHas(WhoHasOptions{QueryOptions: QueryOptions{Server: "http://127.0.0.1:1", Expr: expr}}); code != Failed || !strings.Contains(stderr, "selector") {
			t.Errorf("%q: exit code %d, %q", expr, code, stderr)
		}
	}
}
