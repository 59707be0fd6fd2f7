package aggregate

import (
	"unsafe"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// metrics are those of an Aggregator.
type metrics struct {
	received, dropped, drained, exemplars, renamed prometheus.Counter
	ignored, raw, failed                           *prometheus.CounterVec
	stored                                         prometheus.Counter
	lag, duration                                  prometheus.Gauge
	inputs, outputs, state                         prometheus.Gauge
}

func newMetrics(reg prometheus.Registerer, a *Aggregator) *metrics {
	f := promauto.With(reg)
	counter := func(name, help string) prometheus.Counter {
		return f.NewCounter(prometheus.CounterOpts{Name: "pando_aggregate_" + name, Help: help})
	}
	gauge := func(name, help string) prometheus.Gauge {
		return f.NewGauge(prometheus.GaugeOpts{Name: "pando_aggregate_" + name, Help: help})
	}
	by := func(name, label, help string) *prometheus.CounterVec {
		return f.NewCounterVec(prometheus.CounterOpts{Name: "pando_aggregate_" + name, Help: help}, []string{label})
	}
	m := &metrics{
		received:  counter("samples_received_total", "Samples of inputs."),
		dropped:   counter("samples_dropped_total", "Samples of inputs that were not stored raw."),
		drained:   counter("early_total", "Times that samples were taken in before their interval was over, since there were too many."),
		exemplars: counter("exemplars_dropped_total", "Exemplars of inputs that were not stored raw."),
		renamed:   counter("renamed_samples_total", "Samples that came in under the name of an output, and are stored as exported_<name>."),
		stored:    counter("samples_stored_total", "Samples of outputs, stale markers included."),
		ignored:   by("samples_ignored_total", "reason", "Samples of inputs that were not taken in: older than (late) or as old as (duplicate) one that was, no value of a counter (invalid), histograms whose buckets cannot be added (apart), or of an input that had been forgotten meanwhile (forgotten)."),
		raw:       by("refused_total", "reason", "Times that a series was matched by a rule and stored raw all the same: the rule has as many inputs as it may (max_inputs), the output would be that of another rule too (output), the series is as hard to tell from another as two hashes are, or is a histogram and a number (clash)."),
		failed:    by("outputs_failed_total", "reason", "Samples of outputs that could not be stored: refused one by one, or failed together."),
		lag:       gauge("flush_lag_seconds", "How long after they were due outputs were stored, the last time."),
		duration:  gauge("flush_duration_seconds", "How long it took, the last time."),
		inputs:    gauge("inputs", "Inputs that are remembered."),
		outputs:   gauge("outputs", "Groups that inputs are summed up in."),
		state:     gauge("state_bytes", "Memory that inputs take, about."),
	}
	// From the start, so that the first is an increase.
	for vec, reasons := range map[*prometheus.CounterVec][]string{
		m.ignored: {"late", "duplicate", "invalid", "apart", "forgotten"}, m.raw: {"max_inputs", "output", "clash"}, m.failed: {"refused", "failed"},
	} {
		for _, reason := range reasons {
			vec.WithLabelValues(reason)
		}
	}
	f.NewGaugeFunc(prometheus.GaugeOpts{Name: "pando_aggregate_journal_bytes", Help: "Journal since the last snapshot."}, func() float64 {
		n, _ := a.journal.state()
		return float64(n)
	})
	return m
}

func (m *metrics) refused(reason string) { m.raw.WithLabelValues(reason).Inc() }

func (m *metrics) count(n tally) {
	for reason, k := range map[string]int{"late": n.late, "duplicate": n.duplicate, "invalid": n.invalid, "apart": n.apart} {
		if k > 0 {
			m.ignored.WithLabelValues(reason).Add(float64(k))
		}
	}
}

// measure tells how large state is. The caller holds mu.
func (a *Aggregator) measure() {
	inputs, bytes := 0, 0
	for _, sh := range a.shards {
		sh.mu.RLock()
		inputs += sh.index.n
		bytes += cap(sh.index.slots)*4 + cap(sh.inputs)*int(unsafe.Sizeof(input{})) + cap(sh.lasts)*int(unsafe.Sizeof(last{})) +
			cap(sh.pending)*int(unsafe.Sizeof(sample{})) + cap(sh.hpend)*int(unsafe.Sizeof(histSample{}))
		sh.mu.RUnlock()
		for _, h := range sh.hists {
			bytes += h.Size()
		}
	}
	for i := range a.known.parts {
		p := &a.known.parts[i]
		p.mu.RLock()
		bytes += cap(p.slots) * int(unsafe.Sizeof(knownInput{}))
		p.mu.RUnlock()
	}
	groups := 0
	for _, g := range a.groups {
		if g != nil {
			groups++
			bytes += int(unsafe.Sizeof(*g))
			for _, lset := range g.outputs {
				bytes += int(unsafe.Sizeof(lset)) + int(lset.ByteSize())
			}
		}
	}
	a.metrics.inputs.Set(float64(inputs))
	a.metrics.outputs.Set(float64(groups))
	a.metrics.state.Set(float64(bytes))
}
