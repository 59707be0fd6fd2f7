package treerpc

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"runtime/debug"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// linkMetrics are the metrics of one side of the link. A tier with both a
// parent and children has two sets, told apart by the label peer.
type linkMetrics struct {
	connected prometheus.Gauge
	connects  prometheus.Counter
	failures  prometheus.Counter
	refused   *prometheus.CounterVec
	received  prometheus.Counter
	sent      prometheus.Counter
	garbage   prometheus.Counter
	panics    prometheus.Counter
	requests  *prometheus.HistogramVec
}

// newLinkMetrics registers the metrics of connections to peer, which is
// "parent" or "child". reg may be nil.
func newLinkMetrics(reg prometheus.Registerer, peer string) (*linkMetrics, error) {
	constant := prometheus.Labels{"peer": peer}
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: "pando_tree_link_" + name, Help: help, ConstLabels: constant})
	}
	m := &linkMetrics{
		connected: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "pando_tree_link_connected", Help: "Connections that are registered now.", ConstLabels: constant,
		}),
		connects: counter("connects_total", "Connections that were registered since start; all but the first of each are reconnects."),
		failures: counter("failures_total", "Connections that failed, before or after they were registered."),
		refused: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "pando_tree_link_refused_total", Help: "Registrations that were refused, by reason.", ConstLabels: constant,
		}, []string{"code"}),
		received: counter("received_bytes_total", "Bytes received on all connections, inside of TLS."),
		sent:     counter("sent_bytes_total", "Bytes sent on all connections, inside of TLS."),
		garbage:  counter("malformed_total", "Messages of peers that could not be understood."),
		panics:   counter("panics_total", "Requests of peers that ended in a panic here."),
		requests: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "pando_tree_link_request_duration_seconds", Help: "Duration of the requests served to the peer, by method and status.",
			ConstLabels: constant, Buckets: prometheus.ExponentialBuckets(0.001, 4, 9),
		}, []string{"method", "code"}),
	}
	if reg == nil {
		return m, nil
	}
	var errs []error
	for _, c := range []prometheus.Collector{
		m.connected, m.connects, m.failures, m.refused, m.received, m.sent, m.garbage, m.panics, m.requests,
	} {
		errs = append(errs, reg.Register(c))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, fmt.Errorf("register metrics of the link to the %s: %w", peer, err)
	}
	return m, nil
}

// observeServer is an interceptor that measures requests.
func (m *linkMetrics) observeServer(srv any, stream grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
	start := time.Now()
	err := handler(srv, stream)
	m.requests.WithLabelValues(info.FullMethod, status.Code(err).String()).Observe(time.Since(start).Seconds())
	return err
}

// recoverPanic is an interceptor that turns a panic into an error of the
// request.
func recoverPanic(logger *slog.Logger, m *linkMetrics) grpc.StreamServerInterceptor {
	return func(srv any, stream grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) (err error) {
		defer func() {
			if p := recover(); p != nil {
				m.panics.Inc()
				logger.Error("panic in request", "method", info.FullMethod, "panic", p, "stack", string(debug.Stack()))
				err = status.Errorf(codes.Internal, "panic: %v", p)
			}
		}()
		return handler(srv, stream)
	}
}

// countingConn counts the bytes of a connection.
type countingConn struct {
	net.Conn
	m *linkMetrics
}

// Read implements net.Conn.
func (c *countingConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.m.received.Add(float64(n))
	return n, err
}

// Write implements net.Conn.
func (c *countingConn) Write(b []byte) (int, error) {
	n, err := c.Conn.Write(b)
	c.m.sent.Add(float64(n))
	return n, err
}
