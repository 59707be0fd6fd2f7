package planetbench_test

import (
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"

	"github.com/prometheus/prometheus/model/labels"
)

// form is what kind of matchers a selector has.
type form string

const (
	nameOnly   form = "name only"
	equality   form = "one ="
	equalities form = "several ="
	listed     form = "=~ list"
	pattern    form = "=~ pattern"
	nameless   form = "without name"
)

var forms = []form{nameOnly, equality, equalities, listed, pattern, nameless}

// intent is what a selector is made to match.
type intent string

const (
	existing intent = "existing" // a series that there is
	absent   intent = "absent"   // a value that there is nowhere
	combined intent = "combined" // values that there are, but not in one series
)

var intents = []intent{existing, existing, absent, combined}

// query is a selector that the planet is asked for.
type query struct {
	matchers []*labels.Matcher
	form     form
	intent   intent
}

func (q query) String() string {
	parts := make([]string, 0, len(q.matchers))
	for _, m := range q.matchers {
		parts = append(parts, m.String())
	}
	return "{" + strings.Join(parts, ",") + "}"
}

// asker makes queries: shapes from the corpus, values from the planet.
type asker struct {
	rnd    *rand.Rand
	shapes [][]*labels.Matcher
	series []labels.Labels // of a sample of leaves
	values map[string][]string
}

func newAsker(g *generator, corpus [][]*labels.Matcher) *asker {
	a := &asker{rnd: rand.New(rand.NewPCG(g.cfg.seed, 1<<32)), shapes: corpus, values: map[string][]string{}}
	for range min(40, len(g.places)) {
		g.series(a.rnd.IntN(len(g.places)), func(lset labels.Labels) {
			a.series = append(a.series, lset)
			lset.Range(func(l labels.Label) {
				if len(a.values[l.Name]) < 10_000 {
					a.values[l.Name] = append(a.values[l.Name], l.Value)
				}
			})
		})
	}
	return a
}

// queries returns distinct queries, as many of each form and intent.
func (a *asker) queries(n int) []query {
	var out []query
	seen := map[string]bool{}
	for _, f := range forms {
		for _, i := range intents {
			if f == nameOnly && i == combined {
				i = absent // there is nothing to combine
			}
			for made, tries := 0, 0; made < max(1, n/len(forms)/len(intents)) && tries < 200_000; tries++ {
				q, ok := a.query(f, i)
				if ok && !seen[q.String()] {
					seen[q.String()] = true
					out = append(out, q)
					made++
				}
			}
		}
	}
	return out
}

// query tries to make one.
func (a *asker) query(f form, i intent) (query, bool) {
	focus := a.series[a.rnd.IntN(len(a.series))]
	shape := a.shapes[a.rnd.IntN(len(a.shapes))]
	var ms []*labels.Matcher
	used := map[string]bool{labels.MetricName: true, "cluster": true, "region": true}
	for _, m := range shape {
		// Clusters and regions are known by label: hints have no part in that.
		if m.Name == labels.MetricName || m.Name == "cluster" {
			continue
		}
		if label, ok := a.labelFor(m.Name, focus, used); ok {
			used[label] = true
			if m := a.matcher(m, label, focus.Get(label)); m != nil {
				ms = append(ms, m)
			}
		}
	}
	if f != nameless {
		ms = append([]*labels.Matcher{equal(labels.MetricName, focus.Get(labels.MetricName))}, ms...)
	}
	if formOf(ms) != f || !all(ms, func(m *labels.Matcher) bool { return m.Matches(focus.Get(m.Name)) }) {
		return query{}, false
	}
	q := query{matchers: ms, form: f, intent: i}
	switch i {
	case absent:
		return q, a.spoil(q, strange)
	case combined:
		return q, a.spoil(q, func(m *labels.Matcher) string {
			if m.Name == labels.MetricName {
				return ""
			}
			return a.other(m.Name)
		})
	}
	return q, true
}

// labelFor returns a label of the focus that stands for the shape's.
func (a *asker) labelFor(name string, focus labels.Labels, used map[string]bool) (string, bool) {
	if focus.Has(name) && !used[name] {
		return name, true
	}
	var free []string
	focus.Range(func(l labels.Label) {
		if !used[l.Name] {
			free = append(free, l.Name)
		}
	})
	if len(free) == 0 {
		return "", false
	}
	return free[a.rnd.IntN(len(free))], true
}

