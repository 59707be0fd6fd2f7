package treehttp

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/config"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/metadata"
	"github.com/prometheus/prometheus/notifier"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/promqltest"
	"github.com/prometheus/prometheus/rules"
	"github.com/prometheus/prometheus/scrape"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb"
	"github.com/prometheus/prometheus/util/annotations"
	"github.com/prometheus/prometheus/util/teststorage"

	"github.com/pandometrics/pando/querytree"
)

// now is the time of the tests: an hour after the first of the loaded samples.
var now = time.Unix(3600, 0).UTC()

const loaded = `
load 1m
  up{zone="eu",cluster="eu-1",job="api",instance="a:1"} 1x60
  up{zone="eu",cluster="eu-1",job="api",instance="b:1"} 0x60
  up{zone="us",cluster="us-1",job="db"} 1x60
  gone{zone="eu"} 1x58 stale
  old{zone="eu"} 1x10
  requests{zone="eu"} 0+10x60
  latency{zone="eu"} {{schema:0 sum:5 count:4 buckets:[1 2 1]}}x60
  sizes{zone="eu"} {{schema:-53 sum:5 count:4 custom_values:[5 10] buckets:[1 2 1]}}x60
`

// fixture is a handler under test and what it stands on.
type fixture struct {
	*Handler
	reg *prometheus.Registry
}

func newEngine() *promql.Engine {
	return promql.NewEngine(promql.EngineOpts{
		Logger: slog.New(slog.DiscardHandler), MaxSamples: 1e6, Timeout: time.Minute, Parser: querytree.NewParser(),
		EnableAtModifier: true, EnableNegativeOffset: true,
	})
}

// zoneLike is the configuration of a tier without parts of its own.
func zoneLike(t testing.TB) Config {
	t.Helper()
	return zoneOver(promqltest.LoadedStorage(t, loaded))
}

// zoneOver is zoneLike over a storage that is there already.
func zoneOver(st *teststorage.TestStorage) Config {
	reg := prometheus.NewRegistry()
	return Config{
		Engine: newEngine(), Queryable: st, Exemplars: st, Metadata: someMetadata,
		Describe: func() querytree.Description {
			return querytree.Description{
				Identity: querytree.Identity{Tier: querytree.TierZone, Labels: labels.FromStrings("zone", "eu")},
				Version:  "1.2.3", Mint: 0, Maxt: 3600_000, Series: 7, Samples: 421, Leaves: 2,
			}
		},
		Limits: querytree.DefaultLimits(), Gatherer: reg, Registerer: reg, Logger: slog.New(slog.DiscardHandler),
		Now: func() time.Time { return now },
	}
}

// leafLike adds the parts of a leaf.
func leafLike(t testing.TB) Config {
	t.Helper()
	cfg := zoneLike(t)
	st := cfg.Queryable.(*teststorage.TestStorage)
	reg := prometheus.NewRegistry()
	logger := slog.New(slog.DiscardHandler)
	sm, err := scrape.NewManager(&scrape.Options{}, logger, nil, nil, st, reg)
	if err != nil {
		t.Fatal(err)
	}
	prom, err := config.Load("scrape_configs: [{job_name: api, static_configs: [{targets: ['localhost:1']}]}]", logger)
	if err != nil {
		t.Fatal(err)
	}
	if err := sm.ApplyConfig(prom); err != nil {
		t.Fatal(err)
	}
	nm := notifier.NewManager(&notifier.Options{QueueCapacity: 10, Registerer: reg}, model.UTF8Validation, logger)
	rm := rules.NewManager(&rules.ManagerOptions{
		Appendable: st, Queryable: st, Context: t.Context(), Logger: logger, Registerer: reg, ExternalURL: &url.URL{},
		QueryFunc: rules.EngineQueryFunc(cfg.Engine, st), NotifyFunc: rules.SendAlerts(nm, ""), Parser: querytree.NewParser(),
	})
	accept := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })
	cfg.Parts = Parts{
		ScrapePools: sm, Targets: sm, Alertmanagers: nm, Rules: rm, TSDB: adminStats{st.DB}, TSDBDir: t.TempDir(),
		Config: func() config.Config { return *prom }, Write: accept, OTLP: accept,
	}
	cfg.Describe = func() querytree.Description {
		return querytree.Description{Identity: querytree.Identity{
			Tier: querytree.TierLeaf, Labels: labels.FromStrings("zone", "eu", "cluster", "eu-1"),
		}, Mint: 0, Maxt: 3600_000, Series: 7, Leaves: 1}
	}
	return cfg
}

