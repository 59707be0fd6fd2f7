package planet

import (
	"strings"
	"testing"
)

// All files of a repository share a budget, so that many small files whose aliases
// stand for much cost no more than an error.
func TestBoundOverFiles(t *testing.T) {
	r := newReport()
	r.nodes = 3000
	text := []byte("a: &a [" + strings.Repeat("x,", 99) + "x]\nb: [" + strings.Repeat("*a,", 19) + "*a]\n")
	if document("a.yml", text, r) == nil || r.failed() {
		t.Fatalf("one file: %v", r.problems())
	}
	if document("b.yml", text, r) != nil || !strings.Contains(r.problems().Error(), "b.yml:") || !strings.Contains(r.problems().Error(), "together") {
		t.Errorf("two files: %v", r.problems())
	}
	if document("c.yml", []byte("a: 1\n"), r) != nil {
		t.Error("a third file has a budget of its own")
	}
}
