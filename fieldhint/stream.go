package fieldhint

import (
	"context"
	"fmt"
)

// Cursor is a place in a child's log: what a parent holds of it.
type Cursor struct {
	Epoch, Offset uint64
}

// StreamOptions are the terms of one stream.
type StreamOptions struct {
	// From is what the parent has already (Feed.Cursor). If it belongs to
	// another epoch, the stream starts with a snapshot, as it does for the zero
	// Cursor.
	From Cursor
	// Restart makes the stream start over with a snapshot whenever something is
	// received from it. May be nil.
	Restart <-chan struct{}
}

// Stream is StreamWith for a parent that has nothing yet.
func (s *Set) Stream(ctx context.Context, send func(frame []byte) error) error {
	return s.StreamWith(ctx, StreamOptions{}, send)
}

// StreamWith sends the set to one parent until ctx ends or send returns an
// error, and returns that error: first a snapshot, then what is added, within
// milliseconds, and a heartbeat when there is nothing else to say. When the set
// begins a new epoch, the stream starts over. It runs in the caller's goroutine;
// any number of streams may run side by side, each at its own pace. send must
// not keep the frame.
func (s *Set) StreamWith(ctx context.Context, opts StreamOptions, send func(frame []byte) error) error {
	st := &stream{set: s, send: send, due: true}
	if l, _ := s.state(); opts.From.Epoch == l.epoch && opts.From.Offset <= uint64(l.len()) {
		st.log, st.cursor = l, int(opts.From.Offset)
	}
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
		case <-opts.Restart:
			st.log = nil
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
	set      *Set
	send     func([]byte) error
	log      *fpLog
	cursor   int  // position in log up to which all is sent
	complete bool // as last sent
	due      bool // a frame is due even if there is nothing new
	fps      []uint64
	buf      []byte
}

// step sends a frame if there is reason to.
//
// The order of reading matters. Completeness is read first, the log's length
// after it: whatever was added before the set was declared complete is then
// below that length, and only the frame that reaches it says complete.
func (st *stream) step() (sent bool, err error) {
	log, complete := st.set.state()
	if log != st.log {
		st.log, st.cursor, st.due = log, 0, true
	}
	complete = complete && !log.full.Load()
	total := log.len()
	end := min(total, st.cursor+st.set.cfg.FrameSize)
	complete = complete && end == total
	if end == st.cursor && complete == st.complete && !st.due {
		return false, nil
	}
	st.fps = log.read(st.fps[:0], st.cursor, end)
	f := frame{complete: complete, epoch: log.epoch, offset: uint64(st.cursor), total: uint64(total), fps: st.fps}
	st.buf = f.append(st.buf[:0])
	if err := st.send(st.buf); err != nil {
		return false, err
	}
	st.cursor, st.complete, st.due = end, complete, false
	return true, nil
}
