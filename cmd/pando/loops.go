package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"time"

	"github.com/alecthomas/kingpin/v2"

	"github.com/pandometrics/pando/querytree/treehttp"
)

// otherLoopsFlags say where a root answers control loops of other clusters.
type otherLoopsFlags struct {
	loopsAddress string
	loopNames    []string
}

func (f *otherLoopsFlags) register(c *kingpin.CmdClause) {
	c.Flag("loops.listen-address", "Address at which control loops of other clusters may ask instant queries, and do nothing else, over TLS with the files of --grpc.tls: what is between the clusters need not be trusted. None by default.").PlaceHolder("HOST:PORT").StringVar(&f.loopsAddress)
	c.Flag("loops.name", "DNS name that the certificate of such a loop must have, so that other tiers' do not do. Repeatable.").Default("pando-gitops").StringsVar(&f.loopNames)
}

// loopsTLS is the TLS configuration towards loops: that towards children, with
// certificates of certain names only.
func (f *mixFlags) loopsTLS() (*tls.Config, error) {
	cfg, err := f.childrenFlags.config()
	if err != nil {
		return nil, err
	}
	if cfg == nil || cfg.ClientAuth != tls.RequireAndVerifyClientCert {
		return nil, errors.New("--loops.listen-address needs --grpc.tls.cert-file, --grpc.tls.key-file and --grpc.tls.client-ca-file, by which loops are known")
	}
	cfg.NextProtos = []string{"h2", "http/1.1"}
	cfg.VerifyConnection = func(s tls.ConnectionState) error {
		if _, ok := f.loopOf(s.PeerCertificates); !ok {
			return fmt.Errorf("the client's certificate has none of the names %q", f.loopNames)
		}
		return nil
	}
	return cfg, nil
}

// loopOf returns the name by which a certificate is that of a loop.
func (f *otherLoopsFlags) loopOf(chain []*x509.Certificate) (name string, ok bool) {
	if len(chain) == 0 {
		return "", false
	}
	i := slices.IndexFunc(f.loopNames, func(n string) bool { return slices.Contains(chain[0].DNSNames, n) })
	if i < 0 {
		return "", false
	}
	return f.loopNames[i], true
}

// serveLoops answers control loops of other clusters, if that is wanted.
func (n *node) serveLoops(f mixFlags) error {
	if f.loopsAddress == "" {
		return nil
	}
	cfg, err := f.loopsTLS()
	if err != nil {
		return err
	}
	l, err := listen("loops.listen-address", f.loopsAddress)
	if err != nil {
		return err
	}
	n.loops = l.Addr()
	srv := &http.Server{
		Handler: n.loopsHandler(f.otherLoopsFlags), TLSConfig: cfg,
		ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 5 * time.Minute,
		ErrorLog: slog.NewLogLogger(n.logger.Handler(), slog.LevelDebug),
	}
	n.closers = append(n.closers, func() error {
		_ = l.Close() // the server has done it, if it ran
		return srv.Close()
	})
	n.group.Add(func() error {
		if err := srv.ServeTLS(l, "", ""); !errors.Is(err, http.ErrServerClosed) {
			return fmt.Errorf("serve control loops on %s: %w", l.Addr(), err)
		}
		return nil
	}, func(error) {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		if srv.Shutdown(ctx) != nil {
			_ = srv.Close()
		}
	})
	n.logger.Info("control loops of other clusters may ask", "address", l.Addr().String())
	return nil
}

// loopsHandler passes on what a loop asks, in the name of its certificate and of where
// it asks from, since loops of several clusters may have the same. What name the
// request gives itself was not checked by anybody.
func (n *node) loopsHandler(f otherLoopsFlags) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/api/v1/query", func(w http.ResponseWriter, r *http.Request) {
		name, _ := f.loopOf(r.TLS.PeerCertificates) // or there were no connection
		host, _, err := net.SplitHostPort(r.RemoteAddr)
		if err != nil {
			host = r.RemoteAddr
		}
		r = r.WithContext(treehttp.WithClient(r.Context(), "loop "+name+" at "+host))
		r.Header.Del("Authorization")
		(*n.handler.Load()).ServeHTTP(w, r)
	})
	return mux
}
