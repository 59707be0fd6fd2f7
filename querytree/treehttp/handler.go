package treehttp

import (
	"errors"
	"fmt"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/prometheus/common/route"
	"go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp"

	"github.com/pandometrics/pando/querytree"
)

// apiPrefix is where Prometheus' API lives.
const apiPrefix = "/api/v1"

// Handler serves one tier. It is safe for concurrent use.
type Handler struct {
	cfg         Config
	metrics     *metrics
	page        *page
	queries     *queryStore
	compressors compressors
	tuning      atomic.Pointer[Tuning]
	belowWrite  time.Duration // but in tests, the constant
	root        http.Handler
}

// New returns the handler of a tier. It fails if cfg is not valid, or if its
// Registerer already has the metrics of another Handler.
func New(cfg Config) (*Handler, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	cfg = cfg.withDefaults()
	m, err := newMetrics(cfg.Registerer)
	if err != nil {
		return nil, fmt.Errorf("http api: register metrics: %w", err)
	}
	p, err := newPage()
	if err != nil {
		return nil, fmt.Errorf("http api: parse page: %w", err)
	}
	h := &Handler{cfg: cfg, metrics: m, page: p, queries: newQueryStore(), belowWrite: belowWrite}
	h.tuning.Store(tuningOf(cfg))
	h.root = h.traced(h.routes())
	return h, nil
}

// ServeHTTP serves the tier's endpoints.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) { h.root.ServeHTTP(w, r) }

// routes binds paths to handlers. What is more specific than the API's prefix
// takes the place of Prometheus' own handler of that path.
func (h *Handler) routes() http.Handler {
	mux := http.NewServeMux()
	own := func(pattern, name string, f http.HandlerFunc) {
		mux.Handle(pattern, h.observed(name, h.bounded(f)))
	}
	own("GET /plain", "/plain", h.front)
	if h.cfg.Console != nil {
		own("/", "/", h.cfg.Console.ServeHTTP)
	} else {
		own("GET /{$}", "/", h.front)
	}
	own("GET /-/healthy", "/-/healthy", h.healthy)
	own("GET /-/ready", "/-/ready", h.ready)
	own("POST /-/reload", "/-/reload", h.reload)
	own("PUT /-/reload", "/-/reload", h.reload)
	own("GET /metrics", "/metrics", promhttp.HandlerFor(h.cfg.Gatherer, promhttp.HandlerOpts{EnableOpenMetrics: true}).ServeHTTP)
	own("GET /federate", "/federate", h.gated(h.optioned(h.federate)))
	own("GET /pando/api/v1/tree", "/pando/api/v1/tree", h.tree)
	own("GET /pando/api/v1/hints", "/pando/api/v1/hints", h.hints)
	own("GET /pando/api/v1/config", "/pando/api/v1/config", h.config)
	own("GET "+belowPrefix+"/{path...}", belowPrefix, h.below)
	own("GET /pando/api/v1/rollups", "/pando/api/v1/rollups", h.rollups)
	own("POST /pando/api/v1/rollups/backfill", "/pando/api/v1/rollups/backfill", h.backfill)
	own("DELETE /pando/api/v1/tree/{name...}", "/pando/api/v1/tree/:name", h.forget)
	h.explainers(own)
	own("GET "+apiPrefix+"/metadata", "/metadata", h.gated(h.optioned(h.metadata)))
	exemplars := h.gated(h.optioned(h.exemplars))
	own("GET "+apiPrefix+"/query_exemplars", "/query_exemplars", exemplars)
	own("POST "+apiPrefix+"/query_exemplars", "/query_exemplars", exemplars)
	own("GET "+apiPrefix+"/status/flags", "/status/flags", h.flags)
	own("GET "+apiPrefix+"/status/tsdb", "/status/tsdb", h.gated(h.tsdbStatus))
	h.receivers(mux)
	mux.Handle(apiPrefix+"/", h.api())
	return mux
}

