package treerpc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"sync"
	"time"

	"google.golang.org/grpc"

	"github.com/pandometrics/pando/querytree"
	"github.com/pandometrics/pando/querytree/querytreepb"
)

// Refusal codes.
const (
	RefusedOther      = "other"
	RefusedDuplicate  = "duplicate"    // another live child has the same identity
	RefusedDoesNotFit = "does-not-fit" // the identity contradicts the parent's, or is not valid
	RefusedSameParent = "same-parent"  // this child is connected to this parent already
	RefusedVersion    = "version"      // no protocol version in common
)

// Refusal is the error by which a Registry refuses a child.
type Refusal struct {
	// Code is one of the constants above.
	Code string
	// Reason says what is wrong and what to change, for whoever runs the child.
	Reason string
}

// Error implements error.
func (r *Refusal) Error() string { return r.Reason }

var refusalCodes = map[string]querytreepb.Refused_Code{
	RefusedOther:      querytreepb.Refused_UNSPECIFIED,
	RefusedDuplicate:  querytreepb.Refused_DUPLICATE,
	RefusedDoesNotFit: querytreepb.Refused_DOES_NOT_FIT,
	RefusedSameParent: querytreepb.Refused_SAME_PARENT,
	RefusedVersion:    querytreepb.Refused_VERSION,
}

func refusalFromWire(w *querytreepb.Refused) *Refusal {
	for code, wire := range refusalCodes {
		if wire == w.GetCode() {
			return &Refusal{Code: code, Reason: string(w.GetReason())}
		}
	}
	return &Refusal{Code: RefusedOther, Reason: string(w.GetReason())}
}

// attachment is the parent's service for one connection. A connection attaches
// at most once.
type attachment struct {
	querytreepb.UnimplementedParentServer
	server  *Server
	session *session
	logger  *slog.Logger

	mu      sync.Mutex
	begun   bool          // Attach was called
	settled bool          // the child said Hello and was admitted or refused
	in      bool          // it was admitted
	done    chan struct{} // Attach has returned
}

// Attach implements querytreepb.ParentServer.
func (a *attachment) Attach(stream grpc.BidiStreamingServer[querytreepb.Up, querytreepb.Down]) error {
	a.mu.Lock()
	begun := a.begun
	a.begun = true
	a.mu.Unlock()
	if begun {
		return outOfTurn("this connection is attached already")
	}
	cause := errors.New("panic in the registration of the child")
	defer func() {
		// The connection is of no use without its registration. A child that
		// was refused is left to hang up by itself, so that it learns why.
		if !errors.As(cause, new(*Refusal)) {
			a.session.close(cause)
		}
		close(a.done)
	}()
	cause = a.run(stream)
	return nil
}

// run registers the child and follows it to the end, and returns why it ended.
func (a *attachment) run(stream grpc.BidiStreamingServer[querytreepb.Up, querytreepb.Down]) error {
	self := a.server.cfg.Self()
	greeting := &querytreepb.Greeting{
		Version: protocolVersion, MinVersion: oldestVersion, Instance: utf8(self.Instance), Features: linkFeatures(),
	}
	if err := stream.Send(&querytreepb.Down{Message: &querytreepb.Down_Greeting{Greeting: greeting}}); err != nil {
		return fmt.Errorf("greet child: %w", err)
	}
	up, err := stream.Recv()
	if err != nil {
		return fmt.Errorf("wait for hello: %w", err)
	}
	child := newRemoteChild(a.session.client, a.session.down, a.server.metrics, a.server.unpack)
	session, err := a.admit(stream.Context(), child, up.GetHello())
	if err != nil {
		return a.refuse(stream, err)
	}
	cause := errors.New("panic in the session of the child")
	defer func() {
		if why := a.session.why(); why != nil {
			cause = why
		}
		a.logger.Warn("child disconnected", "child", child.name(), "err", cause)
		session.Close(cause)
	}()
	hints := &hintReceiver{
		stream: stream, session: session, acks: slices.Contains(up.GetHello().GetFeatures(), featureResume),
		name: child.name(), logger: a.logger,
	}
	cause = a.follow(hints, child, self)
	return cause
}

