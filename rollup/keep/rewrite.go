package keep

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/storage"

	"github.com/pandometrics/pando/querytree"
	"github.com/pandometrics/pando/rollup"
)

// rewriter answers queries at one tier from its Store.
type rewriter struct {
	s *Store
	// past, if not nil, knows of changes by which points are to be made void.
	past *Past
	// constants are labels that all series at this tier have.
	constants labels.Labels
	// lookback is the lookback delta that points were made with, in milliseconds.
	lookback int64
}

// Rewriter returns what a Mixer answers aggregations by. Constants are the labels
// that all series of the tier have, lookback is the delta in milliseconds that
// the tiers evaluate with.
func (s *Store) Rewriter(constants labels.Labels, lookback int64) querytree.Rewriter {
	return &rewriter{s: s, constants: constants, lookback: lookback}
}

// Rewrite implements querytree.Rewriter: of the rules that match, and the
// distances they are kept at, it takes the one with most of the steps, and the
// coarsest of those. An average is made of a sum and a count of two rules if these
// have more of the steps.
func (w *rewriter) Rewrite(n *parser.AggregateExpr, at querytree.RewriteAt) (*querytree.Rollup, string) {
	w.s.mu.RLock()
	defer w.s.mu.RUnlock()
	matches, misses := w.s.rules.Match(n, w.constants)
	best, whys := w.best(matches, at)
	m, whyNot, halves := w.mean(n, at)
	switch {
	case m != nil && (best == nil || m.steps > best.steps):
		return m.rollup(), ""
	case best != nil:
		return best.rollup(at), ""
	}
	var why []string
	for _, m := range misses {
		if !halves[m.Rule] {
			why = append(why, fmt.Sprintf("%s: %s", m.Rule.Name, m.Why))
		}
	}
	return nil, strings.Join(slices.Concat(why, whys, whyNot), "; ")
}

// best returns the best reading of the rules that match, and why others have none.
func (w *rewriter) best(matches []rollup.Match, at querytree.RewriteAt) (best *reading, whys []string) {
	for i := range matches {
		r, why := w.read(&matches[i], at)
		if r == nil {
			whys = append(whys, fmt.Sprintf("%s: %s", matches[i].Rule.Name, why))
			continue
		}
		if best == nil || r.better(best) {
			best = r
		}
	}
	return best, whys
}

// reading is a way to read some steps of an aggregation.
type reading struct {
	w       *rewriter
	match   *rollup.Match
	key     keptKey
	q       storage.ChunkQueryable
	covered []querytree.Interval // of the points' own times
	steps   int
	spans   []span // of the points, for their revisions
	until   int64
	step    int64
}

// read finds the best distance of a rule's points, or says why there is none.
func (w *rewriter) read(m *rollup.Match, at querytree.RewriteAt) (best *reading, why string) {
	all, why := w.readings(m, at, false)
	for _, r := range all {
		if best == nil || r.better(best) {
			best = r
		}
	}
	return best, why
}

// better reports whether r has more of the steps than another reading, or as many
// of a greater distance.
func (r *reading) better(than *reading) bool {
	return r.steps > than.steps || r.steps == than.steps && r.key.keep.Every > than.key.keep.Every
}

// readings are those of a rule's distances, the finest first, that have any of the
// steps, but for points that were made late if they have to be prompt. Why is, of the
// other ones, what the one says that came nearest to being used, or the finest of
// these.
func (w *rewriter) readings(m *rollup.Match, at querytree.RewriteAt, prompt bool) (out []*reading, why string) {
	if m.Rule.Instant && at.Lookback != w.lookback {
		return nil, "its points were made with another lookback delta"
	}
	nearest := notKept
	why = "it is not kept at this tier"
	for _, k := range m.Rule.Keep[w.s.cfg.Tier] {
		r, conditions, text := w.reading(m, k, at, prompt)
		if r != nil {
			out = append(out, r)
		} else if conditions > nearest {
			nearest, why = conditions, text
		}
	}
	return out, why
}

// met is how many of the conditions a distance meets, in the order in which they
// are looked at.
type met int

const (
	notKept met = iota
	isKept
	isAligned
	isChecked
)

// reading is that of one distance; if it has no step, why that is, and how far it
// came.
func (w *rewriter) reading(m *rollup.Match, k rollup.Keep, at querytree.RewriteAt, prompt bool) (*reading, met, string) {
	key := keptKey{m.Rule.ID, k}
	l := w.s.kept[key]
	if l == nil {
		return nil, notKept, ""
	}
	if why := misaligned(at, m.Offset, k.Every.Milliseconds()); why != "" {
		return nil, isKept, why
	}
	if w.s.unchecked[key] {
		return nil, isAligned, "it has just come back, and its points are not checked yet"
	}
	r := w.over(m, key, l, at, prompt)
	if r.steps == 0 && prompt && w.over(m, key, l, at, false).steps > 0 {
		return nil, isChecked, "its points of these times were made late, so that who had gone by then may have a part in those of another rule alone"
	}
	if r.steps == 0 {
		return nil, isChecked, "none of the steps is there yet, or any more"
	}
	return r, isChecked, ""
}

