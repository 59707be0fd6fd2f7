package leaf

import (
	"context"
	"fmt"
	"math"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/prompb"
	writev2 "github.com/prometheus/prometheus/prompb/io/prometheus/write/v2"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/pdata/pmetric/pmetricotlp"
)

const dropPod = `
delay: 0s
rules:
- {name: orders, match: [orders_total], without: [pod, instance], interval: 10s}
`

// aggregating is a leaf with rules and a clock.
type aggregating struct {
	*Leaf
	t     *testing.T
	cfg   Config
	clock atomic.Int64
	begin int64
}

func newAggregating(t *testing.T, rules string) *aggregating {
	t.Helper()
	a := &aggregating{t: t, cfg: testConfig(t.TempDir())}
	a.cfg.AggregateFile = writeFile(t, filepath.Join(t.TempDir(), "rules.yml"), rules)
	// Receivers refuse what is far from the machine's time.
	a.begin = time.Now().Add(-5*time.Minute).UnixMilli() / 10_000 * 10_000
	a.clock.Store(a.begin)
	a.open()
	a.flush(0)
	return a
}

func (a *aggregating) open() {
	a.Leaf = openLeaf(a.t, a.cfg, Deps{Now: func() time.Time { return time.UnixMilli(a.clock.Load()) }})
}

// flush stores what is due at a time after the beginning.
func (a *aggregating) flush(at time.Duration) {
	a.t.Helper()
	a.clock.Store(a.begin + at.Milliseconds())
	if err := a.aggregator.Flush(context.Background()); err != nil {
		a.t.Fatal(err)
	}
}

func (a *aggregating) at(d time.Duration) int64 { return a.begin + d.Milliseconds() }

// samples returns all floats that are stored of a metric, with seconds since the
// beginning.
func samples(t *testing.T, q storage.Queryable, begin int64, metric string) []string {
	t.Helper()
	querier, err := q.Querier(math.MinInt64, math.MaxInt64)
	if err != nil {
		t.Fatal(err)
	}
	defer querier.Close()
	out := []string{}
	set := querier.Select(context.Background(), true, nil, eq("__name__", metric))
	for set.Next() {
		line := set.At().Labels().String()
		it := set.At().Iterator(nil)
		for it.Next() == chunkenc.ValFloat {
			ts, v := it.At()
			line += fmt.Sprintf(" %d:%v", (ts-begin)/1000, v)
			if value.IsStaleNaN(v) {
				line = strings.TrimSuffix(line, "NaN") + "stale"
			}
		}
		out = append(out, line)
	}
	if err := set.Err(); err != nil {
		t.Fatal(err)
	}
	return out
}

func orders(pod string) labels.Labels {
	return labels.FromStrings("__name__", "orders_total", "pod", pod, "zone", "mars")
}

const ordersOutput = `{__name__="orders_total:without_pod_instance", cluster="eu-1", exported_zone="mars", zone="eu"}`

func (a *aggregating) want(want ...string) {
	a.t.Helper()
	if diff := cmp.Diff(want, samples(a.t, a.served, a.begin, "orders_total:without_pod_instance")); diff != "" {
		a.t.Error(diff)
	}
	if raw := samples(a.t, a.served, a.begin, "orders_total"); len(raw) > 0 {
		a.t.Errorf("stored raw: %q", raw)
	}
}

func TestAggregationOfRemoteWrite(t *testing.T) {
	a := newAggregating(t, dropPod)
	// The last ones' labels need not be decoded.
	for i, at := range []time.Duration{time.Second, 3 * time.Second, 5 * time.Second} {
		req := &prompb.WriteRequest{Metadata: []prompb.MetricMetadata{{MetricFamilyName: "orders_total", Type: prompb.MetricMetadata_COUNTER, Help: "Orders."}}}
		for _, pod := range []string{"a", "b"} {
			req.Timeseries = append(req.Timeseries, seriesV1(orders(pod), prompb.Sample{Timestamp: a.at(at), Value: float64(10 + 3*i)}))
		}
		if code, text := postV1(t, a.WriteHandler(), req); code != http.StatusNoContent {
			t.Fatalf("%d %s", code, text)
		}
	}
	a.flush(10 * time.Second)
	a.want(ordersOutput + " 10:12")
	if m := a.Metadata("orders_total:without_pod_instance")["orders_total:without_pod_instance"]; len(m) != 1 || m[0].Help != "Orders." {
		t.Errorf("metadata of the output: %v", m)
	}
}

