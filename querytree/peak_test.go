package querytree

import (
	"fmt"
	"runtime/metrics"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
)

// crowd is a tier over so many long children.
func crowd(tb testing.TB, n int, change func(*long)) *Mixer {
	tb.Helper()
	var children []Child
	for i := range n {
		l := newLong(zoneOf("zone", fmt.Sprintf("%03d", i)), 2)
		if change != nil {
			change(l)
		}
		children = append(children, l)
	}
	m := rootOver(tb, children...)
	m.cfg.Limits.Timeout, m.cfg.Limits.ChildDeadline = 10*time.Minute, 10*time.Minute // what is held is asked, not when
	return m
}

// peakOf evaluates a range query over the steps of long children, and returns the
// most that it held by the account.
func peakOf(tb testing.TB, m *Mixer, query string, o Options) (int64, parser.Value) {
	tb.Helper()
	ctx, budget := m.budget(tb.Context(), o)
	defer budget.Close()
	value, warn, _, err := m.eval(ctx, ExecRequest{Options: o, Query: query, End: (longSteps - 1) * 1000, Step: 1000}, &trail{})
	if err != nil || len(warn) > 0 {
		tb.Fatalf("%s: %v, %v", query, warn, err)
	}
	budget.mu.Lock()
	defer budget.mu.Unlock()
	return budget.peak, value
}

// What children answer to an aggregation is merged as it comes: however many they
// are, a tier holds the answer and what is staged.
func TestPeakOfAggregations(t *testing.T) {
	for query, ops := range map[string]int64{"sum by (g) (x)": 1, "max by (g) (x)": 1, "quantile by (g) (0.5, x)": 1, "avg by (g) (x)": 2, "stddev by (g) (x)": 3} {
		for _, n := range []int64{4, 64} {
			// Of the points, those that are staged and those that are merged. Of values
			// of a quantile each counts, however little they take.
			samples := int(2*maxStagedTogether/pointBytes + 3*ops*longGroups*longSteps)
			if strings.HasPrefix(query, "quantile") {
				samples = int(n * longGroups * longSteps)
			}
			peak, value := peakOf(t, crowd(t, int(n), nil), query, Options{MaxSamples: samples})
			if points := pointsOf(value.(promql.Matrix)); points != longGroups*longSteps {
				t.Errorf("%s: %d points", query, points)
			}
			all := n * ops * longBytes
			if most := min(2*maxStagedTogether, all) + 4*ops*longBytes; peak > most {
				t.Errorf("%s of %d children: held %d bytes of %d, want at most %d", query, n, peak, all, most)
			}
		}
	}
}

// A quantile needs all values, each eight bytes in blocks that double.
func TestPeakOfManyValues(t *testing.T) {
	const n = 64
	peak, _ := peakOf(t, crowd(t, n, func(l *long) { l.varied = true }), "quantile by (g) (0.5, x)", Options{})
	if most := int64(2*maxStagedTogether + 2*8*n*longGroups*longSteps); peak > most {
		t.Errorf("held %d bytes, want at most %d", peak, most)
	}
}

// Disjoint answers are held once.
func TestPeakOfConcatenation(t *testing.T) {
	for _, n := range []int{4, 64} {
		peak, value := peakOf(t, crowd(t, n, func(l *long) { l.owned = true }), "x", Options{})
		m := value.(promql.Matrix)
		if len(m) != n*longGroups {
			t.Fatalf("%d series", len(m))
		}
		if size := sizeOfMatrix(m); peak > size*11/10 {
			t.Errorf("%d children: held %d bytes for an answer of %d", n, peak, size)
		}
	}
}

// To choose k of all, a tier holds k of each child.
func TestPeakOfTopK(t *testing.T) {
	const k, n = 5, 64
	change := func(l *long) { l.owned, l.groups = true, k }
	peak, _ := peakOf(t, crowd(t, n, change), "topk(5, x)", Options{})
	if most := int64(6 * n * k * (longSteps*pointBytes + resultBytes)); peak > most || most > n*longBytes/20 {
		t.Errorf("held %d bytes, want at most %d of the %d of all children", peak, most, n*longBytes)
	}
}

// Groups are counted while they come: too many end the query, though a child has
// yet to answer.
func TestTooManyGroupsEndTheQuery(t *testing.T) {
	for _, query := range []string{"sum by (g) (x)", "quantile by (g) (0.5, x)"} {
		synctest.Test(t, func(t *testing.T) {
			other := newLong(us, 2)
			other.first = longGroups
			m := mixerOver(t, Identity{Tier: TierRoot}, impatient, newLong(eu, 2), other, newLong(asia, 2).failing(0, errHangs))
			begin := time.Now()
			got := askLong(t, m, query, Options{MaxSeries: longGroups})
			if took := time.Since(begin); took != 0 || !strings.Contains(got.Err, "query.max-series") {
				t.Errorf("%s: after %s: %+v", query, took, got)
			}
		})
	}
}

// What is accounted for groups of few points is more than their points: keys,
// labels and what holds them.
func TestGroupsAreAccountedFor(t *testing.T) {
	const n = 1000
	var series promql.Matrix
	for i := range n {
		series = append(series, promql.Series{Metric: labels.FromStrings("pod", fmt.Sprintf("%0100d", i)), Floats: []promql.FPoint{{F: 1}}})
	}
	for name, into := range map[string]merger{
		"sum":      newFold([]string{"sum"}, grid{}, 0, ""),
		"quantile": newQuantileFold(&Fragment{q: 0.5, grouping: []string{"pod"}}, grid{}),
	} {
		for range 2 {
			if err := into.add(slices.Clone(series)); err != nil {
				t.Fatal(err)
			}
		}
		if held := into.held(); held.series != n || held.bytes < n*300 || held.bytes > n*600 {
			t.Errorf("%s: %+v", name, held)
		}
	}
}

// heapPeak watches the heap until the function that it returns is called, which
// tells the most that it had, in MiB.
func heapPeak() func() float64 {
	done, most := make(chan struct{}), make(chan uint64)
	go func() {
		sample, peak := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}, uint64(0)
		tick := time.NewTicker(time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				metrics.Read(sample)
				peak = max(peak, sample[0].Value.Uint64())
			case <-done:
				most <- peak
				return
			}
		}
	}()
	return func() float64 { close(done); return float64(<-most) / (1 << 20) }
}

// BenchmarkPeak tells what aggregations and disjoint answers of many children
// allocate, and hold: by the account, and with the garbage.
func BenchmarkPeak(b *testing.B) {
	for _, query := range []string{"sum by (g) (x)", "avg by (g) (x)", "stddev by (g) (x)", "quantile by (g) (0.5, x)", "x"} {
		for _, n := range []int{4, 64} {
			b.Run(fmt.Sprintf("%s/%d", query, n), func(b *testing.B) {
				m := crowd(b, n, func(l *long) { l.owned = query == "x" })
				b.ReportAllocs()
				var peak int64
				heap := heapPeak()
				for b.Loop() {
					peak, _ = peakOf(b, m, query, Options{})
				}
				b.ReportMetric(float64(peak)/(1<<20), "peak-MiB")
				b.ReportMetric(heap(), "heap-MiB")
			})
		}
	}
}
