package e2e_test

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"text/tabwriter"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb"
)

const (
	benchLeaves   = 8
	benchStep     = 15 * time.Second
	benchSpan     = time.Hour
	benchInterval = 15 * time.Second
)

// benchSeries is the number of series of each leaf: PANDO_BENCH_SERIES.
func benchSeries(tb testing.TB) int {
	s := os.Getenv("PANDO_BENCH_SERIES")
	if s == "" {
		return 10_000
	}
	n, err := strconv.Atoi(s)
	if err != nil || n < 100 {
		tb.Fatalf("PANDO_BENCH_SERIES=%q: want a number of at least 100", s)
	}
	return n
}

// benchLoad appends an hour of samples of one leaf's series, with its identity
// or without.
func benchLoad(tb testing.TB, dir string, end time.Time, n int, leaves ...int) {
	tb.Helper()
	opts := tsdb.DefaultOptions()
	opts.RetentionDuration = int64(24 * time.Hour / time.Millisecond)
	db, err := tsdb.Open(dir, nil, nil, opts, nil)
	if err != nil {
		tb.Fatal(err)
	}
	defer db.Close()
	union := len(leaves) > 1
	var all []labels.Labels
	for _, leaf := range leaves {
		for _, l := range benchLabels(leaf, n) {
			if union {
				l = labels.NewBuilder(l).Set("zone", benchZone(leaf)).Set("cluster", benchCluster(leaf)).Labels()
			}
			all = append(all, l)
		}
	}
	refs := make([]storage.SeriesRef, len(all))
	for step := range int(benchSpan/benchInterval) + 1 {
		t := end.Add(-benchSpan).Add(time.Duration(step) * benchInterval).UnixMilli()
		app := db.Appender(context.Background())
		for i, l := range all {
			if refs[i], err = app.Append(refs[i], l, t, benchValue(i%n, step)); err != nil {
				tb.Fatal(err)
			}
		}
		if err := app.Commit(); err != nil {
			tb.Fatal(err)
		}
	}
}

// benchValue is a sample of a leaf's i-th series: a counter of its own slope.
func benchValue(i, step int) float64 { return float64(step*(i%17+1) + i%3) }

func benchZone(leaf int) string    { return []string{"eu", "us"}[leaf%2] }
func benchCluster(leaf int) string { return fmt.Sprintf("c%d", leaf) }

// benchLabels returns n label sets: counters, buckets, up, and on leaf 3 some of
// a metric that no other leaf has.
func benchLabels(leaf, n int) []labels.Labels {
	var out []labels.Labels
	les := []string{"0.005", "0.01", "0.05", "0.1", "0.5", "1", "5", "+Inf"}
	for i := 0; len(out) < n; i++ {
		pod := labels.NewBuilder(labels.FromStrings(
			"job", fmt.Sprintf("job-%d", i%20), "instance", fmt.Sprintf("10.%d.%d.%d:80", leaf, i/250, i%250), "pod", fmt.Sprintf("pod-%d-%d", leaf, i)))
		add := func(name string, extra ...string) {
			b := labels.NewBuilder(pod.Labels()).Set(labels.MetricName, name)
			for j := 0; j < len(extra); j += 2 {
				b.Set(extra[j], extra[j+1])
			}
			out = append(out, b.Labels())
		}
		add("up")
		for _, code := range []string{"200", "204", "301", "400", "404", "500", "502", "503"} {
			add("http_requests_total", "code", code)
		}
		for _, le := range les {
			add("http_request_duration_seconds_bucket", "le", le)
		}
		if leaf == 3 {
			add("only_here_total")
		}
	}
	return out[:n]
}

// benchTree is a root over two zones and eight leaves, as processes, and one
// stock engine over the union of their series.
type benchTree struct {
	root   *process
	all    []*process
	end    time.Time
	oracle string // the URL of its API
}

