package roster

import (
	"context"
	"errors"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/prometheus/model/labels"

	"github.com/pandometrics/pando/querytree"
)

var (
	zone   = querytree.Identity{Tier: querytree.TierZone, Labels: labels.FromStrings("zone", "eu")}
	errCut = errors.New("connection cut")
)

func leaf(instance string, pairs ...string) querytree.Description {
	return querytree.Description{
		Identity: querytree.Identity{Tier: querytree.TierLeaf, Labels: labels.FromStrings(pairs...)}, Instance: instance,
	}
}

func eu(instance, cluster string) querytree.Description {
	return leaf(instance, "zone", "eu", "cluster", cluster)
}

func shard(d querytree.Description, shard, replica string) querytree.Description {
	d.Shard, d.Replica = shard, replica
	return d
}

// conn is a connection that need not answer: rosters only hand it out.
type conn struct{ querytree.Child }

func lives(context.Context) error { return nil }
func died(context.Context) error  { return errCut }

// clock is a time that a test sets.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func newClock() *clock { return &clock{now: time.Unix(1_000_000, 0)} }

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

func newRoster(tb testing.TB, change func(*Config)) *Roster {
	tb.Helper()
	c := Config{Self: zone, Logger: slog.New(slog.DiscardHandler)}
	if change != nil {
		change(&c)
	}
	r, err := New(c)
	if err != nil {
		tb.Fatal(err)
	}
	return r
}

func admit(tb testing.TB, r *Roster, d querytree.Description, alive func(context.Context) error) *Entry {
	tb.Helper()
	e, err := r.Admit(tb.Context(), d, &conn{}, alive)
	if err != nil {
		tb.Fatal(err)
	}
	return e
}

// members lists the children, those that are missing in brackets.
func members(r *Roster) []string {
	var out []string
	for _, m := range r.Members() {
		name := m.Description.Name()
		if !m.Connected {
			name = "(" + name + ")"
		}
		out = append(out, name)
	}
	return out
}

func wantMembers(tb testing.TB, r *Roster, want ...string) {
	tb.Helper()
	if d := cmp.Diff(want, members(r)); d != "" {
		tb.Errorf("members -want +got:\n%s", d)
	}
}

func TestAdmitAndClose(t *testing.T) {
	changes := 0
	r := newRoster(t, func(c *Config) { c.OnChange = func() { changes++ } })
	e := admit(t, r, eu("p1", "b"), lives)
	admit(t, r, eu("p2", "a"), lives)
	wantMembers(t, r, "zone=eu,cluster=a", "zone=eu,cluster=b")
	e.Close(errCut)
	wantMembers(t, r, "zone=eu,cluster=a", "(zone=eu,cluster=b)")
	if changes != 3 {
		t.Errorf("%d changes told, want 3", changes)
	}
	missing := r.Members()[1].Child
	if _, err := missing.Exec(t.Context(), querytree.ExecRequest{}); !errors.Is(err, querytree.ErrUnavailable) || !strings.Contains(err.Error(), `"zone=eu"`) {
		t.Errorf("a missing child answers %v", err)
	}
	set := missing.Select(t.Context(), querytree.SelectRequest{})
	if set.Next() || !errors.Is(set.Err(), querytree.ErrUnavailable) {
		t.Errorf("a missing child selects: %v", set.Err())
	}
	if n := r.Nodes()[1]; n.Connected || n.Error != errCut.Error() {
		t.Errorf("node %+v", n)
	}
	admit(t, r, eu("p1", "b"), lives)
	wantMembers(t, r, "zone=eu,cluster=a", "zone=eu,cluster=b")
}

func TestDuplicates(t *testing.T) {
	r := newRoster(t, nil)
	first := admit(t, r, eu("p1", "a"), lives)
	_, err := r.Admit(t.Context(), eu("p2", "a"), &conn{}, lives)
	if !errors.Is(err, ErrDuplicate) || !strings.Contains(err.Error(), "p1") || !strings.Contains(err.Error(), "p2") {
		t.Errorf("another process: %v", err)
	}
	_, err = r.Admit(t.Context(), eu("p1", "a"), &conn{}, lives)
	if !errors.Is(err, ErrConnected) {
		t.Errorf("the same process: %v", err)
	}
	if got := r.Refusals(); len(got) != 1 || got[0].Name != "zone=eu,cluster=a" {
		t.Errorf("refusals: %+v", got)
	}
	// Whoever keeps trying is listed once.
	_, _ = r.Admit(t.Context(), eu("p2", "a"), &conn{}, lives)
	if got := r.Refusals(); len(got) != 1 {
		t.Errorf("refusals: %+v", got)
	}
	first.Close(nil)
	admit(t, r, eu("p2", "a"), lives)
}

