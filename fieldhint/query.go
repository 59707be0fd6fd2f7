package fieldhint

import (
	"maps"
	"slices"

	"github.com/prometheus/prometheus/model/labels"
)

// Query is a selector, made ready to be held against the field hints of many
// children. It is immutable and safe for concurrent use. The zero Query rules
// nothing out.
type Query struct {
	root *expr
	// name asks whether a tier holds series of a name itself, which is enough for the
	// query to hold; nil if no name is given by equality. So is it if the tier keeps
	// aggregates that kept asks for; nil if no metric is named.
	name *atom
	kept *expr
}

// Compile makes a query of a selector's matchers. The query holds for the
// fingerprints of every set of series in which one series matches all of them;
// it may hold for others. Its size and the work of making it are bounded
// whatever the matchers are.
func Compile(ms []*labels.Matcher) Query {
	byLabel := map[string][]*labels.Matcher{}
	for _, m := range ms {
		if usable(m) {
			byLabel[m.Name] = append(byLabel[m.Name], m)
		}
	}
	demands := make([]demand, 0, len(byLabel))
	for _, label := range slices.Sorted(maps.Keys(byLabel)) {
		demands = append(demands, askLabel(label, byLabel[label]))
	}
	root := join(demands)
	root.locate()
	return Query{root: root, name: heldName(ms), kept: keptAggregates(ms, byLabel)}
}

// usable reports whether a matcher can be asked what it matches. One that was
// not made by labels.NewMatcher may panic then; it rules nothing out.
func usable(m *labels.Matcher) bool {
	if m == nil {
		return false
	}
	switch m.Type {
	case labels.MatchEqual, labels.MatchNotEqual:
		return true
	case labels.MatchRegexp, labels.MatchNotRegexp:
		return m.GetRegexString() == m.Value && (m.Value != "" || m.IsRegexOptimized())
	default:
		return false
	}
}

// askLabel says what a series that satisfies all matchers of one label implies.
// A label has one value, so a value which one matcher lists must satisfy the
// others as well.
func askLabel(label string, ms []*labels.Matcher) demand {
	d := demand{label: label, expr: all, starts: []string{""}}
	present := false
	for _, m := range ms {
		if m.Matches("") {
			continue // a series without the label matches
		}
		present = true
		set, ok := values(m)
		if !ok {
			continue
		}
		set.exact = slices.DeleteFunc(set.exact, func(v string) bool {
			return v == "" || slices.ContainsFunc(ms, func(m *labels.Matcher) bool { return !m.Matches(v) })
		})
		d.expr = and(d.expr, set.ask(label))
		d.list(set)
		d.start(set)
		d.hold(set)
	}
	d.present = present
	if present && (d.expr.op == opAll || d.expr.op == opOr && d.expr.size > 8) {
		d.expr = and(hasLabel(label), d.expr) // the quickest answer comes first
	}
	return d
}

// list notes the values that the label may have, if they are no more than those
// that another matcher lists.
func (d *demand) list(set valueSet) {
	switch {
	case set.rest.op != opNone:
	case !d.listed, d.wide && !set.fold, d.wide == set.fold && len(set.exact) < len(d.values):
		d.values, d.wide, d.listed = set.exact, set.fold, true
	}
}

// start notes what the value starts with, if it says more than another matcher.
func (d *demand) start(set valueSet) {
	starts := fit(slices.Concat(set.exact, set.starts), firstBytes)
	if trivial(d.starts) || shortest(starts) > shortest(d.starts) {
		d.starts, d.startsWide = starts, set.fold
	}
}

// hold notes what infixes the value holds, as every matcher says.
func (d *demand) hold(set valueSet) {
	if d.infixes == nil {
		d.infixes = all
	}
	d.infixes = and(d.infixes, set.infixes(d.label))
	d.infixesWide = d.infixesWide || set.fold
}

// values says what one matcher asks of a label's value, and false if it asks no
// more than that there is one.
func values(m *labels.Matcher) (valueSet, bool) {
	switch m.Type {
	case labels.MatchEqual:
		return valueSet{exact: []string{m.Value}, rest: none}, true
	case labels.MatchRegexp:
		return analyze(m.Name, m.Value)
	default:
		return valueSet{}, false
	}
}

// maxSureValues is the number of values listed up to which each is asked for with
// its trigrams, so that a query stays small.
const maxSureValues = 32

// ask turns a set of values into a question about fingerprints.
func (s valueSet) ask(label string) *expr {
	subs := make([]*expr, 0, len(s.exact)+4)
	for _, v := range s.exact {
		if len(s.exact) <= maxSureValues {
			subs = append(subs, hasValueSurely(label, v))
		} else {
			subs = append(subs, hasValue(label, v))
		}
	}
	if len(s.exact) > 0 && label != labels.MetricName {
		subs = append(subs, hasUnvalued(label)) // values that are not kept; those of __name__ are
	}
	subs = append(subs, s.askRest(label))
	if s.fold {
		subs = append(subs, hasWide(label)) // values that case folding changes in other ways
	}
	return or(subs...)
}

// askRest asks for the values that are not listed.
func (s valueSet) askRest(label string) *expr {
	if s.rest.op == opNone {
		return none
	}
	return and(or(s.rest, hasLong(label)), askPrefixes(label, s.starts)) // long are values without trigrams
}

// Holds reports whether a set of series of which only fingerprints are known
// can hold a match; has tells which fingerprints there are.
func (q Query) Holds(has func(fp uint64) bool) bool {
	known := func(a *atom) bool { return has(a.fp) }
	return q.expr().holds(known) || q.own(known)
}

// String shows the query. Atoms are has(label), label="value", label~"trigram"
// with ^ and $ marking where the value begins and ends, label^="prefix",
// pair(a="v", b="w") and pair(a="v", b^="prefix") for two labels of one series; and what lets pass: long(label) for "has values
// without trigrams", wide(label) for "has values beyond ASCII", unvalued(label)
// for "has values that are not kept", unpaired(a, b), or unpaired(*), for "has
// series whose pairs are not kept", unprefixed likewise for prefixes. ALL rules nothing out, NONE everything. It
// leaves out that a tier may hold series of the name itself (Set.SetNames), or keep
// aggregates of them (Set.AddKept).
func (q Query) String() string { return q.expr().String() }

func (q Query) expr() *expr {
	if q.root == nil {
		return all
	}
	return q.root
}
