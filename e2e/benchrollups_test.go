package e2e_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"text/tabwriter"
	"time"

	"github.com/golang/snappy"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/prompb"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb"

	"github.com/pandometrics/pando/querytree/treetest"
)

// A month of samples a minute apart, which is asked for at steps of 5 minutes.
const (
	monthSpan     = 30 * 24 * time.Hour
	monthInterval = time.Minute
	monthStep     = 5 * time.Minute
	// monthBlock is a length that no compaction makes more of: the leaves should
	// have nothing to do but what is measured.
	monthBlock = 54 * time.Hour
)

// What a month from rollups should cost: so many times less CPU than from leaves,
// and less time than that.
const (
	monthTarget     = 100.0
	monthTargetWall = 20 * time.Millisecond
)

func targetMet(met bool) string {
	if met {
		return "met"
	}
	return "missed"
}

// monthValue is a sample of a leaf's i-th series: a counter whose rate is never
// quite the same, or values would take no room on the wire.
func monthValue(i, step int) float64 {
	return float64(step*(i%17+1)*60 + (i*7919+step*104_729)%53)
}

// monthRules are what the root keeps.
const monthRules = `
rollups:
- {name: code:requests:rate5m, expr: "sum by (code) (rate(http_requests_total[5m]))", interval: 1m, keep: {root: {every: 5m, for: 60d}}}
- {name: job_code:requests:rate5m, expr: "sum by (job, code) (rate(http_requests_total[5m]))", interval: 1m, keep: {root: {every: 5m, for: 60d}}}
- {name: le:duration:rate5m, expr: "sum by (le) (rate(http_request_duration_seconds_bucket[5m]))", interval: 1m, keep: {root: {every: 5m, for: 60d}}}
`

// monthTree is a root that keeps rollups of a month, over eight leaves that have
// its samples, as processes.
type monthTree struct {
	benchTree
	zones  []*process
	series int // of each leaf
}

func newMonthTree(tb testing.TB) *monthTree {
	tb.Helper()
	t := &monthTree{series: treetest.FromEnv(tb, "PANDO_BENCH_MONTH_SERIES", 340)}
	t.end = time.Now().Add(-15 * time.Minute).Truncate(monthStep)
	t.root = startRoot(tb, "--rollup.file="+writeFile(tb, "rollups.yaml", monthRules))
	t.zones = []*process{startZone(tb, t.root.grpc, "--zone=eu"), startZone(tb, t.root.grpc, "--zone=us")}
	t.all = append([]*process{t.root}, t.zones...)
	for leaf := range benchLeaves {
		dir := tb.TempDir()
		t.write(tb, dir, leaf)
		t.all = append(t.all, tierAt(tb, anyPort, "", "leaf", "--storage.tsdb.path="+dir, "--storage.tsdb.retention.time=60d",
			"--parent="+t.zones[leaf%2].grpc, "--zone="+benchZone(leaf), "--cluster="+benchCluster(leaf)))
	}
	awaitLeaves(tb, t.root, benchLeaves)
	return t
}

// write writes blocks of a leaf's samples.
func (t *monthTree) write(tb testing.TB, dir string, leaf int) {
	tb.Helper()
	all := benchLabels(leaf, t.series)
	from, to := t.end.Add(-monthSpan-time.Hour).Truncate(monthInterval), t.end.Add(time.Minute)
	step := 0
	for from.Before(to) {
		until := from.Truncate(monthBlock).Add(monthBlock)
		w, err := tsdb.NewBlockWriter(slog.New(slog.DiscardHandler), dir, monthBlock.Milliseconds())
		if err != nil {
			tb.Fatal(err)
		}
		refs := make([]storage.SeriesRef, len(all))
		for ; from.Before(until) && from.Before(to); from, step = from.Add(monthInterval), step+1 {
			app := w.Appender(context.Background())
			for i, l := range all {
				if refs[i], err = app.Append(refs[i], l, from.UnixMilli(), monthValue(i, step)); err != nil {
					tb.Fatal(err)
				}
			}
			if err := app.Commit(); err != nil {
				tb.Fatal(err)
			}
		}
		if _, err := w.Flush(context.Background()); err != nil {
			tb.Fatal(err)
		}
		if err := w.Close(); err != nil {
			tb.Fatal(err)
		}
	}
}

