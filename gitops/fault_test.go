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