// explainers binds the endpoints that tell of queries.
func (h *Handler) explainers(own func(pattern, name string, f http.HandlerFunc)) {
	for _, e := range []struct {
		kind string
		mode querytree.ExplainMode
	}{{"explain", querytree.ExplainPlan}, {"analyze", querytree.ExplainAnalyze}} {
		path := "/pando/api/v1/" + e.kind
		f := h.gated(h.optioned(h.recorded(e.kind, h.explain(e.mode))))
		own("GET "+path, path, f)
		own("POST "+path, path, f)
	}
	const queries = "/pando/api/v1/queries"
	own("GET "+queries, queries, h.listQueries)
	own("GET "+queries+"/{id}", queries+"/:id", h.oneQuery)
	own("DELETE "+queries+"/{id}", queries+"/:id", h.cancelQuery)
	own("DELETE "+queries+"/{id}/cancel", queries+"/:id/cancel", h.cancelQuery)
	own("POST "+queries+"/{id}/cancel", queries+"/:id/cancel", h.cancelQuery)
}

// gated refuses requests until the tier can answer.
func (h *Handler) gated(next http.HandlerFunc) http.HandlerFunc { return readyGate(h.cfg)(next) }

// receivers binds the endpoints that take samples. Their bodies are not forms,
// and their handlers bound them.
func (h *Handler) receivers(mux *http.ServeMux) {
	write, otlp := h.cfg.Parts.Write, h.cfg.Parts.OTLP
	none := absent{h.cfg.Describe}
	if write == nil {
		write = refuseSamples(none, "web.enable-remote-write-receiver")
	}
	if otlp == nil {
		otlp = refuseSamples(none, "web.enable-otlp-receiver")
	}
	mux.Handle("POST "+apiPrefix+"/write", h.observed("/write", h.gated(write.ServeHTTP)))
	mux.Handle("POST "+apiPrefix+"/otlp/v1/metrics", h.observed("/otlp/v1/metrics", h.gated(otlp.ServeHTTP)))
}

// api is Prometheus' API, each route wrapped by what this package adds.
func (h *Handler) api() http.Handler {
	read := h.gated(remoteRead(h.cfg).ServeHTTP)
	router := route.New().WithInstrumentation(func(name string, next http.HandlerFunc) http.HandlerFunc {
		if name == "/read" { // Its body is no form; Prometheus' handler bounds it.
			return h.observed(name, h.optioned(read))
		}
		if name == "/query" || name == "/query_range" {
			next = h.recorded(name[1:], h.streamed(next))
		}
		return h.observed(name, h.bounded(h.optioned(next)))
	})
	newAPI(h.cfg, h.limits).Register(router.WithPrefix(apiPrefix))
	return router
}

// traced makes spans of requests, continuing the caller's trace.
func (h *Handler) traced(next http.Handler) http.Handler {
	opts := []otelhttp.Option{
		otelhttp.WithSpanNameFormatter(func(_ string, r *http.Request) string { return r.Method + " " + r.URL.Path }),
	}
	if h.cfg.TracerProvider != nil {
		opts = append(opts, otelhttp.WithTracerProvider(h.cfg.TracerProvider))
	}
	return otelhttp.NewHandler(next, "http", opts...)
}

// name is that of the tier.
func (h *Handler) name() string { return h.cfg.Describe().Name() }

func (h *Handler) healthy(w http.ResponseWriter, _ *http.Request) {
	d := h.cfg.Describe()
	fmt.Fprintf(w, "Pando %s is healthy.\n", title(d))
}

func (h *Handler) ready(w http.ResponseWriter, _ *http.Request) {
	d := h.cfg.Describe()
	if err := h.cfg.Ready(); err != nil {
		http.Error(w, fmt.Sprintf("Pando %s %s is not ready: %v", d.Tier, d.Name(), err), http.StatusServiceUnavailable)
		return
	}
	fmt.Fprintf(w, "Pando %s is ready.\n", title(d))
}

func (h *Handler) reload(w http.ResponseWriter, _ *http.Request) {
	if h.cfg.Reload == nil {
		d := h.cfg.Describe()
		http.Error(w, fmt.Sprintf("%s %q has nothing to reload, or reloading over HTTP is not enabled", d.Tier, d.Name()), http.StatusForbidden)
		return
	}
	if err := h.cfg.Reload(); err != nil {
		code := http.StatusInternalServerError
		// Who delivers configuration takes the one for a refusal, and tries again
		// after the other.
		var later interface{ Temporary() bool }
		if errors.As(err, &later) && later.Temporary() {
			code = http.StatusServiceUnavailable
		}
		http.Error(w, "reload configuration: "+err.Error(), code)
	}
}

// title names a tier: its kind, and its identity if that says more.
func title(d querytree.Description) string {
	if d.Name() == d.Tier {
		return d.Tier
	}
	return d.Tier + " " + d.Name()
}
