package leaf

import (
	"context"
	"fmt"
	"math"
	"os"
	"runtime"
	"strconv"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
)

const (
	fleetPods   = 300
	podSeries   = 400
	scrapeEvery = 15_000 // ms
	// churnPods are the pods that are replaced each minute, of 1% of the series;
	// rolloutPods those that a rollout replaces at once, of 10%.
	churnPods   = fleetPods / 100
	rolloutPods = fleetPods / 10
)

// scraped is a pod as a leaf scrapes it, in one transaction.
type scraped struct {
	sets []labels.Labels
	refs []storage.SeriesRef
}

// podLabels are the label sets of a pod. Its successors have all but the names of
// pod and instance in common with it.
func podLabels(pod, generation int) []labels.Labels {
	out := make([]labels.Labels, podSeries)
	suffix := strconv.FormatUint(uint64(generation*fleetPods+pod+1)*0x9e3779b97f4a7c15|1<<63, 36)
	for i := range out {
		b := labels.NewBuilder(overheadLabels(pod*podSeries + i))
		b.Set("pod", b.Get("job")+"-"+suffix[:9]+"-"+suffix[4:9])
		b.Set("instance", fmt.Sprintf("10.%d.%d.%d:8080", generation%7, pod%256, generation%250))
		out[i] = b.Labels()
	}
	return out
}

// fleet is what a leaf under comparison scrapes.
type fleet struct {
	on   *subject
	pods []scraped
	now  int64
}

func (f *fleet) replace(pod int, sets []labels.Labels) {
	f.pods[pod] = scraped{sets: sets, refs: make([]storage.SeriesRef, len(sets))}
}

func (f *fleet) scrape(b *testing.B) {
	b.Helper()
	f.now += scrapeEvery
	for _, pod := range f.pods {
		app := f.on.leaf.written.Appender(context.Background())
		for i, lset := range pod.sets {
			ref, err := app.Append(pod.refs[i], lset, f.now, float64(i))
			if err != nil {
				b.Fatal(err)
			}
			pod.refs[i] = ref
		}
		if err := app.Commit(); err != nil {
			b.Fatal(err)
		}
	}
}

// newFleet deploys the pods on a leaf, which decides what to tell of them.
func newFleet(b *testing.B, hints bool) *fleet {
	b.Helper()
	f := &fleet{on: newSubject(b, hints), pods: make([]scraped, fleetPods)}
	for pod := range f.pods {
		f.replace(pod, podLabels(pod, 0))
	}
	f.scrape(b)
	if f.on.set != nil {
		if err := f.on.leaf.indexing.update(b.Context(), f.on.leaf.store); err != nil {
			b.Fatal(err)
		}
	}
	return f
}

// mix is what leaves under comparison do all day, by the ratios of their speed: a
// minute of scrapes, the same with churn, and the scrape after a rollout.
type mix struct{ known, churn, rollout float64 }

// BenchmarkHintOverheadMix compares leaves with and without hints, in one run and in
// turns, by scrapes of targets of which some are replaced. A leaf that is set up when
// another one is there already is several percent slower, whatever it does: so each
// kind comes first once, and the ratios are means of both.
func BenchmarkHintOverheadMix(b *testing.B) {
	for range b.N {
		without, with := newFleet(b, false), newFleet(b, true)
		first := compareFleets(b, without, with)
		with, without = newFleet(b, true), newFleet(b, false)
		second := compareFleets(b, without, with)
		report := func(what, unit string, a, c float64) {
			ratio := math.Sqrt(a * c)
			b.ReportMetric(ratio, unit)
			fmt.Fprintf(os.Stdout, "%s, of the speed without hints: %.3f (%.3f and %.3f; ≥ %v: %s)\n", what, ratio, a, c, targetIngest, judged(ratio >= targetIngest))
		}
		report(fmt.Sprintf("a minute of scrapes of %d known series", fleetPods*podSeries), "known-ratio", first.known, second.known)
		report(fmt.Sprintf("the same, with %d new ones", churnPods*podSeries), "churn-ratio", first.churn, second.churn)
		report(fmt.Sprintf("the scrape after a rollout of %d new ones", rolloutPods*podSeries), "rollout-ratio", first.rollout, second.rollout)
	}
}

func compareFleets(b *testing.B, without, with *fleet) mix {
	b.Helper()
	const rounds = 6
	generation := 0
	compare := func(pods, scrapes int) float64 {
		next := make([][][]labels.Labels, rounds)
		for r := range next {
			generation++
			for i := range pods {
				next[r] = append(next[r], podLabels((r*pods+i)%fleetPods, generation))
			}
		}
		return inTurns(b, without.on, with.on, rounds, func(s *subject, round int) time.Duration {
			f := without
			if s == with.on {
				f = with
			}
			for i, sets := range next[round] {
				f.replace((round*pods+i)%fleetPods, sets)
			}
			runtime.GC() // what others left behind
			start := cpuTime(b)
			for range scrapes {
				f.scrape(b)
			}
			return cpuTime(b) - start
		})
	}
	return mix{known: compare(0, 4), churn: compare(churnPods, 4), rollout: compare(rolloutPods, 1)}
}
