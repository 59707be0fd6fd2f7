package querytree

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/util/annotations"
)

// execution is one attempt at a query, according to one plan.
type execution struct {
	m       *Mixer
	req     ExecRequest
	members []Member
	prune   *pruning
	plan    *Plan
	ask     *asking
	held    *atomic.Int64
	// selects: the query reads series.
	selects bool
	// traced are the edges, while they are explained.
	traced map[edgeKey]EdgeExplanation
}

// run starts all fragments and evaluates the residual over them.
func (e *execution) run(ctx context.Context) (parser.Value, annotations.Annotations, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if e.selects {
		if err := e.ask.nobody(e.m, children(e.members)); err != nil {
			return nil, nil, err
		}
	}
	if f, ok := e.plan.wholeQuery(); ok {
		return e.whole(ctx, e.fragmentRun(f, nil))
	}
	runs, uses := map[*labels.Matcher]*fragmentRun{}, standIns(e.plan.Residual)
	asked := &sync.WaitGroup{}
	asked.Add(len(e.plan.Fragments))
	for _, f := range e.plan.Fragments {
		r := e.fragmentRun(f, asked)
		r.readOnce = uses[f.standIn] == 1
		runs[f.standIn] = r
		if f.info != nil {
			asked.Done() // the engine tells whose, and starts it
			continue
		}
		r.start(ctx)
	}
	return e.residual(ctx, runs)
}

// fragmentRun returns one that has yet to be started.
func (e *execution) fragmentRun(f *Fragment, asked *sync.WaitGroup) *fragmentRun {
	return &fragmentRun{f: f, members: e.members, req: e.req, ask: e.ask, held: e.held, name: e.m.name(), asked: asked, combine: e.combine}
}

// whole evaluates a fragment that is the answer. There is nothing to do beside
// that, so it needs no goroutine.
func (e *execution) whole(ctx context.Context, r *fragmentRun) (parser.Value, annotations.Annotations, error) {
	m, err := r.run(ctx)
	if err != nil {
		return nil, nil, err
	}
	warn := e.ask.warnings()
	warn.Merge(r.warn)
	if e.req.Step != 0 {
		return m, warn, nil
	}
	vec := make(promql.Vector, 0, len(m))
	for i, s := range m {
		m[i] = promql.Series{} // its point is copied
		if len(s.Histograms) > 0 {
			vec = append(vec, promql.Sample{Metric: s.Metric, H: s.Histograms[0].H, T: e.req.Start})
		} else if len(s.Floats) > 0 {
			vec = append(vec, promql.Sample{Metric: s.Metric, F: s.Floats[0].F, T: e.req.Start})
		}
	}
	return vec, warn, nil
}

// residual evaluates what was not pushed down, with the stock engine unless it is
// a quantile of buckets.
func (e *execution) residual(ctx context.Context, runs map[*labels.Matcher]*fragmentRun) (parser.Value, annotations.Annotations, error) {
	req := e.req
	if c := newClassicQuantile(e.plan.Residual, req, runs); c != nil {
		if m, warn, done, err := c.evaluate(ctx, e.ask); done {
			all := e.ask.warnings()
			all.Merge(warn)
			return m, all, err
		}
	}
	if req.Stats {
		e.plan.skipBuckets()
	}
	req.Query = e.m.tickets.deposit(e.plan.Residual)
	tree := &treeQuerier{m: e.m, ask: e.ask, ctx: ctx}
	q, err := newEngineQuery(e.measured(ctx), e.m.engine, metered(&residualQueryable{
		fragments: runs, tree: tree, raw: e.raw, candidates: e.prune.candidates, unread: infoArguments(e.plan.Residual),
	}), req)
	if err != nil {
		return nil, nil, err
	}
	// It is not closed: the engine would use the points of the result again, of
	// which there would have to be a copy then.
	res := q.Exec(ctx)
	if res.Err != nil {
		return nil, nil, causeOf(runs, res.Err)
	}
	if err := tornError(&Fragment{ID: "raw"}, e.ask); err != nil {
		return nil, nil, err
	}
	warn := e.ask.warnings()
	warn.Merge(res.Warnings)
	return ownValue(res.Value), warn, nil
}

// causeOf returns the error of the fragment that made the residual fail, as the
// child put it, or else err.
func causeOf(runs map[*labels.Matcher]*fragmentRun, err error) error {
	for _, r := range runs {
		select {
		case <-r.done:
			if r.err != nil && errors.Is(err, r.err) {
				return r.err
			}
		default:
		}
	}
	return err
}

// raw pulls the raw series of a selector that could not be pushed down.
func (e *execution) raw(ctx context.Context, mint, maxt int64, hints *storage.SelectHints, ms []*labels.Matcher) storage.SeriesSet {
	if hints != nil {
		mint, maxt = hints.Start, hints.End
	}
	set := e.m.pull(ctx, SelectRequest{Options: e.req.Options, Mint: mint, Maxt: maxt, Matchers: ms, WholeChunks: true}, e.members, e.prune, e.ask)
	return newSampleSet(set, mint, maxt)
}

// report returns the completeness of the answer.
func (e *execution) report() Report {
	r := e.ask.snapshot()
	r.Merge(e.prune.report(e.req.Detail))
	for _, u := range append(e.plan.rollupUses(e.m.name()), e.ownUse()...) {
		r.addRollup(u)
	}
	return r
}

// ownValue makes the result of a query that is not closed the caller's own:
// histograms may be the same in several points, and what has few points may have
// room for all steps.
func ownValue(v parser.Value) parser.Value {
	switch v := v.(type) {
	case promql.Matrix:
		for i := range v {
			if s := &v[i]; 2*len(s.Floats) < cap(s.Floats) {
				s.Floats = slices.Clone(s.Floats)
			}
			for j, p := range v[i].Histograms {
				v[i].Histograms[j].H = p.H.Copy()
			}
		}
	case promql.Vector:
		for i, s := range v {
			if s.H != nil {
				v[i].H = s.H.Copy()
			}
		}
	}
	return v
}
