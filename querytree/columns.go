package querytree

import (
	"math"
	"slices"

	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/util/kahansum"
)

// columns aggregates floats on a step grid, series by series: each group is a
// few arrays over the steps, and a series is added to them in one pass. The
// stock engine goes step by step over all series instead, and finds the next
// point of each in another place of the memory.
//
// The arithmetic is that of the stock engine, operation by operation, so that
// the same series in the same order give the same bits. It is not safe for
// concurrent use.
type columns struct {
	op     parser.ItemType
	param  float64 // of quantile
	grid   grid
	steps  int
	index  []int32 // scratch: the step of each point of a series with gaps
	dense  []int32 // 0, 1, 2, …: the steps of a series without
	groups []column
	held   int // values kept for quantile
}

// column is one group. Which arrays there are depends on the operator.
type column struct {
	seen  []bool
	value []float64 // sum, min, max, or the sum of squared differences
	comp  []float64 // what sum and avg lost to rounding; the mean of stddev and stdvar
	count []float64
	// mean is that of the steps of an avg where the sum would overflow; nil
	// before the first of these.
	mean        []float64
	incremental []bool
	values      [][]float64 // what quantile has to sort
}

// columnOps are the operators that columns know.
var columnOps = []parser.ItemType{
	parser.SUM, parser.MIN, parser.MAX, parser.COUNT, parser.GROUP, parser.AVG, parser.STDDEV, parser.STDVAR, parser.QUANTILE,
}

// newColumns returns an aggregation without groups. The operator must be one of
// columnOps; param is that of quantile.
func newColumns(op parser.ItemType, param float64, g grid) *columns {
	c := &columns{op: op, param: param, grid: g, steps: g.steps()}
	c.dense = make([]int32, c.steps)
	for i := range c.dense {
		c.dense[i] = int32(i)
	}
	return c
}

// open appends a group.
func (c *columns) open() {
	n := column{seen: make([]bool, c.steps)}
	if c.op != parser.GROUP && c.op != parser.COUNT && c.op != parser.QUANTILE {
		n.value = make([]float64, c.steps)
	}
	switch c.op {
	case parser.SUM:
		n.comp = make([]float64, c.steps)
	case parser.COUNT:
		n.count = make([]float64, c.steps)
	case parser.AVG, parser.STDDEV, parser.STDVAR:
		n.comp, n.count = make([]float64, c.steps), make([]float64, c.steps)
	case parser.QUANTILE:
		n.values = make([][]float64, c.steps)
	}
	c.groups = append(c.groups, n)
}

// cells is the number of values held: what --query.max-samples bounds.
func (c *columns) cells() int { return len(c.groups)*c.steps + c.held }

// add takes in a series of a group, whose points must lie on the grid.
func (c *columns) add(group int, points []promql.FPoint) {
	at, to := c.at(points), &c.groups[group]
	switch c.op {
	case parser.SUM:
		to.sum(at, points)
	case parser.MIN:
		to.min(at, points)
	case parser.MAX:
		to.max(at, points)
	case parser.GROUP:
		for _, i := range at {
			to.seen[i] = true
		}
	case parser.COUNT:
		for _, i := range at {
			to.seen[i] = true
			to.count[i]++
		}
	case parser.AVG:
		to.avg(at, points)
	case parser.STDDEV, parser.STDVAR:
		to.moments(at, points)
	case parser.QUANTILE:
		for k, i := range at {
			to.seen[i] = true
			to.values[i] = append(to.values[i], points[k].F)
		}
		c.held += len(at)
	}
}

// at returns the steps of points.
func (c *columns) at(points []promql.FPoint) []int32 {
	if len(points) == c.steps {
		return c.dense
	}
	c.index = c.index[:0]
	i, t := int32(0), c.grid.start
	for _, p := range points {
		for t != p.T && int(i) < c.steps {
			i, t = i+1, t+c.grid.step
		}
		if int(i) >= c.steps {
			break
		}
		c.index = append(c.index, i)
	}
	return c.index
}

