package querytree

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/util/annotations"
)

// Rewriter knows which aggregations the rollups of a tier answer. It is safe for
// concurrent use and does no I/O; what it returns does.
type Rewriter interface {
	// Rewrite returns the rollup that has some of the steps of an aggregation, or
	// nil. Why says which conditions failed, for each rollup over the same metric;
	// empty if there is none.
	Rewrite(n *parser.AggregateExpr, at RewriteAt) (r *Rollup, why string)
}

// RewriteAt says when, and how, an aggregation is evaluated.
type RewriteAt struct {
	// Start, End and Step are the evaluation times, in milliseconds, as those of
	// an ExecRequest.
	Start, End, Step int64
	// Lookback is the lookback delta in milliseconds.
	Lookback int64
	// Partial: points that lack the part of a child that is gone will do.
	Partial bool
}

// Rollup answers some steps of one aggregation.
type Rollup struct {
	// Rule names it, or the sum and the count that it is made of.
	Rule string
	// Covered are the evaluation times that it has, in order. At most
	// MaxRollupRuns.
	Covered []Interval
	// Until is the newest time for which the rule has a point.
	Until int64
	// Missing are those who had no part in some of the points, by name, with
	// their tier.
	Missing map[string]string
	// Late: some of the points were made long after their samples were final, so that
	// who had gone for good by then has no part in them.
	Late bool
	// Ops are the operators whose parts Read gives: that of the aggregation, or
	// sum and count for a mean.
	Ops []string
	// Read gives the points of covered times, for each operator the series that
	// together make up the aggregation: labels are those of its result, and may
	// occur several times. The slices of points are used again once add has
	// returned. The annotations are what the stock engine would say of
	// the operand, and of parts that are missing.
	Read func(ctx context.Context, op string, add func(promql.Series) error) (annotations.Annotations, error)
}

// MaxRollupRuns bounds the runs of steps that a rollup answers of one
// aggregation, between which children are asked.
const MaxRollupRuns = 8

// RollupUse is what a rollup of one tier had to do with an answer.
type RollupUse struct {
	// Tier is the name of the tier that keeps the rollup.
	Tier string `json:"tier"`
	Rule string `json:"rule"`
	// Steps is how many steps it answered, of Of.
	Steps int `json:"steps"`
	Of    int `json:"of"`
	// Until is the newest time, in milliseconds, for which it has a point.
	Until int64 `json:"until"`
}

// covers counts the steps of a grid that a rollup has.
func (r *Rollup) covers(g grid) (n int) {
	for _, c := range r.Covered {
		n += grid{c.Mint, c.Maxt, g.step}.steps()
	}
	return n
}

// others returns the steps that the rollup does not have, as grids.
func (r *Rollup) others(g grid) (out []grid) {
	step, next := max(g.step, 1), g.start
	for _, c := range r.Covered {
		if c.Mint > next {
			out = append(out, grid{next, c.Mint - step, g.step})
		}
		next = c.Maxt + step
	}
	if next <= g.end {
		out = append(out, grid{next, g.end, g.step})
	}
	return out
}

// fits reports what is wrong with a rollup for a grid, since points in the wrong
// place would be a wrong answer.
func (r *Rollup) fits(g grid) error {
	if len(r.Covered) == 0 || len(r.Covered) > MaxRollupRuns {
		return fmt.Errorf("rollup %q: %d runs of steps", r.Rule, len(r.Covered))
	}
	before := g.start - 1
	for _, c := range r.Covered {
		aligned := g.step <= 0 || (c.Mint-g.start)%g.step == 0 && (c.Maxt-g.start)%g.step == 0
		if c.Mint <= before || c.Maxt < c.Mint || c.Maxt > g.end || !aligned {
			return fmt.Errorf("rollup %q: steps %d..%d of %d..%d/%d", r.Rule, c.Mint, c.Maxt, g.start, g.end, g.step)
		}
		before = c.Maxt
	}
	return nil
}

// rollups is what the Rewriter says of the aggregations of one query.
type rollups struct {
	rewriter Rewriter
	lookback int64
	partial  bool
	// memo holds what was said, by node and grid.
	memo map[rollupKey]rollupFound
	// misses says of aggregations why there is no rollup for them.
	misses []Cut
}

type rollupKey struct {
	n *parser.AggregateExpr
	g grid
}

type rollupFound struct {
	r   *Rollup
	why string
}

func (r *rollups) find(n *parser.AggregateExpr, g grid) *Rollup {
	if r == nil || r.rewriter == nil {
		return nil
	}
	key := rollupKey{n, g}
	found, ok := r.memo[key]
	if !ok {
		found.r, found.why = r.rewriter.Rewrite(n, RewriteAt{Start: g.start, End: g.end, Step: g.step, Lookback: r.lookback, Partial: r.partial})
		if found.r != nil {
			if err := found.r.fits(g); err != nil {
				found = rollupFound{why: err.Error()}
			}
		}
		r.memo[key] = found
		if found.why != "" {
			r.misses = append(r.misses, Cut{Expr: n.String(), Why: found.why})
		}
	}
	return found.r
}