// A connection that does not respond gives way, and no longer has a say.
func TestHalfOpenConnection(t *testing.T) {
	feeds := &hints{}
	r := newRoster(t, func(c *Config) { c.Hints = feeds })
	old := admit(t, r, eu("p1", "a"), died)
	admit(t, r, eu("p2", "a"), lives)
	stale := eu("p1", "a")
	stale.Series = 42
	old.Update(stale)
	if got := r.Members()[0].Description; got.Instance != "p2" || got.Series != 0 {
		t.Errorf("description of the old connection: %+v", got)
	}
	opened := len(feeds.opened)
	feeds.opened[0].err = errors.New("superseded")
	_ = old.Hint(nil)
	if len(feeds.opened) != opened {
		t.Error("the old connection took the feed of hints back")
	}
	old.Close(errCut)
	wantMembers(t, r, "zone=eu,cluster=a")
}

// A connection that hangs is not waited for longer than a while, and not with
// the roster locked.
func TestProbeTimesOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRoster(t, nil)
		admit(t, r, eu("p1", "a"), func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() })
		begin := time.Now()
		done := make(chan struct{})
		go func() {
			defer close(done)
			admit(t, r, eu("p2", "a"), lives)
		}()
		synctest.Wait()
		wantMembers(t, r, "zone=eu,cluster=a")
		<-done
		if took := time.Since(begin); took != probeTimeout {
			t.Errorf("took %s", took)
		}
	})
}

func TestRefusals(t *testing.T) {
	root := leaf("p", "zone", "eu")
	root.Tier = querytree.TierRoot
	for name, c := range map[string]struct {
		before, d querytree.Description
		is        error
	}{
		"another zone":         {eu("p1", "a"), leaf("p2", "zone", "us", "cluster", "a"), ErrDoesNotFit},
		"no zone":              {eu("p1", "a"), leaf("p2", "cluster", "a"), ErrDoesNotFit},
		"root":                 {eu("p1", "a"), root, ErrDoesNotFit},
		"no tier":              {eu("p1", "a"), querytree.Description{}, ErrDoesNotFit},
		"reserved label":       {eu("p1", "a"), leaf("p2", "zone", "eu", "__x__", "y"), ErrDoesNotFit},
		"shard beside a whole": {eu("p1", "a"), shard(eu("p2", "a"), "0", ""), ErrDuplicate},
		"whole beside a shard": {shard(eu("p1", "a"), "0", ""), eu("p2", "a"), ErrDuplicate},
		"replica beside none":  {eu("p1", "a"), shard(eu("p2", "a"), "", "b"), ErrDuplicate},
		"none beside replica":  {shard(eu("p1", "a"), "0", "a"), shard(eu("p2", "a"), "0", ""), ErrDuplicate},
		"another shard":        {shard(eu("p1", "a"), "0", ""), shard(eu("p2", "a"), "1", ""), nil},
		"another replica":      {shard(eu("p1", "a"), "", "a"), shard(eu("p2", "a"), "", "b"), nil},
		"more external labels": {eu("p1", "a"), leaf("p2", "zone", "eu", "cluster", "a", "x", "y"), nil},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRoster(t, nil)
			first := admit(t, r, c.before, lives)
			_, err := r.Admit(t.Context(), c.d, &conn{}, lives)
			if !errors.Is(err, c.is) {
				t.Errorf("want %v, got %v", c.is, err)
			}
			if (len(r.Refusals()) == 1) != (c.is != nil) {
				t.Errorf("refusals: %+v", r.Refusals())
			}
			if errors.Is(c.is, ErrDuplicate) { // one that is gone is in nobody's way
				first.Close(nil)
				if _, err := r.Admit(t.Context(), c.d, &conn{}, lives); err != nil {
					t.Errorf("after the first has gone: %v", err)
				}
			}
		})
	}
}

// Of two that exclude each other one is refused, also if both pass the first look
// because the connection between them ends meanwhile.
func TestRegistrationsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRoster(t, nil)
		ended := make(chan struct{})
		old := admit(t, r, eu("p1", "a"), func(context.Context) error { <-ended; return errCut })
		result := make(chan error, 1)
		go func() {
			_, err := r.Admit(t.Context(), eu("p2", "a"), &conn{}, lives)
			result <- err
		}()
		synctest.Wait() // it is waiting for the old connection to respond
		old.Close(nil)
		admit(t, r, shard(eu("p3", "a"), "0", ""), lives)
		close(ended)
		if err := <-result; !errors.Is(err, ErrDuplicate) {
			t.Errorf("a whole leaf beside a shard: %v; members %q", err, members(r))
		}
	})
}

