package leaf

import (
	"context"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/timestamp"
	"github.com/prometheus/prometheus/promql"

	"github.com/pandometrics/pando/querytree"
)

// execs evaluates a query of a leaf's parent, and fails if there is no answer.
func (l *Leaf) execs(tb testing.TB, query string, start, end time.Time) {
	tb.Helper()
	set, err := l.Child().Exec(context.Background(), querytree.ExecRequest{
		Query: query, Start: timestamp.FromTime(start), End: timestamp.FromTime(end), Step: queryBenchStep.Milliseconds(),
	})
	if err != nil {
		tb.Fatal(err)
	}
	defer set.Close()
	n := 0
	for ; set.Next(); n++ {
	}
	if set.Err() != nil || n == 0 {
		tb.Fatal(n, set.Err())
	}
}

// BenchmarkSpread compares a heavy query that one leaf evaluates on as many
// cores as there are with the same on one core, in turn: the medians of wall
// time, and how many times faster it is. It means something only while nobody
// else uses the processors.
func BenchmarkSpread(b *testing.B) {
	var leaves [2]*Leaf
	var start, end time.Time
	for i, cores := range []int{1, runtime.NumCPU()} {
		cfg := testConfig(b.TempDir())
		cfg.QueryParallelism = cores
		leaves[i] = openLeaf(b, cfg, Deps{})
		start, end = fillQueryBench(b, leaves[i], 20_000)
	}
	for _, query := range []string{
		`sum by (job) (rate(http_requests_total[5m]))`,
		`quantile by (job) (0.9, rate(http_requests_total[5m]))`,
		`sum by (job) (max_over_time(http_requests_total[5m]))`,
		`rate(http_requests_total[5m])`,
	} {
		b.Run(query, func(b *testing.B) {
			var walls, cpus [2][]time.Duration
			for b.Loop() {
				for range 7 {
					for i, l := range leaves {
						begin, used := time.Now(), cpuTime(b)
						l.execs(b, query, start, end)
						walls[i], cpus[i] = append(walls[i], time.Since(begin)), append(cpus[i], cpuTime(b)-used)
					}
				}
			}
			for i := range leaves {
				slices.Sort(walls[i])
				slices.Sort(cpus[i])
			}
			mid := len(walls[0]) / 2
			b.ReportMetric(float64(walls[0][mid])/float64(walls[1][mid]), "times-faster")
			b.ReportMetric(float64(cpus[1][mid])/float64(cpus[0][mid]), "cpu-ratio")
			b.ReportMetric(float64(walls[1][mid].Microseconds())/1000, "spread-ms")
		})
	}
}

// BenchmarkFewSteps compares what a leaf needs for the last two steps of a query,
// as a parent asks for that has kept those before, with the stock engine: the
// least processor time of many evaluations, in turn.
func BenchmarkFewSteps(b *testing.B) {
	l := openLeaf(b, testConfig(b.TempDir()), Deps{})
	_, end := fillQueryBench(b, l, 1600)
	start := end.Add(-queryBenchStep)
	stock := func(query string) {
		q, err := l.engine.NewRangeQuery(context.Background(), l.store.DB, nil, query, start, end, queryBenchStep)
		if err != nil {
			b.Fatal(err)
		}
		defer q.Close()
		if res := q.Exec(context.Background()); res.Err != nil || len(res.Value.(promql.Matrix)) == 0 {
			b.Fatal(res.Err)
		}
	}
	for _, query := range []string{
		`sum by (job) (rate(http_requests_total{code="500"}[5m]))`,
		`sum by (job) (rate(http_requests_total[5m]))`,
		`max by (job) (http_requests_total)`,
		`rate(http_requests_total{job="job-7"}[5m])`,
		`sum by (job) (max_over_time(http_requests_total[5m]))`,
	} {
		b.Run(query, func(b *testing.B) {
			least := [2]time.Duration{time.Hour, time.Hour}
			for b.Loop() {
				for range 100 {
					for i, f := range []func(){func() { stock(query) }, func() { l.execs(b, query, start, end) }} {
						used := cpuTime(b)
						f()
						least[i] = min(least[i], cpuTime(b)-used)
					}
				}
			}
			b.ReportMetric(float64(least[0].Nanoseconds())/1e3, "stock-us")
			b.ReportMetric(float64(least[1].Nanoseconds())/1e3, "leaf-us")
			b.ReportMetric(float64(least[1])/float64(least[0]), "ratio")
		})
	}
}
