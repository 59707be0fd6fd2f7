package treerpc

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/pandometrics/pando/querytree"
)

// hintList is a HintSource of a fixed list, which it counts the readers of.
type hintList struct {
	frames [][]byte
	runs   atomic.Int64
}

func (h *hintList) StreamFrom(ctx context.Context, _ []byte, send func([]byte) error) error {
	run := h.runs.Add(1)
	if err := send(fmt.Appendf(nil, "run %d", run)); err != nil {
		return err
	}
	for _, f := range h.frames {
		if run > 1 && string(f) == "bad" {
			continue
		}
		if err := send(f); err != nil {
			return err
		}
	}
	<-ctx.Done()
	return ctx.Err()
}

// A child is admitted with its description, heartbeats update it, and its
// hints arrive in order.
func TestRegistration(t *testing.T) {
	registry := newFakeRegistry()
	reg := prometheus.NewRegistry()
	addr, stopServer := startServer(t, nil, ServerConfig{Registry: registry, Registerer: reg})
	link, stopLink := startLink(t, LinkConfig{
		Child: &fakeChild{description: leafDescription()}, Hints: &hintList{frames: [][]byte{[]byte("one"), {}}},
		Parents: []string{addr}, Registerer: reg,
	})
	s := receive(t, "session", registry.sessions)
	for _, d := range []querytree.Description{s.description, receive(t, "update", s.updates), s.child.Describe()} {
		if diff := cmp.Diff(leafDescription(), d, sameBits); diff != "" {
			t.Errorf("description:\n%s", diff)
		}
	}
	for _, want := range []string{"run 1", "one", ""} {
		if got := string(receive(t, "hint", s.hints)); got != want {
			t.Errorf("hint %q, want %q", got, want)
		}
	}
	if err := s.alive(t.Context()); err != nil {
		t.Error("not alive:", err)
	}
	eventually(t, "status with a round-trip time", func() bool {
		st := link.Status()
		return len(st) == 1 && st[0].State == StateConnected && st[0].Address == addr && st[0].Name == "zone=eu" && st[0].RTT > 0 && st[0].Error == ""
	})
	if n, err := testutil.GatherAndCount(reg, "pando_tree_link_connected"); n != 2 || err != nil {
		t.Errorf("%d series of pando_tree_link_connected, error %v", n, err)
	}
	stopLink()
	if err := receive(t, "close", s.closed); err == nil {
		t.Error("closed without a cause")
	}
	if err := s.alive(t.Context()); err == nil {
		t.Error("alive after its end")
	}
	if _, err := s.child.Names(t.Context(), querytree.NamesRequest{}); !errors.Is(err, ErrDisconnected) {
		t.Error("request after the end:", err)
	}
	stopServer()
}

// A frame of hints that the parent does not accept makes the stream begin
// anew; what is left of the old run is not shown.
func TestHintResync(t *testing.T) {
	registry := newFakeRegistry()
	addr, _ := startServer(t, nil, ServerConfig{Registry: registry})
	hints := &hintList{frames: [][]byte{[]byte("bad"), []byte("after")}}
	startLink(t, LinkConfig{Child: &fakeChild{}, Hints: hints, Parents: []string{addr}, MinBackoff: time.Millisecond})
	s := receive(t, "session", registry.sessions)
	for _, want := range []string{"run 1", "bad", "run 2", "after"} {
		if got := string(receive(t, "hint", s.hints)); got != want {
			t.Fatalf("hint %q, want %q", got, want)
		}
	}
}

// A hint source that fails is asked again, on the same connection.
func TestHintSourceFails(t *testing.T) {
	registry := newFakeRegistry()
	addr, _ := startServer(t, nil, ServerConfig{Registry: registry})
	startLink(t, LinkConfig{
		Child: &fakeChild{}, Parents: []string{addr}, MinBackoff: time.Millisecond,
		Hints: hintFunc(func(_ context.Context, _ []byte, send func([]byte) error) error {
			if err := send([]byte("x")); err != nil {
				return err
			}
			return send(make([]byte, maxHintFrame+1))
		}),
	})
	s := receive(t, "session", registry.sessions)
	for range 3 {
		if string(receive(t, "hint", s.hints)) != "x" {
			t.Fatal("another hint")
		}
	}
	if len(registry.sessions) != 0 {
		t.Error("connected again")
	}
}

type hintFunc func(context.Context, []byte, func([]byte) error) error

func (f hintFunc) StreamFrom(ctx context.Context, cursor []byte, send func([]byte) error) error {
	return f(ctx, cursor, send)
}

