package leaf

import (
	"context"
	"fmt"
	"math"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/oklog/ulid/v2"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb"

	"github.com/pandometrics/pando/fieldhint"
	"github.com/pandometrics/pando/querytree"
)

func writeFile(t *testing.T, path, text string) string {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func exporter(t *testing.T, text string) string {
	t.Helper()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; version=0.0.4")
		fmt.Fprint(w, text)
	}))
	t.Cleanup(srv.Close)
	return strings.TrimPrefix(srv.URL, "http://")
}

func scrapeConfig(target string) string {
	return fmt.Sprintf(`
global: {scrape_interval: 100ms, scrape_timeout: 100ms, evaluation_interval: 100ms, external_labels: {env: test}}
scrape_configs:
- job_name: shop
  static_configs: [{targets: [%q], labels: {zone: mars}}]
`, target)
}

func TestScrape(t *testing.T) {
	target := exporter(t, "# HELP orders_total Orders.\n# TYPE orders_total counter\norders_total{cluster=\"theirs\"} 7\n")
	cfg := testConfig(t.TempDir())
	cfg.ConfigFile = writeFile(t, filepath.Join(t.TempDir(), "prometheus.yml"), scrapeConfig(target))
	l := openLeaf(t, cfg, Deps{})
	stop := runLeaf(t, l)
	var got []string
	eventually(t, "something is scraped", func() bool {
		got = selected(t, l.served, eq("__name__", "orders_total"))
		return len(got) > 0
	})
	want := []string{fmt.Sprintf(`{__name__="orders_total", cluster="eu-1", exported_cluster="theirs", exported_zone="mars", instance=%q, job="shop", zone="eu"}=7`, target)}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if m := l.Metadata("orders_total")["orders_total"]; len(m) != 1 || m[0].Help != "Orders." {
		t.Errorf("metadata: %v", m)
	}
	ext := l.PrometheusConfig().GlobalConfig.ExternalLabels
	if diff := cmp.Diff(`{cluster="eu-1", env="test", zone="eu"}`, ext.String()); diff != "" {
		t.Errorf("external labels of alerts: %s", diff)
	}
	if l.Describe().Samples == 0 {
		t.Error("no samples counted")
	}
	stop()
	if l.Ready() {
		t.Error("ready after its end")
	}
}

func TestReload(t *testing.T) {
	dir := t.TempDir()
	good := scrapeConfig("127.0.0.1:1")
	file := writeFile(t, filepath.Join(dir, "prometheus.yml"), good)
	rulesFile := filepath.Join(dir, "rules.yml")
	cfg := testConfig(t.TempDir())
	cfg.ConfigFile = file
	cfg.OutOfOrderWindow = time.Hour
	cfg.Retention = 24 * time.Hour
	l := openLeaf(t, cfg, Deps{})
	if err := l.Reload(); err == nil {
		t.Error("reloaded before Run")
	}
	runLeaf(t, l)
	for _, c := range []struct{ what, text, rules, want string }{
		{"not YAML", "global: [", "", "yaml"},
		{"unknown section", "scrap_configs: []", "", "scrap_configs"},
		{"bad rule", "rule_files: [rules.yml]", "groups: [{name: g, rules: [{record: r, expr: 'sum('}]}]", "rules.yml"},
		{"contradicts the identity", "global: {external_labels: {cluster: us-1}}", "", `cluster="us-1"`},
		{"unknown discovery", "scrape_configs: [{job_name: a, ec2_sd_configs: [{}]}]", "", "ec2_sd_configs"},
	} {
		writeFile(t, file, c.text)
		writeFile(t, rulesFile, c.rules)
		err := l.Reload()
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", c.what, err)
		}
		if n := len(l.PrometheusConfig().ScrapeConfigs); n != 1 {
			t.Errorf("%s: %d scrape configurations run, want the old one", c.what, n)
		}
		if ok, _ := l.APIParts().ReloadStatus(); ok {
			t.Errorf("%s: status says that the reload succeeded", c.what)
		}
	}
	if got := l.retention(); got != "1d" {
		t.Errorf("retention %s", got)
	}
	writeFile(t, file, good+"storage: {tsdb: {out_of_order_time_window: 0s, retention: {time: 2d}}}\nrule_files: [rules.yml]\n")
	writeFile(t, rulesFile, "groups: [{name: g, rules: [{record: r, expr: 'sum(up)'}]}]")
	if err := l.Reload(); err != nil {
		t.Fatal(err)
	}
	if got := l.PrometheusConfig().StorageConfig.TSDBConfig.OutOfOrderTimeWindow; got != 0 {
		t.Errorf("out-of-order window %d, want that of the file", got)
	}
	if ok, at := l.APIParts().ReloadStatus(); !ok || at.IsZero() || l.retention() != "2d" {
		t.Errorf("reload status %v at %v, retention %s", ok, at, l.retention())
	}
	if n := len(l.rules.RuleGroups()); n != 1 {
		t.Errorf("%d rule groups", n)
	}
}

