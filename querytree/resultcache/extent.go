package resultcache

import (
	"slices"
	"sort"
	"unsafe"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/util/annotations"
)

// extent is the answer to one query at the steps from one to another, both
// inclusive. Extents are values: what they refer to is never changed, except
// that join appends behind the points of its left operand.
type extent struct {
	from, to int64
	// series are sorted by labels. Each has a point.
	series promql.Matrix
	notes  []note
	who    []contributor
}

// note is what annotations were told about the steps from one to another.
type note struct {
	from, to    int64
	annotations annotations.Annotations
}

// maxNotes bounds the notes of an extent; beyond it the oldest become one.
const maxNotes = 16

// slice returns the steps of e that lie within from and to, which must be steps
// of the grid. At least one must.
func (e extent) slice(from, to int64) extent {
	if from <= e.from && to >= e.to {
		return e
	}
	out := extent{from: max(from, e.from), to: min(to, e.to), who: e.who}
	for _, s := range e.series {
		s.Floats = s.Floats[floatsBefore(s.Floats, out.from):floatsBefore(s.Floats, out.to+1)]
		s.Histograms = s.Histograms[histogramsBefore(s.Histograms, out.from):histogramsBefore(s.Histograms, out.to+1)]
		if len(s.Floats)+len(s.Histograms) == 0 {
			continue
		}
		if out.to < e.to { // There are points behind these that are others'.
			s.Floats, s.Histograms = slices.Clip(s.Floats), slices.Clip(s.Histograms)
		}
		out.series = append(out.series, s)
	}
	for _, n := range e.notes {
		if n.to >= out.from && n.from <= out.to {
			out.notes = append(out.notes, note{max(n.from, out.from), min(n.to, out.to), n.annotations})
		}
	}
	return out
}

// clip returns e such that what is joined to it is written to memory that
// nobody else knows of.
func (e extent) clip() extent {
	e.series = slices.Clone(e.series)
	for i := range e.series {
		s := &e.series[i]
		s.Floats, s.Histograms = slices.Clip(s.Floats), slices.Clip(s.Histograms)
	}
	return e
}

func floatsBefore(ps []promql.FPoint, t int64) int {
	return sort.Search(len(ps), func(i int) bool { return ps[i].T >= t })
}

func histogramsBefore(ps []promql.HPoint, t int64) int {
	return sort.Search(len(ps), func(i int) bool { return ps[i].T >= t })
}

// join returns the steps of a and of b, which begins where a ends. It may write
// behind the points of a, so that a must not be joined again.
func join(a, b extent) extent {
	out := extent{from: a.from, to: b.to, who: union(a.who, b.who)}
	out.series = mergeSeries(a.series, b.series, func(a, b promql.Series) promql.Series {
		a.Floats, a.Histograms = append(a.Floats, b.Floats...), append(a.Histograms, b.Histograms...)
		return a
	})
	out.notes = joinNotes(a.notes, b.notes)
	return out
}

// mergeSeries merges two sorted lists of series, with both for those in both.
func mergeSeries(a, b promql.Matrix, both func(a, b promql.Series) promql.Series) promql.Matrix {
	out := make(promql.Matrix, 0, max(len(a), len(b)))
	for len(a) > 0 && len(b) > 0 {
		switch c := labels.Compare(a[0].Metric, b[0].Metric); {
		case c < 0:
			out, a = append(out, a[0]), a[1:]
		case c > 0:
			out, b = append(out, b[0]), b[1:]
		default:
			out, a, b = append(out, both(a[0], b[0])), a[1:], b[1:]
		}
	}
	return append(append(out, a...), b...)
}

// joinNotes puts notes that follow one another together, where they say the
// same or are too many.
func joinNotes(a, b []note) []note {
	out := slices.Clone(a)
	for _, n := range b {
		if i := len(out) - 1; i >= 0 && sameNotes(out[i].annotations, n.annotations) {
			out[i].to = n.to
			continue
		}
		out = append(out, n)
	}
	for len(out) > maxNotes {
		both := note{from: out[0].from, to: out[1].to}
		both.annotations.Merge(out[0].annotations)
		both.annotations.Merge(out[1].annotations)
		out = slices.Replace(out, 0, 2, both)
	}
	return out
}

func sameNotes(a, b annotations.Annotations) bool {
	if len(a) != len(b) {
		return false
	}
	for k := range a {
		if _, ok := b[k]; !ok {
			return false
		}
	}
	return true
}

// size estimates the memory that an extent holds, in bytes.
func (e extent) size() int64 {
	n := int64(unsafe.Sizeof(e)) + int64(len(e.who))*int64(unsafe.Sizeof(contributor{}))
	for _, s := range e.series {
		n += int64(unsafe.Sizeof(s)) + int64(s.Metric.ByteSize())
		n += int64(cap(s.Floats)) * int64(unsafe.Sizeof(promql.FPoint{}))
		n += int64(cap(s.Histograms)) * int64(unsafe.Sizeof(promql.HPoint{}))
		for _, p := range s.Histograms {
			n += int64(p.H.Size())
		}
	}
	for _, x := range e.notes {
		for k := range x.annotations {
			n += int64(len(k)) + 100
		}
	}
	return n
}

// assemble returns the points of extents that follow one another, in memory of
// their own.
func assemble(parts []extent) promql.Matrix {
	type gathered struct {
		metric labels.Labels
		runs   []promql.Series
	}
	var all []gathered
	for _, p := range parts {
		next := make([]gathered, 0, max(len(all), len(p.series)))
		rest := p.series
		for _, g := range all {
			for len(rest) > 0 && labels.Compare(rest[0].Metric, g.metric) < 0 {
				next, rest = append(next, gathered{rest[0].Metric, rest[:1]}), rest[1:]
			}
			if len(rest) > 0 && labels.Equal(rest[0].Metric, g.metric) {
				g.runs, rest = append(slices.Clip(g.runs), rest[0]), rest[1:]
			}
			next = append(next, g)
		}
		for i := range rest {
			next = append(next, gathered{rest[i].Metric, rest[i : i+1]})
		}
		all = next
	}
	out := make(promql.Matrix, len(all))
	for i, g := range all {
		out[i] = concat(g.metric, g.runs)
	}
	return out
}

// concat copies points that follow one another into one series.
func concat(metric labels.Labels, runs []promql.Series) promql.Series {
	floats, histograms := 0, 0
	for _, r := range runs {
		floats, histograms = floats+len(r.Floats), histograms+len(r.Histograms)
	}
	s := promql.Series{Metric: metric}
	if floats > 0 {
		s.Floats = make([]promql.FPoint, 0, floats)
	}
	if histograms > 0 {
		s.Histograms = make([]promql.HPoint, 0, histograms)
	}
	for _, r := range runs {
		s.Floats = append(s.Floats, r.Floats...)
		for _, p := range r.Histograms {
			s.Histograms = append(s.Histograms, promql.HPoint{T: p.T, H: p.H.Copy()})
		}
	}
	return s
}
