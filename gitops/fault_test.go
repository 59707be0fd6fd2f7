package gitops

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pandometrics/pando/gitops/source"
	"github.com/pandometrics/pando/gitops/wave"
)

// The waves of a revision that was rejected in the end do not outlive it, where
// it had proved itself before.
func TestWavesOfRejected(t *testing.T) {
	names := []string{"a", "b", "c", "d", "e"}
	p := newPlanet(t, names...)
	p.repo.Commit("config", "one")
	p.pass(30 * time.Minute)
	p.runs("one", "one", "one", "one", "one")
	all, err := json.Marshal([]wave.Wave{{Name: "all", Clusters: names}})
	if err != nil {
		t.Fatal(err)
	}
	p.loops[4].workload.refuses = "two"
	p.repo.Commit("config", "two", "waves.json", string(all))
	p.pass(30 * time.Minute)
	p.runs("one", "one", "one", "one", "one")
	p.repo.Commit("config", "three")
	p.pass(time.Minute)
	p.runs("three", "one", "one", "one", "one")
	p.pass(30 * time.Minute)
	p.runs("three", "three", "three", "three", "three")
}

// Where the first revision of all is rejected there is nothing to return to: a
// fix is taken, though the gates fail until it runs.
func TestFirstRevisionRejected(t *testing.T) {
	p := newPlanet(t, "a", "b")
	p.gate = func(expr string) wave.Verdict {
		if expr == "up-a" && p.loops[0].workload.runs() == "one" {
			return wave.Fails
		}
		return wave.Holds
	}
	bad := p.repo.Commit("config", "one")
	p.pass(5 * time.Minute)
	p.runs("one", "")
	if s := p.loops[0].loop.Status(); len(s.Rejected) != 1 || s.Rejected[0].Revision != bad {
		t.Fatalf("rejected %+v, want %s", s.Rejected, bad)
	}
	p.repo.Commit("config", "fix")
	p.pass(10 * time.Minute)
	p.runs("fix", "fix")
}

// A delivery that something stands in the way of makes way for a newer commit,
// and for the operator.
func TestDeliverySuperseded(t *testing.T) {
	p := newPlanet(t, "a")
	a := p.loops[0]
	one := p.repo.Commit("config", "one")
	p.pass(5 * time.Minute)
	away := &UnavailableError{What: "apply", Err: errors.New("a foreign object is in the way")}
	a.workload.hinder = map[string]error{"two": away}
	two := p.repo.Commit("config", "two")
	p.pass(10 * time.Minute)
	p.runs("one")
	p.repo.Commit("config", "fix")
	p.pass(3 * time.Minute)
	p.runs("fix")

	a.workload.hinder["three"] = away
	p.repo.Commit("config", "three")
	p.pass(5 * time.Minute)
	before := a.workload.deliver
	if _, err := a.loop.Do(t.Context(), Command{Name: CommandRollback, Revision: one}); err != nil {
		t.Fatal(err)
	}
	p.pass(3 * time.Minute)
	p.runs("one")
	if s := a.loop.Status(); s.Pending != nil || len(s.Rejected) != 0 || a.workload.deliver == before {
		t.Fatalf("pending %v, rejected %v; want it at rest, and %s not blamed", s.Pending, s.Rejected, two)
	}
}

// What a delivery that made way left behind is replaced by what runs, and if
// that is in the way of the obstacle too, by the next revision.
func TestPartialDelivery(t *testing.T) {
	p := newPlanet(t, "a")
	a := p.loops[0]
	one := p.repo.Commit("config", "one")
	p.pass(5 * time.Minute)
	a.workload.blocked = &UnavailableError{What: "apply", Err: errors.New("forbidden")}
	p.repo.Commit("config", "two")
	p.pass(5 * time.Minute)
	if _, err := a.loop.Do(t.Context(), Command{Name: CommandRollback, Revision: one}); err != nil {
		t.Fatal(err)
	}
	p.pass(3 * time.Minute)
	before := a.workload.deliver
	a.workload.blocked = nil
	p.pass(3 * time.Minute)
	p.runs("one")
	if n := a.workload.deliver - before; n != 1 {
		t.Fatalf("what runs was delivered %d times after the obstacle was gone, want once", n)
	}
	// Neither can be delivered, and then the fix can.
	a.workload.blocked = &UnavailableError{What: "apply", Err: errors.New("forbidden")}
	if _, err := a.loop.Do(t.Context(), Command{Name: CommandResume}); err != nil {
		t.Fatal(err)
	}
	p.pass(5 * time.Minute)
	a.workload.loaded = &Bundle{Hash: "half"}
	a.workload.blocked, a.workload.hinder = nil, map[string]error{"one": &UnavailableError{What: "apply", Err: errors.New("forbidden")}, "two": &UnavailableError{What: "apply", Err: errors.New("forbidden")}}
	p.repo.Commit("config", "fix")
	p.pass(3 * time.Minute)
	p.runs("fix")
}

