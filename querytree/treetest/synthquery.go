package treetest

import (
	"slices"
	"strings"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"

	"github.com/pandometrics/pando/querytree"
)

// kind is what the samples of a selector's series look like.
type kind int

const (
	gaugeKind kind = iota
	counterKind
	bucketKind // classic histogram
	nativeKind // native histogram
	infoKind   // always 1
)

// selection is what an expression tells of one of its selectors.
type selection struct {
	matchers []*labels.Matcher
	names    []*labels.Matcher // those on the metric name
	kind     kind
	offset   time.Duration // how far back it looks, beyond its range
	absent   bool          // an operand of absent(): nothing to be found is an answer
	many     bool          // within an aggregation, or on the many side of a match
	excluded bool          // on the right of unless
}

// outline is what an expression tells of the series that it is meant for.
type outline struct {
	selections []*selection
	// labels are those that it groups, matches or selects by, but for the
	// metric name, le and the identity labels.
	labels []string
	// candidates are the matchers that ask for a value, by label.
	candidates map[string][]*labels.Matcher
	// literals are the numbers that it compares or calculates with.
	literals []float64
	// times: it compares with the time.
	times bool
}

var identityLabels = []string{querytree.ZoneLabel, querytree.ClusterLabel}

// outlineOf reads an expression.
func outlineOf(e parser.Expr) *outline {
	o := &outline{candidates: map[string][]*labels.Matcher{}}
	o.label("job", "instance")
	parser.Inspect(e, func(n parser.Node, path []parser.Node) error {
		switch n := n.(type) {
		case *parser.VectorSelector:
			o.selector(n, path)
		case *parser.AggregateExpr:
			o.label(n.Grouping...)
		case *parser.BinaryExpr:
			if m := n.VectorMatching; m != nil {
				o.label(m.MatchingLabels...)
				o.label(m.Include...)
			}
		case *parser.NumberLiteral:
			o.literals = append(o.literals, n.Val)
		case *parser.Call:
			o.call(n)
		}
		return nil
	})
	return o
}

func (o *outline) label(names ...string) {
	for _, n := range names {
		if n != labels.MetricName && n != labels.BucketLabel && !slices.Contains(identityLabels, n) && !slices.Contains(o.labels, n) {
			o.labels = append(o.labels, n)
		}
	}
}

func (o *outline) call(n *parser.Call) {
	text := func(i int) string {
		if i >= len(n.Args) {
			return ""
		}
		s, _ := n.Args[i].(*parser.StringLiteral)
		if s == nil {
			return ""
		}
		return s.Val
	}
	switch n.Func.Name {
	case "time":
		o.times = true
	case "label_replace":
		src := text(3)
		if m, err := labels.NewMatcher(labels.MatchRegexp, src, text(4)); err == nil {
			o.candidates[src] = append(o.candidates[src], m)
		}
		o.label(src)
	case "label_join":
		for i := 3; i < len(n.Args); i++ {
			o.label(text(i))
		}
	case "info":
		if len(n.Args) == 1 {
			name := labels.MustNewMatcher(labels.MatchEqual, labels.MetricName, "target_info")
			o.selections = append(o.selections, &selection{names: []*labels.Matcher{name}, kind: infoKind})
		}
	}
}

func (o *outline) selector(n *parser.VectorSelector, path []parser.Node) {
	s := &selection{offset: n.OriginalOffset}
	for _, m := range n.LabelMatchers {
		if m.Name == labels.MetricName {
			s.names = append(s.names, m)
			continue
		}
		s.matchers = append(s.matchers, m)
		o.label(m.Name)
		if (m.Type == labels.MatchEqual || m.Type == labels.MatchRegexp) && m.Value != "" {
			o.candidates[m.Name] = append(o.candidates[m.Name], m)
		}
	}
	s.kind = kindOf(n, path)
	path = append(slices.Clone(path), n)
	for i, p := range path[:len(path)-1] {
		s.within(p, path[i+1])
	}
	o.selections = append(o.selections, s)
}

// within notes that the selector is below child, an operand of n.
func (s *selection) within(n, child parser.Node) {
	switch n := n.(type) {
	case *parser.SubqueryExpr:
		s.offset += n.OriginalOffset
	case *parser.AggregateExpr:
		s.many = true
	case *parser.BinaryExpr:
		right := child == n.RHS
		s.excluded = s.excluded || n.Op == parser.LUNLESS && right
		if m := n.VectorMatching; m != nil {
			s.many = s.many || m.Card == parser.CardManyToOne && !right || m.Card == parser.CardOneToMany && right
		}
	case *parser.Call:
		s.absent = s.absent || n.Func.Name == "absent" || n.Func.Name == "absent_over_time"
	}
}

// kindOf goes by the functions around a selector and by the habits of naming.
func kindOf(n *parser.VectorSelector, path []parser.Node) kind {
	histogram, counter, byBucket := false, false, strings.HasSuffix(n.Name, "_bucket")
	for _, p := range path {
		switch p := p.(type) {
		case *parser.Call:
			histogram = histogram || strings.HasPrefix(p.Func.Name, "histogram_")
			counter = counter || slices.Contains([]string{"rate", "irate", "increase", "resets"}, p.Func.Name)
		case *parser.AggregateExpr:
			byBucket = byBucket || !p.Without && slices.Contains(p.Grouping, labels.BucketLabel)
		}
	}
	for _, m := range n.LabelMatchers {
		byBucket = byBucket || m.Name == labels.BucketLabel
	}
	switch {
	case byBucket:
		return bucketKind
	case histogram:
		return nativeKind
	case counter || strings.HasSuffix(n.Name, "_total") || strings.HasSuffix(n.Name, "_count"):
		return counterKind
	case strings.HasSuffix(n.Name, "_info"):
		return infoKind
	}
	return gaugeKind
}