func newBenchTree(tb testing.TB) *benchTree {
	tb.Helper()
	n, t := benchSeries(tb), &benchTree{end: time.Now().Truncate(benchStep)}
	t.root = startRoot(tb)
	zones := []*process{startZone(tb, t.root.grpc, "--zone=eu"), startZone(tb, t.root.grpc, "--zone=us")}
	t.all = append([]*process{t.root}, zones...)
	var leaves []int
	for leaf := range benchLeaves {
		leaves = append(leaves, leaf)
		dir := tb.TempDir()
		benchLoad(tb, dir, t.end, n, leaf)
		t.all = append(t.all, tierAt(tb, anyPort, "", "leaf", "--storage.tsdb.path="+dir,
			"--parent="+zones[leaf%2].grpc, "--zone="+benchZone(leaf), "--cluster="+benchCluster(leaf)))
	}
	union := filepath.Join(tb.TempDir(), "union")
	benchLoad(tb, union, t.end, n, leaves...)
	db, err := tsdb.Open(union, nil, nil, tsdb.DefaultOptions(), nil)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = db.Close() })
	t.oracle = serveOracle(tb, db)
	awaitLeaves(tb, t.root, benchLeaves)
	return t
}

// cost is what one evaluation takes, that of the client included; rootCPU is the
// root's part of cpu, bytes what the root received, text the length of the answer.
type cost struct {
	wall, cpu, rootCPU time.Duration
	bytes              float64
	text               int
}

// processCPU returns the CPU time that processes have used so far.
func processCPU(tb testing.TB, ps ...*process) time.Duration {
	tb.Helper()
	var ticks int64
	for _, p := range ps {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.cmd.Process.Pid))
		if err != nil {
			tb.Fatal(err)
		}
		f := strings.Fields(string(b[strings.LastIndexByte(string(b), ')')+1:]))
		for _, s := range f[11:13] { // utime and stime
			n, err := strconv.ParseInt(s, 10, 64)
			if err != nil {
				tb.Fatal(err)
			}
			ticks += n
		}
	}
	return time.Duration(ticks) * (time.Second / 100)
}

func ownCPU(tb testing.TB) time.Duration {
	tb.Helper()
	var ru syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &ru); err != nil {
		tb.Fatal(err)
	}
	return time.Duration(ru.Utime.Nano() + ru.Stime.Nano())
}

// ask evaluates at the root, without its cache; it fails unless the answer is
// whole.
func (t *benchTree) ask(tb testing.TB, query string, step time.Duration) cost {
	tb.Helper()
	cpu, rootCPU, received, begin := processCPU(tb, t.all...)+ownCPU(tb), processCPU(tb, t.root), receivedBytes(tb, t.root), time.Now()
	text := rangeText(tb, t.root.http, query, t.end, step)
	wall := time.Since(begin)
	return cost{wall, processCPU(tb, t.all...) + ownCPU(tb) - cpu, processCPU(tb, t.root) - rootCPU, receivedBytes(tb, t.root) - received, text}
}

// receivedBytes is what the root has received from its children.
func receivedBytes(tb testing.TB, root *process) float64 {
	tb.Helper()
	return metricOf(tb, root, "pando_tree_link_received_bytes_total")
}

// one evaluates with the stock engine, behind its own API.
func (t *benchTree) one(tb testing.TB, query string, step time.Duration) cost {
	tb.Helper()
	cpu, begin := ownCPU(tb), time.Now()
	text := rangeText(tb, t.oracle, query, t.end, step)
	return cost{wall: time.Since(begin), cpu: ownCPU(tb) - cpu, text: text}
}

// asksOneLeaf fails unless one leaf and its zone are asked.
func (t *benchTree) asksOneLeaf(tb testing.TB, query string) {
	tb.Helper()
	a, err := ask(t.root.http, query, "stats", "all", "nocache", "1")
	if err != nil {
		tb.Fatal(err)
	}
	d, err := a.query()
	if err != nil || d.Stats.Pando == nil {
		tb.Fatal("no completeness in the answer", err)
	}
	if d.Stats.Pando.Asked != 2 {
		tb.Errorf("%s: %d zones and leaves asked, want one of each", query, d.Stats.Pando.Asked)
	}
}

