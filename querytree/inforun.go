package querytree

import (
	"context"
	"math"
	"slices"
	"strings"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/storage"
)

// infoArguments returns the second arguments of info(), which the engine
// narrows down before it reads them.
func infoArguments(e parser.Expr) []*parser.VectorSelector {
	var out []*parser.VectorSelector
	parser.Inspect(e, func(n parser.Node, _ []parser.Node) error {
		if c, ok := n.(*parser.Call); ok && c.Func.Name == "info" && len(c.Args) > 1 {
			out = append(out, c.Args[1].(*parser.VectorSelector))
		}
		return nil
	})
	return out
}

// infoSet returns the info series of the targets that the engine selects. It is
// called by the engine, one Select after the other.
func (q *residualQuerier) infoSet(ctx context.Context, of *fragmentRun, ms []*labels.Matcher) storage.SeriesSet {
	read := of.f.info
	var targets []*labels.Matcher
	for _, m := range ms {
		if !slices.Contains(read.matchers, m) {
			targets = append(targets, m)
		}
	}
	narrow := *read.selector
	narrow.LabelMatchers = slices.Concat(read.selector.LabelMatchers, targets)
	key := infoKey{of, narrow.String()}
	if run, ok := q.q.infos[key]; ok {
		return &fragmentSet{ctx: ctx, run: run, grid: run.f.grid}
	}
	f := *of.f
	if text := q.q.infoText(read, &narrow); text != "" {
		f.Query = text
	}
	f.Children = nil
	q.q.candidates(narrow.LabelMatchers).each(func(i int) {
		if _, ok := slices.BinarySearch(of.f.Children, i); ok {
			f.Children = append(f.Children, i)
		}
	})
	run := &fragmentRun{f: &f, members: of.members, req: of.req, ask: of.ask, held: of.held, name: of.name, targets: targets}
	run.start(ctx)
	if q.q.infos == nil {
		q.q.infos = map[infoKey]*fragmentRun{}
	}
	q.q.infos[key] = run
	return &fragmentSet{ctx: ctx, run: run, grid: f.grid}
}

// infoKey tells what info series were asked for.
type infoKey struct {
	of       *fragmentRun
	selector string
}

// infoText returns the query for the narrower selector, or "" if it is too long:
// then all info series are asked for, and those of other targets left out here.
func (q *residualQueryable) infoText(read *infoRead, narrow *parser.VectorSelector) string {
	text := read.query(narrow).String()
	if got, err := q.tree.m.tickets.Parser.ParseExpr(text); err != nil || got.String() != text || len(text) > q.tree.m.cfg.Limits.MaxQueryLength {
		return ""
	}
	return text
}

// ofTargets keeps the info series that the engine asked for, and makes sure that
// no target has two of one metric at one step: which of them is newer cannot be
// told from a grid of values.
func (r *fragmentRun) ofTargets(m promql.Matrix, err error) (promql.Matrix, error) {
	if r.f.info == nil || err != nil {
		return m, err
	}
	m = slices.DeleteFunc(m, func(s promql.Series) bool {
		return slices.ContainsFunc(r.targets, func(t *labels.Matcher) bool { return !t.Matches(s.Metric.Get(t.Name)) })
	})
	if r.f.info.name != "" {
		return m, nil
	}
	typed := false
	for _, s := range m {
		if len(s.Histograms) > 0 {
			return m, nil // the engine refuses these, whichever they are
		}
		typed = typed || hasMetadata(s.Metric)
	}
	if !twiceAtOnce(m) {
		return m, nil
	}
	nm := &notMergeable{fragment: r.f, why: "a target has several info series at one time"}
	if typed { // timestamp() drops these labels along with the name
		nm.fragment.keys = []string{infoTimesKind + strings.TrimPrefix(r.f.key, infoKind)}
	}
	return nil, nm
}

// twiceAtOnce reports whether two series of one target and metric have values at
// one time.
func twiceAtOnce(m promql.Matrix) bool {
	of := map[string][]promql.Series{}
	var buf []byte
	for _, s := range m {
		buf = s.Metric.BytesWithLabels(buf, labels.MetricName, "instance", "job")
		of[string(buf)] = append(of[string(buf)], s)
	}
	at := map[int64]struct{}{} // of one target: what is held is small, and not accounted for
	for _, series := range of {
		if len(series) < 2 {
			continue
		}
		clear(at)
		for _, s := range series {
			for _, p := range s.Floats {
				if _, ok := at[p.T]; ok {
					return true
				}
				at[p.T] = struct{}{}
			}
		}
	}
	return false
}

// newTimedSeries makes a series of the times of samples: it has a sample at each
// of them, so that whoever reads it on the grid finds the same sample there, of
// the same age.
func newTimedSeries(s promql.Series, read *infoRead, g grid) *gridSeries {
	out := &gridSeries{lset: labels.NewBuilder(s.Metric).Set(labels.MetricName, read.name).Labels()}
	next := 0
	for i := range g.steps() {
		t := g.time(i)
		if next == len(s.Floats) || s.Floats[next].T != t {
			if n := len(out.samples); n > 0 && out.samples[n-1].h == nil && !value.IsStaleNaN(out.samples[n-1].f) {
				out.samples = append(out.samples, gridSample{t: t, f: math.Float64frombits(value.StaleNaN)})
			}
			continue
		}
		at := int64(math.Round(s.Floats[next].F*1000)) + read.selector.OriginalOffset.Milliseconds()
		next++
		if n := len(out.samples); n == 0 || out.samples[n-1].t < at {
			out.samples = append(out.samples, gridSample{t: at, f: 1})
		}
	}
	return out
}
