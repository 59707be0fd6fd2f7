package querytree

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

type mixerMetrics struct {
	queries  *prometheus.CounterVec
	replans  prometheus.Counter
	children *prometheus.CounterVec
	pushed   *prometheus.CounterVec
	duration prometheus.Histogram
}

// newMixerMetrics registers the metrics with reg, which may be nil.
func newMixerMetrics(reg prometheus.Registerer) *mixerMetrics {
	f := promauto.With(reg)
	return &mixerMetrics{
		queries: f.NewCounterVec(prometheus.CounterOpts{
			Name: "pando_tree_queries_total",
			Help: "Queries evaluated by this tier, by outcome: whole, partial or error.",
		}, []string{"outcome"}),
		replans: f.NewCounter(prometheus.CounterOpts{
			Name: "pando_tree_replans_total",
			Help: "Times a query was planned again because the children's answers could not be merged exactly.",
		}),
		children: f.NewCounterVec(prometheus.CounterOpts{
			Name: "pando_tree_children_total",
			Help: "What became of the children of this tier and below, over all queries: asked, pruned-label, pruned-time, pruned-hint, failed.",
		}, []string{"verdict"}),
		pushed: f.NewCounterVec(prometheus.CounterOpts{
			Name: "pando_tree_plans_total",
			Help: "Queries by how much of them was pushed down: whole, parts or nothing.",
		}, []string{"pushed"}),
		duration: f.NewHistogram(prometheus.HistogramOpts{
			Name:                            "pando_tree_query_duration_seconds",
			Help:                            "Time from a query's arrival at this tier to its answer.",
			Buckets:                         prometheus.ExponentialBuckets(0.001, 4, 9),
			NativeHistogramBucketFactor:     1.1,
			NativeHistogramMaxBucketNumber:  100,
			NativeHistogramMinResetDuration: 0,
		}),
	}
}

// observe counts what a query came to.
func (mm *mixerMetrics) observe(p *Plan, r Report, err error) {
	switch {
	case err != nil:
		mm.queries.WithLabelValues("error").Inc()
	case r.Partial():
		mm.queries.WithLabelValues("partial").Inc()
	default:
		mm.queries.WithLabelValues("whole").Inc()
	}
	for _, c := range r.Children {
		if c.Failed != "" {
			mm.children.WithLabelValues("failed").Inc()
		}
		if c.Verdict == Asked {
			mm.children.WithLabelValues(string(Asked)).Inc()
		}
	}
	for v, n := range r.Pruned {
		mm.children.WithLabelValues(string(v)).Add(float64(n))
	}
	if p == nil {
		return
	}
	_, whole := p.wholeQuery()
	switch {
	case whole:
		mm.pushed.WithLabelValues("whole").Inc()
	case len(p.Fragments) > 0:
		mm.pushed.WithLabelValues("parts").Inc()
	default:
		mm.pushed.WithLabelValues("nothing").Inc()
	}
}
