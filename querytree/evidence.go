package querytree

import (
	"math"
	"strings"
	"time"

	"github.com/prometheus/prometheus/model/labels"
)

// selection is what was decided about all members for one selector and the times
// that it looks at: the rank of each one's verdict.
type selection struct {
	ms         []*labels.Matcher
	mint, maxt int64
	ranks      []int8
}

// selected returns what was decided for the selectors with these matchers that
// were among those of the request, at whatever times.
func (p *pruning) selected(ms []*labels.Matcher) (out []selection) {
	text := matchersText(ms)
	for _, s := range p.selections {
		if matchersText(s.ms) == text {
			out = append(out, s)
		}
	}
	return out
}

// evidence says of each member by what it was pruned; that of others is empty.
func (p *pruning) evidence() []string {
	out := make([]string, len(p.members))
	for _, s := range p.selections {
		var who []int
		for i, ms := range p.by {
			if out[i] == "" && p.verdicts[i] != Asked && sameMatchers(ms, s.ms) {
				who = append(who, i)
			}
		}
		for i, e := range p.prove(s, who) {
			out[i] = e
		}
	}
	return out
}

func sameMatchers(a, b []*labels.Matcher) bool {
	return len(a) == len(b) && (len(a) == 0 || &a[0] == &b[0])
}

// prove says of some members by what the selection pruned them. The hints are
// asked again, about each matcher alone: that costs a little, so it is done for
// reports in detail and explanations only.
func (p *pruning) prove(s selection, who []int) map[int]string {
	out := map[int]string{}
	var hinted []int
	for _, i := range who {
		switch d := p.members[i].Description; byRank[s.ranks[i]] {
		case PrunedLabel:
			out[i] = labelEvidence(d, s.ms)
		case PrunedTime:
			out[i] = timeEvidence(d.Mint)
		case PrunedHint:
			hinted = append(hinted, i)
		}
	}
	if len(hinted) > 0 {
		p.proveHints(s, hinted, out)
	}
	return out
}

func labelEvidence(d Description, ms []*labels.Matcher) string {
	for _, m := range ms {
		if v := d.Labels.Get(m.Name); v != "" && !m.Matches(v) {
			return m.String()
		}
	}
	return ""
}

func timeEvidence(mint int64) string {
	if mint == math.MaxInt64 {
		return "no samples"
	}
	return "oldest sample at " + time.UnixMilli(mint).UTC().Format(time.RFC3339Nano)
}

// heldThen says of evidence that it is about the times that were asked for.
const heldThen = " (held no such series then)"

// proveHints looks for a single matcher that rules a member out; if none does,
// all together do, since hints know of pairs too. Where there is such a series at
// another time, the evidence says so.
func (p *pruning) proveHints(s selection, who []int, out map[int]string) {
	names := make([]string, len(who))
	for j, i := range who {
		names[j] = p.members[i].name()
	}
	prove := func(ms []*labels.Matcher, mint, maxt int64, evidence string) {
		for j, ruledOut := range p.pruner.RulesOutAll(names, ms, mint, maxt) {
			if i := who[j]; ruledOut && out[i] == "" {
				out[i] = evidence
			}
		}
	}
	const ever, forever = math.MinInt64, math.MaxInt64
	for _, m := range s.ms {
		prove([]*labels.Matcher{m}, ever, forever, m.String())
	}
	prove(s.ms, ever, forever, matchersText(s.ms))
	for _, m := range s.ms {
		prove([]*labels.Matcher{m}, s.mint, s.maxt, m.String()+heldThen)
	}
	prove(s.ms, s.mint, s.maxt, matchersText(s.ms)+heldThen)
	for _, i := range who {
		if out[i] == "" { // the hint has changed meanwhile
			out[i] = matchersText(s.ms)
		}
	}
}

// matchersText is a selector as text, its name first.
func matchersText(ms []*labels.Matcher) string {
	parts := make([]string, 0, len(ms))
	for _, m := range ms {
		parts = append(parts, m.String())
	}
	return "{" + strings.Join(parts, ",") + "}"
}
