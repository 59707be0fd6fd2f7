package querytree

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/util/kahansum"
)

// fold merges the children's answers to one aggregation, each as it comes, into
// one column of partial results for each group: what it holds is of the size of
// the merged answer, however many children there are. It knows floats alone;
// groups of native histograms are kept apart, for the engine to merge.
//
// A fold is not safe for concurrent use.
type fold struct {
	// ops are the operators that each child answered with, in the order of their
	// columns. With one operator series carry no OpLabel.
	ops    []string
	grid   grid
	groups map[string]*foldGroup
	buf    []byte
	// cells counts the points held, limit bounds them if it is not zero.
	cells, limit int64
	// bytes is about what groups and their points take.
	bytes int64
	tier  string
}

// Sizes of a fold, in bytes.
const (
	// groupBytes is what a group takes beside its labels, its key and its points:
	// itself, and its share of the map.
	groupBytes = 160
	// columnBytes is what a column takes beside its cells, cellBytes what a cell
	// takes, and sumBytes what one of a sum takes more.
	columnBytes = 96
	cellBytes   = 1 + 8
	sumBytes    = 16
)

// errMixed: a group has floats in one child and histograms in another.
var errMixed = errors.New("floats and native histograms in one group")

func newFold(ops []string, g grid, limit int, tier string) *fold {
	return &fold{ops: ops, grid: g, limit: int64(limit), tier: tier, groups: map[string]*foldGroup{}}
}

// grow counts n more points before they are allocated.
func (f *fold) grow(n int) error {
	if f.cells += int64(n); f.limit > 0 && f.cells > f.limit {
		return &LimitError{What: "samples of one query", Flag: "query.max-samples", Limit: f.limit, Value: f.cells, Tier: f.tier}
	}
	return nil
}

// foldable reports whether the answers to these operators, taken together, can
// be merged: a mean needs to know of how many values, a variance also of which
// mean. What merges, merges again in the tier above.
func foldable(ops []string) bool {
	for _, op := range ops {
		switch op {
		case "sum", "count", "min", "max", "group", "count_values":
		case "avg":
			if !slices.Contains(ops, "count") {
				return false
			}
		case "stddev", "stdvar":
			if !slices.Contains(ops, "count") || !slices.Contains(ops, "avg") {
				return false
			}
		default:
			return false
		}
	}
	return len(ops) > 0
}

// foldGroup is one group of the aggregation.
type foldGroup struct {
	lset labels.Labels
	// first are the points of the only part so far; most groups of a fine grouping
	// never get a second one.
	first []promql.FPoint
	cols  []foldColumn
	// hists are parts with native histograms.
	hists []promql.Series
}

// foldColumn holds the partial results of one operator. The slices have one
// cell for each step; which are used depends on the operator.
type foldColumn struct {
	present []bool
	value   []float64
	// carry compensates the rounding of a sum, size is the sum of magnitudes.
	carry, size []float64
}

// add merges one child's answer, or any part of it that has all operators of its
// groups. It takes points that it keeps out of the series; the others are the
// caller's to use again.
func (f *fold) add(series []promql.Series) error {
	if len(f.ops) > 1 {
		return f.addSeveral(series)
	}
	for i := range series {
		g := f.group(series[i].Metric)
		if err := f.addTo(g, &series[i]); err != nil {
			return err
		}
	}
	return nil
}

// keeps reports whether the points of a series, once added, are still in use:
// the first ones of a group, and native histograms.
func (f *fold) keeps(s promql.Series) bool {
	f.buf = s.Metric.Bytes(f.buf)
	g := f.groups[string(f.buf)]
	return len(s.Histograms) > 0 || g == nil || g.cols == nil && len(g.first) == 0
}

func (f *fold) group(lset labels.Labels) *foldGroup {
	f.buf = lset.Bytes(f.buf)
	g := f.groups[string(f.buf)]
	if g == nil {
		g = &foldGroup{lset: lset}
		f.groups[string(f.buf)] = g
		f.bytes += groupBytes + int64(len(f.buf)) + labelBytes(lset)
	}
	return g
}

