package rollup

import (
	"cmp"
	"regexp"
	"slices"

	"github.com/prometheus/prometheus/model/labels"
)

// normalized returns the matchers of a selector but those on the metric name,
// simplified, sorted, each once; and the metric name that the selector has.
func normalized(ms []*labels.Matcher) ([]*labels.Matcher, string, error) {
	var out, names []*labels.Matcher
	name := ""
	for _, m := range ms {
		m = simplified(m)
		switch {
		case m == nil:
		case m.Name != labels.MetricName:
			out = append(out, m)
		case m.Type == labels.MatchEqual && m.Value != "" && name == "":
			name = m.Value
		default:
			names = append(names, m)
		}
	}
	if name == "" {
		return nil, "", refuse(`name one metric, as in x{...} or {__name__="x"}`, "a selector does not say by = of which metric it is")
	}
	for _, m := range names {
		if !m.Matches(name) {
			return nil, "", refuse("name one metric", "a selector of %s and %s selects nothing", name, m)
		}
	}
	slices.SortFunc(out, func(a, b *labels.Matcher) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Type, b.Type), cmp.Compare(a.Value, b.Value))
	})
	return slices.CompactFunc(out, same), name, nil
}

func same(a, b *labels.Matcher) bool {
	return a.Name == b.Name && a.Type == b.Type && a.Value == b.Value
}

// simplified returns a matcher that matches the same, or nil if m matches all.
// Dashboards write regular expressions for whatever their variables are.
func simplified(m *labels.Matcher) *labels.Matcher {
	equal, unequal := labels.MatchEqual, labels.MatchNotEqual
	switch m.Type {
	case labels.MatchRegexp:
	case labels.MatchNotRegexp:
		equal, unequal = unequal, equal
	default:
		return m
	}
	switch {
	case m.Value == ".*" && m.Type == labels.MatchRegexp:
		return nil
	case m.Value == ".+":
		return labels.MustNewMatcher(unequal, m.Name, "")
	case regexp.QuoteMeta(m.Value) == m.Value:
		return labels.MustNewMatcher(equal, m.Name, m.Value)
	default:
		return m
	}
}

// implied reports whether whatever matches all of given matches m too.
func implied(m *labels.Matcher, given []*labels.Matcher) bool {
	for _, g := range given {
		if g.Name != m.Name {
			continue
		}
		if same(g, m) {
			return true
		}
		if values := valuesOf(g); len(values) > 0 && !slices.ContainsFunc(values, func(v string) bool { return !m.Matches(v) }) {
			return true
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

// labelled returns the matchers of a selector that also has a metric name.
func labelled(metric string, ms []*labels.Matcher) []*labels.Matcher {
	return append([]*labels.Matcher{labels.MustNewMatcher(labels.MatchEqual, labels.MetricName, metric)}, ms...)
}
