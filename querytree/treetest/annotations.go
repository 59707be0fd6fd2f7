package treetest

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/grafana/regexp"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"

	"github.com/pandometrics/pando/querytree"
)

func diffAnnotations(query string, want, got *promql.Result) string {
	ww, wi := want.Warnings.AsStrings(query, 0, 0)
	gw, gi := got.Warnings.AsStrings(query, 0, 0)
	if d := diffStrings(query, "warnings", ww, gw); d != "" {
		return d
	}
	return diffStrings(query, "infos", wi, gi)
}

// notes are the annotations of an answer, as they are compared.
func notes(query string, r *promql.Result) []string {
	warnings, infos := r.Warnings.AsStrings(query, 0, 0)
	return append(normal(query, warnings), normal(query, infos)...)
}

// What annotations tell of the last or of all their occasions.
var (
	// operandTypes are those that an annotation about a binary operator names.
	operandTypes = regexp.MustCompile(`(incompatible sample types encountered for binary operator "[^"]*"): .* \(`)
	// monotonicity is how much had to be mended in how many samples.
	monotonicity = regexp.MustCompile(`(fixed for monotonicity \(see [^)]*\)).*`)
	// parameter is a parameter out of its range, which may be a sum.
	parameter = regexp.MustCompile(`(should be between .*, got )([^\s,]+)`)
)

// What annotations blame, and where that is: of several equal annotations, the
// engine keeps the position of one.
var (
	culprit  = regexp.MustCompile(`"([^"]+)"|in (\w+) aggregation`)
	position = regexp.MustCompile(` \(\d+:\d+\)$`)
)

// Functions of buckets, any of which may blame a series for its label le.
var (
	ofBuckets = regexp.MustCompile(`(?i)\bhistogram_(quantiles?|fraction)\b`)
	badBucket = regexp.MustCompile(`^PromQL \w+: bucket label `)
)

// moved finds subqueries without a resolution, and those over more than a selector.
// Children are told the resolution, or are sent another text for the whole, and what
// is then said of it or of what is beside it may be some columns off.
var moved = regexp.MustCompile(`:\s*\]|\)\s*\[`)

// bracketed reports whether a query has brackets within the parameter of an
// aggregation. There the engine blames the brackets, and what is in them anywhere else,
// also where a child is asked for an operand of the parameter by itself.
func bracketed(query string) (found bool) {
	e, err := querytree.NewParser().ParseExpr(query)
	if err != nil {
		return false
	}
	parser.Inspect(e, func(n parser.Node, _ []parser.Node) error {
		if a, ok := n.(*parser.AggregateExpr); ok && a.Param != nil {
			parser.Inspect(a.Param, func(n parser.Node, _ []parser.Node) error {
				_, is := n.(*parser.ParenExpr)
				found = found || is
				return nil
			})
		}
		return nil
	})
	return found
}

// A subquery that looks at one time has nothing but an instant asked of children,
// who then do not say that they sort for nothing.
const ineffective = "sort is ineffective for range queries"

var fixedSort = regexp.MustCompile(`(?i)\bsort\w*\b.*\)\s*\[`)

// normal sorts annotations, and leaves out what an engine is free to choose: of
// several incompatible pairs of operands it names only the last one.
func normal(query string, annotations []string) []string {
	var out []string
	moved := moved.MatchString(query) || len(annotations) > 0 && bracketed(query)
	for _, s := range annotations {
		if fixedSort.MatchString(query) && strings.Contains(s, ineffective) {
			continue
		}
		s = operandTypes.ReplaceAllString(s, "$1 (")
		s = monotonicity.ReplaceAllString(s, "$1")
		if m := parameter.FindStringSubmatchIndex(s); m != nil {
			if v, err := strconv.ParseFloat(s[m[4]:m[5]], 64); err == nil {
				s = s[:m[4]] + strconv.FormatFloat(v, 'g', 10, 64) + s[m[5]:]
			}
		}
		several := badBucket.MatchString(s) && len(ofBuckets.FindAllString(query, 2)) > 1
		if m := culprit.FindStringSubmatch(s); m != nil && strings.Count(query, m[1]+m[2]) > 1 || moved || several {
			s = position.ReplaceAllString(s, "")
		}
		out = append(out, s)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

func diffStrings(query, what string, want, got []string) string {
	want, got = normal(query, want), normal(query, got)
	if slices.Equal(want, got) {
		return ""
	}
	return fmt.Sprintf("%s:\nwant %q\ngot  %q", what, want, got)
}
