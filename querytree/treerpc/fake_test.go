package treerpc

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb/chunks"
	"github.com/prometheus/prometheus/util/annotations"
	"go.uber.org/goleak"

	"github.com/pandometrics/pando/querytree"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is how long a test waits for what must happen.
const patience = 20 * time.Second

// fakeChild is a Child of functions; those that are nil answer nothing.
type fakeChild struct {
	description querytree.Description
	exec        func(context.Context, querytree.ExecRequest) (querytree.ResultSet, error)
	sel         func(context.Context, querytree.SelectRequest) querytree.SeriesSet
	names       func(context.Context, querytree.NamesRequest) (querytree.Names, error)
	metadata    func(context.Context, querytree.MetadataRequest) (querytree.Metadata, error)
	exemplars   func(context.Context, querytree.ExemplarsRequest) (querytree.Exemplars, error)
	tree        func(context.Context) ([]querytree.Node, error)
}

func (f *fakeChild) Tree(ctx context.Context) ([]querytree.Node, error) {
	if f.tree == nil {
		return nil, errNotFaked
	}
	return f.tree(ctx)
}

var errNotFaked = errors.New("not faked")

func (f *fakeChild) Describe() querytree.Description { return f.description }

func (f *fakeChild) Exec(ctx context.Context, r querytree.ExecRequest) (querytree.ResultSet, error) {
	if f.exec == nil {
		return nil, errNotFaked
	}
	return f.exec(ctx, r)
}

func (f *fakeChild) Select(ctx context.Context, r querytree.SelectRequest) querytree.SeriesSet {
	if f.sel == nil {
		return &fakeSeries{err: errNotFaked}
	}
	return f.sel(ctx, r)
}

func (f *fakeChild) Names(ctx context.Context, r querytree.NamesRequest) (querytree.Names, error) {
	if f.names == nil {
		return querytree.Names{}, errNotFaked
	}
	return f.names(ctx, r)
}

func (f *fakeChild) Metadata(ctx context.Context, r querytree.MetadataRequest) (querytree.Metadata, error) {
	if f.metadata == nil {
		return querytree.Metadata{}, errNotFaked
	}
	return f.metadata(ctx, r)
}

func (f *fakeChild) Exemplars(ctx context.Context, r querytree.ExemplarsRequest) (querytree.Exemplars, error) {
	if f.exemplars == nil {
		return querytree.Exemplars{}, errNotFaked
	}
	return f.exemplars(ctx, r)
}

// fakeResult is a ResultSet: next is called for every series.
type fakeResult struct {
	next   func() (promql.Series, bool)
	cur    promql.Series
	warn   annotations.Annotations
	report querytree.Report
	err    error
	closed func()
}

func seriesList[S any](list ...S) func() (S, bool) {
	return func() (s S, ok bool) {
		if len(list) == 0 {
			return s, false
		}
		s, list = list[0], list[1:]
		return s, true
	}
}

func (s *fakeResult) Next() (ok bool) {
	if s.next != nil {
		s.cur, ok = s.next()
	}
	return ok
}
func (s *fakeResult) At() promql.Series                 { return s.cur }
func (s *fakeResult) Err() error                        { return s.err }
func (s *fakeResult) Warnings() annotations.Annotations { return s.warn }
func (s *fakeResult) Report() querytree.Report          { return s.report }
func (s *fakeResult) Close() {
	if s.closed != nil {
		s.closed()
	}
}

// fakeSeries is a SeriesSet: next is called for every series.
type fakeSeries struct {
	next   func() (storage.ChunkSeries, bool)
	cur    storage.ChunkSeries
	warn   annotations.Annotations
	report querytree.Report
	err    error
}

func (s *fakeSeries) Next() (ok bool) {
	if s.next != nil {
		s.cur, ok = s.next()
	}
	return ok
}
func (s *fakeSeries) At() storage.ChunkSeries           { return s.cur }
func (s *fakeSeries) Err() error                        { return s.err }
func (s *fakeSeries) Warnings() annotations.Annotations { return s.warn }
func (s *fakeSeries) Report() querytree.Report          { return s.report }
func (s *fakeSeries) Close()                            {}

// fakeRegistry admits whom admit does not refuse.
type fakeRegistry struct {
	admit    func(querytree.Description) error
	begin    func(*fakeSession)
	sessions chan *fakeSession
}

func newFakeRegistry() *fakeRegistry {
	return &fakeRegistry{sessions: make(chan *fakeSession, 100)}
}

func (r *fakeRegistry) Admit(_ context.Context, d querytree.Description, c querytree.Child, alive func(context.Context) error) (Session, error) {
	if r.admit != nil {
		if err := r.admit(d); err != nil {
			return nil, err
		}
	}
	s := &fakeSession{
		description: d, child: c, alive: alive,
		updates: make(chan querytree.Description, 1000), hints: make(chan []byte, 1000), closed: make(chan error, 1),
		turn: make(chan struct{}, 1),
	}
	if r.begin != nil {
		r.begin(s)
	}
	r.sessions <- s
	return s, nil
}

