package source_test

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"

	"github.com/pandometrics/pando/gitops/gittest"
	"github.com/pandometrics/pando/gitops/source"
)

// Over https the server is trusted by the authority that is named, and by no other;
// without one, by those of the machine.
func TestHTTPS(t *testing.T) {
	r := gittest.New(t)
	want := r.Commit("n", "1")
	authority, other := r.NewAuthority(), r.NewAuthority()
	url := r.ServeTLS(authority, nil)
	over := func(ca string) *source.Source {
		return follow(t, r, func(c *source.Config) {
			if c.URL, c.AllowHTTP = url, false; ca != "" {
				c.CAFile = secret(t, ca)
			}
		})
	}
	if rev := fetch(t, over(authority.PEM), source.Want{}); rev.Hash != want {
		t.Fatalf("revision %s, want %s", rev.Hash, want)
	}
	for name, ca := range map[string]string{"none": "", "another": other.PEM} {
		before := r.Requests.Load()
		_, err := over(ca).Fetch(t.Context(), source.Want{})
		refused(t, err, source.ReasonDenied, "certificate is not trusted")
		if r.Requests.Load() != before {
			t.Errorf("%s: something was asked of a server that is not trusted", name)
		}
	}
	_, err := over("nonsense").Fetch(t.Context(), source.Want{})
	refused(t, err, source.ReasonCredentials, "holds no certificate")
	_, err = follow(t, r, func(c *source.Config) { c.URL, c.CAFile = url, "/nowhere/ca.pem" }).Fetch(t.Context(), source.Want{})
	refused(t, err, source.ReasonCredentials, "/nowhere/ca.pem")
	// The name has to fit too.
	_, err = follow(t, r, func(c *source.Config) {
		c.URL, c.CAFile = strings.Replace(url, "127.0.0.1", "localhost", 1), secret(t, authority.PEM)
	}).Fetch(t.Context(), source.Want{})
	refused(t, err, source.ReasonDenied, "certificate is not trusted")
}

// A server that asks for a client's certificate gets that of the file, which may be
// replaced between two fetches.
func TestClientCertificate(t *testing.T) {
	r := gittest.New(t)
	want := r.Commit("n", "1")
	server, clients, other := r.NewAuthority(), r.NewAuthority(), r.NewAuthority()
	url := r.ServeTLS(server, clients)
	cert, key := clients.Issue("loop")
	certFile, keyFile := secret(t, cert), secret(t, key)
	s := follow(t, r, func(c *source.Config) {
		c.URL, c.AllowHTTP, c.CAFile, c.CertFile, c.KeyFile = url, false, secret(t, server.PEM), certFile, keyFile
	})
	if rev := fetch(t, s, source.Want{}); rev.Hash != want {
		t.Fatalf("revision %s, want %s", rev.Hash, want)
	}
	replace := func(cert, key string) {
		t.Helper()
		for file, text := range map[string]string{certFile: cert, keyFile: key} {
			if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	foreign, foreignKey := other.Issue("loop")
	replace(foreign, foreignKey)
	if _, err := s.Fetch(t.Context(), source.Want{}); err == nil {
		t.Fatal("fetched with a certificate that the server does not trust")
	}
	replace(cert, foreignKey)
	_, err := s.Fetch(t.Context(), source.Want{})
	refused(t, err, source.ReasonCredentials, "client certificate")
	if strings.Contains(err.Error(), "PRIVATE KEY") {
		t.Errorf("the error holds the key: %v", err)
	}
	replace(cert, key)
	fetch(t, s, source.Want{})
	if _, err := follow(t, r, func(c *source.Config) { c.URL, c.CAFile = url, secret(t, server.PEM) }).Fetch(t.Context(), source.Want{}); err == nil {
		t.Fatal("fetched without a certificate")
	}
}

// A token goes to the server with each request, as its file has it then; errors do
// not repeat it.
func TestBearerToken(t *testing.T) {
	r := gittest.New(t)
	want := r.Commit("n", "1")
	authority := r.NewAuthority()
	url := r.ServeTLS(authority, nil)
	r.Answer(func(next http.Handler, w http.ResponseWriter, q *http.Request) {
		if q.Header.Get("Authorization") != "Bearer new-token" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		next.ServeHTTP(w, q)
	})
	token := secret(t, "old-token\n")
	s := follow(t, r, func(c *source.Config) {
		c.URL, c.AllowHTTP, c.CAFile, c.BearerTokenFile = url, false, secret(t, authority.PEM), token
	})
	_, err := s.Fetch(t.Context(), source.Want{})
	refused(t, err, source.ReasonDenied, "refuses the credentials")
	if strings.Contains(err.Error(), "old-token") {
		t.Errorf("the error holds the token: %v", err)
	}
	if err := os.WriteFile(token, []byte("new-token\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if rev := fetch(t, s, source.Want{}); rev.Hash != want {
		t.Fatalf("revision %s, want %s", rev.Hash, want)
	}
	if err := os.Remove(token); err != nil {
		t.Fatal(err)
	}
	_, err = s.Fetch(t.Context(), source.Want{})
	refused(t, err, source.ReasonCredentials, token)
}

// A private key for ssh may have a passphrase.
func TestSSHPassphrase(t *testing.T) {
	r := gittest.New(t)
	want := r.Commit("n", "1")
	host, _ := sshKey(t)
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	user, err := ssh.NewSignerFromKey(private)
	if err != nil {
		t.Fatal(err)
	}
	block, err := ssh.MarshalPrivateKeyWithPassphrase(private, "", []byte("open sesame"))
	if err != nil {
		t.Fatal(err)
	}
	address := serveSSH(t, r, host, user.PublicKey())
	name, port, _ := net.SplitHostPort(address)
	known := "[" + name + "]:" + port + " " + string(ssh.MarshalAuthorizedKey(host.PublicKey()))
	over := func(passphrase string) *source.Source {
		return follow(t, r, func(c *source.Config) {
			c.URL, c.AllowHTTP = "ssh://git@"+address+"/it's.git", false
			c.IdentityFile, c.KnownHostsFile = secret(t, string(pem.EncodeToMemory(block))), secret(t, known)
			if passphrase != "" {
				c.PassphraseFile = secret(t, passphrase)
			}
		})
	}
	if rev := fetch(t, over("open sesame\n"), source.Want{}); rev.Hash != want {
		t.Fatalf("revision %s, want %s", rev.Hash, want)
	}
	_, err = over("open barley").Fetch(t.Context(), source.Want{})
	refused(t, err, source.ReasonCredentials, "private key")
	if strings.Contains(err.Error(), "barley") {
		t.Errorf("the error holds the passphrase: %v", err)
	}
	_, err = over("").Fetch(t.Context(), source.Want{})
	refused(t, err, source.ReasonCredentials, "passphrase")
}
