package keep

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

type collectorMetrics struct {
	points       *prometheus.CounterVec
	failures     prometheus.Counter
	restatements prometheus.Counter
}

func newCollectorMetrics(reg prometheus.Registerer) *collectorMetrics {
	f := promauto.With(reg)
	m := &collectorMetrics{
		points: f.NewCounterVec(prometheus.CounterOpts{
			Name: "pando_rollup_points_total", Help: "Points of rollup rules that were made, each of all its series, by state: whole, partial or unfit.",
		}, []string{"state"}),
		failures: f.NewCounter(prometheus.CounterOpts{
			Name: "pando_rollup_failures_total", Help: "Attempts to make points that failed, mostly because somebody below was away.",
		}),
		restatements: f.NewCounter(prometheus.CounterOpts{
			Name: "pando_rollup_restatements_total", Help: "Times that points were made void because samples changed that had been final.",
		}),
	}
	for _, st := range []state{whole, partial, unfit} {
		m.points.WithLabelValues(st.mark()) // from the start, so that the first is an increase
	}
	return m
}
