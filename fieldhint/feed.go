package fieldhint

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"
)

var (
	// ErrGap is the error of a frame that does not follow the one before it.
	ErrGap = errors.New("field hint frames are missing")
	// ErrEpoch is the error of a frame from the middle of a stream that the feed
	// has not begun with.
	ErrEpoch = errors.New("field hint frame belongs to another epoch")
	// ErrClosed is the error of a feed that was closed, failed before, or was
	// superseded by a later feed of the same child.
	ErrClosed = errors.New("field hint feed is closed")
)

// keptBuffer is the fingerprints of room that a feed keeps between frames.
const keptBuffer = 1024

// Feed takes the frames of one connection of one child. Frames must be applied
// in the order in which they were sent; Close may be called at any time.
//
// A feed follows the hint in use, or fills a staged one of its own, which takes
// the other's place once it is complete. Frames of the staged one do not renew
// the other's age: it says nothing of series that came after it.
type Feed struct {
	index *Index
	child *child

	mu     sync.Mutex
	begun  bool   // the feed follows the child's hint
	staged *hint  // a snapshot on its way; the child's hint stays in use meanwhile
	seq    uint64 // of the next frame
	closed bool
	fps    []uint64
	// waiting is set while others send their snapshots: frames are ignored.
	waiting bool
	// onTurn is called when the wait is over; guarded by index.turns.mu.
	onTurn func()
}

// OnTurn has f called when it is the child's turn to send its snapshot after it had
// to wait (Waiting): NeedsResync is true then. f must neither block nor call the
// index.
func (f *Feed) OnTurn(call func()) {
	f.index.turns.mu.Lock()
	defer f.index.turns.mu.Unlock()
	f.onTurn = call
}

// Waiting reports whether others send their snapshots first: until the feed needs a
// resync, what the child sends is ignored, and might as well not be sent.
func (f *Feed) Waiting() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.waiting && !f.closed
}

// Cursor returns what the index already has of the child's set, for the child
// to resume from (StreamOptions.From): without sections of which the filter
// should be made anew. It is the zero Cursor after a fault: whatever went wrong, a
// snapshot mends it.
func (f *Feed) Cursor() Cursor {
	c := f.child
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.hint == nil || c.hint.tooLarge != "" || c.fault.reason != "" {
		return Cursor{}
	}
	out := Cursor{Epoch: c.hint.epoch}
	anew := map[*held]bool{}
	if c.wanted != c.done {
		for _, s := range c.hint.wasteful() {
			anew[s] = true
		}
	}
	for _, s := range c.hint.sections {
		if anew[s] || len(out.Sections) == maxCursor {
			continue
		}
		if at, ok := s.position(); ok {
			out.Sections = append(out.Sections, at)
		}
	}
	return out
}

// NeedsResync reports whether the feed's owner should make the child begin its
// stream anew, from Cursor if it can: by StreamOptions.Restart, or by a new
// connection. It is true when a filter has grown so much that one of the right
// size would save memory, and when it is the child's turn to send its snapshot
// after others have sent theirs.
func (f *Feed) NeedsResync() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.waiting {
		return f.index.turns.has(f)
	}
	return f.child.wantsResync()
}

// Unused is why the child's hint is not in use; empty if it is.
func (f *Feed) Unused() Reason {
	c := f.child
	usable := c.usable(f.index.clock(), f.index.cfg.MaxAge)
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.why(usable).reason
}

// Close un-syncs the child at once, unless a later feed has taken over. What was
// sent is kept for a feed that resumes.
func (f *Feed) Close() {
	f.mu.Lock()
	defer f.mu.Unlock()
	c := f.child
	c.state.Lock()
	if c.detach(f.index, f) {
		f.keep()
	}
	c.state.Unlock()
	f.end()
}

// keep keeps a snapshot that was on its way, for a feed that resumes, if what the
// child's hint has is of another epoch, and of no use any more. The child must have
// been un-synced before, since the zone's set loses what its hint had.
func (f *Feed) keep() {
	c := f.child
	c.mu.Lock()
	defer c.mu.Unlock()
	if h := f.staged; h != nil && h.tooLarge == "" && (c.hint == nil || c.hint.epoch != h.epoch) {
		c.hint.close()
		c.hint, f.staged = h, nil
	}
}

