package demo

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/config"
	_ "github.com/prometheus/prometheus/discovery/http" // the kind of discovery that ScrapeConfig uses
	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/rulefmt"
	"github.com/prometheus/prometheus/model/textparse"
	"github.com/prometheus/prometheus/promql/parser"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var testStart = time.Date(2026, 3, 4, 12, 10, 0, 0, time.UTC)

const (
	acceptText     = "text/plain;version=0.0.4"
	acceptOM       = "application/openmetrics-text;version=1.0.0"
	acceptProtobuf = "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited"
)

func testPlanet(t testing.TB, cfg Config) *Planet {
	t.Helper()
	if cfg.Clusters == nil {
		cfg.Clusters = Places(2, 3)
	}
	cfg.Now = func() time.Time { return testStart }
	p, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range p.clusters {
		c.checkout.work = nil // no test of the simulation may reach it
	}
	return p
}

// sample is one parsed sample: a float, or a native histogram.
type sample struct {
	labels labels.Labels
	value  float64
	native *histogram.Histogram
	typ    model.MetricType
}

// scrape fetches and parses one path of a cluster.
func scrape(t testing.TB, c *Cluster, path, accept string) []sample {
	t.Helper()
	req := httptest.NewRequest("GET", "http://demo.test:80"+path, nil)
	req.Header.Set("Accept", accept)
	w := httptest.NewRecorder()
	c.Handler().ServeHTTP(w, req)
	if w.Code != 200 {
		t.Fatalf("GET %s: %d: %s", path, w.Code, w.Body)
	}
	got := w.Header().Get("Content-Type")
	if want := strings.SplitN(accept, ";", 2)[0]; !strings.HasPrefix(got, want) {
		t.Fatalf("GET %s: content type %q, want %q", path, got, want)
	}
	p, err := textparse.New(w.Body.Bytes(), got, labels.NewSymbolTable(), textparse.ParserOptions{KeepClassicOnClassicAndNativeHistograms: true})
	if err != nil {
		t.Fatal(err)
	}
	return parse(t, path, p)
}

func parse(t testing.TB, path string, p textparse.Parser) []sample {
	t.Helper()
	var out []sample
	var typ model.MetricType
	for {
		entry, err := p.Next()
		if errors.Is(err, io.EOF) {
			return out
		}
		if err != nil {
			t.Fatalf("parse %s: %v", path, err)
		}
		s := sample{typ: typ}
		switch entry {
		case textparse.EntryType:
			_, typ = p.Type()
			continue
		case textparse.EntrySeries:
			_, _, s.value = p.Series()
		case textparse.EntryHistogram:
			_, _, h, _ := p.Histogram()
			if err := h.Validate(); err != nil {
				t.Fatalf("%s: invalid native histogram: %v", path, err)
			}
			s.native, s.value = h.Copy(), float64(h.Count)
		default:
			continue
		}
		p.Labels(&s.labels)
		out = append(out, s)
	}
}

func discover(t testing.TB, c *Cluster) []TargetGroup {
	t.Helper()
	w := httptest.NewRecorder()
	c.Handler().ServeHTTP(w, httptest.NewRequest("GET", "http://demo.test:80/sd", nil))
	var groups []TargetGroup
	if err := json.Unmarshal(w.Body.Bytes(), &groups); err != nil {
		t.Fatal(err)
	}
	return groups
}

// scrapeAll returns what a scraper would store of a cluster by the text of the
// labels, target labels included, simulated targets only unless real is set.
func scrapeAll(t testing.TB, c *Cluster, real bool) map[string]sample {
	t.Helper()
	out := map[string]sample{}
	add := func(path string, target map[string]string) {
		for _, s := range scrape(t, c, path, acceptProtobuf) {
			b := labels.NewBuilder(s.labels)
			for name, v := range target {
				if strings.HasPrefix(name, "__") {
					continue
				}
				switch {
				case !s.labels.Has(name):
					b.Set(name, v)
				case s.labels.Get("__name__") == "go_info": // as a scraper without honor_labels does
					b.Set("exported_"+name, s.labels.Get(name)).Set(name, v)
				case target["namespace"] != "":
					t.Fatalf("%s: %s carries the target label %s", path, s.labels, name)
				}
			}
			s.labels = b.Labels()
			if _, dup := out[s.labels.String()]; dup {
				t.Fatalf("%s: %s exposed twice", path, s.labels)
			}
			out[s.labels.String()] = s
		}
	}
	for _, g := range discover(t, c) {
		if real || g.Labels["job"] != checkoutName {
			add(g.Labels["__metrics_path__"], g.Labels)
		}
	}
	add("/kube-state-metrics/metrics", map[string]string{"job": "kube-state-metrics"})
	add("/cadvisor/metrics", map[string]string{"job": "kubelet"})
	if real {
		add("/host/metrics", map[string]string{"job": "node", "instance": "here"})
	}
	return out
}

