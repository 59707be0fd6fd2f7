package fieldhint

import (
	"errors"
	"fmt"
	"sync"
	"time"
)

var (
	// ErrGap is the error of a frame that does not follow the one before it.
	ErrGap = errors.New("field hint frames are missing")
	// ErrEpoch is the error of a frame from the middle of a log that the feed
	// has not begun with.
	ErrEpoch = errors.New("field hint frame belongs to another epoch")
	// ErrClosed is the error of a feed that was closed, failed before, or was
	// superseded by a later feed of the same child.
	ErrClosed = errors.New("field hint feed is closed")
)

const (
	addBatch   = 256      // fingerprints added under one lock
	maxSized   = 16 << 20 // fingerprints for which a filter is sized on a child's word
	keptBuffer = 1024     // fingerprints of room that a feed keeps between frames
	maxLayers  = 4        // beyond this, a filter is made anew at the right size
	smallHint  = 1 << 15  // fingerprints up to which that is not worth it
)

// hint is what a parent holds of one epoch of a child's log. A log that
// outgrows the bound leaves a hint without filter, of no use but to follow it.
type hint struct {
	epoch  uint64
	next   uint64 // position in the log of what comes next
	filter *Filter
	round  uint64 // child.wanted when the log's first frame came
}

// wasteful reports whether a filter has outgrown the size that it was made for
// so far that its layers take several times the memory that one would.
func (h *hint) wasteful() bool {
	return h.filter != nil && h.filter.Layers() > maxLayers && h.next > smallHint &&
		uint64(h.filter.layers[0].capacity) < min(h.next, maxSized)/2
}

// child is the state of one child in the index.
//
// A feed follows the hint in use, or fills a staged one of its own, which takes
// the other's place once it is complete. Frames of the staged one do not renew
// the other's age: it says nothing of series that came after it.
type child struct {
	name  string
	state sync.Mutex // held over a change of isSynced and its OnState call; locked before mu

	mu       sync.RWMutex
	feed     *Feed // the open one, if any; no other changes what is below
	hint     *hint // in use, or kept for a feed that resumes
	isSynced bool
	last     time.Time // of the last frame for hint
	wanted   uint64    // number of resyncs asked for
	done     uint64    // the latest of them that hint satisfies
}

// rulesOut reports whether the child's hint may be used, and excludes q.
func (c *child) rulesOut(q Query, now time.Time, maxAge time.Duration) bool {
	c.mu.RLock()
	defer c.mu.RUnlock()
	if !c.fresh(now, maxAge) {
		return false
	}
	f := c.hint.filter
	return !q.expr().holds(func(a *atom) bool { return f.hasLocations(a.locs) })
}

func (c *child) usable(now time.Time, maxAge time.Duration) bool {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.fresh(now, maxAge)
}

// fresh must be called with mu held. A frame may come while a question is on its
// way, and so a little after now; one from further ahead means that the clock was
// set back, and says nothing of its age.
func (c *child) fresh(now time.Time, maxAge time.Duration) bool {
	return c.isSynced && c.hint.filter != nil && now.Sub(c.last).Abs() <= maxAge
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
	changed := c.isSynced != synced
	c.isSynced = synced
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

// Open starts a feed for a child that has connected. The child is un-synced
// until the feed has caught up. An older feed of the same child is superseded.
func (x *Index) Open(name string) *Feed {
	x.mu.Lock()
	c := x.children[name]
	if c == nil {
		x.makeRoom()
		c = &child{name: name}
		x.children[name] = c
	}
	x.mu.Unlock()
	f := &Feed{index: x, child: c}
	c.state.Lock()
	defer c.state.Unlock()
	c.mu.Lock()
	c.feed = f
	c.mu.Unlock()
	c.setSynced(x, false)
	return f
}

// makeRoom forgets a child without a feed if there are too many children.
func (x *Index) makeRoom() {
	if len(x.children) < x.cfg.MaxChildren {
		return
	}
	for name, c := range x.children {
		c.mu.RLock()
		idle := c.feed == nil
		c.mu.RUnlock()
		if idle {
			delete(x.children, name)
			return
		}
	}
}

// Feed takes the frames of one connection of one child. Frames must be applied
// in the order in which they were sent; Close may be called at any time.
type Feed struct {
	index *Index
	child *child

	mu     sync.Mutex
	begun  bool  // the feed follows the child's hint
	staged *hint // a snapshot on its way; the child's hint stays in use meanwhile
	closed bool
	fps    []uint64
}

// Cursor returns what the index already has of the child's log, for the child
// to resume from (StreamOptions.From).
func (f *Feed) Cursor() Cursor {
	c := f.child
	c.mu.RLock()
	defer c.mu.RUnlock()
	if c.hint == nil || c.hint.filter == nil || c.wanted != c.done {
		return Cursor{}
	}
	return Cursor{Epoch: c.hint.epoch, Offset: c.hint.next}
}

// NeedsResync reports whether the feed's owner should make the child send its
// log from the start: by StreamOptions.Restart, or by a new connection. It is
// true after Index.RequestResync, and when the filter has grown so much that one
// of the right size would save memory, until the whole log has arrived.
func (f *Feed) NeedsResync() bool { return f.child.wantsResync() }

// Close un-syncs the child at once, unless a later feed has taken over.
func (f *Feed) Close() {
	f.child.detach(f.index, f)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.closed, f.staged, f.fps = true, nil, nil
}

// Apply takes the next frame. An error (ErrFrame, ErrGap, ErrEpoch, ErrClosed)
// ends the feed and un-syncs the child: the caller drops the connection, and the
// child connects again. Apply does not keep b.
func (f *Feed) Apply(b []byte) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	m := f.index.metrics
	m.frames.Inc()
	if err := f.apply(b, f.index.cfg.Now()); err != nil {
		m.frameErrors.Inc()
		f.closed, f.staged, f.fps = true, nil, nil
		f.child.detach(f.index, f)
		return fmt.Errorf("apply field hint of child %q: %w", f.child.name, err)
	}
	return nil
}

