package gitops

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pandometrics/pando/gitops/source"
	"github.com/pandometrics/pando/gitops/wave"
)

// hanging is a repository that does not answer until it is told to.
type hanging struct {
	*history
	release chan struct{}
	begun   chan string // what is asked for
	asking  int
	most    int // at the same time
}

func (h *hanging) wait(ctx context.Context, what string) error {
	h.asking++
	h.most = max(h.most, h.asking)
	defer func() { h.asking-- }()
	h.begun <- what
	select {
	case <-h.release:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (h *hanging) Fetch(ctx context.Context, want source.Want) (*source.Revision, error) {
	if err := h.wait(ctx, "newest"); err != nil {
		return nil, err
	}
	return h.history.Fetch(ctx, want)
}

func (h *hanging) At(ctx context.Context, hash, base string) (*source.Revision, error) {
	if err := h.wait(ctx, hash); err != nil {
		return nil, err
	}
	return h.history.At(ctx, hash, base)
}

// hung runs a loop, of which the revision "two" runs, whose repository hangs.
func hung(t *testing.T) (*planet, *member, *hanging) {
	t.Helper()
	p := &planet{t: t, now: time.Unix(1e9, 0), gate: func(string) wave.Verdict { return wave.Holds }}
	commits := &hanging{history: &history{configs: []string{"one"}}, release: make(chan struct{}), begun: make(chan string, 100)}
	close(commits.release)
	a := &member{planet: p, name: "a", dir: t.TempDir(), workload: &workload{}, from: commits}
	p.loops = []*member{a}
	a.open()
	t.Cleanup(func() { _ = a.loop.Close() })
	p.pass(5 * time.Minute)
	commits.configs = append(commits.configs, "two")
	p.pass(5 * time.Minute)
	p.runs("two")
	for len(commits.begun) > 0 {
		<-commits.begun
	}
	commits.release = make(chan struct{})
	return p, a, commits
}

// While the repository hangs, what the fleet says is decided upon, and the
// repository is not asked a second time.
func TestFetchHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, a, commits := hung(t)
		a.loop.spawn = func(f func()) { a.loop.errands.running.Go(f) }
		ctx, stop := context.WithCancel(t.Context())
		turns := func(n int) {
			for range n {
				a.loop.turn(ctx)
				p.now = p.now.Add(time.Minute)
				synctest.Wait()
			}
		}
		turns(3)
		if _, err := a.loop.Do(ctx, Command{Name: CommandAbort}); err != nil {
			t.Fatal(err)
		}
		turns(3)
		p.runs("one")
		a.loop.Hurry()
		turns(3)
		if len(commits.begun) != 1 || commits.most != 1 {
			t.Fatalf("the repository was asked %d times, %d at once; want one question", len(commits.begun), commits.most)
		}
		commits.configs = append(commits.configs, "three")
		close(commits.release)
		synctest.Wait()
		turns(2)
		p.runs("three")
		stop()
		a.loop.errands.running.Wait()
	})
}

// A loop that is stopped while the repository hangs ends.
func TestStopWhileFetchHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, a, commits := hung(t)
		a.loop.spawn = func(f func()) { a.loop.errands.running.Go(f) }
		p.now = p.now.Add(time.Hour)
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- a.loop.Run(ctx) }()
		if what := <-commits.begun; what != "newest" {
			t.Fatalf("%s is asked for", what)
		}
		stop()
		if err := <-ended; err != nil {
			t.Fatal(err)
		}
		if commits.asking != 0 {
			t.Fatal("it ended before its question did")
		}
	})
}

