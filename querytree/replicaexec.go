package querytree

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/util/annotations"
)

// stageSamples is how much of an answer is held until it is known to be whole,
// so that another replica can take over. What is larger is passed on.
const stageSamples = 64 << 10

// Exec implements Child.
func (s *replicaSet) Exec(ctx context.Context, req ExecRequest) (ResultSet, error) {
	mint, maxt, err := s.m.timeRange(req)
	if err != nil {
		return nil, err
	}
	span := clip(mint, maxt)
	for {
		v, err := s.current()
		if err != nil {
			return nil, err
		}
		warn, report, err := v.absent(span, req.Strict)
		if err != nil {
			return nil, err
		}
		var set ResultSet
		if v.covers(v.order[0], span) {
			set, err = s.execOne(ctx, v, req, span)
		} else {
			set, err = s.execRuns(ctx, v, req)
		}
		switch {
		case errors.Is(err, errMoved):
			if ctx.Err() != nil {
				return nil, context.Cause(ctx)
			}
		case err != nil:
			return nil, err
		default:
			report.Merge(s.failures())
			return &toldSet{set, warn, report}, nil
		}
	}
}

// failures are the rows of replicas whose failure another one made good: they
// are not missing.
func (s *replicaSet) failures() Report {
	var out Report
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.replicas {
		if r.failed != nil {
			out.Add(r.Description.Name(), ChildReport{Tier: r.Description.Tier, Verdict: Replaced, Evidence: "another replica answered: " + r.failed.Error()})
		}
	}
	return out
}

// toldSet adds warnings and a report to an answer.
type toldSet struct {
	ResultSet
	warn   annotations.Annotations
	report Report
}

func (s *toldSet) Warnings() annotations.Annotations {
	var out annotations.Annotations
	out.Merge(s.warn)
	return out.Merge(s.ResultSet.Warnings())
}

func (s *toldSet) Report() Report {
	inner := s.ResultSet.Report()
	out := Report{Explanation: inner.Explanation}
	out.Merge(inner)
	out.Merge(s.report)
	return out
}

// execOne asks one replica, or several until one answers whole.
func (s *replicaSet) execOne(ctx context.Context, v *view, req ExecRequest, span Interval) (ResultSet, error) {
	q := request[*stagedSet]{
		set: s, span: span, budget: req.Budget, drop: func(set *stagedSet) { set.Close() },
		ask: func(ctx context.Context, c Child, begun func()) (*stagedSet, error) { return stage(ctx, c, req, begun) },
	}
	a, err := q.run(ctx, v)
	if err != nil {
		return nil, err
	}
	a.value.cancel = a.cancel
	a.value.broken = func(err error) error { return s.broken(a.by, err) }
	return &toldSet{ResultSet: a.value, report: a.rows()}, nil
}

// rows are those of a report that tell who answered.
func (a *answered[T]) rows() Report {
	var out Report
	d := a.by.Description
	if d.Tier != TierLeaf {
		// Leaves have rows of their own in their reports.
		out.Add(d.Name(), ChildReport{Tier: d.Tier, Verdict: Asked, Requests: 1})
	}
	if a.hedged != nil {
		// Its own report, if it won after all, says that it answered.
		h := a.hedged.Description
		out.Add(h.Name(), ChildReport{Tier: h.Tier, Verdict: Replaced, Hedged: true})
	}
	return out
}

