package keep

import (
	"math"
	"slices"
	"sort"

	"github.com/pandometrics/pando/querytree"
)

// state is what is known of a rule's point at one time.
type state uint8

// States of a point. A point that is not there has none.
const (
	absent state = iota
	// whole: all that owed it have delivered.
	whole
	// partial: who was missing has been gone for longer than is waited for.
	partial
	// unfit: its evaluation warned, so that it cannot stand for the query.
	unfit
)

// span is a run of times, both inclusive, whose points are of one state and
// revision.
type span struct {
	from, to int64
	state    state
	// rev is the revision of the points, or of an absent point the one that it
	// will have.
	rev uint32
	// missing names who had no part in a partial point.
	missing string
	// late: the points were made long after they could have been, as those of a rule
	// that is back-filled are. Who has gone meanwhile has no part in them, and may
	// have one in those of another rule.
	late bool
}

func (s span) like(o span) bool {
	return s.state == o.state && s.rev == o.rev && s.missing == o.missing && s.late == o.late
}

// ledger says which points of one rule are there, at one distance. Times are
// multiples of step. It is not safe for concurrent use.
type ledger struct {
	// id is what the points are stored under.
	id    string
	step  int64
	spans []span // in order, disjoint; what is between is absent, of revision 0
	// forgotten is the time before which points that were known have been forgotten,
	// and next a revision that none of them had.
	forgotten int64
	next      uint32
}

// set notes what is known of the times of a span.
func (l *ledger) set(s span) {
	i := sort.Search(len(l.spans), func(i int) bool { return l.spans[i].to >= s.from })
	j := i
	var before, after []span
	for ; j < len(l.spans) && l.spans[j].from <= s.to; j++ {
		old := l.spans[j]
		if old.from < s.from {
			left := old
			left.to = s.from - l.step
			before = append(before, left)
		}
		if old.to > s.to {
			right := old
			right.from = s.to + l.step
			after = append(after, right)
		}
	}
	l.spans = slices.Replace(l.spans, i, j, slices.Concat(before, []span{s}, after)...)
	l.join(max(0, i-1), i+len(before)+2)
}

// join makes one span of neighbours that are alike, among those from i to j.
func (l *ledger) join(i, j int) {
	for ; i+1 < len(l.spans) && i < j; i++ {
		for i+1 < len(l.spans) && l.spans[i].to+l.step == l.spans[i+1].from && l.spans[i].like(l.spans[i+1]) {
			l.spans[i].to = l.spans[i+1].to
			l.spans = slices.Delete(l.spans, i+1, i+2)
		}
	}
}

// at returns what is known of one time.
func (l *ledger) at(t int64) span {
	i := sort.Search(len(l.spans), func(i int) bool { return l.spans[i].to >= t })
	if i < len(l.spans) && l.spans[i].from <= t {
		return l.spans[i]
	}
	if t < l.forgotten {
		// It is too old, but for a clock that was ahead and was set right: there may be
		// a point, and what is written now must not be taken for it.
		return span{from: t, to: t, rev: l.next}
	}
	return span{from: t, to: t}
}

// voids returns what void would put in place of the points from mint to maxt. What
// is absent already has nothing of its revision.
func (l *ledger) voids(mint, maxt int64) (out []span) {
	i := sort.Search(len(l.spans), func(i int) bool { return l.spans[i].to >= mint })
	for ; i < len(l.spans) && l.spans[i].from <= maxt; i++ {
		s := l.spans[i]
		v := span{from: max(s.from, up(mint, l.step)), to: min(s.to, down(maxt, l.step)), rev: s.rev + 1}
		if s.state != absent && v.from <= v.to {
			out = append(out, v)
		}
	}
	return out
}

// void makes the points from mint to maxt absent, and returns the spans that it
// put in place.
func (l *ledger) void(mint, maxt int64) []span {
	out := l.voids(mint, maxt)
	for _, s := range out {
		l.set(s)
	}
	return out
}

// nextAfter returns the start of the first span after a time.
func (l *ledger) nextAfter(t int64) int64 {
	i := sort.Search(len(l.spans), func(i int) bool { return l.spans[i].from > t })
	if i == len(l.spans) {
		return down(math.MaxInt64, l.step)
	}
	return l.spans[i].from
}

// has returns the runs of times from mint to maxt, in order, at which there are
// points of one of the states.
func (l *ledger) has(mint, maxt int64, states ...state) []querytree.Interval {
	return l.where(mint, maxt, func(s span) bool { return slices.Contains(states, s.state) })
}

// where returns the runs of times from mint to maxt, in order, of spans that are fit.
func (l *ledger) where(mint, maxt int64, fit func(span) bool) (out []querytree.Interval) {
	i := sort.Search(len(l.spans), func(i int) bool { return l.spans[i].to >= mint })
	for ; i < len(l.spans) && l.spans[i].from <= maxt; i++ {
		s := l.spans[i]
		if !fit(s) {
			continue
		}
		r := querytree.Interval{Mint: max(s.from, up(mint, l.step)), Maxt: min(s.to, down(maxt, l.step))}
		if n := len(out); n > 0 && out[n-1].Maxt+l.step == r.Mint {
			out[n-1].Maxt = r.Maxt
		} else if r.Mint <= r.Maxt {
			out = append(out, r)
		}
	}
	return out
}

// lacks returns the runs of times from mint to maxt, in order, of which nothing
// has been decided.
func (l *ledger) lacks(mint, maxt int64) (out []querytree.Interval) {
	next := up(mint, l.step)
	maxt = down(maxt, l.step)
	for _, r := range l.has(mint, maxt, whole, partial, unfit) {
		if r.Mint > next {
			out = append(out, querytree.Interval{Mint: next, Maxt: r.Mint - l.step})
		}
		next = r.Maxt + l.step
	}
	if next <= maxt {
		out = append(out, querytree.Interval{Mint: next, Maxt: maxt})
	}
	return out
}

// firstNotWhole returns the oldest time from mint to maxt whose point is not whole,
// and whether there is one.
func (l *ledger) firstNotWhole(mint, maxt int64) (int64, bool) {
	next, maxt := up(mint, l.step), down(maxt, l.step)
	for _, r := range l.has(mint, maxt, whole) {
		if r.Mint > next {
			break
		}
		next = r.Maxt + l.step
	}
	return next, next <= maxt
}

// last returns the newest time that has a point of one of the states.
func (l *ledger) last(states ...state) (int64, bool) {
	for _, s := range slices.Backward(l.spans) {
		if slices.Contains(states, s.state) {
			return s.to, true
		}
	}
	return 0, false
}

// forget drops what is known of times before t.
func (l *ledger) forget(t int64) {
	t = up(t, l.step)
	for _, s := range l.spans {
		if s.from >= t {
			break
		}
		l.forgotten = max(l.forgotten, min(s.to+l.step, t))
		if s.state != absent {
			s.rev++
		}
		l.next = max(l.next, s.rev)
	}
	i := sort.Search(len(l.spans), func(i int) bool { return l.spans[i].to >= t })
	l.spans = slices.Delete(l.spans, 0, i)
	if len(l.spans) > 0 {
		l.spans[0].from = max(l.spans[0].from, t)
	}
}

// down returns the newest multiple of step that is not after t.
func down(t, step int64) int64 {
	r := t % step
	if r < 0 {
		r += step
	}
	return t - r
}

// up returns the oldest multiple of step that is not before t.
func up(t, step int64) int64 {
	if d := down(t, step); d < t {
		return d + step
	}
	return t
}
