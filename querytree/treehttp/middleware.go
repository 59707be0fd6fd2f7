package treehttp

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"runtime/debug"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/trace"

	"github.com/pandometrics/pando/querytree"
)

// PartialHeader is set to "true" on answers from which a child's part is
// missing.
const PartialHeader = "Pando-Partial"

// IDHeader names the query in the logs of every tier. A client may choose it;
// the answer tells it in any case.
const IDHeader = "X-Request-Id"

// maxFormBytes bounds the body of requests whose parameters are in a form.
const maxFormBytes = 1 << 20

// observed counts and times requests, turns panics into errors, and gives each
// request a sink for what the tree reports.
func (h *Handler) observed(name string, next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		ctx, sink := querytree.WithReport(r.Context())
		id := requestID(r)
		w.Header().Set(IDHeader, id)
		rec := &recorder{ResponseWriter: w, sink: sink}
		start := h.cfg.Now()
		defer func() { h.finish(name, id, r, rec, start, recover()) }()
		next(rec, r.WithContext(context.WithValue(ctx, idKey{}, id)))
	}
}

type idKey struct{}

// finish records a request that ended, by a panic if crash is not nil.
func (h *Handler) finish(name, id string, r *http.Request, rec *recorder, start time.Time, crash any) {
	took := h.cfg.Now().Sub(start)
	begun := rec.code != 0
	if crash != nil && !begun {
		respondError(rec, http.StatusInternalServerError, errInternal, "internal error; the log of this tier has the details under id "+id)
	}
	if rec.code == 0 {
		rec.code = http.StatusOK
	}
	h.metrics.requests.WithLabelValues(name, strconv.Itoa(rec.code)).Inc()
	h.metrics.duration.WithLabelValues(name).Observe(took.Seconds())
	if rec.partial {
		h.metrics.partial.WithLabelValues(name).Inc()
	}
	h.cfg.Logger.Debug("http request", "method", r.Method, "handler", name, "id", id, "code", rec.code,
		"partial", rec.partial, "duration", took)
	if crash == nil {
		return
	}
	if err, ok := crash.(error); !ok || !errors.Is(err, http.ErrAbortHandler) {
		h.metrics.panics.Inc()
		h.cfg.Logger.Error("panic in http handler", "handler", name, "id", id, "err", crash, "stack", string(debug.Stack()))
	}
	if begun {
		// The status is sent: only a broken connection can tell the client.
		panic(http.ErrAbortHandler)
	}
}

// bounded parses the request's form within bounds, and refuses queries that
// should not reach the parser.
func (h *Handler) bounded(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		r.Body = http.MaxBytesReader(w, r.Body, maxFormBytes)
		err := r.ParseForm()
		if err == nil { // Multipart forms too, for the handlers behind would read them.
			err = r.ParseMultipartForm(maxFormBytes)
		}
		var tooLarge *http.MaxBytesError
		switch {
		case errors.As(err, &tooLarge):
			respondError(w, http.StatusRequestEntityTooLarge, errBadData, fmt.Sprintf("request body is larger than %d bytes", tooLarge.Limit))
			return
		case err != nil && !errors.Is(err, http.ErrNotMultipart):
			respondError(w, http.StatusBadRequest, errBadData, "error parsing form values: "+err.Error())
			return
		}
		for _, param := range []string{"query", "match[]", "match_target"} {
			for _, q := range r.Form[param] {
				if err := h.limits().CheckQueryAt(h.name(), q); err != nil {
					respondError(w, http.StatusBadRequest, errBadData, fmt.Sprintf("invalid parameter %q: %v", param, err))
					return
				}
			}
		}
		next(w, r)
	}
}

// optioned puts the query options of the request's parameters into its context.
// The form must have been parsed.
func (h *Handler) optioned(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		opts, err := h.options(r)
		if err != nil {
			respondError(w, http.StatusBadRequest, errBadData, err.Error())
			return
		}
		next(w, r.WithContext(querytree.WithOptions(r.Context(), opts)))
	}
}

