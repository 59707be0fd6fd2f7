package gitops

import (
	"errors"
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/pandometrics/pando/gitops/source"
	"github.com/pandometrics/pando/gitops/wave"
)

// metrics are of the loop's own work, and what it tells the fleet.
type metrics struct {
	reg  prometheus.Registerer
	loop *Loop

	steps    *prometheus.CounterVec
	failures *prometheus.CounterVec
	seconds  *prometheus.HistogramVec
	fetches  *prometheus.CounterVec
	fetchOK  prometheus.Gauge
	loads    *prometheus.CounterVec
	gaveUp   prometheus.Counter
	drift    prometheus.Counter
	webhooks *prometheus.CounterVec

	loaded, rejected, paused, info, commit, stalled *prometheus.Desc
	gateHolds, gateValue, gateAsked                 *prometheus.Desc
	registered                                      []prometheus.Collector
}

// Directions of pando_gitops_loads_total.
const (
	directionAdvance  = "advance"
	directionRollback = "rollback"
)

func newMetrics(reg prometheus.Registerer, l *Loop) (*metrics, error) {
	counters := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: "pando_gitops_" + name, Help: help}, labels)
	}
	m := &metrics{
		reg: reg, loop: l,
		steps:    counters("steps_total", "Steps that the control loop took.", "step"),
		failures: counters("step_failures_total", "Steps of the control loop that did not succeed.", "step"),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "pando_gitops_step_duration_seconds", Help: "How long steps of the control loop took.",
			Buckets: []float64{.001, .01, .1, 1, 10, 60},
		}, []string{"step"}),
		fetches:  counters("fetches_total", "Looks at the repository, by result: changed, unchanged, or why there was none.", "result"),
		fetchOK:  prometheus.NewGauge(prometheus.GaugeOpts{Name: "pando_gitops_last_fetch_success_timestamp_seconds", Help: "When the repository was last read with success."}),
		loads:    counters("loads_total", "Revisions that the workload confirmed, by direction: advance or rollback.", "direction"),
		webhooks: counters("webhooks_total", "Webhooks that came, by result: accepted or refused.", "result"),
		gaveUp:   prometheus.NewCounter(prometheus.CounterOpts{Name: "pando_gitops_given_up_total", Help: "Revisions that were delivered and given up: refused, or not loaded in time."}),
		drift:    prometheus.NewCounter(prometheus.CounterOpts{Name: "pando_gitops_drift_corrections_total", Help: "Times that the workload was found to run something else, and what it should run was delivered again."}),

		loaded:   prometheus.NewDesc(MetricLoaded, "When the cluster's workload confirmed to run the revision.", []string{"revision", "wave"}, nil),
		rejected: prometheus.NewDesc(MetricRejected, "When the cluster rejected the revision; no cluster takes it, and those that run it return to the last good one.", []string{"revision", "why"}, nil),
		paused:   prometheus.NewDesc(MetricPaused, "Whether the cluster asks the whole fleet to pause.", nil, nil),
		info:     prometheus.NewDesc(MetricRevision, "Revisions that the cluster knows, by state: running, pending, newest or good.", []string{"revision", "state", "wave"}, nil),
		commit:   prometheus.NewDesc("pando_config_newest_commit_timestamp_seconds", "When the newest valid revision was committed, as its committer says.", nil, nil),
		stalled:  prometheus.NewDesc("pando_gitops_stalled", "Whether the revision that the repository names cannot be used, and why; a new commit or the operator has to help.", []string{"reason"}, nil),

		gateHolds: prometheus.NewDesc("pando_gitops_gate_holds", "Whether a gate held when it was asked last: 1 or 0. Without a whole answer it is nothing, or 0 if what there is names a cluster that fails it and runs the revision.", []string{"wave", "gate"}, nil),
		gateValue: prometheus.NewDesc("pando_gitops_gate_value", "Value of the decisive sample of a gate when it was asked last: of one that fails, or the smallest.", []string{"wave", "gate"}, nil),
		gateAsked: prometheus.NewDesc("pando_gitops_gate_asked_timestamp_seconds", "When a gate was asked last: gates are asked while a revision is rolled out.", []string{"wave", "gate"}, nil),
	}
	for _, c := range []prometheus.Collector{m.steps, m.failures, m.seconds, m.fetches, m.fetchOK, m.loads, m.gaveUp, m.drift, m.webhooks, m} {
		if err := reg.Register(c); err != nil {
			m.unregister()
			return nil, fmt.Errorf("register metrics of the control loop: %w", err)
		}
		m.registered = append(m.registered, c)
	}
	for _, direction := range []string{directionAdvance, directionRollback} {
		m.loads.WithLabelValues(direction) // or the first of them would be no increase
	}
	return m, nil
}

