package main

import (
	"cmp"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pandometrics/pando/querytree/treehttp"
)

// planetCA signs certificates for a test, and keeps them in files of a folder.
type planetCA struct {
	t    *testing.T
	dir  string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newPlanetCA(t *testing.T) *planetCA {
	t.Helper()
	a := &planetCA{t: t, dir: t.TempDir()}
	a.cert, a.key = a.sign("ca")
	return a
}

// sign writes NAME.crt and NAME.key.
func (a *planetCA) sign(name string) (*x509.Certificate, *ecdsa.PrivateKey) {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), DNSNames: []string{name}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		IsCA: a.cert == nil, BasicConstraintsValid: true, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	parent, by := a.cert, a.key
	if parent == nil {
		parent, by, template.ExtKeyUsage, template.KeyUsage = template, key, nil, x509.KeyUsageCertSign
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, by)
	if err != nil {
		a.t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		a.t.Fatal(err)
	}
	rewrite(a.t, a.file(name, "crt"), string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})))
	rewrite(a.t, a.file(name, "key"), string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})))
	out, err := x509.ParseCertificate(der)
	if err != nil {
		a.t.Fatal(err)
	}
	return out, key
}

func (a *planetCA) file(name, kind string) string { return filepath.Join(a.dir, name+"."+kind) }

// client shows a certificate of that name, none if it is empty.
func (a *planetCA) client(name string) *http.Client {
	a.t.Helper()
	pool := x509.NewCertPool()
	pool.AddCert(a.cert)
	cfg := &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
	if name != "" {
		a.sign(name)
		cert, err := tls.LoadX509KeyPair(a.file(name, "crt"), a.file(name, "key"))
		if err != nil {
			a.t.Fatal(err)
		}
		cfg.Certificates = []tls.Certificate{cert}
	}
	c := &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{TLSClientConfig: cfg}}
	a.t.Cleanup(c.CloseIdleConnections)
	return c
}

// Loops of other clusters are known by their certificates, and may query, in that
// name. Other tiers of the planet may not, nor may a loop do anything else.
func TestLoopsOfOtherClusters(t *testing.T) {
	ca := newPlanetCA(t)
	ca.sign("root")
	f := mixFlags{otherLoopsFlags: otherLoopsFlags{loopsAddress: "127.0.0.1:0", loopNames: []string{"pando-gitops"}}}
	n := &node{logger: slog.New(slog.DiscardHandler)}
	if err := n.serveLoops(f); err == nil || !strings.Contains(err.Error(), "--grpc.tls.client-ca-file") {
		t.Errorf("without certificates: %v", err)
	}
	f.childrenFlags.certFile, f.childrenFlags.keyFile, f.clientCA = ca.file("root", "crt"), ca.file("root", "key"), ca.file("ca", "crt")
	n.serve(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "%s for %s", r.URL.Path, cmp.Or(treehttp.ClientOf(r.Context()), r.Header.Get("Authorization")))
	}))
	if err := n.serveLoops(f); err != nil {
		t.Fatal(err)
	}
	address := n.loops.String()
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- n.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	for _, c := range []struct {
		certificate, path, want string
		status                  int
	}{
		{"pando-gitops", "/api/v1/query", "/api/v1/query for loop pando-gitops at 127.0.0.1", http.StatusOK},
		{"pando-gitops", "/pando/api/v1/rollouts/pause", "", http.StatusNotFound},
		{"pando-gitops", "/api/v1/../../-/reload", "", http.StatusNotFound},
		{"pando-leaf", "/api/v1/query", "", 0},
		{"", "/api/v1/query", "", 0},
	} {
		q, err := http.NewRequest(http.MethodPost, "https://"+address+c.path, nil)
		if err != nil {
			t.Fatal(err)
		}
		q.SetBasicAuth("operator", "guessed")
		res, err := ca.client(c.certificate).Do(q)
		if err != nil {
			if c.status != 0 {
				t.Errorf("%+v: %v", c, err)
			}
			continue
		}
		body, err := io.ReadAll(res.Body)
		_ = res.Body.Close()
		if err != nil || res.StatusCode != c.status || c.want != "" && string(body) != c.want {
			t.Errorf("%+v: %s %q, error %v", c, res.Status, body, err)
		}
	}
}
