package client

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/promql/parser"

	"github.com/pandometrics/pando/querytree"
)

// Render writes a result in a format to w, and notes on what the format cannot
// hold to notes.
func Render(w, notes io.Writer, f Format, res Result) error {
	switch f {
	case Table, "":
		return RenderTable(w, res)
	case JSON:
		return RenderJSON(w, res)
	case CSV:
		return RenderCSV(w, res)
	case PromQL:
		return RenderPromQL(w, notes, res)
	default:
		return fmt.Errorf("unknown format %q; use one of %s", f, strings.Join(Formats(), ", "))
	}
}

// RenderJSON writes the data of the API's answer, indented.
func RenderJSON(w io.Writer, res Result) error {
	var b bytes.Buffer
	if err := json.Indent(&b, res.Raw, "", "  "); err != nil {
		return err
	}
	b.WriteByte('\n')
	_, err := b.WriteTo(w)
	return err
}

// sample is one row of a result.
type sample struct {
	metric model.Metric
	t      model.Time
	v      string
}

// RenderCSV writes a header, a column per label, time and value, and a row per
// sample. An absent label is an empty cell.
func RenderCSV(w io.Writer, res Result) error {
	rows, names := samples(res, (*model.SampleHistogram).String)
	out := csv.NewWriter(w)
	head := append(slices.Clone(names), "timestamp", "value")
	if err := out.Write(head); err != nil {
		return err
	}
	for _, s := range rows {
		row := append(cells(s.metric, names, asIs), epoch(s.t.Time()), s.v)
		if err := out.Write(row); err != nil {
			return err
		}
	}
	out.Flush()
	return out.Error()
}

// RenderTable writes a column per label; of an instant result the value, of a
// range the number of points, their bounds, the last one, and their course.
func RenderTable(w io.Writer, res Result) error {
	m, isRange := res.Value.(model.Matrix)
	if isRange {
		return matrixTable(w, m, res.Step)
	}
	rows, names := samples(res, histogram)
	if len(rows) == 0 {
		_, err := fmt.Fprintln(w, "(empty result)")
		return err
	}
	cols := append(labelColumns(names), column{"VALUE", true})
	var lines [][]string
	for _, s := range rows {
		lines = append(lines, append(cells(s.metric, names, printable), printable(s.v)))
	}
	return writeTable(w, cols, lines)
}

func matrixTable(w io.Writer, m model.Matrix, step time.Duration) error {
	if len(m) == 0 {
		_, err := fmt.Fprintln(w, "(empty result)")
		return err
	}
	m = slices.Clone(m)
	slices.SortStableFunc(m, func(a, b *model.SampleStream) int { return compare(a.Metric, b.Metric) })
	names := labelNames(metricsOf(m))
	cols := append(labelColumns(names), column{"POINTS", true}, column{"MIN", true}, column{"MAX", true}, column{"LAST", true}, column{"COURSE", false})
	drawn := spanOf(m, step)
	var lines [][]string
	for _, s := range m {
		line := cells(s.Metric, names, printable)
		lines = append(lines, append(line, summary(s, drawn)...))
	}
	return writeTable(w, cols, lines)
}

// summary says of a series in a few cells what its points would in many.
func summary(s *model.SampleStream, drawn span) []string {
	if len(s.Values) == 0 {
		last := ""
		if n := len(s.Histograms); n > 0 {
			last = histogram(s.Histograms[n-1].Histogram)
		}
		return []string{strconv.Itoa(len(s.Histograms)), "", "", last, ""}
	}
	lo, hi := math.Inf(1), math.Inf(-1)
	for _, p := range s.Values {
		if v := float64(p.Value); !math.IsNaN(v) {
			lo, hi = min(lo, v), max(hi, v)
		}
	}
	last := s.Values[len(s.Values)-1].Value
	if lo > hi {
		lo, hi = math.NaN(), math.NaN()
	}
	return []string{strconv.Itoa(len(s.Values) + len(s.Histograms)), number(lo), number(hi), number(float64(last)), course(s.Values, lo, hi, drawn)}
}

// courseWidth is the largest number of characters of a drawn series.
const courseWidth = 40

// span is the time that all series of a result lie in, and its drawn width.
type span struct {
	first, last model.Time
	width       int
}

// spanOf lets the drawings of a result's series line up.
func spanOf(m model.Matrix, step time.Duration) span {
	s := span{first: math.MaxInt64, last: math.MinInt64, width: 1}
	for _, series := range m {
		if n := len(series.Values); n > 0 {
			s.first, s.last = min(s.first, series.Values[0].Timestamp), max(s.last, series.Values[n-1].Timestamp)
		}
	}
	if s.last > s.first && step > 0 {
		s.width = int(min(courseWidth, int64(s.last.Sub(s.first)/step)+1))
	}
	return s
}

// cell is the place of a time in a drawing.
func (s span) cell(t model.Time) int {
	if s.width == 1 {
		return 0
	}
	return int(int64(t-s.first) * int64(s.width-1) / int64(s.last-s.first))
}

