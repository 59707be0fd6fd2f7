package querytree

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/util/annotations"
)

// manyOps are the operators that several of can be asked for at once.
var manyOps = map[string]parser.ItemType{
	"sum": parser.SUM, "count": parser.COUNT, "avg": parser.AVG, "min": parser.MIN, "max": parser.MAX,
	"group": parser.GROUP, "stdvar": parser.STDVAR, "stddev": parser.STDDEV,
}

// execOps evaluates an aggregation as if with each of several operators. The
// operand is evaluated once, unless it has native histograms.
func (l *Local) execOps(ctx context.Context, req ExecRequest) (promql.Matrix, annotations.Annotations, error) {
	var ops []parser.ItemType
	for i, name := range req.Ops {
		op, ok := manyOps[name]
		if !ok || slices.Contains(req.Ops[:i], name) {
			return nil, nil, fmt.Errorf("exec on %q: operator %q is unknown or asked for twice; use each of sum, count, avg, min, max, group, stdvar, stddev at most once", l.name(), name)
		}
		ops = append(ops, op)
	}
	n, err := l.aggregation(req)
	if err != nil {
		return nil, nil, fmt.Errorf("exec on %q: %w", l.name(), err)
	}
	ctx, leave, err := l.begin(ctx, req)
	if err != nil {
		return nil, nil, err
	}
	defer leave()
	m, warn, err := l.foldOps(ctx, req, n, ops)
	if unusual(err) {
		m, warn, err = l.eachOp(ctx, req, ops)
	}
	return m, warn, err
}

// aggregation parses a request for several operators.
func (l *Local) aggregation(req ExecRequest) (*parser.AggregateExpr, error) {
	e, err := l.tickets.Parser.ParseExpr(req.Query)
	if err != nil {
		return nil, err
	}
	n, ok := unparen(e).(*parser.AggregateExpr)
	if !ok || n.Param != nil {
		return nil, fmt.Errorf("several operators were asked for in place of that of %q, which is not an aggregation without parameter", req.Query)
	}
	return n, nil
}

// foldOps evaluates the operand once: by parts if it can, or as a whole.
func (l *Local) foldOps(ctx context.Context, req ExecRequest, n *parser.AggregateExpr, ops []parser.ItemType) (promql.Matrix, annotations.Annotations, error) {
	g := grid{req.Start, req.End, req.Step}
	if l.cfg.EngineOpts.EnableDelayedNameRemoval || req.End < req.Start {
		return nil, nil, errUnusual
	}
	f := newAggregation(n, ops, g, l.cfg.EngineOpts.MaxSamples)
	var (
		warn annotations.Annotations
		err  error
	)
	if seriesWiseSelector(n.Expr) != nil && req.Step > 0 && (g.steps() >= minFoldSteps || newDirect(n.Expr, req, l.cfg.EngineOpts) != nil) {
		warn, err = l.runParts(ctx, req, f, n.Expr, func(e parser.Expr) parser.Expr { return unparen(e).(*parser.AggregateExpr).Expr })
	} else {
		warn, err = l.aggregateWhole(ctx, req, n.Expr, f)
	}
	if err != nil {
		return nil, nil, err
	}
	var out promql.Matrix
	for i, op := range ops {
		out = append(out, withOps(f.matrix(i), op)...)
	}
	if req.Step == 0 {
		return out, warn, nil
	}
	return out, warn, sortSeriesIn(ctx, out)
}

// aggregateWhole has the engine evaluate the whole operand.
func (l *Local) aggregateWhole(ctx context.Context, req ExecRequest, operand parser.Expr, f *aggregation) (annotations.Annotations, error) {
	sorted := orderMatters(req.Query)
	req.Query = l.tickets.deposit(operand)
	m, warn, err := l.execStock(ctx, l.engine, req, sorted)
	if err != nil {
		return nil, err
	}
	for i, s := range m {
		if i%sortStride == 0 {
			if err := evaluationErr(ctx); err != nil {
				return nil, err
			}
		}
		if err := f.add(s.Metric, false, s); err != nil {
			return nil, err
		}
	}
	return warn, nil
}

// eachOp has the engine evaluate one operator after the other.
func (l *Local) eachOp(ctx context.Context, req ExecRequest, ops []parser.ItemType) (promql.Matrix, annotations.Annotations, error) {
	var (
		out  promql.Matrix
		warn annotations.Annotations
	)
	for _, op := range ops {
		n, err := l.aggregation(req)
		if err != nil {
			return nil, nil, err
		}
		n.Op = op
		one := req
		one.Query = l.tickets.deposit(n)
		m, w, err := l.execStock(ctx, l.engine, one, orderMatters(req.Query))
		if err != nil {
			return nil, nil, err
		}
		warn.Merge(w)
		out = append(out, withOps(m, op)...)
	}
	if req.Step == 0 {
		return out, warn, nil
	}
	return out, warn, sortSeriesIn(ctx, out)
}

// withOps puts the operator on each series.
func withOps(m promql.Matrix, op parser.ItemType) promql.Matrix {
	for i, s := range m {
		m[i].Metric = withOp(s.Metric, strings.ToLower(op.String()))
	}
	return m
}