func newRollups(w Rewriter, req ExecRequest) *rollups {
	return &rollups{rewriter: w, lookback: req.Lookback, partial: !req.Strict, memo: map[rollupKey]rollupFound{}}
}

func (r *rollups) missed() []Cut {
	if r == nil {
		return nil
	}
	return r.misses
}

// rollup returns the rollup for an aggregation at hand, unless it turned out not
// to do.
func (b *builder) rollup(n *parser.AggregateExpr) *Rollup {
	if b.stats || b.namesSeen || b.p.banned[b.rollupKey(n)] {
		return nil
	}
	return b.p.rollups.find(n, b.grid)
}

func (b *builder) rollupKey(n *parser.AggregateExpr) string { return b.key("rollup", n) }

// holdsRollups reports whether e has an aggregation for which there is a rollup
// that has most of the steps, or any of them, so that e is better evaluated here
// than below.
func (b *builder) holdsRollups(e parser.Expr, any bool) bool {
	if b.p.rollups == nil {
		return false
	}
	switch n := e.(type) {
	case *parser.AggregateExpr:
		if r := b.rollup(n); r != nil && (any || 2*r.covers(b.grid) >= b.grid.steps()) {
			return true
		}
	case *parser.SubqueryExpr:
		g, ok := b.inner(n)
		if !ok {
			return false
		}
		outer := b.grid
		b.grid = g
		defer func() { b.grid = outer }()
	}
	for sub := range parser.ChildrenIter(e) {
		if x, ok := sub.(parser.Expr); ok && b.holdsRollups(x, any) {
			return true
		}
	}
	return false
}

// overRollups reports whether something above e is better evaluated here, since
// there are rollups for a part of e: for most of its steps, or for any if no child
// may have them.
func (b *builder) overRollups(e parser.Expr) bool {
	return b.holdsRollups(e, b.a.of(e).children.count() == 0)
}

// rolledUp returns what stands for an aggregation of which a rollup has some
// steps; children are asked for the others. It returns nil if there is none, or
// if the children's parts could not be added to it.
func (b *builder) rolledUp(n *parser.AggregateExpr) parser.Expr {
	r := b.rollup(n)
	if r == nil || n.Param != nil {
		return nil
	}
	t := b.a.of(n.Expr)
	if len(r.others(b.grid)) > 0 && t.children.count() > 0 && !t.operand() {
		return nil
	}
	f := b.rolledFragment(n, t, r)
	if f == nil {
		return nil
	}
	f.quiet = false
	return b.standIn(f, n)
}

// rolledFragment returns the fragment of the steps that a rollup does not have.
func (b *builder) rolledFragment(n *parser.AggregateExpr, t traits, r *Rollup) *Fragment {
	below, kind := *n, "rollup"
	if n.Op == parser.AVG {
		below.Op, kind = parser.SUM, "rollup for avg"
	}
	f := b.fragment(&below, n, t, kind)
	if f == nil || f.rollup != nil {
		return f // it occurs twice in the query
	}
	f.rollup = r
	if len(r.others(b.grid)) == 0 {
		f.Children, f.spared = nil, nil
	}
	if f.keys = []string{b.rollupKey(n)}; n.Op == parser.AVG {
		f.Merge, f.Ops, f.final = MergeFold, r.Ops, n.Op.String()
		return f
	}
	b.foldedAs(f, n)
	return f
}

// grids are those on which children are asked for a fragment.
func (f *Fragment) grids() []grid {
	if f.rollup == nil {
		return []grid{f.grid}
	}
	return f.rollup.others(f.grid)
}

// readRollup returns the steps that a rollup has, aggregated.
func (r *fragmentRun) readRollup(ctx context.Context) (out promql.Matrix, warn annotations.Annotations, err error) {
	for _, op := range r.f.rollup.Ops {
		held := int64(0)
		into := newFold([]string{op}, r.f.grid, r.ask.opts.MaxSamples, r.name)
		w, err := r.f.rollup.Read(ctx, op, func(s promql.Series) error {
			if ctx.Err() != nil {
				return contextError(ctx)
			}
			if err := r.f.grid.on(&s); err != nil {
				return err
			}
			return r.addRolled(into, s, &held)
		})
		if err != nil {
			return nil, nil, r.unrolled(ctx, err)
		}
		warn.Merge(w)
		m, hists, err := into.result()
		r.ask.budget.Release(held) // what is left of it is counted below
		if err != nil {
			return nil, nil, r.unrolled(ctx, err)
		}
		for _, s := range append(m, hists...) {
			if len(r.f.Ops) > 1 {
				s.Metric = withOp(s.Metric, op)
			}
			out = append(out, s)
		}
	}
	r.ask.gone(r.f.rollup)
	return out, warn, r.holdRolled(out)
}

