package zone

import (
	"context"
	"fmt"
	"math"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/pandometrics/pando/fieldhint"
	"github.com/pandometrics/pando/querytree"
	"github.com/pandometrics/pando/querytree/tier"
)

func newZone(t *testing.T, dir string) *Zone {
	t.Helper()
	z, err := New(Config{Tier: tier.Config{
		Identity: querytree.Identity{Tier: querytree.TierZone, Labels: labels.FromStrings("zone", "eu")},
		Limits:   querytree.DefaultLimits(), Lookback: 5 * time.Minute, SubqueryStep: time.Minute, Hints: true, DataDir: dir,
	}})
	if err != nil {
		t.Fatal(err)
	}
	return z
}

// run runs the zone until the test ends.
func run(t *testing.T, z *Zone) {
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- z.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// leaf is a child with its field hint, and its connection to the zone.
type leaf struct {
	t    *testing.T
	z    *Zone
	desc querytree.Description
	set  *fieldhint.Set

	stop func()
}

func newLeaf(t *testing.T, z *Zone, cluster string) *leaf {
	t.Helper()
	ext := labels.FromStrings("zone", "eu", "cluster", cluster)
	set, err := fieldhint.NewSet(fieldhint.SetConfig{External: ext})
	if err != nil {
		t.Fatal(err)
	}
	l := &leaf{t: t, z: z, set: set, desc: querytree.Description{
		Identity: querytree.Identity{Tier: querytree.TierLeaf, Labels: ext}, Instance: cluster,
	}}
	l.add("up")
	set.SetComplete()
	return l
}

func (l *leaf) add(metric string) { l.set.AddSeries(labels.FromStrings("__name__", metric)) }

type conn struct{ querytree.Child }

// connect registers the leaf and streams its hint until cut.
func (l *leaf) connect() {
	l.t.Helper()
	e, err := l.z.Roster.Admit(l.t.Context(), l.desc, &conn{}, func(context.Context) error { return nil })
	if err != nil {
		l.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(l.t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for ctx.Err() == nil { // an error of Hint begins the stream anew
			_ = l.set.Stream(ctx, e.Hint)
		}
	}()
	l.stop = func() {
		cancel()
		<-done
		e.Close(nil)
	}
}

func (l *leaf) cut() { l.stop() }

// parent is the root's side of the zone's union.
type parent struct {
	index *fieldhint.Index

	mu     sync.Mutex
	events []bool
}

func watch(t *testing.T, z *Zone) *parent {
	t.Helper()
	p := &parent{}
	var err error
	p.index, err = fieldhint.NewIndex(fieldhint.IndexConfig{OnState: func(_ string, synced bool) {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.events = append(p.events, synced)
	}})
	if err != nil {
		t.Fatal(err)
	}
	feed := p.index.Open("zone=eu")
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := z.Union.Stream(ctx, feed.Apply); ctx.Err() == nil {
			t.Errorf("stream of the union: %v", err)
		}
	}()
	t.Cleanup(func() { cancel(); <-done })
	return p
}

// prunes reports whether the root would not ask the zone for a metric.
func (p *parent) prunes(metric string) bool {
	return p.index.RulesOut("zone=eu", []*labels.Matcher{labels.MustNewMatcher(labels.MatchEqual, "__name__", metric)}, math.MinInt64, math.MaxInt64)
}

// settle lets everything happen that is due within a while.
func settle() {
	time.Sleep(100 * time.Millisecond)
	synctest.Wait()
}

func (p *parent) want(t *testing.T, when string, complete bool) {
	t.Helper()
	settle()
	if got := p.prunes("nowhere"); got != complete {
		t.Errorf("%s: the root prunes the zone: %t, want %t", when, got, complete)
	}
}

func TestUnionIsCompleteOnlyWhileAllChildrenAre(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		z := newZone(t, "")
		run(t, z)
		p := watch(t, z)
		p.want(t, "without children", false)
		a, b := newLeaf(t, z, "a"), newLeaf(t, z, "b")
		a.add("only_a")
		a.connect()
		p.want(t, "with one", true)
		b.set.SetIncomplete()
		b.add("only_b")
		b.connect()
		p.want(t, "with one that is not complete", false)
		b.set.SetComplete()
		p.want(t, "with two", true)
		for _, metric := range []string{"up", "only_a", "only_b"} {
			if p.prunes(metric) {
				t.Errorf("the root prunes the zone for %s", metric)
			}
		}
		a.add("new")
		settle()
		if p.prunes("new") {
			t.Error("a new series is not known to the root")
		}
		a.cut()
		p.want(t, "with one missing", false)
		a.add("newer")
		a.connect()
		p.want(t, "with it back", true)
		if p.prunes("newer") {
			t.Error("what came while it was away is not known to the root")
		}
		a.cut()
		if err := z.Roster.Forget(a.desc.Name()); err != nil {
			t.Fatal(err)
		}
		p.want(t, "with the missing one forgotten", true)
		if p.prunes("only_b") {
			t.Error("the root prunes the zone for only_b")
		}
		b.cut()
		p.want(t, "with none", false)
	})
}

