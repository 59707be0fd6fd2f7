package leaf

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/golang/snappy"
	"github.com/klauspost/compress/gzip"
	remoteapi "github.com/prometheus/client_golang/exp/api/remote"
	"github.com/prometheus/prometheus/config"
	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/storage/remote"
)

// maxSnappyRatio is more than the snappy block format can compress by: its best
// copy takes three bytes for 64. A larger declared length is a lie, and need
// not be allocated to find out.
const maxSnappyRatio = 32

// keepBuffer is the largest buffer that is kept for another request.
const keepBuffer = 4 << 20

// writeGuard bounds what write requests may cost before they are decoded.
type writeGuard struct {
	maxBody, maxDecoded int64
	slots               chan struct{}
	buffers             sync.Pool
}

func newWriteGuard(cfg Config) *writeGuard {
	return &writeGuard{
		maxBody:    cfg.MaxBodyBytes,
		maxDecoded: cfg.MaxDecodedBytes,
		slots:      make(chan struct{}, cfg.MaxConcurrentWrites),
		buffers:    sync.Pool{New: func() any { return new(bytes.Buffer) }},
	}
}

// httpError is an error with the status code to answer with.
type httpError struct {
	code int
	err  error
}

func (e *httpError) Error() string { return e.err.Error() }
func (e *httpError) Unwrap() error { return e.err }

func refuse(code int, format string, args ...any) error {
	return &httpError{code: code, err: fmt.Errorf(format, args...)}
}

// readTimeout is how long a sender may take to send a body.
const readTimeout = time.Minute

// admit reads the body of a request, as sent, into a buffer, and then waits for
// its turn: a slow sender keeps nobody waiting. The caller must release it.
func (g *writeGuard) admit(w http.ResponseWriter, r *http.Request, into *bytes.Buffer) error {
	// Not every connection has deadlines; then the server's own must do.
	rc := http.NewResponseController(w)
	_ = rc.SetReadDeadline(time.Now().Add(readTimeout))
	err := g.read(r, into)
	_ = rc.SetReadDeadline(time.Time{})
	if err != nil {
		return err
	}
	select {
	case g.slots <- struct{}{}:
		return nil
	case <-r.Context().Done():
		return refuse(http.StatusServiceUnavailable, "write request not started: %w", r.Context().Err())
	}
}

func (g *writeGuard) release() { <-g.slots }

func (g *writeGuard) buffer() *bytes.Buffer {
	b := g.buffers.Get().(*bytes.Buffer)
	b.Reset()
	return b
}

func (g *writeGuard) keep(b *bytes.Buffer) {
	if b.Cap() <= keepBuffer {
		g.buffers.Put(b)
	}
}

// read reads a whole body, as sent, into a buffer.
func (g *writeGuard) read(r *http.Request, into *bytes.Buffer) error {
	if r.ContentLength > g.maxBody {
		return refuse(http.StatusRequestEntityTooLarge, "request body of %d bytes exceeds the limit of %d; send fewer samples in a request", r.ContentLength, g.maxBody)
	}
	n, err := into.ReadFrom(io.LimitReader(r.Body, g.maxBody+1))
	if err != nil {
		return refuse(http.StatusBadRequest, "read request body: %w", err)
	}
	if n > g.maxBody {
		return refuse(http.StatusRequestEntityTooLarge, "request body exceeds the limit of %d bytes; send fewer samples in a request", g.maxBody)
	}
	return nil
}

// checkSnappy refuses a body whose declared length is above the bound, or more
// than its bytes can hold.
func (g *writeGuard) checkSnappy(body []byte) (int, error) {
	declared, n := binary.Uvarint(body)
	switch {
	case n <= 0:
		return 0, refuse(http.StatusBadRequest, "request body is not in snappy block format")
	case declared > uint64(g.maxDecoded):
		return 0, refuse(http.StatusRequestEntityTooLarge, "decoded request of %d bytes exceeds the limit of %d; send fewer samples in a request", declared, g.maxDecoded)
	case declared > uint64(len(body))*maxSnappyRatio:
		return 0, refuse(http.StatusBadRequest, "request body declares %d bytes, more than its %d can hold: it is corrupt", declared, len(body))
	}
	return int(declared), nil
}

// WriteHandler returns the handler for Prometheus' remote write 1.0 and 2.0. It
// answers as Prometheus does: 204 when all was stored; 400 when a sample cannot
// be stored however often it is sent; 500 when it could not be stored now.
// Metadata, of which Prometheus keeps none, is kept for Metadata.
func (l *Leaf) WriteHandler() http.Handler { return l.writeHandler }

func (l *Leaf) newWriteHandler() http.Handler {
	v1 := remoteapi.NewWriteHandler(&writeV1{leaf: l},
		remoteapi.MessageTypes{remoteapi.WriteV1MessageType, remoteapi.WriteV2MessageType},
		remoteapi.WithWriteHandlerLogger(l.logger),
		remoteapi.WithWriteHandlerMiddlewares(l.guard.snappyDecoded))
	// The metadata that comes with the series of 2.0 reaches the appender,
	// which keeps it. Start timestamps are of use to aggregation only.
	sieve := &writeV2{leaf: l}
	v2 := remote.NewWriteHandler(l.logger, l.reg, sieve,
		remoteapi.MessageTypes{remoteapi.WriteV1MessageType, remoteapi.WriteV2MessageType}, l.aggregator != nil, false, true)
	if l.aggregator != nil {
		v2 = sieve.before(v2)
	} else {
		v2 = l.guard.snappyChecked(v2)
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		kind, err := remoteapi.ParseProtoMsg(r.Header.Get("Content-Type"))
		if err == nil && kind == remoteapi.WriteV2MessageType {
			v2.ServeHTTP(w, r)
			return
		}
		v1.ServeHTTP(w, r)
	})
}