// addRolled folds one series of a rollup, whose points are lent. It adds to held
// what stays reserved: what the fold has grown by.
func (r *fragmentRun) addRolled(into *fold, s promql.Series, held *int64) error {
	size := sizeOfSeries(s)
	if err := r.ask.budget.Reserve(size); err != nil {
		return err
	}
	defer r.ask.budget.Release(size)
	if into.keeps(s) {
		s.Floats, s.Histograms = slices.Clone(s.Floats), slices.Clone(s.Histograms)
	}
	if err := into.add([]promql.Series{s}); err != nil {
		return err
	}
	grown := into.bytes - *held
	*held = into.bytes
	return r.settle(grown)
}

// holdRolled counts what was read as what a child answers is counted.
func (r *fragmentRun) holdRolled(m promql.Matrix) error {
	for _, s := range m {
		if err := r.ask.budget.Reserve(sizeOfSeries(s)); err != nil {
			return err
		}
	}
	return r.hold(pointsOf(m))
}

// gone notes who had no part in the points of a rollup.
func (a *asking) gone(r *Rollup) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, name := range slices.Sorted(maps.Keys(r.Missing)) {
		err := fmt.Errorf("it was away when points of rollup %q were made", r.Rule)
		a.warn.Add(partialAnswer(r.Missing[name], name, err))
		a.absent.Add(name, ChildReport{Tier: r.Missing[name], Verdict: Asked, Failed: err.Error()})
	}
}

// unrolled says that a rollup could not be read, so that the children are asked.
func (r *fragmentRun) unrolled(ctx context.Context, err error) error {
	if ctx.Err() != nil || IsLimit(err) {
		return err
	}
	return &notMergeable{fragment: r.f, why: fmt.Sprintf("rollup %q could not be read: %v", r.f.rollup.Rule, err)}
}

// rollupUses tells which rollups a plan uses.
func (pl *Plan) rollupUses(tier string) (out []RollupUse) {
	for _, f := range pl.Fragments {
		if f.rollup != nil {
			out = append(out, f.rollupUse(tier))
		}
	}
	return out
}

func (f *Fragment) rollupUse(tier string) RollupUse {
	return RollupUse{Tier: tier, Rule: f.rollup.Rule, Steps: f.rollup.covers(f.grid), Of: f.grid.steps(), Until: f.rollup.Until}
}

// rollsUp reports whether there are rollups for each of several operators over
// one operand, which are then better asked for one by one. Where points of one rule
// lack a child, or one that has gone for good by the time at which they were made,
// those of another rule need not: together they would be of neither.
func (b *builder) rollsUp(n *parser.AggregateExpr, ops []string) bool {
	if b.p.rollups == nil {
		return false
	}
	rules, apart := map[string]bool{}, false
	var first *Rollup
	for _, op := range ops {
		c := *n
		if c.Op = operatorNamed(op); c.Op == 0 {
			return false
		}
		r := b.rollup(&c)
		if r == nil {
			return false
		}
		if first == nil {
			first = r
		}
		// Each was looked up by itself: points may have been made anew in between.
		if r.Rule == first.Rule && !r.alike(first) {
			return false
		}
		rules[r.Rule], apart = true, apart || r.Late || len(r.Missing) > 0
	}
	return len(rules) == 1 || !apart
}

// alike reports whether two rollups have the same steps, and lack the same.
func (r *Rollup) alike(o *Rollup) bool {
	return slices.Equal(r.Covered, o.Covered) && maps.Equal(r.Missing, o.Missing)
}

// operatorNamed returns the operator of a name, of those that rollups answer.
func operatorNamed(op string) parser.ItemType {
	for _, t := range []parser.ItemType{parser.SUM, parser.COUNT, parser.MIN, parser.MAX, parser.GROUP, parser.AVG} {
		if t.String() == op {
			return t
		}
	}
	return 0
}

// rolled is a rollup that is being read; nil is none.
type rolled struct {
	done chan struct{}
	m    promql.Matrix
	warn annotations.Annotations
	err  error
	into *fragmentRun
}

// startRollup begins to read the steps that a rollup has.
func (r *fragmentRun) startRollup(ctx context.Context) *rolled {
	if r.f.rollup == nil {
		return nil
	}
	out := &rolled{done: make(chan struct{}), into: r}
	go func() {
		defer close(out.done)
		out.m, out.warn, out.err = r.readRollup(ctx)
	}()
	return out
}

// wait returns when nothing is read any more.
func (r *rolled) wait() {
	if r != nil {
		<-r.done
	}
}

// join waits for the rollup and adds it to the children's parts, with which it
// has no step in common.
func (r *rolled) join(parts []promql.Matrix) ([]promql.Matrix, error) {
	if r == nil {
		return parts, nil
	}
	<-r.done
	r.into.warn.Merge(r.warn)
	return append(parts, r.m), r.err
}

// rollUp notes which members are not asked because rollups have all that they
// would be asked for.
func (p *pruning) rollUp(pl *Plan, asked bitset, raw []*parser.VectorSelector) {
	whole := slices.ContainsFunc(pl.Fragments, func(f *Fragment) bool { return f.rollup != nil && len(f.grids()) == 0 })
	for i, v := range p.verdicts {
		if whole && v == Asked && !inSet(asked, i) && !p.reads(raw, i) {
			p.verdicts[i], p.by[i] = RolledUp, nil
		}
	}
}