func TestEveryHandlerParsesInEveryFormat(t *testing.T) {
	p := testPlanet(t, Config{})
	p.Step(testStart.Add(2 * time.Minute))
	for _, c := range p.clusters {
		paths := []string{"/kube-state-metrics/metrics", "/cadvisor/metrics", "/host/metrics"}
		for _, g := range discover(t, c) {
			if diff := cmp.Diff([]string{"demo.test:80"}, g.Targets); diff != "" {
				t.Fatal(diff)
			}
			paths = append(paths, g.Labels["__metrics_path__"])
		}
		for _, path := range paths {
			for _, accept := range []string{acceptText, acceptOM, acceptProtobuf} {
				if n := len(scrape(t, c, path, accept)); n < 5 && path != checkoutPath {
					t.Errorf("%s as %s: %d samples", path, accept, n)
				}
			}
		}
	}
}

func TestSeriesNearTarget(t *testing.T) {
	for _, target := range []int{8000, 0, 30000} {
		t.Run(fmt.Sprint(target), func(t *testing.T) {
			p := testPlanet(t, Config{TargetSeries: target})
			p.Step(testStart.Add(8 * time.Minute)) // past deploys
			want, got := p.cfg.TargetSeries, 0
			perCluster := map[int]bool{}
			for _, c := range p.clusters {
				n := len(scrapeAll(t, c, false)) + checkoutSeries + targetSeries*len(discover(t, c))
				got += n
				perCluster[n] = true
			}
			if got < want*85/100 || got > want*115/100 {
				t.Errorf("%d series, want within 15%% of %d", got, want)
			}
			if len(perCluster) <= len(p.clusters)/2 { // two may be of a size by chance
				t.Errorf("clusters hardly differ in size: %v", perCluster)
			}
			t.Logf("%d series for a target of %d", got, want)
		})
	}
}

// A counter falls only when the process has restarted, and the counters of a
// service agree with its histogram.
func TestCountersAreMonotonicBetweenRestarts(t *testing.T) {
	p := testPlanet(t, Config{Clusters: Places(2, 1), TargetSeries: 1500})
	last := map[string]sample{}
	resets := 0
	for now := testStart; now.Before(testStart.Add(20 * time.Minute)); now = now.Add(15 * time.Second) {
		p.Step(now)
		for _, c := range p.clusters {
			got := scrapeAll(t, c, false)
			started := map[string]float64{}
			for _, s := range got {
				if s.labels.Get("__name__") == "process_start_time_seconds" {
					started[c.place.Cluster+s.labels.Get("pod")] = s.value
				}
			}
			resets += checkMonotonic(t, c, got, last, started)
			for k, s := range got {
				last[c.place.Cluster+k] = s
			}
			for k, v := range started {
				last["start "+k] = sample{value: v}
			}
		}
	}
	if resets == 0 {
		t.Error("no counter was reset within twenty minutes")
	}
}

func checkMonotonic(t *testing.T, c *Cluster, got, last map[string]sample, started map[string]float64) (resets int) {
	t.Helper()
	operations, observed := map[string]float64{}, map[string]float64{}
	for k, s := range got {
		key := s.labels.Get("pod")
		switch name := s.labels.Get("__name__"); {
		case name == "http_requests_total":
			operations[key] += s.value
		case name == "http_request_duration_seconds_count":
			observed[key] += s.value
		case s.typ == model.MetricTypeGauge || s.typ == model.MetricTypeSummary && !strings.HasSuffix(name, "_count"):
			continue
		}
		pod := c.place.Cluster + key
		if before, ok := last[c.place.Cluster+k]; ok && s.value < before.value {
			resets++
			if started[pod] == last["start "+pod].value {
				t.Fatalf("%s fell from %v to %v without a restart", k, before.value, s.value)
			}
		}
	}
	if diff := cmp.Diff(operations, observed); diff != "" {
		t.Fatalf("requests counted and observed differ:\n%s", diff)
	}
	return resets
}

func podsByService(t *testing.T, c *Cluster) map[string][]string {
	out := map[string][]string{}
	for _, g := range discover(t, c) {
		out[g.Labels["service"]] = append(out[g.Labels["service"]], g.Labels["pod"]+" "+g.Labels["version"])
	}
	return out
}

