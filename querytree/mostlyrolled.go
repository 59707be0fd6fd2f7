package querytree

import (
	"slices"

	"github.com/prometheus/prometheus/promql/parser"
)

// mostlyRolled reports whether rollups have all of a query, or nearly, as of one
// until now: children will be asked for a few steps, if at all.
func (m *Mixer) mostlyRolled(expr parser.Expr, req ExecRequest) bool {
	if m.cfg.Rewriter == nil || req.NoRollup || req.NoPushdown || req.Stats || len(req.Ops) > 0 {
		return false
	}
	r := newRollups(m.cfg.Rewriter, req)
	g, any := grid{req.Start, req.End, req.Step}, false
	parser.Inspect(expr, func(n parser.Node, path []parser.Node) error {
		if a, ok := n.(*parser.AggregateExpr); ok && !any && !inSubquery(path) {
			of := r.find(a, g)
			any = of.mostOf(g)
		}
		return nil
	})
	if !any {
		return false // planning costs more
	}
	e, err := m.newExecution(req, nil, &lost{})
	if err != nil || len(e.plan.rawSelectors()) > 0 {
		return false
	}
	return !slices.ContainsFunc(e.plan.Fragments, func(f *Fragment) bool { return !f.rollup.mostOf(f.grid) })
}

// mostOf reports whether a rollup, which may be nil, has seven eighths of the
// steps of a grid.
func (r *Rollup) mostOf(g grid) bool { return r != nil && 8*r.covers(g) >= 7*g.steps() }
