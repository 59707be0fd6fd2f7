package treerpc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
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
	flow     *hintFlow // set once the parent has greeted
	cursor   []byte    // what the parent had of the hints when it accepted the child

	mu sync.Mutex // of stream.Send
}

// hintOrder is what the parent says about the stream of hints.
type hintOrder struct {
	// run is the newest run to be ended: another one begins at cursor, or if hold is
	// set, when the parent says so.
	run    uint64
	cursor []byte
	hold   bool
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
	orders := make(chan hintOrder, 1)
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
		r.target.account(r.flow)
		defer r.target.account(nil)
		wg.Go(func() { r.hints(ctx, orders) })
	}
	err = r.receive(orders)
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
	r.flow = newHintFlow(slices.Contains(g.GetFeatures(), featureResume))
	return g.GetInstance(), nil
}

// hello introduces the child, and learns whether it is accepted.
func (r *registration) hello() error {
	d := r.target.link.cfg.Child.Describe()
	hello := &querytreepb.Hello{
		Version: protocolVersion, MinVersion: oldestVersion, Description: descriptionToWire(d), Features: linkFeatures(),
	}
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
	r.cursor = down.GetAccepted().GetCursor()
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
func (r *registration) receive(orders chan hintOrder) error {
	order := func(o hintOrder) {
		select { // the newest is the one that counts
		case <-orders:
		default:
		}
		orders <- o
	}
	for {
		down, err := r.stream.Recv()
		switch {
		case errors.Is(err, io.EOF):
			return errors.New("parent hung up")
		case err != nil:
			return fmt.Errorf("receive from parent: %w", err)
		}
		if m := down.GetResync(); m != nil {
			order(hintOrder{run: m.GetRun(), cursor: m.GetCursor()})
		}
		if m := down.GetApplied(); m != nil && r.flow.acknowledge(m) {
			order(hintOrder{run: m.GetRun(), hold: true})
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
func (r *registration) hints(ctx context.Context, orders <-chan hintOrder) {
	retry := pauses{min: r.target.link.cfg.MinBackoff, max: r.target.link.cfg.MaxBackoff}
	next := hintOrder{cursor: r.cursor}
	for run := uint64(1); ctx.Err() == nil; run++ {
		began := time.Now()
		next = r.hintRun(ctx, run, next.cursor, orders)
		if next.hold {
			// Not the child's fault, and the parent says when to go on.
			next = awaitOrder(ctx, run, orders)
			continue
		}
		if time.Since(began) > 2*retry.max {
			retry.reset()
		}
		wait(ctx, retry.next())
	}
}

// awaitOrder waits until the parent asks for another run than the one that it put
// off. It may have said so already.
func awaitOrder(ctx context.Context, run uint64, orders <-chan hintOrder) hintOrder {
	late := time.NewTimer(holdTimeout)
	defer late.Stop()
	for {
		select {
		case o := <-orders:
			if o.run >= run && !o.hold {
				return o
			}
		case <-late.C:
			return hintOrder{}
		case <-ctx.Done():
			return hintOrder{}
		}
	}
}

// hintRun sends the stream once, and returns when another run is due, and from
// where.
func (r *registration) hintRun(ctx context.Context, run uint64, cursor []byte, orders <-chan hintOrder) hintOrder {
	ctx, cancel := context.WithCancel(ctx)
	finished := make(chan error, 1)
	r.flow.begin(run)
	go func() {
		finished <- r.target.link.cfg.Hints.StreamFrom(ctx, cursor, func(frame []byte) error {
			if len(frame) > maxHintFrame {
				return fmt.Errorf("field hint frame of %d bytes: at most %d are allowed", len(frame), maxHintFrame)
			}
			if ctx.Err() != nil {
				return ctx.Err()
			}
			if err := r.flow.admit(ctx, len(frame)); err != nil {
				return err
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
			return hintOrder{}
		case o := <-orders:
			if o.run >= run {
				return o
			}
		case <-ctx.Done():
			return hintOrder{}
		}
	}
}