func TestDeployReplacesPods(t *testing.T) {
	p := testPlanet(t, Config{})
	c := p.clusters[0]
	before := podsByService(t, c)
	old := strings.Fields(before["gateway"][0])[0]
	c.events = []event{{kind: deploy, service: "gateway", at: testStart.Add(3 * time.Second)}}
	c.planned = testStart.Add(time.Hour)

	p.Step(testStart.Add(tick))
	during := podsByService(t, c)["gateway"]
	if during[0] == before["gateway"][0] || during[1] != before["gateway"][1] {
		t.Errorf("after one tick a deploy is at\n%v, was\n%v: want the first pod replaced", during, before["gateway"])
	}
	if len(scrape(t, c, "/pods/"+old+"/metrics", acceptText)) == 0 {
		t.Error("a pod that has just left discovery has no metrics")
	}

	p.Step(testStart.Add(5 * time.Minute))
	after := podsByService(t, c)
	for _, pod := range before["gateway"] {
		if slices.Contains(after["gateway"], pod) {
			t.Errorf("pod %s outlived the deploy", pod)
		}
	}
	if len(after["gateway"]) != len(before["gateway"]) {
		t.Errorf("%d pods after the deploy, %d before", len(after["gateway"]), len(before["gateway"]))
	}
	delete(before, "gateway")
	delete(after, "gateway")
	if diff := cmp.Diff(before, after); diff != "" {
		t.Errorf("a deploy of one service changed others:\n%s", diff)
	}
	w := httptest.NewRecorder()
	c.Handler().ServeHTTP(w, httptest.NewRequest("GET", "/pods/"+old+"/metrics", nil))
	if w.Code != 404 {
		t.Errorf("pod that is gone answers %d", w.Code)
	}
}

func TestErrorBurstAndSlowSpellShow(t *testing.T) {
	p := testPlanet(t, Config{})
	c := p.clusters[0]
	c.planned = testStart.Add(time.Hour)
	c.events = []event{
		{kind: errorBurst, service: "gateway", at: testStart, until: testStart.Add(time.Hour), size: 0.3},
		{kind: slowSpell, service: "catalog", at: testStart, until: testStart.Add(time.Hour), size: 10},
	}
	p.Step(testStart.Add(5 * time.Minute))
	errorRatio := func(c *Cluster, job string) float64 {
		var failed, all float64
		for _, s := range scrapeAll(t, c, false) {
			if s.labels.Get("job") == job && s.labels.Get("__name__") == "http_requests_total" {
				all += s.value
				if s.labels.Get("code") >= "500" {
					failed += s.value
				}
			}
		}
		return failed / all
	}
	if r := errorRatio(c, "gateway"); r < 0.25 || r > 0.35 {
		t.Errorf("error ratio in a burst of 0.3: %v", r)
	}
	if r := errorRatio(c, "cart"); r > 0.05 {
		t.Errorf("error ratio of a service without a burst: %v", r)
	}
	mean := func(c *Cluster) float64 {
		var sum, count float64
		for _, s := range scrapeAll(t, c, false) {
			if s.native != nil && s.labels.Get("job") == "catalog" {
				sum, count = sum+s.native.Sum, count+float64(s.native.Count)
			}
		}
		return sum / count
	}
	if slow, usual := mean(c), mean(p.clusters[1]); slow < 5*usual {
		t.Errorf("mean duration in a slow spell of 10: %v, elsewhere %v", slow, usual)
	}
}

