package gitops

import (
	"errors"
	"testing"
	"time"

	"github.com/pandometrics/pando/gitops/wave"
)

// What gates say while a revision is being delivered, and for a while after, is not
// held against what is returned to, whether that has proved itself or not; if it goes
// on and that has not, it is.
func TestReturnedToIsNotBlamed(t *testing.T) {
	rolls, away := &ProgressError{What: "1 of 2 pods are ready"}, &UnavailableError{What: "apply", Err: errors.New("away")}
	for name, tc := range map[string]struct {
		proven, newer bool          // what is returned to; whether a newer revision ends the delivery
		fails         time.Duration // from the delivery on
		stays         bool
	}{
		"given up, proven":       {true, false, 4 * time.Minute, true},
		"given up, not proven":   {false, false, 4 * time.Minute, true},
		"makes way, proven":      {true, true, 70 * time.Second, true},
		"makes way, not proven":  {false, true, 70 * time.Second, true},
		"it goes on, not proven": {false, false, time.Hour, false},
		"it goes on, but proven": {true, false, time.Hour, true},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPlanet(t, "a")
			a := p.loops[0]
			p.repo.Commit("config", "zero")
			p.pass(20 * time.Minute)
			one := p.repo.Commit("config", "one")
			await(t, p, func() bool { return a.workload.runs() == "one" })
			if tc.proven {
				await(t, p, func() bool { return a.state().Good[0] == one })
			}
			a.workload.hurts, a.workload.unclear = "two", rolls
			if tc.newer {
				a.workload.hinder = map[string]error{"two": away, "one": away, "three": away}
			}
			p.repo.Commit("config", "two")
			await(t, p, func() bool { return a.state().Pending != nil })
			start := p.now
			p.gate = func(string) wave.Verdict {
				if d := p.now.Sub(start); d < tc.fails && (!tc.newer || d > 30*time.Second) {
					return wave.Fails
				}
				return wave.Holds
			}
			if tc.newer {
				p.repo.Commit("config", "three")
			}
			p.pass(12 * time.Minute)
			blamed := false
			for _, r := range a.state().Rejected {
				blamed = blamed || r.Revision == one
			}
			if blamed == tc.stays {
				t.Fatalf("rejected %+v, want that of what is returned to: %t", a.state().Rejected, !tc.stays)
			}
		})
	}
}

// What a revision does to gates while an earlier wave gets it, and gives it up, is not
// held against what the last wave runs.
func TestGateFailsByAnEarlierWavesDelivery(t *testing.T) {
	for name, proven := range map[string]bool{"proven": true, "not proven": false} {
		t.Run(name, func(t *testing.T) {
			p := newPlanet(t, "a", "b")
			a, b := p.loops[0], p.loops[1]
			p.repo.Commit("config", "one")
			p.pass(20 * time.Minute)
			two := p.repo.Commit("config", "two")
			await(t, p, func() bool { return b.workload.runs() == "two" })
			if proven {
				await(t, p, func() bool { return b.state().Good[0] == two })
			}
			a.workload.hurts, a.workload.unclear = "three", &ProgressError{What: "1 of 2 pods are ready"}
			p.repo.Commit("config", "three")
			await(t, p, func() bool { return a.workload.runs() == "three" })
			start := p.now
			p.gate = func(string) wave.Verdict { // of the whole planet
				if p.now.Sub(start) < 2*time.Minute {
					return wave.Fails
				}
				return wave.Holds
			}
			p.pass(10 * time.Minute)
			p.runs("two", "two")
			if s := b.state(); len(s.Rejected) != 0 {
				t.Fatalf("the last wave rejects %+v, want nothing", s.Rejected)
			}
		})
	}
}

// state is a copy of what the loop remembers.
func (m *member) state() (s State) {
	m.loop.peek(func(now *State) { s = *now })
	return s
}

// await lets time pass until something is so.
func await(t *testing.T, p *planet, so func() bool) {
	t.Helper()
	for end := p.now.Add(time.Hour); !so(); p.pass(15 * time.Second) {
		if p.now.After(end) {
			t.Fatal("it did not come to be within an hour")
		}
	}
}
