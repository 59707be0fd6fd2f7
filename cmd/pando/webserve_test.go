package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/bcrypt"
)

// webNode serves HTTP with a --web.config.file of a text, and answers with the name
// of the user.
func webNode(t *testing.T, text string) (base, file string) {
	t.Helper()
	file = filepath.Join(t.TempDir(), "web.yml")
	rewrite(t, file, text)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	n := &node{logger: slog.New(slog.DiscardHandler), webConfig: file}
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		user, _, _ := r.BasicAuth()
		fmt.Fprintf(w, "hello %s", user)
	})}
	served := make(chan error, 1)
	go func() { served <- n.serveWeb(l, srv) }()
	t.Cleanup(func() {
		if err := srv.Shutdown(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
		if err := <-served; err != nil && !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
	})
	return "http://" + l.Addr().String(), file
}

// rewrite replaces a file, as those do that mount it.
func rewrite(t *testing.T, file, text string) {
	t.Helper()
	if err := os.WriteFile(file+".new", []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(file+".new", file); err != nil {
		t.Fatal(err)
	}
}

func hashed(t *testing.T, password string) string {
	t.Helper()
	h, err := bcrypt.GenerateFromPassword([]byte(password), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	return string(h)
}

// visit returns the status and the body.
func visit(t *testing.T, url, user, password string) (int, string) {
	t.Helper()
	q, err := http.NewRequest(http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	if user != "" {
		q.SetBasicAuth(user, password)
	}
	res, err := http.DefaultClient.Do(q)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(text)
}

// Whatever becomes of the file while the process runs, nobody gets in whom the last
// good one kept out, under no name; and those stay whom it let in.
func TestWebConfigFailsClosed(t *testing.T) {
	good := "basic_auth_users:\n  alice: " + hashed(t, "secret") + "\n"
	for name, spoil := range map[string]func(t *testing.T, file string){
		"emptied":      func(t *testing.T, file string) { rewrite(t, file, "") },
		"in place":     func(t *testing.T, file string) { _ = os.Truncate(file, 0) },
		"broken":       func(t *testing.T, file string) { rewrite(t, file, "basic_auth_users: [") },
		"cut off":      func(t *testing.T, file string) { rewrite(t, file, "basic_auth_users:\n") },
		"bad password": func(t *testing.T, file string) { rewrite(t, file, "basic_auth_users: {alice: secret}\n") },
		"gone":         func(t *testing.T, file string) { _ = os.Remove(file) },
		"others":       func(t *testing.T, file string) { rewrite(t, file, "http_server_config: {http2: false}\n") },
	} {
		t.Run(name, func(t *testing.T) {
			base, file := webNode(t, good)
			check := func(when string) {
				t.Helper()
				if code, text := visit(t, base, "alice", "secret"); code != 200 || text != "hello alice" {
					t.Errorf("%s: alice gets %d %s", when, code, text)
				}
				for user, password := range map[string]string{"": "", "alice": "wrong", "mallory": "secret"} {
					if code, text := visit(t, base, user, password); code != 401 || strings.Contains(text, "hello") {
						t.Errorf("%s: %q gets %d %s", when, user, code, text)
					}
				}
			}
			check("before")
			spoil(t, file)
			check("after")
			rewrite(t, file, "basic_auth_users:\n  bob: "+hashed(t, "pass")+"\n")
			if code, text := visit(t, base, "bob", "pass"); code != 200 || text != "hello bob" {
				t.Errorf("mended: bob gets %d %s", code, text)
			}
			if code, _ := visit(t, base, "alice", "secret"); code != 401 {
				t.Errorf("mended: alice, who is not in it any more, gets %d", code)
			}
		})
	}
}

// What asks less of clients' certificates, or for no TLS any more, is not used.
func TestWebConfigIsNoLaxer(t *testing.T) {
	dir := t.TempDir()
	tls := func(text string) string { return "tls_server_config: {cert_file: c, key_file: k" + text + "}\n" }
	rank := map[string]int{"": 0, ", client_auth_type: VerifyClientCertIfGiven": 1, ", client_auth_type: RequireAnyClientCert": 2, ", client_auth_type: RequireAndVerifyClientCert, client_ca_file: ca": 3}
	read := func(text string) *webConfig {
		t.Helper()
		file := filepath.Join(dir, "web.yml")
		rewrite(t, file, text)
		c, err := parseWebConfig(file, []byte(text))
		if err != nil {
			t.Fatal(err)
		}
		return &webConfig{last: c}
	}
	for was, a := range rank {
		for is, b := range rank {
			if err := noLaxer(read(tls(was)).last, read(tls(is)).last); (err == nil) != (b >= a) {
				t.Errorf("%q after %q: %v", is, was, err)
			}
		}
		if err := noLaxer(read(tls(was)).last, read("{}").last); err == nil {
			t.Errorf("no TLS after %q is accepted", was)
		}
	}
	const verified = ", client_auth_type: RequireAndVerifyClientCert"
	if err := noLaxer(read(tls(verified+", client_ca_file: ca")).last, read(tls(verified)).last); err == nil {
		t.Error("certificates of any authority will do, and that is accepted")
	}
}

// What cannot be used because of what it names is used once that is there.
func TestWebConfigIsTriedAgain(t *testing.T) {
	file := filepath.Join(t.TempDir(), "web.yml")
	rewrite(t, file, "basic_auth_users:\n  alice: "+hashed(t, "secret")+"\n")
	c, err := openWebConfig(file, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	rewrite(t, file, "basic_auth_users:\n  bob: "+hashed(t, "secret")+"\ntls_server_config: {cert_file: cert.pem, key_file: key.pem}\n")
	if users := c.now().Users; len(users["alice"]) == 0 || len(users) != 1 {
		t.Errorf("without its certificate it is used: %v", users)
	}
	certificate(t, filepath.Dir(file))
	if users := c.now().Users; len(users["alice"]) == 0 {
		t.Errorf("it is tried at once: %v", users)
	}
	c.retry = time.Now()
	if users := c.now().Users; len(users["bob"]) == 0 || len(users) != 1 {
		t.Errorf("with its certificate it is not used: %v", users)
	}
}

// certificate writes a self-signed one, and its key.
func certificate(t *testing.T, dir string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	rewrite(t, filepath.Join(dir, "key.pem"), string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})))
	rewrite(t, filepath.Join(dir, "cert.pem"), string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})))
}