// Remote write 2.0 tells when a series began.
func TestAggregationOfRemoteWrite2(t *testing.T) {
	a := newAggregating(t, dropPod)
	symbols := writev2.NewSymbolTable()
	req := &writev2.Request{}
	for _, pod := range []string{"a", "b"} {
		s := writev2.TimeSeries{LabelsRefs: symbols.SymbolizeLabels(orders(pod), nil)}
		s.Samples = []writev2.Sample{{Timestamp: a.at(5 * time.Second), StartTimestamp: a.at(2 * time.Second), Value: 4}, {Timestamp: a.at(6 * time.Second), StartTimestamp: a.at(2 * time.Second), Value: 5}}
		if pod == "b" {
			s.Samples[0].StartTimestamp, s.Samples[1].StartTimestamp = 0, 0
		}
		req.Timeseries = append(req.Timeseries, s)
	}
	other := writev2.TimeSeries{LabelsRefs: symbols.SymbolizeLabels(labels.FromStrings("__name__", "other_total"), nil)}
	other.Samples = []writev2.Sample{{Timestamp: a.at(5 * time.Second), StartTimestamp: a.at(2 * time.Second), Value: 4}}
	req.Timeseries = append(req.Timeseries, other)
	req.Symbols = symbols.Symbols()
	if code, text := postV2(t, a.WriteHandler(), req); code != http.StatusNoContent {
		t.Fatalf("%d %s", code, text)
	}
	a.flush(10 * time.Second)
	a.want(ordersOutput + " 10:6")
	if diff := cmp.Diff([]string{`{__name__="other_total", cluster="eu-1", zone="eu"} 5:4`}, samples(t, a.served, a.begin, "other_total")); diff != "" {
		t.Errorf("a series that is no input: %s", diff)
	}
}

func TestAggregationOfOTLP(t *testing.T) {
	a := newAggregating(t, dropPod)
	for i := range 2 {
		md := pmetric.NewMetrics()
		m := md.ResourceMetrics().AppendEmpty().ScopeMetrics().AppendEmpty().Metrics().AppendEmpty()
		m.SetName("orders")
		sum := m.SetEmptySum()
		sum.SetIsMonotonic(true)
		sum.SetAggregationTemporality(pmetric.AggregationTemporalityCumulative)
		for _, pod := range []string{"a", "b"} {
			dp := sum.DataPoints().AppendEmpty()
			dp.SetStartTimestamp(pcommon.NewTimestampFromTime(time.UnixMilli(a.at(time.Second))))
			dp.SetTimestamp(pcommon.NewTimestampFromTime(time.UnixMilli(a.at(time.Duration(2+i) * time.Second))))
			dp.SetIntValue(int64(7 + i))
			dp.Attributes().PutStr("pod", pod)
			dp.Attributes().PutStr("zone", "mars")
		}
		body, err := pmetricotlp.NewExportRequestFromMetrics(md).MarshalProto()
		if err != nil {
			t.Fatal(err)
		}
		if code, text := post(t, a.OTLPHandler(), "application/x-protobuf", "", body); code != http.StatusOK {
			t.Fatalf("%d %s", code, text)
		}
	}
	a.flush(10 * time.Second)
	a.want(ordersOutput + " 10:16")
}

// A kill loses nothing that was acknowledged, and repeats nothing.
func TestAggregationSurvivesKill(t *testing.T) {
	a := newAggregating(t, dropPod)
	write := func(at time.Duration, v float64) {
		t.Helper()
		req := &prompb.WriteRequest{Timeseries: []prompb.TimeSeries{seriesV1(orders("a"), prompb.Sample{Timestamp: a.at(at), Value: v})}}
		if code, text := postV1(t, a.WriteHandler(), req); code != http.StatusNoContent {
			t.Fatalf("%d %s", code, text)
		}
	}
	kill := func() {
		t.Helper()
		dir := t.TempDir()
		if err := os.CopyFS(dir, os.DirFS(a.cfg.DataDir)); err != nil {
			t.Fatal(err)
		}
		a.cfg.DataDir = dir
		a.open()
	}
	write(time.Second, 100)
	write(5*time.Second, 150)
	a.flush(10 * time.Second)
	write(11*time.Second, 160)
	write(12*time.Second, 3) // a reset that only the killed process has seen
	kill()
	write(13*time.Second, 5)
	a.flush(20 * time.Second)
	kill()
	write(21*time.Second, 6)
	a.flush(30 * time.Second)
	a.want(ordersOutput + " 10:50 20:65 30:66")
}

// What the TSDB kept and the aggregation lost is gone on with.
func TestAggregationWithoutItsState(t *testing.T) {
	a := newAggregating(t, dropPod)
	write := func(at time.Duration, v float64) {
		t.Helper()
		app := a.in.Appender(context.Background())
		if _, err := app.Append(0, orders("a"), a.at(at), v); err != nil {
			t.Fatal(err)
		}
		if err := app.Commit(); err != nil {
			t.Fatal(err)
		}
	}
	write(time.Second, 100)
	write(5*time.Second, 150)
	a.flush(10 * time.Second)
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(filepath.Join(a.cfg.DataDir, aggregationDir)); err != nil {
		t.Fatal(err)
	}
	a.open()
	a.flush(11 * time.Second)
	write(12*time.Second, 170)
	write(13*time.Second, 171)
	a.flush(20 * time.Second)
	a.want(ordersOutput + " 10:50 20:51")
}