// adminStats is a TSDB as the API wants it.
type adminStats struct{ *tsdb.DB }

func (s adminStats) Stats(label string, limit int) (*tsdb.Stats, error) {
	return s.Head().Stats(label, limit), nil
}

func (adminStats) WALReplayStatus() (tsdb.WALReplayStatus, error) { return tsdb.WALReplayStatus{}, nil }

func (s adminStats) BlockMetas() ([]tsdb.BlockMeta, error) { return s.DB.BlockMetas(), nil }

func someMetadata(_ context.Context, req querytree.MetadataRequest) (querytree.Metadata, error) {
	all := map[string][]metadata.Metadata{
		"up":       {{Type: model.MetricTypeGauge, Help: "Is it up."}},
		"requests": {{Type: model.MetricTypeCounter, Help: "Requests."}, {Type: model.MetricTypeCounter, Help: "All requests."}},
	}
	for name, entries := range all {
		if req.Metric != "" && req.Metric != name {
			delete(all, name)
		} else if req.LimitPerMetric > 0 {
			all[name] = entries[:min(len(entries), req.LimitPerMetric)]
		}
	}
	return querytree.Metadata{Families: all}, nil
}

func build(t testing.TB, cfg Config) fixture {
	t.Helper()
	h, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return fixture{h, cfg.Registerer.(*prometheus.Registry)}
}

// do sends a request; a body makes it a form.
func (f fixture) do(method, target, body string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, target, strings.NewReader(body))
	if body != "" {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	return f.send(r)
}

func (f fixture) send(r *http.Request) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	f.ServeHTTP(w, r)
	return w
}

// answer is the API's envelope.
type answer struct {
	Status, ErrorType, Error string
	Warnings, Infos          []string
	Data                     json.RawMessage
}

func decode(t testing.TB, body io.Reader) answer {
	t.Helper()
	var a answer
	if err := json.NewDecoder(body).Decode(&a); err != nil {
		t.Fatalf("not the API's JSON: %v", err)
	}
	return a
}

// reporting is a storage that reports to the sink of the request, as a tree does.
type reporting struct {
	storage.SampleAndChunkQueryable
	report   querytree.Report
	warnings annotations.Annotations
	seen     func(querytree.Options)
}

func (s reporting) Querier(mint, maxt int64) (storage.Querier, error) {
	q, err := s.SampleAndChunkQueryable.Querier(mint, maxt)
	return reportingQuerier{q, s}, err
}

type reportingQuerier struct {
	storage.Querier
	s reporting
}

func (q reportingQuerier) Select(ctx context.Context, sorted bool, hints *storage.SelectHints, ms ...*labels.Matcher) storage.SeriesSet {
	opts, _ := querytree.OptionsFrom(ctx)
	if q.s.seen != nil {
		q.s.seen(opts)
	}
	querytree.ReportFrom(ctx).Merge(q.s.report)
	if opts.Strict && q.s.report.Partial() {
		return storage.ErrSeriesSet(errStrict)
	}
	return warningSet{q.Querier.Select(ctx, sorted, hints, ms...), q.s.warnings}
}

type warningSet struct {
	storage.SeriesSet
	ws annotations.Annotations
}

func (s warningSet) Warnings() annotations.Annotations { return s.ws }

type strictError string

func (e strictError) Error() string { return string(e) }

const errStrict = strictError("zone=us does not answer")
