package querytree

import (
	"cmp"
	"maps"
	"math"
	"slices"

	"github.com/prometheus/prometheus/model/labels"
)

// HintSavings says by which labels field hints spared requests. Of the children that
// a selector passed by, a few are asked for what ruled them out, and stand for the
// others: the numbers are estimates, which together are what HintUse.Spared counts of
// queries, give or take hints that changed meanwhile.
type HintSavings struct {
	// Labels are sorted by what they spared, most first. A request counts for the
	// label whose matcher alone ruled the child out, the metric name before others.
	Labels []LabelSaving `json:"labels"`
	// Together counts what no matcher alone did: pairs, or the time asked for.
	Together uint64 `json:"together"`
	// Others sums up labels beyond the first hundred that were seen.
	Others uint64 `json:"others"`
}

// LabelSaving is what the matchers of one label spared.
type LabelSaving struct {
	Label  string `json:"label"`
	Spared uint64 `json:"spared"`
}

// Bounds of what is counted, and of what it costs.
const (
	maxSavingLabels = 100
	// provenSelectors of a request, and provenChildren of each, are looked at.
	provenSelectors, provenChildren = 4, 8
)

// labelSavings adds up HintSavings. The zero value is one of nothing.
type labelSavings struct {
	labels           map[string]float64
	together, others float64
}

func (s *labelSavings) add(more labelSavings) {
	if s.labels == nil {
		s.labels = map[string]float64{}
	}
	for label, n := range more.labels {
		if _, known := s.labels[label]; !known && len(s.labels) >= maxSavingLabels {
			s.others += n
			continue
		}
		s.labels[label] += n
	}
	s.together += more.together
	s.others += more.others
}

// HintSavings tells by which labels hints spared requests since the tier started.
func (m *Mixer) HintSavings() HintSavings {
	m.uses.mu.Lock()
	defer m.uses.mu.Unlock()
	s := m.uses.savings
	out := HintSavings{Labels: []LabelSaving{}, Together: uint64(math.Round(s.together)), Others: uint64(math.Round(s.others))}
	for label, n := range s.labels {
		out.Labels = append(out.Labels, LabelSaving{label, uint64(math.Round(n))})
	}
	slices.SortFunc(out.Labels, func(a, b LabelSaving) int {
		return cmp.Or(cmp.Compare(b.Spared, a.Spared), cmp.Compare(a.Label, b.Label))
	})
	return out
}

// attribute finds by which labels the members that were spared, by selector, were
// ruled out.
func (p *pruning) attribute(selections []selection, spared map[int][]int, into *labelSavings) {
	for _, n := range slices.Sorted(maps.Keys(spared))[:min(len(spared), provenSelectors)] {
		who := spared[n]
		sample := spacedOut(who, provenChildren)
		into.add(p.ruledOutBy(selections[n], sample, float64(len(who))/float64(len(sample))))
	}
}

// spacedOut returns up to n of a list, from all over it.
func spacedOut(list []int, n int) []int {
	if len(list) <= n {
		return list
	}
	out := make([]int, n)
	for i := range out {
		out[i] = list[i*len(list)/n]
	}
	return out
}

// ruledOutBy counts for each label how many members its matcher alone rules out,
// each with a weight.
func (p *pruning) ruledOutBy(s selection, who []int, weight float64) labelSavings {
	out := labelSavings{labels: map[string]float64{}}
	ms := slices.Clone(s.ms)
	slices.SortStableFunc(ms, func(a, b *labels.Matcher) int { return cmp.Compare(isName(b), isName(a)) })
	for _, m := range ms {
		if p.identity().has(m.Name) {
			continue
		}
		left := p.passing(who, []*labels.Matcher{m}, s.mint, s.maxt)
		if n := len(who) - len(left); n > 0 {
			out.labels[m.Name] += weight * float64(n)
		}
		if who = left; len(who) == 0 {
			return out
		}
	}
	out.together = weight * float64(len(who)-len(p.passing(who, s.ms, s.mint, s.maxt)))
	return out
}

func isName(m *labels.Matcher) int {
	if m.Name == labels.MetricName {
		return 1
	}
	return 0
}

// passing returns the members that matchers do not rule out.
func (p *pruning) passing(who []int, ms []*labels.Matcher, mint, maxt int64) (left []int) {
	names := make([]string, len(who))
	for j, i := range who {
		names[j] = p.members[i].name()
	}
	for j, ruledOut := range p.pruner.RulesOutAll(names, ms, mint, maxt) {
		if !ruledOut {
			left = append(left, who[j])
		}
	}
	return left
}
