package ui

import (
	"bytes"
	"compress/gzip"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
)

func zipped(t *testing.T, text string) *fstest.MapFile {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if _, err := z.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return &fstest.MapFile{Data: b.Bytes()}
}

func console(t *testing.T) *Handler {
	t.Helper()
	h, err := newHandler(fstest.MapFS{
		"index.html.gz": zipped(t, "<!doctype html>"), "assets/index-abc.js.gz": zipped(t, "export {}"), ".gitignore": {Data: []byte("*")},
	})
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func get(h http.Handler, target string, header ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodGet, target, nil)
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

// Every page opens the application, and what is none is not found.
func TestPages(t *testing.T) {
	h := console(t)
	for _, p := range append(Pages(), "") {
		w := get(h, "/"+p+"?g0.expr=up")
		if w.Code != http.StatusOK || w.Body.String() != "<!doctype html>" || w.Header().Get("Cache-Control") != "no-cache" {
			t.Errorf("/%s: %d %q, Cache-Control %q", p, w.Code, w.Body, w.Header().Get("Cache-Control"))
		}
		if csp := w.Header().Get("Content-Security-Policy"); !strings.Contains(csp, "default-src 'none'") {
			t.Errorf("/%s: Content-Security-Policy %q", p, csp)
		}
	}
	for _, p := range []string{"/index.html", "/nothing", "/query/more", "/assets/other.js", "/.gitignore", "/assets/", "/../ui.go"} {
		if w := get(h, p); w.Code != http.StatusNotFound {
			t.Errorf("%s: %d, want 404", p, w.Code)
		}
	}
}

// Files named by their content are kept for ever, sent as gzip to whoever takes
// it, and not sent again to whoever has them.
func TestFiles(t *testing.T) {
	h := console(t)
	w := get(h, "/assets/index-abc.js", "Accept-Encoding", "br, gzip;q=0.5")
	if w.Header().Get("Content-Encoding") != "gzip" || !strings.Contains(w.Header().Get("Cache-Control"), "immutable") {
		t.Errorf("headers %v", w.Header())
	}
	if kind := w.Header().Get("Content-Type"); kind != "text/javascript; charset=utf-8" {
		t.Errorf("Content-Type %q", kind)
	}
	if plain := get(h, "/assets/index-abc.js", "Accept-Encoding", "gzip;q=0"); plain.Body.String() != "export {}" || plain.Header().Get("Content-Encoding") != "" {
		t.Errorf("without gzip: %q, headers %v", plain.Body, plain.Header())
	}
	if again := get(h, "/assets/index-abc.js", "If-None-Match", w.Header().Get("ETag")); again.Code != http.StatusNotModified || again.Body.Len() > 0 {
		t.Errorf("with its ETag: %d, %d bytes", again.Code, again.Body.Len())
	}
	r := httptest.NewRequest(http.MethodPost, "/query", nil)
	post := httptest.NewRecorder()
	if h.ServeHTTP(post, r); post.Code != http.StatusMethodNotAllowed {
		t.Errorf("POST: %d", post.Code)
	}
}

func TestNotBuilt(t *testing.T) {
	if _, err := newHandler(fstest.MapFS{".gitignore": {}}); !errors.Is(err, ErrNotBuilt) {
		t.Fatalf("got %v, want ErrNotBuilt", err)
	}
}

// The application and the server know the same pages.
func TestPagesAreThoseOfTheApplication(t *testing.T) {
	src, err := os.ReadFile("src/pages.ts")
	if err != nil {
		t.Fatal(err)
	}
	var want []string
	for _, m := range regexp.MustCompile(`path: '([\w-]+)'`).FindAllSubmatch(src, -1) {
		want = append(want, string(m[1]))
	}
	aliases := regexp.MustCompile(`aliases[^{]*\{([^}]*)\}`).FindSubmatch(src)
	if aliases == nil {
		t.Fatal("src/pages.ts has no aliases")
	}
	for _, m := range regexp.MustCompile(`'?([\w-]+)'?: '`).FindAllSubmatch(aliases[1], -1) {
		want = append(want, string(m[1]))
	}
	got := Pages()
	slices.Sort(want)
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("the server has %v,\nthe application %v", got, want)
	}
}
