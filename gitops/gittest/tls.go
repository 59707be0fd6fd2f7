package gittest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"log/slog"
	"math/big"
	"net"
	"net/http/httptest"
	"time"
)

// Authority signs certificates for a test: of the server, and of its clients.
type Authority struct {
	// PEM is its own certificate.
	PEM string

	r    *Repo
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// NewAuthority makes an authority that nobody trusts yet.
func (r *Repo) NewAuthority() *Authority {
	r.t.Helper()
	a := &Authority{r: r}
	template := &x509.Certificate{Subject: pkix.Name{CommonName: "test authority"}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	a.key = a.newKey()
	a.PEM, a.cert = a.sign(template, template, a.key, a.key)
	return a
}

func (a *Authority) newKey() *ecdsa.PrivateKey {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.r.t.Fatal(err)
	}
	return key
}

// sign returns a certificate for key, in PEM and parsed.
func (a *Authority) sign(template, parent *x509.Certificate, key, by *ecdsa.PrivateKey) (string, *x509.Certificate) {
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	if err != nil {
		a.r.t.Fatal(err)
	}
	template.SerialNumber, template.NotBefore, template.NotAfter = serial, time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, by)
	if err != nil {
		a.r.t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		a.r.t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})), cert
}

// Issue returns a certificate and its key in PEM, for the server and for clients.
func (a *Authority) Issue(name string) (cert, key string) {
	a.r.t.Helper()
	k := a.newKey()
	cert, _ = a.sign(&x509.Certificate{
		Subject: pkix.Name{CommonName: name}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}, a.cert, k, a.key)
	der, err := x509.MarshalECPrivateKey(k)
	if err != nil {
		a.r.t.Fatal(err)
	}
	return cert, string(pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der}))
}

// ServeTLS serves the repository over https with a certificate of an authority, and
// returns its URL there. If clients is not nil, each client must have one of it.
func (r *Repo) ServeTLS(server, clients *Authority) string {
	r.t.Helper()
	cert, key := server.Issue("127.0.0.1")
	pair, err := tls.X509KeyPair([]byte(cert), []byte(key))
	if err != nil {
		r.t.Fatal(err)
	}
	srv := httptest.NewUnstartedServer(r.handler())
	srv.TLS = &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}
	if clients != nil {
		srv.TLS.ClientAuth, srv.TLS.ClientCAs = tls.RequireAndVerifyClientCert, x509.NewCertPool()
		srv.TLS.ClientCAs.AddCert(clients.cert)
	}
	srv.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError) // clients are refused on purpose
	srv.StartTLS()
	r.t.Cleanup(srv.Close)
	return srv.URL + "/planet.git"
}