// misaligned says which of a query's times are not those of points; empty if all are.
func misaligned(at querytree.RewriteAt, offset, every int64) string {
	switch {
	case at.Step%every != 0 && at.Start != at.End:
		return fmt.Sprintf("the step is no multiple of %ds", every/1000)
	case (at.Start-offset)%every == 0:
		return ""
	case offset%every != 0:
		return fmt.Sprintf("the offset is no multiple of %ds", every/1000)
	default:
		return fmt.Sprintf("the times are no multiples of %ds", every/1000)
	}
}

// over looks up which steps are there, but for points that were made late if they have
// to be prompt.
func (w *rewriter) over(m *rollup.Match, key keptKey, l *ledger, at querytree.RewriteAt, prompt bool) *reading {
	r := &reading{w: w, match: m, key: key, q: w.s.dbs[key.keep.For], step: at.Step}
	fit := func(sp span) bool {
		return (sp.state == whole || sp.state == partial && at.Partial) && !(prompt && sp.late)
	}
	start, end := at.Start-m.Offset, at.End-m.Offset
	for _, run := range w.stable(m.Rule, l.where(max(start, w.s.oldestOf(key.keep)), end, fit), l.step) {
		r.add(start, at.Step, run)
	}
	r.covered = bounded(r.covered)
	r.steps = r.count()
	for _, sp := range l.spans {
		if sp.to >= start && sp.from <= end && fit(sp) {
			r.spans = append(r.spans, sp)
		}
	}
	r.until, _ = l.last(whole)
	return r
}

// add notes the steps that fall into a run of points.
func (r *reading) add(start, step int64, run querytree.Interval) {
	if step > 0 {
		run.Mint = start + (run.Mint-start+step-1)/step*step
		run.Maxt = start + (run.Maxt-start)/step*step
	}
	if run.Mint > run.Maxt {
		return
	}
	if n := len(r.covered); n > 0 && r.covered[n-1].Maxt+step == run.Mint {
		r.covered[n-1].Maxt = run.Maxt
		return
	}
	r.covered = append(r.covered, run)
}

// count returns how many steps are covered.
func (r *reading) count() (n int) {
	for _, c := range r.covered {
		n++
		if r.step > 0 {
			n += int((c.Maxt - c.Mint) / r.step)
		}
	}
	return n
}

// bounded returns the longest runs if there are too many.
func bounded(runs []querytree.Interval) []querytree.Interval {
	if len(runs) <= querytree.MaxRollupRuns {
		return runs
	}
	length := func(i querytree.Interval) int64 { return i.Maxt - i.Mint }
	slices.SortFunc(runs, func(a, b querytree.Interval) int { return cmp.Compare(length(b), length(a)) })
	runs = runs[:querytree.MaxRollupRuns]
	slices.SortFunc(runs, func(a, b querytree.Interval) int { return cmp.Compare(a.Mint, b.Mint) })
	return runs
}

// times are the evaluation times that are covered.
func (r *reading) times() (out []querytree.Interval) {
	for _, c := range r.covered {
		out = append(out, querytree.Interval{Mint: c.Mint + r.match.Offset, Maxt: c.Maxt + r.match.Offset})
	}
	return out
}

func (r *reading) rollup(at querytree.RewriteAt) *querytree.Rollup {
	out := &querytree.Rollup{Rule: r.match.Rule.Name, Until: r.until + r.match.Offset, Ops: r.match.Ops, Covered: r.times(), Read: r.series}
	if r.match.Op == parser.GROUP {
		out.Ops = []string{groupOp} // a group of counts is a group
	}
	for _, sp := range r.spans {
		out.Late = out.Late || sp.late
		if sp.state != partial {
			continue
		}
		for _, a := range awayOf(sp.missing) {
			if out.Missing == nil {
				out.Missing = map[string]string{}
			}
			out.Missing[a.name] = a.tier
		}
	}
	return out
}

const groupOp = "group"

func (r *reading) matchers(op string) []*labels.Matcher {
	if op == groupOp {
		op = r.match.Ops[0]
	}
	if len(r.match.Rule.Ops) < 2 {
		op = ""
	}
	return append([]*labels.Matcher{
		labels.MustNewMatcher(labels.MatchEqual, ruleLabel, storedAs(r.match.Rule, r.key.keep)),
		labels.MustNewMatcher(labels.MatchEqual, markerLabel, ""),
		labels.MustNewMatcher(labels.MatchEqual, opLabel, op),
	}, r.match.Matchers...)
}

// visible returns the labels of a point's series without those of the store.
func visible(lset labels.Labels) labels.Labels {
	return labels.NewBuilder(lset).Del(ruleLabel, opLabel, revLabel).Labels()
}
