package querytree

import (
	"context"
	"errors"

	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/util/annotations"
)

// budget opens the budget of a request to the mixer.
func (m *Mixer) budget(ctx context.Context, o Options) (context.Context, *Budget) {
	return m.memory.budget(ctx, o.Client, m.name(), lower(m.cfg.Limits.MaxBytes, o.MaxBytes))
}

// settle accounts for an answer, beside those to other pieces of the same query,
// and returns why there is none: the limit that ended the query rather than what
// came of it.
func (m *Mixer) settle(ctx context.Context, value parser.Value, err error) error {
	size := sizeOfValue(value)
	if err == nil {
		err = m.cfg.Limits.checkResponse(size, m.name())
	}
	if err == nil {
		err = budgetFrom(ctx).Reserve(size)
	}
	return m.limited(ctx, err)
}

// limited returns why a request failed: the limit that ended it, if one did,
// rather than what came of it.
func (m *Mixer) limited(ctx context.Context, err error) error {
	if limit := budgetFrom(ctx).Err(); limit != nil {
		err = limit
	}
	err = m.cfg.Limits.ofSamples(ofTime(ctx, err), m.name())
	var own *LimitError
	if errors.As(err, &own) && own.Tier == m.name() {
		m.memory.metrics.refuse(own)
	}
	return err
}

// ofSamples returns err, or if the stock engine says that it would have to hold
// too many samples, which limit that is. How many more the engine does not know:
// it stops at the first.
func (l Limits) ofSamples(err error, tier string) error {
	var samples promql.ErrTooManySamples
	if !errors.As(err, &samples) || IsLimit(err) {
		return err
	}
	most := l.EngineSamples()
	if most < l.MaxSamples {
		return &LimitError{What: "bytes of samples held by one query", Flag: flagMaxBytes, Limit: l.MaxBytes, Value: int64(most+1) * pointBytes, Tier: tier}
	}
	return tooMany("samples of one query", flagMaxSamples, most, most+1, tier)
}

// attempt runs an execution within the budget of the query. What it holds, and
// what is still at work for it, is forgotten with it.
func (e *execution) attempt(ctx context.Context) (parser.Value, annotations.Annotations, error) {
	ctx, part := budgetFrom(ctx).partIn(ctx)
	defer part.Close()
	e.ask.budget = part
	return e.run(ctx)
}

// measured returns the context to evaluate the residual with, within the budget
// of the query.
func (e *execution) measured(ctx context.Context) context.Context {
	m := measuresOf(e.plan.Residual, grid{e.req.Start, e.req.End, e.req.Step})
	// Labels can grow without a series. If it is too much the context ends.
	_ = e.ask.budget.Reserve(m.growth.bytes(0))
	return m.in(ctx)
}
