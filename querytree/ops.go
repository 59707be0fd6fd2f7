package querytree

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/prometheus/prometheus/promql/parser"
)

// MixerFeatures returns the features that a Mixer has, for its Description.
func MixerFeatures() []string { return []string{FeatureOps, FeatureStats, FeatureExplain} }

// maxOps bounds the operators of one request.
const maxOps = 8

// errSeparately: the operators of a request cannot be answered together here.
var errSeparately = errors.New("operators have to be evaluated one by one")

// checkOps refuses a request for operators that nobody should ask for.
func checkOps(req ExecRequest) error {
	if n := len(req.Ops); n < 2 || n > maxOps {
		return fmt.Errorf("request for several operators: %d of them; ask for 2 to %d, or for one by the query itself", n, maxOps)
	}
	known := []string{"sum", "count", "min", "max", "group", "avg", "stddev", "stdvar"}
	for i, op := range req.Ops {
		if !slices.Contains(known, op) || slices.Contains(req.Ops[:i], op) {
			return fmt.Errorf("request for several operators: %q is unknown or there twice; known are %v", op, known)
		}
	}
	if n := operatorOf(req.Query); n == nil || n.Param != nil {
		return errNoAggregation
	}
	return nil
}

// execOps answers a request for several operators: together if that is exact,
// else one by one.
func (m *Mixer) execOps(ctx context.Context, req ExecRequest) (ResultSet, error) {
	if err := m.cfg.Limits.CheckQueryAt(m.name(), req.Query); err != nil {
		return nil, err
	}
	if err := checkOps(req); err != nil {
		return nil, err
	}
	set, err := m.execWhole(ctx, req)
	if errors.Is(err, errSeparately) {
		return execEach(ctx, m, req, req.Ops)
	}
	return set, err
}

// planOps plans a request for several operators over one operand. It returns nil
// if they cannot be answered together.
func (p *Planner) planOps(e parser.Expr, ops []string) *Plan {
	n, ok := unparen(e).(*parser.AggregateExpr)
	b := p.builder()
	b.namesSeen = p.delayedNames
	if !ok || p.off || b.rollsUp(n, ops) || b.overRollups(n.Expr) {
		return nil
	}
	whole, operand := b.a.of(n), b.a.of(n.Expr)
	var f *Fragment
	switch {
	case operand.constant || operand.children.count() == 0 || (b.namesSeen && operand.dropsName):
		return nil
	case whole.local():
		if f = b.fragment(n, n, whole, "concat"); f != nil {
			f.Merge = MergeConcat
		}
	case operand.operand() && foldable(ops):
		if f = b.fragment(n, n, operand, "fold"); f != nil {
			f.Merge = MergeFold
		}
	}
	if f == nil {
		return nil
	}
	f.Ops, f.quiet = ops, false
	b.plan.Residual = b.standIn(f, n)
	if _, ok := b.plan.wholeQuery(); !ok {
		return nil // the same at all steps: it is asked for one step only
	}
	return b.plan
}
