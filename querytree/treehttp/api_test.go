package treehttp

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/prometheus/common/route"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/promqltest"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/util/annotations"
)

// Every endpoint answers on a tier that has its part, and says something
// sensible on one that has not.
func TestEndpoints(t *testing.T) {
	cases := []struct {
		method, target, body string
		leafCode             int
		leafBody             string
		zoneCode             int
		zoneBody             string
	}{
		{"GET", "/api/v1/query?query=sum(up)&time=3600", "", 200, `[3600,"2"]`, 200, `[3600,"2"]`},
		{"POST", "/api/v1/query", "query=sum(up)&time=3600", 200, `[3600,"2"]`, 200, `[3600,"2"]`},
		{"GET", "/api/v1/query_range?query=sum(up)&start=0&end=60&step=60", "", 200, `[60,"2"]`, 200, `[60,"2"]`},
		{"GET", "/api/v1/query_exemplars?query=up", "", 200, `"data":[]`, 200, `"data":[]`},
		{"GET", "/api/v1/format_query?query=sum(up)by(job)", "", 200, `"sum by (job) (up)"`, 200, `"sum by (job) (up)"`},
		{"POST", "/api/v1/parse_query", "query=up", 200, `vectorSelector`, 200, `vectorSelector`},
		{"GET", "/api/v1/labels", "", 200, `"cluster"`, 200, `"cluster"`},
		{"POST", "/api/v1/labels", "match[]=requests", 200, `["__name__","zone"]`, 200, `["__name__","zone"]`},
		{"GET", "/api/v1/label/zone/values", "", 200, `["eu","us"]`, 200, `["eu","us"]`},
		{"GET", "/api/v1/series?match[]=requests", "", 200, `"__name__":"requests"`, 200, `"__name__":"requests"`},
		{"GET", "/api/v1/scrape_pools", "", 200, `"scrapePools":[`, 200, `"scrapePools":[]`},
		{"GET", "/api/v1/scrape_pools/config?scrapePool=api", "", 400, `error retrieving scrape config`, 400, `zone \"zone=eu\" has no scrape pools; ask the leaf`},
		{"GET", "/api/v1/targets", "", 200, `"activeTargets":[]`, 200, `{"activeTargets":[],"droppedTargets":[],"droppedTargetCounts":{}}`},
		{"GET", "/api/v1/targets?state=active", "", 200, `"activeTargets":[]`, 200, `"activeTargets":[]`},
		{"GET", "/api/v1/targets/metadata", "", 200, `"data":[]`, 200, `"data":[]`},
		{"GET", "/api/v1/targets/relabel_steps?scrapePool=x&labels={}", "", 400, `error retrieving`, 400, `has no scrape pools`},
		{"GET", "/api/v1/alertmanagers", "", 200, `"activeAlertmanagers":[]`, 200, `"activeAlertmanagers":[]`},
		{"GET", "/api/v1/metadata?metric=up", "", 200, `{"up":[{"type":"gauge","unit":"","help":"Is it up."}]}`, 200, `{"up":[{"type":"gauge"`},
		{"GET", "/api/v1/status/config", "", 200, `job_name: api`, 200, `external_labels:\n    zone: eu`},
		{"GET", "/api/v1/status/runtimeinfo", "", 200, `"goroutineCount"`, 200, `"goroutineCount"`},
		{"GET", "/api/v1/status/buildinfo", "", 200, `"version":"3.`, 200, `"version":"3.`},
		{"GET", "/api/v1/status/flags", "", 200, `"data":{}`, 200, `"data":{}`},
		{"GET", "/api/v1/status/tsdb", "", 200, `"numSeries":8`, 200, `"numSeries":7`},
		{"GET", "/api/v1/status/tsdb?limit=2", "", 200, `"seriesCountByMetricName":[{"name":"up","value":3},{`, 200, `"seriesCountByMetricName":[]`},
		{"GET", "/api/v1/status/tsdb/blocks", "", 200, `"blocks":`, 200, `"blocks":[]`},
		{"GET", "/api/v1/status/walreplay", "", 200, `"current":0`, 200, `"current":0`},
		{"GET", "/api/v1/status/self_metrics?metric_name_pattern=pando_http_panics_total", "", 200, `pando_http_panics_total`, 200, `pando_http_panics_total`},
		{"GET", "/api/v1/notifications", "", 200, `"data":[]`, 200, `"data":[]`},
		{"GET", "/api/v1/notifications/live", "", 204, ``, 204, ``},
		{"GET", "/api/v1/rules", "", 200, `"groups":[]`, 200, `"groups":[]`},
		{"GET", "/api/v1/alerts", "", 200, `"alerts":[]`, 200, `"alerts":[]`},
		{"GET", "/api/v1/features", "", 200, `"remote_write_receiver":true`, 200, `"remote_write_receiver":false`},
		{"GET", "/api/v1/openapi.yaml", "", 200, `openapi: 3.1.0`, 200, `openapi: 3.1.0`},
		{"GET", "/api/v1/search/metric_names", "", 500, `search API disabled`, 500, `search API disabled`},
		{"POST", "/api/v1/read", "", 400, `snappy`, 400, `snappy`},
		{"POST", "/api/v1/write", "", 204, ``, 404, `zone \"zone=eu\" does not receive samples on this endpoint; send them to a leaf`},
		{"POST", "/api/v1/otlp/v1/metrics", "", 204, ``, 404, `send them to a leaf`},
		{"POST", "/api/v1/admin/tsdb/delete_series?match[]=up", "", 500, `admin APIs disabled`, 500, `admin APIs disabled`},
		{"POST", "/api/v1/admin/tsdb/clean_tombstones", "", 500, `admin APIs disabled`, 500, `admin APIs disabled`},
		{"POST", "/api/v1/admin/tsdb/snapshot", "", 500, `admin APIs disabled`, 500, `admin APIs disabled`},
		{"OPTIONS", "/api/v1/query", "", 204, ``, 204, ``},
		{"GET", "/api/v1/nothing", "", 404, ``, 404, ``},
		{"GET", "/-/healthy", "", 200, `Pando leaf zone=eu,cluster=eu-1 is healthy`, 200, `Pando zone zone=eu is healthy`},
		{"HEAD", "/-/healthy", "", 200, ``, 200, ``},
		{"GET", "/-/ready", "", 200, `is ready`, 200, `is ready`},
		{"POST", "/-/reload", "", 403, `nothing to reload`, 403, `nothing to reload`},
		{"GET", "/metrics", "", 200, `pando_http_requests_total`, 200, `pando_http_requests_total`},
		{"GET", "/federate?match[]=up", "", 200, `up{`, 200, `up{`},
		{"GET", "/pando/api/v1/tree", "", 200, `"tier":"leaf"`, 200, `"tier":"zone"`},
		{"DELETE", "/pando/api/v1/tree/zone=eu", "", 404, `no children to forget`, 404, `no children to forget`},
		{"GET", "/", "", 200, `Pando leaf`, 200, `Pando zone`},
		{"GET", "/nothing", "", 404, ``, 404, ``},
	}
	leaf, zone := build(t, leafLike(t)), build(t, zoneLike(t))
	for _, c := range cases {
		t.Run(c.method+" "+c.target, func(t *testing.T) {
			for _, tier := range []struct {
				name string
				f    fixture
				code int
				body string
			}{{"leaf", leaf, c.leafCode, c.leafBody}, {"zone", zone, c.zoneCode, c.zoneBody}} {
				w := tier.f.do(c.method, c.target, c.body)
				if w.Code != tier.code || !strings.Contains(w.Body.String(), tier.body) {
					t.Errorf("%s: got %d %s, want %d with %s", tier.name, w.Code, w.Body, tier.code, tier.body)
				}
			}
		})
	}
	for _, f := range []fixture{leaf, zone} {
		if n := testutil.ToFloat64(f.metrics.panics); n != 0 {
			t.Errorf("%v requests panicked", n)
		}
	}
}

