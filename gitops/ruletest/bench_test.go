package ruletest_test

import (
	"runtime"
	"testing"
	"time"

	"github.com/pandometrics/pando/gitops/planet"
	"github.com/pandometrics/pando/gitops/planettest"
	"github.com/pandometrics/pando/gitops/ruletest"
)

// bound is how long a planet of 1,000 clusters may take.
const bound = 2 * time.Second

// BenchmarkThousandClusters loads, checks and renders a planet of 1,000 clusters,
// without and with its rule tests, as control loops do and pando check planet.
func BenchmarkThousandClusters(b *testing.B) {
	b.Run("untested", func(b *testing.B) { thousandClusters(b, planet.CheckOptions{}) })
	b.Run("tested", func(b *testing.B) {
		thousandClusters(b, planet.CheckOptions{Tests: ruletest.Runner{}, TestTimeout: time.Minute})
	})
}

func thousandClusters(b *testing.B, opts planet.CheckOptions) {
	fsys := planettest.Large(1000)
	b.ReportAllocs()
	var peak, bytes uint64
	for b.Loop() {
		p, problems := planet.Validate(fsys, opts)
		if problems.Failed() {
			b.Fatal(problems)
		}
		bytes = 0
		for _, c := range p.Clusters() {
			bundle, err := p.Render(c.Cluster)
			if err != nil {
				b.Fatal(err)
			}
			for _, data := range bundle.Files {
				bytes += uint64(len(data))
			}
		}
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		peak = max(peak, m.HeapSys)
	}
	b.ReportMetric(b.Elapsed().Seconds()/float64(b.N), "s")
	b.ReportMetric(bound.Seconds(), "s-bound")
	b.ReportMetric(float64(peak)/(1<<20), "heap-MiB")
	b.ReportMetric(float64(bytes)/1000/1024, "KiB/cluster")
}
