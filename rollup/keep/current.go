package keep

import (
	"math"
	"time"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/pandometrics/pando/querytree"
	"github.com/pandometrics/pando/rollup"
)

// CurrentRewriter is Rewriter, but uses no point that looked at samples of which
// past knows that they change, though the point has not been made void yet: at a
// leaf, whoever was told that a late sample is stored finds it in the answer.
func (s *Store) CurrentRewriter(past *Past, constants labels.Labels, lookback int64) querytree.Rewriter {
	return &rewriter{s: s, past: past, constants: constants, lookback: lookback}
}

// changing returns the restatements by which points are to be made void, also
// those whose changes cannot be seen yet.
func (p *Past) changing() (out []querytree.Restatement) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, r := range p.state.Restatements {
		if r.Number > p.state.Applied {
			out = append(out, r)
		}
	}
	return out
}

// stable returns the parts of runs of a rule's points that no restatement
// concerns which has not been applied.
func (w *rewriter) stable(r *rollup.Rule, runs []querytree.Interval, step int64) []querytree.Interval {
	if w.past == nil {
		return runs
	}
	window := r.Window(time.Duration(w.lookback) * time.Millisecond).Milliseconds()
	for _, c := range w.past.changing() {
		if c.Maxt < math.MaxInt64-window {
			c.Maxt += window
		}
		runs = without(runs, c.Mint, c.Maxt, step)
	}
	return runs
}

// without returns runs of points, at multiples of step, but for those from mint
// to maxt.
func without(runs []querytree.Interval, mint, maxt, step int64) (out []querytree.Interval) {
	for _, r := range runs {
		if r.Maxt < mint || r.Mint > maxt {
			out = append(out, r)
			continue
		}
		if r.Mint < mint {
			out = append(out, querytree.Interval{Mint: r.Mint, Maxt: down(mint-1, step)})
		}
		if r.Maxt > maxt {
			out = append(out, querytree.Interval{Mint: up(maxt+1, step), Maxt: r.Maxt})
		}
	}
	return out
}
