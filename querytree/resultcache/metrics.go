package resultcache

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

type metrics struct {
	requests      *prometheus.CounterVec
	steps         *prometheus.CounterVec
	shared        prometheus.Counter
	pieces        prometheus.Counter
	bytes         prometheus.Gauge
	entries       prometheus.Gauge
	evictions     prometheus.Counter
	tooLarge      prometheus.Counter
	invalidations *prometheus.CounterVec
}

// newMetrics registers the metrics with reg, which may be nil.
func newMetrics(reg prometheus.Registerer) *metrics {
	f := promauto.With(reg)
	return &metrics{
		requests: f.NewCounterVec(prometheus.CounterOpts{
			Name: "pando_cache_requests_total",
			Help: "Range queries by what the result cache had of them: hit (all steps), partial, miss, or unused.",
		}, []string{"result"}),
		steps: f.NewCounterVec(prometheus.CounterOpts{
			Name: "pando_cache_steps_total", Help: "Steps of range queries by where they came from: cache or tree.",
		}, []string{"from"}),
		shared: f.NewCounter(prometheus.CounterOpts{
			Name: "pando_cache_shared_total", Help: "Range queries that got the answer of an equal one that was under way.",
		}),
		pieces: f.NewCounter(prometheus.CounterOpts{
			Name: "pando_cache_pieces_total", Help: "Parts of range queries that were evaluated by themselves.",
		}),
		bytes: f.NewGauge(prometheus.GaugeOpts{
			Name: "pando_cache_bytes", Help: "Memory that the result cache holds.",
		}),
		entries: f.NewGauge(prometheus.GaugeOpts{
			Name: "pando_cache_entries", Help: "Queries of which the result cache holds steps.",
		}),
		evictions: f.NewCounter(prometheus.CounterOpts{
			Name: "pando_cache_evictions_total", Help: "Queries dropped from the result cache for want of space.",
		}),
		tooLarge: f.NewCounter(prometheus.CounterOpts{
			Name: "pando_cache_too_large_total", Help: "Answers not kept because one query would have taken too much of the space.",
		}),
		invalidations: f.NewCounterVec(prometheus.CounterOpts{
			Name: "pando_cache_invalidations_total",
			Help: "Changes below for which steps were dropped from the result cache, by cause: late, joined, returned, restarted, forgotten, several.",
		}, []string{"cause"}),
	}
}