// addTo merges a series into its group, for a single operator.
func (f *fold) addTo(g *foldGroup, s *promql.Series) error {
	if len(s.Histograms) > 0 {
		if g.cols != nil || len(g.first) > 0 || len(s.Floats) > 0 {
			return errMixed
		}
		g.hists = append(g.hists, *s)
		f.cells += int64(len(s.Histograms))
		f.bytes += sizeOfSeries(*s)
		return nil
	}
	if g.hists != nil {
		return errMixed
	}
	if g.cols == nil && len(g.first) == 0 {
		// Where points were before there may be room for those of all steps.
		if g.first = s.Floats; 2*len(g.first) < cap(g.first) {
			g.first = slices.Clone(g.first)
		} else {
			s.Floats = nil
		}
		f.cells += int64(len(g.first))
		f.bytes += pointBytes * int64(len(g.first))
		return nil
	}
	if g.cols == nil {
		var err error
		if g.cols, err = f.newColumns(); err != nil {
			return err
		}
		f.column(&g.cols[0], f.ops[0], g.first)
		f.cells -= int64(len(g.first))
		f.bytes -= pointBytes * int64(len(g.first))
		g.first = nil
	}
	f.column(&g.cols[0], f.ops[0], s.Floats)
	return nil
}

func (f *fold) newColumns() ([]foldColumn, error) {
	n := f.grid.steps()
	held := len(f.ops) * n
	if slices.Contains(f.ops, "sum") {
		held += n
	}
	if err := f.grow(held); err != nil {
		return nil, err
	}
	cols := make([]foldColumn, len(f.ops))
	for i, op := range f.ops {
		cols[i] = foldColumn{present: make([]bool, n), value: make([]float64, n)}
		f.bytes += columnBytes + cellBytes*int64(n)
		if op == "sum" {
			cols[i].carry, cols[i].size = make([]float64, n), make([]float64, n)
			f.bytes += sumBytes * int64(n)
		}
	}
	return cols, nil
}

// column merges points into a column of an operator that needs no other. The
// rules are those of promql's aggregation.
func (f *fold) column(c *foldColumn, op string, points []promql.FPoint) {
	for _, p := range points {
		i := f.grid.index(p.T)
		if !c.present[i] {
			c.present[i], c.value[i] = true, p.F
			if op == "sum" {
				c.size[i] = math.Abs(p.F)
			}
			continue
		}
		switch op {
		case "sum":
			c.value[i], c.carry[i] = kahansum.Inc(p.F, c.value[i], c.carry[i])
			c.size[i] += math.Abs(p.F)
		case "count", "count_values":
			c.value[i] += p.F
		case "min":
			if c.value[i] > p.F || math.IsNaN(c.value[i]) {
				c.value[i] = p.F
			}
		case "max":
			if c.value[i] < p.F || math.IsNaN(c.value[i]) {
				c.value[i] = p.F
			}
		}
	}
}

// result returns the merged series, sorted by labels, each operator's with
// OpLabel if there are several, and the parts of groups of native histograms. It
// can be called once: each group is let go of as its series are made.
func (f *fold) result() (promql.Matrix, []promql.Series, error) {
	out := make(promql.Matrix, 0, len(f.groups)*len(f.ops))
	var hists []promql.Series
	for _, g := range f.groups {
		switch {
		case g.hists != nil:
			hists = append(hists, g.hists...)
		case len(g.first) > 0:
			if err := f.checkFirst(g.first); err != nil {
				return nil, nil, err
			}
			out = append(out, promql.Series{Metric: g.lset, Floats: g.first})
		case g.cols != nil:
			var err error
			if out, err = f.appendGroup(out, g); err != nil {
				return nil, nil, err
			}
		}
		*g = foldGroup{}
	}
	f.groups = nil
	sortSeries(out)
	return out, hists, nil
}

