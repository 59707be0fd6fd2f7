package fieldhint

import (
	"sync"
	"sync/atomic"
	"time"
)

// child is the state of one child in the index. Readers look at view and last
// only, and never wait.
type child struct {
	*shown                 // what readers see
	number   int32         // among the index's children, until it is forgotten
	newViews *atomic.Int64 // the index's count of views that no table has

	name  string
	state sync.Mutex // held over a change of synced and its OnState call; locked before mu

	mu     sync.RWMutex
	feed   *Feed // the open one, if any; no other changes what is below
	hint   *hint // in use, or kept for a feed that resumes
	synced bool
	reason string // why not, if a feed is open
	wanted uint64 // number of times that a filter was to be made anew
	done   uint64 // the latest of them that hint satisfies
}

// rulesOut reports whether the child's hint may be used, and excludes q.
func (c *child) rulesOut(q *expr, mint, maxt int64, now, maxAge time.Duration) bool {
	if !c.fresh(now, maxAge) {
		return false
	}
	v := c.view.Load()
	return v != nil && !v.may(q, mint, maxt)
}

// show gives readers a view. mu must be held.
func (c *child) show(v *view) {
	c.view.Store(v)
	c.newViews.Add(1)
}

func (c *child) usable(now, maxAge time.Duration) bool {
	return c.fresh(now, maxAge) && c.view.Load() != nil
}

// fresh reports whether the last frame is not too old. One may come while a
// question is on its way, and so a little after now; one from further ahead means
// that the clock was set back, and says nothing of its age.
//
// It is asked before the view is looked at: the view is stored first, so that one
// from before a silence is not taken for as young as the frame that ended it.
func (s *shown) fresh(now, maxAge time.Duration) bool {
	return (now - time.Duration(s.last.Load())).Abs() <= maxAge
}

func (c *child) wantsResync() bool {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.wanted != c.done && c.feed != nil
}

// setSynced must be called with state held. When sync ends, it ends before
// OnState tells of it.
func (c *child) setSynced(x *Index, synced bool) {
	c.mu.Lock()
	changed := c.synced != synced
	c.synced = synced
	if !synced {
		c.view.Store(nil)
	}
	c.mu.Unlock()
	if changed {
		x.cfg.OnState(c.name, synced)
	}
}

// detach ends the child's sync; its feed, if it is f or f is nil, is no longer
// the child's.
func (c *child) detach(x *Index, f *Feed) {
	c.state.Lock()
	defer c.state.Unlock()
	c.mu.Lock()
	if f != nil && c.feed != f {
		c.mu.Unlock()
		return
	}
	c.feed = nil
	c.mu.Unlock()
	c.setSynced(x, false)
}

// forget gives up what is known of the child, after it was taken out of the index.
func (c *child) forget(x *Index) {
	c.detach(x, nil)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.hint.close()
	c.hint = nil
}
