package e2e_test

import (
	"fmt"
	"math/rand"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pandometrics/pando/querytree/treehttp"
)

// Replicas of leaves die by kill -9 and come back, one of each leaf at a time, and
// miss what came meanwhile. Points are made of both together, each sample once.
func TestProcessRollupsOfReplicas(t *testing.T) {
	processes(t)
	p := newKeptPlanet(t, keptOptions{replicas: 2})
	p.endures(func(rnd *rand.Rand) (kills int) {
		for end := time.Now().Add(p.harmed / 2); time.Now().Before(end); kills++ {
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

// A leaf that is away for longer than is waited for is named in the points that are
// made without it: strict queries have none of them, others a warning. Once it is
// back they are made again, and are what they would have been.
func TestProcessRollupsHeld(t *testing.T) {
	processes(t)
	const hold = 10 * time.Second
	p := newKeptPlanet(t, keptOptions{flags: []string{"--rollup.hold=" + hold.String()}})
	p.endures(func(rnd *rand.Rand) int {
		p.pause(rnd, 10*time.Second)
		last := len(p.tiers) - 1
		name := p.tiers[last].name
		p.tiers[last].kill()
		eventually(t, time.Minute, func() error { return lacks(p.root.http, "c3", 5) })
		p.allowed(name)
		p.tiers[last] = p.tiers[last].again()
		ready(t, p.tiers[last])
		return 1
	})
}

// lacks returns an error unless a tier has so many points of each rule that were
// made without a leaf, and says so.
func lacks(base, leaf string, points int64) error {
	list, err := rollupsOf(base)
	if err != nil {
		return err
	}
	for _, r := range list.Rules {
		named := slices.ContainsFunc(r.Holes, func(h treehttp.RollupHole) bool {
			return h.State == "partial" && slices.ContainsFunc(h.Missing, func(name string) bool { return strings.Contains(name, leaf) })
		})
		if !named || r.Partial < points/int64(r.Every) {
			return fmt.Errorf("%s: %d partial points, holes %v", r.Name, r.Partial, r.Holes)
		}
	}
	return nil
}

// allowed asks for points without a leaf: queries that allow that get them with a
// warning, others get no answer.
func (p *keptPlanet) allowed(leaf string) {
	p.t.Helper()
	const expr = `sum by (job) (rate(events_total[10s]))`
	at := time.Now().Add(-15 * time.Second).Truncate(time.Second)
	params := func(partial string) url.Values {
		return url.Values{"query": {expr}, "time": {seconds(at)}, "partial_response": {partial}, "nocache": {"1"}}
	}
	a, err := call(p.root.http, "/api/v1/query", params("true"))
	if err != nil || !a.Partial || mentions(a.Warnings, "c3") != nil {
		p.t.Errorf("without %s: %v, partial %t, warnings %q", leaf, err, a.Partial, a.Warnings)
	}
	if a, err := call(p.root.http, "/api/v1/query", params("false")); err == nil && a.Status == "success" {
		p.t.Errorf("strict, without %s: %+v", leaf, a)
	}
}
