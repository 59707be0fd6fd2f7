package querytree

import (
	"math"
	"slices"

	"github.com/prometheus/prometheus/model/labels"
)

// Pruner rules out children by what they hold; fieldhint.Index is one. It must
// never rule out a child that holds a matching series. It is safe for
// concurrent use and does no I/O.
type Pruner interface {
	// RulesOutAll reports for each child, by Identity.Name, whether it cannot
	// hold a series that all the matchers match and that has samples at one of
	// the times from mint to maxt, both included, in milliseconds.
	RulesOutAll(children []string, ms []*labels.Matcher, mint, maxt int64) []bool
}

// pruning is what was decided about the members for the selectors of one
// request.
type pruning struct {
	members []Member
	// verdicts of each member: Asked if any selector needs it.
	verdicts []Verdict
	pruner   Pruner
	// mint and maxt bound the samples that the request looks at.
	mint, maxt int64
	// by holds for each member the matchers that its verdict is about, and
	// selections what was decided for each selector, for explanations.
	by         [][]*labels.Matcher
	selections []selection
	// own is what the tier holds itself; may be nil.
	own *Own
	// identityLabels are those that tell members apart; nil until they are
	// needed.
	identityLabels set
}

func newPruning(members []Member, pruner Pruner, mint, maxt int64) *pruning {
	return &pruning{members: members, pruner: overReplicas(pruner, members), mint: mint, maxt: maxt, verdicts: make([]Verdict, len(members)), by: make([][]*labels.Matcher, len(members))}
}

// candidates returns the members that may hold a series which all the matchers
// match, at whatever time, and notes why the others do not. Lists of names are
// about all series of the blocks that they look at, not of a time.
func (p *pruning) candidates(ms []*labels.Matcher) bitset {
	return p.candidatesAt(ms, math.MinInt64, math.MaxInt64)
}

// candidatesAt returns the members that may hold samples of such a series from
// mint to maxt.
func (p *pruning) candidatesAt(ms []*labels.Matcher, mint, maxt int64) bitset {
	var (
		left  []int
		names []string
		out   bitset
	)
	p.selections = append(p.selections, selection{ms: ms, mint: mint, maxt: maxt, ranks: make([]int8, len(p.members))})
	owned := p.own.owns(ms)
	for i, m := range p.members {
		if m.own != owned {
			p.note(i, RolledUp, ms)
			continue
		}
		if m.own {
			p.note(i, Asked, ms)
			out = out.with(i)
			continue
		}
		if v := p.byDescription(m, ms); v != Asked {
			p.note(i, v, ms)
			continue
		}
		if !m.Connected || m.Stale || p.pruner == nil {
			// The last hint of a child that is gone may lack its last series.
			p.note(i, Asked, ms)
			out = out.with(i)
			continue
		}
		left, names = append(left, i), append(names, m.name())
	}
	if len(left) == 0 {
		return out
	}
	for j, ruledOut := range p.pruner.RulesOutAll(names, ms, mint, maxt) {
		if ruledOut {
			p.note(left[j], PrunedHint, ms)
			continue
		}
		p.note(left[j], Asked, ms)
		out = out.with(left[j])
	}
	return out
}

// byDescription decides by identity labels and time alone. A description is some
// seconds old, so it is not the oldest sample that counts, but what may come.
func (p *pruning) byDescription(m Member, ms []*labels.Matcher) Verdict {
	for _, matcher := range ms {
		if v := m.Description.Labels.Get(matcher.Name); v != "" && !matcher.Matches(v) {
			return PrunedLabel
		}
	}
	if d := m.Description; m.Connected && d.Mint != math.MaxInt64 && d.Earliest != 0 && d.Earliest > p.maxt && !m.mayOwn(ms) {
		return PrunedTime
	}
	return Asked
}

// note keeps the strongest verdict: what one selector prunes another may need.
func (p *pruning) note(i int, v Verdict, ms []*labels.Matcher) {
	p.selections[len(p.selections)-1].ranks[i] = int8(rank(v))
	if p.verdicts[i] == "" || rank(v) > rank(p.verdicts[i]) {
		p.verdicts[i], p.by[i] = v, ms
	}
}

// byRank are the verdicts, the weakest first.
var byRank = [...]Verdict{RolledUp, PrunedLabel, PrunedTime, PrunedHint, Asked}

func rank(v Verdict) int { return slices.Index(byRank[:], v) }

// report tells which members were pruned; with detail it lists them.
func (p *pruning) report(detail bool) Report {
	var (
		r        Report
		evidence []string
	)
	if detail {
		evidence = p.evidence()
	}
	for i, v := range p.verdicts {
		if v == Asked || v == "" || p.members[i].own {
			continue
		}
		if r.Pruned == nil {
			r.Pruned = map[Verdict]int{}
		}
		r.Pruned[v]++
		if detail {
			r.Add(p.members[i].name(), ChildReport{Tier: p.members[i].Description.Tier, Verdict: v, Evidence: evidence[i]})
		}
	}
	return r
}