func TestOpenRefusesBadConfig(t *testing.T) {
	for what, change := range map[string]func(*Config){
		"no directory":     func(c *Config) { c.DataDir = "" },
		"missing file":     func(c *Config) { c.ConfigFile = filepath.Join(c.DataDir, "none.yml") },
		"reserved label":   func(c *Config) { c.Identity.Labels = labels.FromStrings("job", "a") },
		"wrong tier":       func(c *Config) { c.Identity.Tier = querytree.TierZone },
		"unknown WAL":      func(c *Config) { c.WALCompression = "lz4" },
		"body beyond":      func(c *Config) { c.MaxBodyBytes = 1 << 40 },
		"no query timeout": func(c *Config) { c.Limits.Timeout = 0 },
	} {
		cfg := testConfig(t.TempDir())
		change(&cfg)
		if l, err := Open(cfg, Deps{}); err == nil {
			t.Errorf("%s: opened", what)
			l.Close()
		}
	}
}

// A rule that reads the leaf's own series writes series of the leaf: its own
// identity labels do not become exported ones, those of others do.
func TestRules(t *testing.T) {
	dir := t.TempDir()
	writeFile(t, filepath.Join(dir, "rules.yml"), `
groups:
- name: g
  rules:
  - {record: by_cluster, expr: sum by (cluster) (x)}
  - {record: moved, expr: 'label_replace(sum(x), "cluster", "elsewhere", "", "")'}
  - {alert: High, expr: sum by (zone) (x) > 0}
`)
	received := make(chan string, 100)
	am := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		var b strings.Builder
		_ = r.Write(&b)
		select {
		case received <- b.String():
		default:
		}
	}))
	defer am.Close()
	cfg := testConfig(t.TempDir())
	cfg.ConfigFile = writeFile(t, filepath.Join(dir, "prometheus.yml"), fmt.Sprintf(`
global: {evaluation_interval: 100ms}
rule_files: [rules.yml]
alerting: {alertmanagers: [{static_configs: [{targets: [%q]}]}]}
`, strings.TrimPrefix(am.URL, "http://")))
	l := openLeaf(t, cfg, Deps{})
	runLeaf(t, l)
	// An alert that fires before there is anyone to tell is told a minute later.
	eventually(t, "the Alertmanager is known", func() bool { return len(l.notifier.Alertmanagers()) > 0 })
	appendStored(t, l.written, time.Now().UnixMilli(), labels.FromStrings("__name__", "x"))
	for name, want := range map[string]string{
		"by_cluster": `{__name__="by_cluster", cluster="eu-1", zone="eu"}=1`,
		"moved":      `{__name__="moved", cluster="eu-1", exported_cluster="elsewhere", zone="eu"}=1`,
		"ALERTS":     `{__name__="ALERTS", alertname="High", alertstate="firing", cluster="eu-1", zone="eu"}=1`,
	} {
		var got []string
		eventually(t, name+" is recorded", func() bool {
			got = selected(t, l.served, eq("__name__", name))
			return len(got) > 0
		})
		if diff := cmp.Diff([]string{want}, got); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
	select {
	case alert := <-received:
		for _, want := range []string{`"cluster":"eu-1"`, `"zone":"eu"`, `"alertname":"High"`} {
			if !strings.Contains(alert, want) {
				t.Errorf("alert lacks %s: %s", want, alert)
			}
		}
	case <-time.After(30 * time.Second):
		t.Error("no alert was sent")
	}
}

