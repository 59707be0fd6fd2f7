package e2e_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// authority signs certificates that are good for an hour.
type authority struct {
	tb   testing.TB
	dir  string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	// file is the certificate of the authority.
	file string
}

func newAuthority(tb testing.TB, name string) *authority {
	tb.Helper()
	a := &authority{tb: tb, dir: tb.TempDir()}
	template := certificate(name)
	template.IsCA, template.BasicConstraintsValid, template.KeyUsage = true, true, x509.KeyUsageCertSign
	a.key = a.newKey()
	der, err := x509.CreateCertificate(rand.Reader, template, template, &a.key.PublicKey, a.key)
	if err != nil {
		tb.Fatal(err)
	}
	if a.cert, err = x509.ParseCertificate(der); err != nil {
		tb.Fatal(err)
	}
	a.file = a.write(name+".crt", "CERTIFICATE", der)
	return a
}

func certificate(name string) *x509.Certificate {
	serial, _ := rand.Int(rand.Reader, big.NewInt(1<<62))
	return &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
}

func (a *authority) newKey() *ecdsa.PrivateKey {
	a.tb.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.tb.Fatal(err)
	}
	return key
}

func (a *authority) write(name, kind string, der []byte) string {
	a.tb.Helper()
	path := filepath.Join(a.dir, name)
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		a.tb.Fatal(err)
	}
	return path
}

// sign returns the files of a certificate and its key.
func (a *authority) sign(name string) (cert, key string) {
	a.tb.Helper()
	k := a.newKey()
	der, err := x509.CreateCertificate(rand.Reader, certificate(name), a.cert, &k.PublicKey, a.key)
	if err != nil {
		a.tb.Fatal(err)
	}
	raw, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		a.tb.Fatal(err)
	}
	return a.write(name+".crt", "CERTIFICATE", der), a.write(name+".key", "PRIVATE KEY", raw)
}

// asParent are the flags of a tier that shows a certificate to children, and
// wants one of theirs.
func (a *authority) asParent(name string) []string {
	cert, key := a.sign(name)
	return []string{"--grpc.tls.cert-file=" + cert, "--grpc.tls.key-file=" + key, "--grpc.tls.client-ca-file=" + a.file}
}

// asChild are the flags of a tier that shows a certificate to parents that have
// one of trusted.
func (a *authority) asChild(name string, trusted *authority) []string {
	cert, key := a.sign(name)
	return []string{"--parent.tls", "--parent.tls.ca-file=" + trusted.file, "--parent.tls.cert-file=" + cert, "--parent.tls.key-file=" + key}
}

// Tiers know each other by their certificates, and users come by HTTPS. Who has
// none, or one of another authority, is kept out and told why.
func TestProcessTLS(t *testing.T) {
	processes(t)
	ours, theirs := newAuthority(t, "ours"), newAuthority(t, "theirs")
	cert, key := ours.sign("web")
	web := writeFile(t, "web.yml", fmt.Sprintf("tls_server_config: {cert_file: %q, key_file: %q}\n", cert, key))
	root := startRoot(t, append(ours.asParent("root"), "--web.config.file="+web)...)
	zone := startZone(t, root.grpc, append(append(ours.asParent("zone"), ours.asChild("zone-up", ours)...), "--zone=eu")...)
	leaf := startLeaf(t, zone.grpc, "eu", "eu-1", ours.asChild("leaf", ours)...)
	write(t, leaf, pt(1, "__name__", "steady"))
	becomes(t, 60*time.Second, zone.http, `sum(steady)`, 1)

	pool := x509.NewCertPool()
	pool.AddCert(ours.cert)
	client := &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}}}
	t.Cleanup(client.CloseIdleConnections)
	eventually(t, 60*time.Second, func() error {
		res, err := client.Get("https://" + strings.TrimPrefix(root.http, "http://") + "/api/v1/query?query=sum(steady)")
		if err != nil {
			return err
		}
		defer res.Body.Close()
		body, err := io.ReadAll(res.Body)
		if err != nil {
			return err
		}
		return mentions([]string{string(body)}, `"success"`, `"1"]`)
	})
	if res, err := caller.Get(root.http + "/api/v1/query?query=1"); err == nil {
		_ = res.Body.Close()
		if res.StatusCode/100 == 2 {
			t.Errorf("HTTP without TLS answered %s", res.Status)
		}
	}

	for _, c := range []struct {
		name  string
		flags []string
		// Words in the log of the leaf, and of the zone.
		leaf, zone []string
	}{
		{"a parent of another authority", ours.asChild("suspicious", theirs), []string{"tls handshake", "certificate signed by unknown authority"}, []string{"tls handshake", "bad certificate"}},
		{"a child of another authority", theirs.asChild("stranger", ours), []string{"certificate"}, []string{"tls handshake", "client didn't provide a certificate"}},
		{"a child without a certificate", []string{"--parent.tls", "--parent.tls.ca-file=" + ours.file}, []string{"certificate required"}, []string{"client didn't provide a certificate"}},
		{"a child without TLS", nil, nil, []string{"tls handshake", "first record does not look like a TLS handshake"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			before := len(zone.log.String())
			stranger := startLeaf(t, zone.grpc, "eu", "eu-2", c.flags...)
			eventually(t, 60*time.Second, func() error {
				if err := mentions([]string{stranger.log.String()}, append(c.leaf, "not connected to parent")...); err != nil {
					return fmt.Errorf("log of the leaf: %w", err)
				}
				if err := mentions([]string{zone.log.String()[before:]}, c.zone...); err != nil {
					return fmt.Errorf("log of the zone: %w", err)
				}
				return nil
			})
			stranger.kill()
			if tree, err := treeOf(zone.http); err != nil || len(tree.Children) != 1 {
				t.Errorf("children of the zone: %+v, %v", tree.Children, err)
			}
		})
	}
	becomes(t, 60*time.Second, zone.http, `sum(last_over_time(steady[1h]))`, 1)
}
