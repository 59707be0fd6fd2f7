package keep

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
	"github.com/prometheus/prometheus/util/annotations"

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
// coarsest of those.
func (w *rewriter) Rewrite(n *parser.AggregateExpr, at querytree.RewriteAt) (*querytree.Rollup, string) {
	w.s.mu.RLock()
	defer w.s.mu.RUnlock()
	matches, misses := w.s.rules.Match(n, w.constants)
	var (
		best *reading
		whys []string
	)
	for _, m := range misses {
		whys = append(whys, fmt.Sprintf("%s: %s", m.Rule.Name, m.Why))
	}
	for i := range matches {
		r, why := w.read(&matches[i], at)
		if r == nil {
			whys = append(whys, fmt.Sprintf("%s: %s", matches[i].Rule.Name, why))
			continue
		}
		if best == nil || r.steps > best.steps || r.steps == best.steps && r.key.keep.Every > best.key.keep.Every {
			best = r
		}
	}
	if best == nil {
		return nil, strings.Join(whys, "; ")
	}
	return best.rollup(at), ""
}

// reading is a way to read some steps of an aggregation.
type reading struct {
	w       *rewriter
	match   *rollup.Match
	key     keptKey
	q       storage.Queryable
	covered []querytree.Interval // of the points' own times
	steps   int
	spans   []span // of the points, for their revisions
	until   int64
	step    int64
}

// read finds the best distance of a rule's points, or says why there is none.
func (w *rewriter) read(m *rollup.Match, at querytree.RewriteAt) (*reading, string) {
	if m.Rule.Instant && at.Lookback != w.lookback {
		return nil, "its points were made with another lookback delta"
	}
	var best *reading
	why := "it is not kept at this tier"
	for _, k := range m.Rule.Keep[w.s.cfg.Tier] {
		key := keptKey{m.Rule.ID, k}
		l, every := w.s.kept[key], k.Every.Milliseconds()
		if l == nil {
			continue
		}
		if w.s.unchecked[key] {
			why = "it has just come back, and its points are not checked yet"
			continue
		}
		if (at.Start-m.Offset)%every != 0 || at.Step%every != 0 && at.Start != at.End {
			why = cmp.Or(misaligned(at, m.Offset, every), why)
			continue
		}
		r := w.over(m, key, l, at)
		if r.steps == 0 {
			why = "none of the steps is there yet, or any more"
			continue
		}
		if best == nil || r.steps > best.steps || r.steps == best.steps && k.Every > best.key.keep.Every {
			best = r
		}
	}
	return best, why
}

func misaligned(at querytree.RewriteAt, offset, every int64) string {
	switch {
	case at.Step%every != 0 && at.Start != at.End:
		return fmt.Sprintf("the step is no multiple of %ds", every/1000)
	case offset%every != 0:
		return fmt.Sprintf("the offset is no multiple of %ds", every/1000)
	default:
		return fmt.Sprintf("the times are no multiples of %ds", every/1000)
	}
}

