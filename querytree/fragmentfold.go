package querytree

import (
	"context"
	"errors"
	"strconv"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/util/annotations"
)

// merger merges the children's answers to one fragment as they come. What a
// series has left of its points after add, the merger has no use for.
type merger interface {
	add(series []promql.Series) error
	held() footprint
}

// footprint is what a merger holds: points, about how many bytes with all that goes
// with them, and series of its result.
type footprint struct{ points, bytes, series int64 }

func (f *fold) held() footprint {
	return footprint{f.cells, f.bytes, int64(len(f.groups) * len(f.ops))}
}

func (f *quantileFold) held() footprint {
	return footprint{f.cells, f.bytes, int64(len(f.values))}
}

// foldEarly merges what has come of a child's answer.
func (r *fragmentRun) foldEarly(ctx context.Context, m Member, series promql.Matrix) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if ctx.Err() != nil {
		return contextError(ctx) // nobody waits for this answer any more
	}
	if r.folded == nil {
		r.folded = map[string]bool{}
	}
	r.folded[m.name()] = true
	return r.foldIn(m.name(), series)
}

// foldIn merges a child's series, and gives back what is now one with others.
func (r *fragmentRun) foldIn(child string, series promql.Matrix) error {
	if r.into == nil {
		r.into = newMerger(r.f, r.ask.opts.MaxSamples, r.name)
	}
	before := r.into.held()
	came := footprint{points: pointsOf(series), bytes: sizeOfMatrix(series)}
	if err := r.into.add(series); err != nil {
		if errors.Is(err, ErrUnavailable) || IsLimit(err) {
			return err
		}
		return &notMergeable{fragment: r.f, why: err.Error()}
	}
	now := r.into.held()
	if err := r.checkGroups(child, now.series); err != nil {
		return err
	}
	if err := r.settle(now.bytes - before.bytes - came.bytes); err != nil {
		return err
	}
	return r.hold(now.points - before.points - came.points)
}

// checkGroups enforces the limit on series while they become more. What is made
// of several operators has one series for all.
func (r *fragmentRun) checkGroups(child string, n int64) error {
	if r.f.final != "" {
		n /= int64(len(r.f.Ops))
	}
	if limit := int64(r.ask.opts.MaxSeries); limit > 0 && n > limit {
		return r.tooManySeries("together with those of", child, limit, n)
	}
	return nil
}

// settle accounts for what is held more now, or less.
func (r *fragmentRun) settle(grown int64) error {
	if grown < 0 {
		r.ask.budget.Release(-grown)
		return nil
	}
	return r.ask.budget.Reserve(grown)
}

func newMerger(f *Fragment, limit int, tier string) merger {
	if f.Merge == MergeQuantile {
		return newQuantileFold(f, f.grid)
	}
	return newFold(f.Ops, f.grid, limit, tier)
}

// fold merges what has not been merged early, in the order of the children so
// that sums come out the same each time, and returns the result.
func (r *fragmentRun) fold(ctx context.Context, parts []promql.Matrix) (promql.Matrix, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i, p := range parts {
		if err := r.foldIn(r.nameOfPart(i), p); err != nil {
			return nil, err
		}
		parts[i] = nil
	}
	m, err := r.folds(ctx)
	var nm *notMergeable
	if err != nil && !errors.As(err, &nm) && !IsLimit(err) && ctx.Err() == nil {
		err = r.unmerged(err)
	}
	if err != nil {
		return nil, err
	}
	if err := r.merged(m); err != nil {
		return nil, err
	}
	return m, r.checkSeries([]promql.Matrix{m})
}

// nameOfPart tells whose answer a part is: a child's, or, after those of all
// children, what this tier's rollups have.
func (r *fragmentRun) nameOfPart(i int) string {
	if i < len(r.f.Children) {
		return r.members[r.f.Children[i]].name()
	}
	return r.name
}

// merged accounts for the result, in place of what it was made of.
func (r *fragmentRun) merged(m promql.Matrix) error {
	if r.into == nil {
		return nil
	}
	was := r.into.held()
	r.into = nil
	if err := r.settle(sizeOfMatrix(m) - was.bytes); err != nil {
		return err
	}
	return r.hold(pointsOf(m) - was.points)
}

// unmerged says that the answers could not be merged. Where a sum is not a
// number, what else there is to ask for does.
func (r *fragmentRun) unmerged(err error) error {
	f := *r.f
	if errors.Is(err, errNotANumber) {
		f.keys = nil
	}
	return &notMergeable{fragment: &f, why: err.Error()}
}

func (r *fragmentRun) folds(ctx context.Context) (promql.Matrix, error) {
	f, ok := r.into.(*fold)
	switch {
	case r.into == nil:
		return nil, nil
	case !ok:
		return r.into.(*quantileFold).result(), nil
	case r.f.final == "avg":
		return f.averages()
	case r.f.final != "":
		return f.spreads(r.f.final)
	}
	m, hists, err := f.result()
	if err != nil || len(hists) == 0 {
		return m, err
	}
	return r.withHistograms(ctx, m, hists)
}

