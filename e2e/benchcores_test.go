package e2e_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"text/tabwriter"
	"time"
)

// One leaf that may use all cores for a query against one that may use one, over
// the same series, in turn.
func BenchmarkCoresOfALeaf(b *testing.B) {
	end := time.Now().Truncate(benchStep)
	leaf := func(flags ...string) *process {
		dir := b.TempDir()
		benchLoad(b, dir, end, benchSeries(b), 0)
		p := tierAt(b, anyPort, "", append([]string{"leaf", "--storage.tsdb.path=" + dir, "--parent=" + freeAddress(b), "--zone=eu", "--cluster=c0"}, flags...)...)
		eventually(b, time.Minute, func() error {
			if a, err := ask(p.http, "1"); err != nil || a.Code != http.StatusOK {
				return fmt.Errorf("answered %d, %w", a.Code, err)
			}
			return nil
		})
		return p
	}
	one, all := leaf("--query.leaf-parallelism=1"), leaf()
	table := &strings.Builder{}
	w := tabwriter.NewWriter(table, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "query over 1 h at %v, %d series\tone core\tall\twall\tCPU\n", benchStep, benchSeries(b))
	for _, query := range []string{
		`sum by (job) (rate(http_requests_total[5m]))`,
		`histogram_quantile(0.99, sum by (le, job) (rate(http_request_duration_seconds_bucket[5m])))`,
		`quantile by (job) (0.9, rate(http_requests_total[5m]))`,
		`topk(5, rate(http_requests_total[5m]))`,
		`sum by (job) (max_over_time(http_requests_total[5m]))`,
		`count(up)`,
	} {
		timed := func(p *process) cost {
			cpu, begin := processCPU(b, p), time.Now()
			rangeText(b, p.http, query, end, benchStep)
			return cost{wall: time.Since(begin), cpu: processCPU(b, p) - cpu}
		}
		timed(one) // warm up both
		timed(all)
		x, y := median(7, func() cost { return timed(one) }), median(7, func() cost { return timed(all) })
		fmt.Fprintf(w, "%s\t%v\t%v\t%.2fx\t%.2fx\n", query, x.wall.Round(time.Millisecond), y.wall.Round(time.Millisecond),
			float64(y.wall)/float64(x.wall), float64(y.cpu)/float64(max(x.cpu, 10*time.Millisecond)))
	}
	_ = w.Flush()
	b.Logf("\n%s", table)
}
