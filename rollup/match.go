package rollup

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/util/annotations"
)

// Match is a way to answer an aggregation from a rule.
type Match struct {
	Rule *Rule
	// Op is the query's operator.
	Op parser.ItemType
	// Ops are those of the rule's operators that are needed. Each is aggregated
	// by itself: a count by sum, group from whatever is there, all others by
	// themselves; an average is the sum divided by the count.
	Ops []string
	// Matchers are on labels of the stored series: what the query selects and
	// the rule does not.
	Matchers []*labels.Matcher
	// Offset is how much older than the query's point the rule's is, in
	// milliseconds; it may be negative.
	Offset int64
	// Grouping and Without are those of the query, sorted.
	Grouping []string
	Without  bool
	// Info is the annotation that the engine gives if any of the sums, minima
	// or maxima that are used is a float, with the query's positions; nil if it
	// gives none.
	Info error
}

// Miss says why a rule does not answer an aggregation.
type Miss struct {
	Rule *Rule
	// Why is for people.
	Why string
}

// Match returns how an aggregation, which is not changed, can be answered by
// rules, likely the smallest first; and for each other rule over the same
// metric, a hundred of them at most, the first condition that failed. constants are labels that all series
// of the tier have: matchers on them are decided, grouping by them is free.
func (rs *Rules) Match(n *parser.AggregateExpr, constants labels.Labels) (matches []Match, misses []Miss) {
	if len(rs.all) == 0 {
		return nil, nil
	}
	q, err := askedFor(n)
	if err != nil {
		for _, r := range rs.reading(n) {
			misses = missed(misses, r, err)
		}
		return nil, misses
	}
	for _, r := range rs.byMetric[q.inner.metric] {
		if m, err := r.match(q, constants); err != nil {
			misses = missed(misses, r, err)
		} else {
			matches = append(matches, m)
		}
	}
	return matches, misses
}

func missed(misses []Miss, r *Rule, why error) []Miss {
	if len(misses) >= maxMisses {
		return misses
	}
	return append(misses, Miss{r, why.Error()})
}

// reading returns the rules over the metrics that an expression names.
func (rs *Rules) reading(e parser.Expr) (out []*Rule) {
	seen := map[string]bool{}
	parser.Inspect(e, func(n parser.Node, _ []parser.Node) error {
		vs, ok := n.(*parser.VectorSelector)
		if !ok {
			return nil
		}
		if _, name, err := normalized(vs.LabelMatchers); err == nil && !seen[name] {
			seen[name] = true
			out = append(out, rs.byMetric[name]...)
		}
		return nil
	})
	return out
}

// maxMisses bounds what is told of a metric with very many rules.
const maxMisses = 100

// unmet is a condition that failed. Most are never read, so they are put in
// words only then.
type unmet struct {
	format string
	args   []any
}

func because(format string, args ...any) error { return unmet{format, args} }

func (u unmet) Error() string { return fmt.Sprintf(u.format, u.args...) }

// query is an aggregation that is asked for.
type query struct {
	op       parser.ItemType
	inner    shape
	grouping []string
	without  bool
}

func askedFor(n *parser.AggregateExpr) (query, error) {
	if !slices.Contains(operators, n.Op) {
		return query{}, operatorRefused(n.Op)
	}
	inner, err := shapeOf(n.Expr)
	return query{op: n.Op, inner: inner, grouping: grouped(n.Grouping, n.Without), without: n.Without}, err
}

// match returns how a rule over the same metric answers a query, or why not.
func (r *Rule) match(q query, constants labels.Labels) (Match, error) {
	m := Match{Rule: r, Op: q.op, Grouping: q.grouping, Without: q.without}
	for _, step := range []func(*Match, query, labels.Labels) error{
		r.matchInner, r.matchOperator, r.matchSelector, r.matchGrouping, r.matchInfo,
	} {
		if err := step(&m, q, constants); err != nil {
			return Match{}, err
		}
	}
	return m, nil
}

func (r *Rule) matchInner(m *Match, q query, _ labels.Labels) error {
	if r.inner.key != q.inner.key {
		return because("it is of %s, the query of %s", r.inner.expr, q.inner.expr)
	}
	m.Offset = (q.inner.offset - r.inner.offset).Milliseconds()
	if m.Offset != 0 && q.inner.clocked {
		return because("its value depends on the time of evaluation, which the query's offset of %v does not shift", q.inner.offset)
	}
	return nil
}

