package treehttp

import (
	"cmp"
	"slices"
	"time"
)

const (
	// worstPerHour is how many of an hour's queries are kept for having taken the
	// longest, and how many for having moved the most. With both, the worst of 25
	// hours fit into their share of maxPastQueries: "what hurt us at 03:12?" can be
	// asked on the next day, however many queries there were since.
	worstPerHour = 5
	worstShare   = 4
)

// worstQueries holds the worst queries of each hour, of those that are no longer
// among the latest. It is given queries in the order in which they ended.
type worstQueries struct {
	kept  []pastQuery // oldest first
	bytes int
}

// add takes a query if it is among the worst of its hour, whose others may give way.
// Of equals the newer wins.
func (w *worstQueries) add(q pastQuery) {
	w.kept = append(w.kept, q)
	w.bytes += q.bytes
	from := len(w.kept) - 1
	for from > 0 && w.kept[from-1].hour().Equal(q.hour()) {
		from--
	}
	hour := slices.Clone(w.kept[from:])
	keep := map[int]bool{}
	best := func(by func(a, b pastQuery) int) {
		order := make([]int, len(hour))
		for i := range order {
			order[i] = i
		}
		slices.SortFunc(order, func(i, j int) int { return cmp.Or(by(hour[j], hour[i]), j-i) })
		for _, i := range order[:min(worstPerHour, len(order))] {
			keep[i] = true
		}
	}
	best(func(a, b pastQuery) int { return cmp.Compare(a.Duration, b.Duration) })
	best(func(a, b pastQuery) int { return cmp.Compare(a.Bytes, b.Bytes) })
	w.kept = w.kept[:from]
	for i, q := range hour {
		if keep[i] {
			w.kept = append(w.kept, q)
		} else {
			w.bytes -= q.bytes
		}
	}
}

// shrink brings them within bounds: the oldest lose their details before any is
// dropped, since that there was one, and what it took, is what is asked for first.
func (w *worstQueries) shrink(maxCount, maxBytes int) {
	drop := max(0, len(w.kept)-maxCount)
	for _, q := range w.kept[:drop] {
		w.bytes -= q.bytes
	}
	w.kept = slices.Delete(w.kept, 0, drop)
	for i := 0; i < len(w.kept) && w.bytes > maxBytes; i++ {
		q := &w.kept[i]
		w.bytes -= q.bytes
		q.QueryRecord = withoutDetails(q.QueryRecord)
		q.bytes = recordBytes(q.QueryRecord)
		w.bytes += q.bytes
	}
	for len(w.kept) > 0 && w.bytes > maxBytes {
		w.bytes -= w.kept[0].bytes
		w.kept = slices.Delete(w.kept, 0, 1)
	}
}

// hour is the hour in which a query ended.
func (q pastQuery) hour() time.Time {
	return q.Begun.Add(time.Duration(q.Duration)).Truncate(time.Hour)
}
