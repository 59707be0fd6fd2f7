package querytree

import "golang.org/x/sys/unix"

// hasThreadPriority: threads have a priority each.
const hasThreadPriority = true

// lowNice is the nice value of heavy work. A thread of the usual one, 0, that
// wakes up goes before it, and has nine times as much of a processor that both
// want. It is not the lowest: the garbage collector now and then waits for every
// thread that runs Go code, which must get to run to stop.
const lowNice = 10

// lowerThread lowers the priority of the calling thread, to which the goroutine
// must be locked. Whether the thread's priority is lower already does not matter.
func lowerThread() error {
	tid := unix.Gettid()
	now, err := unix.Getpriority(unix.PRIO_PROCESS, tid)
	if err != nil {
		return err
	}
	nice := 20 - now // as the system call counts, from 40 down to 1
	return unix.Setpriority(unix.PRIO_PROCESS, tid, min(nice+lowNice, 19))
}
