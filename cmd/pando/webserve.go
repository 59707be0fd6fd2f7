package main

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"sync"

	"github.com/prometheus/exporter-toolkit/web"
	"golang.org/x/crypto/bcrypt"
	"golang.org/x/time/rate"
)

// serveWeb serves HTTP on a listener, as --web.config.file says at that moment.
// exporter-toolkit's own server would let in everybody while its file is empty, and
// asks probes for passwords.
func (n *node) serveWeb(l net.Listener, srv *http.Server) error {
	if n.webConfig == "" {
		return srv.Serve(l)
	}
	c, err := openWebConfig(n.webConfig, n.logger)
	if err != nil {
		return err
	}
	first := c.now()
	if n.authenticated && len(first.Users) == 0 {
		return errors.New("--web.config.file: it had users when the process started, and has none now; start the process again")
	}
	door := &door{config: c, inside: srv.Handler, comparing: make(chan struct{}, 1)}
	if r := first.RateLimiterConfig; r.Interval != 0 {
		door.limiter = rate.NewLimiter(rate.Every(r.Interval), r.Burst)
	}
	srv.Handler = door
	if !first.TLSConfig.IsEnabled() {
		return srv.Serve(l)
	}
	protocols := []string{"h2", "http/1.1"}
	if !first.HTTPConfig.HTTP2 {
		srv.TLSNextProto = map[string]func(*http.Server, *tls.Conn, http.Handler){}
		protocols = protocols[1:]
	}
	if srv.TLSConfig, err = web.ConfigToTLSConfig(&first.TLSConfig); err != nil {
		return err
	}
	// Certificates are read with each connection, so that they can be renewed.
	srv.TLSConfig.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) {
		cfg, err := web.ConfigToTLSConfig(&c.now().TLSConfig)
		if err == nil {
			cfg.NextProtos = protocols
		}
		return cfg, err
	}
	return srv.ServeTLS(l, "", "")
}

// door lets in the users of --web.config.file.
type door struct {
	config  *webConfig
	limiter *rate.Limiter // nil without a limit
	inside  http.Handler

	comparing    chan struct{} // holds who compares, one at a time
	mu           sync.Mutex
	right, wrong map[[sha256.Size]byte]struct{}
}

// maxKnown bounds the passwords that are remembered, right ones and wrong ones
// apart: strangers must not make those of users forgotten.
const maxKnown = 1000

// strangersHash is compared with the passwords of users that there are not, so that
// these take as long: it is one of "fakepassword".
const strangersHash = "$2y$10$QOauhQNbBCuQDKes6eFzPeMqBSjb7Mr5DUmpZ/VcEd00UAV/LDeSi"

// ServeHTTP implements http.Handler.
func (d *door) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c := d.config.now()
	user, password, given := r.BasicAuth()
	if d.limiter != nil && (given || !probed(r)) && !d.limiter.Allow() {
		http.Error(w, http.StatusText(http.StatusTooManyRequests), http.StatusTooManyRequests)
		return
	}
	for k, v := range c.HTTPConfig.Header {
		w.Header().Set(k, v)
	}
	switch {
	case len(c.Users) == 0, given && d.knows(r.Context(), c, user, password):
		d.inside.ServeHTTP(w, r)
	case probed(r):
		// A kubelet has no password, and may learn whether the process is well.
		d.inside.ServeHTTP(statusOnly{w}, r)
	default:
		w.Header().Set("WWW-Authenticate", "Basic")
		http.Error(w, http.StatusText(http.StatusUnauthorized), http.StatusUnauthorized)
	}
}

// knows tells whether a password is that of a user. Comparing takes long, so that it
// is done once, and for one request at a time: those that are known do not wait.
func (d *door) knows(ctx context.Context, c *web.Config, user, password string) bool {
	hash, there := c.Users[user]
	if !there {
		hash = strangersHash
	}
	key := credentials(user, string(hash), password)
	if ok, seen := d.recall(key); seen {
		return ok && there
	}
	select {
	case d.comparing <- struct{}{}:
	case <-ctx.Done():
		return false
	}
	ok := bcrypt.CompareHashAndPassword([]byte(hash), []byte(password)) == nil
	<-d.comparing
	d.remember(key, ok)
	return ok && there
}

func (d *door) remember(key [sha256.Size]byte, ok bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	known := &d.wrong
	if ok {
		known = &d.right
	}
	if *known == nil || len(*known) >= maxKnown {
		*known = map[[sha256.Size]byte]struct{}{}
	}
	(*known)[key] = struct{}{}
}

func (d *door) recall(key [sha256.Size]byte) (ok, seen bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	_, ok = d.right[key]
	_, wrong := d.wrong[key]
	return ok, ok || wrong
}

// credentials is a key that tells apart what is asked about a password.
func credentials(parts ...string) [sha256.Size]byte {
	h := sha256.New()
	for _, p := range parts {
		part := sha256.Sum256([]byte(p))
		h.Write(part[:])
	}
	return [sha256.Size]byte(h.Sum(nil))
}

// probed tells whether a request is a probe of the process.
func probed(r *http.Request) bool {
	return (r.Method == http.MethodGet || r.Method == http.MethodHead) && (r.URL.Path == "/-/healthy" || r.URL.Path == "/-/ready")
}

// statusOnly answers without a body, which could name parts of the tree.
type statusOnly struct{ http.ResponseWriter }

// Write implements http.ResponseWriter.
func (s statusOnly) Write(b []byte) (int, error) { return len(b), nil }