func (f *Feed) apply(b []byte, now time.Time) error {
	if f.closed {
		return ErrClosed
	}
	fr, err := decodeFrame(b, f.fps)
	if err != nil {
		return err
	}
	if f.fps = fr.fps; cap(f.fps) > keptBuffer {
		f.fps = nil // one full frame in a while is no reason to keep its room
	}
	h, err := f.target(fr)
	if err != nil {
		return err
	}
	if len(fr.fps) > 0 {
		f.index.cfg.Forward(fr.fps)
	}
	if !f.add(h, fr) {
		return ErrClosed
	}
	return f.settle(h, fr, now)
}

// target returns the hint that a frame belongs to.
func (f *Feed) target(fr frame) (*hint, error) {
	c := f.child
	c.mu.RLock()
	defer c.mu.RUnlock()
	s, live := f.staged, c.hint
	if s == nil && live != nil && live.follows(fr) && (fr.offset > 0 || f.begun && c.wanted == c.done) {
		f.begun = true
		return live, nil
	}
	if s != nil && s.follows(fr) && fr.offset > 0 {
		return s, nil
	}
	if fr.offset == 0 {
		size := int(min(fr.total, maxSized, uint64(f.index.cfg.MaxFingerprints)))
		f.staged = &hint{epoch: fr.epoch, filter: NewFilter(size, f.index.cfg.FalsePositiveRate), round: c.wanted}
		return f.staged, nil
	}
	if s != nil && s.epoch == fr.epoch || live != nil && live.epoch == fr.epoch {
		return nil, fmt.Errorf("%w: next is offset %d", ErrGap, fr.offset)
	}
	return nil, fmt.Errorf("%w: offset %d of epoch %x", ErrEpoch, fr.offset, fr.epoch)
}

func (h *hint) follows(fr frame) bool { return h.epoch == fr.epoch && h.next == fr.offset }

// add puts a frame's fingerprints into a hint, in small batches, since readers
// may be waiting. It returns false if the feed is no longer the child's.
func (f *Feed) add(h *hint, fr frame) bool {
	c := f.child
	fps := fr.fps
	for {
		n := min(addBatch, len(fps))
		c.mu.Lock()
		if c.feed != f {
			c.mu.Unlock()
			return false
		}
		if fr.end() > uint64(f.index.cfg.MaxFingerprints) {
			h.filter = nil
		}
		if h.filter != nil {
			for _, fp := range fps[:n] {
				h.filter.Add(fp)
			}
		}
		if fps = fps[n:]; len(fps) == 0 {
			h.next = fr.end()
		}
		c.mu.Unlock()
		if len(fps) == 0 {
			return true
		}
	}
}

// settle draws the conclusions from a frame that was added.
func (f *Feed) settle(h *hint, fr frame, now time.Time) error {
	c := f.child
	c.state.Lock()
	defer c.state.Unlock()
	c.mu.Lock()
	if c.feed != f {
		c.mu.Unlock()
		return ErrClosed
	}
	if h == f.staged {
		if !fr.complete {
			c.mu.Unlock()
			return nil
		}
		c.hint, c.done = h, h.round
		f.staged, f.begun = nil, true
	}
	if c.wanted == c.done && h.wasteful() {
		c.wanted++
	}
	c.last = now
	synced := fr.complete && h.filter != nil
	c.mu.Unlock()
	c.setSynced(f.index, synced)
	return nil
}
