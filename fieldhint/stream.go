package fieldhint

import (
	"context"
	"fmt"
	"slices"
)

// StreamOptions are the terms of one stream.
type StreamOptions struct {
	// From is what the parent has already (Feed.Cursor). What belongs to another
	// epoch, or to sections that are no more, does not count.
	From Cursor
	// Restart makes the stream start over, from what it receives, whenever
	// something is received from it. May be nil.
	Restart <-chan Cursor
}

// StreamFrom is StreamWith for a parent that has what cursor says (Cursor.Append).
// Of a cursor that cannot be read, nothing counts: the parent gets a snapshot.
func (s *Set) StreamFrom(ctx context.Context, cursor []byte, send func(frame []byte) error) error {
	from, err := ParseCursor(cursor)
	if err != nil {
		from = Cursor{}
	}
	return s.StreamWith(ctx, StreamOptions{From: from}, send)
}

// Stream is StreamWith for a parent that has nothing yet.
func (s *Set) Stream(ctx context.Context, send func(frame []byte) error) error {
	return s.StreamWith(ctx, StreamOptions{}, send)
}

// StreamWith sends the set to one parent until ctx ends or send returns an
// error, and returns that error: first a snapshot, then what changes, within
// milliseconds, and a heartbeat when there is nothing else to say. It runs in the
// caller's goroutine; any number of streams may run side by side, each at its own
// pace. send must not keep the frame.
func (s *Set) StreamWith(ctx context.Context, opts StreamOptions, send func(frame []byte) error) error {
	st := s.newStream(opts.From, send)
	defer st.close()
	beat := s.cfg.After(s.cfg.Heartbeat)
	for ctx.Err() == nil {
		wake := s.bell.listen() // before looking for something to send
		sent, err := st.step()
		if err != nil {
			return fmt.Errorf("send field hint frame: %w", err)
		}
		if sent {
			continue
		}
		select {
		case <-ctx.Done():
		case <-wake:
			s.linger(ctx)
		case <-beat:
			beat = s.cfg.After(s.cfg.Heartbeat)
			st.due = true
		case from := <-opts.Restart:
			st.restart(from)
		}
	}
	return context.Cause(ctx)
}

// linger lets additions that come together leave together.
func (s *Set) linger(ctx context.Context) {
	if s.cfg.Linger < 0 {
		return
	}
	select {
	case <-ctx.Done():
	case <-s.cfg.After(s.cfg.Linger):
	}
}

// stream is the state of one subscription.
type stream struct {
	set  *Set
	send func([]byte) error
	// base is the generation that the parent has all of, and relies on. Guarded
	// by set.mu.
	base *generation

	from     Cursor
	epoch    uint64
	seq      uint64
	sent     map[*section]*sent
	complete bool // as last sent
	due      bool // a frame is due even if there is nothing new
	fps      []uint64
	buf      []byte
}

// sent is what the parent has of a section.
type sent struct {
	next int
	from int64 // where the section begins, as told
}

func (s *Set) newStream(from Cursor, send func([]byte) error) *stream {
	st := &stream{set: s, send: send}
	s.mu.Lock()
	s.streams[st] = struct{}{}
	s.mu.Unlock()
	st.restart(from)
	return st
}

// restart has the next frame begin the stream anew.
func (st *stream) restart(from Cursor) {
	st.from, st.epoch, st.seq, st.sent, st.due = from, st.set.Epoch(), 0, map[*section]*sent{}, true
	st.rely(nil)
}

func (st *stream) close() {
	s := st.set
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.streams, st)
	s.retire()
}

// rely notes which generation the parent has all of.
func (st *stream) rely(on *generation) {
	s := st.set
	s.mu.Lock()
	defer s.mu.Unlock()
	st.base = on
	s.retire()
}

// outlook is what a stream has to send, as of one moment.
type outlook struct {
	epoch    uint64
	complete bool
	// relied are the sections of the generation that the parent relies on, if it
	// is not the newest; newest is the latter.
	relied   []*section
	newest   []*section
	upcoming *generation
}

func (st *stream) look() outlook {
	s := st.set
	s.mu.RLock()
	defer s.mu.RUnlock()
	g := s.newest()
	o := outlook{epoch: s.epoch, complete: s.complete, newest: g.sections, upcoming: g}
	if len(s.gens) > 1 && st.base == s.gens[0] {
		o.relied = st.base.sections
	}
	return o
}

