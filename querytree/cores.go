package querytree

import (
	"errors"
	"runtime"
	"sync/atomic"
)

// Cores counts the evaluations that a process has under way, so that one query
// may use cores which no other needs. Children of one process share it. It is
// safe for concurrent use.
type Cores struct {
	limit atomic.Int64
	busy  atomic.Int64
}

// NewCores returns a count for n cores; zero means GOMAXPROCS. With one core,
// no query is spread.
func NewCores(n int) (*Cores, error) {
	if n < 0 {
		return nil, errors.New("the number of cores that a query may use must not be negative; set --query.leaf-parallelism to 1 to keep each query on one core, or to 0 for as many as there are")
	}
	if n == 0 {
		n = runtime.GOMAXPROCS(0)
	}
	return newCores(int64(n)), nil
}

func newCores(limit int64) *Cores {
	c := &Cores{}
	c.limit.Store(limit)
	return c
}

// enter notes an evaluation, which goes on whatever the others do.
func (c *Cores) enter() { c.busy.Add(1) }

// leave notes the end of an evaluation, or of a borrowed core.
func (c *Cores) leave() { c.busy.Add(-1) }

// borrow takes a core that is idle, if there is one.
func (c *Cores) borrow() bool {
	if c.busy.Add(1) <= c.limit.Load() {
		return true
	}
	c.busy.Add(-1)
	return false
}

// wanted reports whether others need the core that was borrowed.
func (c *Cores) wanted() bool { return c.busy.Load() > c.limit.Load() }
