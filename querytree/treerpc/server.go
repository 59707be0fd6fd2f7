package treerpc

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"

	"github.com/pandometrics/pando/querytree"
	"github.com/pandometrics/pando/querytree/querytreepb"
)

// Registry decides which children a parent has. Its methods are called
// concurrently, for different connections.
type Registry interface {
	// Admit is told of a child that wants to register, and returns the session
	// of its connection, or the reason why it may not: a *Refusal, whose code
	// and reason the child learns, or any other error, of which it learns the
	// text.
	//
	// The Child answers as long as the connection is up, and fails at once when
	// it is not. alive reports whether the peer of this connection responds
	// now: by it the registry can tell a live duplicate from a connection that
	// is half open, when another one claims the same identity.
	//
	// Admit should be quick: the child waits no longer than 10 s.
	Admit(ctx context.Context, d querytree.Description, child querytree.Child, alive func(context.Context) error) (Session, error)
}

// Session is what a Registry hears from a registered child. Calls are made one
// after another.
type Session interface {
	// Update is given every new description.
	Update(querytree.Description)
	// Hint is given every frame of the child's stream of field hints. The
	// session owns it. An error makes the child begin the stream anew, from
	// HintCursor.
	Hint(frame []byte) error
	// HintCursor is what the session has of the child's hints, from which the
	// child can go on; empty if that is nothing, or of no use.
	HintCursor() []byte
	// HintWaits reports whether frames are ignored, since it is not the child's
	// turn to send, until HintTurn receives, which never happens without cause.
	HintWaits() bool
	HintTurn() <-chan struct{}
	// HintReason is why the child's hints are not in use, in a word; empty if
	// they are.
	HintReason() string
	// Close is called exactly once, when the connection has ended, with the
	// reason. Nothing is called after it.
	Close(cause error)
}

// ServerConfig is what a Server is made of.
type ServerConfig struct {
	// Logger must not be nil.
	Logger *slog.Logger
	// Registerer takes the metrics; nil means none.
	Registerer prometheus.Registerer
	// Self describes this tier to its children. Its Instance must not be empty.
	Self func() querytree.Description
	// Registry is handed the children.
	Registry Registry
	// TLS secures connections, and authenticates children if its ClientAuth
	// says so. Nil means plain TCP: anyone who can connect can register.
	TLS *tls.Config
	// MaxConnections bounds the connections open at a time; more are closed at
	// once. Zero means 10,000.
	MaxConnections int
	// HelloTimeout bounds the time until a connection has introduced itself.
	// Zero means 10 s.
	HelloTimeout time.Duration
}

// Validate reports what is missing.
func (c ServerConfig) Validate() error {
	switch {
	case c.Logger == nil || c.Self == nil || c.Registry == nil:
		return errors.New("tree server: logger, self and registry are required")
	case c.MaxConnections < 0:
		return fmt.Errorf("tree server: %d connections allowed; use zero for the default", c.MaxConnections)
	case c.HelloTimeout < 0:
		return fmt.Errorf("tree server: hello timeout of %v; use zero for the default", c.HelloTimeout)
	}
	return nil
}

// Server is the parent's side of the link: it accepts connections of children
// and hands them to its Registry.
type Server struct {
	cfg     ServerConfig
	metrics *linkMetrics
	unpack  *unpacker
	slots   chan struct{}
}

// NewServer returns a server, and registers its metrics.
func NewServer(cfg ServerConfig) (*Server, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if cfg.MaxConnections == 0 {
		cfg.MaxConnections = 10_000
	}
	if cfg.HelloTimeout == 0 {
		cfg.HelloTimeout = handshakeTimeout
	}
	m, err := newLinkMetrics(cfg.Registerer, "child")
	if err != nil {
		return nil, err
	}
	unpack, err := newUnpacker()
	if err != nil {
		return nil, err
	}
	return &Server{cfg: cfg, metrics: m, unpack: unpack, slots: make(chan struct{}, cfg.MaxConnections)}, nil
}

// Serve accepts connections until ctx ends, then closes them all and returns
// nil once every Session is closed. It returns an error if the listener
// fails. It closes the listener. It may run for several listeners at a time.
func (s *Server) Serve(ctx context.Context, lis net.Listener) error {
	ctx, cancel := context.WithCancelCause(ctx)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel(errors.New("server stopped"))
	stop := context.AfterFunc(ctx, func() { _ = lis.Close() })
	defer stop()
	for pause := time.Duration(0); ; {
		conn, err := lis.Accept()
		switch {
		case ctx.Err() != nil:
			if err == nil {
				_ = conn.Close()
			}
			return nil
		case err != nil && !errors.Is(err, net.ErrClosed):
			// Out of file descriptors, most likely: it passes.
			pause = min(max(2*pause, 5*time.Millisecond), time.Second)
			s.cfg.Logger.Error("cannot accept connection", "err", err, "retry", pause)
			if !wait(ctx, pause) {
				return nil
			}
			continue
		case err != nil:
			return fmt.Errorf("accept on %s: %w", lis.Addr(), err)
		}
		pause = 0
		select {
		case s.slots <- struct{}{}:
			wg.Go(func() {
				defer func() { <-s.slots }()
				s.handle(ctx, conn)
			})
		default:
			s.cfg.Logger.Error("connection refused: too many", "remote", conn.RemoteAddr().String(), "limit", s.cfg.MaxConnections)
			_ = conn.Close()
		}
	}
}

// handle serves one connection to its end.
func (s *Server) handle(ctx context.Context, conn net.Conn) {
	logger := s.cfg.Logger.With("remote", conn.RemoteAddr().String())
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	secure, err := handshake(ctx, conn, s.cfg.TLS, false)
	stop()
	if err != nil {
		s.metrics.failures.Inc()
		logger.Warn("connection failed", "err", err)
		return
	}
	sess, err := newSession(&countingConn{Conn: secure, m: s.metrics}, false, logger, maxFrameSize)
	if err != nil {
		s.metrics.failures.Inc()
		logger.Error("connection failed", "err", err)
		return
	}
	a := &attachment{server: s, session: sess, logger: logger, done: make(chan struct{})}
	srv := grpc.NewServer(serverOptions(logger, s.metrics, maxUpSize, 4)...)
	querytreepb.RegisterParentServer(srv, a)
	timer := time.AfterFunc(s.cfg.HelloTimeout, a.expire)
	sess.serve(ctx, srv)
	timer.Stop()
	a.wait()
	if !a.registered() {
		s.metrics.failures.Inc()
		logger.Warn("connection ended before it was registered", "err", sess.why())
	}
}

// wait waits for d, and reports whether it passed before ctx ended.
func wait(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
