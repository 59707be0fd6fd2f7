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
// A series is in the hint before the commit of whoever wrote to it, and so before
// there is anything to be found of it. It is safe for concurrent use.
//
// The head announces a series before anybody can write to it (announce), so that the
// commit of another writer waits for it too, and says when it can be found (push): if
// it was added in between, it is added again, for the sake of a scan that began then.
type creations struct {
	add func([]labels.Labels)

	mu      sync.Mutex
	waiting []labels.Labels
	pushed  atomic.Uint64

	adding sync.Mutex // held while series are added, so that others wait for them
	spare  []labels.Labels
	added  atomic.Uint64
}

// lastAnnounced is how many of those that wait push looks at: as many as there may
// be writers that create series at the same moment.
const lastAnnounced = 8

// announce takes a series that is about to be created; if there are too many, it adds
// all.
func (c *creations) announce(lset labels.Labels) { c.take(lset, false) }

// push takes a series that was created, unless it was announced and still waits.
func (c *creations) push(lset labels.Labels) { c.take(lset, true) }

func (c *creations) take(lset labels.Labels, announced bool) {
	c.mu.Lock()
	if announced && c.waits(lset) {
		c.mu.Unlock()
		return
	}
	c.waiting = append(c.waiting, lset)
	full := len(c.waiting) >= maxCreations
	c.pushed.Add(1)
	c.mu.Unlock()
	if full {
		c.flush()
	}
}

// waits reports whether a series is among the last that wait. mu must be held.
func (c *creations) waits(lset labels.Labels) bool {
	for i := len(c.waiting) - 1; i >= max(0, len(c.waiting)-lastAnnounced); i-- {
		if labels.Equal(c.waiting[i], lset) {
			return true
		}
	}
	return false
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
