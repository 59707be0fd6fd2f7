package treetest

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/grafana/regexp"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
)

// stretch is by how much of what the oracle's own answers are apart an answer may
// be outside of them: they are a sample of what is possible.
const stretch = 10

// rounding is by how much of themselves answers are apart at most for the order of
// what was added up alone. Those that are further apart were made of something else.
const rounding = 1e-6

// dense is how many times smaller than all that the oracle's answers are apart a gap
// between two of them is at most, if what is between them is possible too.
const dense = 8

// envelope is what the oracle says of a query when asked again and again: what it
// says each time, and what it sometimes says.
type envelope struct {
	q     Query
	tol   tolerance
	class string // of the errors of the answers that count
	// jitter: what the oracle says may be apart by more than rounding.
	jitter bool
	runs   int
	types  map[string]int
	// points counts the answers that have a sample, by its series, time and kind;
	// values are what they said of each of its components.
	points map[string]int
	values map[string][]float64
	sizes  map[int64]size
	notes  map[string]int // annotations, of so many answers
	noted  int
	orders []promql.Vector // where the order is part of the answer
}

// size is how many samples the answers have at a time, of those that have any.
type size struct{ runs, least, most int }

func newEnvelope(q Query, tol tolerance, class string) *envelope {
	return &envelope{
		q: q, tol: tol, class: class, types: map[string]int{}, points: map[string]int{}, values: map[string][]float64{},
		sizes: map[int64]size{}, notes: map[string]int{},
	}
}

// add counts one more answer of the oracle; those that fail otherwise, or do not
// fail, say nothing. The annotations of one to another text of the query, which have
// other positions, do not count.
func (e *envelope) add(r *promql.Result, sameText bool) {
	if errorClass(r.Err) != e.class {
		return
	}
	e.runs++
	if r.Err != nil {
		return
	}
	f := e.flatten(r.Value)
	e.types[f.kind]++
	for key := range f.points {
		e.points[key]++
	}
	for key, v := range f.values {
		if !slices.Contains(e.values[key], v) {
			e.values[key] = append(e.values[key], v)
		}
	}
	for t, n := range f.sizes {
		old, ok := e.sizes[t]
		if !ok {
			old.least = n
		}
		e.sizes[t] = size{old.runs + 1, min(old.least, n), max(old.most, n)}
	}
	if sameText {
		e.noted++
		for _, a := range notes(e.q.Expr, r) {
			e.notes[a]++
		}
	}
	if v, ok := r.Value.(promql.Vector); ok && ordered(e.q.Expr) {
		e.orders = append(e.orders, v)
	}
}

// outside returns in what an answer is not one of the oracle's; "" if in nothing.
func (e *envelope) outside(got *promql.Result) string {
	if e.runs == 0 {
		return "the oracle never has this error, or never none"
	}
	if got.Err != nil {
		return ""
	}
	f := e.flatten(got.Value)
	if e.types[f.kind] == 0 {
		return "never of type " + f.kind
	}
	for key := range f.points {
		if e.points[key] == 0 {
			return "never a sample of " + key
		}
	}
	for key, n := range e.points {
		if n == e.runs && !f.points[key] {
			return "always a sample of " + key
		}
	}
	for t, n := range e.sizes {
		if n.runs < e.runs {
			n.least = 0
		}
		if beyond := e.unseen(n); f.sizes[t] < n.least-beyond || f.sizes[t] > n.most+beyond {
			return fmt.Sprintf("%d samples at %d, always %d to %d", f.sizes[t], t, n.least, n.most)
		}
	}
	return cmp.Or(e.outsideValues(f), e.outsideNotes(notes(e.q.Expr, got)), e.outsideOrders(got.Value))
}

// unseen returns how far beyond those of the oracle's answers the size of another may
// be. Of how many groups something is left depends on what is chosen in each of them,
// where the least and the most are rare; a choice alone always has the same size.
func (e *envelope) unseen(n size) int {
	if !chooses.MatchString(e.q.Expr) {
		return 0
	}
	return (n.most - n.least + 1) / 2
}

func (e *envelope) outsideValues(f flat) string {
	for key, v := range f.values {
		all := e.values[key]
		if len(all) == 0 { // a bucket that is empty elsewhere
			all = []float64{0}
		}
		if !e.within(all, v) {
			return fmt.Sprintf("%s: %v, always one of %v", key, v, all)
		}
	}
	return ""
}

