package treehttp

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/prometheus/model/labels"

	"github.com/pandometrics/pando/querytree"
)

// fakeTree is a TreeSource that forgets missing children.
type fakeTree struct {
	tree   Tree
	forgot []string
}

func (f *fakeTree) Tree(context.Context) Tree { return f.tree }

func (f *fakeTree) Forget(name string) error {
	for _, n := range f.tree.Children {
		switch {
		case n.Name != name:
		case n.State == StateConnected:
			return errors.New("it is connected")
		default:
			f.forgot = append(f.forgot, name)
			return nil
		}
	}
	return ErrUnknownChild
}

func someTree() Tree {
	since := now.Add(-26 * time.Hour)
	return Tree{
		At:   now,
		Self: Node{Name: "root", Tier: "root", State: StateSelf, Series: 1_234_567, Samples: 98_765_432, Leaves: 3, Version: "1.2.3", Mint: now.Add(-48 * time.Hour), Maxt: now},
		Children: []Node{
			{
				Name: "zone=eu", Tier: "zone", Labels: map[string]string{"zone": "eu"}, State: StateConnected, Since: since,
				Series: 1_000_000, Samples: 90_000_000, SampleRate: 66_666, Leaves: 2, RTT: Seconds(12 * time.Millisecond),
				Hint: &Hint{Synced: true, Fingerprints: 2_000_000, Bytes: 2_600_000, Age: Seconds(1500 * time.Millisecond), FalsePositiveRate: 0.004},
				Children: []Node{
					{Name: "zone=eu,cluster=eu-1", Tier: "leaf", State: StateConnected, Since: since, Series: 600_000, Leaves: 1},
					{Name: "zone=eu,cluster=eu-2/shard=0", Tier: "leaf", State: StateMissing, Since: now.Add(-90 * time.Second), Error: "connection lost: <keepalive> timeout"},
				},
			},
			{Name: "zone=us", Tier: "zone", State: StateConnected, Since: since, Series: 234_567, Leaves: 1, RTT: Seconds(81 * time.Millisecond), Hint: &Hint{Bytes: 4096}},
			{Name: "zone=ap/replica=b", Tier: "zone", State: StateMissing, Error: "never connected"},
		},
		Refused: []Refusal{{Name: "zone=eu,cluster=eu-1", Remote: "10.0.0.7:40112", Reason: "another live leaf has this identity", At: now.Add(-time.Minute)}},
	}
}

func TestTreeJSON(t *testing.T) {
	cfg := zoneLike(t)
	cfg.Tree = &fakeTree{tree: someTree()}
	w := build(t, cfg).do("GET", "/pando/api/v1/tree", "")
	var got Tree
	if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(someTree(), got); diff != "" {
		t.Errorf("does not survive JSON: (-want +got)\n%s", diff)
	}
	var indented strings.Builder
	enc := json.NewEncoder(&indented)
	enc.SetIndent("", "  ")
	if err := enc.Encode(json.RawMessage(w.Body.Bytes())); err != nil {
		t.Fatal(err)
	}
	golden(t, "testdata/tree.json", indented.String())
}

func TestNodeOfDescription(t *testing.T) {
	d := querytree.Description{
		Identity: querytree.Identity{Tier: "leaf", Labels: labels.FromStrings("zone", "eu"), Shard: "0", Replica: "b"},
		Version:  "v", Mint: 1000, Maxt: 2000, Series: 1, Samples: 2, Leaves: 1,
	}
	want := Node{
		Name: "zone=eu/shard=0/replica=b", Tier: "leaf", Labels: map[string]string{"zone": "eu"}, Shard: "0", Replica: "b",
		Version: "v", State: StateMissing, Series: 1, Samples: 2, Mint: time.Unix(1, 0).UTC(), Maxt: time.Unix(2, 0).UTC(), Leaves: 1,
	}
	if diff := cmp.Diff(want, DescribedNode(d, StateMissing)); diff != "" {
		t.Error(diff)
	}
	d.Gaps = []querytree.Interval{{Mint: math.MinInt64, Maxt: 1500}, {Mint: 1800, Maxt: math.MaxInt64}}
	gaps := []Gap{{Start: time.Unix(1, 0).UTC(), End: time.UnixMilli(1500).UTC()}, {Start: time.UnixMilli(1800).UTC()}}
	if diff := cmp.Diff(gaps, DescribedNode(d, StateMissing).Gaps); diff != "" {
		t.Error(diff)
	}
	if got := GapTime(gaps, time.Unix(2, 0)); got != 700*time.Millisecond {
		t.Errorf("gaps of %s together", got)
	}
	d.Gaps = nil
	d.Mint, d.Maxt = math.MaxInt64, math.MinInt64
	if n := SelfNode(d); !n.Mint.IsZero() || !n.Maxt.IsZero() {
		t.Errorf("an empty tier has samples from %v to %v", n.Mint, n.Maxt)
	}
}

