package querytree

import (
	"cmp"
	"math"
	"slices"
)

// The bounds of time that intervals are cut to, so that their lengths and
// distances do not overflow.
const (
	beginning = math.MinInt64 / 4
	endOfTime = math.MaxInt64 / 4
)

// intervals are disjoint, sorted and not adjacent.
type intervals []Interval

// newIntervals sorts intervals and joins those that overlap or touch.
func newIntervals(in ...Interval) intervals {
	sorted := make([]Interval, 0, len(in))
	for _, i := range in {
		i.Mint, i.Maxt = max(i.Mint, beginning), min(i.Maxt, endOfTime)
		if i.Mint <= i.Maxt {
			sorted = append(sorted, i)
		}
	}
	slices.SortFunc(sorted, func(a, b Interval) int { return cmp.Compare(a.Mint, b.Mint) })
	var out intervals
	for _, i := range sorted {
		if n := len(out); n > 0 && i.Mint <= out[n-1].Maxt+1 {
			out[n-1].Maxt = max(out[n-1].Maxt, i.Maxt)
			continue
		}
		out = append(out, i)
	}
	return out
}

// within returns what of the intervals lies in the span.
func (is intervals) within(span Interval) intervals {
	var out intervals
	for _, i := range is {
		if lo, hi := max(i.Mint, span.Mint), min(i.Maxt, span.Maxt); lo <= hi {
			out = append(out, Interval{lo, hi})
		}
	}
	return out
}

// without returns what of the intervals is in none of the others.
func (is intervals) without(others intervals) intervals {
	var out intervals
	for _, i := range is {
		for _, o := range others.within(i) {
			if o.Mint > i.Mint {
				out = append(out, Interval{i.Mint, o.Mint - 1})
			}
			i.Mint = o.Maxt + 1
		}
		if i.Mint <= i.Maxt {
			out = append(out, i)
		}
	}
	return out
}

// and returns what is in both.
func (is intervals) and(others intervals) intervals {
	var out intervals
	for _, i := range is {
		out = append(out, others.within(i)...)
	}
	return out
}

// touch reports whether any of the intervals shares a time with the span.
func (is intervals) touch(span Interval) bool {
	return slices.ContainsFunc(is, func(i Interval) bool { return i.Overlap(span) > 0 })
}

// touching returns those of the intervals, whole, that share a time with any of
// the others.
func (is intervals) touching(others intervals) intervals {
	var out intervals
	for _, i := range is {
		if others.touch(i) {
			out = append(out, i)
		}
	}
	return out
}

// length is the time that the intervals cover, in milliseconds.
func (is intervals) length() int64 {
	var n int64
	for _, i := range is {
		n += i.Maxt - i.Mint + 1
	}
	return min(n, endOfTime)
}

// grown returns the intervals with so much added at their ends.
func (is intervals) grown(before, after int64) intervals {
	out := make([]Interval, len(is))
	for k, i := range is {
		out[k] = Interval{i.Mint - before, i.Maxt + after}
	}
	return newIntervals(out...)
}