// backfill has the root make the month's points, and returns how many there are.
func (t *monthTree) backfill(tb testing.TB) (points int64) {
	tb.Helper()
	since := t.end.Add(-monthSpan)
	names := []string{"code:requests:rate5m", "job_code:requests:rate5m", "le:duration:rate5m"}
	for _, name := range names {
		eventually(tb, time.Minute, func() error {
			res, err := plainCaller.PostForm(t.root.http+"/pando/api/v1/rollups/backfill", url.Values{"rule": {name}, "since": {seconds(since)}})
			if err != nil {
				return err
			}
			defer res.Body.Close()
			if text, _ := io.ReadAll(res.Body); res.StatusCode != http.StatusOK {
				return fmt.Errorf("%s: %s", res.Status, text)
			}
			return nil
		})
	}
	eventually(tb, 5*time.Minute, func() error {
		list, err := rollupsOf(t.root.http)
		if err != nil {
			return err
		}
		points = 0
		for _, r := range list.Rules {
			if r.Since > float64(since.Unix()) || r.Absent > 0 || r.Until < float64(t.end.Unix()) {
				return fmt.Errorf("%s: %d points are not there; %s", r.Name, r.Absent, r.Failing)
			}
			points += r.Whole
		}
		if len(list.Rules) != len(names) {
			return errors.New("not all rules are there")
		}
		return nil
	})
	return points
}

