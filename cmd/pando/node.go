package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/oklog/run"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	versioncollector "github.com/prometheus/client_golang/prometheus/collectors/version"

	"github.com/pandometrics/pando/querytree"
)

// node is one running tier: its listeners, and what runs behind them.
//
//	             ┌──────────── node ────────────┐
//	HTTP users → │ http  → treehttp.Handler     │
//	children   → │ grpc  → treerpc.Server       │ (zone, root)
//	parents    ← │         treerpc.Link         │ (leaf, zone)
//	             │         leaf / zone / root   │
//	             └──────────────────────────────┘
type node struct {
	name   string
	logger *slog.Logger
	http   net.Listener
	grpc   net.Listener // nil for a leaf
	// loops is where control loops of other clusters are answered; nil if nowhere.
	loops net.Addr
	// handler serves HTTP.
	handler atomic.Pointer[http.Handler]
	// webConfig is the file of users and TLS, in exporter-toolkit's format.
	webConfig string
	// authenticated: the file says which users there are.
	authenticated bool
	// queries is the query log, or nil.
	queries *slog.Logger
	// reload applies what files say now; nil if there is none.
	reload func() error
	// revision is that of the configuration in effect; nil if there is none.
	revision func() string
	group    run.Group
	closers  []func() error
}

// openNode binds the addresses of a tier, that for children if it has one, and opens
// its logs and traces. From then on it says that it is starting, until it is given
// what to serve. The HTTP handler has to be wrapped in the middleware.
func openNode(f commonFlags, id querytree.Identity, forChildren *string, logger *slog.Logger) (*node, middleware, error) {
	n := &node{name: displayName(id), logger: logger, webConfig: f.webConfigFile}
	traces, err := n.open(f, id, forChildren)
	if err != nil {
		return nil, nil, errors.Join(err, n.Close())
	}
	return n, traces, nil
}

func (n *node) open(f commonFlags, id querytree.Identity, forChildren *string) (traces middleware, err error) {
	if n.authenticated, err = checksPasswords(f.webConfigFile); err != nil {
		return nil, err
	}
	if n.http, err = listen("web.listen-address", f.httpAddress); err != nil {
		return nil, err
	}
	if forChildren != nil {
		if n.grpc, err = listen("grpc.listen-address", *forChildren); err != nil {
			return nil, err
		}
	}
	n.startHTTP()
	if err := n.logQueries(f.queryLog); err != nil {
		return nil, err
	}
	return n.trace(f, id)
}

// newRegistry returns a registry with the metrics of the process.
func newRegistry() *prometheus.Registry {
	reg := prometheus.NewRegistry()
	reg.MustRegister(
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		versioncollector.NewCollector("pando"),
	)
	return reg
}

// listen binds an address, and names the flag if it cannot.
func listen(flag, address string) (net.Listener, error) {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("--%s=%s: %w", flag, address, err)
	}
	return l, nil
}

// add makes f part of the node: when any part returns, all are stopped.
func (n *node) add(f func(ctx context.Context) error) {
	ctx, cancel := context.WithCancel(context.Background())
	n.group.Add(func() error { return f(ctx) }, func(error) { cancel() })
}

// startHTTP serves at once: first that the node is starting, then, after
// serve, what it has to offer. So whoever probes it sees a live process while a
// long WAL is replayed.
func (n *node) startHTTP() {
	n.serve(starting(n.name))
	srv := &http.Server{
		Handler:           withProfiles(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { (*n.handler.Load()).ServeHTTP(w, r) })),
		ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 5 * time.Minute,
		ErrorLog: slog.NewLogLogger(n.logger.Handler(), slog.LevelDebug),
	}
	failed := make(chan error, 1)
	go func() {
		err := n.serveWeb(n.http, srv)
		if errors.Is(err, http.ErrServerClosed) {
			err = nil
		} else {
			err = fmt.Errorf("serve HTTP on %s: %w", n.http.Addr(), err)
		}
		failed <- err
	}()
	stop := sync.OnceFunc(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		if srv.Shutdown(ctx) != nil {
			_ = srv.Close()
		}
	})
	n.group.Add(func() error { return <-failed }, func(error) { stop() })
	n.closers = append(n.closers, func() error { stop(); return nil })
}

// serve makes h what the node answers from now on.
func (n *node) serve(h http.Handler) { n.handler.Store(&h) }

// starting answers until the node is open: it lives, but is not ready.
func starting(name string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/-/healthy" {
			fmt.Fprintf(w, "Pando %s is healthy.\n", name)
			return
		}
		w.Header().Set("Retry-After", "1")
		http.Error(w, "Pando "+name+" is starting: it opens its storage", http.StatusServiceUnavailable)
	})
}

// Run runs the node until ctx ends or a part of it fails, then closes it.
func (n *node) Run(ctx context.Context) error {
	stopped, stop := context.WithCancel(ctx)
	n.group.Add(func() error { <-stopped.Done(); return nil }, func(error) { stop() })
	err := n.group.Run()
	return errors.Join(err, n.Close())
}

// Close releases what the node holds; after Run it has been done.
func (n *node) Close() error {
	var errs []error
	for i := len(n.closers) - 1; i >= 0; i-- {
		errs = append(errs, n.closers[i]())
	}
	n.closers = nil
	for _, l := range []net.Listener{n.http, n.grpc} {
		if l != nil {
			_ = l.Close() // closed already if it was served
		}
	}
	return errors.Join(errs...)
}

// announce prints where the node listens.
func (n *node) announce(w io.Writer) {
	fmt.Fprintf(w, "%s listens on http://%s", n.name, n.http.Addr())
	if n.grpc != nil {
		fmt.Fprintf(w, ", children on %s", n.grpc.Addr())
	}
	fmt.Fprintln(w)
	attrs := []any{"http", n.http.Addr().String()}
	if n.grpc != nil {
		attrs = append(attrs, "grpc", n.grpc.Addr().String())
	}
	n.logger.Info("listening", attrs...)
}
