package querytree

import (
	"math"
	"slices"

	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/util/annotations"
)

// cancellation is how much smaller than its parts a sum may be before the
// rounding of the parts shows in it: parts are off by 2^-53 at most, so the sum
// is right to about 1e-13, and to 1e-10 if the same happens in the next tier.
const cancellation = 1e-3

// lossy looks for sums whose parts cancel each other out, or overflowed. The
// stock engine compensates over all samples; parts have been rounded.
func (r *fragmentRun) lossy(parts []promql.Matrix) string {
	if r.f.Ops[0] != "sum" {
		return ""
	}
	groups := map[uint64]map[int64]*balance{}
	for _, p := range parts {
		for _, s := range p {
			h := s.Metric.Hash()
			if groups[h] == nil {
				groups[h] = make(map[int64]*balance, len(s.Floats)+len(s.Histograms))
			}
			for _, f := range s.Floats {
				balanceAt(groups[h], f.T).add(f.F)
			}
			for _, hp := range s.Histograms {
				b := balanceAt(groups[h], hp.T)
				b.hint(hp.H.CounterResetHint)
				b.add(hp.H.Sum)
				b.inf = b.inf || math.IsInf(hp.H.Count, 0)
				b.negative = b.negative || hp.H.Count < 0 || math.Signbit(hp.H.ZeroCount)
			}
		}
	}
	conflict := !r.f.stats || slices.ContainsFunc(r.warn.AsErrors(), func(err error) bool {
		return isOf(err, annotations.HistogramCounterResetCollisionWarning)
	})
	for _, g := range groups {
		for _, b := range g {
			if !conflict && b.vague && b.histograms > 1 {
				return "a part does not tell which of its counters were reset"
			}
			if why := b.lossy(); why != "" {
				return why
			}
		}
	}
	return ""
}

// balance is a sum and the sum of magnitudes of the same parts.
type balance struct {
	sum, size float64
	inf       bool
	negative  bool
	// histograms is how many of the parts are; vague is set if any may hide both
	// counters that were reset and others that were not.
	histograms int
	vague      bool
}

func (b *balance) hint(h histogram.CounterResetHint) {
	b.histograms++
	b.vague = b.vague || h == histogram.UnknownCounterReset || h == histogram.GaugeType
}

func balanceAt(g map[int64]*balance, t int64) *balance {
	b := g[t]
	if b == nil {
		b = &balance{}
		g[t] = b
	}
	return b
}

func (b *balance) add(v float64) {
	b.inf = b.inf || math.IsInf(v, 0)
	b.sum += v
	b.size += math.Abs(v)
}

func (b *balance) lossy() string {
	switch {
	case math.IsNaN(b.sum) && !b.inf:
		return ""
	case b.inf || math.IsInf(b.size, 0):
		return "a sum is infinite"
	case b.negative:
		return "a histogram has negative counts"
	case math.Abs(b.sum) < cancellation*b.size:
		return "parts of a sum cancel each other out"
	}
	return ""
}