// Without a root and without a workload that can be asked, a cluster begins if
// nothing was ever delivered to it, and not if only the loop's state was lost.
func TestFreshUnasked(t *testing.T) {
	p := newPlanet(t, "a", "b")
	p.down = true
	silent := errors.New("connection refused")
	b := p.loops[1]
	b.workload.unclear, b.workload.ignores = silent, "one" // it waits for its first configuration
	p.repo.Commit("config", "one")
	p.pass(5 * time.Minute)
	if b.workload.deliver < 2 {
		t.Fatalf("%d deliveries, want the first to be made, and tried again", b.workload.deliver)
	}
	b.workload.unclear, b.workload.ignores = nil, ""
	p.pass(5 * time.Minute)
	p.runs("one", "one")

	_ = b.loop.Close()
	b.dir = t.TempDir()
	b.open()
	b.workload.mu.Lock()
	b.workload.delivered, b.workload.unclear = &Bundle{}, silent
	b.workload.mu.Unlock()
	p.repo.Commit("config", "two")
	p.pass(5 * time.Minute)
	p.runs("one", "one")
}

// A cluster that is made anew from nothing is missing from the tree itself. It
// begins with what the others run, though the repository's newest is what they
// have rejected.
func TestMadeAnewWhileNewestIsBad(t *testing.T) {
	p := newPlanet(t, "a", "b")
	p.repo.Commit("config", "one")
	p.pass(10 * time.Minute)
	p.runs("one", "one")
	two := p.repo.Commit("config", "two")
	if _, err := p.loops[0].loop.Do(t.Context(), Command{Name: CommandAbort, Revision: two}); err != nil {
		t.Fatal(err)
	}
	p.pass(5 * time.Minute)
	p.runs("one", "one")

	b := p.loops[1]
	_ = b.loop.Close()
	b.dir = t.TempDir()
	b.workload.mu.Lock()
	b.workload.delivered, b.workload.loaded, b.workload.history = nil, nil, nil
	b.workload.mu.Unlock()
	p.partial = true
	b.open()
	p.pass(5 * time.Minute)
	p.runs("one", "one")
	if slices.Contains(b.workload.history, "two") {
		t.Fatal("what the others rejected was delivered to a cluster that was made anew")
	}
	p.partial = false
	p.repo.Commit("config", "three")
	p.pass(10 * time.Minute)
	p.runs("three", "three")
}

// A command to take a revision that comes while another is being delivered is
// obeyed after that, and does not bring that revision back later.
func TestPromotedWhileAnotherIsDelivered(t *testing.T) {
	p := newPlanet(t, "a")
	p.down = true // so that nothing but the first revision advances without a command
	a := p.loops[0]
	a.workload.blocked = &UnavailableError{What: "apply", Err: errors.New("away")}
	one := p.repo.Commit("config", "one")
	p.pass(15 * time.Second)
	if s := a.loop.Status(); s.Pending == nil || s.Pending.Revision != one {
		t.Fatalf("%+v is pending, want the first revision", s.Pending)
	}
	two := p.repo.Commit("config", "two")
	if _, err := a.loop.Do(t.Context(), Command{Name: CommandPromote, Revision: two}); err != nil {
		t.Fatal(err)
	}
	a.workload.blocked = nil
	p.pass(5 * time.Minute)
	p.runs("two")
	if !slices.Equal(a.workload.history, []string{"one", "two"}) {
		t.Errorf("loaded %v, want what was being delivered and then what was commanded", a.workload.history)
	}
	p.down = false
	p.repo.Commit("config", "three")
	p.pass(5 * time.Minute)
	p.runs("three")
}

