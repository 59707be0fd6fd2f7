package rollup

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/util/annotations"
)

// Tiers that can keep points.
const (
	Leaf = "leaf"
	Zone = "zone"
	Root = "root"
)

// Tiers returns them, lowest first.
func Tiers() []string { return []string{Leaf, Zone, Root} }

// Keep says for how long to keep points of which distance.
type Keep struct {
	// Every is the distance, a multiple of the rule's interval.
	Every time.Duration
	// For is how long, at least Every.
	For time.Duration
}

// Rule is an aggregate to keep. It is never changed.
type Rule struct {
	// ID is 16 hex digits, which depend on the canonical text and the interval
	// alone: a rule that is changed is another one.
	ID string
	// Name is the metric name of the points: "rollup:" and the ID if the file
	// gives none.
	Name string
	// Expr is the aggregation in canonical form: sorted matchers and grouping,
	// no parentheses but those that its text needs.
	Expr *parser.AggregateExpr
	// Ops are the operators whose values are kept: that of Expr, or for an
	// average {"sum", "count"}.
	Ops []string
	// Interval is the distance of points in milliseconds. Points are at its
	// multiples.
	Interval int64
	// Keep is what each tier keeps, by tier; those left out keep nothing.
	Keep map[string][]Keep
	// Instant is set if the expression has an instant selector, so that its
	// value depends on the lookback delta.
	Instant bool

	inner    shape
	matchers []*labels.Matcher // but that on the metric name
	window   time.Duration     // without the lookback delta
}

// Text returns the expression as PromQL, with the first of Ops as its operator:
// what a tier is asked for, together with the other Ops.
func (r *Rule) Text() string {
	n := *r.Expr
	if n.Op == parser.AVG {
		n.Op = parser.SUM
	}
	return n.String()
}

// String returns the canonical text of the rule's own expression.
func (r *Rule) String() string { return r.Expr.String() }

// Metric returns the name of the metric that the rule reads.
func (r *Rule) Metric() string { return r.inner.metric }

// Implied returns the labels that the rule selects by and does not keep: a query that
// it answers may select by them too.
func (r *Rule) Implied() (out []string) {
	for _, m := range r.matchers {
		if !r.keeps(m.Name) && !slices.Contains(out, m.Name) {
			out = append(out, m.Name)
		}
	}
	return out
}

// Window returns how far before its time a point may look, given the lookback
// delta of instant selectors.
func (r *Rule) Window(lookback time.Duration) time.Duration {
	if r.Instant {
		return r.window + lookback
	}
	return r.window
}

// Foretold reports whether an annotation that an evaluation of the rule gave is
// the one that Match.Info repeats. Points of an evaluation with any other must
// not be used.
func (r *Rule) Foretold(annotation error) bool {
	info := annotations.PossibleNonCounterInfo
	return r.foretells() && errors.Is(annotation, annotations.PromQLInfo) &&
		strings.HasPrefix(annotation.Error(), fmt.Sprintf("%v %q", info, r.inner.metric))
}

// foretells reports whether the rule has points exactly where the engine warns
// of a metric that is not a counter by its name.
func (r *Rule) foretells() bool {
	return r.inner.nonCounter && !r.inner.opaque && r.Expr.Op != parser.COUNT && r.Expr.Op != parser.GROUP
}

// Notes returns what whoever writes the rule may want to know.
func (r *Rule) Notes() []string {
	if r.inner.nonCounter && !r.foretells() {
		return []string{fmt.Sprintf("if %s has floats, no point will be used: rate() and increase() annotate a metric whose name does not end in _total, _sum, _count or _bucket, and of this aggregate's values one cannot tell which answers have the annotation; native histograms are fine", r.inner.metric)}
	}
	return nil
}

// id returns the identity of an expression and an interval.
func id(text string, interval int64) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%s\n%d", text, interval))
	return hex.EncodeToString(sum[:8])
}

// Rules are the rules of a file. They are never changed, so they may be used by
// several goroutines at once.
type Rules struct {
	all      []*Rule
	byName   map[string]*Rule
	byMetric map[string][]*Rule // those with fewer labels first
}

// newRules indexes rules, which are known to differ in ID and name.
func newRules(all []*Rule) *Rules {
	rs := &Rules{all: all, byName: map[string]*Rule{}, byMetric: map[string][]*Rule{}}
	for _, r := range all {
		rs.byName[r.Name] = r
		rs.byMetric[r.inner.metric] = append(rs.byMetric[r.inner.metric], r)
	}
	for _, of := range rs.byMetric {
		slices.SortStableFunc(of, byWidth)
	}
	return rs
}

// byWidth orders rules by how many series they are likely to have.
func byWidth(a, b *Rule) int {
	switch {
	case a.Expr.Without != b.Expr.Without:
		if a.Expr.Without {
			return 1
		}
		return -1
	case a.Expr.Without:
		return len(b.Expr.Grouping) - len(a.Expr.Grouping)
	default:
		return len(a.Expr.Grouping) - len(b.Expr.Grouping)
	}
}

// All returns the rules in the order of the file. The slice must not be changed.
func (rs *Rules) All() []*Rule { return rs.all }

// ByName returns the rule whose points have a metric name, or nil.
func (rs *Rules) ByName(name string) *Rule { return rs.byName[name] }
