package querytree

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/prometheus/prometheus/model/timestamp"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/storage"
)

// Rolled is a Local that answers from its own rollups what they have, and the
// rest from its samples. A query that they have no part in goes to the Local as
// it is. It is safe for concurrent use.
type Rolled struct {
	*Local
	// mixer is over the Local alone.
	mixer *Mixer
	// off: rollups have no part in answers.
	off atomic.Bool
}

var _ Child = (*Rolled)(nil)

// NewRolled returns a Child over a Local that was made with EngineOpts, and the
// rollups of its samples.
func NewRolled(l *Local, w Rewriter) (*Rolled, error) {
	if l.cfg.EngineOpts == nil || w == nil {
		return nil, errors.New("local child with rollups: engine options and a rewriter are required")
	}
	opts := l.cfg.EngineOpts
	limits := l.cfg.Limits
	limits.ChildDeadline = limits.Timeout // the samples have no less time than without rollups
	m, err := NewMixer(MixerConfig{
		Describe: l.cfg.Describe, Rewriter: w, Limits: limits, Logger: opts.Logger,
		Lookback: opts.LookbackDelta, SubqueryStep: unusedSubqueryStep,
		DelayedNameRemoval: opts.EnableDelayedNameRemoval, UseStartTimestamps: opts.UseStartTimestamps,
		Members: func() []Member {
			return []Member{{Child: l, Description: l.cfg.Describe(), Connected: true}}
		},
	})
	if err != nil {
		return nil, fmt.Errorf("local child with rollups: %w", err)
	}
	m.memory = l.bounded.memory // both hold parts of one answer
	return &Rolled{Local: l, mixer: m}, nil
}

// Describe implements Child. Rollups may be older than the samples that it describes.
func (r *Rolled) Describe() Description {
	d := r.Local.Describe()
	if !d.Has(FeatureOwn) {
		d.Features = append(slices.Clip(d.Features), FeatureOwn)
	}
	return d
}

// Mixer returns the Mixer that puts rollups and samples together. Without rollups
// (Options.NoRollup) it answers what the Local does.
func (r *Rolled) Mixer() *Mixer { return r.mixer.now() }

// unusedSubqueryStep is never applied: subqueries without a step have that of
// the Local, which may change, so they are left to it.
const unusedSubqueryStep = time.Minute

// Exec implements Child.
func (r *Rolled) Exec(ctx context.Context, req ExecRequest) (ResultSet, error) {
	if !r.uses(req) {
		return r.Local.Exec(ctx, req)
	}
	req.Strict = true // there is one child: if it fails, all does
	set, err := r.mixer.Exec(ctx, req)
	if err != nil {
		return nil, err
	}
	return &rolledSet{ResultSet: set, r: r}, nil
}

// uses reports whether rollups have a part in the answer to a request.
func (r *Rolled) uses(req ExecRequest) bool {
	if r.off.Load() || req.NoRollup || req.NoPushdown || req.Stats {
		return false
	}
	ops := req.Ops
	if len(ops) == 0 {
		ops = []string{""}
	}
	for _, op := range ops {
		one := req
		if one.Ops = nil; op != "" {
			one.Query = WithOperator(req.Query, op)
		}
		if !r.usesOne(one) {
			return false
		}
	}
	return true
}

func (r *Rolled) usesOne(req ExecRequest) bool {
	m := r.mixer.now()
	if req.Lookback == 0 {
		req.Lookback = m.cfg.Lookback.Milliseconds()
	}
	req.Strict = true
	expr, err := m.parser(req.Query)
	if err != nil || !r.mayUse(expr, req) {
		return false
	}
	e, err := m.newExecution(req, nil, &lost{})
	if err != nil {
		return false // the Local says it better
	}
	for _, f := range e.plan.Fragments {
		if f.rollup != nil {
			return true
		}
	}
	return false
}

// WithOperator returns an aggregation with another operator, or "" if a query is
// none.
func WithOperator(query, op string) string {
	n := operatorOf(query)
	if n == nil {
		return ""
	}
	return withOperator(query, n, op)
}

// parser parses a query as it was written, within limits.
func (m *Mixer) parser(query string) (parser.Expr, error) {
	if err := m.cfg.Limits.CheckQueryAt(m.name(), query); err != nil {
		return nil, err
	}
	return m.tickets.Parser.ParseExpr(query)
}

// mayUse reports whether it is worth to plan a query: it has an aggregation that
// rollups have some steps of, or one in a subquery, of which that is not known
// yet. It must have no subquery whose step is that of the Local.
func (r *Rolled) mayUse(e parser.Expr, req ExecRequest) bool {
	at := RewriteAt{Start: req.Start, End: req.End, Step: req.Step, Lookback: req.Lookback}
	found, defaults := false, false
	parser.Inspect(e, func(n parser.Node, path []parser.Node) error {
		switch n := n.(type) {
		case *parser.AggregateExpr:
			if !found && !inSubquery(path) {
				of, _ := r.mixer.cfg.Rewriter.Rewrite(n, at)
				found = of != nil
			}
			found = found || inSubquery(path)
		case *parser.SubqueryExpr:
			defaults = defaults || n.Step == 0 && n.StepExpr == nil
		}
		return nil
	})
	return found && !defaults
}