// Updates and registrations run side by side.
func TestUpdateDuringProbe(t *testing.T) {
	r := newRoster(t, nil)
	e := admit(t, r, eu("p1", "a"), lives)
	var wg sync.WaitGroup
	wg.Go(func() {
		for i := range 500 {
			d := eu("p1", "a")
			d.Samples = uint64(i)
			e.Update(d)
		}
	})
	for range 500 {
		_, _ = r.Admit(t.Context(), eu("p2", "a"), &conn{}, lives)
	}
	wg.Wait()
}

func TestUpdate(t *testing.T) {
	c := newClock()
	r := newRoster(t, func(cfg *Config) { cfg.Now = c.Now })
	e := admit(t, r, eu("p1", "a"), lives)
	for i := range 20 {
		d := eu("p1", "a")
		d.Samples = uint64(i * 1000)
		e.Update(d)
		c.add(10 * time.Second)
	}
	e.Update(eu("p1", "b")) // an identity cannot change
	n := r.Nodes()
	if len(n) != 1 || n[0].Samples != 19_000 || n[0].SampleRate != 100 {
		t.Errorf("%+v", n)
	}
	e.Close(nil)
	d := eu("p1", "a")
	d.Samples = 1
	e.Update(d)
	if n := r.Nodes(); n[0].Samples != 19_000 || n[0].SampleRate != 0 {
		t.Errorf("after the end: %+v", n)
	}
}

func TestForget(t *testing.T) {
	h := &hints{}
	r := newRoster(t, func(c *Config) { c.Hints = h })
	e := admit(t, r, eu("p1", "a"), lives)
	if err := r.Forget("zone=eu,cluster=a"); err == nil {
		t.Error("a connected child was forgotten")
	}
	if err := r.Forget("zone=eu,cluster=b"); !errors.Is(err, ErrUnknown) {
		t.Errorf("unknown child: %v", err)
	}
	e.Close(nil)
	if err := r.Forget("zone=eu,cluster=a"); err != nil {
		t.Error(err)
	}
	wantMembers(t, r)
	if !slices.Equal(h.forgotten, []string{"zone=eu,cluster=a"}) {
		t.Errorf("hints forgotten: %q", h.forgotten)
	}
}

func TestExpiry(t *testing.T) {
	c := newClock()
	r := newRoster(t, func(cfg *Config) { cfg.Now, cfg.ForgetAfter = c.Now, time.Hour })
	admit(t, r, eu("p1", "a"), lives)
	admit(t, r, eu("p2", "b"), lives).Close(nil)
	c.add(time.Hour)
	r.expire()
	wantMembers(t, r, "zone=eu,cluster=a", "(zone=eu,cluster=b)")
	c.add(time.Second)
	r.expire()
	wantMembers(t, r, "zone=eu,cluster=a")
}

// What was known is missing until it is back, over any number of restarts.
func TestPersistence(t *testing.T) {
	path := filepath.Join(t.TempDir(), "data", "children.json")
	c := newClock()
	open := func() *Roster {
		return newRoster(t, func(cfg *Config) { cfg.Path, cfg.Now, cfg.ForgetAfter = path, c.Now, time.Hour })
	}
	r := open()
	d := shard(eu("p1", "a"), "0", "x")
	d.ShardKey = []string{"job", "instance"}
	admit(t, r, d, lives)
	admit(t, r, eu("p2", "b"), lives)
	if err := r.save(); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		r = open()
		wantMembers(t, r, "(zone=eu,cluster=a/shard=0/replica=x)", "(zone=eu,cluster=b)")
	}
	if got := r.Members()[0].Description; !slices.Equal(got.ShardKey, d.ShardKey) || got.Shard != "0" || got.Replica != "x" || got.Tier != querytree.TierLeaf {
		t.Errorf("description: %+v", got)
	}
	admit(t, r, eu("p3", "b"), lives)
	wantMembers(t, r, "(zone=eu,cluster=a/shard=0/replica=x)", "zone=eu,cluster=b")
	c.add(2 * time.Hour)
	r.expire()
	if err := r.save(); err != nil {
		t.Fatal(err)
	}
	wantMembers(t, open(), "(zone=eu,cluster=b)")
	if err := os.WriteFile(path, []byte("not json"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := New(Config{Self: zone, Path: path}); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("a broken file: %v", err)
	}
}