// median of several evaluations, field by field.
func median(n int, f func() cost) cost {
	var walls, cpus, roots []time.Duration
	var sizes []float64
	text := 0
	for range n {
		c := f()
		text = c.text
		walls, cpus, roots, sizes = append(walls, c.wall), append(cpus, c.cpu), append(roots, c.rootCPU), append(sizes, c.bytes)
	}
	slices.Sort(walls)
	slices.Sort(cpus)
	slices.Sort(roots)
	slices.Sort(sizes)
	return cost{walls[n/2], cpus[n/2], roots[n/2], sizes[n/2], text}
}

// The root over eight leaves against one stock engine that holds the union, on
// the same two cores, in turn. Both answer over HTTP with the same text, which is
// most of the work where the answer is large: the last row.
func BenchmarkRootAgainstOneEngine(b *testing.B) {
	t := newBenchTree(b)
	for _, step := range []time.Duration{15 * time.Second, time.Minute} {
		table := &strings.Builder{}
		w := tabwriter.NewWriter(table, 0, 0, 2, ' ', 0)
		fmt.Fprintf(w, "query over 1 h at %v, %d leaves of %d series\troot\tone engine and its API\twall\tCPU\tof it the root's\tto the root\tanswer\troot's memory so far\n", step, benchLeaves, benchSeries(b))
		for _, query := range []string{
			`sum(rate(http_requests_total[5m]))`,
			`sum by (job) (rate(http_requests_total[5m]))`,
			`avg by (job) (rate(http_requests_total[5m]))`,
			`stddev by (job) (rate(http_requests_total[5m]))`,
			`topk(10, sum by (zone, cluster, pod) (rate(http_requests_total[5m])))`,
			`histogram_quantile(0.99, sum by (le, job) (rate(http_request_duration_seconds_bucket[5m])))`,
			`sum by (zone, job) (rate(http_requests_total{code=~"5.."}[5m])) / sum by (zone, job) (rate(http_requests_total[5m]))`,
			`sum by (job) (rate(only_here_total[5m]))`,
			`count by (cluster) (up)`,
			`sum by (zone, code) (rate(http_requests_total[5m]) * on (zone, cluster, instance) group_left () up)`,
			`quantile by (job) (0.9, rate(http_requests_total[5m]))`,
			`sum by (job) (rate(http_requests_total{code="500"}[5m]) * on (zone, cluster, instance) group_left () up)`,
			`rate(http_requests_total{code="500"}[5m]) * on (zone, cluster, instance) group_left () up`,
		} {
			t.ask(b, query, step) // warm up both
			t.one(b, query, step)
			if strings.Contains(query, "only_here_total") {
				t.asksOneLeaf(b, query)
			}
			memory := watchMemory(t.root)
			root := median(5, func() cost { return t.ask(b, query, step) })
			most := memory()[0]
			one := median(5, func() cost { return t.one(b, query, step) })
			fmt.Fprintf(w, "%s\t%v\t%v\t%.2fx\t%.2fx\t%.0f%%\t%.1f KiB\t%.1f KiB\t%d MiB\n", query, root.wall.Round(time.Millisecond), one.wall.Round(time.Millisecond),
				float64(root.wall)/float64(one.wall), float64(root.cpu)/float64(max(one.cpu, time.Millisecond)),
				100*float64(root.rootCPU)/float64(max(root.cpu, time.Millisecond)), root.bytes/1024, float64(root.text)/1024, most>>20)
		}
		_ = w.Flush()
		b.Logf("\n%s", table)
	}
}

