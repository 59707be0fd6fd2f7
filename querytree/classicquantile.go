package querytree

import (
	"context"
	"slices"
	"strconv"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/promql/parser/posrange"
	"github.com/prometheus/prometheus/util/annotations"
)

// classicQuantile evaluates histogram_quantile of a range of classic buckets that
// are one fragment's answer, without the stock engine: that parses the bound of
// each bucket and looks for its histogram at every step, which takes longer than
// to read a month of them from rollups. The quantiles are the engine's.
type classicQuantile struct {
	q    float64
	grid grid
	pos  posrange.PositionRange // of the buckets
	run  *fragmentRun
}

// classicHistogram is a histogram's buckets in the order in which they came.
type classicHistogram struct {
	lset    labels.Labels
	buckets []classicBucket
}

type classicBucket struct {
	bound float64
	left  []promql.FPoint // that are yet to come
}

// newClassicQuantile returns nil if only the engine can evaluate an expression.
func newClassicQuantile(e parser.Expr, req ExecRequest, runs map[*labels.Matcher]*fragmentRun) *classicQuantile {
	call, ok := unparen(e).(*parser.Call)
	if !ok || call.Func.Name != "histogram_quantile" || req.Step <= 0 || req.Stats {
		return nil
	}
	q, ok := unparen(call.Args[0]).(*parser.NumberLiteral)
	if !ok || !(q.Val >= 0 && q.Val <= 1) {
		return nil
	}
	vs, ok := unparen(call.Args[1]).(*parser.VectorSelector)
	if !ok || len(vs.LabelMatchers) != 1 || vs.Timestamp != nil || vs.StartOrEnd != 0 || vs.OriginalOffset != 0 {
		return nil
	}
	c := &classicQuantile{q: q.Val, grid: grid{req.Start, req.End, req.Step}, pos: vs.PosRange, run: runs[vs.LabelMatchers[0]]}
	if c.run == nil || c.run.f.info != nil || c.run.f.grid != c.grid {
		return nil
	}
	return c
}

// evaluate waits for the buckets and returns the quantiles. It is not done if the
// engine has to see them: native histograms, bounds that are no numbers, names, or
// more points than a query may have.
func (c *classicQuantile) evaluate(ctx context.Context, a *asking) (m promql.Matrix, warn annotations.Annotations, done bool, err error) {
	buckets, err := c.run.wait(ctx)
	if err != nil {
		return nil, nil, true, err
	}
	all := histogramsOf(buckets)
	points := int64(len(all)) * int64(c.grid.steps())
	if all == nil || a.opts.MaxSamples > 0 && points > int64(a.opts.MaxSamples) {
		return nil, nil, false, nil
	}
	if err := a.budget.Reserve(points * pointBytes); err != nil {
		return nil, nil, true, err
	}
	warn.Merge(c.run.warn)
	turn := turnFrom(ctx)
	for _, h := range all {
		turn.did(int64(len(h.buckets)) * int64(c.grid.steps()))
		turn.pass(ctx)
		if err := evaluationErr(ctx); err != nil {
			return nil, nil, true, err
		}
		if s := c.quantiles(h, &warn); len(s.Floats) > 0 {
			m = append(m, s)
		}
	}
	sortSeries(m)
	return m, warn, true, nil
}

// histogramsOf puts buckets together to histograms; nil if the engine is to.
func histogramsOf(buckets promql.Matrix) []*classicHistogram {
	out, at := []*classicHistogram{}, map[string]*classicHistogram{}
	var buf []byte
	for _, s := range buckets {
		bound, err := strconv.ParseFloat(s.Metric.Get(labels.BucketLabel), 64)
		reserved := false
		s.Metric.Range(func(l labels.Label) { reserved = reserved || isSchemaLabel(l.Name) })
		if err != nil || reserved || len(s.Histograms) > 0 {
			return nil
		}
		buf = s.Metric.BytesWithoutLabels(buf, labels.BucketLabel)
		h := at[string(buf)]
		if h == nil {
			h = &classicHistogram{lset: labels.NewBuilder(s.Metric).Del(labels.BucketLabel).Labels()}
			at[string(buf)] = h
			out = append(out, h)
		}
		h.buckets = append(h.buckets, classicBucket{bound, s.Floats})
	}
	return out
}

// quantiles returns those of one histogram, and notes what the engine would say of
// its buckets.
func (c *classicQuantile) quantiles(h *classicHistogram, warn *annotations.Annotations) promql.Series {
	out := promql.Series{Metric: h.lset, Floats: make([]promql.FPoint, 0, c.longest(h))}
	var at promql.Buckets
	for i := range c.grid.steps() {
		t := c.grid.time(i)
		at = at[:0]
		for j := range h.buckets {
			if b := &h.buckets[j]; len(b.left) > 0 && b.left[0].T == t {
				if v := b.left[0].F; !value.IsStaleNaN(v) {
					at = append(at, promql.Bucket{UpperBound: b.bound, Count: v})
				}
				b.left = b.left[1:]
			}
		}
		if len(at) == 0 {
			continue
		}
		v, forced, _, least, most, by := promql.BucketQuantile(c.q, at)
		if forced {
			warn.Add(annotations.NewHistogramQuantileForcedMonotonicityInfo("", c.pos, t, least, most, by))
		}
		out.Floats = append(out.Floats, promql.FPoint{T: t, F: v})
	}
	return out
}

// longest returns a number of points that the quantiles of a histogram likely have.
func (c *classicQuantile) longest(h *classicHistogram) int {
	return len(slices.MaxFunc(h.buckets, func(a, b classicBucket) int { return len(a.left) - len(b.left) }).left)
}
