package treehttp

import (
	"io"
	"net/http"
	"strings"
	"sync"

	"github.com/klauspost/compress/gzip"
	"github.com/prometheus/prometheus/util/httputil"
)

// compressors compress answers as Prometheus' handler does, to the same bytes.
// But a compressor takes a megabyte, which that makes anew for each answer, however
// small: most of what a root allocates for light queries, and of what it collects
// garbage for. These are used again. It is safe for concurrent use.
type compressors struct{ free sync.Pool }

// serve calls next with a writer that compresses, if the client wants that.
func (c *compressors) serve(next http.Handler, w http.ResponseWriter, r *http.Request) {
	if !prefersGzip(r.Header.Get("Accept-Encoding")) {
		httputil.CompressionHandler{Handler: next}.ServeHTTP(w, r)
		return
	}
	w.Header().Add("Vary", "Accept-Encoding")
	w.Header().Set("Content-Encoding", "gzip")
	z, ok := c.free.Get().(*gzip.Writer)
	if ok {
		z.Reset(w)
	} else {
		z = gzip.NewWriter(w)
	}
	next.ServeHTTP(&gzipWriter{w, z}, r)
	w.Header().Del("Content-Length")
	// What fails here is that the client has gone.
	_ = z.Flush()
	_ = z.Close()
	z.Reset(io.Discard)
	c.free.Put(z)
}

// prefersGzip reports whether gzip comes first of the encodings that the handler
// knows. As there, an encoding with a weight is not known.
func prefersGzip(accept string) bool {
	for encoding := range strings.SplitSeq(accept, ",") {
		switch strings.TrimSpace(encoding) {
		case "gzip":
			return true
		case "deflate":
			return false
		}
	}
	return false
}

type gzipWriter struct {
	http.ResponseWriter
	z *gzip.Writer
}

// Write implements io.Writer.
func (w *gzipWriter) Write(b []byte) (int, error) {
	w.Header().Del("Content-Length")
	return w.z.Write(b)
}

// WriteHeader implements http.ResponseWriter.
func (w *gzipWriter) WriteHeader(code int) {
	w.Header().Del("Content-Length")
	w.ResponseWriter.WriteHeader(code)
}
