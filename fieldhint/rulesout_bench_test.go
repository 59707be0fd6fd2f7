package fieldhint

import (
	"fmt"
	"math"
	"slices"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"
)

// planet returns an index of so many children, with a core, a current section and
// two eras each, of thousands of fingerprints.
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
		for id, span := range []Span{always, {-hour, math.MaxInt64}, {-24 * hour, 0}, {math.MinInt64, -24 * hour}} {
			fps := make([]uint64, []int{5000, 1500, 1000, 500}[id])
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

func BenchmarkRulesOutAll(b *testing.B) {
	for _, n := range []int{10, 1000, 10_000} {
		x, names := planet(b, n)
		st, _ := x.Child(names[0])
		b.Logf("%d children: %.2f bytes a fingerprint, false-positive rate %.4f", n, float64(st.Bytes)/float64(st.Fingerprints), st.FalsePositiveRate)
		for _, text := range []string{`job="absent"`, `__name__="up" job="checkout-service" pod="absent"`, `pod=~"absent-.*"`, `pod="pod-7"`} {
			ms := selector(b, text)
			for _, r := range []struct {
				name       string
				mint, maxt int64
			}{{"now", hour, 2 * hour}, {"ever", math.MinInt64, math.MaxInt64}} {
				b.Run(fmt.Sprintf("%d/%s/%s", n, text, r.name), func(b *testing.B) {
					var took []time.Duration
					for b.Loop() {
						began := time.Now()
						x.RulesOutAll(names, ms, r.mint, r.maxt)
						took = append(took, time.Since(began))
					}
					slices.Sort(took)
					b.ReportMetric(float64(took[len(took)/2].Microseconds()), "p50-µs")
					b.ReportMetric(float64(took[len(took)*99/100].Microseconds()), "p99-µs")
				})
			}
		}
	}
}
