package treerpc

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"google.golang.org/grpc"

	"github.com/pandometrics/pando/querytree/querytreepb"
)

// featureResume is that of a child and a parent which know Accepted.cursor,
// Resync.cursor and Applied.
const featureResume = "resume"

// linkFeatures are those of this program's side of a link.
func linkFeatures() []string { return []string{featureResume} }

const (
	// Frames are acknowledged when there are so many bytes or frames of them, which
	// is less than a child may have unacknowledged, or when so much time has passed
	// since the last time.
	ackBytes  = maxUnacknowledged / 8
	ackFrames = maxUnacknowledgedFrames / 8
	ackAfter  = 100 * time.Millisecond
	// maxHintCursor bounds what a parent says that it has.
	maxHintCursor = 128 << 10
)

// hintReceiver is the parent's side of one child's stream of field hints.
type hintReceiver struct {
	stream  grpc.BidiStreamingServer[querytreepb.Up, querytreepb.Down]
	session Session
	acks    bool // the child knows of acknowledgements
	name    string
	logger  *slog.Logger

	// mu is held over what is said to the child once it is accepted, and guards
	// what is below.
	mu     sync.Mutex
	run    uint64 // the newest that the child has begun
	gaveUp uint64 // runs up to this one are not listened to
	frames uint64 // of the run, that were applied
	// Since the last acknowledgement.
	newBytes  int
	newFrames uint64
	last      time.Time
	held      bool // as last said
}

// cursor is what the session has, for a child that goes on from there.
func (r *hintReceiver) cursor() []byte {
	if !r.acks {
		return nil
	}
	c := r.session.HintCursor()
	if len(c) > maxHintCursor {
		return nil
	}
	return c
}

// take passes on a frame of hints, and acknowledges it sooner or later. One that
// the session does not accept makes the child begin anew: what is still under way
// is dropped.
func (r *hintReceiver) take(h *querytreepb.Hint) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if h.GetRun() <= r.gaveUp {
		return nil
	}
	if h.GetRun() > r.run {
		r.run, r.frames, r.newBytes, r.newFrames, r.held = h.GetRun(), 0, 0, 0, false
	}
	size := len(h.GetFrame())
	if err := r.session.Hint(h.GetFrame()); err != nil {
		r.logger.Warn("field hints begin anew", "child", r.name, "err", err)
		return r.resync()
	}
	r.frames++
	r.newFrames++
	r.newBytes += size
	return r.acknowledge()
}

// beat acknowledges, now and then, what no later frame has made due.
func (r *hintReceiver) beat() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.newFrames == 0 {
		return nil
	}
	return r.acknowledge()
}

// acknowledge tells the child what was applied, if it is time to: at once of the
// first frame, for which the child waits. r.mu must be held.
func (r *hintReceiver) acknowledge() error {
	if !r.acks {
		return nil
	}
	held := r.session.HintWaits()
	due := r.frames == 1 || held != r.held || r.newBytes >= ackBytes || r.newFrames >= ackFrames || time.Since(r.last) >= ackAfter
	if !due {
		return nil
	}
	r.newBytes, r.newFrames, r.last, r.held = 0, 0, time.Now(), held
	applied := &querytreepb.Applied{Run: r.run, Frames: r.frames, Hold: held, Reason: utf8(r.session.HintReason())}
	if err := r.stream.Send(&querytreepb.Down{Message: &querytreepb.Down_Applied{Applied: applied}}); err != nil {
		return fmt.Errorf("acknowledge field hints: %w", err)
	}
	return nil
}

// resync asks for another run. r.mu must be held.
func (r *hintReceiver) resync() error {
	r.gaveUp = r.run
	resync := &querytreepb.Resync{Run: r.run, Cursor: r.cursor()}
	if err := r.stream.Send(&querytreepb.Down{Message: &querytreepb.Down_Resync{Resync: resync}}); err != nil {
		return fmt.Errorf("ask for field hints: %w", err)
	}
	return nil
}

// turns asks for another run when it is the child's turn, until ctx ends. Its
// errors show when the parent receives.
func (r *hintReceiver) turns(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-r.session.HintTurn():
		}
		r.mu.Lock()
		if r.run > r.gaveUp && r.session.HintWaits() {
			_ = r.resync()
		}
		r.mu.Unlock()
	}
}
