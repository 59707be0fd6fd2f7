package querytree

import (
	"math"

	"github.com/prometheus/prometheus/promql"
)

const (
	// blockValues is how many numbers a block of rows has at most, or one row.
	blockValues = 8 << 10
	// gatherSteps is how many steps are gathered from the rows at a time: eight
	// values are a line of the processor's cache.
	gatherSteps = 8
	// fewRuns: a row with at most one run for so many steps is held as runs.
	fewRuns = 4
	// absentBits are those of a NaN that no value has, since all are made the
	// usual one.
	absentBits = 0x7ff8_0000_0000_ab5e
	// sliceBytes is what a slice takes beside what is in it.
	sliceBytes = 24
)

// groupValues holds the values of one group: those of a series as a row of its
// steps, eight bytes for each; or if it changes little, as the rates of what
// stands still or goes at one pace, as runs of equal values; or if it has few
// points, by step.
type groupValues struct {
	steps  int
	rows   blocks
	runs   blocks // each run a value and its number of steps
	sparse [][]float64
}

// blocks holds numbers in pieces, since what grows in place leaves as much
// garbage behind. The numbers of one row are in one piece.
type blocks [][]float64

// next returns room for n more numbers, and how many numbers the blocks have grown
// by. Blocks double, for most groups of a fine grouping have one row.
func (b *blocks) next(n int) (room []float64, grown int) {
	last := len(*b) - 1
	if last < 0 || len((*b)[last])+n > cap((*b)[last]) {
		size := n
		if last >= 0 {
			size = max(n, min(2*cap((*b)[last]), blockValues)/n*n)
		}
		*b = append(*b, make([]float64, 0, size))
		last++
		grown = size
	}
	full := (*b)[last]
	(*b)[last] = full[:len(full)+n]
	return (*b)[last][len(full):], grown
}

// quantileRow is a series on the grid, and its runs as they are held, if they are
// few.
type quantileRow struct{ values, runs []float64 }

// set makes it the row of a series.
func (r *quantileRow) set(on grid, points []promql.FPoint) {
	r.values = r.values[:0]
	for _, p := range points {
		for i := on.index(p.T); len(r.values) < i; {
			r.values = append(r.values, math.Float64frombits(absentBits))
		}
		if math.IsNaN(p.F) {
			p.F = math.NaN()
		}
		r.values = append(r.values, p.F)
	}
	for len(r.values) < on.steps() {
		r.values = append(r.values, math.Float64frombits(absentBits))
	}
}

// hasFewRuns divides the row in runs, and reports whether these are few.
func (r *quantileRow) hasFewRuns() bool {
	r.runs = r.runs[:0]
	last := uint64(0)
	for i, v := range r.values {
		b := math.Float64bits(v)
		if i > 0 && b == last {
			r.runs[len(r.runs)-1]++
			continue
		}
		last = b
		if r.runs = append(r.runs, v, 1); len(r.runs)/2*fewRuns > len(r.values) {
			return false
		}
	}
	return true
}

// add adds the values of a series, by way of row, and returns how many bytes more
// it takes.
func (g *groupValues) add(on grid, points []promql.FPoint, row *quantileRow) int64 {
	if 2*len(points) < g.steps {
		return g.addSparse(on, points)
	}
	var (
		room  []float64
		grown int
	)
	if row.set(on, points); row.hasFewRuns() {
		room, grown = g.runs.next(len(row.runs))
		copy(room, row.runs)
	} else {
		room, grown = g.rows.next(g.steps)
		copy(room, row.values)
	}
	return 8 * int64(grown)
}

func (g *groupValues) addSparse(on grid, points []promql.FPoint) (bytes int64) {
	if g.sparse == nil && len(points) > 0 {
		g.sparse = make([][]float64, g.steps)
		bytes = sliceBytes * int64(g.steps)
	}
	for _, p := range points {
		i := on.index(p.T)
		before := cap(g.sparse[i])
		g.sparse[i] = append(g.sparse[i], p.F)
		bytes += 8 * int64(cap(g.sparse[i])-before)
	}
	return bytes
}

// gathered are the values of a few steps.
type gathered [gatherSteps][]float64

func (s *gathered) add(k int, v float64) {
	if math.Float64bits(v) != absentBits {
		s[k] = append(s[k], v)
	}
}

// eachStep calls f with the values of each step that has any, in order. They are
// f's to change until it returns.
func (g *groupValues) eachStep(s *gathered, f func(i int, values []float64)) {
	for from := 0; from < g.steps; from += gatherSteps {
		to := min(from+gatherSteps, g.steps)
		g.gather(s, from, to)
		for i := from; i < to; i++ {
			values := &s[i-from]
			if g.sparse != nil {
				*values = append(*values, g.sparse[i]...)
			}
			if len(*values) > 0 {
				f(i, *values)
			}
		}
	}
}

// gather collects the values of the steps before to.
func (g *groupValues) gather(s *gathered, from, to int) {
	for k := range s {
		s[k] = s[k][:0]
	}
	for _, b := range g.rows {
		for ; len(b) > 0; b = b[g.steps:] {
			for k, v := range b[from:to] {
				s.add(k, v)
			}
		}
	}
	for _, b := range g.runs {
		for at := 0; len(b) > 0; b = b[2:] {
			end := at + int(b[1])
			for i := max(at, from); i < min(end, to); i++ {
				s.add(i-from, b[0])
			}
			if at = end; at == g.steps {
				at = 0
			}
		}
	}
}
