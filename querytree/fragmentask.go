package querytree

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/util/annotations"
)

// runAlone asks the children of a fragment that has neither guards nor rollups,
// and merges what they say.
func (r *fragmentRun) runAlone(ctx context.Context) (promql.Matrix, error) {
	parts, err := r.askAll(ctx)
	if err != nil {
		return nil, err
	}
	return r.merge(ctx, parts)
}

// childAnswer is what the i-th child of a fragment answered.
type childAnswer struct {
	i   int
	a   answer
	err error
}

// askAll asks the children side by side, each within the soft deadline, whether
// they heed their contexts or not, and returns their parts.
func (r *fragmentRun) askAll(ctx context.Context) ([]promql.Matrix, error) {
	if r.asked != nil {
		defer r.asked.Done()
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	within, stop := context.WithTimeoutCause(ctx, r.ask.soft, ErrLate)
	defer stop()
	var (
		n       = len(r.f.Children)
		answers = make(chan childAnswer, n) // nobody waits to send
		begin   = time.Now()
		parts   = make([]promql.Matrix, n)
		errs    = make([]error, n)
		warn    = make([]annotations.Annotations, n)
		open    = n
	)
	take := func(c childAnswer) {
		a, err := r.taken(ctx, within, r.members[r.f.Children[c.i]], c, time.Since(begin))
		if parts[c.i], warn[c.i], errs[c.i] = a.m, a.warn, err; err != nil {
			cancel()
		}
		open--
	}
	pending := make([]bool, n)
	for i, member := range r.f.Children {
		m := r.members[member]
		r.ask.trace.asks(m.name())
		if err := r.ask.lost.err(m); err != nil {
			r.ask.edge(r.f.ID, m, answer{}, err, 0)
			if errs[i] = r.ask.missing(ctx, m, err); errs[i] != nil {
				cancel()
			}
			open--
			continue
		}
		pending[i] = true
		go func() {
			a, err := r.collect(within, m, r.requestTo())
			answers <- childAnswer{i, a, err}
		}()
	}
	for open > 0 {
		c, ok := next(within, answers)
		if !ok {
			break
		}
		pending[c.i] = false
		take(c)
	}
	for i := range pending {
		if pending[i] {
			take(childAnswer{i: i, err: context.Cause(within)})
		}
	}
	// In the order of the children, since the last of equal ones is kept.
	for _, w := range warn {
		r.warn.Merge(w)
	}
	return parts, firstError(errs)
}

// next returns the next answer, if there is one before ctx ends.
func next(ctx context.Context, answers <-chan childAnswer) (c childAnswer, ok bool) {
	select {
	case c = <-answers:
		return c, true
	case <-ctx.Done():
	}
	select {
	case c = <-answers:
		return c, true
	default:
		return c, false
	}
}

// requestTo is what children are asked.
func (r *fragmentRun) requestTo() ExecRequest {
	req := r.req
	req.Query, req.Ops, req.ByGroup, req.Stats, req.Keeps = r.f.Query, nil, false, r.f.stats, r.f.keeps
	if r.f.grid.step > 0 {
		req.Step = r.f.grid.step
	}
	req.Options = r.ask.below()
	return req
}

// taken notes what a child answered, within its deadline or not. An answer that
// is missing, for which there is a warning then, is empty.
func (r *fragmentRun) taken(ctx, within context.Context, m Member, c childAnswer, took time.Duration) (answer, error) {
	a, err := c.a, lateness(within, r.ask.soft, c.err)
	r.ask.edge(r.f.ID, m, a, err, took)
	if err != nil {
		return answer{}, r.failed(ctx, m, err)
	}
	if why := r.unfit(a); why != "" {
		return answer{}, &notMergeable{fragment: r.f, why: why}
	}
	// What is missing is told even if the query is planned again; the rest goes
	// where the engine looks for it.
	r.ask.answered(m, a.report, onlyPartial(a.warn), a.series, a.samples)
	if r.f.quiet {
		a.warn = nil
	}
	return a, nil
}

// lateness returns the error of a child that had until the deadline of ctx, which
// is soft: ErrLate if it failed because it missed that.
func lateness(ctx context.Context, soft time.Duration, err error) error {
	if errors.Is(err, context.DeadlineExceeded) {
		// The child has a clock of its own, by which it may be over a moment sooner.
		if end, ok := ctx.Deadline(); ok && time.Until(end) < clockDifference {
			<-ctx.Done()
		}
	}
	if err != nil && errors.Is(context.Cause(ctx), ErrLate) {
		return fmt.Errorf("%w (%s)", ErrLate, soft)
	}
	return err
}
