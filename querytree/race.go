package querytree

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// errMoved says that the set has moved on to another view while a request was
// under way.
var errMoved = errors.New("another replica answers")

// request is one request to a replica set: what to do with a replica, and what
// with an answer that is not needed.
type request[T any] struct {
	set *replicaSet
	// span has the samples that the request looks at, budget is its time.
	span   Interval
	budget time.Duration
	// ask asks one replica. It calls begun when the answer has begun.
	ask func(ctx context.Context, c Child, begun func()) (T, error)
	// drop releases an answer.
	drop func(T)
}

// answered is the answer to a request.
type answered[T any] struct {
	value T
	// by answered; cancel releases it.
	by     *replica
	cancel context.CancelFunc
	// hedged is the replica that was slow, if any.
	hedged *replica
}

// reply is what one replica said.
type reply[T any] struct {
	by    *replica
	value T
	err   error
}

// runner is one replica at work on a request.
type runner struct {
	cancel context.CancelFunc
	since  time.Time
}

// contest is a request under way, under one view.
type contest[T any] struct {
	request[T]
	view     *view
	replies  chan reply[T]
	begun    chan *replica
	over     chan struct{}
	running  map[*replica]runner
	hedged   *replica
	failures []failure
}

// run asks the first replica under a view, and races it with another one if it
// is slow to begin. It returns errMoved if the set has moved on meanwhile.
func (q request[T]) run(ctx context.Context, v *view) (answered[T], error) {
	c := &contest[T]{
		request: q, view: v, replies: make(chan reply[T]), begun: make(chan *replica), over: make(chan struct{}),
		running: map[*replica]runner{},
	}
	defer close(c.over)
	first := v.order[0]
	twin := v.twin(q.span)
	left, limit := remaining(ctx, q.budget), time.Duration(0)
	if len(v.order) > 1 {
		limit = v.share(left)
	}
	delay := time.Duration(0)
	if twin != nil {
		q.set.m.latencies.asked()
		delay = hedgeDelay(first.latency, left)
	}
	c.start(ctx, first)
	a, err := c.referee(ctx, twin, after(delay), after(limit))
	for r, w := range c.running {
		if err != nil || r != a.by {
			w.cancel()
		}
	}
	return a, err
}

// remaining is how long an answer may take: what the budget allows, if there is
// one, and no longer than ctx.
func remaining(ctx context.Context, budget time.Duration) time.Duration {
	if end, ok := ctx.Deadline(); ok {
		if left := max(time.Until(end), time.Millisecond); budget == 0 || left < budget {
			return left
		}
	}
	if budget == 0 {
		return time.Hour
	}
	return budget
}

// share is how long one replica may take, so that there is time for the others.
func (v *view) share(left time.Duration) time.Duration {
	if len(v.order) > 1 {
		return left / 2
	}
	return left
}

// after returns a channel that is sent to after d, or nil if d is zero.
func after(d time.Duration) <-chan time.Time {
	if d <= 0 {
		return nil
	}
	return time.After(d)
}

// start lets a replica run.
func (c *contest[T]) start(ctx context.Context, r *replica) {
	ctx, cancel := context.WithCancel(ctx)
	c.running[r] = runner{cancel, time.Now()}
	go func() {
		v, err := c.ask(ctx, r.Child, func() {
			select {
			case c.begun <- r:
			case <-c.over:
			}
		})
		select {
		case c.replies <- reply[T]{r, v, err}:
		case <-c.over:
			if err == nil {
				c.drop(v)
			}
		}
	}()
}

// referee waits for the first whole answer.
func (c *contest[T]) referee(ctx context.Context, twin *replica, hedge, limit <-chan time.Time) (answered[T], error) {
	for {
		select {
		case r := <-c.begun:
			c.observe(r)
			hedge = nil
		case <-hedge:
			if !c.set.settled(c.view) && c.set.m.latencies.mayHedge() {
				c.hedged = c.view.order[0]
				c.observe(c.hedged)
				c.start(ctx, twin)
			}
			hedge = nil
		case <-limit:
			if err := c.late(); err != nil {
				return answered[T]{}, err
			}
		case r := <-c.replies:
			if a, err := c.take(ctx, r); err != nil || a.by != nil {
				return a, err
			}
			hedge = nil
		case <-c.view.stale:
			return answered[T]{}, errMoved
		case <-ctx.Done():
			return answered[T]{}, context.Cause(ctx)
		}
	}
}

func (c *contest[T]) observe(r *replica) {
	if w, ok := c.running[r]; ok {
		c.set.m.latencies.observe(r.Description.Name(), time.Since(w.since))
	}
}

// take judges a reply. It returns neither an answer nor an error if another
// replica is still at work.
func (c *contest[T]) take(ctx context.Context, r reply[T]) (answered[T], error) {
	w, ok := c.running[r.by]
	switch {
	case !ok && r.err == nil: // it was given up
		c.drop(r.value)
		return answered[T]{}, nil
	case !ok:
		return answered[T]{}, nil
	case r.err == nil && c.settle(r.by):
		return answered[T]{value: r.value, by: r.by, cancel: w.cancel, hedged: c.hedged}, nil
	case r.err == nil:
		c.drop(r.value)
		return answered[T]{}, c.giveUp(r.by, nil)
	case ctx.Err() != nil:
		return answered[T]{}, context.Cause(ctx)
	case !childsFault(r.err):
		return answered[T]{}, r.err
	}
	return answered[T]{}, c.giveUp(r.by, r.err)
}

// settle reports whether an answer of that replica may be handed out.
func (c *contest[T]) settle(by *replica) bool {
	if by == c.view.order[0] {
		return c.set.accept(c.view)
	}
	return c.set.prefer(c.view, by)
}

// giveUp goes on without a replica, with the one that it is raced with if that
// may still win. Without err, its answer came when the set had settled on
// another one.
func (c *contest[T]) giveUp(r *replica, err error) error {
	c.running[r].cancel()
	delete(c.running, r)
	if err != nil {
		c.failures = append(c.failures, failure{r, err})
	}
	if len(c.running) > 0 {
		return nil
	}
	if err := c.set.fail(c.view, c.failures...); err != nil {
		return err
	}
	return errMoved
}

// late gives up a replica that took its share of the time.
func (c *contest[T]) late() error {
	first := c.view.order[0]
	w, ok := c.running[first]
	if !ok {
		return nil
	}
	return c.giveUp(first, fmt.Errorf("%w (%s)", ErrLate, time.Since(w.since).Round(time.Millisecond)))
}
