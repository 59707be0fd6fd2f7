package treerpc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"google.golang.org/grpc"

	"github.com/pandometrics/pando/querytree/querytreepb"
)

// registration is the child's half of Attach, for one connection.
type registration struct {
	target   *target
	session  *session
	stream   grpc.BidiStreamingClient[querytreepb.Up, querytreepb.Down]
	greeted  bool // it is a parent that answers
	attached bool

	mu sync.Mutex // of stream.Send
}

// run registers the child and keeps it registered. It returns when the
// connection has ended or is of no use, with the reason, and leaves nothing
// running.
func (r *registration) run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	late := time.AfterFunc(handshakeTimeout, func() {
		r.session.close(fmt.Errorf("not registered within %v", handshakeTimeout))
	})
	defer late.Stop()
	instance, err := r.greet(ctx)
	if err != nil {
		return r.why(err)
	}
	r.greeted = true
	if !r.target.claim(instance) {
		return errRedundant
	}
	defer r.target.release(instance)
	resync := make(chan uint64, 1)
	if err := r.hello(); err != nil {
		return r.why(err)
	}
	if !late.Stop() {
		return r.why(errors.New("not registered in time"))
	}
	r.attached = true
	m := r.target.link.metrics
	m.connects.Inc()
	m.connected.Inc()
	defer m.connected.Dec()

	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	wg.Go(func() { r.beat(ctx) })
	wg.Go(func() { r.measure(ctx) })
	if r.target.link.cfg.Hints != nil {
		wg.Go(func() { r.hints(ctx, resync) })
	}
	err = r.receive(resync)
	// Before the others are waited for: they may stand in a send.
	cancel()
	return r.why(err)
}

// why prefers the reason why the session ended to its consequences.
func (r *registration) why(err error) error {
	if _, refused := errors.AsType[*Refusal](err); refused {
		return err
	}
	if cause := r.session.why(); cause != nil {
		return cause
	}
	return err
}

// greet opens the call and learns who answers it.
func (r *registration) greet(ctx context.Context) (instance string, err error) {
	r.stream, err = querytreepb.NewParentClient(r.session.client).Attach(ctx)
	if err != nil {
		return "", fmt.Errorf("attach to parent: %w", err)
	}
	down, err := r.stream.Recv()
	if err != nil {
		return "", fmt.Errorf("wait for greeting: %w", err)
	}
	g := down.GetGreeting()
	switch {
	case g == nil || g.GetInstance() == "":
		return "", errors.New("parent does not greet")
	case g.GetVersion() < oldestVersion || g.GetMinVersion() > protocolVersion:
		return "", &Refusal{RefusedVersion, fmt.Sprintf(
			"parent speaks protocol versions %d to %d, child %d to %d: upgrade the older of the two",
			g.GetMinVersion(), g.GetVersion(), oldestVersion, protocolVersion)}
	}
	return g.GetInstance(), nil
}

// hello introduces the child, and learns whether it is accepted.
func (r *registration) hello() error {
	d := r.target.link.cfg.Child.Describe()
	hello := &querytreepb.Hello{Version: protocolVersion, MinVersion: oldestVersion, Description: descriptionToWire(d)}
	if err := r.send(&querytreepb.Up{Message: &querytreepb.Up_Hello{Hello: hello}}); err != nil {
		return fmt.Errorf("say hello: %w", err)
	}
	down, err := r.stream.Recv()
	if err != nil {
		return fmt.Errorf("wait to be accepted: %w", err)
	}
	if refused := down.GetRefused(); refused != nil {
		return refusalFromWire(refused)
	}
	if down.GetAccepted() == nil {
		return errors.New("parent neither accepts nor refuses")
	}
	parent, err := descriptionFromWire(down.GetAccepted().GetParent())
	if err != nil {
		return fmt.Errorf("parent's %w", err)
	}
	t := r.target
	t.set(StateConnected, nil)
	t.link.mu.Lock()
	t.status.Name = parent.Name()
	t.link.mu.Unlock()
	t.logger.Info("connected to parent", "name", parent.Name(), "child", d.Name())
	return nil
}

// send sends one message; senders take turns.
func (r *registration) send(up *querytreepb.Up) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.stream.Send(up)
}

// receive follows what the parent says, to the end of the connection.
func (r *registration) receive(resync chan uint64) error {
	for {
		down, err := r.stream.Recv()
		switch {
		case errors.Is(err, io.EOF):
			return errors.New("parent hung up")
		case err != nil:
			return fmt.Errorf("receive from parent: %w", err)
		}
		if m := down.GetResync(); m != nil {
			select { // the newest is the one that counts
			case <-resync:
			default:
			}
			resync <- m.GetRun()
		}
	}
}

// beat sends the child's description now and then. Its errors show in receive.
func (r *registration) beat(ctx context.Context) {
	for wait(ctx, r.target.link.cfg.Heartbeat) {
		d := descriptionToWire(r.target.link.cfg.Child.Describe())
		if r.send(&querytreepb.Up{Message: &querytreepb.Up_Description{Description: d}}) != nil {
			return
		}
	}
}

// measure keeps the round-trip time of the status up to date.
func (r *registration) measure(ctx context.Context) {
	for {
		if rtt, err := r.session.ping(ctx); err == nil {
			r.target.link.mu.Lock()
			r.target.status.RTT = rtt
			r.target.link.mu.Unlock()
		}
		if !wait(ctx, rttInterval) {
			return
		}
	}
}

// hints sends the stream of field hints, and begins it anew when it fails or
// the parent asks for that.
func (r *registration) hints(ctx context.Context, resync <-chan uint64) {
	retry := pauses{min: r.target.link.cfg.MinBackoff, max: r.target.link.cfg.MaxBackoff}
	for run := uint64(1); ctx.Err() == nil; run++ {
		began := time.Now()
		r.hintRun(ctx, run, resync)
		if time.Since(began) > 2*retry.max {
			retry.reset()
		}
		wait(ctx, retry.next())
	}
}

// hintRun sends the stream once, and returns when another run is due.
func (r *registration) hintRun(ctx context.Context, run uint64, resync <-chan uint64) {
	ctx, cancel := context.WithCancel(ctx)
	finished := make(chan error, 1)
	go func() {
		finished <- r.target.link.cfg.Hints.Stream(ctx, func(frame []byte) error {
			if len(frame) > maxHintFrame {
				return fmt.Errorf("field hint frame of %d bytes: at most %d are allowed", len(frame), maxHintFrame)
			}
			if ctx.Err() != nil {
				return ctx.Err()
			}
			return r.send(&querytreepb.Up{Message: &querytreepb.Up_Hint{Hint: &querytreepb.Hint{Run: run, Frame: frame}}})
		})
	}()
	done := finished // nil once the stream has returned
	defer func() {
		cancel()
		if done != nil {
			<-done
		}
	}()
	for {
		select {
		case err := <-done:
			done = nil
			if err == nil {
				continue // it has sent all that it will
			}
			if ctx.Err() == nil {
				r.target.logger.Warn("field hints begin anew", "err", err)
			}
			return
		case gaveUp := <-resync:
			if gaveUp >= run {
				return
			}
		case <-ctx.Done():
			return
		}
	}
}
