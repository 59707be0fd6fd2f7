package treehttp

import (
	"cmp"
	"context"
	"net/http"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/prometheus/config"
	"github.com/prometheus/prometheus/util/features"
	"github.com/prometheus/prometheus/util/notifications"
	apiv1 "github.com/prometheus/prometheus/web/api/v1"

	"github.com/pandometrics/pando/querytree"
)

// Bounds of remote read, Prometheus' defaults.
const (
	readMaxSamples     = 50_000_000
	readMaxConcurrent  = 10
	readMaxFrameBytes  = 1 << 20
	maxSearchResults   = 1000
	prometheusModule   = "github.com/prometheus/prometheus"
	fallbackAPIVersion = "3.0.0"
)

// newAPI is the one place that knows the arguments of Prometheus' constructor,
// which change with every release. cfg must have its defaults filled in; limits
// returns those of the moment.
// Receiving samples is left out: a tier that does has handlers of its own.
func newAPI(cfg Config, limits func() querytree.Limits) *apiv1.API {
	p := cfg.Parts
	parser := querytree.NewParser()
	api := apiv1.NewAPI(
		boundEngine{cfg.Engine, cfg.Queryable, limits, func() string { return cfg.Describe().Name() }}, apiQueryable{cfg.Queryable}, nil, nil, cfg.Exemplars,
		func(context.Context) apiv1.ScrapePoolsRetriever { return p.ScrapePools },
		func(context.Context) apiv1.TargetRetriever { return p.Targets },
		func(context.Context) apiv1.AlertmanagerRetriever { return p.Alertmanagers },
		p.Config, cfg.Flags, globalURL(cfg), readyGate(cfg),
		p.TSDB, p.TSDBDir, p.EnableAdmin,
		false, maxSearchResults, // The search endpoints need a storage.Searcher, which a tree is not.
		cfg.Logger,
		func(context.Context) apiv1.RulesRetriever { return p.Rules },
		readMaxSamples, readMaxConcurrent, readMaxFrameBytes,
		false, // Not an agent.
		cfg.CORSOrigin, runtimeInfo(cfg), &cfg.BuildInfo,
		func() []notifications.Notification { return []notifications.Notification{} },
		func() (<-chan notifications.Notification, func(), bool) { return nil, func() {}, false },
		cfg.Gatherer, cfg.Registerer, renderStats,
		false, nil, // Remote write.
		false, false, false, false, // OTLP and start timestamps.
		cfg.Lookback, false, false,
		unavailable,
		apiFeatures(cfg, parser),
		apiv1.OpenAPIOptions{ExternalURL: externalURL(cfg), Version: cfg.BuildInfo.Version, MaxSearchLimit: maxSearchResults},
		parser,
	)
	api.ClearCodecs()
	api.InstallCodec(streamCodec{})
	return api
}

func globalURL(cfg Config) apiv1.GlobalURLOptions {
	o := apiv1.GlobalURLOptions{ListenAddress: cfg.ListenAddress, Host: cfg.ListenAddress, Scheme: "http"}
	if cfg.ExternalURL != nil {
		o.Host, o.Scheme = cfg.ExternalURL.Host, cfg.ExternalURL.Scheme
	}
	return o
}

func externalURL(cfg Config) string {
	if cfg.ExternalURL == nil {
		return ""
	}
	return cfg.ExternalURL.String()
}

// readyGate refuses requests of a tier that cannot answer yet.
func readyGate(cfg Config) func(http.HandlerFunc) http.HandlerFunc {
	return func(next http.HandlerFunc) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			if err := cfg.Ready(); err != nil {
				respondError(w, http.StatusServiceUnavailable, errUnavailable, "not ready: "+err.Error())
				return
			}
			next(w, r)
		}
	}
}