// No route that Prometheus registers panics without parameters, whatever the
// next release adds.
func TestEveryRouteOfThePrometheusAPI(t *testing.T) {
	var names []string
	router := route.New().WithInstrumentation(func(name string, next http.HandlerFunc) http.HandlerFunc {
		names = append(names, name)
		return next
	})
	cfg := zoneLike(t)
	cfg.Registerer = prometheus.NewRegistry()
	newAPI(cfg.withDefaults(), (&Handler{}).limits).Register(router)
	slices.Sort(names)
	names = slices.Compact(names)
	if len(names) < 35 {
		t.Fatalf("only %d routes found: %v", len(names), names)
	}
	for _, cfg := range []Config{leafLike(t), zoneLike(t)} {
		f := build(t, cfg)
		for _, name := range names {
			for _, method := range []string{"GET", "POST"} {
				f.do(method, apiPrefix+strings.NewReplacer(":name", "job", "*path", "x").Replace(name), "")
			}
		}
		if n := testutil.ToFloat64(f.metrics.panics); n != 0 {
			t.Errorf("%v of the requests panicked", n)
		}
	}
}

func TestMetadataParameters(t *testing.T) {
	f := build(t, zoneLike(t))
	for _, c := range []struct{ params, want string }{
		{"metric=none", `{"status":"success","data":{}}`},
		{"limit=0", `{"status":"success","data":{}}`},
		{"metric=requests&limit_per_metric=1", `{"status":"success","data":{"requests":[{"type":"counter","unit":"","help":"Requests."}]}}`},
		{"limit=x", `{"status":"error","errorType":"bad_data","error":"limit must be a number"}`},
		{"limit_per_metric=x", `{"status":"error","errorType":"bad_data","error":"limit_per_metric must be a number"}`},
	} {
		if got := strings.TrimSpace(f.do("GET", "/api/v1/metadata?"+c.params, "").Body.String()); got != c.want {
			t.Errorf("%s: got %s, want %s", c.params, got, c.want)
		}
	}
}

