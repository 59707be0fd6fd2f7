package querytree

import (
	"context"
	"errors"
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
	parser parser.Parser
	limits Limits
	name   func() string
	gate   *Gate
	memory *Memory
	turns  *turns
}

// NewInstantQuery implements promql.QueryEngine.
func (e *boundedEngine) NewInstantQuery(ctx context.Context, q storage.Queryable, opts promql.QueryOpts, qs string, ts time.Time) (promql.Query, error) {
	metered, err := e.meter(q, qs, 1)
	if err != nil {
		return nil, err
	}
	query, err := e.engine.NewInstantQuery(ctx, metered, opts, qs, ts)
	return &boundedQuery{Query: query, e: e, extra: metered.growth.bytes(0)}, err
}

// NewRangeQuery implements promql.QueryEngine.
func (e *boundedEngine) NewRangeQuery(ctx context.Context, q storage.Queryable, opts promql.QueryOpts, qs string, start, end time.Time, interval time.Duration) (promql.Query, error) {
	steps := int64(1)
	if interval > 0 {
		steps += max(0, int64(end.Sub(start)/interval))
	}
	metered, err := e.meter(q, qs, steps)
	if err != nil {
		return nil, err
	}
	query, err := e.engine.NewRangeQuery(ctx, metered, opts, qs, start, end, interval)
	return &boundedQuery{Query: query, e: e, extra: metered.growth.bytes(0)}, err
}

// meter returns the storage as one that accounts for what is read of it.
func (e *boundedEngine) meter(q storage.Queryable, query string, steps int64) (*faultyQueryable, error) {
	f, ok := q.(*faultyQueryable)
	if !ok {
		f = &faultyQueryable{Queryable: q}
	}
	if err := e.limits.CheckQuery(query); err != nil {
		return nil, err
	}
	expr, err := e.parser.ParseExpr(query)
	if err != nil {
		return nil, err
	}
	f.measure(expr, steps)
	return f, nil
}

// boundedQuery is one query of a boundedEngine.
type boundedQuery struct {
	promql.Query
	e      *boundedEngine
	extra  int64 // what labels may grow to without any series
	budget *Budget
}

// Exec implements promql.Query.
func (q *boundedQuery) Exec(ctx context.Context) *promql.Result {
	o, _ := OptionsFrom(ctx)
	ctx, cancel := context.WithTimeout(ctx, q.e.limits.Timeout)
	defer cancel()
	leave, err := q.e.gate.Enter(ctx, o.Client)
	if err != nil {
		return &promql.Result{Err: err}
	}
	defer leave()
	ctx, q.budget = q.e.memory.budget(ctx, q.e.name(), lower(q.e.limits.MaxBytes, o.MaxBytes))
	if err := q.budget.Reserve(q.extra); err != nil {
		return &promql.Result{Err: err}
	}
	ctx, turn := q.e.turns.begin(ctx, o.Client)
	defer turn.end()
	res := q.Query.Exec(ctx)
	if res.Err == nil {
		res.Err = q.e.limits.checkResponse(sizeOfValue(res.Value), q.e.name())
	}
	if err := q.e.refusal(q.budget, res.Err); err != nil {
		q.e.memory.metrics.refuse(err)
		return &promql.Result{Err: err, Warnings: res.Warnings}
	}
	return res
}

// refusal returns the limit that ended a query, or nil.
func (e *boundedEngine) refusal(b *Budget, err error) *LimitError {
	var limit *LimitError
	var samples promql.ErrTooManySamples
	switch {
	case errors.As(b.Err(), &limit), errors.As(err, &limit):
		return limit
	case errors.As(err, &samples) && e.limits.EngineSamples() < e.limits.MaxSamples:
		return &LimitError{What: "bytes of samples held by one query", Flag: flagMaxBytes, Limit: e.limits.MaxBytes, Tier: e.name()}
	}
	return nil
}

// Close implements promql.Query.
func (q *boundedQuery) Close() {
	q.Query.Close()
	q.budget.Close()
}
