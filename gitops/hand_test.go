package gitops

import (
	"context"
	"slices"
	"testing"
	"time"
)

// replacing is a workload that notes which configs came as a replacement of what has
// proved itself.
type replacing struct {
	*workload
	replaced []string
}

// Replace implements Replacer.
func (r *replacing) Replace(ctx context.Context, b *Bundle) error {
	r.replaced = append(r.replaced, string(b.Files["leaf/prometheus.yml"]))
	return r.Deliver(ctx, b)
}

// replacer is a planet of one cluster that runs "one", which has proved itself.
func replacer(t *testing.T) (*planet, *member, *replacing) {
	p := newPlanet(t, "a")
	a := p.loops[0]
	r := &replacing{workload: a.workload}
	a.loop.deps.Deliverer = r
	one := p.repo.Commit("config", "one")
	await(t, p, func() bool { s := a.state(); return s.Running == one && slices.Contains(s.Good, one) })
	if r.replaced != nil {
		t.Fatalf("%q replaced something, and nothing was there", r.replaced)
	}
	return p, a, r
}

// Only what comes after a revision that has proved itself replaces it: not what comes
// after one that has not, nor a return.
func TestReplace(t *testing.T) {
	p, a, r := replacer(t)
	a.workload.refuses = "bad"
	p.repo.Commit("config", "bad")
	await(t, p, func() bool { return len(a.state().Rejected) == 1 && a.workload.runs() == "one" })
	a.workload.refuses = "three"
	two := p.repo.Commit("config", "two")
	await(t, p, func() bool { return a.state().Running == two })
	p.repo.Commit("config", "three")
	await(t, p, func() bool { return len(a.state().Rejected) == 2 && a.workload.runs() == "two" })
	if slices.Contains(a.state().Good, two) {
		t.Fatal("two has proved itself meanwhile")
	}
	if want := []string{"bad", "two"}; !slices.Equal(r.replaced, want) {
		t.Errorf("%q replaced what has proved itself, want %q", r.replaced, want)
	}
}

// What makes way for another was not proved by what ran before it.
func TestReplaceAfterWhatMadeWay(t *testing.T) {
	p, a, r := replacer(t)
	a.workload.hurts, a.workload.unclear = "two", &ProgressError{What: "1 of 2 pods are ready", Obstacle: "no room"}
	p.repo.Commit("config", "two")
	await(t, p, func() bool { return a.workload.runs() == "two" })
	a.workload.hinder = map[string]error{"one": away()} // or that would be put right first
	three := p.repo.Commit("config", "three")
	await(t, p, func() bool { return a.state().Running == three })
	if slices.Contains(r.replaced, "three") {
		t.Errorf("%q replaced what has proved itself, want two alone", r.replaced)
	}
}

// A return that could not be begun, and makes way, leaves what was given up: that is
// put right.
func TestReturnMakesWay(t *testing.T) {
	p, a, _ := replacer(t)
	a.workload.refuses, a.workload.hinder = "two", map[string]error{"one": away(), "three": away()}
	p.repo.Commit("config", "two")
	await(t, p, func() bool { s := a.state(); return s.Pending != nil && s.Pending.Back })
	p.pass(10 * time.Minute)
	p.repo.Commit("config", "three")
	await(t, p, func() bool { s := a.state(); return s.Pending == nil || !s.Pending.Back })
	if !a.state().Partial {
		t.Error("what was given up and not returned from is taken for what ran before")
	}
}