func fail(w http.ResponseWriter, err error) {
	code := http.StatusInternalServerError
	var he *httpError
	if errors.As(err, &he) {
		code = he.code
	}
	http.Error(w, err.Error(), code)
}

// snappyChecked passes on bodies within bounds, still compressed.
func (g *writeGuard) snappyChecked(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		sent := g.buffer()
		defer g.keep(sent)
		if err := g.admit(w, r, sent); err != nil {
			fail(w, err)
			return
		}
		defer g.release()
		if _, err := g.checkSnappy(sent.Bytes()); err != nil {
			fail(w, err)
			return
		}
		r.Body = io.NopCloser(bytes.NewReader(sent.Bytes()))
		next.ServeHTTP(w, r)
	})
}

// snappyDecoded passes on bodies within bounds, decompressed, as a decodedBody.
func (g *writeGuard) snappyDecoded(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if enc := r.Header.Get("Content-Encoding"); enc != "" && enc != string(remoteapi.SnappyBlockCompression) {
			http.Error(w, fmt.Sprintf("encoding %q is not accepted; use %s", enc, remoteapi.SnappyBlockCompression), http.StatusUnsupportedMediaType)
			return
		}
		g.decoded(w, r, func(_, body []byte) {
			r.Body = decodedBody{Reader: bytes.NewReader(body), data: body}
			r.Header.Del("Content-Encoding")
			next.ServeHTTP(w, r)
		})
	})
}

// decoded calls use with a body as it was sent and decompressed, which are valid until
// it returns; a body that is out of bounds is refused.
func (g *writeGuard) decoded(w http.ResponseWriter, r *http.Request, use func(sent, body []byte)) {
	sent, plain := g.buffer(), g.buffer()
	defer g.keep(sent)
	defer g.keep(plain)
	if err := g.admit(w, r, sent); err != nil {
		fail(w, err)
		return
	}
	defer g.release()
	body, err := g.decode(sent.Bytes(), plain)
	if err != nil {
		fail(w, err)
		return
	}
	use(sent.Bytes(), body)
}

func (g *writeGuard) decode(sent []byte, plain *bytes.Buffer) ([]byte, error) {
	size, err := g.checkSnappy(sent)
	if err != nil {
		return nil, err
	}
	plain.Grow(size)
	body, err := snappy.Decode(plain.AvailableBuffer()[:size], sent)
	if err != nil {
		return nil, refuse(http.StatusBadRequest, "decompress request body: %w", err)
	}
	return body, nil
}

// decodedBody is a body whose bytes can be had without another copy. They are
// valid until the handler returns.
type decodedBody struct {
	*bytes.Reader
	data []byte
}

// Close implements io.Closer.
func (decodedBody) Close() error { return nil }

// isInputError reports whether a sample was refused for what it is: sending it
// again is of no use.
func isInputError(err error) bool {
	for _, e := range []error{storage.ErrOutOfOrderSample, storage.ErrOutOfBounds, storage.ErrDuplicateSampleForTimestamp, storage.ErrTooOldSample} {
		if errors.Is(err, e) {
			return true
		}
	}
	var he histogram.Error
	return errors.As(err, &he)
}

// OTLPHandler returns the handler for OpenTelemetry metrics over HTTP, with
// the settings of the configuration file's otlp section.
func (l *Leaf) OTLPHandler() http.Handler { return l.otlpHandler }

func (l *Leaf) newOTLPHandler() http.Handler {
	sieve := &writeOTLP{leaf: l}
	next := remote.NewOTLPWriteHandler(l.logger, l.reg, sieve, func() config.Config { return *l.PrometheusConfig() },
		remote.OTLPOptions{LookbackDelta: l.cfg.LookbackDelta})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		sent, plain := l.guard.buffer(), l.guard.buffer()
		defer l.guard.keep(sent)
		defer l.guard.keep(plain)
		if err := l.guard.admit(w, r, sent); err != nil {
			fail(w, err)
			return
		}
		defer l.guard.release()
		body, err := l.guard.plain(r, sent, plain)
		if err != nil {
			fail(w, err)
			return
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		if l.aggregator != nil && r.Header.Get("Content-Type") == otlpProtobuf {
			sieve.serve(next, w, r, body)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// plain undoes the gzip compression of a body, within bounds. Other encodings
// are left to the handler to refuse.
func (g *writeGuard) plain(r *http.Request, sent, plain *bytes.Buffer) ([]byte, error) {
	if r.Header.Get("Content-Encoding") != "gzip" {
		return sent.Bytes(), nil
	}
	zr, err := gzip.NewReader(sent)
	if err != nil {
		return nil, refuse(http.StatusBadRequest, "decompress request body: %w", err)
	}
	n, err := plain.ReadFrom(io.LimitReader(zr, g.maxDecoded+1))
	if err != nil {
		return nil, refuse(http.StatusBadRequest, "decompress request body: %w", err)
	}
	if n > g.maxDecoded {
		return nil, refuse(http.StatusRequestEntityTooLarge, "decoded request exceeds the limit of %d bytes; send fewer samples in a request", g.maxDecoded)
	}
	r.Header.Del("Content-Encoding")
	return plain.Bytes(), nil
}
