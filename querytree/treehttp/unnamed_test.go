package treehttp

import (
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"slices"
	"testing"

	"github.com/prometheus/prometheus/util/annotations"

	"github.com/pandometrics/pando/querytree"
)

// How many more children failed than are named is told, whichever of the other
// warnings are left out.
func TestUnnamedAreTold(t *testing.T) {
	more := &querytree.UnnamedError{Children: 12_345}
	for range 20 {
		warn := annotations.New().Add(more)
		for i := range 100 {
			warn.Add(fmt.Errorf("partial answer: %d", i))
		}
		w := httptest.NewRecorder()
		respond(w, nil, warn)
		var told struct{ Warnings []string }
		if err := json.Unmarshal(w.Body.Bytes(), &told); err != nil {
			t.Fatal(err)
		}
		if !slices.Contains(told.Warnings, more.Error()) || len(told.Warnings) > maxAnnotations+2 {
			t.Fatalf("warnings %q", told.Warnings)
		}
	}
	if c := completeness(querytree.Report{Unnamed: 7}); c.Complete || c.Unnamed != 7 {
		t.Errorf("completeness %+v", c)
	}
}