// A delivery of which nothing was written yet waits until the fleet can be asked
// whether the revision is still wanted, in a loop that goes on and in one that was
// started anew; the wait is not held against it.
func TestNothingWrittenWhileRootIsDown(t *testing.T) {
	for _, restarts := range []bool{false, true} {
		t.Run(fmt.Sprintf("restarts %v", restarts), func(t *testing.T) {
			p := newPlanet(t, "a", "b")
			p.repo.Commit("config", "one")
			p.pass(10 * time.Minute)
			a := p.loops[0]
			a.workload.blocked = &UnavailableError{What: "apply", Err: errors.New("away")}
			two := p.repo.Commit("config", "two")
			p.pass(2 * time.Minute)
			p.down = true
			if restarts {
				_ = a.loop.Close()
				a.open()
			} else {
				p.pass(15 * time.Second)
			}
			a.workload.blocked = nil
			p.pass(10 * time.Minute)
			p.runs("one", "one")
			a.workload.blocked = errors.New("connection refused")
			p.down = false
			p.pass(30 * time.Second)
			if s := a.loop.Status(); len(s.Rejected) != 0 {
				t.Fatalf("rejected %+v, want it to be tried for a while first", s.Rejected)
			}
			a.workload.blocked = nil
			if _, err := p.loops[1].loop.Do(t.Context(), Command{Name: CommandAbort, Revision: two}); err != nil {
				t.Fatal(err)
			}
			p.pass(5 * time.Minute)
			p.runs("one", "one")
			if slices.Contains(a.workload.history, "two") {
				t.Fatal("a revision that the fleet rejected meanwhile was delivered")
			}
		})
	}
}

// A command that cannot be written to the disk is refused, and not obeyed.
func TestStateNotSaved(t *testing.T) {
	p := newPlanet(t, "a")
	p.repo.Commit("config", "one")
	p.pass(5 * time.Minute)
	a := p.loops[0].loop
	dir := a.store.dir
	a.store.dir = filepath.Join(dir, "gone")
	if _, err := a.Do(t.Context(), Command{Name: CommandPause}); err == nil {
		t.Fatal("a pause that was not saved was confirmed")
	}
	a.store.dir = dir
	a.peek(func(s *State) {
		if s.Paused || s.Running == "" {
			t.Fatalf("paused %t, running %q; want the state as it was", s.Paused, s.Running)
		}
	})
}

// slow is a repository that keeps the loop waiting.
type slow struct {
	Source
	wait func()
}

func (s slow) Fetch(ctx context.Context, w source.Want) (*source.Revision, error) {
	s.wait()
	return s.Source.Fetch(ctx, w)
}

// A repository that does not answer neither delays what the fleet says nor is
// asked again as soon as it has failed.
func TestSlowRepository(t *testing.T) {
	p := newPlanet(t, "a")
	p.repo.Commit("config", "one")
	p.pass(5 * time.Minute)
	p.repo.Commit("config", "two")
	p.pass(time.Minute)
	p.runs("two")
	a, asked := p.loops[0], 0
	if _, err := a.loop.Do(t.Context(), Command{Name: CommandAbort}); err != nil {
		t.Fatal(err)
	}
	a.loop.deps.Source = slow{a.loop.deps.Source, func() {
		if asked++; asked == 1 {
			p.runs("one")
		}
		p.now = p.now.Add(2 * time.Minute)
	}}
	a.loop.fetchAt = p.now
	p.pass(15 * time.Second)
	p.pass(30 * time.Second)
	if asked != 1 {
		t.Fatalf("%d looks at the repository, want an interval between two", asked)
	}
}

