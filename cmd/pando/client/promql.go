package client

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/common/model"
)

// RenderPromQL writes a load block as Prometheus' tests read it: pasted into
// one, it loads the series that the result consists of. What stands before the
// values selects the series. Absent points are written _, and what the notation
// cannot hold (histograms, whose schema the API does not tell) is said in notes.
func RenderPromQL(w, notes io.Writer, res Result) error {
	type line struct {
		metric model.Metric
		values string
	}
	var lines []line
	step, left := res.Step, 0
	switch v := res.Value.(type) {
	case model.Vector:
		for _, s := range v {
			if s.Histogram != nil {
				left++
				continue
			}
			lines = append(lines, line{s.Metric, loadNumber(s.Value)})
		}
	case model.Matrix:
		first, ok := earliest(v)
		for _, s := range v {
			left += len(s.Histograms)
			if ok && len(s.Values) > 0 {
				lines = append(lines, line{s.Metric, loadSequence(s.Values, first, res.Step)})
			}
		}
	case *model.Scalar:
		lines = append(lines, line{nil, loadNumber(v.Value)})
	default:
		return fmt.Errorf("a result of type %v has no series to load", res.Value.Type())
	}
	if step == 0 {
		step = time.Minute
	}
	slices.SortStableFunc(lines, func(a, b line) int { return compare(a.metric, b.metric) })
	var b strings.Builder
	fmt.Fprintf(&b, "load %s\n", model.Duration(step))
	for _, l := range lines {
		fmt.Fprintf(&b, "  %s %s\n", selector(l.metric), l.values)
	}
	if left > 0 {
		fmt.Fprintf(notes, "warning: %d histograms are left out: this format cannot hold them, use -o json\n", left)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// earliest is the time of the first float of all; the load begins there.
func earliest(m model.Matrix) (t model.Time, ok bool) {
	for _, s := range m {
		if len(s.Values) > 0 && (!ok || s.Values[0].Timestamp < t) {
			t, ok = s.Values[0].Timestamp, true
		}
	}
	return t, ok
}

// loadSequence writes points on the grid that begins at first.
func loadSequence(ps []model.SamplePair, first model.Time, step time.Duration) string {
	var out []string
	next := first
	for _, p := range ps {
		if gap := int64(p.Timestamp.Sub(next) / step); gap > 0 {
			out = append(out, absentPoints(gap))
		}
		out = append(out, loadNumber(p.Value))
		next = p.Timestamp.Add(step)
	}
	return strings.Join(out, " ")
}

func absentPoints(n int64) string {
	if n == 1 {
		return "_"
	}
	return fmt.Sprintf("_x%d", n)
}

// loadNumber writes a value in the notation's own way.
func loadNumber(v model.SampleValue) string { return strings.TrimPrefix(number(float64(v)), "+") }

// selector writes a metric in PromQL; names that are not plain are quoted, as
// Prometheus does since names may be any UTF-8.
func selector(m model.Metric) string {
	var name string
	var parts []string
	for _, n := range slices.Sorted(maps.Keys(m)) {
		v := string(m[n])
		switch {
		case n != model.MetricNameLabel:
			parts = append(parts, quoteName(string(n), model.LegacyValidation.IsValidLabelName(string(n)))+"="+strconv.Quote(v))
		case model.LegacyValidation.IsValidMetricName(v):
			name = v
		default:
			parts = append([]string{strconv.Quote(v)}, parts...)
		}
	}
	if len(parts) == 0 && name != "" {
		return name
	}
	return name + "{" + strings.Join(parts, ", ") + "}"
}

func quoteName(n string, plain bool) string {
	if plain {
		return n
	}
	return strconv.Quote(n)
}
