package leaf

import (
	"errors"
	"testing"
)

// A leaf that does not run yet does not refuse a configuration: who delivers one
// tries again.
func TestReloadBeforeRun(t *testing.T) {
	cfg := testConfig(t.TempDir())
	l := openLeaf(t, cfg, Deps{})
	var later interface{ Temporary() bool }
	if err := l.Reload(); !errors.As(err, &later) || !later.Temporary() {
		t.Fatalf("reload before it runs: %v, want it to be of the moment", err)
	}
}
