package aggregate

import (
	"math"
	"slices"

	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/metadata"
	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/storage"
)

// noGroup is the number of no group.
const noGroup = math.MaxUint32

// spec is what a group is, beside its labels.
type spec struct {
	rule                        string // its name
	metric                      string // of the inputs
	kind                        kind
	ops                         []Op
	interval, staleness, forget int64 // milliseconds
	since                       int64 // of the rule
}

func (s spec) equal(o spec) bool {
	return slices.Equal(s.ops, o.ops) && s.rule == o.rule && s.metric == o.metric && s.kind == o.kind && s.interval == o.interval &&
		s.staleness == o.staleness && s.forget == o.forget && s.since == o.since
}

// group is what inputs are summed up in: one series for each op. All is guarded by
// Aggregator.mu, but for spec and outputs, which do not change.
type group struct {
	spec
	outputs []labels.Labels
	refs    []storage.SeriesRef // of the outputs where they are stored, as known
	// meta is the metadata of the inputs, if it came with them; described says that
	// somebody was told.
	meta      metadata.Metadata
	described bool
	// next is the group that has taken the place of this one, since rules changed.
	next uint32
	// epoch is that of the rules that the group was last found to follow from.
	epoch uint64

	total float64
	hist  *histogram.FloatHistogram // running total, or nil
	// fresh says that the total does not include yet what was stored before the
	// group was made; resumed, that it was compared with what is stored.
	fresh, resumed bool
	// lost is the time up to which the total may have inputs in it that are not known
	// any more: those that began before count from their first sample on. Behind says
	// that what is known of inputs is older than the total.
	lost   int64
	behind bool
	// emitted says that the last output was a value.
	emitted bool
	// ended are outputs of the group before that this one has not.
	ended []labels.Labels

	// What the last look at all inputs found.
	inputs, live  int
	sum, min, max float64
	now           *histogram.FloatHistogram // sum of gauge histograms
}

// begin forgets what the last look found.
func (g *group) begin() {
	g.inputs, g.live, g.sum, g.min, g.max, g.now = 0, 0, 0, math.NaN(), math.NaN(), nil
}

// see counts an input that is there in.
func (g *group) see(v float64) {
	g.live++
	if g.kind != gauge {
		return
	}
	g.sum += v
	if v < g.min || math.IsNaN(g.min) { // as in PromQL, a number rather than NaN
		g.min = v
	}
	if v > g.max || math.IsNaN(g.max) {
		g.max = v
	}
}

// value returns the output of an op.
func (g *group) value(op Op) float64 {
	switch {
	case g.kind == counter:
		return g.total
	case op == OpMin:
		return g.min
	case op == OpMax:
		return g.max
	case op == OpAvg:
		return g.sum / float64(g.live)
	case op == OpCount:
		return float64(g.live)
	default:
		return g.sum
	}
}

// output is a sample to be stored.
type output struct {
	lset     labels.Labels
	interval int64 // if it was made by recovery
	ref      *storage.SeriesRef
	t        int64
	v        float64
	h        *histogram.FloatHistogram
}

// emit appends the group's samples at t: its values, a stale marker if there was one
// before and is none now, or nothing.
func (g *group) emit(out []output, t int64) []output {
	stale := math.Float64frombits(value.StaleNaN)
	for _, lset := range g.ended {
		out = append(out, output{lset: lset, ref: new(storage.SeriesRef), t: t, v: stale})
	}
	g.ended = nil
	switch {
	case g.live > 0 && g.kind.cumulative() && (!g.resumed || g.kind == histogramCounter && g.hist == nil):
		// It is not known yet where to go on from, or how there are buckets.
	case g.live > 0:
		g.emitted = true
		for i, op := range g.ops {
			o := output{lset: g.outputs[i], ref: &g.refs[i], t: t}
			switch g.kind {
			case histogramCounter:
				o.h = g.hist.Copy()
			case histogramGauge:
				o.h = g.now
			default:
				o.v = g.value(op)
			}
			out = append(out, o)
		}
	case g.emitted && g.live == 0:
		g.emitted = false
		for i := range g.ops {
			out = append(out, output{lset: g.outputs[i], ref: &g.refs[i], t: t, v: stale})
		}
	}
	return out
}

// add adds an increase of a histogram. It returns false if the two do not go
// together.
func (g *group) add(h *histogram.FloatHistogram) bool {
	if g.hist == nil {
		g.hist = h.Copy()
		g.hist.CounterResetHint = histogram.UnknownCounterReset
		return true
	}
	sum, _, _, err := g.hist.Copy().Add(h)
	if err != nil {
		return false
	}
	sum.CounterResetHint = histogram.UnknownCounterReset
	g.hist = sum.Compact(0)
	return true
}

// zero begins the running total of a histogram with buckets like those of h.
func (g *group) zero(h *histogram.FloatHistogram) {
	if g.hist == nil {
		g.hist = &histogram.FloatHistogram{Schema: h.Schema, ZeroThreshold: h.ZeroThreshold, CustomValues: h.CustomValues}
	}
}

// seeHistogram counts a gauge histogram in.
func (g *group) seeHistogram(h *histogram.FloatHistogram) bool {
	g.live++
	if g.kind != histogramGauge {
		return true
	}
	if g.now == nil {
		g.now = h.Copy()
	} else {
		sum, _, _, err := g.now.Copy().Add(h)
		if err != nil {
			return false
		}
		g.now = sum.Compact(0)
	}
	g.now.CounterResetHint = histogram.GaugeType
	return true
}