// The state of an alert is found again whichever identity labels its expression
// left it.
func TestAlertStateIsRestorable(t *testing.T) {
	l := openLeaf(t, testConfig(t.TempDir()), Deps{})
	appendStored(t, l.recorded, 1000, labels.FromStrings("__name__", "ALERTS_FOR_STATE", "alertname", "High"))
	got := selected(t, restoring{l.served}, eq("__name__", "ALERTS_FOR_STATE"))
	slices.Sort(got)
	want := []string{
		`{__name__="ALERTS_FOR_STATE", alertname="High", cluster="eu-1", zone="eu"}=1`,
		`{__name__="ALERTS_FOR_STATE", alertname="High", cluster="eu-1"}=1`,
		`{__name__="ALERTS_FOR_STATE", alertname="High", zone="eu"}=1`,
		`{__name__="ALERTS_FOR_STATE", alertname="High"}=1`,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// writeBlock makes a block of one sample a series, as promtool does.
func writeBlock(t *testing.T, dir string, ts int64, sets ...labels.Labels) ulid.ULID {
	t.Helper()
	w, err := tsdb.NewBlockWriter(discard(), dir, 2*3600*1000)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	appendStored(t, w, ts, sets...)
	id, err := w.Flush(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// Blocks put into the directory are served, and their series hinted at, whether
// they were there at the start or came later.
func TestDroppedBlocks(t *testing.T) {
	dir := t.TempDir()
	ts := time.Now().Add(-24 * time.Hour).UnixMilli()
	writeBlock(t, dir, ts, labels.FromStrings("__name__", "first", "cluster", "old"))
	hints := &fakeIndexer{}
	l := openLeaf(t, testConfig(dir), Deps{Hints: hints})
	runLeaf(t, l)
	first := `{__name__="first", cluster="eu-1", exported_cluster="old", zone="eu"}`
	if diff := cmp.Diff([]string{first + "=1"}, selected(t, l.served, eq("__name__", "first"))); diff != "" {
		t.Error(diff)
	}
	eventually(t, "hints are complete", hints.isComplete)
	if !hints.has(first) {
		t.Error("complete without the first block")
	}
	if d := l.Describe(); d.Mint != ts || d.Maxt != ts {
		t.Errorf("bounds %d to %d, want %d", d.Mint, d.Maxt, ts)
	}

	elsewhere := t.TempDir()
	id := writeBlock(t, elsewhere, ts, labels.FromStrings("__name__", "second"))
	if err := os.Rename(filepath.Join(elsewhere, id.String()), filepath.Join(dir, id.String())); err != nil {
		t.Fatal(err)
	}
	second := `{__name__="second", cluster="eu-1", zone="eu"}`
	// The TSDB looks for new blocks at its reload interval.
	eventually(t, "the second block is hinted at", func() bool { return hints.has(second) })
	if diff := cmp.Diff([]string{second + "=1"}, selected(t, l.served, eq("__name__", "second"))); diff != "" {
		t.Error(diff)
	}
}

func TestHintsAreRebuilt(t *testing.T) {
	dir := t.TempDir()
	now := time.Now().Truncate(24 * time.Hour).Add(4 * time.Hour)
	old := writeBlock(t, dir, now.Add(-48*time.Hour).UnixMilli(), labels.FromStrings("__name__", "gone"))
	writeBlock(t, dir, now.Add(-24*time.Hour).UnixMilli(), labels.FromStrings("__name__", "kept"))
	hints := &fakeIndexer{}
	clock := now
	l := openLeaf(t, testConfig(dir), Deps{Hints: hints, Now: func() time.Time { return clock }})
	appendStored(t, l.written, now.UnixMilli(), labels.FromStrings("__name__", "head"))
	update := func() {
		t.Helper()
		if err := l.indexing.update(t.Context(), l.store); err != nil {
			t.Fatal(err)
		}
	}
	update()
	gone, kept, head := `{__name__="gone", cluster="eu-1", zone="eu"}`, `{__name__="kept", cluster="eu-1", zone="eu"}`, `{__name__="head", cluster="eu-1", zone="eu"}`
	if !hints.isComplete() || !hints.has(gone, kept, head) {
		t.Fatal("not all series were added")
	}
	if err := os.RemoveAll(filepath.Join(dir, old.String())); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the old block is gone", func() bool { return len(l.store.Blocks()) == 1 })
	update()
	if hints.rebuilt != 1 {
		t.Error("rebuilt too soon")
	}
	clock = now.Add(4 * time.Hour)
	update()
	if hints.rebuilt != 2 || hints.has(gone) || !hints.has(kept, head) {
		t.Errorf("rebuilt %d times, holds %v", hints.rebuilt, hints.added)
	}
	clock = now.Add(8 * time.Hour)
	update()
	if hints.rebuilt != 2 {
		t.Error("rebuilt without need")
	}
	clock = now.Add(28 * time.Hour)
	update()
	if hints.rebuilt != 3 {
		t.Error("not rebuilt for a new window")
	}
	for i := range growth*fewSeries + 1 {
		appendStored(t, l.written, now.UnixMilli(), labels.FromStrings("__name__", "new", "i", strconv.Itoa(i)))
	}
	update()
	if hints.rebuilt != 3 {
		t.Error("rebuilt for new series too soon")
	}
	clock = clock.Add(2 * recountInterval)
	update()
	update()
	if hints.rebuilt != 4 {
		t.Errorf("rebuilt %d times, want once more for several times as many series", hints.rebuilt)
	}
}

// Whatever is appended, by many at once, is in the hint; and the real set of
// fingerprints fits the interface.
func TestEverySeriesIsHinted(t *testing.T) {
	set, err := fieldhint.NewSet(fieldhint.SetConfig{})
	if err != nil {
		t.Fatal(err)
	}
	var _ Indexer = set
	hints := &fakeIndexer{}
	l := openLeaf(t, testConfig(t.TempDir()), Deps{Hints: hints})
	runLeaf(t, l)
	var wg sync.WaitGroup
	for w := range 4 {
		wg.Go(func() {
			for i := range 50 {
				appendStored(t, l.written, 1000, labels.FromStrings("__name__", "m", "w", fmt.Sprint(w), "i", fmt.Sprint(i)))
			}
		})
	}
	wg.Wait()
	for _, lset := range selectedChunks(t, l.served, eq("__name__", "m")) {
		if !hints.has(lset.String()) {
			t.Errorf("%s is not hinted at", lset)
		}
	}
}

func TestChild(t *testing.T) {
	l := openLeaf(t, testConfig(t.TempDir()), Deps{Version: "1.2.3"})
	if d := l.Child().Describe(); d.Mint != math.MaxInt64 || d.Maxt != math.MinInt64 || d.Instance == "" || d.Version != "1.2.3" || d.Leaves != 1 {
		t.Errorf("empty leaf described as %+v", d)
	}
	appendStored(t, l.written, 60_000, labels.FromStrings("__name__", "up", "job", "a"), labels.FromStrings("__name__", "up", "job", "b"))
	set, err := l.Child().Exec(t.Context(), querytree.ExecRequest{Query: `sum by (cluster) (up{zone="eu"})`, Start: 60_000, End: 60_000})
	if err != nil {
		t.Fatal(err)
	}
	defer set.Close()
	if !set.Next() || set.At().Metric.String() != `{cluster="eu-1"}` || set.At().Floats[0].F != 3 {
		t.Errorf("exec: %v", set.Err())
	}
	raw := l.Child().Select(t.Context(), querytree.SelectRequest{Mint: 0, Maxt: 100_000, Matchers: []*labels.Matcher{eq("cluster", "eu-1")}})
	defer raw.Close()
	n := 0
	for raw.Next() {
		n++
	}
	if raw.Err() != nil || n != 2 {
		t.Errorf("select: %d series, %v", n, raw.Err())
	}
}

// Deletion understands the labels that series are served with.
func TestDelete(t *testing.T) {
	l := openLeaf(t, testConfig(t.TempDir()), Deps{})
	appendStored(t, l.written, 1000, labels.FromStrings("__name__", "a"), labels.FromStrings("__name__", "b"))
	for _, c := range []struct {
		ms   []*labels.Matcher
		left int
	}{
		{[]*labels.Matcher{eq("zone", "us")}, 2},
		{[]*labels.Matcher{eq("zone", "eu"), eq("__name__", "a")}, 1},
		{[]*labels.Matcher{eq("zone", "eu")}, 0},
	} {
		if err := l.store.Delete(t.Context(), 0, 2000, c.ms...); err != nil {
			t.Fatal(err)
		}
		got := selected(t, l.served, eq("zone", "eu"))
		got = slices.DeleteFunc(got, func(s string) bool { return strings.HasSuffix(s, "=NaN") })
		if len(got) != c.left {
			t.Errorf("after deleting %v: %v", c.ms, got)
		}
	}
}

var _ storage.SampleAndChunkQueryable = (*served)(nil)
