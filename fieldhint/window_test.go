//go:build !race

// What is measured here is sizes and rates, of one goroutine: it takes ten times as long
// under the race detector, which would find nothing.

package fieldhint

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/prometheus/prometheus/model/labels"
)

// anyTimeRate measures how often a child seems to have what it has not, at any time.
func (p *parent) anyTimeRate(t *testing.T, child string, r *rand.Rand) float64 {
	t.Helper()
	const probes = 200_000
	hits, v := 0, p.child(child).view.Load()
	if v == nil {
		t.Fatalf("the hint of %s is not in use", child)
	}
	for range probes {
		if v.has(locations(r.Uint64()), math.MinInt64, math.MaxInt64) {
			hits++
		}
	}
	return float64(hits) / probes
}

const testWindow = int64(24 * hour)

// agedSeries are those of a leaf that has some of each era.
func agedSeries(leaf string, start int64) func(add func(labels.Labels, ...Span)) error {
	return func(add func(labels.Labels, ...Span)) error {
		for i := range 2000 {
			add(podSeries(leaf+"-always", i), Span{start - 40*testWindow, math.MaxInt64})
		}
		for era := range 5 {
			at := start - (1<<(era+1))*testWindow + testWindow/2
			for i := range 200 << era {
				add(podSeries(fmt.Sprint(leaf, "-era-", era), i), Span{at, at + hour})
			}
		}
		for i := range 500 {
			add(podSeries(leaf+"-now", i), Span{start, math.MaxInt64})
		}
		return nil
	}
}

func podSeries(pod string, i int) labels.Labels {
	return labels.FromStrings(labels.MetricName, fmt.Sprint("m", i%50), "pod", fmt.Sprintf("%s-%d", pod, i))
}

func rebuildAged(t *testing.T, s *Set, leaf string, start int64) {
	t.Helper()
	if err := s.Rebuild(Layout{Start: start, Window: testWindow, Current: start - hour}, agedSeries(leaf, start)); err != nil {
		t.Fatal(err)
	}
	s.SetComplete()
}

// The hint of a child with sections of very different sizes, all of which a query about
// any time looks at, seems to have what it has not at no more than twice the rate that
// it was made for; also when sections have outgrown their filters by several layers.
// Nothing is lost by that.
func TestRateOverSectionsAndLayers(t *testing.T) {
	const rate, start = 0.01, 1000 * testWindow
	r := rand.New(rand.NewPCG(21, 4))
	par := newParent(t, IndexConfig{FalsePositiveRate: rate})
	s := newSet(t, SetConfig{})
	rebuildAged(t, s, "leaf", start)
	l := connect(t, s, par, "leaf")
	check := func(when string, layers int) {
		t.Helper()
		l.flow()
		stats := par.Stats()[0]
		if !stats.Synced || stats.Layers < layers || stats.Sections != 7 {
			t.Fatalf("%s: %+v, want 7 sections, and %d layers of one at least", when, stats, layers)
		}
		got, estimated := par.anyTimeRate(t, "leaf", r), stats.FalsePositiveRate
		t.Logf("%s: %d fingerprints, up to %d layers: rate %.4f, estimated %.4f, of %.2f", when, stats.Fingerprints, stats.Layers, got, estimated, rate)
		if got > 2*rate || got < estimated/2 || got > 2*estimated {
			t.Errorf("%s: false-positive rate %.4f, estimated %.4f; want at most %.2f", when, got, estimated, 2*rate)
		}
	}
	check("of the right sizes", 1)
	const born = 6000
	for i := range born {
		s.AddSeries(podSeries("born", i))
		at := start - 10*testWindow + int64(i)
		s.AddSeriesAt(podSeries("dropped-in", i), Span{at, at + 1})
		if i%500 == 0 {
			l.flow()
		}
	}
	check("grown", 3)
	for i := range born {
		par.expect(t, "grown", "leaf", fmt.Sprintf(`!__name__="m%d" pod="born-%d"`, i%50, i), fmt.Sprintf(`!__name__="m%d" pod="dropped-in-%d"`, i%50, i))
	}
}

// So it is of a zone while its leaves change to the next window one after the other,
// and it has the sections of both.
func TestRateWhileGenerationsChange(t *testing.T) {
	const rate, leaves = 0.01, 4
	r := rand.New(rand.NewPCG(21, 5))
	zone := newSet(t, SetConfig{})
	mid, root := newParent(t, IndexConfig{Union: zone}), newParent(t, IndexConfig{FalsePositiveRate: rate})
	up := connect(t, zone, root, "zone")
	check := func(when string, sections int) {
		t.Helper()
		zone.SetComplete()
		up.flow()
		got, stats := root.anyTimeRate(t, "zone", r), root.Stats()[0]
		t.Logf("%s: %d sections, rate %.4f of %.2f", when, stats.Sections, got, rate)
		if got > 2*rate || stats.Sections != sections {
			t.Errorf("%s: false-positive rate %.4f of %d sections, want at most %.2f of %d", when, got, stats.Sections, 2*rate, sections)
		}
	}
	var sets [leaves]*Set
	var links [leaves]*link
	turn := func(from, to int, start int64) {
		t.Helper()
		for i := from; i < to; i++ {
			rebuildAged(t, sets[i], fmt.Sprint("leaf-", i), start)
			links[i].flow()
		}
	}
	for i := range sets {
		sets[i] = newSet(t, SetConfig{})
		links[i] = connect(t, sets[i], mid, fmt.Sprint("leaf-", i))
	}
	turn(0, leaves, 1000*testWindow)
	check("one generation", 7)
	turn(0, leaves/2, 1001*testWindow)
	check("two generations", 14)
	turn(leaves/2, leaves, 1001*testWindow)
	check("the next one", 7)
}