type fakeSession struct {
	description querytree.Description
	child       querytree.Child
	alive       func(context.Context) error
	updates     chan querytree.Description
	hints       chan []byte
	closed      chan error
	once        sync.Once
	// cursor is what the session has of the hints. While waits is set, it ignores
	// frames; once unhold is set too, the next ends that.
	cursor        atomic.Pointer[string]
	turn          chan struct{}
	waits, unhold atomic.Bool
}

func (s *fakeSession) HintCursor() []byte {
	if c := s.cursor.Load(); c != nil {
		return []byte(*c)
	}
	return nil
}
func (s *fakeSession) HintWaits() bool           { return s.waits.Load() }
func (s *fakeSession) HintTurn() <-chan struct{} { return s.turn }
func (s *fakeSession) HintReason() string {
	if s.waits.Load() {
		return "waiting"
	}
	return ""
}

func (s *fakeSession) Update(d querytree.Description) {
	select {
	case s.updates <- d:
	default:
	}
}

func (s *fakeSession) Hint(f []byte) error {
	s.hints <- f
	if s.unhold.Load() {
		s.waits.Store(false)
	}
	if string(f) == "bad" {
		return errors.New("hint out of order")
	}
	return nil
}

func (s *fakeSession) Close(err error) {
	first := false
	s.once.Do(func() { first = true })
	if !first {
		panic("session closed twice")
	}
	s.closed <- err
}

// receive waits for a value of ch.
func receive[T any](t *testing.T, what string, ch <-chan T) T {
	t.Helper()
	select {
	case v := <-ch:
		return v
	case <-time.After(patience):
		t.Fatalf("no %s within %v", what, patience)
		panic("unreachable")
	}
}

// eventually waits until cond holds.
func eventually(t *testing.T, what string, cond func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !cond(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within %v: %s", patience, what)
		}
	}
}

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

func parentSelf() querytree.Description {
	return querytree.Description{
		Identity: querytree.Identity{Tier: querytree.TierZone, Labels: labels.FromStrings("zone", "eu")},
		Instance: "parent-1",
	}
}

func leafDescription() querytree.Description {
	return querytree.Description{
		Identity: querytree.Identity{Tier: querytree.TierLeaf, Labels: labels.FromStrings("cluster", "eu-1", "zone", "eu"), Shard: "0", Replica: "a"},
		Instance: "leaf-1", ShardKey: []string{"job"}, Version: "1.2.3", Mint: -5, Maxt: 17, Earliest: -6, Series: 3, Samples: 4, Leaves: 1, Missing: []string{"x"},
		Features: []string{querytree.FeatureEpochs}, Epochs: []querytree.Epoch{{Number: 2, Mint: -7}, {Number: 5, Mint: 9}}, Settled: 11,
		Revision: "abc123", ReloadFailed: true,
	}
}

// startServer serves on lis, or on a new port, until the test or stop ends.
func startServer(t *testing.T, lis net.Listener, cfg ServerConfig) (addr string, stop func()) {
	t.Helper()
	if lis == nil {
		var err error
		if lis, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
			t.Fatal(err)
		}
	}
	if cfg.Logger == nil {
		cfg.Logger = quiet()
	}
	if cfg.Self == nil {
		cfg.Self = parentSelf
	}
	srv, err := NewServer(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return lis.Addr().String(), background(t, func(ctx context.Context) error { return srv.Serve(ctx, lis) })
}

// background runs f until the test or stop ends; stop waits for it.
func background(t *testing.T, f func(context.Context) error) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- f(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := receive(t, "end of run", done); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(stop)
	return stop
}

func startLink(t *testing.T, cfg LinkConfig) (*Link, func()) {
	t.Helper()
	if cfg.Logger == nil {
		cfg.Logger = quiet()
	}
	if cfg.Heartbeat == 0 {
		cfg.Heartbeat = 20 * time.Millisecond
	}
	link, err := NewLink(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return link, background(t, link.Run)
}

// linked connects a child to a parent, and returns the parent's view of it.
func linked(t *testing.T, child querytree.Child) querytree.Child {
	t.Helper()
	r := newFakeRegistry()
	addr, _ := startServer(t, nil, ServerConfig{Registry: r})
	startLink(t, LinkConfig{Child: child, Parents: []string{addr}})
	return receive(t, "session", r.sessions).child
}

// rawSeries is a ChunkSeries of given chunks.
type rawSeries struct {
	storage.ChunkSeries
	labels labels.Labels
	metas  []chunks.Meta
	err    error
}

func (s *rawSeries) Labels() labels.Labels { return s.labels }
func (s *rawSeries) Iterator(chunks.Iterator) chunks.Iterator {
	return &failingIterator{Iterator: storage.NewListChunkSeriesIterator(s.metas...), err: s.err}
}

type failingIterator struct {
	chunks.Iterator
	err error
}

func (i *failingIterator) Err() error { return errors.Join(i.err, i.Iterator.Err()) }