// within reports whether a value is near one of those given, or between them, or
// not far outside.
func (e *envelope) within(all []float64, v float64) bool {
	least, most := math.Inf(1), math.Inf(-1)
	for _, w := range all {
		if e.tol.near(w, v) {
			return true
		}
		if !math.IsNaN(w) && !math.IsInf(w, 0) {
			least, most = min(least, w), max(most, w)
		}
	}
	spread := most - least
	beyond := stretch * spread
	if spread > rounding*max(math.Abs(least), math.Abs(most)) {
		switch {
		case !e.jitter:
			return false // that is a choice: of one or another, nothing between
		case chooses.MatchString(e.q.Expr):
			return amongDense(all, v, spread/dense) // it may be
		}
	}
	return least < most && least-beyond <= v && v <= most+beyond
}

// amongDense reports whether a value is between two of all that are no further apart
// than a gap, so that it is not between two choices.
func amongDense(all []float64, v, gap float64) bool {
	below, above := math.Inf(-1), math.Inf(1)
	for _, w := range all {
		if w <= v {
			below = max(below, w)
		}
		if w >= v {
			above = min(above, w)
		}
	}
	return above-below <= gap
}

func (e *envelope) outsideNotes(got []string) string {
	for _, a := range got {
		if e.notes[a] == 0 {
			return fmt.Sprintf("never annotated with %q", a)
		}
	}
	for a, n := range e.notes {
		if n == e.noted && !slices.Contains(got, a) {
			return fmt.Sprintf("always annotated with %q", a)
		}
	}
	return ""
}

// outsideOrders compares the order of a sorted vector: by labels where these are
// what it is sorted by, else by values.
func (e *envelope) outsideOrders(v parser.Value) string {
	got, ok := v.(promql.Vector)
	if !ok || !ordered(e.q.Expr) {
		return ""
	}
	byLabel := strings.HasPrefix(strings.TrimSpace(e.q.Expr), "sort_by_label")
	for _, o := range e.orders {
		if slices.EqualFunc(o, got, func(a, b promql.Sample) bool {
			if byLabel {
				return labels.Equal(a.Metric, b.Metric)
			}
			return (a.H == nil) == (b.H == nil) && (a.H != nil || e.within([]float64{a.F}, b.F))
		}) {
			return ""
		}
	}
	return "never in this order"
}

// flat is an answer as single numbers.
type flat struct {
	kind   string
	points map[string]bool
	values map[string]float64
	sizes  map[int64]int
}

// What rounding shows in: labels that count_values made of numbers, and of histograms
// (`{count:3, sum:1.5, (0.5,1]:3}`).
var (
	countsValues = regexp.MustCompile(`(?i)\bcount_values\b`)
	numericLabel = regexp.MustCompile(`([:\[(,]|=")-?[0-9]+\.[0-9]+(e[+-][0-9]+)?`)
)

// flatten takes an answer apart. If values become labels, the numbers in them are
// rounded to eleven digits, and what then has the same labels is added up.
func (e *envelope) flatten(v parser.Value) flat {
	if !countsValues.MatchString(e.q.Expr) {
		return flatten(v, labels.Labels.String)
	}
	return flatten(v, func(l labels.Labels) string {
		return numericLabel.ReplaceAllStringFunc(l.String(), func(label string) string {
			begin := strings.TrimRight(label, "-.+e0123456789")
			n, err := strconv.ParseFloat(label[len(begin):], 64)
			if err != nil {
				return label
			}
			return fmt.Sprintf("%s%.11g", begin, n)
		})
	})
}

// flatten takes an answer apart, with the labels of series as they are named.
func flatten(v parser.Value, named func(labels.Labels) string) flat {
	f := flat{kind: string(v.Type()), points: map[string]bool{}, values: map[string]float64{}, sizes: map[int64]int{}}
	var m promql.Matrix
	switch v := v.(type) {
	case promql.Scalar:
		m = scalarMatrix(v)
	case promql.Vector:
		m = vectorMatrix(v)
	case promql.Matrix:
		m = v
	case promql.String:
		f.points[v.V] = true
	}
	for _, s := range m {
		name := named(s.Metric)
		for _, p := range s.Floats {
			key := fmt.Sprintf("%s at %d", name, p.T)
			if !f.points[key] {
				f.sizes[p.T]++
			}
			f.points[key] = true
			f.values[key] += p.F
		}
		for _, p := range s.Histograms {
			f.histogram(name, p)
		}
	}
	return f
}

func (f flat) histogram(name string, p promql.HPoint) {
	key := fmt.Sprintf("%s at %d, histogram of schema %d %v", name, p.T, p.H.Schema, p.H.CustomValues)
	f.points[key] = true
	f.sizes[p.T]++
	f.values[key+" count"], f.values[key+" sum"] = p.H.Count, p.H.Sum
	f.values[key+" zero"], f.values[key+" threshold"] = p.H.ZeroCount, p.H.ZeroThreshold
	for bounds, n := range buckets(p.H) {
		f.values[key+" bucket "+bounds] = n
	}
}