func TestForget(t *testing.T) {
	tree := &fakeTree{tree: someTree()}
	cfg := zoneLike(t)
	cfg.Tree = tree
	f := build(t, cfg)
	for _, c := range []struct {
		name string
		code int
		want string
	}{
		{"zone=ap/replica=b", http.StatusNoContent, ""},
		{"zone=us", http.StatusConflict, "it is connected"},
		{"zone=xx", http.StatusNotFound, "unknown child"},
		{"", http.StatusNotFound, "unknown child"},
	} {
		for _, path := range []string{c.name, url.PathEscape(c.name)} {
			w := f.do("DELETE", "/pando/api/v1/tree/"+path, "")
			if w.Code != c.code || !strings.Contains(w.Body.String(), c.want) {
				t.Errorf("%s: %d %s", path, w.Code, w.Body)
			}
		}
	}
	if want := []string{"zone=ap/replica=b", "zone=ap/replica=b"}; !cmp.Equal(tree.forgot, want) {
		t.Errorf("forgot %q", tree.forgot)
	}
}

func TestPage(t *testing.T) {
	cfg := zoneLike(t)
	cfg.Tree = &fakeTree{tree: someTree()}
	cfg.Links = func() []Link { return []Link{{"Zone eu", "http://eu.example:9090/"}, {"Bad", "javascript:alert(1)"}} }
	f := build(t, cfg)
	w := f.do("GET", "/", "")
	body := w.Body.String()
	for _, want := range []string{
		"Pando root", "2 missing below", "zone=eu,cluster=eu-2/shard=0", "connection lost: &lt;keepalive&gt; timeout", "2.5 MiB", "1.5s",
		"not complete", "12ms", "1d2h", "another live leaf has this identity", `href="http://eu.example:9090/"`,
		`href="api/v1/query?query=sum%20by%20%28zone%29%20%28up%29"`, `href="pando/api/v1/tree"`,
	} {
		if !strings.Contains(body, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	for _, bad := range []string{"javascript:alert", "<keepalive>", "https://"} {
		if strings.Contains(body, bad) {
			t.Errorf("the page has %q", bad)
		}
	}
	csp := w.Header().Get("Content-Security-Policy")
	if !strings.Contains(csp, "default-src 'none'") || strings.Contains(csp, "unsafe") {
		t.Errorf("content security policy %q", csp)
	}
	if again := f.do("GET", "/", "").Header().Get("Content-Security-Policy"); again == csp {
		t.Error("the nonce is used twice")
	}
}

func TestPageIsBounded(t *testing.T) {
	tree := Tree{Self: Node{Name: "root", Tier: "root"}}
	for i := range maxPageNodes + 7 {
		tree.Children = append(tree.Children, Node{Name: fmt.Sprint("zone=", i), State: StateConnected})
	}
	cfg := zoneLike(t)
	cfg.Tree = &fakeTree{tree: tree}
	cfg.Ready = func() error { return errors.New("waiting for hints") }
	body := build(t, cfg).do("GET", "/", "").Body.String()
	if n := strings.Count(body, "zone="); n != maxPageNodes {
		t.Errorf("%d rows", n)
	}
	for _, want := range []string{"7 more", "Not ready: waiting for hints"} {
		if !strings.Contains(body, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
}

func TestShortForms(t *testing.T) {
	for _, c := range []struct{ got, want string }{
		{ShortDuration(-1), "0s"},
		{ShortDuration(1500 * time.Nanosecond), "2µs"},
		{ShortDuration(12345678 * time.Nanosecond), "12ms"},
		{ShortDuration(1550 * time.Millisecond), "1.6s"},
		{ShortDuration(90 * time.Second), "1m30s"},
		{ShortDuration(3700 * time.Second), "1h1m"},
		{ShortDuration(50 * time.Hour), "2d2h"},
		{ShortCount(0), "0"},
		{ShortCount(999), "999"},
		{ShortCount(1000), "1.0k"},
		{ShortCount(1_234_567), "1.2M"},
		{ShortCount(250_000_000), "250M"},
		{ShortBytes(1023), "1023 B"},
		{ShortBytes(1024), "1.0 KiB"},
		{ShortBytes(5 << 30), "5.0 GiB"},
	} {
		if c.got != c.want {
			t.Errorf("got %q, want %q", c.got, c.want)
		}
	}
}
