package client

import (
	"bytes"
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/pandometrics/pando/querytree/treehttp"
)

func someTree() treehttp.Tree {
	since := testNow.Add(-26 * time.Hour)
	return treehttp.Tree{
		Self: treehttp.Node{Name: "root", Tier: "root", State: treehttp.StateSelf, Series: 1_234_567, Leaves: 3},
		Parents: []treehttp.Parent{
			{Address: "planet.example:9443", State: treehttp.StateMissing, Since: since, Error: "connection refused"},
			{Address: "planet.example:9444", State: treehttp.StateConnected, Since: since, Hints: &treehttp.SentHints{
				UnacknowledgedBytes: 4096, UnacknowledgedAge: treehttp.Seconds(3 * time.Second), Unused: "too-large",
			}},
		},
		Children: []treehttp.Node{
			{
				Name: "zone=eu", Tier: "zone", State: treehttp.StateConnected, Since: since, Series: 1_000_000, SampleRate: 66_666,
				Leaves: 2, RTT: treehttp.Seconds(12 * time.Millisecond),
				Hint: &treehttp.Hint{Synced: true, Bytes: 2_600_000, Age: treehttp.Seconds(1500 * time.Millisecond)},
				Children: []treehttp.Node{
					{Name: "zone=eu,cluster=eu-1", Tier: "leaf", State: treehttp.StateConnected, Since: since, Series: 600_000, Leaves: 1},
					{Name: "zone=eu,cluster=eu-2/shard=0", Tier: "leaf", State: treehttp.StateMissing, Since: testNow.Add(-90 * time.Second), Error: "keepalive timeout\x1b[2J"},
				},
			},
			{Name: "zone=us", Tier: "zone", State: treehttp.StateConnected, Since: since, Series: 234_567, Leaves: 1, Hint: &treehttp.Hint{Bytes: 4096, Reason: "incomplete"}},
		},
		Refused: []treehttp.Refusal{{Name: "zone=eu,cluster=eu-1", Remote: "10.0.0.7:40112", Reason: "another live leaf has this identity", At: testNow.Add(-time.Minute)}},
	}
}

func TestTree(t *testing.T) {
	body, err := json.Marshal(someTree())
	if err != nil {
		t.Fatal(err)
	}
	whole := someTree()
	whole.Children = whole.Children[1:]
	wholeBody, err := json.Marshal(whole)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name   string
		server string
		json   bool
		code   int
		want   string
	}{
		{"missing", serve(t, 200, false, string(body)).URL, false, Partial, ""},
		{"whole", serve(t, 200, false, string(wholeBody)).URL, false, OK, "└─ zone=us"},
		{"json", serve(t, 200, false, string(body)).URL, true, Partial, `"name": "zone=eu,cluster=eu-1",`},
		{"no tree", serve(t, 404, false, "404 page not found").URL, false, Failed, "404 Not Found; is it a Pando?"},
		{"no JSON", serve(t, 200, false, "hello").URL, false, Failed, "read answer of"},
		{"odd JSON", serve(t, 200, false, `{"self":1}`).URL, false, Failed, "read tree"},
	} {
		var out, errs bytes.Buffer
		code := Tree(context.Background(), TreeOptions{Server: c.server, JSON: c.json, Now: func() time.Time { return testNow }}, &out, &errs)
		if all := out.String() + errs.String(); code != c.code || !strings.Contains(all, c.want) {
			t.Errorf("%s: exit code %d\n%s", c.name, code, all)
		}
		if c.name == "missing" {
			golden(t, "testdata/tree.txt", out.String()+"-- stderr --\n"+errs.String())
		}
	}
}

// The gaps of replicas are summed up, and listed if that is asked for; those of
// leaves without a twin are in the JSON only.
func TestTreeShowsGaps(t *testing.T) {
	gap := treehttp.Gap{Start: testNow.Add(-time.Hour), End: testNow.Add(-50 * time.Minute)}
	open := treehttp.Gap{Start: testNow.Add(-4 * time.Minute)}
	body, err := json.Marshal(treehttp.Tree{
		Self: treehttp.Node{Name: "zone=eu", Tier: "zone"},
		Children: []treehttp.Node{
			{Name: "zone=eu,cluster=eu-1/replica=a", Replica: "a", State: treehttp.StateConnected, Gaps: []treehttp.Gap{gap, open}},
			{Name: "zone=eu,cluster=eu-1/replica=b", Replica: "b", State: treehttp.StateConnected},
			{Name: "zone=eu,cluster=eu-2", State: treehttp.StateConnected, Gaps: []treehttp.Gap{gap}},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	srv := serve(t, 200, false, string(body))
	for _, verbose := range []bool{false, true} {
		var out, errs bytes.Buffer
		code := Tree(context.Background(), TreeOptions{Server: srv.URL, Verbose: verbose, Now: func() time.Time { return testNow }}, &out, &errs)
		if code != OK || strings.Count(out.String(), "gaps 2, 14m") != 1 || strings.Count(out.String(), "gaps") != 1 {
			t.Errorf("exit code %d: %s%s", code, out.String(), errs.String())
		}
		lines := "gap of zone=eu,cluster=eu-1/replica=a: " + gap.Start.UTC().Format(time.RFC3339) + " to " + gap.End.UTC().Format(time.RFC3339) +
			"\ngap of zone=eu,cluster=eu-1/replica=a: " + open.Start.UTC().Format(time.RFC3339) + " to now\n"
		if strings.HasSuffix(out.String(), lines) != verbose || strings.Contains(out.String(), "gap of") != verbose {
			t.Errorf("verbose %v: %s", verbose, out.String())
		}
	}
}
