package fieldhint

import (
	"slices"
	"sync"
	"time"
)

// turnTimeout is after what silence a feed that sends its snapshot loses its turn
// to one that waits.
const turnTimeout = 5 * time.Second

// turns bounds the snapshots that are on their way at a time, so that children
// that all connect at once, as after a restart of their parent, are done with one
// after the other. Those that wait take no memory, and are asked meanwhile. A turn
// that ends goes to the one that has waited longest, which is told (Feed.OnTurn).
type turns struct {
	limit int
	mu    sync.Mutex
	feeds map[*Feed]time.Duration // when each was last heard of
	queue []*Feed                 // that wait, each once
}

// take gives a feed a turn, or notes that it uses it. If all turns are taken, the
// feed waits for one, and take returns false.
func (t *turns) take(f *Feed, now time.Duration) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if _, ok := t.feeds[f]; ok {
		t.feeds[f] = now
		return true
	}
	if !slices.Contains(t.queue, f) {
		t.queue = append(t.queue, f)
	}
	t.grant(now, f)
	_, ok := t.feeds[f]
	return ok
}

// sweep takes turns from feeds that have fallen silent.
func (t *turns) sweep(now time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.grant(now, nil)
}

// grant gives turns that are free to those who wait, and tells them, but for the
// one that asks. t.mu must be held.
func (t *turns) grant(now time.Duration, asks *Feed) {
	if len(t.queue) > 0 && len(t.feeds) >= t.limit {
		for f, last := range t.feeds {
			if now-last > turnTimeout {
				delete(t.feeds, f)
			}
		}
	}
	for len(t.queue) > 0 && len(t.feeds) < t.limit {
		f := t.queue[0]
		t.queue = t.queue[1:]
		t.feeds[f] = now
		if f != asks && f.onTurn != nil {
			f.onTurn()
		}
	}
}

func (t *turns) has(f *Feed) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	_, ok := t.feeds[f]
	return ok
}

func (t *turns) leave(f *Feed, now time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.feeds, f)
	if i := slices.Index(t.queue, f); i >= 0 {
		t.queue = slices.Delete(t.queue, i, i+1)
	}
	t.grant(now, nil)
}
