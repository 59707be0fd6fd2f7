package leaf

import (
	"context"
	"sync"

	"github.com/prometheus/prometheus/tsdb"
)

// deletions know whether there are tombstones in the storage. The TSDB cannot
// trim a series to the bounds of a query if some of its tombstones end before
// the query does and others after: it panics (tombstones.Intervals.Add looks
// past the end of its list if the interval to add is open to the right). So
// where there may be tombstones, queriers are told not to trim, and what they
// return is trimmed here. It is safe for concurrent use.
type deletions struct {
	db *tsdb.DB

	mu   sync.Mutex
	any  bool          // there are tombstones, or soon will be
	open int           // queriers that trim in the TSDB
	idle chan struct{} // closed when the last of them is
}

func newDeletions(db *tsdb.DB) *deletions {
	return &deletions{db: db, any: hasTombstones(db.Head())}
}

func hasTombstones(h *tsdb.Head) bool {
	stones, err := h.Tombstones()
	return err != nil || stones.Total() > 0
}

// enter is called before a querier is opened, done when it is closed. Trims
// reports whether the TSDB may trim for it.
func (d *deletions) enter() (trims bool, done func()) {
	if d == nil {
		return true, func() {}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.any || d.inBlocks() {
		return false, func() {}
	}
	d.open++
	return true, sync.OnceFunc(d.leave)
}

func (d *deletions) leave() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.open--; d.open == 0 && d.idle != nil {
		close(d.idle)
		d.idle = nil
	}
}

// inBlocks reports whether a block has tombstones. Blocks may come with some.
func (d *deletions) inBlocks() bool {
	for _, b := range d.db.Blocks() {
		if b.Meta().Stats.NumTombstones > 0 {
			return true
		}
	}
	return false
}

// begin is called before something is deleted. It waits for the queriers that
// do not expect that, which the first deletion has to only, and keeps no new one
// waiting.
func (d *deletions) begin(ctx context.Context) error {
	d.mu.Lock()
	d.any = true
	if d.open == 0 {
		d.mu.Unlock()
		return nil
	}
	if d.idle == nil {
		d.idle = make(chan struct{})
	}
	idle := d.idle
	d.mu.Unlock()
	select {
	case <-idle:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