// A child that fails in the middle is only known of at the end of a set.
type lateWarnings struct {
	storage.SampleAndChunkQueryable
}

func (q lateWarnings) Querier(mint, maxt int64) (storage.Querier, error) {
	inner, err := q.SampleAndChunkQueryable.Querier(mint, maxt)
	return lateQuerier{inner}, err
}

type lateQuerier struct{ storage.Querier }

func (q lateQuerier) Select(ctx context.Context, sorted bool, hints *storage.SelectHints, ms ...*labels.Matcher) storage.SeriesSet {
	return &lateSet{SeriesSet: q.Querier.Select(ctx, sorted, hints, ms...)}
}

type lateSet struct {
	storage.SeriesSet
	ended bool
}

func (s *lateSet) Next() bool {
	s.ended = !s.SeriesSet.Next()
	return !s.ended
}

func (s *lateSet) Warnings() annotations.Annotations {
	if !s.ended {
		return nil
	}
	return annotations.New().Add(errors.New("zone=us: broke off"))
}

func TestSeriesEndpointKnowsLateWarnings(t *testing.T) {
	cfg := zoneLike(t)
	cfg.Queryable = lateWarnings{cfg.Queryable}
	f := build(t, cfg)
	for _, selectors := range []string{"match[]=up", "match[]=up&match[]=requests"} {
		a := decode(t, f.do("GET", "/api/v1/series?"+selectors, "").Body)
		if len(a.Warnings) != 1 || a.Warnings[0] != "zone=us: broke off" || !strings.Contains(string(a.Data), "us-1") {
			t.Errorf("%s: %q %s", selectors, a.Warnings, a.Data)
		}
	}
}

func TestAdminOnLeaf(t *testing.T) {
	cfg := leafLike(t)
	cfg.Parts.EnableAdmin = true
	f := build(t, cfg)
	if w := f.do("POST", "/api/v1/admin/tsdb/delete_series?match[]=up", ""); w.Code != http.StatusNoContent {
		t.Fatalf("delete: %d %s", w.Code, w.Body)
	}
	if w := f.do("GET", "/api/v1/query?query=up&time=3600", ""); !strings.Contains(w.Body.String(), `"result":[]`) {
		t.Errorf("series are still there: %s", w.Body)
	}
}

func TestServerVersion(t *testing.T) {
	for _, c := range []struct{ library, want string }{
		{"v0.315.0", "3.15.0"}, {"v0.302.1", "3.2.1"}, {"v1.8.2", ""}, {"v0.48.0", ""}, {"(devel)", ""},
	} {
		if got := serverVersion(c.library); got != c.want {
			t.Errorf("%s: got %q, want %q", c.library, got, c.want)
		}
	}
}

func TestNewRefusesBadConfig(t *testing.T) {
	st := promqltest.LoadedStorage(t, loaded)
	for name, spoil := range map[string]func(*Config){
		"no engine":       func(c *Config) { c.Engine = nil },
		"no queryable":    func(c *Config) { c.Queryable = nil },
		"no metadata":     func(c *Config) { c.Metadata = nil },
		"no describe":     func(c *Config) { c.Describe = nil },
		"no gatherer":     func(c *Config) { c.Gatherer = nil },
		"no logger":       func(c *Config) { c.Logger = nil },
		"admin, no TSDB":  func(c *Config) { c.Parts.EnableAdmin = true },
		"no limits":       func(c *Config) { c.Limits.MaxQueryDepth = 0 },
		"lookback":        func(c *Config) { c.Lookback = -1 },
		"shared registry": func(c *Config) { build(t, *c) },
	} {
		cfg := zoneOver(st)
		spoil(&cfg)
		if _, err := New(cfg); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}