// broken is the error of an answer that broke off after some of it was passed
// on.
func (s *replicaSet) broken(r *replica, err error) error {
	if !childsFault(err) {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.lost != nil {
		s.lost.addReplica(r.Description.Name(), err)
	}
	return s.midway(r, err)
}

// stagedSet is an answer that is held, and the rest of it if it is too large
// for that.
type stagedSet struct {
	held   []promql.Series
	budget *Budget // of what is held, which who reads it accounts for
	cur    promql.Series
	rest   ResultSet
	whole  bool
	broken func(error) error
	cancel context.CancelFunc
	err    error
	// vouched are the labels that all series must have.
	vouched vouched
}

// stage asks a child, and holds its answer up to stageSamples.
func stage(ctx context.Context, c Child, req ExecRequest, begun func()) (*stagedSet, error) {
	set, err := c.Exec(ctx, req)
	if err != nil {
		return nil, err
	}
	s := &stagedSet{rest: set, budget: budgetFrom(ctx).part(), vouched: c.Describe().vouches(req.Keeps)}
	if err := s.fill(begun); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

// fill holds series until there are enough, or no more.
func (s *stagedSet) fill(begun func()) error {
	for n := 0; n <= stageSamples; {
		more := s.rest.Next()
		if len(s.held) == 0 {
			begun()
		}
		if !more {
			s.whole = true
			return s.rest.Err()
		}
		at := s.rest.At()
		if err := s.vouched.check(at.Metric); err != nil {
			return err
		}
		if err := s.budget.Reserve(sizeOfSeries(at)); err != nil {
			return err
		}
		s.held = append(s.held, at)
		n += len(at.Floats) + len(at.Histograms) + 1
	}
	return nil
}

func (s *stagedSet) Next() bool {
	if len(s.held) > 0 {
		s.cur, s.held[0], s.held = s.held[0], promql.Series{}, s.held[1:]
		s.budget.Release(sizeOfSeries(s.cur))
		return true
	}
	if s.whole || s.err != nil {
		return false
	}
	err := error(nil)
	if s.rest.Next() {
		s.cur = s.rest.At()
		if err = s.vouched.check(s.cur.Metric); err == nil {
			return true
		}
	} else {
		err = s.rest.Err()
	}
	if err != nil {
		s.err = s.broken(err)
	}
	return false
}

func (s *stagedSet) At() promql.Series                 { return s.cur }
func (s *stagedSet) Err() error                        { return s.err }
func (s *stagedSet) Warnings() annotations.Annotations { return s.rest.Warnings() }
func (s *stagedSet) Report() Report                    { return s.rest.Report() }

func (s *stagedSet) Close() {
	s.rest.Close()
	s.budget.Close()
	if s.cancel != nil {
		s.cancel()
	}
}

// piece is the answer to a part of a request.
type piece struct {
	m      promql.Matrix
	warn   annotations.Annotations
	report Report
}

// execRuns answers a request for times that no replica covers alone: step by
// step from one that covers the step, and where none does from raw series that
// are merged.
func (s *replicaSet) execRuns(ctx context.Context, v *view, req ExecRequest) (ResultSet, error) {
	runs := []stepRun{{start: req.Start, end: req.End}}
	if w, ok := s.m.windowOf(req); ok {
		runs = v.stepRuns(req, w)
	}
	held := budgetFrom(ctx).part()
	var p piece
	parts, err := s.askRuns(ctx, v, req, runs, held)
	if err == nil {
		p, err = joinRuns(ctx, parts)
	}
	if err == nil && !s.accept(v) {
		err = errMoved
	}
	if err != nil {
		held.Close()
		return nil, err
	}
	return &stagedSet{held: p.m, budget: held, whole: true, rest: NewMatrixSet(nil, p.warn, p.report)}, nil
}

// askRuns asks for all runs at once; held has what they hold.
func (s *replicaSet) askRuns(ctx context.Context, v *view, req ExecRequest, runs []stepRun, held *Budget) ([]piece, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	parts, errs := make([]piece, len(runs)), make([]error, len(runs))
	var wg sync.WaitGroup
	for i, r := range runs {
		wg.Go(func() {
			sub := req
			sub.Start, sub.End = r.start, r.end
			if parts[i], errs[i] = s.execRun(ctx, v, sub, r.by, held); errs[i] != nil {
				cancel()
			}
		})
	}
	wg.Wait()
	return parts, causeAmong(errs)
}

// causeAmong returns the error because of which the other parts were cancelled.
func causeAmong(errs []error) error {
	for _, err := range errs {
		if err != nil && !errors.Is(err, context.Canceled) && !errors.As(err, new(promql.ErrQueryCanceled)) {
			return err
		}
	}
	return firstError(errs)
}

// execRun answers one piece, from one replica or, without one, from raw series.
func (s *replicaSet) execRun(ctx context.Context, v *view, req ExecRequest, by *replica, held *Budget) (piece, error) {
	if by == nil {
		return s.repair(ctx, v, req, held)
	}
	limit := v.share(remaining(ctx, req.Budget))
	p, err := watched(ctx, limit, func(ctx context.Context) (piece, error) { return collectPart(ctx, by.Child, req, held) })
	if err == nil && by.Description.Tier != TierLeaf {
		p.report.Add(by.Description.Name(), ChildReport{Tier: by.Description.Tier, Verdict: Asked, Requests: 1})
	}
	return p, s.blame(ctx, v, by, err)
}

// blame notes that a replica failed, if it was its fault, and asks to go on
// without it.
func (s *replicaSet) blame(ctx context.Context, v *view, r *replica, err error) error {
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil: // another request has settled it
		return context.Cause(ctx)
	case !childsFault(err):
		return err
	}
	if err := s.fail(v, failure{r, err}); err != nil {
		return err
	}
	return errMoved
}

// collectPart reads an answer, and accounts for it as it comes.
func collectPart(ctx context.Context, c Child, req ExecRequest, held *Budget) (piece, error) {
	set, err := c.Exec(ctx, req)
	if err != nil {
		return piece{}, err
	}
	defer set.Close()
	var p piece
	samples, vouched := 0, c.Describe().vouches(req.Keeps)
	for set.Next() {
		if err := vouched.check(set.At().Metric); err != nil {
			return piece{}, err
		}
		if err := held.Reserve(sizeOfSeries(set.At())); err != nil {
			return piece{}, err
		}
		p.m = append(p.m, set.At())
		samples += len(set.At().Floats) + len(set.At().Histograms)
		if req.MaxSamples > 0 && samples > req.MaxSamples {
			return piece{}, tooMany("samples of one query", flagMaxSamples, req.MaxSamples, samples, c.Describe().Name())
		}
	}
	p.warn, p.report = set.Warnings(), set.Report()
	return p, set.Err()
}

// repair evaluates a request here, over raw series merged from the replicas,
// within the budget of the query that it is a part of.
func (s *replicaSet) repair(ctx context.Context, v *view, req ExecRequest, held *Budget) (piece, error) {
	chunks := &mergedReplicas{set: s, view: v, opts: req.Options}
	local, err := NewLocal(LocalConfig{
		Engine: s.m.engine, Samples: chunks.samples(), Chunks: chunks, Limits: s.m.cfg.Limits,
		Describe: func() Description { return s.desc },
	})
	if err != nil {
		return piece{}, err
	}
	local.tickets = s.m.tickets // the engine's own
	local.bounded.within = true
	p, err := collectPart(ctx, local, req, nil) // the Local accounts for it
	if err == nil {
		err = held.Reserve(sizeOfValue(p.m))
	}
	var f *replicaError
	if errors.As(err, &f) {
		return piece{}, s.blame(ctx, v, f.replica, f.err)
	}
	if err != nil {
		return piece{}, fmt.Errorf("merge replicas: %w", err)
	}
	warn, report := chunks.told()
	p.report.Merge(report)
	p.warn.Merge(warn)
	return p, nil
}

// joinRuns puts the answers to parts of a grid together, in their order.
func joinRuns(ctx context.Context, parts []piece) (piece, error) {
	if len(parts) == 1 {
		return parts[0], nil
	}
	var out piece
	at := map[string]int{}
	var key []byte
	for _, p := range parts {
		out.warn.Merge(p.warn)
		out.report.MergePart(p.report)
		for _, series := range p.m {
			key = series.Metric.Bytes(key)
			i, ok := at[string(key)]
			if !ok {
				at[string(key)] = len(out.m)
				out.m = append(out.m, series)
				continue
			}
			out.m[i].Floats = append(out.m[i].Floats, series.Floats...)
			out.m[i].Histograms = append(out.m[i].Histograms, series.Histograms...)
		}
	}
	return out, sortSeriesIn(ctx, out.m)
}
