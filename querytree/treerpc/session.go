package treerpc

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/yamux"
	"go.opentelemetry.io/contrib/instrumentation/google.golang.org/grpc/otelgrpc"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials/insecure"
)

// What both sides of a connection agree on, or bound.
const (
	// protocolVersion is what this program speaks, oldestVersion what it
	// understands.
	protocolVersion = 1
	oldestVersion   = 1

	keepAlive        = 3 * time.Second  // between pings
	writeTimeout     = 10 * time.Second // of pings and of writes
	handshakeTimeout = 10 * time.Second // until Hello, Accepted and the like
	closeTimeout     = 10 * time.Second // of a half-closed stream

	// streamWindow and connWindow bound what a slow reader lets pile up for
	// one request and for all of a connection; sessionWindow is below them, and
	// carries them all.
	streamWindow  = 1 << 20
	connWindow    = 8 << 20
	sessionWindow = 8 << 20

	// maxStreams bounds the session's streams that the peer opened and that
	// are not closed. gRPC needs one, and a second while it reconnects.
	maxStreams = 8
	// maxRequestSize is the largest request to a child, maxUpSize the largest
	// message to a parent, maxHintFrame the largest frame of field hints.
	maxRequestSize = 4 << 20
	maxHintFrame   = 4 << 20
	maxUpSize      = maxHintFrame + 64<<10
)

// session is one connection between a child and a parent: a yamux session with
// a gRPC server for the peer and a gRPC client to it.
type session struct {
	mux    *yamux.Session
	client *grpc.ClientConn

	mu      sync.Mutex
	cause   error
	streams map[*heldStream]struct{} // open ones
}

// heldStream is a stream of a session that is ended before its session is: yamux
// lets those who read from a stream spin from when its session begins to close to
// when it has. If a thousand sessions close at a time, that takes minutes.
type heldStream struct {
	net.Conn
	session *session
}

// hold keeps account of a stream.
func (s *session) hold(conn net.Conn) net.Conn {
	h := &heldStream{conn, s}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.streams[h] = struct{}{}; s.cause != nil {
		h.end()
	}
	return h
}

// end makes reads return.
func (h *heldStream) end() { _ = h.SetReadDeadline(time.Unix(1, 0)) }

// Close implements net.Conn.
func (h *heldStream) Close() error {
	h.session.mu.Lock()
	delete(h.session.streams, h)
	h.session.mu.Unlock()
	return h.Conn.Close()
}

// newSession starts a session on conn, which it owns from then on.
func newSession(conn net.Conn, dialled bool, logger *slog.Logger, size int) (*session, error) {
	cfg := yamux.DefaultConfig()
	cfg.AcceptBacklog = 2 * maxStreams
	cfg.KeepAliveInterval = keepAlive
	cfg.ConnectionWriteTimeout = writeTimeout
	cfg.MaxStreamWindowSize = sessionWindow
	cfg.StreamOpenTimeout = handshakeTimeout
	cfg.StreamCloseTimeout = closeTimeout
	cfg.LogOutput, cfg.Logger = nil, yamuxLogger{logger}
	open := yamux.Server
	if dialled {
		open = yamux.Client
	}
	mux, err := open(conn, cfg)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open session: %w", err), conn.Close())
	}
	s := &session{mux: mux, streams: map[*heldStream]struct{}{}}
	if s.client, err = s.dial(size); err != nil {
		return nil, errors.Join(fmt.Errorf("open client: %w", err), mux.Close())
	}
	return s, nil
}

// dial returns a gRPC client whose connections are streams of the session.
func (s *session) dial(size int) (*grpc.ClientConn, error) {
	return grpc.NewClient("passthrough:///peer",
		grpc.WithTransportCredentials(insecure.NewCredentials()), // TLS, if any, is below the session
		grpc.WithContextDialer(func(context.Context, string) (net.Conn, error) {
			conn, err := s.mux.Open()
			if err != nil {
				return nil, err
			}
			return s.hold(conn), nil
		}),
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: 50 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: time.Second},
			MinConnectTimeout: writeTimeout,
		}),
		grpc.WithDisableServiceConfig(),
		grpc.WithDisableRetry(),
		grpc.WithIdleTimeout(0),
		grpc.WithInitialWindowSize(streamWindow),
		grpc.WithInitialConnWindowSize(connWindow),
		grpc.WithStatsHandler(otelgrpc.NewClientHandler()),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(size)),
	)
}

