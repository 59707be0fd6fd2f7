package keep

import (
	"slices"
	"time"

	"github.com/prometheus/prometheus/promql/parser"

	"github.com/pandometrics/pando/querytree"
	"github.com/pandometrics/pando/rollup"
)

var _ querytree.Aligner = (*rewriter)(nil)

// Distance implements querytree.Aligner: of what the tier keeps of the rules that
// match, or else the next tier below that keeps anything, it is the finest that
// is kept for as long as ago as the first time is, or else the one that is kept
// longest. Of a sum and a count that make an average it is what the two have in
// common.
func (w *rewriter) Distance(n *parser.AggregateExpr, at querytree.RewriteAt) int64 {
	w.s.mu.RLock()
	defer w.s.mu.RUnlock()
	matches, _ := w.s.rules.Match(n, w.constants)
	sums, counts := w.s.rules.Halves(n, w.constants)
	tiers := rollup.Tiers()
	for _, tier := range slices.Backward(tiers[:slices.Index(tiers, w.s.cfg.Tier)+1]) {
		if every := w.distanceAt(tier, matches, at); every > 0 {
			return every
		}
		sum, count := w.distanceAt(tier, sums, at), w.distanceAt(tier, counts, at)
		if sum > 0 && count > 0 {
			return querytree.CommonDistance(sum, count)
		}
	}
	return 0
}

// distanceAt returns the best distance of a tier, zero if it keeps nothing.
func (w *rewriter) distanceAt(tier string, matches []rollup.Match, at querytree.RewriteAt) int64 {
	age := time.Duration(w.s.cfg.Now().UnixMilli()-at.Start) * time.Millisecond
	var best rollup.Keep
	for _, m := range matches {
		if m.Rule.Instant && at.Lookback != w.lookback {
			continue
		}
		for _, k := range m.Rule.Keep[tier] {
			if m.Offset%k.Every.Milliseconds() == 0 && (best.Every == 0 || better(k, best, age)) {
				best = k
			}
		}
	}
	return best.Every.Milliseconds()
}

// better reports whether points of a rather than b are for times of that age.
func better(a, b rollup.Keep, age time.Duration) bool {
	switch covers := a.For >= age; {
	case covers != (b.For >= age):
		return covers
	case covers || a.For == b.For:
		return a.Every < b.Every
	default:
		return a.For > b.For
	}
}