// A revision of the past that is promoted is asked for beside the turns as well.
func TestPastHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, a, commits := hung(t)
		a.loop.fetchAt = p.now.Add(time.Hour)
		a.loop.spawn = func(f func()) { a.loop.errands.running.Go(f) }
		commits.configs = append(commits.configs, "three", "four")
		three := commits.revision(2).Hash
		if _, err := a.loop.Do(t.Context(), Command{Name: CommandPromote, Revision: three}); err != nil {
			t.Fatal(err)
		}
		a.loop.turn(t.Context())
		synctest.Wait()
		a.loop.turn(t.Context())
		p.runs("two")
		if s := a.loop.Status(); s.Problems["decide"] != "" {
			t.Fatalf("waiting for the repository is called a problem: %v", s.Problems)
		}
		close(commits.release)
		synctest.Wait()
		a.loop.turn(t.Context())
		p.runs("three")
		if asked := <-commits.begun; asked != three || len(commits.begun) != 0 {
			t.Fatalf("asked for %s and %d more, want %s alone", asked, len(commits.begun), three)
		}
	})
}

// Who starts the workload waits for the first delivery, and Run confirms it.
func TestBegin(t *testing.T) {
	p := newPlanet(t, "a")
	a := p.loops[0]
	p.down = true
	a.workload.unclear, a.workload.ignores = errors.New("not started"), "one"
	p.repo.Commit("config", "one")
	if err := a.loop.Begin(t.Context()); err != nil {
		t.Fatal(err)
	}
	if b := a.workload.delivered; b == nil || string(b.Files["leaf/prometheus.yml"]) != "one" {
		t.Fatalf("delivered %v, want one", b)
	}
	a.workload.unclear, a.workload.ignores = nil, ""
	p.pass(2 * time.Minute)
	p.runs("one")
	if s := a.loop.Status(); s.Running == "" || len(s.Rejected) > 0 {
		t.Fatalf("status %+v, want it to run the first revision", s)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	b := &member{planet: p, name: "b", dir: t.TempDir(), workload: &workload{}, from: &history{configs: []string{"invalid"}}}
	p.loops = append(p.loops, b)
	b.open()
	defer b.loop.Close()
	if err := b.loop.Begin(ctx); !errors.Is(err, context.Canceled) {
		t.Fatalf("it ends with %v where nothing can be delivered", err)
	}
}

// What the loop tells of gates and of baking.
func TestGatesToldAndBakes(t *testing.T) {
	p := newPlanet(t, "a", "b")
	p.repo.Commit("config", "one")
	p.pass(10 * time.Minute)
	two := p.repo.Commit("config", "two")
	p.pass(45 * time.Second)
	p.runs("two", "one")
	bakes := func(m *member) []string {
		var out []string
		for _, b := range m.loop.Status().Bakes {
			if b.Revision != two || b.Until.Sub(b.Since) != time.Minute || b.Since.After(p.now) {
				t.Errorf("%s tells of %+v at %s", m.name, b, p.now)
			}
			out = append(out, b.Wave)
		}
		return out
	}
	if a, b := bakes(p.loops[0]), bakes(p.loops[1]); !slices.Equal(a, []string{"w0"}) || !slices.Equal(b, []string{"w0"}) {
		t.Errorf("a counts %v, b %v; want both to count w0", a, b)
	}
	p.gate = func(expr string) wave.Verdict { return wave.Fails }
	p.pass(15 * time.Second)
	gates := p.loops[0].loop.Status().Gates
	if len(gates) != 2 || gates[0].Wave != "w0" || gates[0].Verdict != "fails" || gates[0].Value == nil || *gates[0].Value != 0 || gates[0].Failed != 1 || gates[0].At.IsZero() {
		t.Errorf("gates %+v, want that of w0 to have failed once", gates)
	}
	if gates[1].Verdict != "" {
		t.Errorf("the gate of w1 was not asked by a, and is %q", gates[1].Verdict)
	}
	families, err := p.loops[0].reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]float64{}
	for _, f := range families {
		if name := f.GetName(); name == "pando_gitops_gate_holds" || name == "pando_gitops_gate_value" || name == "pando_gitops_gate_asked_timestamp_seconds" {
			for _, m := range f.Metric {
				got[name+" "+m.Label[0].GetValue()+" "+m.Label[1].GetValue()] = m.GetGauge().GetValue()
			}
		}
	}
	if len(got) != 3 || got["pando_gitops_gate_holds up w0"] != 0 || got["pando_gitops_gate_asked_timestamp_seconds up w0"] == 0 {
		t.Errorf("metrics %v, want those of the gate that was asked", got)
	}
}