// rolledSet is an answer whose report tells of the leaf as one that was asked,
// as those of a Local do.
type rolledSet struct {
	ResultSet
	r               *Rolled
	series, samples int64
}

// Next implements ResultSet.
func (s *rolledSet) Next() bool {
	if !s.ResultSet.Next() {
		return false
	}
	at := s.At()
	s.series, s.samples = s.series+1, s.samples+int64(len(at.Floats)+len(at.Histograms))
	return true
}

// Report implements ResultSet.
func (s *rolledSet) Report() Report {
	of := s.ResultSet.Report()
	d := s.r.Describe()
	out := Report{Rollups: of.Rollups, Explanation: of.Explanation}
	row, asked := of.Children[d.Name()]
	if !asked || row.Verdict != Asked {
		row = ChildReport{Tier: d.Tier, Verdict: Asked, Requests: 1, Series: s.series, Samples: s.samples}
	}
	out.Add(d.Name(), row)
	return out
}

// Engine returns an engine for queries of the leaf's own users, within the
// bounds of that of the Local. Their Options come with the context.
func (r *Rolled) Engine() promql.QueryEngine { return rolledEngine{r} }

type rolledEngine struct{ r *Rolled }

// NewInstantQuery implements promql.QueryEngine.
func (e rolledEngine) NewInstantQuery(ctx context.Context, q storage.Queryable, opts promql.QueryOpts, qs string, ts time.Time) (promql.Query, error) {
	plain, err := e.r.Local.Engine().NewInstantQuery(ctx, q, opts, qs, ts)
	if err != nil {
		return nil, err
	}
	at := timestamp.FromTime(ts)
	return e.query(q, opts, plain, ExecRequest{Query: qs, Start: at, End: at}), nil
}

// NewRangeQuery implements promql.QueryEngine.
func (e rolledEngine) NewRangeQuery(ctx context.Context, q storage.Queryable, opts promql.QueryOpts, qs string, start, end time.Time, interval time.Duration) (promql.Query, error) {
	plain, err := e.r.Local.Engine().NewRangeQuery(ctx, q, opts, qs, start, end, interval)
	if err != nil {
		return nil, err
	}
	req := ExecRequest{Query: qs, Start: timestamp.FromTime(start), End: timestamp.FromTime(end), Step: interval.Milliseconds()}
	return e.query(q, opts, plain, req), nil
}

func (e rolledEngine) query(q storage.Queryable, opts promql.QueryOpts, plain promql.Query, req ExecRequest) promql.Query {
	if opts != nil {
		req.Lookback = opts.LookbackDelta().Milliseconds()
	}
	return &rolledQuery{Query: plain, r: e.r, q: q, opts: opts, req: req}
}

// rolledQuery is one query of a rolledEngine. Which way it goes is decided when
// it is evaluated, for that is when its Options are known.
type rolledQuery struct {
	promql.Query // how it goes
	r            *Rolled
	q            storage.Queryable
	opts         promql.QueryOpts
	req          ExecRequest
}

// Explains reports whether the query, with the Options that ctx carries, is one
// that the tree's explanations tell of: rollups have a part in it.
func (q *rolledQuery) Explains(ctx context.Context) bool {
	req := q.req
	req.Options, _ = OptionsFrom(ctx)
	req, _ = q.r.Mixer().align(req)
	return q.r.uses(req)
}

// Exec implements promql.Query.
func (q *rolledQuery) Exec(ctx context.Context) *promql.Result {
	req := q.req
	req.Options, _ = OptionsFrom(ctx)
	req, aligned := q.r.Mixer().align(req)
	if err := q.choose(ctx, req, aligned); err != nil {
		return &promql.Result{Err: err}
	}
	req.Strict = true
	return q.Query.Exec(WithOptions(ctx, req.Options))
}

// choose replaces the query by what answers it.
func (q *rolledQuery) choose(ctx context.Context, req ExecRequest, aligned *Alignment) error {
	if q.r.uses(req) {
		q.Query.Close()
		m := q.r.Mixer()
		expr, err := m.parse(req.Query)
		if err == nil {
			q.Query = newTreeQueryOf(m, expr, q.req)
		}
		return err
	}
	ReportFrom(ctx).Merge(Report{Aligned: aligned})
	if req.Start == q.req.Start && req.End == q.req.End && req.Step == q.req.Step {
		return nil
	}
	q.Query.Close()
	other, err := q.r.Local.Engine().NewRangeQuery(ctx, q.q, q.opts, req.Query, timestamp.Time(req.Start), timestamp.Time(req.End), time.Duration(req.Step)*time.Millisecond)
	if err == nil {
		q.Query = other
	}
	return err
}
