package e2e_test

import (
	"math/rand"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// Links between leaves and zones, and between zones and the root, are cut in one
// direction or in both, for moments or until they are given up, while samples come,
// some of them late. What was answered meanwhile is what it is in the end, and all
// points are there. A zone that has no leaf, and is known to have none, holds nobody
// up.
func TestProcessRollupsUnderCuts(t *testing.T) {
	processes(t)
	p := newKeptPlanet(t, keptOptions{proxied: true})
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "children.json"), []byte("[]"), 0o600); err != nil {
		t.Fatal(err)
	}
	tierAt(t, anyPort, anyPort, "zone", "--storage.path="+dir, "--parent="+p.root.grpc, "--zone=empty")
	p.endures(p.cut)
}

// cut cuts links and mends them.
func (p *keptPlanet) cut(rnd *rand.Rand) (cuts int) {
	p.t.Helper()
	for end := time.Now().Add(killedFor); time.Now().Before(end); cuts++ {
		p.pause(rnd, 2*time.Second)
		link := p.links[rnd.Intn(len(p.links))]
		which := rnd.Intn(3)
		for i, stream := range []string{"upstream", "downstream"} {
			if which == i || which == 2 {
				sicken(p.t, link, "timeout", stream, `"timeout": 0`)
			}
		}
		p.pause(rnd, 8*time.Second)
		cure(p.t, link)
	}
	return cuts
}

// Replicas of leaves die by kill -9 and come back, one of each leaf at a time, and
// miss what came meanwhile. Points are made of both together, each sample once.
func TestProcessRollupsOfReplicas(t *testing.T) {
	processes(t)
	p := newKeptPlanet(t, keptOptions{replicas: 2})
	p.endures(func(rnd *rand.Rand) (kills int) {
		for end := time.Now().Add(killedFor / 2); time.Now().Before(end); kills++ {
			p.pause(rnd, 3*time.Second)
			i := 3 + rnd.Intn(len(p.tiers)-3)
			p.tiers[i].kill()
			p.pause(rnd, 6*time.Second)
			p.tiers[i] = p.tiers[i].again()
			ready(t, p.tiers[i])
			// The other one may be next: each sample is to be with one of them.
			p.pause(rnd, 2*time.Second)
		}
		return kills
	})
}

// pause waits for a while.
func (p *keptPlanet) pause(rnd *rand.Rand, atMost time.Duration) {
	select {
	case <-time.After(time.Duration(rnd.Int63n(int64(atMost)))):
	case <-p.t.Context().Done():
	}
}