func (to *column) sum(at []int32, points []promql.FPoint) {
	seen, value, comp := to.seen, to.value, to.comp
	for k, i := range at {
		if f := points[k].F; seen[i] {
			value[i], comp[i] = kahansum.Inc(f, value[i], comp[i])
		} else {
			seen[i], value[i] = true, f
		}
	}
}

func (to *column) min(at []int32, points []promql.FPoint) {
	for k, i := range at {
		if f := points[k].F; !to.seen[i] || to.value[i] > f || math.IsNaN(to.value[i]) {
			to.seen[i], to.value[i] = true, f
		}
	}
}

func (to *column) max(at []int32, points []promql.FPoint) {
	for k, i := range at {
		if f := points[k].F; !to.seen[i] || to.value[i] < f || math.IsNaN(to.value[i]) {
			to.seen[i], to.value[i] = true, f
		}
	}
}

// avg sums up, and goes on with the mean where the sum would overflow.
func (to *column) avg(at []int32, points []promql.FPoint) {
	for k, i := range at {
		f := points[k].F
		to.count[i]++
		if !to.seen[i] {
			to.seen[i], to.value[i] = true, f
			continue
		}
		n := to.count[i]
		if to.mean == nil || !to.incremental[i] {
			sum, comp := kahansum.Inc(f, to.value[i], to.comp[i])
			if !math.IsInf(sum, 0) {
				to.value[i], to.comp[i] = sum, comp
				continue
			}
			if to.mean == nil {
				to.mean, to.incremental = make([]float64, len(to.seen)), make([]bool, len(to.seen))
			}
			to.incremental[i] = true
			to.mean[i] = to.value[i] / (n - 1)
			to.comp[i] /= n - 1
		}
		q := (n - 1) / n
		to.mean[i], to.comp[i] = kahansum.Inc(f/n, q*to.mean[i], q*to.comp[i])
	}
}

// moments is Welford's method.
func (to *column) moments(at []int32, points []promql.FPoint) {
	value, mean, count := to.value, to.comp, to.count
	for k, i := range at {
		f := points[k].F
		count[i]++
		if !to.seen[i] {
			to.seen[i], mean[i] = true, f
			if math.IsNaN(f) || math.IsInf(f, 0) {
				value[i] = math.NaN()
			}
			continue
		}
		delta := f - mean[i]
		mean[i] += delta / count[i]
		value[i] += delta * (f - mean[i])
	}
}

// points returns the result of a group, which has to be asked for once only.
func (c *columns) points(group int) []promql.FPoint {
	g := &c.groups[group]
	n := 0
	for _, seen := range g.seen {
		if seen {
			n++
		}
	}
	out := make([]promql.FPoint, 0, n)
	for i, seen := range g.seen {
		if seen {
			out = append(out, promql.FPoint{T: c.grid.start + int64(i)*c.grid.step, F: c.result(g, i)})
		}
	}
	return out
}

func (c *columns) result(g *column, i int) float64 {
	switch c.op {
	case parser.SUM:
		return g.value[i] + g.comp[i]
	case parser.COUNT:
		return g.count[i]
	case parser.GROUP:
		return 1
	case parser.AVG:
		if g.mean != nil && g.incremental[i] {
			return g.mean[i] + g.comp[i]
		}
		return g.value[i]/g.count[i] + g.comp[i]/g.count[i]
	case parser.STDVAR:
		return g.value[i] / g.count[i]
	case parser.STDDEV:
		return math.Sqrt(g.value[i] / g.count[i])
	case parser.QUANTILE:
		return sortedQuantile(c.param, g.values[i])
	default:
		return g.value[i]
	}
}

// sortedQuantile is quantileOf, but it sorts as the engine does: which of a zero
// and a negative zero comes first depends on it.
func sortedQuantile(q float64, values []float64) float64 {
	if q >= 0 && q <= 1 {
		slices.Sort(values)
	}
	return quantileOf(q, values)
}
