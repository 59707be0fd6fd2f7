package roster

import (
	"errors"
	"time"

	"github.com/pandometrics/pando/querytree"
)

// Entry is a child's registration, for as long as its connection lasts. Its
// methods are called one after another.
type Entry struct {
	r    *Roster
	c    *child
	name string
	feed Feed
	// asked: the child was asked to begin its stream of hints anew.
	asked bool
	turn  chan struct{} // the feed need not wait any more
	// dead: the connection did not respond when another one claimed the same
	// identity, and has lost it. Guarded by Roster.mu.
	dead bool
}

// current reports whether the child still is this registration's. Roster.mu is
// held.
func (e *Entry) current() bool { return e.c.entry == e }

// Update takes the child's new description. The identity cannot change.
func (e *Entry) Update(d querytree.Description) {
	e.r.mu.Lock()
	defer e.r.mu.Unlock()
	if !e.current() || d.Name() != e.name {
		return
	}
	e.c.rate.observe(d, e.r.cfg.Now())
	e.r.history.Succeed(e.c.desc, d)
	e.c.desc = d
}

// Hint takes a frame of the child's field hint. An error means that the stream
// has to begin anew.
func (e *Entry) Hint(frame []byte) error {
	if e.feed == nil {
		return nil
	}
	if err := e.feed.Apply(frame); err != nil {
		e.reopen()
		return err
	}
	if !e.feed.NeedsResync() {
		e.asked = false
		return nil
	}
	if e.asked {
		return nil
	}
	e.asked = true
	return errResync
}

// reopen begins the stream anew, unless another connection has taken over: what
// this one says must not be taken for that one's hint.
func (e *Entry) reopen() {
	e.r.mu.Lock()
	defer e.r.mu.Unlock()
	if e.current() {
		e.feed, e.asked = e.r.cfg.Hints.Open(e.name, e.myTurn), false
	}
}

// myTurn notes that the feed need not wait any more.
func (e *Entry) myTurn() {
	select {
	case e.turn <- struct{}{}:
	default:
	}
}

// HintTurn receives when the child is to begin its stream of hints after it had to
// wait.
func (e *Entry) HintTurn() <-chan struct{} { return e.turn }

// HintWaits reports whether the child's frames are ignored until HintTurn.
func (e *Entry) HintWaits() bool { return e.feed != nil && e.feed.Waiting() }

// HintCursor is what there is of the child's hint already, for its stream to go on
// from.
func (e *Entry) HintCursor() []byte {
	if e.feed == nil {
		return nil
	}
	return e.feed.Cursor()
}

// HintReason is why the child's hint is not in use, in a word; empty if it is.
func (e *Entry) HintReason() string {
	if e.feed == nil {
		return "off"
	}
	return e.feed.Why()
}

// errResync makes a child begin its stream of hints anew.
var errResync = errors.New("field hints are wanted anew: it is the child's turn, or some take more memory than they need")

// Close notes that the connection has ended, and why: the child is missing from
// now on.
func (e *Entry) Close(cause error) {
	if e.feed != nil {
		e.feed.Close()
	}
	e.r.mu.Lock()
	defer e.r.mu.Unlock()
	if !e.current() {
		return
	}
	c := e.c
	c.conn, c.alive, c.entry, c.since, c.rtt = nil, nil, nil, e.r.cfg.Now(), 0
	c.rate = rate{}
	c.err = "connection closed"
	if cause != nil {
		c.err = cause.Error()
	}
	e.r.changed()
}

// rate is a counter's increase a second, smoothed over about half a minute.
type rate struct {
	last      uint64
	leaves    int
	at        time.Time
	perSecond float64
}

// observe takes the total of all leaves below; it starts anew when leaves come
// or go, whose samples of all time come or go with them.
func (r *rate) observe(d querytree.Description, now time.Time) {
	v := d.Samples
	if r.at.IsZero() || v < r.last || d.Leaves != r.leaves {
		r.last, r.leaves, r.at = v, d.Leaves, now
		return
	}
	dt := now.Sub(r.at).Seconds()
	if dt < 5 {
		return
	}
	current := float64(v-r.last) / dt
	if r.perSecond == 0 {
		r.perSecond = current
	}
	r.perSecond += (current - r.perSecond) / 4
	r.last, r.at = v, now
}
