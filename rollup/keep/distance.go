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
// longest.
func (w *rewriter) Distance(n *parser.AggregateExpr, at querytree.RewriteAt) int64 {
	w.s.mu.RLock()
	defer w.s.mu.RUnlock()
	matches, _ := w.s.rules.Match(n, w.constants)
	age := time.Duration(w.s.cfg.Now().UnixMilli()-at.Start) * time.Millisecond
	tiers := rollup.Tiers()
	for _, tier := range slices.Backward(tiers[:slices.Index(tiers, w.s.cfg.Tier)+1]) {
		var best *rollup.Keep
		for _, m := range matches {
			if m.Rule.Instant && at.Lookback != w.lookback {
				continue
			}
			for _, k := range m.Rule.Keep[tier] {
				if m.Offset%k.Every.Milliseconds() == 0 && (best == nil || better(k, *best, age)) {
					best = &k
				}
			}
		}
		if best != nil {
			return best.Every.Milliseconds()
		}
	}
	return 0
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
