package e2e_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// A real Prometheus server scrapes and remote-writes to a leaf. What it wrote is
// at the root within two seconds, to Prometheus' own client too.
func TestProcessPrometheusWrites(t *testing.T) {
	processes(t)
	server, client := tool(t, "prometheus"), tool(t, "promtool")
	var ticks atomic.Int64
	target := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, "# HELP shop_orders_total Orders so far.\n# TYPE shop_orders_total counter\nshop_orders_total{kind=\"book\"} %d\n", ticks.Add(1))
		if ticks.Load() > 3 {
			fmt.Fprint(w, "shop_late 7\n")
		}
	}))
	t.Cleanup(target.Close)
	root := startRoot(t)
	zone := startZone(t, root.grpc, "--zone=eu")
	leaf := startLeaf(t, zone.grpc, "eu", "eu-1")
	awaitLeaves(t, root, 1)
	config := writeFile(t, "prometheus.yml", fmt.Sprintf(`
global: {scrape_interval: 500ms, scrape_timeout: 500ms}
scrape_configs:
  - job_name: shop
    static_configs: [{targets: [%q], labels: {instance: shop-1}}]
remote_write:
  - url: %s/api/v1/write
    metadata_config: {send: true, send_interval: 1s}
    queue_config: {batch_send_deadline: 100ms}
`, strings.TrimPrefix(target.URL, "http://"), leaf.http))
	launch(t, "prometheus", server, "--config.file="+config, "--storage.tsdb.path="+t.TempDir(), "--web.listen-address="+freeAddress(t))

	const late = `shop_late{job="shop",instance="shop-1"}`
	becomes(t, 60*time.Second, leaf.http, late, 7)
	seen := time.Now()
	becomes(t, 60*time.Second, root.http, `shop_late{zone="eu",cluster="eu-1"}`, 7)
	t.Logf("at the root %v after the leaf", time.Since(seen).Round(time.Millisecond))

	promtool := func(want string, args ...string) {
		t.Helper()
		r := run(t, client, append([]string{"query"}, args...)...)
		if r.code != 0 || !strings.Contains(r.out, want) {
			t.Errorf("promtool query %q: exit code %d, want %q in:\n%s%s", args, r.code, want, r.out, r.errOut)
		}
	}
	now := time.Now()
	labels := `cluster="eu-1", instance="shop-1", job="shop", kind="book", zone="eu"`
	promtool("shop_orders_total{"+labels+"} => ", "instant", root.http, "shop_orders_total")
	promtool("@[", "range", "--start="+seconds(now.Add(-10*time.Second)), "--end="+seconds(now), "--step=1s", root.http, "sum by (zone) (shop_orders_total)")
	promtool(`__name__="shop_orders_total", `+labels, "series", "--match=shop_orders_total", root.http)
	promtool("book", "labels", root.http, "kind")
	eventually(t, 60*time.Second, func() error {
		a, err := call(root.http, "/api/v1/metadata?metric=shop_orders_total", nil)
		if err != nil {
			return err
		}
		return mentions([]string{string(a.Data)}, `"shop_orders_total"`, `"type":"counter"`, `"help":"Orders so far."`)
	})
}

// expositions are the samples and the number of series in each.
var expositions = map[string]int{"node_exporter.prom": 3027, "cadvisor.prom": 287, "alltypes.prom": 1857}

// Leaves scrape real exposition text; the root has every series of it.
func TestProcessScrape(t *testing.T) {
	processes(t)
	files := httptest.NewServer(http.FileServer(http.Dir("testdata/metrics")))
	t.Cleanup(files.Close)
	address := strings.TrimPrefix(files.URL, "http://")
	root := startRoot(t)
	zones := map[string]*process{"eu": startZone(t, root.grpc, "--zone=eu"), "us": startZone(t, root.grpc, "--zone=us")}
	jobs := map[string][]string{"eu-1": {"node_exporter.prom", "cadvisor.prom"}, "eu-2": {"alltypes.prom"}, "us-1": {"node_exporter.prom"}}
	leaves, want := map[string]*process{}, 0
	for cluster, names := range jobs {
		var b strings.Builder
		b.WriteString("global: {scrape_interval: 1s}\nscrape_configs:\n")
		for _, name := range names {
			fmt.Fprintf(&b, "  - job_name: %s\n    metrics_path: /%s\n    honor_timestamps: false\n    static_configs: [{targets: [%q]}]\n",
				strings.TrimSuffix(name, ".prom"), name, address)
			want += expositions[name]
		}
		zone, _, _ := strings.Cut(cluster, "-")
		leaves[cluster] = startLeaf(t, zones[zone].grpc, zone, cluster, "--config.file="+writeFile(t, "prometheus.yml", b.String()))
	}
	awaitLeaves(t, root, 3)
	const all = `count({job=~"node_exporter|cadvisor|alltypes",__name__!~"up|scrape_.*"}) or vector(0)`
	becomes(t, 60*time.Second, root.http, all, float64(want))
	becomes(t, 60*time.Second, root.http, `sum(up)`, 4)
	for cluster, leaf := range leaves {
		below, err := number(leaf.http, all)
		if err != nil {
			t.Fatal(err)
		}
		becomes(t, 60*time.Second, root.http, strings.Replace(all, "{", `{cluster="`+cluster+`",`, 1), below)
	}
	// Names, values and metadata of all leaves, as one Prometheus tells them.
	for path, words := range map[string][]string{
		"/api/v1/label/cluster/values":  {`["eu-1","eu-2","us-1"]`},
		"/api/v1/label/__name__/values": {`"node_load1"`, `"container_cpu_user_seconds_total"`},
		"/api/v1/labels":                {`"zone"`, `"device"`, `"mountpoint"`},
		"/api/v1/metadata":              {`"node_load1":[{"type":"gauge"`, `"container_cpu_user_seconds_total"`},
	} {
		a, err := call(root.http, path, nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := mentions([]string{string(a.Data)}, words...); err != nil {
			t.Errorf("%s: %.100v", path, err)
		}
	}
	sameFamilies(t, root)
}

// sameFamilies checks that the root's metric names with values are those of the
// files.
func sameFamilies(t *testing.T, root *process) {
	t.Helper()
	v, err := vector(root.http, `count by (__name__) ({zone="us",job="node_exporter",__name__!~"up|scrape_.*"})`)
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join("testdata", "metrics", "node_exporter.prom"))
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]int{}
	for line := range strings.Lines(string(text)) {
		if name := line[:strings.IndexAny(line+" ", "{ \n")]; name != "" && !strings.HasPrefix(line, "#") {
			want[name]++
		}
	}
	for _, s := range v {
		if name := string(s.Metric["__name__"]); want[name] != int(s.Value) {
			t.Errorf("%s has %v series, want %d", name, s.Value, want[name])
		}
	}
	if len(v) != len(want) {
		t.Errorf("%d metric names, want %d", len(v), len(want))
	}
}
