package fieldhint

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// ChildStats describes the field hint of one child.
type ChildStats struct {
	Name string
	// Connected is set while a feed of the child is open.
	Connected bool
	// Synced is set if the hint is in use: complete, and not too old.
	Synced bool
	// Epoch names the child's log; Fingerprints is how much of it has arrived.
	Epoch        uint64
	Fingerprints uint64
	// Bytes is the memory taken by the filter, Layers the number of its layers.
	Bytes, Layers int
	// FalsePositiveRate is the estimated rate for one fingerprint.
	FalsePositiveRate float64
	// Age is the time since the last frame of the hint; zero if there was none.
	Age time.Duration
}

// Stats describes the field hints of all children, sorted by name.
func (x *Index) Stats() []ChildStats {
	now := x.cfg.Now()
	children := x.all()
	out := make([]ChildStats, 0, len(children))
	for _, c := range children {
		out = append(out, c.stats(now, x.cfg.MaxAge))
	}
	return out
}

// Child describes the field hint of one child, and reports whether the index
// knows the child.
func (x *Index) Child(name string) (ChildStats, bool) {
	c := x.child(name)
	if c == nil {
		return ChildStats{}, false
	}
	return c.stats(x.cfg.Now(), x.cfg.MaxAge), true
}

func (c *child) stats(now time.Time, maxAge time.Duration) ChildStats {
	c.mu.RLock()
	defer c.mu.RUnlock()
	s := ChildStats{Name: c.name, Connected: c.feed != nil, Synced: c.fresh(now, maxAge)}
	if c.hint == nil {
		return s
	}
	s.Epoch, s.Fingerprints, s.Age = c.hint.epoch, c.hint.next, now.Sub(c.last)
	if f := c.hint.filter; f != nil {
		s.Bytes, s.Layers, s.FalsePositiveRate = f.Bytes(), f.Layers(), f.FalsePositiveRate()
	}
	return s
}

// indexMetrics counts what an index does; gauges are read off the children.
type indexMetrics struct {
	checks, ruledOut, frames, frameErrors prometheus.Counter
}

func newIndexMetrics(x *Index, registerer prometheus.Registerer) *indexMetrics {
	reg := promauto.With(registerer)
	counter := func(name, help string) prometheus.Counter {
		return reg.NewCounter(prometheus.CounterOpts{Name: "pando_fieldhint_" + name, Help: help})
	}
	sum := func(name, help string, of func(ChildStats) float64) {
		reg.NewGaugeFunc(prometheus.GaugeOpts{Name: "pando_fieldhint_" + name, Help: help}, func() float64 {
			total := 0.0
			for _, s := range x.Stats() {
				total += of(s)
			}
			return total
		})
	}
	sum("children", "Number of children that the index knows.", func(ChildStats) float64 { return 1 })
	sum("children_synced", "Number of children whose field hints are in use.", func(s ChildStats) float64 {
		if s.Synced {
			return 1
		}
		return 0
	})
	sum("fingerprints", "Number of fingerprints received from all children.", func(s ChildStats) float64 { return float64(s.Fingerprints) })
	sum("bytes", "Memory taken by the filters of all children.", func(s ChildStats) float64 { return float64(s.Bytes) })
	return &indexMetrics{
		checks:      counter("checks_total", "Number of times a child was held against a selector."),
		ruledOut:    counter("ruled_out_total", "Number of times a child was found unable to hold a match."),
		frames:      counter("frames_total", "Number of frames received."),
		frameErrors: counter("frame_errors_total", "Number of frames that ended a feed."),
	}
}

func (m *indexMetrics) count(checks int, ruledOut bool) {
	m.checks.Add(float64(checks))
	if ruledOut {
		m.ruledOut.Inc()
	}
}