func (m *metrics) unregister() {
	for _, c := range m.registered {
		m.reg.Unregister(c)
	}
}

// Describe implements prometheus.Collector.
func (m *metrics) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{m.loaded, m.rejected, m.paused, m.info, m.commit, m.stalled, m.gateHolds, m.gateValue, m.gateAsked} {
		ch <- d
	}
}

// Collect implements prometheus.Collector. All of it is of one moment.
func (m *metrics) Collect(ch chan<- prometheus.Metric) {
	l := m.loop
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.state
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	in := waveOf(s.Waves, l.cfg.Cluster)
	if s.Running != "" {
		gauge(m.loaded, seconds(s.RunningAt), s.Running, in)
	}
	for _, r := range s.Rejected {
		gauge(m.rejected, seconds(r.At), r.Revision, r.Why)
	}
	paused := 0.0
	if s.Paused || s.Pinned != "" {
		paused = 1
	}
	gauge(m.paused, paused)
	for _, i := range s.infos() {
		gauge(m.info, 1, i[0], i[1], in)
	}
	if s.Newest != nil {
		gauge(m.commit, seconds(s.Newest.When))
	}
	if p := l.view.stalled; p != nil {
		gauge(m.stalled, 1, p.Reason)
	}
	m.gates(gauge)
}

// gates tells of those that were asked. The caller holds the loop's mu.
func (m *metrics) gates(gauge func(d *prometheus.Desc, v float64, labels ...string)) {
	s := m.loop.state
	waves := s.Waves
	if s.Newest != nil {
		waves = wave.Effective(s.Waves, s.Newest.Waves)
	}
	for _, w := range waves {
		for _, g := range w.Gates {
			a, ok := m.loop.view.gates[gateKey(w.Name, g.Name)]
			if !ok {
				continue
			}
			gauge(m.gateAsked, seconds(a.at), w.Name, g.Name)
			if a.Verdict == wave.Unknown {
				continue
			}
			holds := 0.0
			if a.Verdict == wave.Holds {
				holds = 1
			}
			gauge(m.gateHolds, holds, w.Name, g.Name)
			if a.Samples > 0 {
				gauge(m.gateValue, a.Value, w.Name, g.Name)
			}
		}
	}
}

// infos are pairs of a revision and its state, each once.
func (s *State) infos() (out [][2]string) {
	add := func(revision, state string) {
		if revision != "" {
			out = append(out, [2]string{revision, state})
		}
	}
	add(s.Running, "running")
	if s.Pending != nil {
		add(s.Pending.Revision, statePending)
	}
	if s.Newest != nil {
		add(s.Newest.Revision, "newest")
	}
	for _, g := range s.Good {
		add(g, "good")
	}
	return out
}

func seconds(t time.Time) float64 { return float64(t.UnixMilli()) / 1000 }

func (m *metrics) stepped(step string, took time.Duration, err error) {
	m.steps.WithLabelValues(step).Inc()
	m.seconds.WithLabelValues(step).Observe(took.Seconds())
	if err != nil {
		m.failures.WithLabelValues(step).Inc()
	}
}

func (m *metrics) fetched(err error) {
	result := "error"
	var e *source.Error
	switch {
	case err == nil:
		result = "changed"
	case errors.Is(err, source.ErrUnchanged):
		result = "unchanged"
	case errors.As(err, &e):
		result = string(e.Reason)
	}
	m.fetches.WithLabelValues(result).Inc()
	if err == nil || result == "unchanged" {
		m.fetchOK.Set(seconds(m.loop.deps.Now()))
	}
}

func (m *metrics) settled(back bool) {
	direction := directionAdvance
	if back {
		direction = directionRollback
	}
	m.loads.WithLabelValues(direction).Inc()
}
