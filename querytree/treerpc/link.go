package treerpc

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"

	"github.com/pandometrics/pando/querytree"
)

// HintSource is where a child's field hints come from.
type HintSource interface {
	// StreamFrom sends the field hints, as frames of at most 4 MiB, until ctx
	// ends: first what the parent lacks, and then what changes. cursor is what the
	// parent says that it has from an earlier call, maybe of another process'
	// HintSource; it is empty if that is nothing. StreamFrom is called anew for
	// every connection, and when the parent lost track. It runs for several
	// parents at a time. send blocks while the parent is slow, does not keep the
	// frame, and returns an error when the connection has ended.
	StreamFrom(ctx context.Context, cursor []byte, send func(frame []byte) error) error
}

// Resolver looks host names up. *net.Resolver is one.
type Resolver interface {
	LookupHost(ctx context.Context, host string) ([]string, error)
}

// LinkConfig is what a Link is made of.
type LinkConfig struct {
	// Logger must not be nil.
	Logger *slog.Logger
	// Registerer takes the metrics; nil means none.
	Registerer prometheus.Registerer
	// Child is served to the parents.
	Child querytree.Child
	// Hints are sent to the parents; nil means none.
	Hints HintSource
	// Parents are the addresses of the parent, as host:port. All addresses of
	// a name are connected to: each is a replica of the parent.
	Parents []string
	// TLS secures connections, and authenticates this child if it has a
	// certificate. Nil means plain TCP. ServerName is set to the host unless
	// given.
	TLS *tls.Config
	// Resolver looks the parents up; nil means the system's.
	Resolver Resolver
	// Heartbeat is the time between descriptions sent; zero means 1 s.
	Heartbeat time.Duration
	// Resolve is the time between lookups of the parents; zero means 30 s.
	Resolve time.Duration
	// MinBackoff and MaxBackoff bound the time between attempts to connect;
	// zero means 100 ms and 5 s.
	MinBackoff, MaxBackoff time.Duration
	// MinRefused and MaxRefused are the same after a refusal; zero means 5 s
	// and 30 s.
	MinRefused, MaxRefused time.Duration
}

// Validate reports what is missing or wrong.
func (c LinkConfig) Validate() error {
	if c.Logger == nil || c.Child == nil {
		return errors.New("link: logger and child are required")
	}
	for _, p := range c.Parents {
		host, port, err := net.SplitHostPort(p)
		if err != nil || host == "" || port == "" {
			return fmt.Errorf("link: parent %q is not an address; write host:port", p)
		}
	}
	for _, d := range []time.Duration{c.Heartbeat, c.Resolve, c.MinBackoff, c.MaxBackoff, c.MinRefused, c.MaxRefused} {
		if d < 0 {
			return fmt.Errorf("link: negative duration %v", d)
		}
	}
	return nil
}

func (c *LinkConfig) setDefaults() {
	for _, d := range []struct {
		value *time.Duration
		def   time.Duration
	}{
		{&c.Heartbeat, time.Second},
		{&c.Resolve, 30 * time.Second},
		{&c.MinBackoff, 100 * time.Millisecond},
		{&c.MaxBackoff, 5 * time.Second},
		{&c.MinRefused, 5 * time.Second},
		{&c.MaxRefused, 30 * time.Second},
	} {
		if *d.value == 0 {
			*d.value = d.def
		}
	}
	c.MaxBackoff = max(c.MaxBackoff, c.MinBackoff)
	c.MaxRefused = max(c.MaxRefused, c.MinRefused)
	if c.Resolver == nil {
		c.Resolver = net.DefaultResolver
	}
}

// States of a connection to a parent.
const (
	StateConnecting = "connecting"
	StateConnected  = "connected"
	StateRefused    = "refused"
	// StateRedundant is a second address of a parent that is connected by
	// another one.
	StateRedundant = "redundant"
)

// LinkStatus is the state of the connection to one address of a parent.
type LinkStatus struct {
	// Parent as configured, and the Address it stands for; empty if the name
	// could not be looked up.
	Parent, Address string
	// Name of the parent's identity, if it was ever connected.
	Name string
	// State is one of the constants above.
	State string
	// Error is the last error, empty when connected.
	Error string
	// Since is when State was reached.
	Since time.Time
	// RTT is the last round-trip time measured, zero if unknown.
	RTT time.Duration
	// Hints is how far the parent has come with the child's field hints, while
	// it is connected.
	Hints HintStatus
}

// Link is the child's side of the link: it keeps a connection to every replica
// of the parent, and serves the Child on each. It is safe for concurrent use.
type Link struct {
	cfg      LinkConfig
	metrics  *linkMetrics
	pack     *packer
	requests sync.WaitGroup // being served

	mu        sync.Mutex
	targets   map[string]*target // by address
	instances map[string]*target // of parents that are connected, by instance
	lookups   map[string]error   // the last of every parent
}

