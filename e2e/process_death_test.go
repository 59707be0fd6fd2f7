package e2e_test

import (
	"bufio"
	"context"
	"fmt"
	"io/fs"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb"
)

const (
	deathSeries = 200_000
	deathMemory = 256 << 20
	deathStep   = time.Minute
	deathSpan   = time.Hour
)

// deathBlock writes an hour of many series as a block, which a leaf maps rather
// than holds, and returns its directory.
func deathBlock(tb testing.TB, end time.Time) string {
	tb.Helper()
	dir := tb.TempDir()
	w, err := tsdb.NewBlockWriter(slog.New(slog.DiscardHandler), dir, int64(4*time.Hour/time.Millisecond))
	if err != nil {
		tb.Fatal(err)
	}
	defer w.Close()
	sets := make([]labels.Labels, deathSeries)
	refs := make([]storage.SeriesRef, deathSeries)
	for i := range sets {
		sets[i] = labels.FromStrings(labels.MetricName, fmt.Sprintf("metric_%d_total", i%50), "instance", fmt.Sprintf("10.0.%d.%d:9100", i/250%250, i%250),
			"job", fmt.Sprintf("job-%d", i%20), "pod", fmt.Sprintf("pod-%d", i))
	}
	for at := end.Add(-deathSpan); !at.After(end); at = at.Add(deathStep) {
		app := w.Appender(context.Background())
		for i, l := range sets {
			// No two values are equal.
			if refs[i], err = app.Append(refs[i], l, at.UnixMilli(), float64(at.Unix())+float64(i)/deathSeries); err != nil {
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
	return dir
}

// deadly are queries that a server without bounds dies of, or hangs on.
func deadly() map[string]string {
	chain := func(n int, text, of string) string {
		return strings.Repeat("label_replace(", n) + of + strings.Repeat(`, "pod", "`+text+`", "pod", "(.+)")`, n)
	}
	return map[string]string{
		"everything":                 `{__name__=~".+"}`,
		"everything, summed":         `sum({__name__=~".+"})`,
		"rates of everything":        `sum by (pod) (rate({__name__=~".+"}[5m]))`,
		"labels that double":         chain(40, "$1$1", `metric_1_total`),
		"labels that double, of one": chain(60, "$1$1", `label_replace(vector(1), "pod", "x", "", "")`),
		"a long chain":               chain(90, "$1", `{__name__=~"metric_1.*"}`),
		"values of every step":       `count_values("v", {__name__=~"metric_1.*"})`,
		"values of some":             `count_values("v", metric_7_total)`,
		"a cross join":               `{__name__=~".+"} * on (job) group_left () {__name__=~".+"}`,
		"a join on values":           `metric_3_total * on () group_left (v) count_values("v", metric_4_total{pod="pod-4"})`,
		"unions":                     strings.Repeat(`{__name__=~".+"} or `, 30) + "metric_1_total",
		"regular expressions":        `{pod=~".*1.*2.*3.*|.*3.*2.*1.*",__name__=~"(m|e|t|r|i|c|_|[0-9])+total"}`,
		"a subquery of seconds":      `max_over_time({__name__=~"metric_1.*"}[1d:1s])`,
		"subqueries in subqueries":   `max_over_time(max_over_time(metric_1_total[1d:1s])[1d:1s])`,
		"nested":                     strings.Repeat("abs(", 90) + `{__name__=~".+"}` + strings.Repeat(")", 90),
		"pinned":                     `{__name__=~".+"} @ end()`,
		"a quantile":                 `quantile by (job) (0.9, {__name__=~".+"})`,
		"sorted":                     `topk(100000, {__name__=~".+"})`,
	}
}

// memoryOf is what a process holds that is its own, not mapped from files.
func memoryOf(p *process) int64 {
	f, err := os.Open(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		return 0
	}
	defer f.Close()
	for s := bufio.NewScanner(f); s.Scan(); {
		var kib int64
		if n, _ := fmt.Sscanf(s.Text(), "RssAnon: %d kB", &kib); n == 1 {
			return kib << 10
		}
	}
	return 0
}

// watchMemory notes the most that processes hold until it is stopped.
func watchMemory(ps ...*process) (stop func() []int64) {
	most, done, ended := make([]int64, len(ps)), make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		for {
			for i, p := range ps {
				most[i] = max(most[i], memoryOf(p))
			}
			select {
			case <-tick.C:
			case <-done:
				return
			}
		}
	}()
	return func() []int64 {
		close(done)
		<-ended
		return most
	}
}

func sizeOfDir(tb testing.TB, dir string) int64 {
	tb.Helper()
	var n int64
	err := filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err == nil {
			n += info.Size()
		}
		return err
	})
	if err != nil {
		tb.Fatal(err)
	}
	return n
}