// step sends a frame if there is reason to.
//
// The order of reading matters. Completeness is read first, the logs' lengths
// after it: whatever was added before the set was declared complete is then
// below these lengths, and only the frame that reaches them says complete. What
// the parent no longer needs is dropped last, when it has all that is to take
// its place; or all that there is of it, if no frame can say complete any more.
func (st *stream) step() (bool, error) {
	o := st.look()
	if o.epoch != st.epoch {
		st.restart(Cursor{})
		o = st.look()
	}
	f := frame{first: st.seq == 0, epoch: st.epoch, seq: st.seq}
	w := frameWriter{stream: st, frame: &f, room: st.set.cfg.FrameSize}
	st.fps = st.fps[:0]
	relied := o.relied != nil && w.sections(o.relied) == whole
	newest := w.sections(o.newest)
	f.complete = o.complete && (relied || newest == whole)
	switch {
	case newest == whole, newest == lacking && o.relied == nil:
		w.drops(o.newest)
	case newest == lacking:
		w.drops(slices.Concat(o.relied, o.newest))
	}
	if len(f.records) == 0 && f.complete == st.complete && !st.due {
		return false, nil
	}
	if f.first {
		f.facts = factsInfixes
	}
	st.buf = f.append(st.buf[:0])
	if err := st.send(st.buf); err != nil {
		return false, err
	}
	st.seq++
	st.complete, st.due, st.from = f.complete, false, Cursor{}
	if newest == whole && st.base != o.upcoming {
		st.rely(o.upcoming)
	}
	return true, nil
}

// frameWriter fills a frame.
type frameWriter struct {
	*stream
	frame *frame
	room  int // for fingerprints
}

// arrival is what a parent has of some sections, after a frame.
type arrival int

const (
	partial arrival = iota // more is to be sent
	lacking                // all that there is, but some was dropped as the logs were full
	whole                  // all that was added
)

// sections adds what the parent lacks of some sections, as far as there is room,
// and reports what it then has of them.
func (w *frameWriter) sections(sections []*section) arrival {
	all, full := true, false
	for _, c := range sections {
		w.open(c)
	}
	for _, c := range sections {
		full = full || c.log.full.Load()
		if t := w.sent[c]; t != nil {
			all = w.fingerprints(c, t) && all
		} else if c.log.len() > 0 {
			all = false // it got its first while the others were looked at
		}
		full = full || c.log.full.Load()
	}
	switch {
	case !all:
		return partial
	case full:
		return lacking
	default:
		return whole
	}
}

// open opens a section that is not empty, or widens it.
func (w *frameWriter) open(c *section) {
	total, span, t := c.log.len(), c.span(), w.sent[c]
	switch {
	case t == nil && total == 0:
		return
	case t == nil:
		t = &sent{}
		t.next = w.from.next(w.epoch, c)
		w.sent[c] = t
	case t.from == span.From:
		return
	}
	t.from = span.From
	w.frame.records = append(w.frame.records, record{
		kind: recordOpen, id: c.id, number: c.number, span: span, at: uint64(t.next), total: uint64(max(total, t.next)),
	})
}

func (w *frameWriter) fingerprints(c *section, t *sent) (all bool) {
	total := c.log.len()
	end := min(total, t.next+w.room)
	if end > t.next {
		start := len(w.fps)
		w.fps = c.log.read(w.fps, t.next, end)
		w.frame.records = append(w.frame.records, record{
			kind: recordFingerprints, id: c.id, at: uint64(t.next), fps: slices.Clip(w.fps[start:]),
		})
		w.room -= end - t.next
		t.next = end
	}
	return end == total
}

// drops drops what the parent has beyond some sections.
func (w *frameWriter) drops(keep []*section) {
	var gone []uint64
	for c := range w.sent {
		if !slices.Contains(keep, c) {
			delete(w.sent, c)
			gone = append(gone, c.id)
		}
	}
	slices.Sort(gone)
	for _, id := range gone {
		w.frame.records = append(w.frame.records, record{kind: recordDrop, id: id})
	}
}
