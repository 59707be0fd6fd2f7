package kube

import (
	"errors"
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// metrics are of the deliverer's dealings with the API server.
type metrics struct {
	requests  *prometheus.CounterVec
	writes    prometheus.Counter
	conflicts prometheus.Counter
	drift     prometheus.Counter
	pruned    prometheus.Counter
	foreign   prometheus.Gauge
	leader    prometheus.Gauge
}

func newMetrics(reg prometheus.Registerer) (*metrics, error) {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: "pando_gitops_kube_" + name, Help: help})
	}
	gauge := func(name, help string) prometheus.Gauge {
		return prometheus.NewGauge(prometheus.GaugeOpts{Name: "pando_gitops_kube_" + name, Help: help})
	}
	m := &metrics{
		requests:  prometheus.NewCounterVec(prometheus.CounterOpts{Name: "pando_gitops_kube_requests_total", Help: "Requests to the API server, by verb and result: ok or the reason of its refusal."}, []string{"verb", "result"}),
		writes:    counter("writes_total", "Requests to the API server that would change something."),
		conflicts: counter("conflicts_total", "Fields of ours that other managers were found to have taken."),
		drift:     counter("drift_total", "Objects of ours that were found changed or removed by others, and put right."),
		pruned:    counter("pruned_total", "Objects of ours that were removed, for no revision needs them any more."),
		foreign:   gauge("foreign_objects", "Objects of others that are in the way of what a revision wants."),
		leader:    gauge("leader", "Whether this process holds the lease."),
	}
	for _, c := range []prometheus.Collector{m.requests, m.writes, m.conflicts, m.drift, m.pruned, m.foreign, m.leader} {
		if err := reg.Register(c); err != nil {
			return nil, fmt.Errorf("register metrics of delivery into Kubernetes: %w", err)
		}
	}
	return m, nil
}

// asked counts a request.
func (m *metrics) asked(verb string, err error) {
	result := "ok"
	if err != nil {
		result = "unreachable"
		var s apierrors.APIStatus
		if errors.As(err, &s) {
			result = string(s.Status().Reason)
		}
	}
	m.requests.WithLabelValues(verb, result).Inc()
}