// course draws a series; a space is a stretch without points.
func course(ps []model.SamplePair, lo, hi float64, s span) string {
	sums, counts := make([]float64, s.width), make([]int, s.width)
	for _, p := range ps {
		if v := float64(p.Value); !math.IsNaN(v) && !math.IsInf(v, 0) {
			sums[s.cell(p.Timestamp)] += v
			counts[s.cell(p.Timestamp)]++
		}
	}
	var b strings.Builder
	for i, n := range counts {
		switch {
		case n == 0:
			b.WriteByte(' ')
		case hi > lo && !math.IsInf(hi-lo, 0):
			b.WriteRune(level((sums[i]/float64(n) - lo) / (hi - lo)))
		default:
			b.WriteRune(levels[0])
		}
	}
	return b.String()
}

// level draws a share of the greatest value.
func level(share float64) rune {
	i := int(math.Round(share * float64(len(levels)-1)))
	return levels[max(0, min(i, len(levels)-1))]
}

// samples returns the rows of a result, in order, and the label names in them.
// Histograms are written with hist.
func samples(res Result, hist func(*model.SampleHistogram) string) ([]sample, []string) {
	var rows []sample
	switch v := res.Value.(type) {
	case model.Vector:
		for _, s := range v {
			rows = append(rows, sample{s.Metric, s.Timestamp, point(s.Value, s.Histogram, hist)})
		}
		if !ordered(res.Expr) {
			slices.SortStableFunc(rows, func(a, b sample) int { return compare(a.metric, b.metric) })
		}
	case model.Matrix:
		for _, s := range v {
			for _, p := range s.Values {
				rows = append(rows, sample{s.Metric, p.Timestamp, number(float64(p.Value))})
			}
			for _, p := range s.Histograms {
				rows = append(rows, sample{s.Metric, p.Timestamp, hist(p.Histogram)})
			}
		}
		slices.SortStableFunc(rows, func(a, b sample) int {
			if c := compare(a.metric, b.metric); c != 0 {
				return c
			}
			return int(a.t.Sub(b.t) / time.Millisecond)
		})
	case *model.Scalar:
		rows = append(rows, sample{nil, v.Timestamp, number(float64(v.Value))})
	case *model.String:
		rows = append(rows, sample{nil, v.Timestamp, v.Value})
	}
	var ms []model.Metric
	for _, r := range rows {
		ms = append(ms, r.metric)
	}
	return rows, labelNames(ms)
}

// ordered reports whether the order of an instant result is part of the answer.
func ordered(expr string) bool {
	e, err := querytree.NewParser().ParseExpr(expr)
	if err != nil {
		return false
	}
	for {
		p, ok := e.(*parser.ParenExpr)
		if !ok {
			break
		}
		e = p.Expr
	}
	switch e := e.(type) {
	case *parser.Call:
		return strings.HasPrefix(e.Func.Name, "sort")
	case *parser.AggregateExpr:
		return e.Op == parser.TOPK || e.Op == parser.BOTTOMK
	}
	return false
}

func metricsOf(m model.Matrix) []model.Metric {
	var ms []model.Metric
	for _, s := range m {
		ms = append(ms, s.Metric)
	}
	return ms
}

// labelNames returns the names of all labels: the metric name first, then
// identity from the outside in, then the others.
func labelNames(ms []model.Metric) []string {
	seen := map[string]bool{}
	for _, m := range ms {
		for n := range m {
			seen[string(n)] = true
		}
	}
	var names []string
	for _, n := range []string{model.MetricNameLabel, querytree.ZoneLabel, querytree.ClusterLabel} {
		if seen[n] {
			names = append(names, n)
			delete(seen, n)
		}
	}
	var others []string
	for n := range seen {
		others = append(others, n)
	}
	slices.Sort(others)
	return append(names, others...)
}

func labelColumns(names []string) []column {
	var cols []column
	for _, n := range names {
		if n == model.MetricNameLabel {
			n = "metric"
		}
		cols = append(cols, column{strings.ToUpper(printable(n)), false})
	}
	return cols
}

func asIs(s string) string { return s }

// cells returns the values of the labels of those names.
func cells(m model.Metric, names []string, clean func(string) string) []string {
	row := make([]string, 0, len(names)+5)
	for _, n := range names {
		row = append(row, clean(string(m[model.LabelName(n)])))
	}
	return row
}

// compare orders metrics by the columns that they are shown in.
func compare(a, b model.Metric) int {
	for _, n := range labelNames([]model.Metric{a, b}) {
		if c := strings.Compare(string(a[model.LabelName(n)]), string(b[model.LabelName(n)])); c != 0 {
			return c
		}
	}
	return 0
}

func point(v model.SampleValue, h *model.SampleHistogram, hist func(*model.SampleHistogram) string) string {
	if h != nil {
		return hist(h)
	}
	return number(float64(v))
}

// number is a value as Prometheus' API writes it.
func number(f float64) string {
	format := byte('f')
	if a := math.Abs(f); a != 0 && (a < 1e-6 || a >= 1e21) {
		format = 'e'
	}
	return strconv.FormatFloat(f, format, -1, 64)
}

// histogram tells count and sum of a histogram, and how many buckets it has: all
// of them would be the width of several screens.
func histogram(h *model.SampleHistogram) string {
	if h == nil {
		return ""
	}
	return fmt.Sprintf("count %s, sum %s, buckets %d", number(float64(h.Count)), number(float64(h.Sum)), len(h.Buckets))
}
