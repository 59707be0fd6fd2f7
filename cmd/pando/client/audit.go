package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/common/model"
)

// tolerance is how far two values may differ, relatively: sums of parts are
// rounded otherwise than sums of all.
const tolerance = 1e-9

// auditLag is how long ago an audit asks if no time is given, so that samples
// which arrive between its queries do not show.
const auditLag = time.Minute

// auditRuns are what a query is asked again without.
var auditRuns = []struct {
	name   string
	params url.Values
}{
	{"without field hints", url.Values{"hints": {"off"}}},
	{"without push-down", url.Values{"pushdown": {"off"}}},
	{"without caches", url.Values{"nocache": {"1"}}},
	{"without rollups", url.Values{"rollup": {"off"}}},
	{"without any of them", url.Values{"hints": {"off"}, "pushdown": {"off"}, "nocache": {"1"}, "rollup": {"off"}}},
}

// auditReport is what an audit writes as JSON.
type auditReport struct {
	Query   string     `json:"query"`
	At      string     `json:"at"`     // the end of the range asked for
	Answer  string     `json:"answer"` // how much there was of it; "failed" if the query did
	Partial bool       `json:"partial"`
	Runs    []auditRun `json:"runs"`
}

// auditRun is how an answer without some accelerators compares.
type auditRun struct {
	Name string `json:"name"`
	Same bool   `json:"same"`
	// Difference is where the answers first differ, Error why there is none.
	Difference string `json:"difference,omitempty"`
	Error      string `json:"error,omitempty"`
	// Partial: a child is missing from this answer and not from the first.
	Partial bool `json:"partial,omitempty"`
}

// String is a line of text for people, or two.
func (r auditRun) String() string {
	outcome := "the same"
	switch {
	case r.Error != "":
		outcome = "failed: " + printable(r.Error)
	case !r.Same:
		outcome = "different: " + printable(r.Difference)
	}
	s := fmt.Sprintf("%-20s %s\n", r.Name, outcome)
	if r.Partial {
		s += fmt.Sprintf("%-20s (a child is missing from this answer, not from the first)\n", "")
	}
	return s
}

// audit compares a query's answer with those without the accelerators.
func (o WhyOptions) audit(ctx context.Context, stdout, stderr io.Writer) (int, error) {
	if o.Time == "" && o.End == "" {
		now := o.Now
		if now == nil {
			now = time.Now
		}
		o.Time = now().Add(-auditLag).UTC().Format(time.RFC3339Nano)
	}
	conn, g, err := o.connect()
	if err != nil {
		return Failed, err
	}
	base, failed := o.value(ctx, conn, g, nil)
	if failed != nil && !ofEvaluation(failed) {
		return Failed, failed
	}
	warn(stderr, envelope{Warnings: base.Warnings})
	report := auditReport{Query: o.Expr, At: g.end.UTC().Format(time.RFC3339), Answer: "failed", Partial: base.Partial}
	if failed == nil {
		report.Answer = describe(base.Value)
	}
	text := stdout
	if o.Output == WhyJSON {
		text = io.Discard
	}
	fmt.Fprintf(text, "%-20s %s at %s\n", "as asked", report.Answer, report.At)
	code := OK
	if base.Partial {
		code = Partial
	}
	for _, without := range auditRuns {
		run := auditRun{Name: without.name}
		switch res, err := o.value(ctx, conn, g, without.params); {
		case failed != nil && err == nil:
			run.Difference = "an error, then " + describe(res.Value)
		case failed != nil && ofEvaluation(err):
			run.Same = true
		case err != nil:
			run.Error = err.Error()
		default:
			run.Difference = difference(base.Value, res.Value)
			run.Same, run.Partial = run.Difference == "", res.Partial && !base.Partial
		}
		if !run.Same {
			code = Failed
		}
		report.Runs = append(report.Runs, run)
		fmt.Fprint(text, run)
	}
	if o.Output == WhyJSON {
		if err := writeJSON(stdout, report); err != nil {
			return Failed, err
		}
	}
	if failed != nil {
		return Failed, failed
	}
	return code, nil
}

// ofEvaluation reports whether an error is a query's answer: one engine over all
// series would fail too, though it may name other series.
func ofEvaluation(err error) bool {
	var e *apiError
	return errors.As(err, &e) && e.kind == "execution"
}

