package aggregate

import (
	"fmt"
	"slices"

	"github.com/prometheus/prometheus/model/labels"
)

// A series is an input of one rule, the first that matches it: of two, the totals
// would say different things of what is kept of it.

// shadowed returns an error if a rule can never have an input, since each series
// that it selects is one of an earlier rule.
func (r Rules) shadowed() error {
	for i := range r.Rules {
		rule := &r.Rules[i]
		selectors, err := rule.selectors()
		if err != nil {
			return err
		}
		takers := make([]string, 0, len(selectors))
		for _, s := range selectors {
			if by := r.taker(i, s); by != "" {
				takers = append(takers, by)
			}
		}
		if len(takers) == len(selectors) {
			slices.Sort(takers)
			return fmt.Errorf("rule %q never has an input: all that it selects is taken by %q before it, and a series is an input of one rule only; put it first, give that one more ops or labels to keep, or remove it",
				rule.Name, slices.Compact(takers))
		}
	}
	return nil
}

// taker returns the name of a rule before the given one that takes all that a
// selector selects, or an empty string.
func (r Rules) taker(before int, s []*labels.Matcher) string {
	for j := range r.Rules[:before] {
		earlier, err := r.Rules[j].selectors()
		if err == nil && slices.ContainsFunc(earlier, func(o []*labels.Matcher) bool { return within(s, o) }) {
			return r.Rules[j].Name
		}
	}
	return ""
}

// Overlaps says of rules which may select series that an earlier rule takes, in a
// sentence each.
func (r Rules) Overlaps() (out []string) {
	for i := range r.Rules {
		for j := range r.Rules[:i] {
			if mayOverlap(&r.Rules[i], &r.Rules[j]) {
				out = append(out, fmt.Sprintf("series that both %s and %s select are inputs of %s alone", r.Rules[j].Name, r.Rules[i].Name, r.Rules[j].Name))
			}
		}
	}
	return out
}

func mayOverlap(a, b *Rule) bool {
	as, err := a.selectors()
	if err != nil {
		return false
	}
	bs, err := b.selectors()
	if err != nil {
		return false
	}
	for _, x := range as {
		for _, y := range bs {
			if !apart(x, y) {
				return true
			}
		}
	}
	return false
}

// within reports whether all that s selects is selected by o, so far as it can be
// told from the matchers.
func within(s, o []*labels.Matcher) bool {
	return !slices.ContainsFunc(o, func(m *labels.Matcher) bool {
		return !slices.ContainsFunc(s, func(g *labels.Matcher) bool { return implies(g, m) })
	})
}

// implies reports whether a value that g matches is matched by m.
func implies(g, m *labels.Matcher) bool {
	if g.Name != m.Name {
		return false
	}
	if g.Type == m.Type && g.Value == m.Value {
		return true
	}
	values := valuesOf(g)
	return len(values) > 0 && !slices.ContainsFunc(values, func(v string) bool { return !m.Matches(v) })
}

// apart reports whether no series is selected by both, so far as it can be told.
func apart(x, y []*labels.Matcher) bool {
	for _, pair := range [][2][]*labels.Matcher{{x, y}, {y, x}} {
		for _, g := range pair[0] {
			values := valuesOf(g)
			if len(values) == 0 {
				continue
			}
			for _, m := range pair[1] {
				if m.Name == g.Name && !slices.ContainsFunc(values, m.Matches) {
					return true
				}
			}
		}
	}
	return false
}

// valuesOf returns all values that a matcher matches, or nil if they cannot be
// listed.
func valuesOf(m *labels.Matcher) []string {
	switch m.Type {
	case labels.MatchEqual:
		return []string{m.Value}
	case labels.MatchRegexp:
		return m.SetMatches()
	default:
		return nil
	}
}
