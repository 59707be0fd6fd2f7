package e2e_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// visibleWithin is how long after its acknowledgement a series may be missing
// from an answer that says it is whole: the age at which a hint is no longer
// used. It is milliseconds but on a machine that is overloaded.
const visibleWithin = 2 * time.Second

// Series are born and end all over a tree, one by one and in bursts, while tiers die
// and come back. Each can be found from the root soon after its
// acknowledgement, and from then on always, at the time at which it was there, or else
// the answer names what is missing from it. In the end, hints prune, and change no answer.
func TestProcessHintsNeverLie(t *testing.T) {
	processes(t)
	const wall, burst = 20 * time.Second, 4000
	rnd := rand.New(rand.NewSource(seed(t)))
	root := startRoot(t)
	zones := []*process{startZone(t, root.grpc, "--zone=eu"), startZone(t, root.grpc, "--zone=us")}
	var leaves []*process
	n := &nursery{t: t, root: root.http, bursts: map[string]int{}, delays: map[form][]time.Duration{}}
	for i := range 8 {
		at := place{i / 4, []string{"eu", "us"}[i/4], fmt.Sprint([]string{"eu-", "us-"}[i/4], i%4)}
		leaf := startLeaf(t, zones[at.parent].grpc, at.zone, at.cluster)
		write(t, leaf, pt(1, "__name__", "anchor"))
		leaves, n.leaves = append(leaves, leaf), append(n.leaves, cradle{at, leaf.http, zones[at.parent].http})
	}
	n.whole()
	begin := time.Now()

	ctx, cancel := context.WithCancel(context.Background())
	var workers sync.WaitGroup
	stop := func() {
		cancel()
		workers.Wait()
	}
	defer stop()
	for i := range int64(2) {
		workers.Go(func() { n.work(ctx, rand.New(rand.NewSource(seed(t)+1+i))) })
	}
	n.more(100)
	n.burst(rnd, 0, burst, true)
	for round := 0; round < 1 || time.Since(begin) < wall; round++ {
		victim, other := round%2, 1-round%2 // among zones, and among the first leaves of a zone
		n.outage("a zone", func() { zones[victim].kill() }, func() {
			n.burst(rnd, 4*victim+1, burst/(round+1), false)
			zones[victim] = zones[victim].again()
		})
		n.burst(rnd, other, burst/(round+1), false)
		n.outage("a leaf", func() { leaves[other].kill() }, func() { leaves[other] = leaves[other].again() })
		for leaf := 2; leaf < len(n.leaves); leaf++ {
			n.burst(rnd, leaf, burst/(round+1), leaf == 4)
		}
		n.outage("the root", func() { root.kill() }, func() { root = root.again() })
	}
	stop()

	n.report()
	n.all()
	n.synced(append(slices.Clone(zones), root))
	n.compare(rnd, 200, 50)
}

// outage lets something be down until answers, or errors, tell of it, and waits
// until all is well again.
func (n *nursery) outage(what string, kill, mend func()) {
	n.t.Helper()
	n.broken.Add(1)
	kill()
	missing := n.missing.Load()
	eventually(n.t, 60*time.Second, func() error {
		if got := n.missing.Load() - missing; got < 20 {
			return fmt.Errorf("%d answers tell of the outage of %s", got, what)
		}
		return nil
	})
	n.more(50)
	mend()
	begin := time.Now()
	n.whole()
	n.broken.Add(1)
	n.more(100)
	n.t.Logf("whole %v after the restart of %s", time.Since(begin).Round(time.Millisecond), what)
}

// whole waits until all leaves are part of the root's answers.
func (n *nursery) whole() {
	n.t.Helper()
	becomes(n.t, 60*time.Second, n.root, `count(last_over_time(anchor[1h]))`, float64(len(n.leaves)))
}

// more waits for that many more births.
func (n *nursery) more(many int) {
	n.t.Helper()
	count := func() int {
		n.mu.Lock()
		defer n.mu.Unlock()
		return len(n.born)
	}
	before := count()
	eventually(n.t, 60*time.Second, func() error {
		if got := count() - before; got < many {
			return fmt.Errorf("%d births, want %d", got, many)
		}
		return nil
	})
}

