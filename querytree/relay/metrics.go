package relay

import (
	"errors"
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
)

// Roles of a tier in a request.
const (
	rolePassed = "passed"
	roleServed = "served"
)

type metrics struct {
	requests *prometheus.CounterVec
	duration *prometheus.HistogramVec
	inFlight *prometheus.GaugeVec
}

func newMetrics(reg prometheus.Registerer) (*metrics, error) {
	m := &metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "pando_tree_status_requests_total", Help: "Status requests that were passed on to a member below, or served by this tier itself, by outcome.",
		}, []string{"role", "outcome"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "pando_tree_status_request_duration_seconds", Help: "Duration of status requests.", Buckets: prometheus.ExponentialBuckets(0.001, 4, 8),
		}, []string{"role"}),
		inFlight: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "pando_tree_status_requests_in_flight", Help: "Status requests that are being passed on or served.",
		}, []string{"role"}),
	}
	if reg == nil {
		return m, nil
	}
	if err := errors.Join(reg.Register(m.requests), reg.Register(m.duration), reg.Register(m.inFlight)); err != nil {
		return nil, fmt.Errorf("relay: register metrics: %w", err)
	}
	return m, nil
}
