package leaf

import (
	"math"
	"sync/atomic"
	"time"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/pandometrics/pando/querytree"
)

// SettleAfter is the age from which on a leaf says that what it holds is
// settled: about as long as scrapes and the batches of senders take. It is no
// condition of exactness: samples that take longer are told of one by one.
const SettleAfter = 10 * time.Second

// changes notes what alters the leaf's answers about settled times, so that its
// parents drop the older answers that they keep. Its methods are safe for
// concurrent use.
type changes struct {
	now     func() time.Time
	history *querytree.History
	// settled is the latest time that the leaf has said is settled. It never
	// goes back, whatever the clock does.
	settled atomic.Int64
}

func newChanges(now func() time.Time) *changes {
	c := &changes{now: now, history: querytree.NewHistory(now)}
	c.settled.Store(math.MinInt64)
	return c
}

// settle returns the time before which all is settled from now on: if samples
// before it are appended, an epoch tells of it.
func (c *changes) settle() int64 {
	t := c.now().Add(-SettleAfter).UnixMilli()
	for {
		last := c.settled.Load()
		if t <= last {
			return last
		}
		if c.settled.CompareAndSwap(last, t) {
			return t
		}
	}
}

// appended notes a transaction that was committed, whose oldest sample has time
// mint. It must be called after the samples can be seen: what was said to be
// settled since is asked for with them.
func (c *changes) appended(mint int64) {
	if mint < c.settled.Load() {
		c.history.Change(mint, labels.EmptyLabels(), querytree.CauseLate)
	}
}

// readable notes that aggregates can be read that could not before. There is no telling
// of which times.
func (c *changes) readable() {
	c.history.Change(math.MinInt64, labels.EmptyLabels(), querytree.CauseOwn)
}

// deleted notes that samples from mint on were deleted.
func (c *changes) deleted(mint int64) {
	c.history.Change(mint, labels.EmptyLabels(), querytree.CauseLate)
}