// matcher makes one like the shape's m that matches value; nil if it would say
// nothing, or would not match.
func (a *asker) matcher(m *labels.Matcher, label, value string) *labels.Matcher {
	switch m.Type {
	case labels.MatchEqual:
		return equal(label, value)
	case labels.MatchNotEqual:
		return labels.MustNewMatcher(m.Type, label, "")
	case labels.MatchNotRegexp:
		return labels.MustNewMatcher(m.Type, label, "no.*|none")
	default:
		made, err := labels.NewMatcher(labels.MatchRegexp, label, a.regexp(m, label, value))
		if err != nil || !made.Matches(value) {
			return nil
		}
		return made
	}
}

// regexp makes a pattern in the manner of the shape's that matches value.
func (a *asker) regexp(m *labels.Matcher, label, value string) string {
	quoted := regexp.QuoteMeta(value)
	head := regexp.QuoteMeta(value[:max(1, min(len(value)-1, len(value)*3/5))])
	switch text := m.Value; {
	case text == "VAR": // what people choose in a dashboard: one, several, or what they type
		switch a.rnd.IntN(3) {
		case 0:
			return quoted
		case 1:
			return strings.Join([]string{quoted, regexp.QuoteMeta(a.other(label)), regexp.QuoteMeta(a.other(label))}, "|")
		}
		return head + ".*"
	case strings.Contains(text, "VAR"):
		return strings.ReplaceAll(text, "VAR", head)
	case text == ".+" || text == ".*":
		return text
	case len(m.SetMatches()) > 1:
		return strings.Join([]string{quoted, regexp.QuoteMeta(a.other(label)), regexp.QuoteMeta(a.other(label))}, "|")
	case strings.HasPrefix(text, ".*") && strings.HasSuffix(text, ".*"):
		from := len(value) / 4
		return ".*" + regexp.QuoteMeta(value[from:max(from+1, len(value)*3/4)]) + ".*"
	case strings.HasPrefix(text, ".*") || strings.HasPrefix(text, ".+"):
		return text[:2] + regexp.QuoteMeta(value[len(value)/2:])
	case strings.HasSuffix(text, ".."):
		return regexp.QuoteMeta(value[:1]) + strings.Repeat(".", len(value)-1)
	default:
		return head + ".*"
	}
}

// other returns some value of a label.
func (a *asker) other(label string) string {
	values := a.values[label]
	return values[a.rnd.IntN(len(values))]
}

// spoil gives one positive matcher of a query another value, in place. It
// returns false if the value is the same, or there is none.
func (a *asker) spoil(q query, value func(*labels.Matcher) string) bool {
	for _, i := range a.rnd.Perm(len(q.matchers)) {
		m := q.matchers[i]
		if m.Matches("") || m.Value == ".+" {
			continue
		}
		v := value(m)
		if v == "" || m.Matches(v) {
			continue
		}
		if m.Type == labels.MatchEqual {
			q.matchers[i] = equal(m.Name, v)
		} else if q.matchers[i] = a.matcher(m, m.Name, v); q.matchers[i] == nil {
			return false
		}
		return formOf(q.matchers) == q.form
	}
	return false
}

// strange is a value as probable as any that does not occur: its syllables have
// changed places.
func strange(m *labels.Matcher) string {
	v := regexp.MustCompile(`[^A-Za-z0-9_./:-]`).ReplaceAllString(m.Value, "")
	words := strings.FieldsFunc(v, func(r rune) bool { return r == '-' || r == '_' || r == '.' })
	if len(words) < 2 {
		return v + "-legacy"
	}
	words[0], words[len(words)-1] = words[len(words)-1], words[0]
	return strings.Join(words, v[len(words[len(words)-1]):len(words[len(words)-1])+1]) // the separator
}

func equal(name, value string) *labels.Matcher {
	return labels.MustNewMatcher(labels.MatchEqual, name, value)
}

func all(ms []*labels.Matcher, ok func(*labels.Matcher) bool) bool {
	return !slices.ContainsFunc(ms, func(m *labels.Matcher) bool { return !ok(m) })
}

// formOf returns the form of a selector, none if it asks for nothing.
func formOf(ms []*labels.Matcher) form {
	named, equals, lists, patterns := false, 0, 0, 0
	for _, m := range ms {
		switch {
		case m.Matches("") || m.Type == labels.MatchNotEqual || m.Type == labels.MatchNotRegexp:
		case m.Name == labels.MetricName && m.Type == labels.MatchEqual:
			named = true
		case m.Type == labels.MatchEqual:
			equals++
		case len(m.SetMatches()) > 0:
			lists++
		default:
			patterns++
		}
	}
	switch {
	case equals+lists+patterns == 0 && !named:
		return ""
	case !named:
		return nameless
	case patterns > 0:
		return pattern
	case lists > 0:
		return listed
	case equals > 1:
		return equalities
	case equals == 1:
		return equality
	default:
		return nameOnly
	}
}