// A parent that restarts has its child back, and requests in between fail at
// once.
func TestParentRestart(t *testing.T) {
	registry := newFakeRegistry()
	lis, err := net.Listen("tcp", "127.0.0.2:0") // where nobody else takes the port meanwhile
	if err != nil {
		t.Fatal(err)
	}
	addr, stop := startServer(t, lis, ServerConfig{Registry: registry})
	link, _ := startLink(t, LinkConfig{Child: &fakeChild{description: leafDescription()}, Parents: []string{addr}})
	first := receive(t, "session", registry.sessions)
	stop()
	receive(t, "close", first.closed)
	eventually(t, "connecting, with an error", func() bool {
		st := link.Status()
		return len(st) == 1 && st[0].State == StateConnecting && st[0].Error != ""
	})
	if _, err := first.child.Exec(t.Context(), querytree.ExecRequest{}); !errors.Is(err, ErrDisconnected) {
		t.Error("exec on a connection that is down:", err)
	}
	eventually(t, "listen again", func() (ok bool) {
		lis, err = net.Listen("tcp", addr)
		return err == nil
	})
	startServer(t, lis, ServerConfig{Registry: registry})
	second := receive(t, "second session", registry.sessions)
	if _, err := second.child.Names(t.Context(), querytree.NamesRequest{}); err == nil || err.Error() != errNotFaked.Error() {
		t.Error("names:", err)
	}
}

// recorder is a log handler that keeps messages of a level.
type recorder struct {
	slog.Handler
	level slog.Level
	mu    sync.Mutex
	seen  []string
}

func newRecorder(level slog.Level) *recorder {
	return &recorder{Handler: slog.DiscardHandler, level: level}
}

func (r *recorder) Enabled(context.Context, slog.Level) bool { return true }
func (r *recorder) WithAttrs([]slog.Attr) slog.Handler       { return r }
func (r *recorder) Handle(_ context.Context, e slog.Record) error {
	if e.Level == r.level {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.seen = append(r.seen, e.Message)
	}
	return nil
}

func (r *recorder) messages() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.seen)
}

// A refusal reaches the child with its reason, is logged once, and is tried
// again until it is lifted.
func TestRefused(t *testing.T) {
	registry := newFakeRegistry()
	var attempts atomic.Int64
	var lifted atomic.Bool
	registry.admit = func(querytree.Description) error {
		attempts.Add(1)
		if lifted.Load() {
			return nil
		}
		return fmt.Errorf("registry: %w", &Refusal{RefusedDuplicate, "leaf-2 has the same identity: change --replica"})
	}
	reg := prometheus.NewRegistry()
	addr, _ := startServer(t, nil, ServerConfig{Registry: registry, Registerer: reg})
	log := newRecorder(slog.LevelError)
	link, _ := startLink(t, LinkConfig{
		Child: &fakeChild{}, Parents: []string{addr}, Logger: slog.New(log), MinRefused: time.Millisecond, MaxRefused: time.Millisecond,
	})
	eventually(t, "three attempts", func() bool { return attempts.Load() > 3 })
	st := link.Status()[0]
	if st.State != StateRefused || st.Error != "leaf-2 has the same identity: change --replica" {
		t.Errorf("status %+v", st)
	}
	if got := log.messages(); len(got) != 1 {
		t.Errorf("logged %q", got)
	}
	if n, err := testutil.GatherAndCount(reg, "pando_tree_link_refused_total"); n != 1 || err != nil {
		t.Errorf("%d series of pando_tree_link_refused_total, error %v", n, err)
	}
	lifted.Store(true)
	receive(t, "session", registry.sessions)
}

// Any other error of the registry is told to the child as well.
func TestRefusedForOtherReason(t *testing.T) {
	registry := newFakeRegistry()
	registry.admit = func(querytree.Description) error { return errors.New("shutting down") }
	addr, _ := startServer(t, nil, ServerConfig{Registry: registry})
	link, _ := startLink(t, LinkConfig{Child: &fakeChild{}, Parents: []string{addr}})
	eventually(t, "refused", func() bool {
		st := link.Status()
		return len(st) == 1 && st[0].State == StateRefused && st[0].Error == "shutting down"
	})
}

// fakeResolver knows the addresses of hosts.
type fakeResolver struct {
	mu    sync.Mutex
	hosts map[string][]string
}

func (r *fakeResolver) LookupHost(_ context.Context, host string) ([]string, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if ips, ok := r.hosts[host]; ok {
		return ips, nil
	}
	return nil, errors.New("no such host")
}

func (r *fakeResolver) set(host string, ips ...string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.hosts[host] = ips
}

