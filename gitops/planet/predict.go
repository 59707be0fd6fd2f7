package planet

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"

	"github.com/pandometrics/pando/querytree"
)

// predicted returns PromQL, for the root, of what would be recorded, to count.
func (e *element) predicted() string {
	if e.recorded == "" {
		return ""
	}
	return perPlace(e.recorded, e.tier)
}

// existing returns PromQL for the series that something has made so far.
func (e *element) existing() string {
	switch {
	case e.job != "":
		return selector(&labels.Matcher{Type: labels.MatchEqual, Name: model.JobLabel, Value: e.job})
	case e.metric != "":
		return selector(&labels.Matcher{Type: labels.MatchEqual, Name: model.MetricNameLabel, Value: e.metric})
	}
	return ""
}

func selector(ms ...*labels.Matcher) string {
	return (&parser.VectorSelector{LabelMatchers: ms}).String()
}

// perPlace rewrites an expression that is evaluated in each leaf or zone into one
// that gives, at the root, the results of all: where series are grouped or
// matched, they are so by zone and cluster too. It returns the empty string if it
// is not an expression.
func perPlace(expr string, t Tier) string {
	if querytree.DefaultLimits().CheckQuery(expr) != nil {
		return ""
	}
	e, err := querytree.NewParser().ParseExpr(expr)
	if err != nil {
		return ""
	}
	by := placeLabels(t)
	parser.Inspect(e, func(n parser.Node, _ []parser.Node) error {
		switch n := n.(type) {
		case *parser.AggregateExpr:
			if !n.Without {
				n.Grouping = with(n.Grouping, by)
			}
		case *parser.BinaryExpr:
			if n.VectorMatching != nil && n.VectorMatching.On {
				n.VectorMatching.MatchingLabels = with(n.VectorMatching.MatchingLabels, by)
			}
		}
		return nil
	})
	return e.String()
}

// placeLabels are the labels by which the places of a tier differ.
func placeLabels(t Tier) []string {
	switch t {
	case Leaf:
		return []string{zoneVar, clusterVar}
	case Zone:
		return []string{zoneVar}
	default:
		return nil
	}
}

func with(names, more []string) []string {
	out := append([]string(nil), names...)
	for _, m := range more {
		found := false
		for _, n := range names {
			found = found || n == m
		}
		if !found {
			out = append(out, m)
		}
	}
	return out
}

// maxNamed is how many places are named in a query; of more, all are counted.
const maxNamed = 200

// inPlaces makes a query that counts series of certain places only.
func inPlaces(expr string, t Tier, places []string) string {
	if expr == "" {
		return ""
	}
	of := placeLabels(t)
	if len(of) == 0 || len(places) == 0 || len(places) > maxNamed {
		return fmt.Sprintf("count(%s)", expr)
	}
	e, err := querytree.NewParser().ParseExpr(expr)
	if err != nil {
		return ""
	}
	var quoted []string
	for _, p := range places {
		quoted = append(quoted, regexp.QuoteMeta(p))
	}
	m, err := labels.NewMatcher(labels.MatchRegexp, of[len(of)-1], strings.Join(quoted, "|"))
	if err != nil {
		return ""
	}
	parser.Inspect(e, func(n parser.Node, _ []parser.Node) error {
		if s, ok := n.(*parser.VectorSelector); ok {
			s.LabelMatchers = append(s.LabelMatchers, m)
		}
		return nil
	})
	return fmt.Sprintf("count(%s)", e)
}