// Targets that are scraped are summed up; those that go are ended; rules change as
// configuration does.
func TestAggregationOfScrapes(t *testing.T) {
	var served atomic.Int64
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; version=0.0.4")
		fmt.Fprintf(w, "# TYPE orders_total counter\norders_total{pod=\"a\"} %d\norders_total{pod=\"b\"} 5\n# TYPE busy gauge\nbusy{pod=\"a\"} 3\nbusy{pod=\"b\"} 4\n", served.Add(1))
	}))
	t.Cleanup(srv.Close)
	dir := t.TempDir()
	cfg := testConfig(t.TempDir())
	cfg.ConfigFile = writeFile(t, filepath.Join(dir, "prometheus.yml"), scrapeConfig(strings.TrimPrefix(srv.URL, "http://")))
	cfg.AggregateFile = writeFile(t, filepath.Join(dir, "rules.yml"), `
delay: 0s
rules:
- {name: all, match: ['{pod!=""}'], without: [pod, instance], interval: 1s}
`)
	hints := &fakeIndexer{}
	l := openLeaf(t, cfg, Deps{Hints: hints})
	runLeaf(t, l)
	last := func(metric string) string {
		got := selected(t, l.served, eq("__name__", metric))
		if len(got) == 0 {
			return ""
		}
		return got[len(got)-1]
	}
	const labels = `cluster="eu-1", exported_zone="mars", job="shop", zone="eu"}`
	eventually(t, "gauges are summed up", func() bool {
		return last("busy:without_pod_instance:sum") == `{__name__="busy:without_pod_instance:sum", `+labels+"=7"
	})
	eventually(t, "counters are", func() bool {
		got := last("orders_total:without_pod_instance")
		return strings.HasPrefix(got, `{__name__="orders_total:without_pod_instance", `+labels) && !strings.HasSuffix(got, "=0")
	})
	if got := last("orders_total") + last("busy"); got != "" {
		t.Errorf("stored raw: %s", got)
	}
	if !hints.has(`{__name__="busy:without_pod_instance:sum", ` + labels) {
		t.Error("outputs are not hinted")
	}
	if up := last("up"); !strings.HasSuffix(up, "=1") {
		t.Errorf("up is %q", up)
	}

	// A broken file changes nothing, and is told.
	writeFile(t, cfg.AggregateFile, "rules: [{name: x}]")
	if err := l.Reload(); err == nil || !strings.Contains(err.Error(), `rule "x"`) {
		t.Errorf("reloaded a broken file: %v", err)
	}
	// Rules that leave the gauges alone: their series are stored raw from then on.
	writeFile(t, cfg.AggregateFile, "delay: 0s\nrules: [{name: c, match: [orders_total], without: [pod, instance], interval: 1s}]")
	if err := l.Reload(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "gauges are stored", func() bool { return strings.HasSuffix(last("busy"), "=4") })
	eventually(t, "their sum has ended", func() bool { return strings.HasSuffix(last("busy:without_pod_instance:sum"), "=NaN") })
	// The target goes.
	writeFile(t, cfg.ConfigFile, "global: {scrape_interval: 100ms, scrape_timeout: 100ms}\n")
	if err := l.Reload(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the counter's output has ended", func() bool { return strings.HasSuffix(last("orders_total:without_pod_instance"), "=NaN") })
}

func TestAggregationMustFitTheLeaf(t *testing.T) {
	for _, c := range []struct {
		what   string
		rules  string
		change func(*Config)
		want   string
	}{
		{"no file", "", func(c *Config) { c.AggregateFile += "x" }, "no such file"},
		{"own label", "rules: [{name: a, match: [x], by: [zone]}]", func(*Config) {}, "the leaf's own"},
		{"own label in match", "rules: [{name: a, match: ['x{zone=\"eu\"}'], by: [job]}]", func(*Config) {}, "the leaf's own"},
		{"replica", dropPod, func(c *Config) { c.Identity.Replica = "a" }, "replica"},
		{"shard", dropPod, func(c *Config) { c.Identity.Shard = "0" }, "shard"},
		{"shard key", dropPod, func(c *Config) { c.Identity.Shard, c.ShardKey = "0", []string{"pod"} }, "tells the shards apart"},
	} {
		t.Run(c.what, func(t *testing.T) {
			cfg := testConfig(t.TempDir())
			cfg.AggregateFile = writeFile(t, filepath.Join(t.TempDir(), "rules.yml"), c.rules)
			c.change(&cfg)
			l, err := Open(cfg, Deps{})
			if err == nil {
				l.Close()
			}
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want %q", err, c.want)
			}
		})
	}
}

func TestCheckAggregations(t *testing.T) {
	file := writeFile(t, filepath.Join(t.TempDir(), "rules.yml"), dropPod)
	got, err := CheckAggregations(file)
	if err != nil || !strings.Contains(got, "orders: {metric}:without_pod_instance") {
		t.Errorf("%q %v", got, err)
	}
	if _, err := CheckAggregations(file + "x"); err == nil {
		t.Error("a missing file is valid")
	}
}
