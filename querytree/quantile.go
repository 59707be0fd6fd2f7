package querytree

import (
	"math"
	"math/bits"
	"slices"

	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
)

// quantileFold gathers the values of an aggregation's operand by group and step,
// and nothing else: a quantile does not depend on whose the values are, nor on
// the order in which they come. It knows floats alone.
//
// It is not safe for concurrent use.
type quantileFold struct {
	q        float64
	grouping *grouping
	grid     grid
	// values of each group.
	values []groupValues
	cells  int64
	// bytes is about what groups and their values take.
	bytes int64

	// Reused from series to series, and from step to step.
	row     quantileRow
	scratch gathered
}

// quantileGroupBytes is what a group takes beside its labels and values: its place
// among the groups, which grow, and its number.
const quantileGroupBytes = 256

func newQuantileFold(f *Fragment, g grid) *quantileFold {
	return &quantileFold{
		q: f.q, grid: g, grouping: newGrouping(&parser.AggregateExpr{Grouping: f.grouping, Without: f.without}),
	}
}

// add gathers the values of series of the operand.
func (f *quantileFold) add(series []promql.Series) error {
	for i := range series {
		s := &series[i]
		if len(s.Histograms) > 0 {
			return errMixed // the engine leaves them out, and says so
		}
		number, isNew := f.grouping.of(s.Metric, false)
		if isNew {
			f.values = append(f.values, groupValues{steps: f.grid.steps()})
			f.bytes += quantileGroupBytes + labelBytes(f.grouping.groups[number])
		}
		f.bytes += f.values[number].add(f.grid, s.Floats, &f.row)
		f.cells += int64(len(s.Floats))
	}
	return nil
}

// result returns the quantiles, sorted by labels.
func (f *quantileFold) result() promql.Matrix {
	out := make(promql.Matrix, 0, len(f.values))
	for number := range f.values {
		s := promql.Series{Metric: f.grouping.groups[number]}
		f.values[number].eachStep(&f.scratch, func(i int, values []float64) {
			s.Floats = append(s.Floats, promql.FPoint{T: f.grid.time(i), F: quantileOf(f.q, values)})
		})
		f.values[number] = groupValues{}
		if len(s.Floats) > 0 {
			out = append(out, s)
		}
	}
	sortSeries(out)
	return out
}

// quantileOf is promql's quantile of values, of which there is at least one, but
// it selects where that sorts. It changes the order of the values.
func quantileOf(q float64, values []float64) float64 {
	switch {
	case math.IsNaN(q):
		return math.NaN()
	case q < 0:
		return math.Inf(-1)
	case q > 1:
		return math.Inf(+1)
	}
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
