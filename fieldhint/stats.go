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
	// Reason says why the hint is not in use, if a feed is open.
	Reason string
	// Epoch names the child's set; Sections is the number of its sections, and
	// Fingerprints how much of them has arrived.
	Epoch        uint64
	Sections     int
	Fingerprints uint64
	// Bytes is the memory taken by the filters, Layers the number of layers of
	// the one that has most.
	Bytes, Layers int
	// FalsePositiveRate is the estimated rate for one fingerprint, of all
	// sections together.
	FalsePositiveRate float64
	// Age is the time since the last frame of the hint; zero if there was none.
	Age time.Duration
}

// Stats describes the field hints of all children, sorted by name.
func (x *Index) Stats() []ChildStats {
	now := x.clock()
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
	return c.stats(x.clock(), x.cfg.MaxAge), true
}

func (c *child) stats(now, maxAge time.Duration) ChildStats {
	s := c.size(now, maxAge)
	c.mu.RLock()
	defer c.mu.RUnlock()
	if c.hint == nil {
		return s
	}
	miss := 1.0
	for _, h := range c.hint.sections {
		if f := h.filter; f != nil {
			s.Layers = max(s.Layers, f.Layers())
			miss *= 1 - f.FalsePositiveRate()
		}
	}
	s.FalsePositiveRate = 1 - miss
	return s
}

// size is stats without what takes long to work out.
func (c *child) size(now, maxAge time.Duration) ChildStats {
	c.mu.RLock()
	defer c.mu.RUnlock()
	s := ChildStats{Name: c.name, Connected: c.feed != nil, Synced: c.usable(now, maxAge)}
	if s.Connected && !s.Synced {
		if s.Reason = c.reason; s.Reason == "" {
			s.Reason = "the last frame is too old"
		}
	}
	if c.hint == nil {
		return s
	}
	s.Epoch, s.Sections, s.Fingerprints = c.hint.epoch, len(c.hint.sections), c.hint.total()
	s.Age = now - time.Duration(c.last.Load())
	for _, h := range c.hint.sections {
		if h.filter != nil {
			s.Bytes += h.filter.Bytes()
		}
	}
	return s
}

// bytes is the memory of all filters, with what is left over where they share it.
func (x *Index) bytes() int64 {
	total, now := x.slabs.idle.Load(), x.clock()
	for _, c := range x.all() {
		total += int64(c.size(now, x.cfg.MaxAge).Bytes)
	}
	return total
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
			total, now := 0.0, x.clock()
			for _, c := range x.all() {
				total += of(c.size(now, x.cfg.MaxAge))
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
	reg.NewGaugeFunc(prometheus.GaugeOpts{Name: "pando_fieldhint_bytes", Help: "Memory taken by the filters of all children."}, func() float64 { return float64(x.bytes()) })
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