// checkFirst looks for a sum that overflowed in a child: the engine would have
// got there by another way.
func (f *fold) checkFirst(points []promql.FPoint) error {
	if f.ops[0] != "sum" {
		return nil
	}
	for _, p := range points {
		if math.IsInf(p.F, 0) {
			return errors.New("a sum is infinite")
		}
	}
	return nil
}

func (f *fold) appendGroup(out promql.Matrix, g *foldGroup) (promql.Matrix, error) {
	for k, op := range f.ops {
		c := &g.cols[k]
		s := promql.Series{Metric: g.lset, Floats: c.room()}
		if len(f.ops) > 1 {
			s.Metric = withOp(g.lset, op)
		}
		for i, ok := range c.present {
			if !ok {
				continue
			}
			v := c.value[i]
			if op == "sum" {
				b := balance{sum: v + c.carry[i], size: c.size[i], inf: math.IsInf(c.size[i], 0)}
				if why := b.lossy(); why != "" {
					return nil, errors.New(why)
				}
				v += c.carry[i]
			}
			s.Floats = append(s.Floats, promql.FPoint{T: f.grid.time(i), F: v})
		}
		if len(s.Floats) > 0 {
			out = append(out, s)
		}
	}
	return out, nil
}

// room returns room for the points of a column.
func (c *foldColumn) room() []promql.FPoint {
	n := 0
	for _, ok := range c.present {
		if ok {
			n++
		}
	}
	return make([]promql.FPoint, 0, n)
}

func withOp(lset labels.Labels, op string) labels.Labels {
	return labels.NewBuilder(lset).Set(OpLabel, op).Labels()
}

// opOf returns the operator of a series in an answer to several.
func opOf(lset labels.Labels) string {
	if op := lset.Get(OpLabel); op != "" {
		return op
	}
	return lset.Get(GroupOpLabel)
}

// withoutOp returns a label set without the operator.
func withoutOp(lset labels.Labels) labels.Labels {
	return labels.NewBuilder(lset).Del(OpLabel, GroupOpLabel).Labels()
}

// groupedByOp puts the operators of an answer to several where requests ByGroup
// want them, and sorts it again, unless ctx ends before that.
func groupedByOp(ctx context.Context, m promql.Matrix) error {
	for i, s := range m {
		if i%sortStride == 0 {
			if err := evaluationErr(ctx); err != nil {
				return err
			}
		}
		m[i].Metric = labels.NewBuilder(withoutOp(s.Metric)).Set(GroupOpLabel, opOf(s.Metric)).Labels()
	}
	return sortSeriesIn(ctx, m)
}

func sortSeries(m promql.Matrix) {
	slices.SortFunc(m, func(a, b promql.Series) int { return labels.Compare(a.Metric, b.Metric) })
}

// steps is the number of evaluation times.
func (g grid) steps() int {
	if g.step <= 0 {
		return 1
	}
	return int((g.end-g.start)/g.step) + 1
}

// index is the step of an evaluation time, which must lie on the grid.
func (g grid) index(t int64) int {
	if g.step <= 0 {
		return 0
	}
	return int((t - g.start) / g.step)
}

func (g grid) time(i int) int64 { return g.start + int64(i)*g.step }

// on reports whether all points of a series lie on the grid.
func (g grid) on(s *promql.Series) error {
	off := func(t int64) bool {
		return t < g.start || t > g.end || (g.step > 0 && (t-g.start)%g.step != 0)
	}
	for _, p := range s.Floats {
		if off(p.T) {
			return fmt.Errorf("%w: a point at %d is not on the grid of the request", ErrUnavailable, p.T)
		}
	}
	for _, p := range s.Histograms {
		if off(p.T) {
			return fmt.Errorf("%w: a point at %d is not on the grid of the request", ErrUnavailable, p.T)
		}
	}
	return nil
}
