package keep

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"

	"github.com/pandometrics/pando/querytree"
)

// zoneBelow is a child of a root.
type zoneBelow struct {
	name string
	// away: it is not connected. Told: what it says of those below it is known all the
	// same, since the root has not been started anew.
	away, told bool
	missing    []string
}

func (z zoneBelow) describe() querytree.Description {
	id := querytree.Identity{Tier: querytree.TierZone, Labels: labels.FromStrings(querytree.ZoneLabel, z.name)}
	return querytree.Description{Identity: id, Missing: z.missing[:min(len(z.missing), querytree.MaxMissing)]}
}

// over has a tier have those zones below it.
func (k *tierOf) over(zones *[]zoneBelow) {
	k.c.cfg.Children, k.c.cfg.Known, k.c.cfg.Missing = func() (out []querytree.Description) {
		for _, z := range *zones {
			if !z.away {
				out = append(out, z.describe())
			}
		}
		return out
	}, func() (out []string) {
		for _, z := range *zones {
			out = append(out, z.describe().Name())
		}
		return out
	}, func() (out []string) {
		for _, z := range *zones {
			if z.away {
				out = append(out, z.describe().Name())
			}
			if !z.away || z.told {
				out = append(out, z.describe().Missing...)
			}
		}
		return out
	}
}

// leaves names so many leaves of a zone.
func leaves(zone string, from, to int) (out []string) {
	for i := from; i < to; i++ {
		out = append(out, fmt.Sprintf("zone=%s,cluster=%03d", zone, i))
	}
	return out
}

// A leaf that is away is not waited for anew because the zone that tells so is away
// for a while, the root is started anew meanwhile, or the zone misses more than it
// names. It is if it was back, or nobody knows the zone any more.
func TestHoldOfALeafBelow(t *testing.T) {
	const leaf = "zone=eu,cluster=000"
	type zones = []zoneBelow
	gone := zoneBelow{name: "eu", missing: []string{leaf}}
	for name, c := range map[string]struct {
		during  zones
		restart bool
		anew    bool
	}{
		"nothing happens":                 {zones{gone, {name: "us"}}, false, false},
		"root is started anew":            {zones{gone, {name: "us"}}, true, false},
		"zone is away":                    {zones{{name: "eu", away: true, told: true, missing: gone.missing}, {name: "us"}}, false, false},
		"zone is away, root started anew": {zones{{name: "eu", away: true}, {name: "us"}}, true, false},
		"zone misses too many":            {zones{{name: "eu", missing: leaves("eu", 1, 200)}, {name: "us"}}, false, false},
		"too many, and started anew":      {zones{{name: "eu", missing: leaves("eu", 1, 200)}, {name: "us"}}, true, false},
		"leaf is back":                    {zones{{name: "eu"}, {name: "us"}}, false, true},
		"back while another is away":      {zones{{name: "eu"}, {name: "us", away: true}}, true, true},
		"back while another misses many":  {zones{{name: "eu"}, {name: "us", missing: leaves("us", 0, 200)}}, false, true},
		"zone is forgotten":               {zones{{name: "us"}}, false, true},
	} {
		t.Run(name, func(t *testing.T) {
			k := collected(t, hourRule)
			now := zones{gone, {name: "us"}}
			k.over(&now)
			k.must(k.collect())
			since := k.now
			k.pass(2 * worldHold)
			now = c.during
			if c.restart {
				k.again(k.dir)
				k.over(&now)
			}
			k.must(k.collect())
			k.pass(time.Minute)
			if c.restart {
				k.again(k.dir)
				k.over(&now)
			}
			k.must(k.collect())
			now = zones{gone, {name: "us"}}
			k.must(k.collect())
			got, ok := k.past.awaySince(leaf)
			if want := map[bool]int64{false: since, true: k.now}[c.anew]; !ok || got.UnixMilli() != want {
				t.Errorf("away since %d (%v), want %d", got.UnixMilli(), ok, want)
			}
		})
	}
}

// However many names are told in the course of time, few are remembered that are
// named no more, and these are the ones that went first.
func TestFewUnnamedAreRemembered(t *testing.T) {
	k := collected(t, hourRule)
	now := []zoneBelow{{name: "eu"}}
	k.over(&now)
	for i := 0; i < 3*maxUnnamed; i += querytree.MaxMissing {
		now[0].missing = leaves("eu", i, i+querytree.MaxMissing)
		k.pass(time.Second)
		k.must(k.c.Fresh(t.Context()))
	}
	if n := len(k.past.state.Away); n > maxUnnamed+querytree.MaxMissing || n < maxUnnamed {
		t.Errorf("%d are remembered", n)
	}
	if _, ok := k.past.awaySince(leaves("eu", 0, 1)[0]); !ok {
		t.Error("the first is forgotten")
	}
	now[0].missing = nil
	k.must(k.c.Fresh(t.Context()))
	if n := len(k.past.state.Away) + len(k.past.state.AwayBy); n > 0 {
		t.Errorf("nobody is away, and %d are remembered", n)
	}
}

