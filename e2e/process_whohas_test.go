package e2e_test

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/pandometrics/pando/querytree"
	"github.com/pandometrics/pando/querytree/treehttp"
)

// Through all tiers, who-has finds the leaf that has a series, and each tier
// tells what its hints were good for.
func TestProcessHintsTellWhoHas(t *testing.T) {
	processes(t)
	root := startRoot(t)
	eu, us := startZone(t, root.grpc, "--zone=eu"), startZone(t, root.grpc, "--zone=us")
	one, two, three := startLeaf(t, eu.grpc, "eu", "eu-1"), startLeaf(t, eu.grpc, "eu", "eu-2"), startLeaf(t, us.grpc, "us", "us-1")
	awaitLeaves(t, root, 3)
	write(t, one, pt(1, "__name__", "up", "job", "api"), pt(1, "__name__", "up", "job", "api", "pod", "b"))
	write(t, two, pt(1, "__name__", "up", "job", "web", "pod", "b"), pt(1, "__name__", "up", "job", "api", "pod", "c"),
		pt(1, "__name__", "other", "job", "api", "pod", "b"))
	write(t, three, pt(1, "__name__", "down", "job", "api", "pod", "b"))
	becomes(t, 60*time.Second, root.http, "count(up)", 4)
	eventually(t, 60*time.Second, func() error {
		r := run(t, pando(t), "who-has", "--server", root.http, "--verify", "-o", "json", `up{job="api",pod="b"}`)
		var got struct {
			Leaves []struct {
				Name   string
				Above  []string
				Series int
			}
			Complete bool
			Pruned   []struct {
				By, Evidence string
				Leaves       int
			}
		}
		if err := json.Unmarshal([]byte(r.out), &got); err != nil || r.code != 0 {
			return fmt.Errorf("exit code %d, %w: %s%s", r.code, err, r.out, r.errOut)
		}
		// eu-2 has all that is asked for, and each two of it together, but not all three.
		if fmt.Sprint(got.Leaves) != `[{zone=eu,cluster=eu-1 [zone=eu] 1} {zone=eu,cluster=eu-2 [zone=eu] 0}]` {
			return fmt.Errorf("%s", r.out)
		}
		if !got.Complete || fmt.Sprint(got.Pruned) != `[{root __name__="up" 1}]` {
			return fmt.Errorf("%s", r.out)
		}
		return nil
	})
	r := run(t, pando(t), "why", "--server", root.http, "--analyze", `up{job="api",pod="b"}`)
	if err := mentions([]string{r.out}, "asked in vain (selector of kind several)"); err != nil {
		t.Errorf("%v:\n%s", err, r.out)
	}
	h := hintsOf(t, eu)
	if h.Own == nil || !h.Own.Complete || h.Own.Fingerprints == 0 || len(h.Children) != 2 {
		t.Errorf("hints of eu: %+v", h)
	}
	for i, c := range h.Children {
		if c.Hint != nil && (len(c.Hint.Sections) < 2 || c.Hint.Sections[0].To != nil) {
			t.Errorf("%s: sections %+v, want a core without end and a current one at least", c.Name, c.Hint.Sections)
		}
		if u := c.Uses[querytree.KindSeveral]; !c.Synced || c.Unsynced != "" || c.Hint == nil || c.Hint.Fill <= 0 || u.Told == 0 || (u.Empty > 0) != (i == 1) {
			t.Errorf("%s: %+v, %+v", c.Name, c.Hint, c)
		}
	}
	if u := hintsOf(t, root).Children[1]; u.Name != "zone=us" || u.Uses[querytree.KindSeveral].Spared == 0 {
		t.Errorf("hint of us: %+v", u)
	}
	if own := hintsOf(t, one).Own; own == nil || own.Fingerprints == 0 || len(own.Scheme) == 0 {
		t.Errorf("own hint of a leaf: %+v", own)
	}
}

func hintsOf(t *testing.T, p *process) treehttp.Hints {
	t.Helper()
	a, err := call(p.http, "/pando/api/v1/hints", nil)
	if err != nil {
		t.Fatal(err)
	}
	var h treehttp.Hints
	if err := json.Unmarshal(a.Data, &h); err != nil {
		t.Fatal(err)
	}
	return h
}
