package fieldhint

import (
	"fmt"
	"math"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"golang.org/x/sys/unix"
)

// planet returns an index of so many children, with a core, a current section and
// two eras each, of thousands of fingerprints: between a seventh of 8,000 and all
// of them, so that few children are of the same size.
func planet(b *testing.B, n int) (*Index, []string) {
	b.Helper()
	x, err := NewIndex(IndexConfig{MaxAge: math.MaxInt64})
	if err != nil {
		b.Fatal(err)
	}
	names := make([]string, n)
	for i := range names {
		names[i] = fmt.Sprintf("zone=eu-west-%d,cluster=prod-%d", i%20, i)
		f := x.Open(names[i])
		fr := frame{complete: true, first: true, epoch: 1}
		series := labels.FromStrings(labels.MetricName, "up", "job", "checkout-service", "pod", fmt.Sprintf("pod-%d", i))
		size := (1 + 6*math.Mod(float64(i)*math.Phi, 1)) / 7
		for id, span := range []Span{always, {-hour, math.MaxInt64}, {-24 * hour, 0}, {math.MinInt64, -24 * hour}} {
			fps := make([]uint64, int(size*[]float64{5000, 1500, 1000, 500}[id]))
			for j := range fps {
				fps[j] = mix(uint64(i)<<32|uint64(id)<<24|uint64(j)) & fingerprintMask
			}
			if id == 0 {
				fps = append(fps, factsOf(series)...)
			}
			slices.Sort(fps)
			fps = slices.Compact(fps)
			fr.records = append(fr.records,
				record{kind: recordOpen, id: uint64(id), span: span, total: uint64(len(fps))},
				record{kind: recordFingerprints, id: uint64(id), fps: fps})
		}
		if err := f.Apply(fr.append(nil)); err != nil {
			b.Fatal(err)
		}
	}
	return x, names
}

// Selectors of the benchmark; %d is another number each time that they are asked,
// if they are to be new each time.
var timedSelectors = []struct{ name, text string }{
	{"one fact", `job="absent%d"`},
	{"three matchers", `__name__="up" job="checkout-service" pod="absent%d"`},
	{"three matchers, all match", `__name__="up" job="checkout-service" pod=~"pod-.*|%d"`},
	{"trigrams", `pod=~".*(absent|lost|missing)-%d-(pod|container|instance|replica)-.*"`},
	{"ten values", `job=~"a|b|c|d|e|f|g|h|i|j%d"`},
	{"one child", `pod="pod-%d"`},
}

// BenchmarkRulesOutAll tells how long it takes to decide about all children: by a
// selector that was asked before, or a new one each time; with wall time, and the
// time of the processor, which others that want it do not lengthen.
func BenchmarkRulesOutAll(b *testing.B) {
	for _, n := range []int{10, 1000, 10_000} {
		x, names := planet(b, n)
		for _, s := range timedSelectors {
			for _, when := range []string{"now", "ever"} {
				b.Run(fmt.Sprintf("%d/%s/again/%s", n, s.name, when), func(b *testing.B) {
					timeDecisions(b, x, names, when, func(int) string { return fmt.Sprintf(s.text, 7) })
				})
				b.Run(fmt.Sprintf("%d/%s/new/%s", n, s.name, when), func(b *testing.B) {
					timeDecisions(b, x, names, when, func(i int) string { return fmt.Sprintf(s.text, i) })
				})
			}
		}
	}
}

func timeDecisions(b *testing.B, x *Index, names []string, when string, text func(i int) string) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	mint, maxt := int64(hour), int64(2*hour)
	if when == "ever" {
		mint, maxt = math.MinInt64, math.MaxInt64
	}
	var wall, cpu []time.Duration
	for i := 0; b.Loop(); i++ {
		ms := selector(b, text(i))
		began, used := time.Now(), threadTime(b)
		x.RulesOutAll(names, ms, mint, maxt)
		cpu = append(cpu, threadTime(b)-used)
		wall = append(wall, time.Since(began))
	}
	b.ReportMetric(0, "ns/op")
	for unit, took := range map[string][]time.Duration{"cpu": cpu, "wall": wall} {
		slices.Sort(took)
		b.ReportMetric(float64(took[len(took)/2].Nanoseconds())/1000, unit+"-p50-µs")
		b.ReportMetric(float64(took[len(took)*99/100].Nanoseconds())/1000, unit+"-p99-µs")
	}
}

func threadTime(b *testing.B) time.Duration {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &t); err != nil {
		b.Fatal(err)
	}
	return time.Duration(t.Nano())
}

// BenchmarkIndexBytes tells what an index takes for a fingerprint.
func BenchmarkIndexBytes(b *testing.B) {
	for b.Loop() {
		x, _ := planet(b, 1000)
		fps := uint64(0)
		for _, s := range x.Stats() {
			fps += s.Fingerprints
		}
		b.ReportMetric(float64(x.bytes())/float64(fps), "B/fingerprint")
	}
}