// A zone that has forgotten nobody is not complete before all are back.
func TestUnionAfterRestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		z := newZone(t, dir)
		run(t, z)
		for _, cluster := range []string{"a", "b"} {
			newLeaf(t, z, cluster).connect()
		}
		settle()
		again := newZone(t, dir)
		run(t, again)
		p := watch(t, again)
		p.want(t, "restarted", false)
		newLeaf(t, again, "a").connect()
		p.want(t, "with one back", false)
		newLeaf(t, again, "b").connect()
		p.want(t, "with both back", true)
	})
}

// A child that falls silent is doubted after a while.
func TestSilentChild(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		z := newZone(t, "")
		run(t, z)
		p := watch(t, z)
		a := newLeaf(t, z, "a")
		e, err := z.Roster.Admit(t.Context(), a.desc, &conn{}, func(context.Context) error { return nil })
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		go func() { _ = a.set.Stream(ctx, e.Hint) }()
		p.want(t, "connected", true)
		cancel()
		time.Sleep(5 * time.Second)
		p.want(t, "silent", false)
	})
}

// At no moment does the root believe in a union that lacks a child's series:
// what a child had when the union last was complete is never pruned.
func TestNeverCompleteInBetween(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		z := newZone(t, "")
		run(t, z)
		p := watch(t, z)
		var leaves []*leaf
		for i := range 3 {
			l := newLeaf(t, z, fmt.Sprint(i))
			for j := range 50 {
				l.add(fmt.Sprintf("m_%d_%d", i, j))
			}
			l.connect()
			leaves = append(leaves, l)
		}
		p.want(t, "at first", true)
		check := func() {
			for i := range leaves {
				for j := range 50 {
					if p.prunes(fmt.Sprintf("m_%d_%d", i, j)) {
						t.Fatalf("round: the root prunes a metric of leaf %d", i)
					}
				}
			}
		}
		for round := range 30 {
			l := leaves[round%3]
			l.cut()
			check()
			if round%5 == 0 {
				l.set.Reset()
				for j := range 50 {
					l.add(fmt.Sprintf("m_%d_%d", round%3, j))
				}
				l.set.SetComplete()
			}
			time.Sleep(time.Duration(round) * time.Millisecond)
			check()
			l.connect()
			check()
			if round%2 == 0 {
				p.want(t, "all back", true)
			}
			check()
		}
	})
}

// When the leaves have made their hints anew, the zone has forgotten what is gone
// without asking them for anything, and pruned nothing wrongly meanwhile.
func TestZoneForgetsWithItsLeaves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		z := newZone(t, "")
		run(t, z)
		p := watch(t, z)
		a, b := newLeaf(t, z, "a"), newLeaf(t, z, "b")
		a.add("gone")
		a.connect()
		b.connect()
		p.want(t, "at first", true)
		if p.prunes("gone") {
			t.Error("the root prunes the zone for a series that is there")
		}
		for i, l := range []*leaf{a, b} {
			l.scan("up", "stays", fmt.Sprintf("of_%d", i))
			p.want(t, "after a leaf began a window", true)
			if p.prunes("stays") || p.prunes("up") {
				t.Error("the root prunes the zone for a series that is there")
			}
		}
		if !p.prunes("gone") || p.prunes("of_0") || p.prunes("of_1") {
			t.Errorf("pruned: gone %t, of_0 %t, of_1 %t", p.prunes("gone"), p.prunes("of_0"), p.prunes("of_1"))
		}
		a.cut()
		a.set.Reset()
		a.scan("up", "stays")
		a.connect()
		p.want(t, "after a leaf restarted", true)
		if p.prunes("stays") || p.prunes("of_1") {
			t.Error("the root prunes the zone for a series that is there")
		}
	})
}

// scan makes the leaf's hint anew, complete, of metrics that are there now.
func (l *leaf) scan(metrics ...string) {
	l.t.Helper()
	const day = 24 * 3600 * 1000
	layout := fieldhint.Layout{Start: day, Window: day, Current: day / 2}
	err := l.set.Rebuild(layout, func(add func(labels.Labels, ...fieldhint.Span)) error {
		for _, m := range metrics {
			add(labels.FromStrings("__name__", m), fieldhint.Span{From: day, To: math.MaxInt64})
		}
		return nil
	})
	if err != nil {
		l.t.Fatal(err)
	}
	l.set.SetComplete()
}

func TestConfigValidate(t *testing.T) {
	for _, c := range []struct {
		id   querytree.Identity
		want string
	}{
		{querytree.Identity{Tier: querytree.TierRoot}, "identity is of a root"},
		{querytree.Identity{Tier: querytree.TierZone}, "--zone"},
		{querytree.Identity{Tier: querytree.TierZone, Labels: labels.FromStrings("__a", "b")}, "__a"},
	} {
		if _, err := New(Config{Tier: tier.Config{Identity: c.id}}); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: %v", c.id, err)
		}
	}
}