// A delivery that takes down the leaf which the loop's own metrics come from makes
// the root's answer partial. It is given up all the same, in time, after a restart
// of the loop too; a newer commit takes its place where it is stuck.
func TestDeliveryTakesLeafDown(t *testing.T) {
	gone := errors.New("connection refused")
	rolls := &ProgressError{What: "0 of 1 pods are ready"}
	for name, tc := range map[string]struct {
		point string
		err   error
	}{
		"the loop is killed when it has delivered": {"after delivery", rolls},
		"the loop is killed when it asks":          {"asks", gone},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPlanet(t, "a", "b")
			a := p.loops[0]
			p.repo.Commit("config", "one")
			p.pass(10 * time.Minute)
			a.workload.hurts, a.workload.unclear = "two", tc.err
			two := p.repo.Commit("config", "two")
			a.loop.sleep = func(context.Context, time.Duration) error { panic(killed{"asks"}) }
			if at := a.turnKilledIf(func(point string) bool { return point == tc.point }); at != tc.point || a.workload.runs() != "two" {
				t.Fatalf("killed at %q, and runs %q; want %q", at, a.workload.runs(), tc.point)
			}
			p.partial, p.silent = true, map[string]bool{"a": true}
			p.now = p.now.Add(time.Minute)
			a.open()
			p.pass(35 * time.Minute)
			if s := a.loop.Status(); len(s.Rejected) != 1 || s.Rejected[0].Revision != two {
				t.Fatalf("rejected %+v, problems %v, want %s", s.Rejected, s.Problems, two)
			}
			p.runs("one", "one")
		})
	}
	for name, restart := range map[string]bool{"the loop stays": false, "the loop is restarted": true} {
		t.Run(name, func(t *testing.T) {
			p := newPlanet(t, "a", "b")
			a := p.loops[0]
			p.repo.Commit("config", "one")
			p.pass(10 * time.Minute)
			a.workload.hurts, a.workload.unclear = "two", rolls
			two := p.repo.Commit("config", "two")
			for p.pass(15 * time.Second); a.workload.runs() != "two"; {
				p.pass(15 * time.Second)
			}
			p.partial, p.silent = true, map[string]bool{"a": true}
			p.pass(2 * time.Minute)
			if restart {
				_ = a.loop.Close()
				a.open()
			}
			p.pass(32 * time.Minute)
			if s := a.loop.Status(); len(s.Rejected) != 1 || s.Rejected[0].Revision != two || !strings.Contains(s.Rejected[0].Why, "0 of 1 pods") {
				t.Fatalf("rejected %+v, want %s, and why", s.Rejected, two)
			}
			p.runs("one", "one")
		})
	}
	for name, err := range map[string]error{
		"a newer commit":               &UnavailableError{What: "ask the pods", Err: gone},
		"a newer commit, and progress": &ProgressError{What: "0 of 1 pods are ready", Obstacle: "its image cannot be pulled"},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPlanet(t, "a", "b")
			a := p.loops[0]
			p.repo.Commit("config", "one")
			p.pass(10 * time.Minute)
			a.workload.hurts, a.workload.unclear = "two", err
			p.repo.Commit("config", "two")
			for p.pass(15 * time.Second); a.workload.runs() != "two"; {
				p.pass(15 * time.Second)
			}
			p.partial, p.silent = true, map[string]bool{"a": true}
			p.pass(2 * time.Minute)
			p.repo.Commit("config", "fix")
			p.pass(2 * time.Minute)
			p.runs("one", "one") // which brings the leaf back, and the answer is whole
			p.partial, p.silent = false, nil
			p.pass(10 * time.Minute)
			p.runs("fix", "fix")
		})
	}
}

// While a leaf somewhere is missing from the root's answer nothing advances, and
// what is heard to be rejected, or to fail by name, is returned from all the same.
func TestReturnsByPartOfTheTree(t *testing.T) {
	begun := func(t *testing.T) *planet {
		p := newPlanet(t, "a", "b", "c")
		p.repo.Commit("config", "one")
		p.pass(15 * time.Minute)
		p.repo.Commit("config", "two")
		for p.pass(15 * time.Second); p.loops[1].workload.runs() != "two"; {
			p.pass(15 * time.Second)
		}
		p.partial, p.silent = true, map[string]bool{"c": true}
		return p
	}
	t.Run("rejected by another", func(t *testing.T) {
		p := begun(t)
		if _, err := p.loops[0].loop.Do(t.Context(), Command{Name: CommandAbort}); err != nil {
			t.Fatal(err)
		}
		p.pass(time.Minute)
		p.runs("one", "one", "one")
	})
	for name, tc := range map[string]struct {
		failing []string
		want    string
	}{
		"a gate fails where it runs":    {[]string{"b"}, "one"},
		"a gate fails elsewhere":        {[]string{"c"}, "two"},
		"a gate fails and names nobody": {nil, "two"},
		"a gate fails in a neighbour":   {[]string{"c", "a"}, "one"},
	} {
		t.Run(name, func(t *testing.T) {
			p := begun(t)
			p.failing = func(string) []string { return tc.failing }
			p.pass(2 * time.Minute)
			p.runs(tc.want, tc.want, "one")
			p.pass(10 * time.Minute)
			p.runs(tc.want, tc.want, "one")
		})
	}
}