// describe counts a value.
func describe(v model.Value) string {
	switch v := v.(type) {
	case model.Vector:
		return fmt.Sprintf("%d series", len(v))
	case model.Matrix:
		n := 0
		for _, s := range v {
			n += len(s.Values) + len(s.Histograms)
		}
		return fmt.Sprintf("%d series, %d samples", len(v), n)
	default:
		return v.Type().String()
	}
}

// auditPoint is a value at a time, as what is compared.
type auditPoint struct {
	t         model.Time
	v         float64
	histogram string
}

// difference says where two values first differ; empty if they do not.
func difference(a, b model.Value) string {
	if a.Type() != b.Type() {
		return fmt.Sprintf("a %s, then a %s", a.Type(), b.Type())
	}
	left, right := auditPoints(a), auditPoints(b)
	names := map[string]bool{}
	for name := range left {
		names[name] = true
	}
	for name := range right {
		names[name] = true
	}
	sorted := make([]string, 0, len(names))
	for name := range names {
		sorted = append(sorted, name)
	}
	slices.Sort(sorted)
	for _, name := range sorted {
		if d := pointsDiffer(left[name], right[name]); d != "" {
			return name + " " + d
		}
	}
	return ""
}

func auditPoints(v model.Value) map[string][]auditPoint {
	out := map[string][]auditPoint{}
	switch v := v.(type) {
	case model.Vector:
		for _, s := range v {
			out[s.Metric.String()] = append(out[s.Metric.String()], pointOf(s.Timestamp, s.Value, s.Histogram))
		}
	case model.Matrix:
		for _, s := range v {
			var ps []auditPoint
			for _, p := range s.Values {
				ps = append(ps, auditPoint{t: p.Timestamp, v: float64(p.Value)})
			}
			for _, p := range s.Histograms {
				ps = append(ps, pointOf(p.Timestamp, 0, p.Histogram))
			}
			slices.SortStableFunc(ps, func(a, b auditPoint) int { return int(a.t - b.t) })
			out[s.Metric.String()] = ps
		}
	case *model.Scalar:
		out["the scalar"] = []auditPoint{{t: v.Timestamp, v: float64(v.Value)}}
	case *model.String:
		out["the string"] = []auditPoint{{t: v.Timestamp, histogram: v.Value}}
	}
	return out
}

// pointOf makes a point of a sample. Of a histogram, whose counts are sums too,
// it keeps nine digits.
func pointOf(t model.Time, v model.SampleValue, h *model.SampleHistogram) auditPoint {
	if h == nil {
		return auditPoint{t: t, v: float64(v)}
	}
	var b strings.Builder
	fmt.Fprintf(&b, "{count:%.9g sum:%.9g", float64(h.Count), float64(h.Sum))
	for _, bucket := range h.Buckets {
		fmt.Fprintf(&b, " %g..%g:%.9g", float64(bucket.Lower), float64(bucket.Upper), float64(bucket.Count))
	}
	return auditPoint{t: t, histogram: b.String() + "}"}
}

func pointsDiffer(a, b []auditPoint) string {
	for i := range max(len(a), len(b)) {
		switch {
		case i >= len(a):
			return fmt.Sprintf("has no value at %s, then %s", at(b[i].t), b[i])
		case i >= len(b):
			return fmt.Sprintf("is %s at %s, then has none", a[i], at(a[i].t))
		case a[i].t != b[i].t:
			return fmt.Sprintf("has a value at %s, then at %s", at(a[i].t), at(b[i].t))
		case !a[i].same(b[i]):
			return fmt.Sprintf("is %s at %s, then %s", a[i], at(a[i].t), b[i])
		}
	}
	return ""
}

func (p auditPoint) same(q auditPoint) bool {
	if p.histogram != q.histogram {
		return false
	}
	if p.v == q.v || (math.IsNaN(p.v) && math.IsNaN(q.v)) {
		return true
	}
	// Nothing is near infinity, and the difference of two is no number.
	if math.IsInf(p.v, 0) || math.IsInf(q.v, 0) {
		return false
	}
	return math.Abs(p.v-q.v) <= tolerance*max(math.Abs(p.v), math.Abs(q.v))
}

func (p auditPoint) String() string {
	if p.histogram != "" {
		return p.histogram
	}
	return fmt.Sprint(p.v)
}

func at(t model.Time) string { return t.Time().UTC().Format(time.RFC3339Nano) }