// end gives up all that the feed has. f.mu must be held.
func (f *Feed) end() {
	c := f.child
	c.mu.Lock()
	f.staged.close()
	c.mu.Unlock()
	f.closed, f.staged, f.fps = true, nil, nil
	f.index.turns.leave(f, f.index.clock())
}

// blame notes the fault that ends the stream, unless the feed had ended before.
func (f *Feed) blame(err error) {
	c := f.child
	c.mu.Lock()
	defer c.mu.Unlock()
	if why := faultOf(err); c.feed == f && why.reason != "" {
		c.fault = why
	}
}

// Apply takes the next frame. An error (ErrFrame, ErrGap, ErrEpoch, ErrClosed)
// ends the feed and un-syncs the child: the caller drops the stream, and the
// child begins it anew. A frame in a format of another release is no error, since
// the next would be no better: it un-syncs the child, and ChildStats say why.
// Apply does not keep b.
func (f *Feed) Apply(b []byte) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	m := f.index.metrics
	m.frames.Inc()
	if err := f.apply(b, f.index.clock()); err != nil {
		m.frameErrors.Inc()
		f.blame(err)
		f.end()
		f.child.state.Lock()
		f.child.detach(f.index, f)
		f.child.state.Unlock()
		return fmt.Errorf("apply field hint of child %q: %w", f.child.name, err)
	}
	f.index.tidy()
	return nil
}

func (f *Feed) apply(b []byte, now time.Duration) error {
	if f.closed {
		return ErrClosed
	}
	fr, fps, err := decodeFrame(b, f.fps)
	if f.fps = fps; cap(fps) > keptBuffer {
		f.fps = nil // one full frame in a while is no reason to keep its room
	}
	c := f.child
	c.state.Lock()
	defer c.state.Unlock()
	c.mu.Lock()
	if c.feed != f {
		c.mu.Unlock()
		return ErrClosed
	}
	synced, followed, before, layers := false, false, c.hint, 0
	if before != nil {
		layers = before.layers()
	}
	switch {
	case errors.Is(err, errForeign):
		f.giveUp(unused{ReasonForeignVersion, err.Error()})
		err = nil
	case err == nil && f.waits(fr, now):
		f.giveUp(unused{ReasonWaiting, "its turn to send is still to come"})
	case err == nil:
		synced, err = f.follow(fr, now)
		followed = err == nil && f.staged == nil
	}
	if err == nil && !synced && f.staged != nil && c.synced {
		synced = true // the hint in use stays so until the staged one is whole
	} else if synced && (c.view.Load() == nil || c.hint != before || fr.reshapes() || c.hint.layers() != layers) {
		c.show(c.hint.view())
		f.index.slabs.offer(c, c.hint)
	}
	if followed {
		if !synced {
			c.view.Store(nil)
		}
		c.last.Store(int64(now)) // after the view: see child.fresh
	}
	c.mu.Unlock()
	if err == nil {
		c.setSynced(f.index, synced)
	}
	return err
}

// reshapes reports whether a frame changes which sections there are, and when.
func (fr frame) reshapes() bool {
	return slices.ContainsFunc(fr.records, func(r record) bool { return r.kind != recordFingerprints })
}

// giveUp leaves the child without a hint in use, for a reason. c.mu must be held.
func (f *Feed) giveUp(why unused) {
	f.staged.close()
	f.staged, f.begun = nil, false
	f.child.unused = why
}

// waits reports whether a frame is ignored because the child has to wait for its
// turn to send its snapshot. c.mu must be held.
func (f *Feed) waits(fr frame, now time.Duration) bool {
	if f.index.turns.has(f) && fr.brings() {
		f.index.turns.take(f, now) // it goes on
	}
	switch {
	case fr.first && f.continues(fr):
		return false
	case fr.first:
		f.waiting = fr.lacks() > 0 && !f.index.turns.take(f, now)
	case f.waiting:
		f.index.turns.take(f, now) // if there is one, NeedsResync tells
	}
	return f.waiting
}

