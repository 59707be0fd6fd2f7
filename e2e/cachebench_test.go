package e2e_test

import (
	"fmt"
	"runtime"
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
// planet's clock: with the cache, and without. One operation is both; what each
// takes of time and of processor time is told, and how many times less it is
// with the cache. In a lagging planet, all senders of one of the four leaves are
// behind, so that each delivery is late.
func BenchmarkDashboard(b *testing.B) {
	for _, c := range []struct {
		length time.Duration
		step   int64
		pods   int
		lag    time.Duration
	}{
		{time.Hour, 15_000, 10, 0},
		{time.Hour, 15_000, 100, 0},
		{time.Hour, 15_000, 1000, 0},
		{time.Hour, 15_000, 10, time.Minute},
		{time.Hour, 15_000, 10, 4 * time.Minute},
		{6 * time.Hour, 60_000, 10, 0},
		{24 * time.Hour, 300_000, 10, 0},
	} {
		b.Run(fmt.Sprintf("length=%s/series=%d/lag=%s", c.length, 4*5*c.pods, c.lag), func(b *testing.B) {
			p := newCachePlanet(b, 1, c.pods, resultcache.DefaultConfig())
			for _, s := range p.leaves[0].series {
				s.lag = c.lag
			}
			for range 60 * (c.length + time.Hour) / time.Hour {
				p.advance(time.Minute)
			}
			p.refreshed(b, dashboard(c.length, c.step))
		})
	}
}

// refreshed measures refreshes with the cache and without, in turn.
func (p *cachePlanet) refreshed(b *testing.B, board []panel) {
	p.refresh(b, board, false)
	var took, cpu [2]time.Duration
	for b.Loop() {
		p.advance(10 * time.Second)
		p.heartbeat()
		for i, plain := range []bool{false, true} {
			t, c := p.refresh(b, board, plain)
			took[i], cpu[i] = took[i]+t, cpu[i]+c
		}
	}
	for i, mode := range []string{"cached", "plain"} {
		b.ReportMetric(float64(took[i].Microseconds())/1000/float64(b.N), mode+"-ms")
		b.ReportMetric(float64(cpu[i].Microseconds())/1000/float64(b.N), mode+"-cpu-ms")
	}
	b.ReportMetric(float64(took[1])/float64(took[0]), "times-faster")
	b.ReportMetric(float64(cpu[1])/float64(cpu[0]), "times-less-cpu")
}

// refresh asks all of a dashboard's queries as of now.
func (p *cachePlanet) refresh(b *testing.B, board []panel, plain bool) (took, cpu time.Duration) {
	runtime.GC() // what was left behind before is not this one's work
	begin, used := time.Now(), ownCPU(b)
	for _, q := range board {
		req := q.at(p.now.UnixMilli())
		req.NoCache = plain
		if r := askRange(b.Context(), p.root.Mixer, req); r.err != nil || r.report.Partial() || len(r.matrix) == 0 {
			b.Fatalf("%s: %v, %v, %d series", q.query, r.err, r.report, len(r.matrix))
		}
	}
	return time.Since(begin), ownCPU(b) - used
}
