package treetest

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/grafana/regexp"
	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/timestamp"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/storage"

	"github.com/pandometrics/pando/querytree"
)

type (
	histogramT      = histogram.Histogram
	floatHistogramT = histogram.FloatHistogram
)

// Tolerance is the relative difference between answers that is allowed unless a
// tree's Config says otherwise: the rounding of a different summation order, and
// what generated queries make of it, such as the tangent of a large angle.
const Tolerance = 1e-9

// tolerance is a relative difference that is allowed.
type tolerance float64

// Query is a query to compare. A zero Step makes it an instant query at Start.
// Times are in milliseconds.
type Query struct {
	Expr             string
	Start, End, Step int64
}

// String is the query as it is printed when answers differ.
func (q Query) String() string {
	if q.Step == 0 {
		return fmt.Sprintf("%s @ %d", q.Expr, q.Start)
	}
	return fmt.Sprintf("%s from %d to %d step %d", q.Expr, q.Start, q.End, q.Step)
}

// Run evaluates q with a stock engine over a storage. The query is not closed, for
// its answer would be used again.
func Run(ctx context.Context, e promql.QueryEngine, s storage.Queryable, q Query) *promql.Result {
	query, err := prepare(ctx, e, s, q)
	if err != nil {
		return &promql.Result{Err: err}
	}
	return query.Exec(ctx)
}

func prepare(ctx context.Context, e promql.QueryEngine, s storage.Queryable, q Query) (promql.Query, error) {
	opts := promql.NewPrometheusQueryOpts(false, 0)
	if q.Step == 0 {
		return e.NewInstantQuery(ctx, s, opts, q.Expr, timestamp.Time(q.Start))
	}
	return e.NewRangeQuery(ctx, s, opts, q.Expr, timestamp.Time(q.Start), timestamp.Time(q.End), time.Duration(q.Step)*time.Millisecond)
}

// Oracle evaluates q with one stock engine over the union of all series. It
// reads series in the order of their labels, since topk and limitk choose among
// equals by order.
func (p *Planet) Oracle(q Query) *promql.Result {
	return Run(context.Background(), p.oracle, querytree.Sorted(p.TestStorage), q)
}

// Ask evaluates q at the root.
func (p *Planet) Ask(ctx context.Context, q Query) *promql.Result {
	query, err := prepare(ctx, querytree.Engine{}, p.Root, q)
	if err != nil {
		return &promql.Result{Err: err}
	}
	defer query.Close()
	return query.Exec(ctx)
}

// Diff compares the root's answer to q with the oracle's: values, labels,
// errors and annotations. It returns "" if they are equal, and whether the
// answer held anything.
func (p *Planet) Diff(ctx context.Context, q Query) (diff string, nonEmpty bool) {
	want, got := p.Oracle(q), p.Ask(ctx, q)
	return p.DiffAnswers(q, want, got), want.Err == nil && size(want.Value) > 0
}

// DiffAnswers compares an answer to q with the oracle's.
func (p *Planet) DiffAnswers(q Query, want, got *promql.Result) string {
	d := p.tolerance().diff(q.Expr, want, got)
	if d == "" || p.arbitrary(q, want, got) {
		return ""
	}
	return fmt.Sprintf("%s\n%s", q, d)
}

// picks are the aggregations that choose among their inputs.
var picks = regexp.MustCompile(`(?i)\b(topk|bottomk|limitk|count_values)\b`)

// amplifiers make a large difference of a small one: of 1e9 modulo pi, nine
// digits are gone.
var amplifiers = regexp.MustCompile(`%|(?i)\b(sin|cos|tan)\(`)

// selfChecks is how often the oracle is asked again to see whether it differs
// from itself when the storage returns series in another order.
const selfChecks = 50

// amplified is how much larger than elsewhere a difference may be there.
const amplified = 1000

func (p *Planet) tolerance() tolerance {
	if p.cfg.Tolerance > 0 {
		return tolerance(p.cfg.Tolerance)
	}
	return Tolerance
}

// arbitrary reports whether a difference is one that PromQL leaves open: which
// of several equal values topk and bottomk keep or sort puts first, which series
// limitk does once another aggregation has lost their order, or how the rounding
// of a sum shows in a label of count_values. Then the values at each step are
// the same. Or it is what a modulo or an angle makes of the rounding; or the
// oracle differs from itself once its storage returns series in another order,
// by which it chooses among equals and adds up.
func (p *Planet) arbitrary(q Query, want, got *promql.Result) bool {
	if want.Err != nil || got.Err != nil {
		return false
	}
	if picks.MatchString(q.Expr) && slices.Equal(values(want.Value), values(got.Value)) {
		return true
	}
	if p.tolerance().sameButTies(q, want, got) {
		return true
	}
	if amplifiers.MatchString(q.Expr) && (amplified*p.tolerance()).diff(q.Expr, want, got) == "" {
		return true
	}
	for seed := range int64(selfChecks) {
		other := Run(context.Background(), p.oracle, shuffled{p.TestStorage, seed}, q)
		if p.tolerance().diff(q.Expr, want, other) != "" {
			return true
		}
	}
	return false
}

