package client

import (
	"strings"
	"testing"

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

// Whether points are missing or not due yet, it is told for whom they wait.
func TestAwaitedIsTold(t *testing.T) {
	list := treehttp.RollupList{Rules: []treehttp.RollupStatus{{Name: "r", Every: 10}}, Awaited: []treehttp.RollupAwaited{{Name: "zone=eu", Since: 60, Released: 3660}}}
	for _, coverage := range []bool{false, true} {
		var out strings.Builder
		if _, err := (RollupListOptions{Coverage: coverage, Format: Table}).render(&out, list); err != nil {
			t.Fatal(err)
		}
		if want := "waits for zone=eu, away since 1970-01-01T00:01:00Z; points are made without it from 1970-01-01T01:01:00Z on"; !strings.Contains(out.String(), want) {
			t.Errorf("coverage %v: want %q in\n%s", coverage, want, out.String())
		}
	}
}
