package querytree

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
	"github.com/prometheus/prometheus/tsdb/chunks"
	"github.com/prometheus/prometheus/util/annotations"
)

// direct evaluates the expressions that leaves are asked for most, over floats,
// without the stock engine: an instant selector, and rate, increase and delta of
// a range selector. The engine copies the samples of each window, and goes
// through all of them to find counter resets; direct decodes a series once,
// counts resets once, and then needs two samples of each window. The arithmetic
// is the engine's, operation by operation.
type direct struct {
	fn       string // "rate", "increase", "delta", or "" for an instant selector
	counter  bool
	grid     grid
	offset   time.Duration
	window   time.Duration // or the lookback delta
	nameless bool
	info     error // the annotation of a result, if any
	matchers []*labels.Matcher
}

// hints are those that the engine selects with.
func (d *direct) hints() *storage.SelectHints {
	h := &storage.SelectHints{
		Start: d.grid.start - d.offset.Milliseconds() - d.window.Milliseconds() + 1, End: d.grid.end - d.offset.Milliseconds(),
		Step: d.grid.step, Func: d.fn, DisableTrimming: true,
	}
	if d.fn != "" {
		h.Range = d.window.Milliseconds()
	}
	return h
}

// newDirect returns nil if only the engine can evaluate an expression.
func newDirect(e parser.Expr, req ExecRequest, opts *promql.EngineOpts) *direct {
	if opts.UseStartTimestamps || opts.EnableTypeAndUnitLabels {
		return nil
	}
	d := &direct{grid: grid{req.Start, req.End, req.Step}}
	vs, ok := unparen(e).(*parser.VectorSelector)
	if ok {
		if d.window = time.Duration(req.Lookback) * time.Millisecond; d.window == 0 {
			d.window = opts.LookbackDelta
		}
	} else if vs = d.call(unparen(e)); vs == nil {
		return nil
	}
	if vs.Anchored || vs.Smoothed || vs.OriginalOffsetExpr != nil || d.window <= 0 {
		return nil
	}
	d.offset, d.matchers = vs.OriginalOffset, vs.LabelMatchers
	return d
}

// call notes what a function call asks for, and returns its selector, or nil.
func (d *direct) call(e parser.Expr) *parser.VectorSelector {
	c, ok := e.(*parser.Call)
	if !ok || !slices.Contains([]string{"rate", "increase", "delta"}, c.Func.Name) {
		return nil
	}
	ms, ok := c.Args[0].(*parser.MatrixSelector)
	if !ok || ms.RangeExpr != nil {
		return nil
	}
	vs := ms.VectorSelector.(*parser.VectorSelector)
	d.fn, d.counter, d.nameless, d.window = c.Func.Name, c.Func.Name != "delta", true, ms.Range
	if name := metricName(vs); d.counter && !countsByName(name) {
		d.info = annotations.NewPossibleNonCounterInfo(name, ms.PositionRange())
	}
	return vs
}

// metricName returns the one name that a selector selects by.
func metricName(vs *parser.VectorSelector) string {
	for _, m := range vs.LabelMatchers {
		if m.Name == labels.MetricName && m.Type == labels.MatchEqual && m.Value != "" {
			return m.Value
		}
	}
	return ""
}

// countsByName reports whether a metric is a counter by its name.
func countsByName(name string) bool {
	return slices.ContainsFunc([]string{"_total", "_sum", "_count", "_bucket"}, func(s string) bool { return strings.HasSuffix(name, s) })
}

// reader is what one worker reads series with.
type reader struct {
	*direct
	it     chunkenc.Iterator // of series
	chunk  chunkenc.Iterator
	t      []int64
	v      []float64
	resets []int32 // up to and including each sample
}

// evaluate evaluates the expression over the series of a part, whose values have
// no labels. They are appended to points.
func (r *reader) evaluate(ctx context.Context, p *part, points []promql.FPoint) error {
	p.value, p.of, p.nameless = make(promql.Matrix, 0, len(p.series)), make([]int32, 0, len(p.series)), r.nameless
	for i, s := range p.series {
		if err := evaluationErr(ctx); err != nil {
			return err
		}
		if err := r.read(s); err != nil {
			return err
		}
		from := len(points)
		if r.fn == "" {
			points = r.instants(points)
		} else {
			points = r.rates(points)
		}
		if len(points) > from {
			p.value = append(p.value, promql.Series{Floats: points[from:len(points):len(points)]})
			p.of = append(p.of, int32(i))
		}
	}
	if len(p.value) > 0 && r.info != nil {
		p.warn.Add(r.info)
	}
	return nil
}

// evaluationErr says that ctx ended as the engine does.
func evaluationErr(ctx context.Context) error {
	switch err := ctx.Err(); {
	case err == nil:
		return nil
	case errors.Is(err, context.Canceled):
		return promql.ErrQueryCanceled("expression evaluation")
	default:
		return promql.ErrQueryTimeout("expression evaluation")
	}
}

