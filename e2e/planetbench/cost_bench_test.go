package planetbench_test

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"golang.org/x/sys/unix"

	"github.com/pandometrics/pando/fieldhint"
)

// cpuTime is what the process has used so far: unlike the time that passes, it
// does not depend on what else the machine does.
func cpuTime(tb testing.TB) time.Duration { return clock(tb, unix.CLOCK_PROCESS_CPUTIME_ID) }

func clock(tb testing.TB, id int32) time.Duration {
	tb.Helper()
	var t unix.Timespec
	if err := unix.ClockGettime(id, &t); err != nil {
		tb.Fatal(err)
	}
	return time.Duration(t.Nano())
}

// decisions measures how long it takes to hold a query against all children of
// one parent.
func (p *planet) decisions(tb testing.TB, r report) {
	tb.Helper()
	r.title("Time to decide on all children, of %d selectors, in milliseconds of CPU", len(p.queries))
	r.row("children", "p50", "p99", "worst form", "its p99")
	names := slices.Clone(p.flatNames)
	rand.New(rand.NewPCG(p.gen.cfg.seed, 2)).Shuffle(len(names), func(i, j int) { names[i], names[j] = names[j], names[i] })
	for _, n := range []int{10, 1_000, 10_000} {
		all, byForm := p.timed(tb, names[:n])
		worst := forms[0]
		for _, f := range forms {
			if quantile(byForm[f], 0.99) > quantile(byForm[worst], 0.99) {
				worst = f
			}
		}
		p99 := fmt.Sprintf("%.4g", quantile(all, 0.99))
		if n == 10_000 {
			p99 = atMost(quantile(all, 0.99), targetDecision, "")
		}
		r.row(n, fmt.Sprintf("%.4g", quantile(all, 0.5)), p99, worst, fmt.Sprintf("%.4g", quantile(byForm[worst], 0.99)))
	}
}

// timed returns the milliseconds of CPU that deciding on each query takes; of
// three runs the shortest, since others use the machine's caches too.
func (p *planet) timed(tb testing.TB, names []string) (all []float64, byForm map[form][]float64) {
	tb.Helper()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	byForm = map[form][]float64{}
	repeat := max(1, 1_000/len(names))
	for _, q := range p.queries {
		best := time.Duration(1 << 62)
		for range 3 {
			start := clock(tb, unix.CLOCK_THREAD_CPUTIME_ID)
			for range repeat {
				rulesOutAll(p.flat, names, q.matchers...)
			}
			best = min(best, clock(tb, unix.CLOCK_THREAD_CPUTIME_ID)-start)
		}
		ms := float64(best.Nanoseconds()) / 1e6 / float64(repeat)
		all = append(all, ms)
		byForm[q.form] = append(byForm[q.form], ms)
	}
	return all, byForm
}

func quantile(of []float64, q float64) float64 {
	if len(of) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(of))
	return sorted[min(len(sorted)-1, int(q*float64(len(sorted))))]
}

// falsePositives measures how often a leaf's filter has a label that no leaf has.
func (p *planet) falsePositives(r report) {
	passed, asked := 0, 0
	for i := range 200 {
		for _, out := range rulesOutAll(p.flat, p.flatNames, labels.MustNewMatcher(labels.MatchRegexp, fmt.Sprintf("absent%d", i), ".+")) {
			asked++
			if !out {
				passed++
			}
		}
	}
	r.row("false positives of one fingerprint", atMost(percent(passed, asked), targetFalsePositives, "%"))
}

// restarts measures how long a root that has lost its memory takes to learn of
// its zones again, and how long a zone takes when all of 1,000 leaves come back.
func (p *planet) restarts(tb testing.TB, r report) {
	tb.Helper()
	r.title("Restarts, locality by %s", p.gen.locality)
	root := newIndex(tb, nil)
	size, cpu, start := 0, cpuTime(tb), time.Now()
	for _, z := range p.zones {
		size += pump(tb, z.set, root, z.name, fieldhint.StreamOptions{})
	}
	r.row("root rebuilt of all zones' snapshots", fmt.Sprintf("%v, %v of CPU, %s received", time.Since(start).Round(time.Millisecond), (cpuTime(tb)-cpu).Round(time.Millisecond), megabytes(size)))
	if len(p.kept) == 0 {
		return
	}
	p.deltas(tb, r)
	x := p.zones[0].index
	elapsed, cpu, size := p.reconnect(tb, x)
	r.row(fmt.Sprintf("%d leaves reconnect, zone as before", len(p.kept)), fmt.Sprintf("%v, %v of CPU, %s received", elapsed, cpu, megabytes(size)))
	zone := newSet(tb, labels.EmptyLabels(), 1)
	elapsed, cpu, size = p.reconnect(tb, newIndex(tb, zone))
	r.row(fmt.Sprintf("%d leaves reconnect, zone restarted", len(p.kept)), fmt.Sprintf("%v, %v of CPU, %s received", elapsed, cpu, megabytes(size)))
}

// reconnect lets all kept leaves connect to a parent at once, each from where
// the parent is.
func (p *planet) reconnect(tb testing.TB, x *fieldhint.Index) (elapsed, cpu time.Duration, size int) {
	tb.Helper()
	var all sync.WaitGroup
	var mu sync.Mutex
	cpu = cpuTime(tb)
	start := time.Now()
	for i, set := range p.kept {
		all.Go(func() {
			name := p.gen.places[i].own
			n := pump(tb, set, x, name, fieldhint.StreamOptions{From: x.Open(name).Cursor()})
			mu.Lock()
			size += n
			mu.Unlock()
		})
	}
	all.Wait()
	return time.Since(start).Round(time.Millisecond), (cpuTime(tb) - cpu).Round(time.Millisecond), size
}

// deltas measures the way of fingerprints that are new to a leaf: through its
// stream, the zone's feed and index, into the zone's set. The leaf has many
// already, as it has when it runs.
func (p *planet) deltas(tb testing.TB, r report) {
	tb.Helper()
	const before, count, frame = 2_000_000, 200_000, 1000
	for _, what := range []string{"new to the zone", "known to the zone"} {
		fps := make([]uint64, before+count)
		rnd := rand.New(rand.NewPCG(p.gen.cfg.seed, 3))
		for i := range fps {
			fps[i] = rnd.Uint64()
		}
		zone, leaf := newSet(tb, labels.EmptyLabels(), 1), newSet(tb, labels.EmptyLabels(), 1)
		x := newIndex(tb, zone)
		leaf.SetComplete()
		leaf.Add(fps[:before]...)
		if what == "known to the zone" {
			zone.Add(fps...)
		}
		cpu := cpuTime(tb)
		pump(tb, leaf, x, "leaf", fieldhint.StreamOptions{})
		r.row("snapshot, "+what, atLeast(before/(cpuTime(tb)-cpu).Seconds()/1e6, targetDelta, " M fingerprints/s and core"))
		cpu = 0
		for i := before; i < len(fps); i += frame {
			leaf.Add(fps[i : i+frame]...)
			start := cpuTime(tb)
			pump(tb, leaf, x, "leaf", fieldhint.StreamOptions{From: x.Open("leaf").Cursor()})
			cpu += cpuTime(tb) - start
		}
		r.row("deltas of 1,000 fingerprints, "+what, atLeast(count/cpu.Seconds()/1e6, targetDelta, " M fingerprints/s and core"))
	}
}
