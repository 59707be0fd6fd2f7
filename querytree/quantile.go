package querytree

import (
	"math"
	"math/bits"
	"slices"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
)

// quantileFold gathers the values of an aggregation's operand by group and step,
// and nothing else: a quantile does not depend on whose the values are, nor on
// the order in which they come. It knows floats alone.
//
// It is not safe for concurrent use.
type quantileFold struct {
	q        float64
	grouping []string
	without  bool
	grid     grid
	groups   map[string]*quantileGroup
	lb       *labels.Builder
	buf      []byte
	cells    int64
}

type quantileGroup struct {
	lset labels.Labels
	// values of each step.
	values [][]float64
}

func newQuantileFold(f *Fragment, g grid) *quantileFold {
	return &quantileFold{
		q: f.q, grouping: f.grouping, without: f.without, grid: g,
		groups: map[string]*quantileGroup{}, lb: labels.NewBuilder(labels.EmptyLabels()),
	}
}

// add gathers the values of series of the operand.
func (f *quantileFold) add(series []promql.Series) error {
	for i := range series {
		s := &series[i]
		if len(s.Histograms) > 0 {
			return errMixed // the engine leaves them out, and says so
		}
		g := f.group(s.Metric)
		for _, p := range s.Floats {
			i := f.grid.index(p.T)
			g.values[i] = append(g.values[i], p.F)
		}
		f.cells += int64(len(s.Floats))
	}
	return nil
}

// group returns the group of a label set, by the rules of the engine's
// generateGroupingLabels.
func (f *quantileFold) group(lset labels.Labels) *quantileGroup {
	f.lb.Reset(lset)
	switch {
	case f.without:
		f.lb.Del(f.grouping...)
		f.lb.Del(labels.MetricName)
	case len(f.grouping) > 0:
		f.lb.Keep(f.grouping...)
	default:
		f.lb.Reset(labels.EmptyLabels())
	}
	group := f.lb.Labels()
	f.buf = group.Bytes(f.buf)
	g := f.groups[string(f.buf)]
	if g == nil {
		g = &quantileGroup{lset: group, values: make([][]float64, f.grid.steps())}
		f.groups[string(f.buf)] = g
	}
	return g
}

// result returns the quantiles, sorted by labels.
func (f *quantileFold) result() promql.Matrix {
	out := make(promql.Matrix, 0, len(f.groups))
	for _, g := range f.groups {
		s := promql.Series{Metric: g.lset}
		for i, values := range g.values {
			if len(values) > 0 {
				s.Floats = append(s.Floats, promql.FPoint{T: f.grid.time(i), F: quantileOf(f.q, values)})
			}
		}
		if len(s.Floats) > 0 {
			out = append(out, s)
		}
	}
	sortSeries(out)
	return out
}

// quantileOf is promql's quantile for 0 <= q <= 1, but it selects where that
// sorts. It changes the order of the values.
func quantileOf(q float64, values []float64) float64 {
	rank := q * (float64(len(values)) - 1)
	lower := max(0, int(math.Floor(rank)))
	upper := min(len(values)-1, lower+1)
	weight := rank - math.Floor(rank)
	lo := selectNth(values, lower)
	hi := lo
	if upper > lower {
		hi = least(values[upper:])
	}
	return lo*(1-weight) + hi*weight
}

// selectNth puts the n-th value in its place of the sorted order, NaN being the
// least, with none greater before it and none less after it.
func selectNth(values []float64, n int) float64 {
	nans := 0
	for i, v := range values {
		if math.IsNaN(v) {
			values[i], values[nans] = values[nans], v
			nans++
		}
	}
	if n < nans {
		return math.NaN()
	}
	rest, n := values[nans:], n-nans
	for rounds := 2 * bits.Len(uint(len(rest))); len(rest) > 12; rounds-- {
		if rounds == 0 {
			break // unlucky pivots: sorting what is left bounds the time
		}
		before, after := partition(rest)
		switch {
		case n < before:
			rest = rest[:before]
		case n >= after:
			rest, n = rest[after:], n-after
		default:
			return rest[n]
		}
	}
	slices.Sort(rest)
	return rest[n]
}

// partition orders values around one of them: less before the first index
// returned, equal up to the second, then greater.
func partition(v []float64) (before, after int) {
	a, b, c := v[0], v[len(v)/2], v[len(v)-1]
	pivot := max(min(a, b), min(max(a, b), c))
	before, after = 0, len(v)
	for i := 0; i < after; {
		switch {
		case v[i] < pivot:
			v[i], v[before] = v[before], v[i]
			before++
			i++
		case v[i] > pivot:
			after--
			v[i], v[after] = v[after], v[i]
		default:
			i++
		}
	}
	return before, after
}

// least returns the least of values, none of which is NaN unless all before
// them are.
func least(values []float64) float64 {
	least := values[0]
	for _, v := range values[1:] {
		if v < least || math.IsNaN(v) {
			least = v
		}
	}
	return least
}