// serverOptions are those of the gRPC servers of both sides.
func serverOptions(logger *slog.Logger, m *linkMetrics, size int, streams uint32) []grpc.ServerOption {
	return []grpc.ServerOption{
		grpc.MaxRecvMsgSize(size),
		grpc.MaxConcurrentStreams(streams),
		grpc.ConnectionTimeout(handshakeTimeout),
		grpc.InitialWindowSize(streamWindow),
		grpc.InitialConnWindowSize(connWindow),
		grpc.MaxHeaderListSize(64 << 10),
		grpc.StatsHandler(otelgrpc.NewServerHandler()),
		grpc.ChainStreamInterceptor(m.observeServer, recoverPanic(logger, m)),
	}
}

// serve runs a gRPC server for the peer until the session ends or ctx does. It
// returns when nothing of the session is left.
func (s *session) serve(ctx context.Context, srv *grpc.Server) {
	stop := context.AfterFunc(ctx, func() { s.close(context.Cause(ctx)) })
	defer stop()
	s.close(srv.Serve(&muxListener{Session: s.mux, session: s}))
	srv.Stop()
}

// close ends the session; the first cause is kept.
func (s *session) close(cause error) {
	if cause == nil {
		cause = errors.New("session ended")
	}
	s.mu.Lock()
	if s.cause == nil {
		s.cause = cause
	}
	for h := range s.streams {
		h.end()
	}
	s.mu.Unlock()
	_ = s.mux.Close()
	_ = s.client.Close()
}

// why returns why the session ended.
func (s *session) why() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.cause
}

func (s *session) down() bool { return s.mux.IsClosed() }

// ping measures the round trip, giving up when ctx ends.
func (s *session) ping(ctx context.Context) (time.Duration, error) {
	type pong struct {
		rtt time.Duration
		err error
	}
	done := make(chan pong, 1)
	go func() { // ends with the session, or after writeTimeout
		rtt, err := s.mux.Ping()
		done <- pong{rtt, err}
	}()
	select {
	case p := <-done:
		return p.rtt, p.err
	case <-ctx.Done():
		return 0, ctx.Err()
	}
}

// muxListener accepts the session's streams, and ends the session when the
// peer holds too many open.
type muxListener struct {
	*yamux.Session
	session *session
}

// Accept implements net.Listener.
func (l *muxListener) Accept() (net.Conn, error) {
	conn, err := l.Session.Accept()
	switch {
	case errors.Is(err, io.EOF):
		return nil, errors.New("connection closed by the peer")
	case err != nil:
		// Wrapped, so that gRPC does not take it for a temporary one: all are
		// final here.
		return nil, fmt.Errorf("connection lost: %w", err)
	}
	if n := l.NumStreams(); n > 2*maxStreams {
		go l.session.close(fmt.Errorf("peer holds %d streams open", n))
	}
	return l.session.hold(conn), nil
}

// handshake does TLS on an accepted or dialled connection, if cfg is not nil.
// On error the connection is closed.
func handshake(ctx context.Context, conn net.Conn, cfg *tls.Config, dialled bool) (net.Conn, error) {
	if cfg == nil {
		return conn, nil
	}
	secure := tls.Server
	if dialled {
		secure = tls.Client
	}
	ctx, cancel := context.WithTimeout(ctx, handshakeTimeout)
	defer cancel()
	t := secure(conn, cfg)
	if err := t.HandshakeContext(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("tls handshake: %w", err), conn.Close())
	}
	return t, nil
}

// yamuxLogger sends yamux's log to slog, at debug level: what matters is
// logged by the link.
type yamuxLogger struct{ logger *slog.Logger }

func (l yamuxLogger) Print(v ...any)                 { l.log(fmt.Sprint(v...)) }
func (l yamuxLogger) Printf(format string, v ...any) { l.log(fmt.Sprintf(format, v...)) }
func (l yamuxLogger) Println(v ...any)               { l.log(fmt.Sprintln(v...)) }

func (l yamuxLogger) log(text string) {
	l.logger.Debug("yamux", "message", strings.TrimSpace(text))
}