// A leaf of 256 MiB over 200,000 series is asked, directly and through a zone and
// a root of 256 MiB each, what would make it hold many times that. Every query is
// answered or refused with an error that names the limit; all processes live on,
// answer a light query at once, and hold little more than what they may.
//
// Little more is a quarter: the limit is the collector's target for all that is
// Go's, which it exceeds for as long as it takes to notice, and a query that is
// cancelled goes on for up to one step of its grid.
func TestQueryOfDeath(t *testing.T) {
	processes(t)
	end := time.Now().Truncate(time.Minute)
	dir := deathBlock(t, end)
	t.Logf("block of %d MiB", sizeOfDir(t, dir)>>20)
	small := "--memory.limit=256MiB"
	root := startRoot(t, small)
	zone := startZone(t, root.grpc, "--zone=eu", small)
	leaf := tierAt(t, anyPort, "", "leaf", "--storage.tsdb.path="+dir, "--parent="+zone.grpc, "--zone=eu", "--cluster=eu-1", small)
	awaitLeaves(t, root, 1)
	light := func(base string) {
		t.Helper()
		eventually(t, 60*time.Second, func() error {
			v, err := number(base, `count(metric_1_total{pod=~"pod-1|pod-51"})`, "time", seconds(end))
			if err == nil && v != 2 {
				err = fmt.Errorf("got %v, want 2", v)
			}
			return err
		})
	}
	light(root.http)
	stop := watchMemory(root, zone, leaf)
	for name, query := range deadly() {
		for _, p := range []*process{leaf, root} {
			for _, step := range []string{"1", "60"} {
				begin := time.Now()
				a, err := call(p.http, "/api/v1/query_range", url.Values{
					"query": {query}, "start": {seconds(end.Add(-deathSpan))}, "end": {seconds(end)}, "step": {step}, "timeout": {"30s"},
				})
				if err != nil {
					t.Fatalf("%s, at %s: %v", name, p.name, err)
				}
				if err := refusedByName(a); err != nil {
					t.Errorf("%s, at %s, step %s: %v", name, p.name, step, err)
				}
				t.Logf("%s, at %s, step %s: %d after %v: %.200s; leaf %d MiB", name, p.name, step, a.Code, time.Since(begin).Round(time.Millisecond), a.Error, memoryOf(leaf)>>20)
			}
		}
		light(leaf.http)
		light(root.http)
	}
	for i, most := range stop() {
		name := []string{"root", "zone", "leaf"}[i]
		t.Logf("%s held %d MiB at most", name, most>>20)
		if most > deathMemory*5/4 {
			t.Errorf("%s held %d MiB, with a limit of 256", name, most>>20)
		}
	}
}

// refusedByName returns an error unless an answer is whole, or names the limit
// that was exceeded, as an error or of a child, be it that of time.
func refusedByName(a answer) error {
	if a.Status == "success" {
		if a.Partial && mentions(a.Warnings, "limit of", "--") != nil && mentions(a.Warnings, "soft deadline passed") != nil {
			return fmt.Errorf("partial answer: %q", a.Warnings)
		}
		return nil
	}
	if strings.Contains(a.Error, "limit of") && (strings.Contains(a.Error, "--") || strings.Contains(a.Error, "a longer timeout")) {
		return nil
	}
	return fmt.Errorf("%d: %s", a.Code, a.Error)
}