// A link connects to every address of a name, also those that turn up later;
// of two addresses of one process it keeps one.
func TestSeveralParents(t *testing.T) {
	first, err := net.Listen("tcp", "0.0.0.0:0")
	if err != nil {
		t.Fatal(err)
	}
	port := fmt.Sprint(first.Addr().(*net.TCPAddr).Port)
	r1, r3 := newFakeRegistry(), newFakeRegistry()
	startServer(t, first, ServerConfig{Registry: r1})
	addr3, _ := startServer(t, nil, ServerConfig{Registry: r3, Self: func() querytree.Description {
		d := parentSelf()
		d.Instance = "parent-3"
		return d
	}})
	resolver := &fakeResolver{hosts: map[string][]string{"zone": {"127.0.0.1", "127.0.0.2"}}}
	link, _ := startLink(t, LinkConfig{
		Child: &fakeChild{description: leafDescription()}, Parents: []string{"zone:" + port, addr3, "later:" + port},
		Resolver: resolver, Resolve: 10 * time.Millisecond, MinRefused: time.Hour, MaxRefused: time.Hour, MaxBackoff: 10 * time.Millisecond,
	})
	receive(t, "session", r1.sessions)
	receive(t, "session", r3.sessions)
	states := func() string {
		var s []string
		for _, st := range link.Status() {
			s = append(s, st.State)
		}
		slices.Sort(s)
		return strings.Join(s, " ")
	}
	eventually(t, "two connected, one redundant, one unknown", func() bool { return states() == "connected connected connecting redundant" })
	if len(r1.sessions) != 0 {
		t.Error("the same process is connected twice")
	}
	resolver.set("later", "127.0.0.1") // known already
	eventually(t, "no more connections", func() bool { return states() == "connected connected redundant" })
}

// pair is a CA with a certificate of a server and one of a client.
type pair struct {
	pool           *x509.CertPool
	server, client tls.Certificate
}

func newPair(t *testing.T) pair {
	t.Helper()
	caKey, ca := certificate(t, nil, nil, &x509.Certificate{IsCA: true, KeyUsage: x509.KeyUsageCertSign, BasicConstraintsValid: true})
	p := pair{pool: x509.NewCertPool()}
	p.pool.AddCert(ca)
	for _, c := range []*tls.Certificate{&p.server, &p.client} {
		key, cert := certificate(t, caKey, ca, &x509.Certificate{
			IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		})
		*c = tls.Certificate{Certificate: [][]byte{cert.Raw}, PrivateKey: key}
	}
	return p
}

func certificate(t *testing.T, caKey *ecdsa.PrivateKey, ca, template *x509.Certificate) (*ecdsa.PrivateKey, *x509.Certificate) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template.SerialNumber = big.NewInt(1)
	template.Subject = pkix.Name{CommonName: "test"}
	template.NotBefore, template.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	if ca == nil {
		ca, caKey = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, ca, &key.PublicKey, caKey)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return key, cert
}

func TestTLS(t *testing.T) {
	p, other := newPair(t), newPair(t)
	mutual := &tls.Config{Certificates: []tls.Certificate{p.server}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: p.pool}
	for _, c := range []struct {
		name           string
		server, client *tls.Config
		ok             bool
	}{
		{"server authenticated", &tls.Config{Certificates: []tls.Certificate{p.server}}, &tls.Config{RootCAs: p.pool}, true},
		{"both authenticated", mutual, &tls.Config{RootCAs: p.pool, Certificates: []tls.Certificate{p.client}}, true},
		{"no client certificate", mutual, &tls.Config{RootCAs: p.pool}, false},
		{"client of another authority", mutual, &tls.Config{RootCAs: p.pool, Certificates: []tls.Certificate{other.client}}, false},
		{"server of another authority", mutual, &tls.Config{RootCAs: other.pool, Certificates: []tls.Certificate{p.client}}, false},
		{"plain client", mutual, nil, false},
		{"plain server", nil, &tls.Config{RootCAs: p.pool}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			registry := newFakeRegistry()
			addr, _ := startServer(t, nil, ServerConfig{Registry: registry, TLS: c.server})
			link, _ := startLink(t, LinkConfig{Child: &fakeChild{description: leafDescription()}, Parents: []string{addr}, TLS: c.client})
			if c.ok {
				s := receive(t, "session", registry.sessions)
				if _, err := s.child.Names(t.Context(), querytree.NamesRequest{}); err == nil || err.Error() != errNotFaked.Error() {
					t.Error("names:", err)
				}
				return
			}
			eventually(t, "an error", func() bool {
				st := link.Status()
				return len(st) == 1 && st[0].State == StateConnecting && st[0].Error != ""
			})
			if len(registry.sessions) != 0 {
				t.Error("a child was admitted")
			}
		})
	}
}

func TestConfigValidate(t *testing.T) {
	for _, c := range []LinkConfig{
		{},
		{Logger: quiet()},
		{Logger: quiet(), Child: &fakeChild{}, Parents: []string{"no-port"}},
		{Logger: quiet(), Child: &fakeChild{}, Heartbeat: -1},
	} {
		if _, err := NewLink(c); err == nil {
			t.Errorf("no error for %+v", c)
		}
	}
	if _, err := NewServer(ServerConfig{}); err == nil {
		t.Error("no error for an empty server config")
	}
	reg := prometheus.NewRegistry()
	for i := range 2 {
		_, err := NewLink(LinkConfig{Logger: quiet(), Child: &fakeChild{}, Registerer: reg})
		if (err != nil) != (i == 1) {
			t.Errorf("link %d on one registry: error %v", i, err)
		}
	}
}
