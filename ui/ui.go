// Package ui is the console: a browser application, built from this folder by
// npm and embedded, that is a client of a tier's public HTTP API and of nothing
// else. A binary that was built without Node.js has none; New says so.
package ui

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"mime"
	"net/http"
	"path"
	"strings"
)

//go:embed all:dist
var dist embed.FS

// ErrNotBuilt says that the binary was built without the console.
var ErrNotBuilt = errors.New("the console is not part of this binary: it was built without Node.js")

// policy lets pages load and ask nothing but this server. Styles are inline
// where they depend on data: the width of a bar, the place of a row.
const policy = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; connect-src 'self'; font-src 'self'; " +
	"manifest-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// Handler serves the console. It is safe for concurrent use.
type Handler struct {
	files map[string]file
	pages map[string]bool
}

// file is a built file as it is sent.
type file struct {
	zipped []byte
	kind   string // its Content-Type
	etag   string
}

// New returns the console that is embedded, or ErrNotBuilt.
func New() (*Handler, error) {
	built, err := fs.Sub(dist, "dist")
	if err != nil {
		return nil, fmt.Errorf("open the console's files: %w", err)
	}
	return newHandler(built)
}

func newHandler(built fs.FS) (*Handler, error) {
	h := &Handler{files: map[string]file{}, pages: map[string]bool{"": true}}
	for _, p := range Pages() {
		h.pages[p] = true
	}
	err := fs.WalkDir(built, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(name, ".gz") {
			return err
		}
		zipped, err := fs.ReadFile(built, name)
		if err != nil {
			return err
		}
		name = strings.TrimSuffix(name, ".gz")
		sum := sha256.Sum256(zipped)
		h.files[name] = file{zipped: zipped, kind: kindOf(name), etag: `"` + hex.EncodeToString(sum[:12]) + `"`}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read the console's files: %w", err)
	}
	if _, ok := h.files["index.html"]; !ok {
		return nil, ErrNotBuilt
	}
	return h, nil
}

// Pages are the paths that open the application; ui/src/pages.ts says what they
// show. Those of Prometheus are there too, so that links to it keep their meaning.
func Pages() []string {
	return []string{
		"query", "why", "queries", "planet", "leaves", "leaf", "hints", "rollups", "rollouts",
		"alerts", "rules", "targets", "config", "flags", "status", "graph", "tsdb-status",
	}
}

// kindOf does not ask the machine, whose tables differ.
func kindOf(name string) string {
	switch ext := path.Ext(name); ext {
	case ".js":
		return "text/javascript; charset=utf-8"
	case ".css":
		return "text/css; charset=utf-8"
	case ".html":
		return "text/html; charset=utf-8"
	case ".svg":
		return "image/svg+xml"
	case ".woff2":
		return "font/woff2"
	default:
		if kind := mime.TypeByExtension(ext); kind != "" {
			return kind
		}
		return "application/octet-stream"
	}
}

// ServeHTTP serves pages and files to GET and HEAD; other paths are not found.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	name := strings.TrimPrefix(r.URL.Path, "/")
	if h.pages[name] {
		name = "index.html"
	} else if name == "index.html" {
		http.NotFound(w, r)
		return
	}
	f, ok := h.files[name]
	if !ok {
		http.NotFound(w, r)
		return
	}
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, "the console is read with GET", http.StatusMethodNotAllowed)
		return
	}
	f.serve(w, r, strings.HasPrefix(name, "assets/"))
}

// serve sends a file; named by its content, it never changes.
func (f file) serve(w http.ResponseWriter, r *http.Request, named bool) {
	header := w.Header()
	header.Set("Content-Type", f.kind)
	header.Set("Content-Security-Policy", policy)
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("Referrer-Policy", "same-origin")
	header.Set("Vary", "Accept-Encoding")
	header.Set("ETag", f.etag)
	if named {
		header.Set("Cache-Control", "public, max-age=31536000, immutable")
	} else {
		header.Set("Cache-Control", "no-cache")
	}
	if match := r.Header.Get("If-None-Match"); match != "" && strings.Contains(match, f.etag) {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	body, err := f.body(header, r)
	if err != nil {
		http.Error(w, "unpack a file of the console: "+err.Error(), http.StatusInternalServerError)
		return
	}
	header.Set("Content-Length", fmt.Sprint(len(body)))
	if r.Method == http.MethodGet {
		// The client may be gone; there is nobody left to tell.
		_, _ = w.Write(body)
	}
}

// body is the file as the client can read it.
func (f file) body(header http.Header, r *http.Request) ([]byte, error) {
	if accepts(r.Header.Get("Accept-Encoding")) {
		header.Set("Content-Encoding", "gzip")
		return f.zipped, nil
	}
	z, err := gzip.NewReader(bytes.NewReader(f.zipped))
	if err != nil {
		return nil, err
	}
	return io.ReadAll(z)
}

// accepts reports whether gzip is among the encodings of a request's header.
func accepts(encodings string) bool {
	for e := range strings.SplitSeq(encodings, ",") {
		name, q, _ := strings.Cut(strings.TrimSpace(e), ";")
		if (name == "gzip" || name == "*") && strings.TrimSpace(q) != "q=0" {
			return true
		}
	}
	return false
}
