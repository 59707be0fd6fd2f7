package querytree

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// boundsMetrics tell what the bounds of a tier do.
type boundsMetrics struct {
	reg          prometheus.Registerer
	refused      *prometheus.CounterVec
	queueSeconds *prometheus.HistogramVec
	turnSeconds  prometheus.Histogram
	peakBytes    prometheus.Histogram
}

// newBoundsMetrics registers the metrics with reg, which may be nil.
func newBoundsMetrics(reg prometheus.Registerer) *boundsMetrics {
	f := promauto.With(reg)
	waits := prometheus.ExponentialBuckets(0.001, 4, 9)
	m := &boundsMetrics{
		reg: reg,
		refused: f.NewCounterVec(prometheus.CounterOpts{
			Name: "pando_tree_refused_total",
			Help: "Requests that this tier refused or cancelled because of a limit, by the flag that sets it; timeout is set by the request.",
		}, []string{"limit"}),
		queueSeconds: f.NewHistogramVec(prometheus.HistogramOpts{
			Name: "pando_tree_queue_wait_seconds", Help: "How long requests waited for a slot, of those that had to, by kind.",
			Buckets: waits, NativeHistogramBucketFactor: 1.1, NativeHistogramMaxBucketNumber: 100,
		}, []string{"kind"}),
		peakBytes: f.NewHistogram(prometheus.HistogramOpts{
			Name: "pando_tree_query_held_bytes", Help: "Estimated bytes that a query held in this tier at most.",
			Buckets: prometheus.ExponentialBuckets(1<<16, 4, 10), NativeHistogramBucketFactor: 1.5, NativeHistogramMaxBucketNumber: 100,
		}),
		turnSeconds: f.NewHistogram(prometheus.HistogramOpts{
			Name: "pando_tree_turn_wait_seconds", Help: "How long heavy queries waited, each time, for their turn on a processor.",
			Buckets: waits, NativeHistogramBucketFactor: 1.1, NativeHistogramMaxBucketNumber: 100,
		}),
	}
	// From the start, so that the first refusal is an increase.
	for _, flag := range []string{flagTimeout, paramTimeout, flagChildDeadline, flagMaxSamples, flagMaxSeries, flagMaxFragments, flagMaxBytes, flagMaxTotalBytes, flagMaxClientBytes, flagMaxResponse, flagMaxQueue, flagMaxQueueEach, flagProcess} {
		m.refused.WithLabelValues(flag)
	}
	return m
}

// refuse counts a request that a limit ended.
func (m *boundsMetrics) refuse(e *LimitError) { m.refused.WithLabelValues(e.Flag).Inc() }

// watchQueue tells how many requests wait at a gate, and how many have passed it.
func (m *boundsMetrics) watchQueue(g *Gate) {
	promauto.With(m.reg).NewGaugeFunc(prometheus.GaugeOpts{
		Name: "pando_tree_running_requests", Help: "Requests that have a slot, by kind: what this tier works on.",
		ConstLabels: prometheus.Labels{"kind": g.kind},
	}, func() float64 { return float64(g.fair.running()) })
	promauto.With(m.reg).NewGaugeFunc(prometheus.GaugeOpts{
		Name: "pando_tree_queue_length", Help: "Requests that wait for a slot, by kind.",
		ConstLabels: prometheus.Labels{"kind": g.kind},
	}, func() float64 { return float64(g.fair.queued()) })
}

// watchMemory tells what queries hold.
func (m *boundsMetrics) watchMemory(mem *Memory) {
	promauto.With(m.reg).NewGaugeFunc(prometheus.GaugeOpts{
		Name: "pando_tree_held_bytes", Help: "Estimated bytes that the queries of this tier hold.",
	}, func() float64 { return float64(mem.held.Load()) })
}
