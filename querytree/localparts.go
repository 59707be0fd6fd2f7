package querytree

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/util/annotations"
)

// minFoldSteps is the number of steps from which a query is worth to be
// evaluated by parts by the engine: what that spares grows with them. With fewer,
// only what direct knows is.
const minFoldSteps = 8

// execParts evaluates a range query by parts, if it has any piece for which
// that is cheaper: aggregations of series-wise expressions by columns, with the
// stock engine on top of them, and series-wise expressions as a whole if there
// are cores for it. It returns errUnusual if the stock engine should rather
// evaluate the whole.
func (l *Local) execParts(ctx context.Context, req ExecRequest) (promql.Matrix, annotations.Annotations, error) {
	g := grid{req.Start, req.End, req.Step}
	if l.engine == nil || l.cfg.EngineOpts.EnableDelayedNameRemoval || req.NoPushdown || req.Step <= 0 || req.End < req.Start {
		return nil, nil, errUnusual
	}
	few := g.steps() < minFoldSteps
	if few && l.odd.has(req.Query) {
		return nil, nil, errUnusual
	}
	expr, err := l.tickets.Parser.ParseExpr(req.Query)
	if err != nil {
		return nil, nil, errUnusual // the stock engine says it better
	}
	pieces := aggregations(expr)
	if few && !l.allDirect(expr, pieces, req) || len(pieces) == 0 && !l.gathers(expr, req) {
		return nil, nil, errUnusual
	}
	ctx, leave, err := l.begin(ctx, req)
	if err != nil {
		return nil, nil, err
	}
	defer leave()
	var (
		m    promql.Matrix
		warn annotations.Annotations
	)
	if len(pieces) == 0 {
		m, warn, err = l.gatherParts(ctx, req, expr)
	} else {
		m, warn, err = l.foldParts(ctx, req, expr, pieces)
	}
	if few {
		l.odd.note(req.Query, unusual(err))
	}
	return m, warn, err
}

// allDirect reports whether nothing is left to the engine but what is above
// aggregations.
func (l *Local) allDirect(e parser.Expr, pieces []*parser.AggregateExpr, req ExecRequest) bool {
	if len(pieces) == 0 {
		return newDirect(e, req, l.cfg.EngineOpts) != nil
	}
	return !slices.ContainsFunc(pieces, func(n *parser.AggregateExpr) bool { return newDirect(n.Expr, req, l.cfg.EngineOpts) == nil })
}

// gathers reports whether it is worth to evaluate a whole query by parts.
func (l *Local) gathers(e parser.Expr, req ExecRequest) bool {
	if e.Type() != parser.ValueTypeVector || seriesWiseSelector(e) == nil {
		return false
	}
	return l.cfg.Cores.limit.Load() > 1 || newDirect(e, req, l.cfg.EngineOpts) != nil
}

// begin takes a slot for a query that is evaluated by parts: one, however many
// parts there are.
func (l *Local) begin(ctx context.Context, req ExecRequest) (context.Context, func(), error) {
	ctx, cancel := context.WithTimeout(ctx, l.cfg.EngineOpts.Timeout)
	leave := cancel
	if tracker := l.cfg.EngineOpts.ActiveQueryTracker; tracker != nil {
		slot, err := tracker.Insert(ctx, req.Query)
		if err != nil {
			cancel()
			return nil, nil, err
		}
		leave = func() {
			tracker.Delete(slot)
			cancel()
		}
	}
	return ctx, leave, nil
}

// gatherParts evaluates a series-wise query.
func (l *Local) gatherParts(ctx context.Context, req ExecRequest, expr parser.Expr) (promql.Matrix, annotations.Annotations, error) {
	sink := &gather{limit: l.cfg.EngineOpts.MaxSamples}
	warn, err := l.runParts(ctx, req, sink, expr, func(e parser.Expr) parser.Expr { return e })
	if err != nil {
		return nil, nil, err
	}
	return sink.m, warn, sortSeriesIn(ctx, sink.m)
}

