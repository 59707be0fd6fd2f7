package keep

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/util/annotations"

	"github.com/pandometrics/pando/querytree"
	"github.com/pandometrics/pando/rollup"
)

// mean answers an average from the points of two rules, a sum and a count, where
// both have some.
type mean struct {
	sum, count *reading
	// common are the evaluation times that both have, in order, steps how many.
	common []querytree.Interval
	steps  int
}

// maxHalves bounds how many sums are tried with how many counts.
const maxHalves = 8

// mean finds the sum and the count that have most steps in common. If there are
// rules of both and no such step, whys say so. Points must be whole, and none of them
// made late: those of two rules are made apart, so that who is missing from a sum, or
// had gone for good by then, need not be from the count. rules are all that it has
// looked at.
func (w *rewriter) mean(n *parser.AggregateExpr, at querytree.RewriteAt) (best *mean, whys []string, rules map[*rollup.Rule]bool) {
	sums, counts := w.s.rules.Halves(n, w.constants)
	rules = map[*rollup.Rule]bool{}
	for _, m := range slices.Concat(sums, counts) {
		rules[m.Rule] = true
	}
	at.Partial = false
	ofSum, whys := w.most(sums, at)
	ofCount, more := w.most(counts, at)
	whys = append(whys, more...)
	for _, s := range ofSum {
		for _, c := range ofCount {
			if m := meanOf(s, c); m.steps > 0 && (best == nil || m.steps > best.steps) {
				best = m
			}
		}
	}
	if best == nil && len(ofSum) > 0 && len(ofCount) > 0 {
		whys = append(whys, bothNames(ofSum[0], ofCount[0])+": no step is there in both")
	}
	return best, whys, rules
}

// most returns the readings with most steps, and why some rules have none.
func (w *rewriter) most(matches []rollup.Match, at querytree.RewriteAt) (out []*reading, whys []string) {
	for i := range matches {
		of, why := w.readings(&matches[i], at, true)
		if len(of) == 0 {
			whys = append(whys, fmt.Sprintf("%s: %s", matches[i].Rule.Name, why))
		}
		out = append(out, of...)
	}
	slices.SortStableFunc(out, func(a, b *reading) int {
		return cmp.Or(cmp.Compare(b.steps, a.steps), cmp.Compare(b.key.keep.Every, a.key.keep.Every))
	})
	return out[:min(len(out), maxHalves)], whys
}

func bothNames(sum, count *reading) string {
	return sum.match.Rule.Name + " + " + count.match.Rule.Name
}

func meanOf(sum, count *reading) *mean {
	m := &mean{common: bounded(common(sum.times(), count.times()))}
	m.sum, m.count = sum.only(m.common), count.only(m.common)
	m.steps = m.sum.steps
	return m
}

// only returns a reading of some of the evaluation times.
func (r *reading) only(times []querytree.Interval) *reading {
	out := *r
	out.covered = nil
	for _, c := range times {
		out.covered = append(out.covered, querytree.Interval{Mint: c.Mint - r.match.Offset, Maxt: c.Maxt - r.match.Offset})
	}
	out.steps = out.count()
	return &out
}

// common returns the times that are in both of two lists of runs, in order. All
// runs are of steps of one grid.
func common(a, b []querytree.Interval) (out []querytree.Interval) {
	for len(a) > 0 && len(b) > 0 {
		both := querytree.Interval{Mint: max(a[0].Mint, b[0].Mint), Maxt: min(a[0].Maxt, b[0].Maxt)}
		if both.Mint <= both.Maxt {
			out = append(out, both)
		}
		if a[0].Maxt < b[0].Maxt {
			a = a[1:]
		} else {
			b = b[1:]
		}
	}
	return out
}

func (m *mean) rollup() *querytree.Rollup {
	return &querytree.Rollup{
		Rule: bothNames(m.sum, m.count), Ops: []string{sumOp, countOp}, Read: m.series, Covered: m.common,
		Until: min(m.sum.until+m.sum.match.Offset, m.count.until+m.count.match.Offset),
	}
}

const (
	sumOp   = "sum"
	countOp = "count"
)

// series reads the points of one of the two.
func (m *mean) series(ctx context.Context, op string, add func(promql.Series) error) (annotations.Annotations, error) {
	if op == countOp {
		return m.count.series(ctx, op, add)
	}
	return m.sum.series(ctx, op, add)
}