func runtimeInfo(cfg Config) func() (apiv1.RuntimeInfo, error) {
	started := cfg.Now()
	return func() (apiv1.RuntimeInfo, error) {
		cwd, err := os.Getwd()
		if err != nil {
			cwd = "unknown"
		}
		host, err := os.Hostname()
		if err != nil {
			host = "unknown"
		}
		info := apiv1.RuntimeInfo{
			StartTime: started, ServerTime: cfg.Now().UTC(), CWD: cwd, Hostname: host,
			ReloadConfigSuccess: true, LastConfigTime: started,
			GoroutineCount: runtime.NumGoroutine(), GOMAXPROCS: runtime.GOMAXPROCS(0),
			GOMEMLIMIT: debug.SetMemoryLimit(-1), GOGC: os.Getenv("GOGC"), GODEBUG: os.Getenv("GODEBUG"),
		}
		if cfg.Runtime != nil {
			cfg.Runtime(&info)
		}
		return info, nil
	}
}

// apiFeatures says what the tier can do, as /api/v1/features does.
func apiFeatures(cfg Config, parser interface{ RegisterFeatures(features.Collector) }) features.Collector {
	r := features.NewRegistry()
	parser.RegisterFeatures(r)
	for _, name := range []string{
		"label_values_match", "query_warnings", "query_stats", "time_range_series", "time_range_labels",
		"exclude_alerts", "openapi_3.1", "openapi_3.2",
	} {
		r.Enable(features.API, name)
	}
	r.Set(features.API, "lifecycle", cfg.Reload != nil)
	r.Set(features.API, "admin", cfg.Parts.EnableAdmin)
	r.Set(features.API, "remote_write_receiver", cfg.Parts.Write != nil)
	r.Set(features.API, "otlp_write_receiver", cfg.Parts.OTLP != nil)
	r.Set(features.API, "search", false)
	r.Set("pando", "below", cfg.Below != nil)
	for _, name := range []string{"partial_response", "explain", "analyze", "queries", "hints", "pushdown", "nocache", "rollup", "align", "tree", "hints_status"} {
		r.Enable("pando", name)
	}
	return r
}

// prometheusVersion returns the version of the Prometheus server whose API this
// binary was built with: its library versions 0.3NN.P are the server's 3.NN.P.
func prometheusVersion() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return fallbackAPIVersion
	}
	for _, dep := range info.Deps {
		if dep.Path == prometheusModule {
			return cmp.Or(serverVersion(dep.Version), fallbackAPIVersion)
		}
	}
	return fallbackAPIVersion
}

// serverVersion translates a library version; it returns "" for what it does
// not know.
func serverVersion(library string) string {
	parts := strings.Split(strings.TrimPrefix(library, "v"), ".")
	if len(parts) != 3 || parts[0] != "0" || len(parts[1]) != 3 {
		return ""
	}
	minor, err := strconv.Atoi(parts[1][1:])
	if err != nil {
		return ""
	}
	return parts[1][:1] + "." + strconv.Itoa(minor) + "." + parts[2]
}

// ownConfig is the configuration shown by a tier without one: its external
// labels.
func ownConfig(describe func() querytree.Description) func() config.Config {
	return func() config.Config {
		global := config.DefaultGlobalConfig
		global.ExternalLabels = describe().Labels
		return config.Config{GlobalConfig: global}
	}
}

// at turns milliseconds into a time, the bounds of an empty tier into none.
func at(ms int64) time.Time {
	if ms <= minTime || ms >= maxTime {
		return time.Time{}
	}
	return tellable(time.UnixMilli(ms))
}

// The first and the last time that JSON can tell, of years of four digits.
const (
	firstTellable = -62135596800000 // 0001-01-01
	lastTellable  = 253402300799999 // 9999-12-31
)

// tellable is the time that comes nearest to one of those that JSON can tell. What a
// client asks for, or a child tells of itself, may be any time: it must not cost the
// others their place in a list.
func tellable(t time.Time) time.Time {
	if year := t.UTC().Year(); year >= 1 && year <= 9999 {
		return t.UTC()
	}
	if t.Unix() < 0 {
		return time.UnixMilli(firstTellable).UTC()
	}
	return time.UnixMilli(lastTellable).UTC()
}