// month asks the month at the root, and returns what that took.
func (t *monthTree) month(tb testing.TB, query string, params ...string) cost {
	tb.Helper()
	form := url.Values{"query": {query}, "start": {seconds(t.end.Add(-monthSpan))}, "end": {seconds(t.end)}, "step": {fmt.Sprint(monthStep.Seconds())}}
	for i := 0; i < len(params); i += 2 {
		form.Set(params[i], params[i+1])
	}
	begin := time.Now()
	res, err := plainCaller.PostForm(t.root.http+"/api/v1/query_range", form)
	if err != nil {
		tb.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	wall := time.Since(begin)
	if err != nil || res.StatusCode != http.StatusOK || strings.Contains(string(text), `"warnings"`) {
		tb.Fatalf("%s: %s, %v: %.300s", query, res.Status, err, text)
	}
	return cost{wall: wall, text: len(text)}
}

// several is the median of n evaluations, and their average in CPU time, which is
// told in hundredths of a second. It is that of all tiers, with what they do
// meanwhile in any case.
func (t *monthTree) several(tb testing.TB, n int, f func() cost) cost {
	tb.Helper()
	cpu, rootCPU := processCPU(tb, t.all...), processCPU(tb, t.root)
	c := median(n, f)
	c.cpu, c.rootCPU = (processCPU(tb, t.all...)-cpu)/time.Duration(n), (processCPU(tb, t.root)-rootCPU)/time.Duration(n)
	return c
}

// equalButForRounding allows for the rounding of another order of summation.
func equalButForRounding(a, b float64) bool {
	return a == b || math.IsNaN(a) && math.IsNaN(b) || math.Abs(a-b) <= 1e-12*max(1, math.Abs(a), math.Abs(b)) && !math.IsInf(a, 0) && !math.IsInf(b, 0)
}

// checkAlike fails unless a month's answers from rollups and from leaves are
// equal, and no leaf was asked for the former.
func (t *monthTree) checkAlike(tb testing.TB, query string) {
	tb.Helper()
	q := treetest.Query{Expr: query, Start: t.end.Add(-monthSpan).UnixMilli(), End: t.end.UnixMilli(), Step: monthStep.Milliseconds()}
	params := url.Values{"query": {query}, "start": {seconds(t.end.Add(-monthSpan))}, "end": {seconds(t.end)}, "step": {fmt.Sprint(monthStep.Seconds())}, "stats": {"all"}}
	a, err := call(t.root.http, "/api/v1/query_range", params)
	if err != nil {
		tb.Fatal(err)
	}
	data, err := a.query()
	if err != nil {
		tb.Fatal(err)
	}
	if p := data.Stats.Pando; p == nil || p.Asked > 0 || len(p.Rollups) == 0 {
		tb.Fatalf("%s: asked children: %+v", query, p)
	}
	rolled, err := rangeOf(t.root.http, q)
	if err != nil {
		tb.Fatal(err)
	}
	plain, err := rangeOf(t.root.http, q, "rollup", "off")
	if err != nil {
		tb.Fatal(err)
	}
	for series, points := range plain {
		if len(points) != len(rolled[series]) {
			tb.Fatalf("%s: %s has %d points from rollups, %d from leaves", query, series, len(rolled[series]), len(points))
		}
		for at, v := range points {
			if got, ok := rolled[series][at]; !ok || !equalButForRounding(got, v) {
				tb.Fatalf("%s: %s at %v: %v from rollups, %v from leaves", query, series, at, got, v)
			}
		}
	}
}

// remoteWritten returns the bytes of a day's raw samples of all leaves as remote
// write sends them: requests of 2,000 samples, in the order of time.
func (t *monthTree) remoteWritten(tb testing.TB) (bytes float64) {
	tb.Helper()
	const minutes, perRequest = 60, 2000
	for leaf := range benchLeaves {
		all := benchLabels(leaf, t.series)
		for i, l := range all {
			all[i] = labels.NewBuilder(l).Set("zone", benchZone(leaf)).Set("cluster", benchCluster(leaf)).Labels()
		}
		req := &prompb.WriteRequest{}
		flush := func() {
			raw, err := req.Marshal()
			if err != nil {
				tb.Fatal(err)
			}
			bytes += float64(len(snappy.Encode(nil, raw)))
			req.Timeseries = req.Timeseries[:0]
		}
		for step := range minutes {
			for i, l := range all {
				req.Timeseries = append(req.Timeseries, prompb.TimeSeries{
					Labels:  prompb.FromLabels(l, nil),
					Samples: []prompb.Sample{{Value: monthValue(i, step), Timestamp: t.end.Add(time.Duration(step) * monthInterval).UnixMilli()}},
				})
				if len(req.Timeseries) == perRequest {
					flush()
				}
			}
		}
		flush()
	}
	return bytes * 24 * 60 / minutes
}

// pushed returns the bytes that the root receives for one point of each rule, as
// it asks when they become final.
func (t *monthTree) pushed(tb testing.TB) float64 {
	tb.Helper()
	const n = 200
	before := receivedBytes(tb, t.root)
	begin := time.Now()
	for range n {
		for _, query := range []string{`sum by (code) (rate(http_requests_total[5m]))`, `sum by (job, code) (rate(http_requests_total[5m]))`, `sum by (le) (rate(http_request_duration_seconds_bucket[5m]))`} {
			if _, err := ask(t.root.http, query, "time", seconds(t.end), "rollup", "off", "nocache", "1"); err != nil {
				tb.Fatal(err)
			}
		}
	}
	took := time.Since(begin)
	received := receivedBytes(tb, t.root) - before
	// What children say of themselves every second would have come anyway.
	idle := receivedBytes(tb, t.root)
	wait := time.NewTimer(5 * time.Second)
	<-wait.C
	idle = (receivedBytes(tb, t.root) - idle) / 5
	return max(0, received-idle*took.Seconds()) / n
}

// A month at steps of 5 minutes, from what the root keeps against from the leaves,
// and what it takes to keep it.
func BenchmarkMonthFromRollups(b *testing.B) {
	t := newMonthTree(b)
	cpu, received, begin := processCPU(b, t.all...), receivedBytes(b, t.root), time.Now()
	points := t.backfill(b)
	b.Logf("back-fill of %d points in %v: %v of CPU in all tiers, %.1f KiB a day received by the root",
		points, time.Since(begin).Round(time.Second), processCPU(b, t.all...)-cpu, (receivedBytes(b, t.root)-received)/1024/30)
	table := &strings.Builder{}
	w := tabwriter.NewWriter(table, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "query over 30 d at 5 m, %d leaves of %d series\trollups\tleaves\tCPU, rollups\tCPU, leaves\t\tof rollups the root's\tanswer\tat least %.0fx\tunder %v\n",
		benchLeaves, t.series, monthTarget, monthTargetWall)
	for _, row := range []struct{ name, query string }{
		{"sum", `sum(rate(http_requests_total[5m]))`},
		{"ratio", `sum(rate(http_requests_total{code=~"5.."}[5m])) / sum(rate(http_requests_total[5m]))`},
		{"quantile", `histogram_quantile(0.99, sum by (le) (rate(http_request_duration_seconds_bucket[5m])))`},
		{"by-code", `sum by (code) (rate(http_requests_total[5m]))`},
		{"topk", `topk(3, sum by (job) (rate(http_requests_total[5m])))`},
	} {
		t.checkAlike(b, row.query)
		t.month(b, row.query)
		rolled := t.several(b, 20, func() cost { return t.month(b, row.query) })
		leaves := t.several(b, 2, func() cost { return t.month(b, row.query, "rollup", "off") })
		times := float64(leaves.cpu) / float64(max(rolled.cpu, time.Millisecond/2))
		fmt.Fprintf(w, "%s\t%v\t%v\t%v\t%v\t%.0fx\t%v\t%.0f KiB\t%s\t%s\n", row.query, rolled.wall.Round(100*time.Microsecond), leaves.wall.Round(time.Millisecond),
			rolled.cpu.Round(100*time.Microsecond), leaves.cpu.Round(time.Millisecond), times, rolled.rootCPU.Round(100*time.Microsecond), float64(rolled.text)/1024,
			targetMet(times >= monthTarget), targetMet(rolled.wall < monthTargetWall))
		b.ReportMetric(times, row.name+"-x-less-CPU")
		b.ReportMetric(float64(rolled.wall.Microseconds())/1000, row.name+"-ms-at-root")
	}
	_ = w.Flush()
	b.Logf("\n%s", table)
	raw, pushed := t.remoteWritten(b), t.pushed(b)*float64(24*time.Hour/monthStep)
	b.Logf("a day to the root: rollups %.1f MiB, as they become final; remote write of the raw samples %.1f MiB (%.0fx)", pushed/(1<<20), raw/(1<<20), raw/pushed)
	b.ReportMetric(0, "ns/op")
}