// options reads the query options of a request.
func (h *Handler) options(r *http.Request) (querytree.Options, error) {
	d := h.tuning.Load().Defaults
	o := querytree.Options{
		Strict: d.Strict, NoHints: d.NoHints, NoPushdown: d.NoPushdown,
		NoCache: d.NoCache, NoRollup: d.NoRollup, Align: d.Align, Client: h.client(r),
	}
	o.ID, _ = r.Context().Value(idKey{}).(string)
	partial, explain := !o.Strict, false
	for _, p := range []struct {
		name string
		set  *bool
		not  bool
	}{
		{"partial_response", &partial, false},
		{"explain", &explain, false},
		{"hints", &o.NoHints, true},
		{"pushdown", &o.NoPushdown, true},
		{"nocache", &o.NoCache, false},
		{"rollup", &o.NoRollup, true},
		{"align", &o.Align, false},
	} {
		v, given, err := switchParam(r, p.name)
		if err != nil {
			return o, err
		}
		if given {
			*p.set = v != p.not
		}
	}
	o.Strict = !partial
	o.Detail = explain || r.Form.Get("stats") == "all"
	return o, nil
}

// switchParam reads a parameter that is on or off.
func switchParam(r *http.Request, name string) (on, given bool, err error) {
	switch v := r.Form.Get(name); v {
	case "":
		return false, false, nil
	case "on", "true", "1":
		return true, true, nil
	case "off", "false", "0":
		return false, true, nil
	default:
		return false, false, fmt.Errorf("invalid parameter %q: %.20q is not one of true, false, on, off, 1, 0", name, v)
	}
}

// requestID takes the name that the client or the trace gives the request, or
// makes one up.
func requestID(r *http.Request) string {
	if id := r.Header.Get(IDHeader); validID(id) {
		return id
	}
	if sc := trace.SpanContextFromContext(r.Context()); sc.HasTraceID() {
		return sc.TraceID().String()
	}
	return randomID()
}

// validID keeps what would forge or flood logs out of them.
func validID(id string) bool {
	if id == "" || len(id) > 64 {
		return false
	}
	for _, c := range []byte(id) {
		switch {
		case c >= '0' && c <= '9', c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c == '-', c == '_', c == '.':
		default:
			return false
		}
	}
	return true
}

// recorder notes the status of an answer, and marks partial answers just before
// their headers are sent: the API sends none before it has asked all it asks of
// the tree.
type recorder struct {
	http.ResponseWriter
	sink    *querytree.ReportSink
	code    int
	partial bool
}

// WriteHeader sends the headers, once.
func (r *recorder) WriteHeader(code int) {
	if r.code == 0 && code >= http.StatusOK {
		r.code = code
		r.mark()
	}
	r.ResponseWriter.WriteHeader(code)
}

func (r *recorder) mark() {
	if r.partial = r.sink.Report().Partial(); r.partial {
		r.Header().Set(PartialHeader, "true")
		r.expose(PartialHeader)
	}
	if r.Header().Get(QueryIDHeader) != "" {
		r.expose(QueryIDHeader)
	}
}

// expose lets scripts of other origins read a header, where any may be read.
func (r *recorder) expose(name string) {
	h := r.Header()
	if exposed := h.Get("Access-Control-Expose-Headers"); exposed != "" {
		h.Set("Access-Control-Expose-Headers", exposed+", "+name)
	}
}

// Write sends a part of the body.
func (r *recorder) Write(b []byte) (int, error) {
	if r.code == 0 {
		r.WriteHeader(http.StatusOK)
	}
	return r.ResponseWriter.Write(b)
}

// Flush sends what is buffered; remote read streams depend on it.
func (r *recorder) Flush() {
	if r.code == 0 {
		r.WriteHeader(http.StatusOK)
	}
	if f, ok := r.ResponseWriter.(http.Flusher); ok {
		f.Flush()
	}
}

// Unwrap is for http.ResponseController.
func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }

// metrics are those of the package, by handler where they are of requests.
type metrics struct {
	requests *prometheus.CounterVec
	duration *prometheus.HistogramVec
	partial  *prometheus.CounterVec
	panics   prometheus.Counter
}

// newMetrics registers the metrics. It fails, rather than panics, if reg has
// them already.
func newMetrics(reg prometheus.Registerer) (*metrics, error) {
	m := &metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "pando_http_requests_total", Help: "HTTP requests by handler and status code.",
		}, []string{"handler", "code"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "pando_http_request_duration_seconds", Help: "Duration of HTTP requests by handler.",
			Buckets:                     []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 120},
			NativeHistogramBucketFactor: 1.1, NativeHistogramMaxBucketNumber: 100,
		}, []string{"handler"}),
		partial: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "pando_http_partial_answers_total", Help: "Answers from which a child's part was missing, by handler.",
		}, []string{"handler"}),
		panics: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "pando_http_panics_total", Help: "Requests that ended in a panic.",
		}),
	}
	for _, c := range []prometheus.Collector{m.requests, m.duration, m.partial, m.panics} {
		if err := reg.Register(c); err != nil {
			return nil, err
		}
	}
	return m, nil
}
