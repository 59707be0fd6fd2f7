package querytree

import (
	"fmt"
	"runtime"
)

// panicked is a panic of work that ran in another goroutine.
type panicked struct{ value any }

// atLowPriority does work in a thread of its own, which others of the same
// processor and control group go before. It returns when the work is done, and
// panics if that does. Where the system has no such threads, or does not allow
// them, it just does the work.
//
// A thread that has a low priority cannot have a higher one again, without the
// right to. So it ends with the work: its goroutine stays locked to it.
func atLowPriority(work func()) {
	if !hasThreadPriority {
		work()
		return
	}
	done := make(chan *panicked, 1)
	go func() {
		runtime.LockOSThread()
		if lowerThread() != nil {
			runtime.UnlockOSThread()
		}
		done <- caught(work)
	}()
	if p := <-done; p != nil {
		panic(p.value)
	}
}

// caught does work, and returns what it panics with.
func caught(work func()) (p *panicked) {
	finished := false
	defer func() {
		if r := recover(); r != nil {
			p = &panicked{r}
		} else if !finished {
			p = &panicked{fmt.Errorf("work at low priority ended its goroutine")}
		}
	}()
	work()
	finished = true
	return nil
}
