package e2e_test

import (
	"context"
	"log/slog"
	"math/rand"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pandometrics/pando/querytree"
	"github.com/pandometrics/pando/querytree/treerpc"
	"github.com/pandometrics/pando/querytree/treetest"
)

// wire is a gRPC connection over loopback between a child, which can be
// exchanged, and its parent. A tree of the same shape may use it next: to
// connect anew for each of hundreds of trees would take longer than to ask them.
type wire struct {
	behind atomic.Pointer[querytree.Child]
	remote querytree.Child // the child, as the parent sees it
}

// standIn is the child that the link serves: whichever is behind the wire now.
type standIn struct{ w *wire }

func (s standIn) child() querytree.Child { return *s.w.behind.Load() }

// Describe implements querytree.Child.
func (s standIn) Describe() querytree.Description {
	d := s.child().Describe()
	d.Instance = "child"
	return d
}

// Exec implements querytree.Child.
func (s standIn) Exec(ctx context.Context, req querytree.ExecRequest) (querytree.ResultSet, error) {
	return s.child().Exec(ctx, req)
}

// Select implements querytree.Child.
func (s standIn) Select(ctx context.Context, req querytree.SelectRequest) querytree.SeriesSet {
	return s.child().Select(ctx, req)
}

// Names implements querytree.Child.
func (s standIn) Names(ctx context.Context, req querytree.NamesRequest) (querytree.Names, error) {
	return s.child().Names(ctx, req)
}

// Metadata implements querytree.Child.
func (s standIn) Metadata(ctx context.Context, req querytree.MetadataRequest) (querytree.Metadata, error) {
	return s.child().Metadata(ctx, req)
}

// Exemplars implements querytree.Child.
func (s standIn) Exemplars(ctx context.Context, req querytree.ExemplarsRequest) (querytree.Exemplars, error) {
	return s.child().Exemplars(ctx, req)
}

// Tree implements querytree.Child.
func (s standIn) Tree(ctx context.Context) ([]querytree.Node, error) { return s.child().Tree(ctx) }

// admitting is a registry that takes the one child of a wire.
type admitting chan querytree.Child

// Admit implements treerpc.Registry.
func (a admitting) Admit(_ context.Context, _ querytree.Description, c querytree.Child, _ func(context.Context) error) (treerpc.Session, error) {
	a <- c
	return deaf{}, nil
}

// deaf is a session that needs to know nothing.
type deaf struct{}

// Update implements treerpc.Session.
func (deaf) Update(querytree.Description) {}

// Hint implements treerpc.Session.
func (deaf) Hint([]byte) error { return nil }

// HintCursor implements treerpc.Session.
func (deaf) HintCursor() []byte { return nil }

// HintWaits implements treerpc.Session.
func (deaf) HintWaits() bool { return false }

// HintTurn implements treerpc.Session.
func (deaf) HintTurn() <-chan struct{} { return nil }

// HintReason implements treerpc.Session.
func (deaf) HintReason() string { return "" }

// Close implements treerpc.Session.
func (deaf) Close(error) {}

// newWire connects a child to its parent. It is closed when the test ends.
func newWire(tb testing.TB, child querytree.Child) *wire {
	tb.Helper()
	w, admitted, logger := &wire{}, make(admitting, 1), slog.New(slog.DiscardHandler)
	w.behind.Store(&child)
	srv, err := treerpc.NewServer(treerpc.ServerConfig{
		Logger: logger, Registry: admitted,
		Self: func() querytree.Description {
			return querytree.Description{Identity: querytree.Identity{Tier: querytree.TierRoot}, Instance: "parent"}
		},
	})
	if err != nil {
		tb.Fatal(err)
	}
	lis, err := net.Listen("tcp", anyPort)
	if err != nil {
		tb.Fatal(err)
	}
	link, err := treerpc.NewLink(treerpc.LinkConfig{Logger: logger, Child: standIn{w}, Parents: []string{lis.Addr().String()}})
	if err != nil {
		tb.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 2)
	go func() { ended <- srv.Serve(ctx, lis) }()
	go func() { ended <- link.Run(ctx) }()
	tb.Cleanup(func() {
		cancel()
		for range 2 {
			if err := <-ended; err != nil {
				tb.Error(err)
			}
		}
	})
	select {
	case w.remote = <-admitted:
	case <-time.After(time.Minute):
		tb.Fatal("child is not connected")
	}
	return w
}

// wires connects the children of one tree after another, all of one shape, over
// the same connections. The trees are built and used one after another.
type wires struct {
	tb   testing.TB
	all  []*wire
	next int
}

// connect puts a wire between a child and its parent.
func (w *wires) connect(_ testing.TB, child querytree.Child) querytree.Child {
	i := w.next
	w.next++
	if i == len(w.all) {
		w.all = append(w.all, newWire(w.tb, child))
	}
	w.all[i].behind.Store(&child)
	return w.all[i].remote
}

// over returns cfg with wires between its tiers.
func (w *wires) over(cfg treetest.Config) treetest.Config {
	w.next = 0
	cfg.Connect = w.connect
	return cfg
}

// Prometheus' own scripts, all of them, at the root of a tree of real gRPC
// connections whose leaves are shards of two replicas that were down by turns:
// once spread by hash, so that nothing but disjointness is known, once with a
// label of the scripts as co-location key.
func TestPromQLScriptsOverGRPC(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		key  []string
	}{{"by hash", nil}, {"by instance", []string{"instance"}}} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			trees := 0
			w := &wires{tb: t}
			treetest.RunScripts(t, 1, func(testing.TB) treetest.Config {
				trees++
				cfg := treetest.Shards(4, c.key...)
				cfg.Outages = treetest.Alternating(30*60_000, 6*3_600_000, 15_000)
				return w.over(cfg)
			})
			t.Logf("%d trees over %d connections", trees, len(w.all))
		})
	}
}

// Generated queries over gRPC give the answers of the same tree without, and of
// one stock engine over the union.
func TestGeneratedQueriesOverGRPC(t *testing.T) {
	t.Parallel()
	data := treetest.Data{Minutes: 60, Interval: 15_000}
	plant := func(cfg treetest.Config) (*treetest.Planet, *treetest.Generator) {
		rnd := rand.New(rand.NewSource(seed(t)))
		cfg.Leaves, cfg.Zones = treetest.Clusters("eu", 3, "us", 1)
		p := treetest.New(t, cfg)
		return p, treetest.NewGenerator(rnd, data, data.Fill(t, p, rnd))
	}
	direct, generator := plant(treetest.Config{})
	remote, _ := plant((&wires{tb: t}).over(treetest.Config{}))
	total, nonEmpty := 1000, 0
	ctx := context.Background()
	for i := range total {
		q := generator.Next()
		diff, found := remote.Diff(ctx, q)
		if diff == "" {
			if diff = direct.DiffAnswers(q, direct.Ask(ctx, q), remote.Ask(ctx, q)); diff != "" {
				diff = "in process and over gRPC: " + diff
			}
		}
		if diff != "" {
			t.Errorf("query %d: %s", i, diff)
		}
		if found {
			nonEmpty++
		}
	}
	t.Logf("%d queries, %d with an answer that is not empty; %s", total, nonEmpty, generator.Dropped())
}