func (a *attachment) admit(ctx context.Context, child *remoteChild, hello *querytreepb.Hello) (Session, error) {
	defer func() {
		a.mu.Lock()
		a.settled = true
		a.mu.Unlock()
	}()
	if hello == nil {
		return nil, a.malformed(errors.New("hello expected"))
	}
	if hello.GetVersion() < oldestVersion || hello.GetMinVersion() > protocolVersion {
		return nil, &Refusal{RefusedVersion, fmt.Sprintf(
			"child speaks protocol versions %d to %d, parent %d to %d: upgrade the older of the two",
			hello.GetMinVersion(), hello.GetVersion(), oldestVersion, protocolVersion)}
	}
	d, err := descriptionFromWire(hello.GetDescription())
	if err != nil {
		return nil, a.malformed(err)
	}
	child.describe.Store(&d)
	alive := func(ctx context.Context) error {
		_, err := a.session.ping(ctx)
		return err
	}
	return a.server.cfg.Registry.Admit(ctx, d, child, alive)
}

// refuse tells the child why it may not register.
func (a *attachment) refuse(stream grpc.BidiStreamingServer[querytreepb.Up, querytreepb.Down], err error) error {
	refusal, ok := errors.AsType[*Refusal](err)
	if !ok {
		refusal = &Refusal{Code: RefusedOther, Reason: err.Error()}
	}
	a.server.metrics.refused.WithLabelValues(refusal.Code).Inc()
	level := slog.LevelWarn
	switch refusal.Code {
	case RefusedDuplicate, RefusedDoesNotFit, RefusedSameParent:
		level = slog.LevelDebug // the registry tells of it, and once however often the child tries
	}
	a.logger.Log(stream.Context(), level, "child refused", "code", refusal.Code, "err", refusal.Reason)
	w := &querytreepb.Refused{Code: refusalCodes[refusal.Code], Reason: clip(refusal.Reason)}
	if err := stream.Send(&querytreepb.Down{Message: &querytreepb.Down_Refused{Refused: w}}); err != nil {
		return fmt.Errorf("refuse child: %w", err)
	}
	time.AfterFunc(handshakeTimeout, func() { a.session.close(refusal) })
	return refusal
}

// follow tells the child that it is accepted, and passes on what it says.
func (a *attachment) follow(hints *hintReceiver, child *remoteChild, self querytree.Description) (err error) {
	stream := hints.stream
	a.mu.Lock()
	a.in = true
	a.mu.Unlock()
	a.server.metrics.connects.Inc()
	a.server.metrics.connected.Inc()
	defer a.server.metrics.connected.Dec()
	accepted := &querytreepb.Accepted{Parent: descriptionToWire(self), Cursor: hints.cursor()}
	if err := stream.Send(&querytreepb.Down{Message: &querytreepb.Down_Accepted{Accepted: accepted}}); err != nil {
		return fmt.Errorf("accept child: %w", err)
	}
	d := child.Describe()
	a.logger.Info("child connected", "child", d.Name(), "tier", d.Tier, "version", d.Version)
	a.session.client.Connect() // so that the first request need not wait for it
	ctx, cancel := context.WithCancel(stream.Context())
	var turns sync.WaitGroup
	defer func() {
		cancel()
		a.session.close(err) // or else it may stand in a send
		turns.Wait()
	}()
	turns.Go(func() { hints.turns(ctx) })
	for {
		up, err := stream.Recv()
		switch {
		case errors.Is(err, io.EOF):
			return errors.New("child hung up")
		case err != nil:
			return fmt.Errorf("receive from child: %w", err)
		}
		switch m := up.GetMessage().(type) {
		case *querytreepb.Up_Description:
			d, err := descriptionFromWire(m.Description)
			if err != nil {
				return a.malformed(err)
			}
			child.describe.Store(&d)
			hints.session.Update(d)
			if err := hints.beat(); err != nil {
				return err
			}
		case *querytreepb.Up_Hint:
			if err := hints.take(m.Hint); err != nil {
				return err
			}
		}
	}
}

func (a *attachment) malformed(err error) error {
	a.server.metrics.garbage.Inc()
	return fmt.Errorf("malformed message of the child: %w", err)
}

// expire ends a connection whose child did not say Hello in time.
func (a *attachment) expire() {
	a.mu.Lock()
	settled := a.settled
	a.mu.Unlock()
	if !settled {
		a.session.close(fmt.Errorf("no hello within %v", a.server.cfg.HelloTimeout))
	}
}

// wait waits for Attach to return, if it was called.
func (a *attachment) wait() {
	a.mu.Lock()
	begun := a.begun
	a.begun = true // none may begin any more
	a.mu.Unlock()
	if begun {
		<-a.done
	}
}

// registered reports whether the registry has settled the child's case.
func (a *attachment) registered() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.settled
}