// sameButTies reports whether two sorted vectors hold the same samples, with
// the same values in the same order.
func (tol tolerance) sameButTies(q Query, want, got *promql.Result) bool {
	w, ok1 := want.Value.(promql.Vector)
	g, ok2 := got.Value.(promql.Vector)
	if !ok1 || !ok2 || !ordered(q.Expr) || len(w) != len(g) || strings.Contains(q.Expr, "sort_by_label") {
		return false
	}
	for i := range w {
		if (w[i].H == nil) != (g[i].H == nil) || w[i].H == nil && !tol.near(w[i].F, g[i].F) {
			return false
		}
	}
	return tol.diffValues(w, g, false) == "" && diffAnnotations(q.Expr, want, got) == ""
}

// values renders all points of an answer without their labels, rounded as far as
// answers may differ, sorted.
func values(v parser.Value) []string {
	var m promql.Matrix
	switch v := v.(type) {
	case promql.Matrix:
		m = v
	case promql.Vector:
		m = vectorMatrix(v)
	}
	var out []string
	for _, s := range m {
		for _, p := range s.Floats {
			out = append(out, fmt.Sprintf("%d %.8e", p.T, p.F))
		}
		for _, p := range s.Histograms {
			out = append(out, fmt.Sprintf("%d %.8e %.8e", p.T, p.H.Count, p.H.Sum))
		}
	}
	slices.Sort(out)
	return out
}

func size(v parser.Value) int {
	switch v := v.(type) {
	case promql.Matrix:
		return len(v)
	case promql.Vector:
		return len(v)
	default:
		return 1
	}
}

// DiffResults compares two answers to one query, within Tolerance.
func DiffResults(query string, want, got *promql.Result) string {
	return tolerance(Tolerance).diff(query, want, got)
}

func (tol tolerance) diff(query string, want, got *promql.Result) string {
	if want.Err != nil || got.Err != nil {
		if (want.Err == nil) != (got.Err == nil) {
			return fmt.Sprintf("error: want %v, got %v", want.Err, got.Err)
		}
		return ""
	}
	if d := tol.diffValues(want.Value, got.Value, ordered(query)); d != "" {
		// A warning may say why, and values are long.
		if a := diffAnnotations(query, want, got); a != "" {
			d = a + "\n" + d
		}
		return d
	}
	return diffAnnotations(query, want, got)
}

// ordered reports whether the order of a vector is part of the answer.
func ordered(query string) bool { return strings.HasPrefix(strings.TrimSpace(query), "sort") }

func diffAnnotations(query string, want, got *promql.Result) string {
	ww, wi := want.Warnings.AsStrings(query, 0, 0)
	gw, gi := got.Warnings.AsStrings(query, 0, 0)
	if d := diffStrings(query, "warnings", ww, gw); d != "" {
		return d
	}
	return diffStrings(query, "infos", wi, gi)
}

// What annotations tell of the last or of all their occasions.
var (
	// operandTypes are those that an annotation about a binary operator names.
	operandTypes = regexp.MustCompile(`(incompatible sample types encountered for binary operator "[^"]*"): .* \(`)
	// monotonicity is how much had to be mended in how many samples.
	monotonicity = regexp.MustCompile(`(fixed for monotonicity \(see [^)]*\)).*`)
	// parameter is a parameter out of its range, which may be a sum.
	parameter = regexp.MustCompile(`(should be between .*, got )(\S+)`)
)

// What annotations blame, and where that is: of several equal annotations, the
// engine keeps the position of one.
var (
	culprit  = regexp.MustCompile(`"([^"]+)"|in (\w+) aggregation`)
	position = regexp.MustCompile(` \(\d+:\d+\)$`)
)

