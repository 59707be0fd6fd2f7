package querytree

import (
	"math"
	"regexp"
	"slices"

	"github.com/prometheus/prometheus/model/labels"
)

// FeatureOwn is that of a tier that may have Own or rollups, or has a child that may:
// what it holds of a name may be older than Description.Mint, which is that of the
// leaves' samples.
const FeatureOwn = "own"

// TierOwn is what the part of a tier that holds its Own is called in reports and
// explanations, in place of the tier of a child.
const TierOwn = "rollups"

// Own is what a tier holds itself, under metric names of its own: they are not
// looked for below. Selectors of such a name, by equality, are answered by it
// alone; all others know nothing of it. The values of the label __name__ are a
// selector of names rather than of series, and have those that it matches.
//
// Parents must know the names before the tier does (fieldhint.Set.SetNames), or they
// would not ask it for them.
type Own struct {
	// Child answers, as a member of the tier would.
	Child Child
	// Names returns the metric names, sorted.
	Names func() []string
}

// withOwn returns the members, and what the tier holds itself as another one. The
// slice may be another query's too, so that it is copied.
func (m *Mixer) withOwn(members []Member) []Member {
	if m.cfg.Own == nil {
		return members
	}
	return append(slices.Clip(members), m.cfg.Own.member())
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
	name := nameOf(ms)
	if name == "" {
		return false
	}
	_, found := slices.BinarySearch(o.Names(), name)
	return found
}

// mayOwn reports whether a member may hold series of a selector's name itself, or
// rollups of them, or have a child that does.
func (m Member) mayOwn(ms []*labels.Matcher) bool {
	return m.Description.Has(FeatureOwn) && slices.ContainsFunc(ms, namesMetric)
}

// namesMetric reports whether a matcher says of which metric a selector is. A regular
// expression without any operator does.
func namesMetric(m *labels.Matcher) bool {
	if m.Name != labels.MetricName || m.Value == "" {
		return false
	}
	return m.Type == labels.MatchEqual || m.Type == labels.MatchRegexp && regexp.QuoteMeta(m.Value) == m.Value
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
	return e.prune.ownUse(e.m.name(), grid{e.req.Start, e.req.End, e.req.Step})
}

func (p *pruning) ownUse(tier string, g grid) (out []RollupUse) {
	for _, s := range p.selections {
		if p.own.owns(s.ms) {
			out = append(out, RollupUse{Tier: tier, Rule: nameOf(s.ms), Steps: g.steps(), Of: g.steps(), Until: g.end})
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
