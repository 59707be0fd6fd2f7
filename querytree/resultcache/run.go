package resultcache

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/pandometrics/pando/querytree"
)

// run is the evaluation of the pieces of one query. Its methods are safe for
// concurrent use.
type run struct {
	*query
	keeps bool
	// since is the last epoch that was known long enough before the evaluation,
	// settled the last time of steps that may be kept.
	since   uint64
	settled int64
	until   time.Time // when the request's budget is over; zero means never

	mu      sync.Mutex
	left    []span
	parts   []extent
	series  int
	samples int
	report  querytree.Report
	err     error
}

// all evaluates the pieces, some at a time, until one fails.
func (r *run) all(ctx context.Context, pieces []span, have []extent) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	r.left = pieces
	r.until = deadline(ctx, r.req.Budget)
	for _, e := range have {
		r.report.Merge(cachedReport(e.who))
		if r.add(e); r.err != nil {
			return
		}
	}
	if len(pieces) == 1 {
		r.next(ctx)
		return
	}
	var wg sync.WaitGroup
	for range min(r.cfg.Parallelism, len(pieces)) {
		wg.Go(func() {
			for r.next(ctx) {
			}
			if r.failed() {
				cancel()
			}
		})
	}
	wg.Wait()
}

func (r *run) failed() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.err != nil
}

// next evaluates the next piece, and reports whether to go on.
func (r *run) next(ctx context.Context) bool {
	p, budget, ok := r.take()
	if !ok {
		return false
	}
	req := r.req
	req.Start, req.End, req.Budget = p.from, p.to, budget
	a, err := r.tree.Eval(ctx, req)
	e := extent{from: p.from, to: p.to, series: a.Matrix, who: contributors(a.Report)}
	if len(a.Warnings) > 0 {
		e.notes = []note{{p.from, p.to, a.Warnings}}
	}
	complete := err == nil && whole(a)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.report.MergePart(a.Report)
	if err != nil {
		r.fail(err)
		return false
	}
	r.add(e)
	switch {
	case complete && len(a.Report.Rollups) > 0:
		// Not kept: epochs tell when samples change, and not when points of
		// rollups do, which is later.
	case complete:
		r.keep(e)
	default:
		// A child that hangs should cost its deadline once more, not once for
		// each piece.
		r.left = coalesce(r.left, r.req.Step)
	}
	return r.err == nil
}

// take returns the next piece, and the time that it may take: as long as there
// are more to come, half of what is left.
func (r *run) take() (p span, budget time.Duration, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.err != nil || len(r.left) == 0 {
		return p, 0, false
	}
	p, r.left = r.left[0], r.left[1:]
	if !r.until.IsZero() {
		budget = max(time.Until(r.until), time.Millisecond)
		if len(r.left) > 0 {
			budget /= 2
		}
	}
	return p, budget, true
}

// fail notes an error: the first, or that which was the cause of the first.
func (r *run) fail(err error) {
	if r.err == nil || errors.Is(r.err, context.Canceled) {
		r.err = err
	}
}

// add takes a part of the answer, if it is not too much. run.mu is held, or
// nobody else is there.
func (r *run) add(e extent) {
	r.parts = append(r.parts, e)
	r.samples += e.series.TotalSamples()
	r.series = max(r.series, len(e.series))
	r.within(r.series)
}

// within notes an error if the answer has become too large.
func (r *run) within(series int) {
	o := r.req.Options
	tooMuch := func(what, flag string, limit, n int) {
		if limit > 0 && n > limit {
			r.fail(&querytree.LimitError{What: what, Flag: flag, Limit: int64(limit), Value: int64(n), Tier: r.tree.Describe().Name()})
		}
	}
	tooMuch("series of one request", "query.max-series", o.MaxSeries, series)
	tooMuch("samples of one query", "query.max-samples", o.MaxSamples, r.samples)
}

// keep stores what is settled of a whole answer. run.mu is held.
func (r *run) keep(e extent) {
	to := min(e.to, r.key.floor(r.settled))
	if !r.keeps || to < e.from {
		return
	}
	d := r.tree.Describe()
	if !d.Has(querytree.FeatureEpochs) {
		return
	}
	r.c.store.insert(r.key, r.r, e.slice(e.from, to), r.req.Start, r.since, d.Epochs, r.cfg.Now())
}

// result puts the parts together.
func (r *run) result() (querytree.Answer, error) {
	a := querytree.Answer{Report: r.report}
	if r.err != nil {
		return a, r.err
	}
	slices.SortFunc(r.parts, func(a, b extent) int { return cmp.Compare(a.from, b.from) })
	m := assemble(r.parts)
	if r.within(len(m)); r.err != nil {
		return a, r.err
	}
	a.Matrix = m
	for _, p := range r.parts {
		for _, n := range p.notes {
			a.Warnings.Merge(n.annotations)
		}
	}
	return a, nil
}
