package e2e_test

import (
	"context"
	"fmt"
	"math/rand"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/Shopify/toxiproxy/v2"
)

// Leaves, zones and the root die by kill -9 and come back, and links between them are
// cut in one direction or in both, for moments or until they are given up, at random
// and at once, while samples come, some of them late. Whatever a strict query was
// answered meanwhile is what it is in the end, and in the end all points are there and
// are what one stock engine says of the samples of all leaves. A zone that has no leaf,
// and is known to have none, holds nobody up.
func TestProcessRollupsUnderFaults(t *testing.T) {
	processes(t)
	p := newKeptPlanet(t, keptOptions{proxied: true})
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "children.json"), []byte("[]"), 0o600); err != nil {
		t.Fatal(err)
	}
	tierAt(t, anyPort, anyPort, "zone", "--storage.path="+dir, "--parent="+p.root.grpc, "--zone=empty")
	p.endures(p.harm)
}

// harm kills tiers, or cuts links, or both, and then mends all of that.
func (p *keptPlanet) harm(rnd *rand.Rand) (faults int) {
	p.t.Helper()
	for end := time.Now().Add(p.harmed); time.Now().Before(end); {
		p.pause(rnd, 3*time.Second)
		which := 1 + rnd.Intn(3)
		if which&1 != 0 {
			link := p.links[rnd.Intn(len(p.links))]
			p.cut(rnd, link)
			faults++
		}
		if which&2 != 0 {
			i := rnd.Intn(len(p.tiers))
			p.tiers[i].kill()
			p.pause(rnd, 2*time.Second)
			p.tiers[i] = p.tiers[i].again()
			faults++
		}
		p.pause(rnd, 6*time.Second)
		for _, link := range p.links {
			cure(p.t, link)
		}
	}
	return faults
}

// cut cuts a link, in one direction or in both.
func (p *keptPlanet) cut(rnd *rand.Rand, link *toxiproxy.Proxy) {
	p.t.Helper()
	which := rnd.Intn(3)
	for i, stream := range []string{"upstream", "downstream"} {
		if which == i || which == 2 {
			sicken(p.t, link, "timeout", stream, `"timeout": 0`)
		}
	}
}

// endures has samples come and queries be asked while faults are done, and compares
// all that was answered with what the samples say in the end. It returns once all
// is whole.
func (p *keptPlanet) endures(faults func(*rand.Rand) int) {
	t := p.t
	seed := time.Now().UnixNano()
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewSource(seed))
	writing, stopWriting := context.WithCancel(t.Context())
	watching, stopWatching := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	for i := range p.leaves {
		wg.Go(func() { p.write(writing, i) })
	}
	for i := range 2 {
		wg.Go(func() { p.watch(watching, rand.New(rand.NewSource(seed+int64(i)))) })
	}
	t.Cleanup(func() { stopWriting(); stopWatching(); wg.Wait() })
	done := faults(rnd)
	stopWriting()
	stopped := time.Now()
	for _, base := range p.tops {
		eventually(t, 90*time.Second, func() error { return whole(base, stopped) })
		// There may be one more that is due at any time.
		eventually(t, 60*time.Second, func() error {
			if r := run(t, pando(t), "rollup", "ls", "--server="+base); r.code != 0 {
				return fmt.Errorf("pando rollup ls: exit code %d\n%s%s", r.code, r.out, r.errOut)
			}
			return nil
		})
	}
	stopWatching()
	wg.Wait()
	t.Logf("whole %v after the last sample", time.Since(stopped).Round(time.Second))
	compared, excused, used := p.compare(stopped)
	t.Logf("%d faults, %d answers noted, %d values compared, %d excused for %d tardy samples, %d steps from rollups", done, p.answers, compared, excused, len(p.tardy), used)
	if p.answers < 20 || compared <= excused || used == 0 {
		t.Error("too little was compared")
	}
}