// brings reports whether a frame has fingerprints.
func (fr frame) brings() bool {
	return slices.ContainsFunc(fr.records, func(r record) bool { return r.kind == recordFingerprints })
}

// lacks returns how many fingerprints are to follow the first frame.
func (fr frame) lacks() (n uint64) {
	for _, r := range fr.records {
		if r.kind == recordOpen {
			n += r.total - r.at
		}
		n -= uint64(len(r.fps))
	}
	return n
}

// continues reports whether a frame of version 1 that seems to begin a stream
// just says again that there is nothing. c.mu must be held.
func (f *Feed) continues(fr frame) bool {
	h := f.target()
	return fr.old && h != nil && h.epoch == fr.epoch && h.total() == 0 && f.child.wanted == f.child.done
}

// target returns the hint that the feed fills, nil if there is none. c.mu must be
// held.
func (f *Feed) target() *hint {
	switch {
	case f.staged != nil:
		return f.staged
	case f.begun:
		return f.child.hint
	default:
		return nil
	}
}

// follow adds a frame to the hint that it belongs to, and reports whether the
// child is synced by it. c.mu must be held.
func (f *Feed) follow(fr frame, now time.Duration) (synced bool, err error) {
	c, x := f.child, f.index
	h := f.target()
	switch {
	case fr.first && !f.continues(fr):
		f.staged.close()
		h = &hint{epoch: fr.epoch, round: c.wanted, facts: fr.facts}
		f.staged = h
		var from *hint
		if c.hint != nil && c.hint.epoch == fr.epoch && c.fault.reason == "" {
			from = c.hint
		}
		x.metrics.begins(fr)
		err = h.open(x, fr, from)
		f.seq = fr.seq
	case h == nil || h.epoch != fr.epoch:
		return false, fmt.Errorf("%w: frame %d of epoch %x", ErrEpoch, fr.seq, fr.epoch)
	case !fr.old && fr.seq != f.seq:
		return false, fmt.Errorf("%w: next is %d, not %d", ErrGap, f.seq, fr.seq)
	default:
		if fr.first {
			fr.records = fr.records[1:] // opened before
		}
		err = h.open(x, fr, nil)
	}
	if err != nil {
		return false, err
	}
	f.seq++
	x.notesNames(c, fr)
	if err := h.fill(x, fr); err != nil {
		return false, err
	}
	return f.settle(h, fr, now), nil
}

// fill adds a frame's fingerprints, and drops the sections that it drops.
func (h *hint) fill(x *Index, fr frame) error {
	if fr.old && len(h.sections) == 1 && h.sections[0].next != fr.seq {
		return fmt.Errorf("%w: next is offset %d, not %d", ErrGap, h.sections[0].next, fr.seq)
	}
	for _, r := range fr.records {
		switch r.kind {
		case recordFingerprints:
			s := h.find(r.id)
			if s == nil || s.next != r.at {
				return fmt.Errorf("%w: offset %d of section %d", ErrGap, r.at, r.id)
			}
			s.part.add(r.fps)
			if s.filter != nil {
				for _, fp := range r.fps {
					s.filter.Add(fp)
				}
			}
			s.next += uint64(len(r.fps))
			s.sum += sumOf(r.fps)
			h.bound(x)
		case recordDrop:
			if err := h.drop(r.id); err != nil {
				return err
			}
		}
	}
	return nil
}

// settle draws the conclusions from a frame that was added. c.mu must be held.
func (f *Feed) settle(h *hint, fr frame, now time.Duration) (synced bool) {
	c := f.child
	if h == f.staged {
		if !fr.complete {
			return false
		}
		old := c.hint
		c.hint, c.done = h, h.round
		old.close()
		f.staged, f.begun = nil, true
		f.index.turns.leave(f, now)
	}
	if c.wanted == c.done && len(h.wasteful()) > 0 {
		c.wanted++
	}
	switch {
	case h.tooLarge != "":
		c.unused = unused{ReasonTooLarge, h.tooLarge}
	case !fr.complete:
		c.unused = unused{ReasonIncomplete, "the child does not know yet what it holds, has not sent all of it, or holds more than its --hints.max-fingerprints"}
	default:
		c.unused = unused{}
	}
	return fr.complete && h.tooLarge == ""
}