// over looks up which steps are there.
func (w *rewriter) over(m *rollup.Match, key keptKey, l *ledger, at querytree.RewriteAt) *reading {
	r := &reading{w: w, match: m, key: key, q: w.s.dbs[key.keep.For], step: at.Step}
	states := []state{whole}
	if at.Partial {
		states = append(states, partial)
	}
	start, end := at.Start-m.Offset, at.End-m.Offset
	for _, run := range w.stable(m.Rule, l.has(max(start, w.s.oldestOf(key.keep)), end, states...), l.step) {
		r.add(start, at.Step, run)
	}
	r.bound()
	for _, c := range r.covered {
		r.steps += 1
		if at.Step > 0 {
			r.steps += int((c.Maxt - c.Mint) / at.Step)
		}
	}
	for _, sp := range l.spans {
		if sp.to >= start && sp.from <= end && slices.Contains(states, sp.state) {
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

// bound keeps the longest runs if there are too many.
func (r *reading) bound() {
	if len(r.covered) <= querytree.MaxRollupRuns {
		return
	}
	length := func(i querytree.Interval) int64 { return i.Maxt - i.Mint }
	slices.SortFunc(r.covered, func(a, b querytree.Interval) int { return cmp.Compare(length(b), length(a)) })
	r.covered = r.covered[:querytree.MaxRollupRuns]
	slices.SortFunc(r.covered, func(a, b querytree.Interval) int { return cmp.Compare(a.Mint, b.Mint) })
}

func (r *reading) rollup(at querytree.RewriteAt) *querytree.Rollup {
	out := &querytree.Rollup{Rule: r.match.Rule.Name, Until: r.until + r.match.Offset, Ops: r.match.Ops, Read: r.series}
	if r.match.Op == parser.GROUP {
		out.Ops = []string{groupOp} // a group of counts is a group
	}
	for _, c := range r.covered {
		out.Covered = append(out.Covered, querytree.Interval{Mint: c.Mint + r.match.Offset, Maxt: c.Maxt + r.match.Offset})
	}
	for _, sp := range r.spans {
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

// series reads the points of one operator.
func (r *reading) series(ctx context.Context, op string, add func(promql.Series) error) (annotations.Annotations, error) {
	var warn annotations.Annotations
	mint, maxt := r.covered[0].Mint, r.covered[len(r.covered)-1].Maxt
	q, err := r.q.Querier(mint, maxt)
	if err != nil {
		return nil, err
	}
	defer q.Close()
	set := q.Select(ctx, false, &storage.SelectHints{Start: mint, End: maxt}, r.matchers(op)...)
	var it chunkenc.Iterator
	floats := false
	s := promql.Series{Floats: make([]promql.FPoint, 0, r.steps)} // used again for each series
	for set.Next() {
		s.Metric, s.Floats, s.Histograms = r.match.Labels(visible(set.At().Labels()), r.w.constants), s.Floats[:0], s.Histograms[:0]
		it = set.At().Iterator(it)
		if err := r.points(it, revOf(set.At().Labels()), &s); err != nil {
			return nil, err
		}
		if len(s.Floats)+len(s.Histograms) == 0 {
			continue
		}
		floats = floats || len(s.Floats) > 0
		if err := add(s); err != nil {
			return nil, err
		}
	}
	if floats && r.match.Info != nil {
		warn.Add(r.match.Info)
	}
	warn.Merge(set.Warnings())
	return warn, set.Err()
}

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

// points reads those of one series that are at the steps asked for, or all if
// there is no step, and of the revision that counts there.
func (r *reading) points(it chunkenc.Iterator, rev uint32, s *promql.Series) error {
	run, sp := 0, 0
	next := r.covered[0].Mint // no point before it is wanted
	for kind := it.Next(); kind != chunkenc.ValNone; kind = it.Next() {
		t := it.AtT()
		if t < next {
			continue
		}
		for run < len(r.covered) && t > r.covered[run].Maxt {
			run++
		}
		for sp < len(r.spans) && t > r.spans[sp].to {
			sp++
		}
		if run == len(r.covered) || sp == len(r.spans) {
			return it.Err()
		}
		if t < r.covered[run].Mint {
			continue
		}
		if r.step > 0 && t != next {
			if next = r.stepFrom(run, t); t != next {
				continue
			}
		}
		if next += r.step; t < r.spans[sp].from || r.spans[sp].rev != rev {
			continue
		}
		switch kind {
		case chunkenc.ValFloat:
			_, v := it.At()
			s.Floats = append(s.Floats, promql.FPoint{T: t + r.match.Offset, F: v})
		default:
			_, h := it.AtFloatHistogram(nil)
			s.Histograms = append(s.Histograms, promql.HPoint{T: t + r.match.Offset, H: h})
		}
	}
	return it.Err()
}

// stepFrom returns the first step of a run that is not before t.
func (r *reading) stepFrom(run int, t int64) int64 {
	from := r.covered[run].Mint
	return from + (t-from+r.step-1)/r.step*r.step
}