// foldParts evaluates the aggregations of a query by columns, and the rest of it
// over their results.
func (l *Local) foldParts(ctx context.Context, req ExecRequest, expr parser.Expr, pieces []*parser.AggregateExpr) (promql.Matrix, annotations.Annotations, error) {
	var warn annotations.Annotations
	results := make([]promql.Matrix, len(pieces))
	for i, n := range pieces {
		f := newAggregation(n, []parser.ItemType{n.Op}, grid{req.Start, req.End, req.Step}, l.cfg.EngineOpts.MaxSamples)
		w, err := l.runParts(ctx, req, f, n.Expr, func(e parser.Expr) parser.Expr { return aggregations(e)[i].Expr })
		if err != nil {
			return nil, nil, err
		}
		warn.Merge(aggregationWarnings(n))
		warn.Merge(w)
		results[i] = f.matrix(0)
	}
	if n, ok := unparen(expr).(*parser.AggregateExpr); ok && n == pieces[0] {
		return results[0], warn, sortSeriesIn(ctx, results[0])
	}
	m, w, err := l.residual(ctx, req, expr, results)
	warn.Merge(w)
	return m, warn, err
}

// runParts evaluates a piece of a query, which operand finds in the parse tree
// when it needs another of it.
func (l *Local) runParts(ctx context.Context, req ExecRequest, sink partSink, e parser.Expr, operand func(parser.Expr) parser.Expr) (annotations.Annotations, error) {
	parse := func() (parser.Expr, error) {
		e, err := l.tickets.Parser.ParseExpr(req.Query)
		if err != nil {
			return nil, err
		}
		return operand(e), nil
	}
	r := &partRun{
		local: l, req: req, sink: sink, expr: parse,
		name: metricName(seriesWiseSelector(e)), direct: newDirect(e, req, l.cfg.EngineOpts),
	}
	return r.run(ctx)
}

// residual evaluates a query whose aggregations have been evaluated already.
func (l *Local) residual(ctx context.Context, req ExecRequest, expr parser.Expr, results []promql.Matrix) (promql.Matrix, annotations.Annotations, error) {
	source := &foldedQueryable{Queryable: l.cfg.Samples, results: map[*labels.Matcher]promql.Matrix{}, grid: grid{req.Start, req.End, req.Step}}
	next := 0
	expr = replaceAggregations(expr, func(n *parser.AggregateExpr) parser.Expr {
		m := &labels.Matcher{Type: labels.MatchEqual, Name: partLabel, Value: fmt.Sprint(next)}
		source.results[m] = results[next]
		next++
		return &parser.VectorSelector{LabelMatchers: []*labels.Matcher{m}, PosRange: n.PosRange}
	})
	samples := &faultyQueryable{Queryable: source, sorted: orderMatters(req.Query)}
	req.Query = l.tickets.deposit(expr)
	q, err := newEngineQuery(ctx, l.engine, samples, req)
	if err != nil {
		return nil, nil, err
	}
	res := q.Exec(ctx)
	if res.Err != nil {
		return nil, nil, samples.fault(ctx, res.Err)
	}
	m, err := matrixOf(res.Value)
	return m, res.Warnings, err
}

// foldedQueryable is a storage where some matchers stand for results.
type foldedQueryable struct {
	storage.Queryable
	results map[*labels.Matcher]promql.Matrix
	grid    grid
}

// Querier implements storage.Queryable.
func (q *foldedQueryable) Querier(mint, maxt int64) (storage.Querier, error) {
	querier, err := q.Queryable.Querier(mint, maxt)
	if err != nil {
		return nil, err
	}
	return &foldedQuerier{querier, q}, nil
}

type foldedQuerier struct {
	storage.Querier
	q *foldedQueryable
}

// Select implements storage.Querier.
func (q *foldedQuerier) Select(ctx context.Context, sorted bool, hints *storage.SelectHints, ms ...*labels.Matcher) storage.SeriesSet {
	if len(ms) == 1 {
		if m, ok := q.q.results[ms[0]]; ok {
			return &matrixSeriesSet{m: m, grid: q.q.grid}
		}
	}
	return q.Querier.Select(ctx, sorted, hints, ms...)
}

// matrixSeriesSet is a matrix as a storage.SeriesSet, in its order.
type matrixSeriesSet struct {
	m    promql.Matrix
	grid grid
	at   int
}

func (s *matrixSeriesSet) Next() bool {
	s.at++
	return s.at <= len(s.m)
}

func (s *matrixSeriesSet) At() storage.Series                { return newGridSeries(&s.m[s.at-1], s.grid) }
func (s *matrixSeriesSet) Err() error                        { return nil }
func (s *matrixSeriesSet) Warnings() annotations.Annotations { return nil }

// unusual reports whether the stock engine should evaluate a request instead.
func unusual(err error) bool { return errors.Is(err, errUnusual) }
