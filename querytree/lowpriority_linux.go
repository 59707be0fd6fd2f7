package querytree

import (
	"time"

	"golang.org/x/sys/unix"
)

// hasThreadPriority: threads have a priority each.
const hasThreadPriority = true

// lowNice is the nice value of heavy work. A thread of the usual one, 0, that
// wakes up goes before it, and has nine times as much of a processor that both
// want. It is not the lowest: the garbage collector now and then waits for every
// thread that runs Go code, which must get to run to stop.
const lowNice = 10

// longSlice is how long heavy work asks to run at a time. A thread that wakes up and
// asks for less, as all others do, then goes first at once, and not when the current
// one has had its few milliseconds: a light query passes through many threads.
// Kernels before 6.12 know no slices of threads.
const longSlice = 100 * time.Millisecond

// lowerThread lowers the priority of the calling thread, to which the goroutine
// must be locked. Whether the thread's priority is lower already does not matter.
func lowerThread() error {
	if attr, err := unix.SchedGetAttr(0, 0); err == nil && attr.Policy == unix.SCHED_NORMAL {
		attr.Nice, attr.Runtime = niced(attr.Nice), uint64(longSlice.Nanoseconds())
		if unix.SchedSetAttr(0, attr, 0) == nil {
			return nil
		}
	}
	// The system call may not be allowed.
	tid := unix.Gettid()
	now, err := unix.Getpriority(unix.PRIO_PROCESS, tid)
	if err != nil {
		return err
	}
	return unix.Setpriority(unix.PRIO_PROCESS, tid, int(niced(int32(20-now)))) // it counts from 40 down to 1
}

func niced(nice int32) int32 { return min(nice+lowNice, 19) }
