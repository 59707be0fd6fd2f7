package gitops

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"
)

// away is what a deliverer says that could not begin to write.
func away() error {
	return &UnwrittenError{&UnavailableError{What: "apply", Err: errors.New("away")}}
}

// begun is a planet of two clusters that run "one", and the first of which is told to
// deliver "two", of which nothing is written.
func begun(t *testing.T, err error) (p *planet, a *member, two string) {
	p = newPlanet(t, "a", "b")
	p.repo.Commit("config", "one")
	p.pass(10 * time.Minute)
	a = p.loops[0]
	a.workload.blocked = err
	two = p.repo.Commit("config", "two")
	await(t, p, func() bool { return a.state().Pending != nil })
	p.pass(30 * time.Second)
	return p, a, two
}

// A delivery of which nothing was written has not reached the workload, whatever the
// reason: it waits until the fleet can be asked.
func TestUnwrittenIsNotReached(t *testing.T) {
	for name, err := range map[string]error{"away": away(), "disk full": &UnwrittenError{errors.New("no space left on device")}} {
		t.Run(name, func(t *testing.T) {
			p, a, _ := begun(t, err)
			p.down, a.workload.blocked = true, nil
			p.pass(10 * time.Minute)
			p.runs("one", "one")
			p.down = false
			p.pass(10 * time.Minute)
			p.runs("two", "two")
		})
	}
	// What may have been written has.
	p, a, _ := begun(t, errors.New("connection refused"))
	p.down, a.workload.blocked = true, nil
	p.pass(time.Minute)
	p.runs("two", "one")
}

// After a kill, a workload that has nothing loaded, or something else, has not begun
// with what is pending. It is given what runs while the fleet cannot be asked, for it
// may be what keeps the fleet's answer from being whole.
func TestNothingLoadedIsNotBegun(t *testing.T) {
	for name, tc := range map[string]struct {
		loaded *Bundle
		mixed  bool // some of the workload has what is pending
		want   string
	}{
		"nothing":        {nil, false, "one"},
		"something else": {&Bundle{Hash: "other"}, false, "one"},
		"a part of it":   {nil, true, "two"},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPlanet(t, "a", "b")
			p.repo.Commit("config", "one")
			p.pass(10 * time.Minute)
			a := p.loops[0]
			p.repo.Commit("config", "two")
			if at := a.turnKilledIf(func(at string) bool { return at == "before delivery" }); at == "" {
				t.Fatal("the loop was not killed")
			}
			p.now, p.down = p.now.Add(time.Minute), true
			a.workload.loaded = tc.loaded
			if tc.mixed {
				p := a.state().Pending
				a.workload.hurts, a.workload.unclear = "one", fmt.Errorf("ask: %w", &MixedError{Err: errors.New("zone differs"), Hashes: []string{"x", p.Hash}})
				a.workload.loaded = a.workload.delivered
			}
			a.open()
			p.pass(5 * time.Minute)
			p.runs(tc.want, "one")
			if tc.want == "one" && slices.Contains(a.workload.history, "two") {
				t.Fatal("what is pending was delivered before the fleet was asked")
			}
			p.down = false
			p.pass(10 * time.Minute)
			p.runs("two", "two")
		})
	}
}

// A delivery of which nothing was written, and which makes way or is rejected by the
// fleet meanwhile, has not touched what runs: that bakes on, and is watched on.
func TestUnwrittenBakesOn(t *testing.T) {
	for name, aborted := range map[string]bool{"makes way": false, "is rejected": true} {
		t.Run(name, func(t *testing.T) {
			p := newPlanet(t, "a", "b")
			p.repo.Commit("config", "zero")
			p.pass(20 * time.Minute)
			a := p.loops[0]
			one := p.repo.Commit("config", "one")
			await(t, p, func() bool { return p.loops[1].workload.runs() == "one" })
			a.workload.blocked = away()
			two := p.repo.Commit("config", "two")
			await(t, p, func() bool { return a.state().Pending != nil })
			before, deliveries := a.state().Memory.LoadedAt, a.workload.deliver
			p.pass(2 * time.Minute)
			if aborted {
				if _, err := p.loops[1].loop.Do(t.Context(), Command{Name: CommandAbort, Revision: two}); err != nil {
					t.Fatal(err)
				}
			} else {
				p.repo.Commit("config", "three")
			}
			gone := func() bool { s := a.state(); return s.Pending == nil || s.Pending.Revision != two }
			await(t, p, gone)
			s := a.state()
			if s.Running != one || !s.Memory.LoadedAt.Equal(before) || !s.Memory.Disturbed.IsZero() || s.Partial {
				t.Fatalf("runs %s, memory %+v, partial %t; want %s loaded at %v, and undisturbed", s.Running, s.Memory, s.Partial, one, before)
			}
			if a.workload.deliver != deliveries {
				t.Fatalf("%d deliveries more, want none of what runs already", a.workload.deliver-deliveries)
			}
			if s.Pending != nil && s.Pending.Back {
				t.Fatalf("%+v is pending, want nothing to return from", s.Pending)
			}
		})
	}
}

// A workload whose parts have loaded different revisions is given again what it should
// run, as one that has loaded something else is.
func TestMixedIsCorrected(t *testing.T) {
	p := newPlanet(t, "a")
	a := p.loops[0]
	p.repo.Commit("config", "zero")
	p.pass(10 * time.Minute)
	p.repo.Commit("config", "one")
	await(t, p, func() bool { return a.workload.runs() == "one" })
	before := a.workload.deliver
	part := *a.workload.delivered
	a.workload.loaded = &part
	a.workload.unclear = &MixedError{Err: errors.New("zone runs another"), Hashes: []string{part.Hash, "other"}}
	p.pass(10 * time.Minute)
	if n := a.workload.deliver - before; n != 1 || len(a.state().Rejected) != 0 {
		t.Fatalf("%d deliveries, rejected %+v; want one, and nothing blamed", n, a.state().Rejected)
	}
	// Where a part cannot be asked, and the others run what they should, it is left alone.
	a.workload.loaded = &part
	a.workload.unclear = &MixedError{Err: errors.New("connection refused"), Hashes: []string{part.Hash}}
	p.pass(2 * time.Minute)
	if n := a.workload.deliver - before; n != 1 || a.loop.healthy {
		t.Fatalf("%d deliveries, healthy %t; want none to what cannot be asked, which proves nothing", n-1, a.loop.healthy)
	}
}
