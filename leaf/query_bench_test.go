package leaf

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/timestamp"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/storage"

	"github.com/pandometrics/pando/querytree"
)

const (
	queryBenchSpan = time.Hour
	queryBenchStep = 15 * time.Second
)

// fillQueryBench appends an hour of counters and buckets to the leaf, half of
// each: n series in all.
func fillQueryBench(b *testing.B, l *Leaf, n int) (start, end time.Time) {
	b.Helper()
	end = time.Now().Truncate(queryBenchStep)
	start = end.Add(-queryBenchSpan)
	sets := make([]labels.Labels, n)
	codes := []string{"200", "204", "301", "400", "404", "500", "502", "503"}
	les := []string{"0.005", "0.01", "0.05", "0.1", "0.5", "1", "5", "+Inf"}
	for i := range sets {
		pod := i / 16
		name, label, value := "http_requests_total", "code", codes[i%8]
		if i%16 >= 8 {
			name, label, value = "http_request_duration_seconds_bucket", "le", les[i%8]
		}
		sets[i] = labels.FromStrings(labels.MetricName, name, label, value, "job", fmt.Sprintf("job-%d", pod%20),
			"instance", fmt.Sprintf("10.0.%d.%d:80", pod/250, pod%250), "pod", fmt.Sprintf("pod-%d", pod))
	}
	refs := make([]storage.SeriesRef, n)
	for step := -20; step <= int(queryBenchSpan/queryBenchStep); step++ {
		app := l.store.DB.Appender(context.Background())
		for i := range sets {
			var err error
			if refs[i], err = app.Append(refs[i], sets[i], timestamp.FromTime(start.Add(time.Duration(step)*queryBenchStep)), float64((step+20)*(i%17+1)+i%3)); err != nil {
				b.Fatal(err)
			}
		}
		if err := app.Commit(); err != nil {
			b.Fatal(err)
		}
	}
	return start, end
}

// BenchmarkQuery compares what a leaf evaluates for its parent with the stock
// engine over the same TSDB: an hour at 15 s over 20,000 series.
func BenchmarkQuery(b *testing.B) {
	cfg := testConfig(b.TempDir())
	l := openLeaf(b, cfg, Deps{})
	start, end := fillQueryBench(b, l, 20_000)
	stock := func(query string) int {
		q, err := l.engine.NewRangeQuery(context.Background(), l.store.DB, nil, query, start, end, queryBenchStep)
		if err != nil {
			b.Fatal(err)
		}
		defer q.Close()
		res := q.Exec(context.Background())
		if res.Err != nil {
			b.Fatal(res.Err)
		}
		return len(res.Value.(promql.Matrix))
	}
	child := func(query string) int {
		set, err := l.Child().Exec(context.Background(), querytree.ExecRequest{
			Query: query, Start: timestamp.FromTime(start), End: timestamp.FromTime(end), Step: queryBenchStep.Milliseconds(),
		})
		if err != nil {
			b.Fatal(err)
		}
		defer set.Close()
		n := 0
		for ; set.Next(); n++ {
		}
		if set.Err() != nil {
			b.Fatal(set.Err())
		}
		return n
	}
	for _, query := range []string{
		`sum by (job) (rate(http_requests_total[5m]))`,
		`sum by (le, job) (rate(http_request_duration_seconds_bucket[5m]))`,
		`histogram_quantile(0.99, sum by (le, job) (rate(http_request_duration_seconds_bucket[5m])))`,
		`topk(10, sum by (pod) (rate(http_requests_total[5m])))`,
		`quantile by (job) (0.9, rate(http_requests_total[5m]))`,
		`avg by (job) (http_requests_total)`,
		`rate(http_requests_total[5m])`,
	} {
		for _, who := range []struct {
			name string
			exec func(string) int
		}{{"stock", stock}, {"leaf", child}} {
			b.Run(query+"/"+who.name, func(b *testing.B) {
				who.exec(query)
				b.ReportAllocs()
				b.ResetTimer()
				begin := cpuTime(b)
				for range b.N {
					if who.exec(query) == 0 {
						b.Fatal("no answer")
					}
				}
				b.ReportMetric(float64(cpuTime(b)-begin)/float64(b.N)/1e6, "cpu-ms/op")
			})
		}
	}
}
