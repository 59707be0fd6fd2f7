package treerpc

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"sync/atomic"
)

// firstByte remembers the first byte that the peer sends: that of a session is
// yamux's version, 0, which neither an HTTP server nor TLS begins with.
type firstByte struct {
	net.Conn
	seen atomic.Int32 // the byte plus one, zero before
}

// Read implements net.Conn.
func (c *firstByte) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if n > 0 && c.seen.Load() == 0 {
		c.seen.Store(int32(p[0]) + 1)
	}
	return n, err
}

// strange reports whether the peer sent something that is not of a session.
func (c *firstByte) strange() bool { return c.seen.Load() > 1 }

// notParent asks, behind the error of a connection on which no parent greeted,
// what is most likely wrong: the port of the parent's HTTP address, as a rule.
func notParent(err error, addr string, peer *firstByte, secure bool) error {
	var plain tls.RecordHeaderError
	switch {
	case !secure:
		return fmt.Errorf("%w; is %s the address of the parent's gRPC listener (its --grpc.listen-address), and does that take connections without TLS?", err, addr)
	case errors.As(err, &plain), peer != nil && peer.strange():
		return fmt.Errorf("%w; is %s the address of the parent's gRPC listener (its --grpc.listen-address), and does that have --grpc.tls.cert-file?", err, addr)
	}
	return err
}