// Strangers do not make the passwords of users forgotten, nor do they use up what
// probes may ask.
func TestStrangersAtTheDoor(t *testing.T) {
	d := &door{}
	d.remember(credentials("alice"), true)
	for i := range 2 * maxKnown {
		d.remember(credentials(strconv.Itoa(i)), false)
	}
	if ok, seen := d.recall(credentials("alice")); !ok || !seen {
		t.Error("a right password was forgotten")
	}
	if len(d.wrong) > maxKnown {
		t.Errorf("%d wrong ones are remembered", len(d.wrong))
	}
	base, _ := webNode(t, "rate_limit: {interval: 1h, burst: 1}\nbasic_auth_users:\n  alice: "+hashed(t, "secret")+"\n")
	for range 3 {
		if code, _ := visit(t, base+"/-/healthy", "", ""); code != 200 {
			t.Errorf("a probe gets %d", code)
		}
	}
	if code, _ := visit(t, base+"/-/healthy", "alice", "wrong"); code != 200 {
		t.Errorf("a probe with a password that is wrong gets %d", code)
	}
	if code, _ := visit(t, base+"/-/healthy", "alice", "wrong"); code != 429 {
		t.Errorf("beyond the limit a stranger gets %d", code)
	}
}

// Probes have no password, and learn no more than whether the process is well.
func TestProbesNeedNoPassword(t *testing.T) {
	base, _ := webNode(t, "basic_auth_users:\n  alice: "+hashed(t, "secret")+"\n")
	for _, path := range []string{"/-/healthy", "/-/ready"} {
		if code, text := visit(t, base+path, "", ""); code != 200 || text != "" {
			t.Errorf("%s: %d %q", path, code, text)
		}
		if code, text := visit(t, base+path, "alice", "secret"); code != 200 || text != "hello alice" {
			t.Errorf("%s: alice gets %d %q", path, code, text)
		}
	}
	for _, path := range []string{"/-/reload", "/-/ready/", "//-/ready", "/-/ready/../../metrics", "/metrics", "/%2D/ready2"} {
		if code, text := visit(t, base+path, "", ""); code != 401 {
			t.Errorf("%s: %d %q", path, code, text)
		}
	}
}