// read decodes the samples that the windows of the grid can hold.
func (r *reader) read(s storage.Series) error {
	r.t, r.v, r.resets = r.t[:0], r.v[:0], r.resets[:0]
	if c, ok := s.(*chunkedSeries); ok && !c.overlap {
		return r.readChunks(c.metas)
	}
	r.it = s.Iterator(r.it)
	_, err := r.readFrom(r.it)
	return err
}

// readChunks decodes chunks that do not overlap.
func (r *reader) readChunks(metas []chunks.Meta) error {
	for _, m := range metas {
		r.chunk = m.Chunk.Iterator(r.chunk)
		if more, err := r.readFrom(r.chunk); err != nil || !more {
			return err
		}
	}
	return nil
}

// readFrom decodes what it holds, and reports whether there may be more of
// interest after it. Stale markers end an instant, but are nothing in a range.
func (r *reader) readFrom(it chunkenc.Iterator) (more bool, err error) {
	first, last := r.grid.start-r.offset.Milliseconds()-r.window.Milliseconds(), r.grid.end-r.offset.Milliseconds()
	resets, n := int32(0), len(r.v)
	before := math.Inf(-1) // nothing is less
	if n > 0 {
		resets, before = r.resets[n-1], r.v[n-1]
	}
	kind := it.Seek(first + 1)
	for ; kind == chunkenc.ValFloat; kind = it.Next() {
		t, v := it.At()
		if t > last {
			return false, nil
		}
		if r.fn != "" && value.IsStaleNaN(v) {
			continue
		}
		if v < before {
			resets++
		}
		before = v
		r.t, r.v, r.resets = append(r.t, t), append(r.v, v), append(r.resets, resets)
	}
	if kind != chunkenc.ValNone {
		return false, errUnusual // a native histogram
	}
	if err := it.Err(); err != nil {
		return false, fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	return true, nil
}

// instants appends the value at each step: that of the last sample, unless it is
// too old or a stale marker.
func (r *reader) instants(points []promql.FPoint) []promql.FPoint {
	next, offset, lookback := 0, r.offset.Milliseconds(), r.window.Milliseconds()
	for ts := r.grid.start; ts <= r.grid.end; ts += r.grid.step {
		at := ts - offset
		for next < len(r.t) && r.t[next] <= at {
			next++
		}
		if next > 0 && r.t[next-1] > at-lookback && !value.IsStaleNaN(r.v[next-1]) {
			points = append(points, promql.FPoint{T: ts, F: r.v[next-1]})
		}
	}
	return points
}

// rates appends the rate, increase or delta over the window at each step: of
// the samples after its start, up to and including those at its end.
func (r *reader) rates(points []promql.FPoint) []promql.FPoint {
	lo, hi := 0, 0 // the window is t[lo:hi]
	offset, window := r.offset.Milliseconds(), r.window.Milliseconds()
	for ts := r.grid.start; ts <= r.grid.end; ts += r.grid.step {
		end := ts - offset
		for hi < len(r.t) && r.t[hi] <= end {
			hi++
		}
		for lo < hi && r.t[lo] <= end-window {
			lo++
		}
		if hi-lo >= 2 {
			points = append(points, promql.FPoint{T: ts, F: r.extrapolate(lo, hi-1, ts-(r.window+r.offset).Milliseconds(), end)})
		}
	}
	return points
}

// extrapolate is promql's extrapolatedRate over the samples from first to last,
// both inclusive, which are different ones.
func (r *reader) extrapolate(first, last int, rangeStart, rangeEnd int64) float64 {
	result := r.v[last] - r.v[first]
	if r.counter && r.resets[last] != r.resets[first] {
		for i := first + 1; i <= last; i++ {
			if r.v[i] < r.v[i-1] {
				result += r.v[i-1]
			}
		}
	}
	toStart := float64(r.t[first]-rangeStart) / 1000
	toEnd := float64(rangeEnd-r.t[last]) / 1000
	sampled := float64(r.t[last]-r.t[first]) / 1000
	average := sampled / float64(last-first)
	threshold := average * 1.1
	if toStart >= threshold {
		toStart = average / 2
	}
	if r.counter {
		// A counter cannot have been below zero.
		toZero := toStart
		if result > 0 && r.v[first] >= 0 {
			toZero = sampled * (r.v[first] / result)
		}
		if toZero < toStart {
			toStart = toZero
		}
	}
	if toEnd >= threshold {
		toEnd = average / 2
	}
	factor := 1.0
	if sampled != 0 {
		factor = (sampled + toStart + toEnd) / sampled
	}
	if r.fn == "rate" {
		factor /= r.window.Seconds()
	}
	return result * factor
}
