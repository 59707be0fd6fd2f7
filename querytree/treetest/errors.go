package treetest

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/grafana/regexp"
	"github.com/prometheus/prometheus/promql"
)

// errorClasses are the errors of queries by what they begin with. Where the
// engine comes upon several of one class it names one of them, by the order of a
// map or of its storage: what follows is therefore not compared.
var errorClasses = []struct {
	prefixes []string
	// detail is what is compared of what follows; nil compares nothing.
	detail *regexp.Regexp
}{
	// A match that is ambiguous: of several match groups, which one and which two
	// of its series; of several ways to be ambiguous, which one; or a parameter that
	// is not a number, above or beside it. Operands are evaluated side by side, and
	// the first that objects ends the query.
	{prefixes: []string{"found duplicate series for the match group", "multiple matches for labels", "Ratio value is NaN", "Parameter value is NaN"}},
	// Which series.
	{prefixes: []string{"this should be an info metric, with float samples"}},
	// A parameter that may be a sum, with its last digits.
	{prefixes: []string{"Scalar value"}, detail: regexp.MustCompile(`(underflows|overflows) int64`)},
}

// errorClass returns what is compared of an error: its type where it has one,
// and its text but for what an engine is free to choose.
func errorClass(err error) string {
	var (
		many     promql.ErrTooManySamples
		timeout  promql.ErrQueryTimeout
		canceled promql.ErrQueryCanceled
	)
	switch {
	case err == nil:
		return ""
	case errors.As(err, &many):
		return fmt.Sprintf("%T", many)
	case errors.As(err, &timeout):
		return fmt.Sprintf("%T", timeout)
	case errors.As(err, &canceled):
		return fmt.Sprintf("%T", canceled)
	}
	// Who found it, where raw series of replicas are merged, is not the engine's.
	text := strings.TrimPrefix(err.Error(), "merge replicas: ")
	for _, c := range errorClasses {
		if !slices.ContainsFunc(c.prefixes, func(p string) bool { return strings.Contains(text, p) }) {
			continue
		}
		if c.detail == nil {
			return c.prefixes[0]
		}
		return c.prefixes[0] + " " + c.detail.FindString(text)
	}
	return text
}

// beside reports whether one error is of an ambiguous match and the other of a
// parameter that is no integer: a query may have both, and then either is told, as it
// is of parameters that are not a number.
func beside(a, b string) bool {
	match, parameter := errorClasses[0].prefixes[0], "Scalar value"
	return a == match && strings.HasPrefix(b, parameter) || b == match && strings.HasPrefix(a, parameter)
}

// diffErrors compares the errors of two answers by class.
func diffErrors(want, got error) string {
	if w, g := errorClass(want), errorClass(got); w != g && !beside(w, g) {
		return fmt.Sprintf("error: want %v, got %v (%q, %q)", want, got, w, g)
	}
	return ""
}
