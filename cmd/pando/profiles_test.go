package main

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// Go's profiles are there while a node starts, and nothing else is taken away
// from what it serves.
func TestProfiles(t *testing.T) {
	h := withProfiles(starting("leaf"))
	for _, c := range []struct {
		method, path, want string
		code               int
	}{
		{"GET", "/debug/pprof/", "goroutine", 200},
		{"GET", "/debug/pprof/heap?debug=1", "heap profile", 200},
		{"GET", "/debug/pprof/goroutine?debug=2", "TestProfiles", 200},
		{"GET", "/debug/pprof/cmdline", "pando.test", 200},
		{"GET", "/debug/pprof/none", "Unknown profile", 404},
		{"POST", "/debug/pprof/heap", "", 405},
		{"GET", "/debug/pprof", "starting", 503},
		{"GET", "/-/healthy", "healthy", 200},
	} {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), c.method, c.path, http.NoBody))
		if w.Code != c.code || !strings.Contains(w.Body.String(), c.want) {
			t.Errorf("%s %s: %d, %.200q, want %d and %q", c.method, c.path, w.Code, w.Body, c.code, c.want)
		}
	}
}
