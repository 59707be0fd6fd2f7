package querytree

import (
	"context"
	"errors"
	"math/bits"
	"slices"
	"strconv"
	"time"

	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/storage"
)

// boundedEngine is the stock engine within the bounds of a leaf: a query waits
// at the gate, holds what its budget allows, and when it takes long goes on in
// turns with others. The Options of a query come with its context.
type boundedEngine struct {
	engine promql.QueryEngine
	parser *parsedTexts
	limits Limits
	name   func() string
	gate   *Gate
	memory *Memory
	turns  *turns
	// within: what is evaluated is a part of a query that a Mixer does in this
	// process, and counts as held by that.
	within bool
}

// NewInstantQuery implements promql.QueryEngine.
func (e *boundedEngine) NewInstantQuery(ctx context.Context, q storage.Queryable, opts promql.QueryOpts, qs string, ts time.Time) (promql.Query, error) {
	if err := e.limits.CheckQueryAt(e.name(), qs); err != nil {
		return nil, err
	}
	query, err := e.engine.NewInstantQuery(ctx, metered(q), opts, qs, ts)
	return &boundedQuery{Query: query, e: e, m: e.measure(qs, grid{})}, err
}

// NewRangeQuery implements promql.QueryEngine.
func (e *boundedEngine) NewRangeQuery(ctx context.Context, q storage.Queryable, opts promql.QueryOpts, qs string, start, end time.Time, interval time.Duration) (promql.Query, error) {
	if err := e.limits.CheckQueryAt(e.name(), qs); err != nil {
		return nil, err
	}
	query, err := e.engine.NewRangeQuery(ctx, metered(q), opts, qs, start, end, interval)
	g := grid{start.UnixMilli(), end.UnixMilli(), interval.Milliseconds()}
	return &boundedQuery{Query: query, e: e, m: e.measure(qs, g)}, err
}

// metered returns the storage as one that accounts for what is read of it.
func metered(q storage.Queryable) *faultyQueryable {
	if f, ok := q.(*faultyQueryable); ok {
		return f
	}
	return &faultyQueryable{Queryable: q}
}

// measure tells what a query may do to series; of one that does not parse,
// nothing.
func (e *boundedEngine) measure(query string, g grid) measures {
	expr, err := e.parser.look(query)
	if err != nil {
		return measures{}
	}
	m := measuresOf(expr, g)
	m.key = strconv.Itoa(bits.Len(uint(g.steps()))) + " " + query
	return m
}

// admission is a query that had its turn at the gate.
type admission struct {
	e      *boundedEngine
	ctx    context.Context
	budget *Budget
	turn   *Turn
	undo   []func()
}

// admit waits for a query's slot and opens its budget. If there is no error, end
// must be called after the query was evaluated, and settle or Budget.Close.
func (e *boundedEngine) admit(ctx context.Context, o Options, m measures) (*admission, error) {
	a := &admission{e: e}
	ctx, cancel := e.limits.timed(ctx, o, e.name())
	a.undo = append(a.undo, cancel)
	leave, err := e.gate.Enter(ctx, o.Client)
	if err != nil {
		a.end()
		return nil, err
	}
	a.undo = append(a.undo, leave)
	ctx, a.budget = e.open(m.in(ctx), o)
	if err := a.budget.Reserve(m.growth.bytes(0)); err != nil {
		a.end()
		a.budget.Close()
		return nil, err
	}
	ctx, turn := e.turns.begin(ctx, o.Client, m.key)
	turn.PassNow(ctx)
	a.undo = append(a.undo, turn.end)
	a.ctx, a.turn = ctx, turn
	return a, nil
}

// open opens the budget of a query.
func (e *boundedEngine) open(ctx context.Context, o Options) (context.Context, *Budget) {
	if b := budgetFrom(ctx); e.within && b != nil {
		return b.partIn(ctx)
	}
	return e.memory.budget(ctx, o.Client, e.name(), lower(e.limits.MaxBytes, o.MaxBytes))
}

// end gives back the slot and the turn, but not what the answer holds.
func (a *admission) end() {
	for _, undo := range slices.Backward(a.undo) {
		undo()
	}
}

// check returns what a query failed with: the limit, if there is one, rather
// than what came of it.
func (a *admission) check(value parser.Value, err error) error {
	if err == nil {
		err = a.e.limits.checkResponse(sizeOfValue(value), a.e.name())
	}
	if limit := a.e.refusal(a.ctx, a.budget, err); limit != nil {
		a.e.memory.metrics.refuse(limit)
		return limit
	}
	return err
}

// settle accounts for the answer alone from now on, until the budget is closed;
// if there is none, it is.
func (a *admission) settle(m promql.Matrix, err error) error {
	if err = a.check(m, err); err != nil {
		a.budget.Close()
		return err
	}
	a.budget.settle(sizeOfValue(m))
	return nil
}

// boundedQuery is one query of a boundedEngine.
type boundedQuery struct {
	promql.Query
	e      *boundedEngine
	m      measures
	budget *Budget
}

// Exec implements promql.Query.
func (q *boundedQuery) Exec(ctx context.Context) *promql.Result {
	o, _ := OptionsFrom(ctx)
	work, err := q.e.admit(ctx, o, q.m)
	if err != nil {
		return &promql.Result{Err: err}
	}
	defer work.end()
	q.budget = work.budget
	var res *promql.Result
	work.turn.lowered(func() { res = q.Query.Exec(work.ctx) })
	if err := work.check(res.Value, res.Err); err != nil {
		return &promql.Result{Err: err, Warnings: res.Warnings}
	}
	return res
}

// refusal returns the limit that ended what was done in ctx, or nil.
func (e *boundedEngine) refusal(ctx context.Context, b *Budget, err error) *LimitError {
	if limit := b.Err(); limit != nil {
		err = limit
	}
	var limit *LimitError
	if errors.As(e.limits.ofSamples(ofTime(ctx, err), e.name()), &limit) {
		return limit
	}
	return nil
}

// Close implements promql.Query.
func (q *boundedQuery) Close() {
	q.Query.Close()
	q.budget.Close()
}