// A selector that matches one leaf of 64, at the root against the leaf itself:
// one sample of one series, where the two hops weigh most, and half an hour of
// two hundred.
func BenchmarkOneLeafOf64(b *testing.B) {
	dev := launch(b, "dev", pando(b), "dev", "--data-dir="+b.TempDir(), "--zones=8", "--leaves=8", "--series=45000", "--web.listen-address=127.0.0.1:0", "--scrape-interval=1h")
	b.Cleanup(func() { dev.stop(os.Interrupt, time.Minute) })
	root, leaf := devAddress(b, dev, "root"), devAddress(b, dev, "leaf eu/eu-1 ")
	end := time.Now()
	var points []point
	for at := end.Add(-30 * time.Minute); !at.After(end); at = at.Add(benchInterval) {
		for i := range 200 {
			points = append(points, point{labels.FromStrings(labels.MetricName, "only_here", "job", "bench", "i", strconv.Itoa(i)), at, float64(i)})
		}
	}
	write(b, &process{name: "leaf", http: leaf}, points...)
	becomes(b, time.Minute, root, "count(only_here)", 200)
	becomesSynced(b, 2*time.Minute, root, 8+64)
	a, err := ask(root, "only_here", "stats", "all")
	if err != nil {
		b.Fatal(err)
	}
	d, err := a.query()
	if err != nil || d.Stats.Pando == nil {
		b.Fatal("no completeness in the answer", err)
	}
	b.Logf("\na metric of one leaf of 64: %d zones and leaves asked", d.Stats.Pando.Asked)
	for _, shape := range []struct {
		name, path string
		params     url.Values
	}{
		{"one sample", "/api/v1/query", url.Values{"query": {`only_here{i="7"}`}}},
		{"200 series, 30 m at 15 s", "/api/v1/query_range", url.Values{"query": {"rate(only_here[5m])"}, "start": {seconds(end.Add(-30 * time.Minute))}, "end": {seconds(end)}, "step": {"15"}}},
	} {
		timed := func(base string) cost {
			begin := time.Now()
			a, err := call(base, shape.path, shape.params)
			if err != nil || a.Status != "success" || len(a.Warnings) > 0 {
				b.Fatal(err, a.Error, a.Warnings)
			}
			return cost{wall: time.Since(begin)}
		}
		timed(root)
		timed(leaf)
		atRoot, atLeaf := median(200, func() cost { return timed(root) }), median(200, func() cost { return timed(leaf) })
		b.Logf("\n%s: at the root %v, at the leaf %v: %.2fx (median of 200)", shape.name, atRoot.wall, atLeaf.wall, float64(atRoot.wall)/float64(atLeaf.wall))
	}
}

// becomesSynced waits until a tier tells of so many others below it that their
// hints are in use.
func becomesSynced(tb testing.TB, patience time.Duration, tier string, want int) {
	tb.Helper()
	eventually(tb, patience, func() error {
		t, err := treeOf(tier)
		if err != nil {
			return err
		}
		n, unused := 0, map[string]string{}
		for nodes := t.Children; len(nodes) > 0; nodes = nodes[1:] {
			nodes = append(nodes, nodes[0].Children...)
			if h := nodes[0].Hint; h != nil && h.Synced {
				n++
			} else if h != nil {
				unused[nodes[0].Name] = h.Reason
			}
		}
		if n != want {
			return fmt.Errorf("%d hints of %d are in use, not %v", n, want, unused)
		}
		return nil
	})
}

// devAddress waits until pando dev has shown a tier, and returns its URL.
func devAddress(tb testing.TB, dev *process, tier string) string {
	tb.Helper()
	var address string
	eventually(tb, 2*time.Minute, func() error {
		for line := range strings.Lines(dev.out.String()) {
			if name, url, ok := strings.Cut(line, "http://"); ok && strings.HasPrefix(strings.TrimSpace(name)+" ", strings.TrimSpace(tier)+" ") {
				address = "http://" + strings.TrimSpace(url)
				return nil
			}
		}
		return fmt.Errorf("%s is not shown yet", tier)
	})
	return address
}

// metricOf sums a metric's samples at a process.
func metricOf(tb testing.TB, p *process, name string) float64 {
	tb.Helper()
	res, err := caller.Get(p.http + "/metrics")
	if err != nil {
		tb.Fatal(err)
	}
	defer res.Body.Close()
	sum := 0.0
	for _, line := range bodyLines(tb, res.Body) {
		if strings.HasPrefix(line, name) && (line[len(name)] == ' ' || line[len(name)] == '{') {
			v, err := strconv.ParseFloat(line[strings.LastIndexByte(line, ' ')+1:], 64)
			if err != nil {
				tb.Fatal(err)
			}
			sum += v
		}
	}
	return sum
}