// What kills the workload after it was confirmed is rejected and returned from by
// the loop beside it, though no gate can tell; what has proved itself is not.
func TestWorkloadDiesOfRevision(t *testing.T) {
	p := newPlanet(t, "a", "b")
	a := p.loops[0]
	one := p.repo.Commit("config", "one")
	p.pass(10 * time.Minute)
	gone := errors.New("connection refused")
	dead := func() { a.workload.hurts, a.workload.unclear, p.partial = a.workload.runs(), gone, true }
	dead()
	p.pass(30 * time.Minute)
	if s := a.loop.Status(); len(s.Rejected) != 0 || s.Running != one {
		t.Fatalf("rejected %+v, runs %s; want what had proved itself to stay", s.Rejected, s.Running)
	}
	a.workload.hurts, p.partial = "", false
	two := p.repo.Commit("config", "two")
	for p.pass(15 * time.Second); a.workload.runs() != "two"; {
		p.pass(15 * time.Second)
	}
	p.pass(15 * time.Second)
	dead()
	p.pass(4 * time.Minute)
	if s := a.loop.Status(); len(s.Rejected) != 0 {
		t.Fatalf("rejected %+v after a short silence", s.Rejected)
	}
	p.pass(2 * time.Minute)
	p.runs("one", "one")
	if s := a.loop.Status(); len(s.Rejected) != 1 || s.Rejected[0].Revision != two || !strings.Contains(s.Rejected[0].Why, "connection refused") {
		t.Fatalf("rejected %+v, want %s, and why", s.Rejected, two)
	}
}

// A gate that fails while a revision is being delivered returns it: not for what it
// says for a moment, and long before the delivery is given up.
func TestGateFailsDuringDelivery(t *testing.T) {
	for name, tc := range map[string]struct {
		fails time.Duration // from the delivery on
		want  string
	}{"for good": {time.Hour, "one"}, "for a moment": {40 * time.Second, "two"}} {
		t.Run(name, func(t *testing.T) {
			p := newPlanet(t, "a", "b")
			a := p.loops[0]
			p.repo.Commit("config", "one")
			p.pass(10 * time.Minute)
			a.workload.hurts, a.workload.unclear = "two", &ProgressError{What: "1 of 2 pods are ready"}
			p.repo.Commit("config", "two")
			var since time.Time
			p.gate = func(expr string) wave.Verdict {
				if a.workload.runs() != "two" || expr != "up-a" {
					return wave.Holds
				}
				if since.IsZero() {
					since = p.now
				}
				if p.now.Sub(since) < tc.fails {
					return wave.Fails
				}
				return wave.Holds
			}
			for p.pass(15 * time.Second); since.IsZero(); {
				p.pass(15 * time.Second)
			}
			p.pass(4 * time.Minute)
			p.runs(tc.want, "one")
			if s := a.loop.Status(); (len(s.Rejected) == 1 && strings.Contains(s.Rejected[0].Why, `gate "up" of wave "w0" fails while it is delivered`)) != (tc.want == "one") {
				t.Fatalf("rejected %+v", s.Rejected)
			}
		})
	}
}

// A workload that is on its way may take longer than one that is silent, but
// not for ever.
func TestProgress(t *testing.T) {
	for name, set := range map[string]func(w *workload, err error){
		"delivering": func(w *workload, err error) { w.hinder = map[string]error{"two": err} },
		"confirming": func(w *workload, err error) { w.unclear, w.ignores = err, "two" },
	} {
		t.Run(name, func(t *testing.T) {
			p := newPlanet(t, "a")
			a := p.loops[0]
			p.repo.Commit("config", "one")
			p.pass(5 * time.Minute)
			set(a.workload, fmt.Errorf("wait: %w", &ProgressError{What: "2 of 3 pods are ready"}))
			two := p.repo.Commit("config", "two")
			p.pass(10 * time.Minute)
			p.repo.Commit("config", "three")
			p.pass(10 * time.Minute)
			if s := a.loop.Status(); s.Pending == nil || s.Pending.Revision != two || len(s.Rejected) != 0 {
				t.Fatalf("pending %v, rejected %+v; want %s pending", s.Pending, s.Rejected, two)
			}
			p.pass(20 * time.Minute)
			if s := a.loop.Status(); len(s.Rejected) != 1 || !strings.Contains(s.Rejected[0].Why, "2 of 3 pods") {
				t.Fatalf("rejected %+v, want %s in the end, and why", s.Rejected, two)
			}
			p.runs("three")
		})
	}
}
