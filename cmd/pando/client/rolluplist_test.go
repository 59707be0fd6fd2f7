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
