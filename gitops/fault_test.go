package gitops

import (
	"encoding/json"
	"testing"
	"time"

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