// Some services run in one zone or one cluster alone.
func TestPlacement(t *testing.T) {
	p := testPlanet(t, Config{})
	got := map[string][]string{}
	for _, c := range p.clusters {
		for service := range podsByService(t, c) {
			got[service] = append(got[service], c.place.Cluster)
		}
	}
	all := []string{"eu-1", "eu-2", "eu-3", "us-1", "us-2", "us-3"}
	want := map[string][]string{
		"gateway": all, "catalog": all, "cart": all, "payments": all, "orders-worker": all, "orders-db": all, "checkout": all,
		"climate": {"us-1", "us-2", "us-3"}, "recommender": {"eu-3"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestSameSeedSamePlanet(t *testing.T) {
	run := func(seed uint64, step time.Duration) map[string]float64 {
		p := testPlanet(t, Config{Seed: seed, TargetSeries: 6000})
		for now := testStart; !now.After(testStart.Add(10 * time.Minute)); now = now.Add(step) {
			p.Step(now)
		}
		out := map[string]float64{}
		for _, c := range p.clusters {
			for k, s := range scrapeAll(t, c, false) {
				if s.value == s.value { // not the quantiles of nothing
					out[c.place.Cluster+k] = s.value
				}
			}
		}
		return out
	}
	a := run(7, 15*time.Second)
	if !maps.Equal(a, run(7, time.Second)) {
		t.Error("the same seed gave two planets")
	}
	if maps.Equal(a, run(8, 15*time.Second)) {
		t.Error("two seeds gave the same planet")
	}
}

// A planet whose machine slept for a day goes on, at bounded cost.
func TestStepSkipsWhatLiesFarBack(t *testing.T) {
	p := testPlanet(t, Config{Clusters: Places(1, 1), TargetSeries: 1000})
	p.Step(testStart.Add(365 * 24 * time.Hour))
	p.Step(testStart) // backwards is ignored
	if got, want := p.clusters[0].now, testStart.Add(365*24*time.Hour); !got.Equal(want) {
		t.Errorf("at %v, want %v", got, want)
	}
}

func TestNativeHistogramHoldsWhatWasObserved(t *testing.T) {
	var d durations
	for _, v := range []float64{0.5, 0.5, 1, 0.51, 0, 1e9, 3} {
		d.observe(v)
	}
	spans, deltas := d.nativeBuckets()
	h := histogram.Histogram{Schema: nativeSchema, Count: d.count, Sum: d.sum, ZeroThreshold: nativeZero}
	for _, s := range spans {
		h.PositiveSpans = append(h.PositiveSpans, histogram.Span{Offset: s.GetOffset(), Length: s.GetLength()})
	}
	h.PositiveBuckets = deltas
	if err := h.Validate(); err != nil {
		t.Fatal(err)
	}
	for it := h.PositiveBucketIterator(); it.Next(); {
		if b := it.At(); b.Upper == 0.5 && b.Count != 2 || b.Upper == 1 && b.Count != 1 {
			t.Errorf("bucket %s", b)
		}
	}
}

func TestConfigAndRulesLoad(t *testing.T) {
	p := testPlanet(t, Config{})
	logger := slog.New(slog.DiscardHandler)
	for i, c := range p.clusters {
		text := c.ScrapeConfig("127.0.0.1:9999", ScrapeOptions{
			RuleFiles: []string{"/some/rules.yml"},
			Extra:     "  - job_name: extra\n    static_configs: [{targets: ['localhost:1']}]\n",
		})
		cfg, err := config.Load(text, logger)
		if err != nil {
			t.Fatalf("%v\n%s", err, text)
		}
		jobs, err := cfg.GetScrapeConfigs()
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, j := range jobs {
			names = append(names, j.JobName)
			if !j.ScrapeNativeHistogramsEnabled() || !j.AlwaysScrapeClassicHistogramsEnabled() {
				t.Errorf("job %s does not scrape both kinds of histogram", j.JobName)
			}
		}
		want := []string{"pods", "kube-state-metrics", "kubelet", "extra"}
		if i == 0 {
			want = slices.Insert(want, 3, "node")
		}
		if diff := cmp.Diff(want, names); diff != "" {
			t.Error(diff)
		}
		groups, errs := rulefmt.Parse([]byte(c.Rules()), false, model.UTF8Validation, parser.NewParser(parser.Options{}), logger)
		if len(errs) > 0 || len(groups.Groups) != 2 {
			t.Errorf("%d groups, errors %v", len(groups.Groups), errs)
		}
	}
}

func TestConfigValidate(t *testing.T) {
	for name, cfg := range map[string]Config{
		"no clusters":     {},
		"unnamed":         {Clusters: []Place{{Zone: "eu"}}},
		"twice":           {Clusters: []Place{{"eu", "a"}, {"eu", "a"}}},
		"too many":        {Clusters: Places(1, maxClusters+1)},
		"negative target": {Clusters: Places(1, 1), TargetSeries: -1},
	} {
		if _, err := New(cfg); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestLoadFollowsTheDay(t *testing.T) {
	var sum, least, most float64 = 0, 1, 1
	for m := range 1440 {
		l := load(testStart.Add(time.Duration(m)*time.Minute), 0, 2, 0)
		sum, least, most = sum+l, min(least, l), max(most, l)
	}
	if mean := sum / 1440; mean < 0.95 || mean > 1.05 || least < 0.4 || most > maxTestLoad || most < 1.4 {
		t.Errorf("load is %v on average, from %v to %v", mean, least, most)
	}
	day := testStart.Truncate(24 * time.Hour).Add(6*time.Hour + 15*time.Minute)
	if a, b := load(day, 0, 2, 0), load(day, 1, 2, 0); a < 2*b {
		t.Errorf("load at the first zone's peak is %v there and %v in the other", a, b)
	}
}

// maxTestLoad is the product of the peaks of all waves.
const maxTestLoad = 1.45 * 1.12 * 1.3

func TestSharesAndRatiosAreOnes(t *testing.T) {
	for _, s := range services() {
		var outcomes, routes float64
		for _, o := range s.outcomes {
			outcomes += o.share
		}
		for _, r := range s.routes {
			routes += r.share
		}
		if outcomes < 0.999 || outcomes > 1.001 || routes < 0.999 || routes > 1.001 {
			t.Errorf("%s: shares of outcomes sum up to %v, of routes to %v", s.name, outcomes, routes)
		}
		for _, g := range s.gauges {
			top := g.base + 1.4*g.load*maxTestLoad + g.stress + g.swing + 4*g.noise
			if strings.HasSuffix(g.name, "_ratio") && top > 1 {
				t.Errorf("%s may reach %v", g.name, top)
			}
		}
	}
}
