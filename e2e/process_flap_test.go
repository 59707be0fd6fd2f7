package e2e_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"
)

// witness asks a root without end, and checks each answer: the values of all
// leaves but of those that it names.
type witness struct {
	root *process
	// leaves are the values by leaf name.
	leaves map[string]float64

	whole, partial atomic.Int64
	mu             sync.Mutex
	wrong          []string
}

// witnessed are queries whose values add up to those of the leaves.
var witnessed = []string{
	`sum(last_over_time(steady[1h]))`,
	`last_over_time(steady[1h])`,
	`sum by (zone) (last_over_time(steady[1h]))`,
	`topk(9, max by (cluster) (last_over_time(steady[1h])))`,
	`max_over_time(sum(last_over_time(steady[1h]))[1s:1s])`,
}

// watch asks until ctx ends, then returns.
func (w *witness) watch(ctx context.Context) {
	for i := 0; ctx.Err() == nil; i++ {
		if err := w.ask(witnessed[i%len(witnessed)]); err != nil {
			w.mu.Lock()
			w.wrong = append(w.wrong, err.Error())
			w.mu.Unlock()
		}
	}
}

func (w *witness) ask(query string) error {
	a, err := ask(w.root.http, query, "stats", "all")
	if err != nil {
		return err
	}
	d, err := a.query()
	if err != nil {
		return fmt.Errorf("%s: %w", query, err) // one sick zone is no reason to fail
	}
	v, err := a.vector()
	if err != nil || d.Stats.Pando == nil {
		return fmt.Errorf("%s answered %s: %w", query, a.Data, err)
	}
	got, want, named := 0.0, 0.0, []string{}
	for _, s := range v {
		got += float64(s.Value)
	}
	for _, f := range d.Stats.Pando.Failed {
		named = append(named, f.Name)
	}
	for leaf, value := range w.leaves {
		if !coveredBy(named, leaf) {
			want += value
		}
	}
	if partial := len(named) > 0; partial != a.Partial || partial != (len(a.Warnings) > 0) || partial == d.Stats.Pando.Complete {
		return fmt.Errorf("%s: failed %q, but header %v, warnings %q, complete %v", query, named, a.Partial, a.Warnings, d.Stats.Pando.Complete)
	}
	if got != want {
		return fmt.Errorf("%s: %v, want %v without %q (warnings %q)", query, got, want, named, a.Warnings)
	}
	if len(named) > 0 {
		w.partial.Add(1)
	} else {
		w.whole.Add(1)
	}
	return nil
}

// coveredBy reports whether one of the names is that of a leaf or of its zone.
func coveredBy(names []string, leaf string) bool {
	for _, n := range names {
		if n == leaf || strings.HasPrefix(leaf, n+",") {
			return true
		}
	}
	return false
}

// next waits until counter has grown by n.
func next(t *testing.T, what string, counter *atomic.Int64, n int64) {
	t.Helper()
	before := counter.Load()
	eventually(t, 60*time.Second, func() error {
		if counter.Load() < before+n {
			return errors.New("no " + what + " answers")
		}
		return nil
	})
}

// steady is a sample that every step of a query sees that is asked from now on.
func steady(value float64) point {
	return point{labels.FromStrings("__name__", "steady"), time.Now().Add(-time.Minute), value}
}

// watched lets witnesses ask a root, once it is whole; stop ends them and tells what they saw.
func watched(t *testing.T, root *process, leaves map[string]float64) (w *witness, stop func()) {
	t.Helper()
	w = &witness{root: root, leaves: leaves}
	eventually(t, 60*time.Second, func() error {
		if err := w.ask(witnessed[0]); err != nil {
			return err
		}
		if w.whole.Load() == 0 {
			return errors.New("not whole yet")
		}
		return nil
	})
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() { w.watch(ctx) })
	}
	return w, func() {
		t.Helper()
		cancel()
		wg.Wait()
		t.Logf("%d answers whole, %d partial, %d wrong", w.whole.Load(), w.partial.Load(), len(w.wrong))
		for i, s := range w.wrong {
			if i == 10 {
				break
			}
			t.Error(s)
		}
	}
}

// A zone dies by kill -9 in the middle of queries, and comes back, several
// times: every answer is whole, or without what it names.
func TestProcessKillZone(t *testing.T) {
	processes(t)
	root := startRoot(t)
	eu, us := startZone(t, root.grpc, "--zone=eu"), startZone(t, root.grpc, "--zone=us")
	write(t, startLeaf(t, eu.grpc, "eu", "eu-1"), steady(1))
	write(t, startLeaf(t, eu.grpc, "eu", "eu-2"), steady(10))
	write(t, startLeaf(t, us.grpc, "us", "us-1"), steady(100))
	awaitLeaves(t, root, 3)
	w, stop := watched(t, root, map[string]float64{"zone=eu,cluster=eu-1": 1, "zone=eu,cluster=eu-2": 10, "zone=us,cluster=us-1": 100})
	for range 3 {
		next(t, "whole", &w.whole, 20)
		eu.kill()
		next(t, "partial", &w.partial, 20)
		eu = eu.again()
	}
	next(t, "whole", &w.whole, 20)
	stop()
}

// A leaf that connects and disconnects in a loop is in each answer, or named;
// it leaves nothing behind in the tiers above, and the others do not notice.
func TestProcessFlappingLeaf(t *testing.T) {
	processes(t)
	root := startRoot(t)
	zone := startZone(t, root.grpc, "--zone=eu")
	line := newProxy(t, zone.grpc)
	write(t, startLeaf(t, zone.grpc, "eu", "eu-1"), steady(1))
	write(t, startLeaf(t, line.Listen, "eu", "eu-2"), steady(10))
	awaitLeaves(t, root, 2)
	w, stop := watched(t, root, map[string]float64{"zone=eu,cluster=eu-1": 1, "zone=eu,cluster=eu-2": 10})
	before := map[*process]float64{root: metricOf(t, root, "go_goroutines"), zone: metricOf(t, zone, "go_goroutines")}
	for range 8 {
		next(t, "whole", &w.whole, 10)
		line.Stop()
		next(t, "partial", &w.partial, 5)
		if err := line.Start(); err != nil {
			t.Fatal(err)
		}
	}
	next(t, "whole", &w.whole, 20)
	stop()
	eventually(t, 60*time.Second, func() error {
		for p, n := range before {
			if now := metricOf(t, p, "go_goroutines"); now > n+40 {
				return fmt.Errorf("%s has %v goroutines, %v before", p.name, now, n)
			}
		}
		return nil
	})
}
