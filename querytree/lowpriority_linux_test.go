package querytree

import (
	"runtime"
	"testing"

	"golang.org/x/sys/unix"
)

// priority is that of the calling thread, as the system counts: the higher, the
// more it gets.
func priority(t *testing.T) int {
	t.Helper()
	p, err := unix.Getpriority(unix.PRIO_PROCESS, unix.Gettid())
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// The thread of heavy work has a lower priority, and nothing else comes to run
// in it.
func TestLowPriority(t *testing.T) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	usual := priority(t)
	if usual == 1 {
		usual = 2 // no lower one is left
	}
	seen := map[int]bool{}
	for range 20 {
		var low, tid int
		atLowPriority(func() { low, tid = priority(t), unix.Gettid() })
		if low >= usual {
			t.Fatalf("priority %d, that of the test is %d", low, usual)
		}
		seen[tid] = true
		inside := make(chan int)
		go func() { inside <- priority(t) }()
		if p := <-inside; p < usual-1 {
			t.Fatalf("another goroutine ran at priority %d", p)
		}
	}
	if seen[unix.Gettid()] {
		t.Error("the work was done in the caller's thread")
	}
}

// Work that panics, panics in who asked for it.
func TestLowPriorityPanics(t *testing.T) {
	defer func() {
		if r := recover(); r != "expected" {
			t.Errorf("panic with %v", r)
		}
	}()
	atLowPriority(func() { panic("expected") })
	t.Error("no panic")
}