// sharedSource answers with what is there of each time.
type sharedSource struct {
	lacks func(t int64) []string // who has no part in it
}

func (s *sharedSource) Exec(_ context.Context, req querytree.ExecRequest) (querytree.ResultSet, error) {
	set := &worldSet{series: []promql.Series{{Metric: labels.FromStrings("job", "a")}}}
	for t := req.Start; t <= req.End; t += req.Step {
		set.series[0].Floats = append(set.series[0].Floats, promql.FPoint{T: t, F: 1})
		for _, name := range s.lacks(t) {
			set.report.Add(name, querytree.ChildReport{Verdict: querytree.Asked, Failed: "away"})
		}
	}
	if req.Strict && set.report.Partial() {
		return nil, querytree.ErrUnavailable
	}
	return set, nil
}

// Somebody who has just gone holds up the points that lack them, and no others: not
// those of which a zone's rollup has their share, though these lack somebody who was
// released long ago.
func TestWhoLacksHoldsUp(t *testing.T) {
	const hold = 10 * time.Minute
	k := collected(t, hourRule)
	k.c.cfg.Hold = hold
	source, gone := &sharedSource{}, []string{"b"}
	k.c.cfg.Source, k.c.cfg.Missing = source, func() []string { return gone }
	k.away = true // what is final stays
	bGone, cGone := k.now, int64(0)
	source.lacks = func(at int64) (out []string) {
		if at > bGone {
			out = append(out, "b")
		}
		if cGone > 0 && at > cGone-200_000 {
			out = append(out, "c")
		}
		return out
	}
	rounds := func(d time.Duration) {
		t.Helper()
		for ; d > 0; d -= maxBackoff {
			k.pass(maxBackoff)
			k.must(k.collect())
		}
	}
	k.must(k.c.Fresh(t.Context())) // which notes who is away
	k.pass(15 * time.Minute)
	gone, cGone = []string{"b", "c"}, k.now
	rounds(hold - maxBackoff)
	held := down(k.now-hold.Milliseconds(), worldStep)
	of := func() map[string]int64 {
		out := map[string]int64{}
		for _, h := range k.c.Status(100)[0].Holes {
			if h.From.UnixMilli() > bGone {
				out[fmt.Sprint(h.State, h.Missing)] += (h.To.UnixMilli()-h.From.UnixMilli())/worldStep + 1
			}
		}
		return out
	}
	due := (held - down(bGone, worldStep)) / worldStep
	ready := (down(cGone-200_000, worldStep) - down(bGone, worldStep)) / worldStep
	if got := of(); due <= ready || got["partial[b]"] != ready || got["absent[]"] != due-ready || len(got) != 2 {
		t.Errorf("while c is waited for: %v, want %d partial without b, and the %d that lack c absent", got, ready, due-ready)
	}
	rounds(2 * hold)
	if got := of(); got["partial[b]"] != ready || got["partial[b c]"] < 10 || len(got) != 2 {
		t.Errorf("both are released: %v", got)
	}
}

// Of points that are made at once, those that nobody lacks are whole although others
// are made without somebody.
func TestOlderPointsAreWhole(t *testing.T) {
	k := collected(t, hourRule)
	since := k.now
	source := &sharedSource{lacks: func(at int64) []string {
		if at > since+300_000 {
			return []string{"b"}
		}
		return nil
	}}
	k.c.cfg.Source, k.c.cfg.Missing = source, func() []string { return []string{"b"} }
	k.must(k.c.Fresh(t.Context()))
	k.pass(15 * time.Minute) // nothing is made
	k.away = true
	k.c.cfg.Batch = 1000
	for range 10 {
		k.pass(maxBackoff)
		k.must(k.collect())
	}
	if i := slices.IndexFunc(k.status().Holes, func(h Hole) bool { return h.From.UnixMilli() <= since+300_000 }); i >= 0 {
		t.Errorf("hole %v", k.status().Holes[i])
	}
	if st := k.status(); st.Partial == 0 || st.Absent > 0 {
		t.Errorf("%d partial, %d absent", st.Partial, st.Absent)
	}
}
