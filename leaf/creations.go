package leaf

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/prometheus/model/labels"
)

const (
	// maxCreations is the number of new series that wait to be added to the hint.
	maxCreations = 1024
	// creationDelay is how long a new series waits at most, whatever becomes of the
	// transaction that created it: another one may have written to it.
	creationDelay = 100 * time.Millisecond
)

// creations holds series that the head has created until the transaction commits,
// so that they are added to the hint together: one after the other, between the
// head's own work, that takes several times as long, for the processor's caches.
// A series is in the hint before the commit of whoever created it, and so before
// there is anything to be found of it. It is safe for concurrent use.
type creations struct {
	add func([]labels.Labels)

	mu      sync.Mutex
	waiting []labels.Labels
	pushed  atomic.Uint64

	adding sync.Mutex // held while series are added, so that others wait for them
	spare  []labels.Labels
	added  atomic.Uint64
}

// push takes a series; if there are too many, it adds all.
func (c *creations) push(lset labels.Labels) {
	c.mu.Lock()
	c.waiting = append(c.waiting, lset)
	full := len(c.waiting) >= maxCreations
	c.pushed.Add(1)
	c.mu.Unlock()
	if full {
		c.flush()
	}
}

// flush returns when all that was pushed before is added.
func (c *creations) flush() {
	if c == nil {
		return
	}
	upTo := c.pushed.Load()
	if c.added.Load() >= upTo {
		return
	}
	c.adding.Lock()
	defer c.adding.Unlock()
	if c.added.Load() >= upTo {
		return
	}
	c.mu.Lock()
	batch := c.waiting
	c.waiting = c.spare[:0]
	c.mu.Unlock()
	c.add(batch)
	c.added.Add(uint64(len(batch)))
	clear(batch) // the head may let go of them
	c.spare = batch[:0]
}

// run adds what no commit has added, until ctx ends.
func (c *creations) run(ctx context.Context) {
	tick := time.NewTicker(creationDelay)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			c.flush()
		case <-ctx.Done():
			return
		}
	}
}
