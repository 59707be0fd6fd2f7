package e2e_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/pandometrics/pando/querytree/resultcache"
)

// dashboard is twenty panels as dashboards have them.
func dashboard(length time.Duration, step int64) (out []panel) {
	for _, q := range []string{
		`sum by (zone) (rate(http_requests_total[5m]))`,
		`sum by (zone, code) (rate(http_requests_total[5m]))`,
		`sum(rate(http_requests_total{code="500"}[5m])) / sum(rate(http_requests_total[5m]))`,
		`histogram_quantile(0.99, sum by (zone) (rate(native_seconds[5m])))`,
		`histogram_quantile(0.5, sum (rate(native_seconds[5m])))`,
		`avg by (cluster) (temperature)`,
		`max by (zone) (temperature)`,
		`topk(5, sum by (cluster, pod) (rate(http_requests_total[5m])))`,
		`count by (zone) (up == 1)`,
		`quantile(0.9, temperature)`,
	} {
		for _, job := range []string{"api", "db"} {
			out = append(out, panel{query: fmt.Sprintf("%s > %d", q, len(job)-100), length: length.Milliseconds(), step: step})
		}
	}
	return out
}

// BenchmarkDashboard refreshes a dashboard of 20 range queries every 10 s, of the
// planet's clock: with the cache, and without. One operation is one refresh.
func BenchmarkDashboard(b *testing.B) {
	for _, c := range []struct {
		length time.Duration
		step   int64
	}{{time.Hour, 15_000}, {6 * time.Hour, 60_000}, {24 * time.Hour, 300_000}} {
		p := newCachePlanet(b, 1, 10, resultcache.DefaultConfig())
		for range 60 * (c.length + time.Hour) / time.Hour {
			p.advance(time.Minute)
		}
		board := dashboard(c.length, c.step)
		for _, mode := range []string{"cached", "plain"} {
			b.Run(fmt.Sprintf("%s/%s", c.length, mode), func(b *testing.B) {
				refresh := func() {
					for _, q := range board {
						req := q.at(p.now.UnixMilli())
						req.NoCache = mode == "plain"
						if r := askRange(b.Context(), p.root.Mixer, req); r.err != nil || r.report.Partial() || len(r.matrix) == 0 {
							b.Fatalf("%s: %v, %v, %d series", q.query, r.err, r.report, len(r.matrix))
						}
					}
				}
				refresh()
				for b.Loop() {
					b.StopTimer()
					p.advance(10 * time.Second)
					p.heartbeat()
					b.StartTimer()
					refresh()
				}
			})
		}
	}
}
