package querytree

import "time"

// PathStep is one tier on the critical path of a query.
type PathStep struct {
	Name string `json:"name"`
	Tier string `json:"tier"`
	// Fragment is the one by which the step was reached; empty at the top.
	Fragment string `json:"fragment,omitempty"`
	// Total is the tier's time as its parent saw it, at the top as it saw itself.
	Total time.Duration `json:"totalNs"`
	// Queued is the part of Total spent waiting for a turn, Wire that between
	// parent and child, which includes encoding and decoding.
	Queued time.Duration `json:"queuedNs"`
	Wire   time.Duration `json:"wireNs"`
	// Self is what is left: planning, evaluating, merging.
	Self time.Duration `json:"selfNs"`
	// Late and Failed, as in EdgeExplanation.
	Late   bool   `json:"late,omitempty"`
	Failed string `json:"failed,omitempty"`
}

// CriticalPath returns the chain of tiers that determined how long an analysed
// query took, from the top down: in each tier the slowest edge, since all
// fragments and all children are waited for side by side. Queued, Wire and Self
// of all steps add up to the Total of the first.
func (x *Explanation) CriticalPath() []PathStep {
	if x == nil || x.Total == 0 {
		return nil
	}
	step := PathStep{Name: x.Name, Tier: x.Tier, Total: x.Total, Queued: min(x.Queued, x.Total)}
	var path []PathStep
	for x != nil {
		edge, fragment := x.slowest()
		inside := step.Total - step.Queued - step.Wire
		if edge == nil {
			step.Self = inside
			return append(path, step)
		}
		took := min(edge.Time, inside)
		step.Self = inside - took
		path = append(path, step)
		step = PathStep{Name: edge.Child, Tier: edge.Tier, Fragment: fragment, Total: took, Late: edge.Late, Failed: edge.Failed}
		if x = edge.Below; x != nil {
			step.Wire = max(0, took-x.Total)
			step.Queued = min(x.Queued, took-step.Wire)
		}
	}
	step.Self = step.Total
	return append(path, step)
}

// slowest returns the edge that took longest; the first of equal ones.
func (x *Explanation) slowest() (edge *EdgeExplanation, fragment string) {
	for i := range x.Fragments {
		f := &x.Fragments[i]
		for j := range f.Children {
			if e := &f.Children[j]; e.Time > 0 && (edge == nil || e.Time > edge.Time) {
				edge, fragment = e, f.ID
			}
		}
	}
	return edge, fragment
}