// normal sorts annotations, and leaves out what an engine is free to choose: of
// several incompatible pairs of operands it names only the last one.
func normal(query string, annotations []string) []string {
	out := make([]string, len(annotations))
	for i, s := range annotations {
		s = operandTypes.ReplaceAllString(s, "$1 (")
		s = monotonicity.ReplaceAllString(s, "$1")
		if m := parameter.FindStringSubmatchIndex(s); m != nil {
			if v, err := strconv.ParseFloat(s[m[4]:m[5]], 64); err == nil {
				s = s[:m[4]] + strconv.FormatFloat(v, 'g', 10, 64) + s[m[5]:]
			}
		}
		if m := culprit.FindStringSubmatch(s); m != nil && strings.Count(query, m[1]+m[2]) > 1 {
			s = position.ReplaceAllString(s, "")
		}
		out[i] = s
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

func (tol tolerance) diffValues(want, got parser.Value, inOrder bool) string {
	if want.Type() != got.Type() {
		return fmt.Sprintf("type: want %s, got %s", want.Type(), got.Type())
	}
	switch w := want.(type) {
	case promql.Scalar:
		return tol.diffMatrix(promql.Matrix{{Floats: []promql.FPoint{{T: w.T, F: w.V}}}}, scalarMatrix(got.(promql.Scalar)))
	case promql.String:
		if w != got.(promql.String) {
			return fmt.Sprintf("string: want %v, got %v", w, got)
		}
		return ""
	case promql.Vector:
		wm, gm := vectorMatrix(w), vectorMatrix(got.(promql.Vector))
		if !inOrder {
			sortMatrix(wm)
			sortMatrix(gm)
		}
		return tol.diffMatrix(wm, gm)
	case promql.Matrix:
		gm := slices.Clone(got.(promql.Matrix))
		w = slices.Clone(w)
		sortMatrix(w)
		sortMatrix(gm)
		return tol.diffMatrix(w, gm)
	default:
		return fmt.Sprintf("unknown value %T", want)
	}
}

func scalarMatrix(s promql.Scalar) promql.Matrix {
	return promql.Matrix{{Floats: []promql.FPoint{{T: s.T, F: s.V}}}}
}

func vectorMatrix(v promql.Vector) promql.Matrix {
	m := make(promql.Matrix, len(v))
	for i, s := range v {
		m[i].Metric = s.Metric
		if s.H != nil {
			m[i].Histograms = []promql.HPoint{{T: s.T, H: s.H}}
		} else {
			m[i].Floats = []promql.FPoint{{T: s.T, F: s.F}}
		}
	}
	return m
}

func sortMatrix(m promql.Matrix) {
	slices.SortStableFunc(m, func(a, b promql.Series) int { return labels.Compare(a.Metric, b.Metric) })
}

func (tol tolerance) diffMatrix(want, got promql.Matrix) string {
	if len(want) != len(got) {
		return fmt.Sprintf("series: want %d, got %d\nwant %s\ngot  %s", len(want), len(got), want, got)
	}
	for i := range want {
		if d := tol.diffSeries(want[i], got[i]); d != "" {
			return d
		}
	}
	return ""
}

func (tol tolerance) diffSeries(want, got promql.Series) string {
	if !labels.Equal(want.Metric, got.Metric) {
		return fmt.Sprintf("labels: want %s, got %s", want.Metric, got.Metric)
	}
	if len(want.Floats) != len(got.Floats) || len(want.Histograms) != len(got.Histograms) {
		return fmt.Sprintf("points of %s:\nwant %v %v\ngot  %v %v", want.Metric, want.Floats, want.Histograms, got.Floats, got.Histograms)
	}
	for i, w := range want.Floats {
		if g := got.Floats[i]; w.T != g.T || !tol.near(w.F, g.F) {
			return fmt.Sprintf("%s: want %v at %d, got %v at %d", want.Metric, w.F, w.T, g.F, g.T)
		}
	}
	for i, w := range want.Histograms {
		if g := got.Histograms[i]; w.T != g.T || !tol.nearHistograms(w.H, g.H) {
			return fmt.Sprintf("%s at %d:\nwant %s\ngot  %s", want.Metric, w.T, w.H.TestExpression(), g.H.TestExpression())
		}
	}
	return ""
}

// Near reports whether two values differ by rounding only.
func Near(a, b float64) bool { return tolerance(Tolerance).near(a, b) }

func (tol tolerance) near(a, b float64) bool {
	if math.IsNaN(a) || math.IsNaN(b) {
		return math.IsNaN(a) && math.IsNaN(b)
	}
	return a == b || math.Abs(a-b) <= float64(tol)*max(math.Abs(a), math.Abs(b)) || math.Abs(a-b) <= denormal
}

// denormal is how far apart numbers may be that are too small to have all their
// digits: some units of the last place that there is. A variance of values near
// 1e-160, summed in another order, has seven digits instead of sixteen.
const denormal = 16 * math.SmallestNonzeroFloat64

// nearHistograms compares the histograms bucket by bucket; how spans are laid
// out is not part of the value.
func (tol tolerance) nearHistograms(a, b *histogram.FloatHistogram) bool {
	if a.Schema != b.Schema || !tol.near(a.Count, b.Count) || !tol.near(a.Sum, b.Sum) || !tol.near(a.ZeroCount, b.ZeroCount) ||
		!tol.near(a.ZeroThreshold, b.ZeroThreshold) || !slices.Equal(a.CustomValues, b.CustomValues) {
		return false
	}
	x, y := buckets(a), buckets(b)
	for k := range y {
		if _, ok := x[k]; !ok {
			x[k] = 0
		}
	}
	for k, v := range x {
		if !tol.near(v, y[k]) {
			return false
		}
	}
	return true
}

func buckets(h *histogram.FloatHistogram) map[string]float64 {
	out := map[string]float64{}
	for it := h.AllBucketIterator(); it.Next(); {
		b := it.At()
		out[fmt.Sprint(b.Lower, b.Upper)] += b.Count
	}
	return out
}

// Check fails the test if the root's answer to q differs from the oracle's.
func (p *Planet) Check(tb testing.TB, q Query) {
	tb.Helper()
	if d, _ := p.Diff(context.Background(), q); d != "" {
		tb.Error(d)
	}
}

// IsLimit is a helper for tests that expect a limit to be enforced.
func IsLimit(err error) bool {
	var many promql.ErrTooManySamples
	return querytree.IsLimit(err) || errors.As(err, &many)
}
