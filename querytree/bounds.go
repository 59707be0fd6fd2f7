package querytree

import (
	"context"
	"errors"

	"github.com/prometheus/prometheus/promql/parser"
)

// budget opens the budget of a request to the mixer.
func (m *Mixer) budget(ctx context.Context, o Options) (context.Context, *Budget) {
	return m.memory.budget(ctx, m.name(), lower(m.cfg.Limits.MaxBytes, o.MaxBytes))
}

// settle accounts for the answer alone from now on, and returns why there is
// none: the limit that ended the query rather than the cancellation that came
// of it.
func (m *Mixer) settle(b *Budget, value parser.Value, err error) error {
	size := sizeOfValue(value)
	if err == nil {
		err = m.cfg.Limits.checkResponse(size, m.name())
	}
	if limit := b.Err(); limit != nil {
		err = limit
	}
	var own *LimitError
	if errors.As(err, &own) && own.Tier == m.name() {
		m.memory.metrics.refuse(own)
	}
	if err == nil {
		b.settle(size)
	}
	return err
}

// measured returns the context to evaluate the residual with, within the budget
// of the query.
func (e *execution) measured(ctx context.Context) context.Context {
	m := measuresOf(e.plan.Residual, grid{e.req.Start, e.req.End, e.req.Step})
	// Labels can grow without a series. If it is too much the context ends.
	_ = e.ask.budget.Reserve(m.growth.bytes(0))
	return m.in(ctx)
}
