package main

import (
	"context"
	"net/http"
	"net/http/pprof"
	"strings"
	"time"
)

// profilesPath is where Go's profiles are, as in Prometheus.
const profilesPath = "/debug/pprof/"

// longestProfile is how long a profile of what goes on may take.
const longestProfile = 5 * time.Minute

// withProfiles adds Go's profiles to what a node serves, from its first moment
// on, for a long replay is what one may want to see in them. Who may query may
// ask for them, as in Prometheus.
func withProfiles(next http.Handler) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+profilesPath, pprof.Index)
	mux.HandleFunc("GET "+profilesPath+"cmdline", pprof.Cmdline)
	mux.HandleFunc("GET "+profilesPath+"profile", pprof.Profile)
	mux.HandleFunc("GET "+profilesPath+"symbol", pprof.Symbol)
	mux.HandleFunc("POST "+profilesPath+"symbol", pprof.Symbol)
	mux.HandleFunc("GET "+profilesPath+"trace", pprof.Trace)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !strings.HasPrefix(r.URL.Path, profilesPath) {
			next.ServeHTTP(w, r)
			return
		}
		ctx, cancel := context.WithTimeout(r.Context(), longestProfile)
		defer cancel()
		r = r.WithContext(ctx)
		r.Body = http.MaxBytesReader(w, r.Body, 1<<20)
		mux.ServeHTTP(w, r)
	})
}
