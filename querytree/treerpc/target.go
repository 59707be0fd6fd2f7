package treerpc

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"time"

	"google.golang.org/grpc"

	"github.com/pandometrics/pando/querytree/querytreepb"
)

// maxServed is the number of requests that a parent may have going at a time
// on one connection; more wait.
const maxServed = 256

// rttInterval is the time between measurements of the round trip.
const rttInterval = 5 * time.Second

// errRedundant is why a connection is given up that reached a parent which is
// connected already.
var errRedundant = errors.New("another address of the same parent is connected")

// target is one address of a parent.
type target struct {
	link   *Link
	addr   string
	failed chan<- struct{} // asks for a new lookup
	logger *slog.Logger

	// Guarded by link.mu.
	parents map[string]bool // whose address it is
	status  LinkStatus
	hints   *hintFlow // of the connection, if there is one and there are hints
	logged  string    // the error logged last, so that each is logged once
}

// run keeps the connection until ctx ends or the address is no longer wanted.
func (t *target) run(ctx context.Context) {
	cfg := &t.link.cfg
	retry := pauses{min: cfg.MinBackoff, max: cfg.MaxBackoff}
	refused := pauses{min: cfg.MinRefused, max: cfg.MaxRefused}
	for t.wanted() {
		attached, err := t.connect(ctx)
		if ctx.Err() != nil {
			return
		}
		if attached {
			retry.reset()
			refused.reset()
		}
		pause := &retry
		switch refusal, ok := errors.AsType[*Refusal](err); {
		case errors.Is(err, errRedundant) || (ok && refusal.Code == RefusedSameParent):
			pause = &refused
			t.set(StateRedundant, err)
		case ok:
			pause = &refused
			t.link.metrics.refused.WithLabelValues(refusal.Code).Inc()
			t.set(StateRefused, err)
		default:
			t.link.metrics.failures.Inc()
			t.set(StateConnecting, err)
			select {
			case t.failed <- struct{}{}:
			default:
			}
		}
		if !wait(ctx, pause.next()) {
			return
		}
	}
}

// wanted reports whether the address still belongs to a parent. If not, the
// target is forgotten.
func (t *target) wanted() bool {
	t.link.mu.Lock()
	defer t.link.mu.Unlock()
	if len(t.parents) > 0 {
		return true
	}
	delete(t.link.targets, t.addr)
	return false
}

// set notes the state, and logs the error unless it is the one logged last.
func (t *target) set(state string, err error) {
	t.link.mu.Lock()
	defer t.link.mu.Unlock()
	if t.status.State != state {
		t.status.State, t.status.Since = state, time.Now()
	}
	if t.status.Error = ""; err == nil {
		t.logged = ""
		return
	}
	t.status.Error = err.Error()
	if t.logged == t.status.Error {
		return
	}
	t.logged = t.status.Error
	switch state {
	case StateRefused:
		t.logger.Error("refused by parent", "err", err)
	case StateRedundant:
		t.logger.Debug("connection not needed", "err", err)
	default:
		t.logger.Warn("not connected to parent", "err", err)
	}
}

// connect makes one connection, and returns when it has ended, with the reason
// and whether it was registered.
func (t *target) connect(ctx context.Context) (attached bool, err error) {
	dialer := net.Dialer{Timeout: handshakeTimeout}
	conn, err := dialer.DialContext(ctx, "tcp", t.addr)
	if err != nil {
		return false, fmt.Errorf("dial parent: %w", err)
	}
	cfg := t.link.cfg.TLS
	if cfg != nil && cfg.ServerName == "" {
		cfg = cfg.Clone()
		cfg.ServerName, _, _ = net.SplitHostPort(t.status.Parent) // never changes
	}
	secure, err := handshake(ctx, conn, cfg, true)
	if err != nil {
		return false, notParent(err, t.addr, nil, true)
	}
	peer := &firstByte{Conn: secure}
	sess, err := newSession(&countingConn{Conn: peer, m: t.link.metrics}, true, t.logger, maxFrameSize)
	if err != nil {
		return false, err
	}
	options := serverOptions(t.logger, t.link.metrics, maxRequestSize, maxServed)
	srv := grpc.NewServer(append(options, grpc.ChainStreamInterceptor(t.link.track))...)
	querytreepb.RegisterTreeServer(srv, &treeService{child: t.link.cfg.Child, pack: t.link.pack})
	served := make(chan struct{})
	go func() {
		defer close(served)
		sess.serve(ctx, srv)
	}()
	r := &registration{target: t, session: sess}
	err = r.run(ctx)
	if !r.greeted && ctx.Err() == nil && !errors.As(err, new(*Refusal)) {
		err = notParent(err, t.addr, peer, cfg != nil)
	}
	if cfg != nil && !peer.strange() && !r.attached && !errors.As(err, new(*Refusal)) && !errors.Is(err, errRedundant) {
		// With TLS 1.3 a child learns only after the handshake, and not
		// always, that its certificate was refused.
		err = fmt.Errorf("%w; if the parent asks for certificates, its log says what is wrong with this child's", err)
	}
	sess.close(err)
	<-served
	return r.attached, err
}

// claim notes that this target is connected to the parent's process, unless
// another one is.
func (t *target) claim(instance string) bool {
	t.link.mu.Lock()
	defer t.link.mu.Unlock()
	if other, ok := t.link.instances[instance]; ok && other != t {
		return false
	}
	t.link.instances[instance] = t
	return true
}

func (t *target) release(instance string) {
	t.link.mu.Lock()
	defer t.link.mu.Unlock()
	delete(t.link.instances, instance)
}

// account notes which account there is of the hints sent; nil if there is none.
func (t *target) account(of *hintFlow) {
	t.link.mu.Lock()
	defer t.link.mu.Unlock()
	t.hints = of
}

// pauses are the times to wait before the next attempt: they double each time,
// and are spread out so that not all children come at once.
type pauses struct {
	min, max, last time.Duration
}

func (b *pauses) next() time.Duration {
	b.last = min(max(2*b.last, b.min), b.max)
	return b.last/2 + rand.N(b.last/2+1)
}

func (b *pauses) reset() { b.last = 0 }
