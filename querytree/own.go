package querytree

import (
	"math"
	"slices"

	"github.com/prometheus/prometheus/model/labels"
)

// Own is what a tier holds itself, under metric names of its own: they are not
// looked for below. Selectors of such a name, by equality, are answered by it
// alone; all others know nothing of it.
type Own struct {
	// Child answers, as a member of the tier would.
	Child Child
	// Names returns the metric names, sorted.
	Names func() []string
}

// member returns what holds the tier's own names, as a member.
func (o *Own) member() Member {
	d := o.Child.Describe()
	d.Mint, d.Maxt = math.MinInt64, math.MaxInt64
	return Member{Name: d.Name(), Child: o.Child, Description: d, Connected: true, own: true}
}

// owns reports whether a selector is of one of the tier's own names.
func (o *Own) owns(ms []*labels.Matcher) bool {
	if o == nil {
		return false
	}
	for _, m := range ms {
		if m.Name == labels.MetricName && m.Type == labels.MatchEqual {
			_, found := slices.BinarySearch(o.Names(), m.Value)
			return found
		}
	}
	return false
}

// ownNames returns the tier's own metric names that a request for names of
// metrics is about.
func (m *Mixer) ownNames(req NamesRequest) (out []string) {
	if m.cfg.Own == nil || req.Label != labels.MetricName {
		return nil
	}
	for _, name := range m.cfg.Own.Names() {
		if !slices.ContainsFunc(req.Matchers, func(lm *labels.Matcher) bool { return lm.Name != labels.MetricName || !lm.Matches(name) }) {
			out = append(out, name)
		}
	}
	return out
}

// ownUse tells that names of the tier's own had a part in an answer: they change
// when points are made, of which no child tells.
func (e *execution) ownUse() (out []RollupUse) {
	for _, s := range e.prune.selections {
		if e.prune.own.owns(s.ms) {
			g := grid{e.req.Start, e.req.End, e.req.Step}
			out = append(out, RollupUse{Tier: e.m.name(), Rule: nameOf(s.ms), Steps: g.steps(), Of: g.steps(), Until: e.req.End})
		}
	}
	return out
}

func nameOf(ms []*labels.Matcher) string {
	for _, m := range ms {
		if m.Name == labels.MetricName && m.Type == labels.MatchEqual {
			return m.Value
		}
	}
	return ""
}

// children counts the members that are not the tier's own storage.
func children(members []Member) (n int) {
	for _, m := range members {
		if !m.own {
			n++
		}
	}
	return n
}
