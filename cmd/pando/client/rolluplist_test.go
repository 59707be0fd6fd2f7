package client

import (
	"strings"
	"testing"
	"time"

	"github.com/pandometrics/pando/querytree/treehttp"
)

// A list of holes that is cut says so: what comes after would be taken for whole.
func TestCoverageLeftOut(t *testing.T) {
	r := treehttp.RollupStatus{Name: "r", Every: 10, Holes: []treehttp.RollupHole{{From: 20, To: 30, State: "absent"}}}
	for left, want := range map[int]bool{0: false, 2: true} {
		r.HolesLeftOut = left
		var out strings.Builder
		if err := renderCoverage(&out, []treehttp.RollupStatus{r}); err != nil {
			t.Fatal(err)
		}
		if got := strings.Contains(out.String(), "and 2 newer spans"); got != want {
			t.Errorf("%d left out: told %v, want %v:\n%s", left, got, want, out.String())
		}
	}
}

// Whoever is away is told of, and what that means for points.
func TestAwaitedIsTold(t *testing.T) {
	var out strings.Builder
	all := []treehttp.RollupAwaited{{Name: "zone=eu", Since: 60, Released: 3660}, {Name: "zone=us", Since: 120, Released: 7200}, {Name: "new"}}
	if err := renderAwaited(&out, all, time.Unix(3660, 0)); err != nil {
		t.Fatal(err)
	}
	want := `zone=eu is away since 1970-01-01T00:01:00Z: points are made without it since 1970-01-01T01:01:00Z
zone=us is away since 1970-01-01T00:02:00Z: points wait for it until 1970-01-01T02:00:00Z
new has just gone: points wait for it
`
	if out.String() != want {
		t.Errorf("%s\nwant\n%s", out.String(), want)
	}
	for _, coverage := range []bool{false, true} {
		out.Reset()
		list := treehttp.RollupList{Rules: []treehttp.RollupStatus{{Name: "r", Every: 10}}, Awaited: all}
		if _, err := (RollupListOptions{Coverage: coverage, Format: Table}).render(&out, list); err != nil || !strings.Contains(out.String(), "zone=eu is away") {
			t.Errorf("coverage %v: %v\n%s", coverage, err, out.String())
		}
	}
}