// matchOperator decides what of the rule's is aggregated further. A group is
// taken from counts only: where floats and histograms are mixed there is no
// sum, and where there are histograms no min or max.
func (r *Rule) matchOperator(m *Match, q query, _ labels.Labels) error {
	op := q.op.String()
	switch {
	case q.op == r.Expr.Op:
		m.Ops = r.Ops
	case slices.Contains(r.Ops, op):
		m.Ops = []string{op}
	case q.op == parser.GROUP && slices.Contains(r.Ops, "count"):
		m.Ops = []string{"count"}
	case q.op == parser.AVG && (r.Expr.Op == parser.SUM || r.Expr.Op == parser.COUNT):
		return because("it keeps %s, of which avg is made only together with a rule of the %s", r.Expr.Op, halfBeside(r.Expr.Op))
	default:
		return because("it keeps %s, of which %s cannot be made", strings.Join(r.Ops, " and "), op)
	}
	return nil
}

// matchSelector finds the matchers that are left to do.
func (r *Rule) matchSelector(m *Match, q query, constants labels.Labels) error {
	asked := q.inner.selector.LabelMatchers
	for _, rm := range r.matchers {
		switch {
		case constants.Has(rm.Name) && !rm.Matches(constants.Get(rm.Name)):
			return because("it selects %s, of which there is nothing here: all series have %s=%q", rm, rm.Name, constants.Get(rm.Name))
		case !constants.Has(rm.Name) && !implied(rm, asked):
			return because("it has only series with %s, the query asks for others too", rm)
		}
	}
	for _, qm := range asked {
		switch {
		case constants.Has(qm.Name):
			if !qm.Matches(constants.Get(qm.Name)) {
				return because("the query selects %s, of which there is nothing here: all series have %s=%q", qm, qm.Name, constants.Get(qm.Name))
			}
		case implied(qm, r.matchers):
		case r.keeps(qm.Name):
			m.Matchers = append(m.Matchers, qm)
		default:
			return because("the query selects by %s, and the rule does not keep %s", qm, qm.Name)
		}
	}
	return nil
}

// keeps reports whether the rule's points have a label of the series.
func (r *Rule) keeps(name string) bool {
	// Names that are reserved may be dropped by a function.
	return slices.Contains(r.Expr.Grouping, name) != r.Expr.Without && !strings.HasPrefix(name, reserved)
}

// reserved begins the names of labels that are not the user's.
const reserved = "__"

func (r *Rule) matchGrouping(_ *Match, q query, constants labels.Labels) error {
	if q.without {
		if !r.Expr.Without {
			return because("the query groups without some labels, hence by all others, and the rule keeps some only")
		}
		for _, name := range r.Expr.Grouping {
			if !slices.Contains(q.grouping, name) && !constants.Has(name) {
				return because("the query keeps %s, and the rule does not", name)
			}
		}
		return nil
	}
	for _, name := range q.grouping {
		switch {
		case name == labels.MetricName && q.inner.keepsName:
		case name == labels.MetricName:
			return because("the query groups by the metric name, and whether there is one after a function depends on the server")
		case !r.keeps(name) && !constants.Has(name):
			return because("the query groups by %s, which the rule does not keep", name)
		}
	}
	return nil
}

// matchInfo finds the annotation. A count is of floats and histograms, of which
// only floats are annotated.
func (r *Rule) matchInfo(m *Match, q query, _ labels.Labels) error {
	if !r.foretells() {
		return nil
	}
	if q.op == parser.COUNT || q.op == parser.GROUP {
		return because("%s is not a counter by its name, and whether the engine says so cannot be told of a count", q.inner.metric)
	}
	m.Info = annotations.NewPossibleNonCounterInfo(q.inner.metric, q.inner.rated)
	return nil
}

// Holds reports whether a value that was aggregated from what is kept can be
// used; sum is the one by sum, h nil for a float. The engine averages without
// adding up where a sum overflows, so that an average may be finite although the
// sum is not.
func (m *Match) Holds(sum float64, h *histogram.FloatHistogram) bool {
	switch {
	case m.Op != parser.AVG:
		return true
	case h != nil:
		return !h.HasOverflow()
	default:
		return !math.IsInf(sum, 0)
	}
}

// Labels returns the labels that a stored series has in the query's result.
func (m *Match) Labels(stored, constants labels.Labels) labels.Labels {
	b := labels.NewBuilder(stored).Del(labels.MetricName)
	if m.Without {
		constants.Range(func(l labels.Label) { b.Set(l.Name, l.Value) })
		return b.Del(m.Grouping...).Labels()
	}
	b.Keep(m.Grouping...) // of what is stored
	for _, name := range m.Grouping {
		switch {
		case name == labels.MetricName:
			b.Set(name, m.Rule.inner.metric)
		case constants.Has(name):
			b.Set(name, constants.Get(name))
		}
	}
	return b.Labels()
}
