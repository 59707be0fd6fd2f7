package leaf

import (
	"time"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/pandometrics/pando/querytree"
)

// changes notes what alters the leaf's answers about settled times, so that its
// parents drop the older answers that they keep. Its methods are safe for
// concurrent use.
type changes struct {
	now     func() time.Time
	history *querytree.History
}

func newChanges(now func() time.Time) *changes {
	return &changes{now: now, history: querytree.NewHistory(now)}
}

// appended notes a transaction that was committed, whose oldest sample has time
// mint.
func (c *changes) appended(mint int64) {
	if mint < c.now().Add(-querytree.LateAfter).UnixMilli() {
		c.history.Change(mint, labels.EmptyLabels(), querytree.CauseLate)
	}
}

// deleted notes that samples from mint on were deleted.
func (c *changes) deleted(mint int64) {
	c.history.Change(mint, labels.EmptyLabels(), querytree.CauseLate)
}