// withHistograms lets the engine aggregate the parts of groups of native
// histograms, and adds them to those of floats.
func (r *fragmentRun) withHistograms(ctx context.Context, m promql.Matrix, hists []promql.Series) (promql.Matrix, error) {
	if why := r.lossy([]promql.Matrix{hists}); why != "" {
		return nil, errors.New(why)
	}
	parts := make(promql.Matrix, len(hists))
	for i, s := range hists {
		parts[i] = s
		parts[i].Metric = labels.NewBuilder(s.Metric).Set(childLabel, strconv.Itoa(i)).Labels()
	}
	sortSeries(parts)
	combined, warn, err := r.combine(ctx, r.f, parts)
	if err != nil {
		return nil, err
	}
	r.warn.Merge(warn)
	m = append(m, combined...)
	sortSeries(m)
	return m, nil
}

// combine evaluates the aggregation of a fragment's parts with the engine.
func (e *execution) combine(ctx context.Context, f *Fragment, parts promql.Matrix) (promql.Matrix, annotations.Annotations, error) {
	run := &fragmentRun{f: f, result: parts, done: make(chan struct{})}
	close(run.done)
	req := e.req
	req.Query, req.Start, req.End = e.m.tickets.deposit(f.above), f.grid.start, f.grid.end
	if f.grid.step > 0 {
		req.Step = f.grid.step
	}
	q, err := newEngineQuery(ctx, e.m.engine, &residualQueryable{
		fragments: map[*labels.Matcher]*fragmentRun{f.standIn: run}, tree: &treeQuerier{m: e.m, ask: e.ask, ctx: ctx}, raw: e.raw,
	}, req)
	if err != nil {
		return nil, nil, err
	}
	res := q.Exec(ctx) // and not closed, see residual
	if res.Err != nil {
		return nil, nil, res.Err
	}
	m, err := matrixOf(ownValue(res.Value))
	return m, res.Warnings, err
}

// exec asks a member, for several operators at once if it knows how.
func (r *fragmentRun) exec(ctx context.Context, m Member, req ExecRequest) (ResultSet, error) {
	if len(r.f.Ops) < 2 {
		return m.Child.Exec(ctx, req)
	}
	if m.Description.Has(FeatureOps) {
		req.Ops, req.ByGroup = r.f.Ops, r.f.Merge == MergeFold
		return m.Child.Exec(ctx, req)
	}
	return execEach(ctx, m.Child, req, r.f.Ops)
}

// execEach asks for several aggregations of one operand one after the other.
// Annotations are those of the operator that the query itself has.
func execEach(ctx context.Context, c Child, req ExecRequest, ops []string) (ResultSet, error) {
	own, byGroup := operatorOf(req.Query), req.ByGroup
	req.ByGroup = false
	if own == nil {
		return nil, errNoAggregation
	}
	var (
		out    promql.Matrix
		warn   annotations.Annotations
		report Report

		explanation *Explanation
	)
	for _, op := range ops {
		r := req
		r.Ops, r.Query = nil, withOperator(req.Query, own, op)
		set, err := c.Exec(ctx, r)
		if err != nil {
			return nil, err
		}
		for set.Next() {
			s := set.At()
			s.Metric = withOp(s.Metric, op)
			out = append(out, s)
		}
		err = set.Err()
		set.Close()
		if err != nil {
			return nil, err
		}
		report.MergePart(set.Report())
		explanation = explanation.join(set.Report().Explanation, op)
		if op == own.Op.String() {
			warn.Merge(set.Warnings())
		} else {
			warn.Merge(telling(set.Warnings()))
		}
	}
	report.Explanation = explanation
	arrange := sortSeriesIn
	if byGroup {
		arrange = groupedByOp
	}
	if err := arrange(ctx, out); err != nil {
		return nil, err
	}
	return NewMatrixSet(out, warn, report), nil
}

// telling keeps the annotations that no other operator may hide: what is
// missing, and what makes a part unfit to be merged.
func telling(warn annotations.Annotations) annotations.Annotations {
	if benign(warn) {
		return onlyPartial(warn)
	}
	return warn
}

// errNoAggregation: a request for several operators is not an aggregation.
var errNoAggregation = errors.New("request for several operators: the query is not an aggregation")

// operatorOf returns the aggregation that a query is, or nil.
func operatorOf(query string) *parser.AggregateExpr {
	e, err := NewParser().ParseExpr(query)
	if err != nil {
		return nil
	}
	n, _ := unparen(e).(*parser.AggregateExpr)
	return n
}

// withOperator returns the query with another operator in place of its own. If
// there is room before it, what comes after keeps its position.
func withOperator(query string, n *parser.AggregateExpr, op string) string {
	start := int(n.PosRange.Start)
	end := start + len(n.Op.String())
	from := start
	for longer := len(op) - (end - start); longer > 0 && from > 0 && query[from-1] == ' '; longer-- {
		from--
	}
	if len(op) < end-start {
		op = blank(query[:end-start-len(op)]) + op
	}
	return query[:from] + op + query[end:]
}