// report tells how long it took to find new series.
func (n *nursery) report() {
	n.t.Helper()
	at := func(d []time.Duration, q float64) time.Duration {
		slices.Sort(d)
		return d[min(len(d)-1, int(q*float64(len(d))))].Round(10 * time.Microsecond)
	}
	for _, f := range forms {
		d := n.delays[f]
		if len(d) < 12 {
			n.t.Errorf("%s: %d series were looked for at once, with all well", f, len(d))
			continue
		}
		n.t.Logf("%s: found within p50 %v, p99 %v, at most %v of %d acknowledgements", f, at(d, 0.5), at(d, 0.99), at(d, 1), len(d))
	}
	if len(n.gaps) > 0 {
		n.t.Logf("%d answers did not have the series yet, at an age of p50 %v, at most %v", len(n.gaps), at(n.gaps, 0.5), at(n.gaps, 1))
	}
	ended := 0
	for _, b := range n.born {
		if b.ended.Load() {
			ended++
		}
	}
	n.t.Logf("%d series looked for, of which %d ended, %d answers told of something missing, %d lied", len(n.born), ended, n.missing.Load(), n.lies.Load())
	if ended < 50 {
		n.t.Errorf("%d series ended", ended)
	}
}

// all checks that every series is there.
func (n *nursery) all() {
	n.t.Helper()
	lost := 0
	for _, b := range n.born {
		if v, err := vector(n.root, b.equal(), "time", seconds(b.when())); err != nil || len(v) != 1 {
			if lost++; lost < 5 {
				n.t.Errorf("%s, acknowledged by %s, in the end: %v, %v", b.equal(), b.leaf.cluster, v, err)
			}
		}
		if v, err := vector(n.root, b.equal()); b.ended.Load() && (err != nil || len(v) > 0) {
			n.t.Errorf("%s has ended, and is %v, %v", b.equal(), v, err)
		}
	}
	for name, many := range n.bursts {
		if got, err := number(n.root, `count(count_over_time(`+name+`[1h]))`); err != nil || got != float64(many) {
			n.t.Errorf("count(%s) is %v, %v; want %d", name, got, err, many)
		}
	}
	if lost > 0 {
		n.t.Errorf("%d of %d are not found", lost, len(n.born))
	}
}

// synced waits until the hints of all children of the tiers are in use. Those
// of the leaves have grown with the bursts.
func (n *nursery) synced(tiers []*process) {
	n.t.Helper()
	const grown = 20_000 // fingerprints, filters beginning at a thousand
	eventually(n.t, 60*time.Second, func() error {
		for _, p := range tiers {
			tree, err := treeOf(p.http)
			if err != nil {
				return err
			}
			for _, c := range tree.Children {
				if c.Hint == nil || !c.Hint.Synced || c.Hint.Fingerprints < grown {
					return fmt.Errorf("hint of %s is %+v", c.Name, c.Hint)
				}
			}
		}
		return nil
	})
}

// compare compares answers with and without hints: to queries for some series,
// and for some that do not exist. Hints prune for most of the former.
func (n *nursery) compare(rnd *rand.Rand, present, absent int) {
	n.t.Helper()
	asked, pruned := 0, 0
	for i := range present + absent {
		b := n.born[rnd.Intn(len(n.born))]
		f, query := forms[i%len(forms)], b.equal()
		switch {
		case i >= present:
			value := []rune(b.series.Get(b.id))
			slices.Reverse(value)
			query = fmt.Sprintf(`{__name__=%q,%q=%q}`, b.series.Get("__name__"), b.id, string(value)+"!")
		case f != byEqual:
			query = b.matching(rnd)
		}
		now := seconds(b.when())
		with, err := seek(n.root, f, b, query, "time", now)
		without, err2 := seek(n.root, f, b, query, "time", now, "hints", "off")
		if err := errors.Join(err, err2); err != nil || with.Status != "success" || with.Partial || without.Partial {
			n.t.Errorf("%s %s: %v; status %d and %d, %q", f, query, err, with.Code, without.Code, with.Warnings)
			continue
		}
		got, want := with.series(n.t, f), without.series(n.t, f)
		if diff := cmp.Diff(want, got); diff != "" || slices.Contains(want, b.shown(f)) != (i < present) {
			n.t.Errorf("%s %s: %d series, without hints %d:\n%s", f, query, len(got), len(want), diff)
		}
		if !f.samples() || i >= present {
			continue
		}
		if d, err := without.query(); err != nil || d.Stats.Pando.Pruned.Hint > 0 {
			n.t.Errorf("%s: pruned by hints that are off: %+v, %v", query, d.Stats.Pando, err)
		}
		d, err := with.query()
		if asked++; err == nil && d.Stats.Pando.Pruned.Hint > 0 {
			pruned++
		}
	}
	n.t.Logf("hints pruned children for %d of %d queries for series of one leaf", pruned, asked)
	if 2*pruned < asked {
		n.t.Errorf("hints pruned children for %d queries, want most of %d", pruned, asked)
	}
}