// NewLink returns a link, and registers its metrics.
func NewLink(cfg LinkConfig) (*Link, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	cfg.setDefaults()
	m, err := newLinkMetrics(cfg.Registerer, "parent")
	if err != nil {
		return nil, err
	}
	pack, err := newPacker()
	if err != nil {
		return nil, err
	}
	l := &Link{
		cfg: cfg, metrics: m, pack: pack,
		targets: map[string]*target{}, instances: map[string]*target{}, lookups: map[string]error{},
	}
	if cfg.Registerer != nil && cfg.Hints != nil {
		if err := cfg.Registerer.Register(newHintCollector(l)); err != nil {
			return nil, fmt.Errorf("register metrics of field hints sent: %w", err)
		}
	}
	return l, nil
}

// Run keeps the connections until ctx ends, then closes them and returns nil
// when nothing of them is left. It may be called once.
func (l *Link) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	parents := slices.Clone(l.cfg.Parents)
	slices.Sort(parents)
	for _, parent := range slices.Compact(parents) {
		wg.Go(func() { l.watch(ctx, parent, &wg) })
	}
	<-ctx.Done()
	wg.Wait()
	l.requests.Wait()
	return nil
}

// Status returns the state of every connection, sorted by parent and address.
func (l *Link) Status() []LinkStatus {
	l.mu.Lock()
	defer l.mu.Unlock()
	var out []LinkStatus
	for _, t := range l.targets {
		s := t.status
		if t.hints != nil {
			s.Hints = t.hints.status()
		}
		out = append(out, s)
	}
	for parent, err := range l.lookups {
		if err != nil && !slices.ContainsFunc(out, func(s LinkStatus) bool { return s.Parent == parent }) {
			out = append(out, LinkStatus{Parent: parent, State: StateConnecting, Error: err.Error()})
		}
	}
	slices.SortFunc(out, func(a, b LinkStatus) int {
		return strings.Compare(a.Parent+" "+a.Address, b.Parent+" "+b.Address)
	})
	return out
}

// watch looks a parent up, now and then, and connects to what it finds.
func (l *Link) watch(ctx context.Context, parent string, wg *sync.WaitGroup) {
	failed := make(chan struct{}, 1) // a connection to the parent failed
	retry := pauses{min: l.cfg.MinBackoff, max: l.cfg.Resolve}
	for ctx.Err() == nil {
		addrs, err := l.lookup(ctx, parent)
		l.mu.Lock()
		if known := l.lookups[parent]; err != nil && (known == nil || known.Error() != err.Error()) && ctx.Err() == nil {
			l.cfg.Logger.Error("parent not found", "parent", parent, "err", err)
		}
		l.lookups[parent] = err
		l.mu.Unlock()
		if err != nil {
			wait(ctx, retry.next())
			continue
		}
		retry.reset()
		l.want(ctx, parent, addrs, failed, wg)
		// Not at once after a failure: that would be a storm of lookups.
		if wait(ctx, min(l.cfg.MaxBackoff, l.cfg.Resolve)) {
			select {
			case <-failed:
			case <-time.After(l.cfg.Resolve):
			case <-ctx.Done():
			}
		}
	}
}

// lookup returns the addresses of a parent, as ip:port.
func (l *Link) lookup(ctx context.Context, parent string) ([]string, error) {
	host, port, err := net.SplitHostPort(parent)
	if err != nil {
		return nil, err
	}
	if _, err := netip.ParseAddr(host); err == nil {
		return []string{parent}, nil
	}
	ctx, cancel := context.WithTimeout(ctx, handshakeTimeout)
	defer cancel()
	ips, err := l.cfg.Resolver.LookupHost(ctx, host)
	if err != nil {
		return nil, fmt.Errorf("look up parent %q: %w", parent, err)
	}
	addrs := make([]string, 0, len(ips))
	for _, ip := range ips {
		addrs = append(addrs, net.JoinHostPort(ip, port))
	}
	return addrs, nil
}

// want connects to the addresses of a parent. A connection to an address that
// the parent no longer has is kept until it breaks: names come and go, and a
// connection that works is better evidence.
func (l *Link) want(ctx context.Context, parent string, addrs []string, failed chan struct{}, wg *sync.WaitGroup) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for addr, t := range l.targets {
		if !slices.Contains(addrs, addr) {
			delete(t.parents, parent)
		}
	}
	for _, addr := range addrs {
		if t, ok := l.targets[addr]; ok {
			t.parents[parent] = true
			continue
		}
		t := &target{
			link: l, addr: addr, parents: map[string]bool{parent: true}, failed: failed,
			status: LinkStatus{Parent: parent, Address: addr, State: StateConnecting, Since: time.Now()},
			logger: l.cfg.Logger.With("parent", parent, "address", addr),
		}
		l.targets[addr] = t
		wg.Go(func() { t.run(ctx) })
	}
}

// track is an interceptor that lets Run wait for the requests being served.
func (l *Link) track(srv any, stream grpc.ServerStream, _ *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
	l.requests.Add(1)
	defer l.requests.Done()
	return handler(srv, stream)
}
