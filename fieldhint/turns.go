package fieldhint

import (
	"sync"
	"time"
)

// turnTimeout is after what silence a feed that sends its snapshot loses its turn
// to one that waits.
const turnTimeout = 5 * time.Second

// turns bounds the snapshots that are on their way at a time, so that children
// that all connect at once, as after a restart of their parent, are done with one
// after the other. Those that wait take no memory, and are asked meanwhile.
type turns struct {
	limit int
	mu    sync.Mutex
	feeds map[*Feed]time.Duration // when each was last heard of
}

// take gives a feed a turn, or notes that it uses it. It returns false if all
// turns are taken.
func (t *turns) take(f *Feed, now time.Duration) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if _, ok := t.feeds[f]; !ok && len(t.feeds) >= t.limit {
		for other, last := range t.feeds {
			if now-last > turnTimeout {
				delete(t.feeds, other)
			}
		}
		if len(t.feeds) >= t.limit {
			return false
		}
	}
	t.feeds[f] = now
	return true
}

func (t *turns) has(f *Feed) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	_, ok := t.feeds[f]
	return ok
}

func (t *turns) leave(f *Feed) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.feeds, f)
}