// Run saves what changed and ends with its context.
func TestRun(t *testing.T) {
	path := filepath.Join(t.TempDir(), "children.json")
	r := newRoster(t, func(c *Config) { c.Path = path })
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	admit(t, r, eu("p1", "a"), lives)
	for begin := time.Now(); ; time.Sleep(time.Millisecond) {
		if _, err := os.Stat(path); err == nil {
			break
		}
		if time.Since(begin) > 30*time.Second {
			t.Fatal("nothing saved")
		}
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// hints is a Hints that records.
type hints struct {
	opened    []*feed
	forgotten []string
}

func (h *hints) Open(string, func()) Feed {
	h.opened = append(h.opened, &feed{})
	return h.opened[len(h.opened)-1]
}

func (h *hints) Forget(child string)                { h.forgotten = append(h.forgotten, child) }
func (h *hints) Status(string) querytree.HintStatus { return querytree.HintStatus{Synced: true} }

type feed struct {
	applied, closed int
	resync          bool
	err             error
}

func (f *feed) Apply([]byte) error { f.applied++; return f.err }
func (f *feed) NeedsResync() bool  { return f.resync }
func (f *feed) Waiting() bool      { return false }
func (f *feed) Cursor() []byte     { return []byte("here") }
func (f *feed) Why() string        { return "late" }
func (f *feed) Close()             { f.closed++ }

func TestHints(t *testing.T) {
	h := &hints{}
	r := newRoster(t, func(c *Config) { c.Hints = h })
	e := admit(t, r, eu("p1", "a"), lives)
	if err := e.Hint(nil); err != nil || h.opened[0].applied != 1 {
		t.Errorf("a frame: %v, %+v", err, h.opened[0])
	}
	// A fault begins a new feed, so that the next stream is taken.
	h.opened[0].err = errors.New("gap")
	if err := e.Hint(nil); err == nil || len(h.opened) != 2 {
		t.Errorf("a gap: %v, %d feeds", err, len(h.opened))
	}
	if err := e.Hint(nil); err != nil || h.opened[1].applied != 1 {
		t.Errorf("the next frame: %v, %+v", err, h.opened[1])
	}
	// A resync is asked for once, until it is done.
	f := h.opened[1]
	f.resync = true
	var asked []bool
	for range 3 {
		asked = append(asked, e.Hint(nil) != nil)
	}
	f.resync = false
	asked = append(asked, e.Hint(nil) != nil)
	f.resync = true
	asked = append(asked, e.Hint(nil) != nil)
	if d := cmp.Diff([]bool{true, false, false, false, true}, asked); d != "" {
		t.Errorf("asked for a resync, -want +got:\n%s", d)
	}
	e.Close(nil)
	if f.closed != 1 {
		t.Errorf("feed closed %d times", f.closed)
	}
}

// What children tell of changes, and their coming and going, is passed on.
func TestEpochs(t *testing.T) {
	c := newClock()
	r := newRoster(t, func(cfg *Config) { cfg.Now = c.Now })
	told := uint64(0)
	tells := func(what string, want int64, cause string) {
		t.Helper()
		epochs := r.Epochs()
		if last := querytree.LastEpoch(epochs); (last > told) != (cause != "") {
			t.Errorf("%s: %+v", what, epochs)
		}
		if n := len(epochs); cause != "" && (epochs[n-1].Mint != want || epochs[n-1].Cause != cause) {
			t.Errorf("%s: %+v", what, epochs[n-1])
		}
		told = querytree.LastEpoch(epochs)
		c.add(time.Second)
	}
	d := eu("p1", "a")
	d.Mint, d.Settled, d.Features = 7, 60, []string{querytree.FeatureEpochs}
	e := admit(t, r, d, lives)
	tells("a new child", 7, querytree.CauseJoined)
	d.Epochs = []querytree.Epoch{{Number: 1, Mint: 50}}
	e.Update(d)
	tells("a late sample", 50, querytree.CauseLate)
	e.Update(d)
	tells("a heartbeat", 0, "")
	e.Close(errCut)
	tells("the end of a connection", 0, "")
	e = admit(t, r, d, lives)
	tells("the same process again", 60, querytree.CauseReturned)
	e.Close(errCut)
	d.Epochs = append(d.Epochs, querytree.Epoch{Number: 2, Mint: 40})
	e = admit(t, r, d, lives)
	tells("the same process with late samples", 40, querytree.CauseSeveral)
	e.Close(errCut)
	d.Instance, d.Epochs = "p2", nil
	admit(t, r, d, lives).Close(errCut)
	tells("another process", math.MinInt64, querytree.CauseRestarted)
	if err := r.Forget(d.Name()); err != nil {
		t.Fatal(err)
	}
	tells("a child that is forgotten", math.MinInt64, querytree.CauseForgotten)
}
