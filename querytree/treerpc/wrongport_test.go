package treerpc

import (
	"crypto/tls"
	"crypto/x509"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// A child that was given the address of something else than a parent's gRPC
// listener says which address that is, and asks about it.
func TestWrongPort(t *testing.T) {
	page := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNotFound) })
	for _, c := range []struct {
		name          string
		server, child bool // with TLS
	}{
		{"http", false, false},
		{"http, with tls", false, true},
		{"https, without tls", true, false},
		{"https, with tls", true, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			srv := httptest.NewUnstartedServer(page)
			srv.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
			start := srv.Start
			if c.server {
				start = srv.StartTLS
			}
			start()
			cfg := LinkConfig{Child: &fakeChild{}, MinBackoff: time.Millisecond}
			if c.child {
				cfg.TLS = &tls.Config{RootCAs: x509.NewCertPool()}
				if c.server {
					cfg.TLS.RootCAs.AddCert(srv.Certificate())
				}
			}
			defer srv.Close()
			addr := srv.Listener.Addr().String()
			cfg.Parents = []string{addr}
			link, _ := startLink(t, cfg)
			eventually(t, "an error that asks for the address", func() bool {
				st := link.Status()
				return len(st) == 1 && strings.Contains(st[0].Error, "is "+addr+" the address of the parent's gRPC listener")
			})
		})
	}
}
