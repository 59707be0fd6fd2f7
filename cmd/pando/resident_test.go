package main

import (
	"errors"
	"testing"
)

// A tier that could not be opened with a revision refuses that one for good, so
// that the loop returns from it, and any other only for the moment: the process
// ends then, and begins again with what is there.
func TestResidentThatDoesNotOpen(t *testing.T) {
	var r resident
	if err := r.Reload(); !errors.Is(err, notOpen{}) {
		t.Fatalf("before it is opened: %v", err)
	}
	cause, delivered, moved := errors.New("no such shard"), "bad", 0
	r.stuck.Store(&stuck{revision: "bad", cause: cause, read: func() (string, error) { return delivered, nil }, moved: func() { moved++ }})
	if err := r.Reload(); !errors.Is(err, cause) || moved != 0 {
		t.Errorf("with what does not open: %v, moved %d times", err, moved)
	}
	delivered = "good"
	if err := r.Reload(); !errors.Is(err, notOpen{}) || moved != 1 {
		t.Errorf("with another: %v, moved %d times", err, moved)
	}
}
