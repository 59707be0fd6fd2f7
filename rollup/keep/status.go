package keep

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/pandometrics/pando/rollup"
)

// Status is how far the points of one rule are, at one distance.
type Status struct {
	Rule *rollup.Rule
	Keep rollup.Keep
	// Since is from when on points are owed; zero if that is not known yet. Until
	// is the newest point that is there and has all owed ones before it, zero if
	// there is none.
	Since, Until time.Time
	// Whole, Partial and Unfit count points; Absent those that are owed and due,
	// and not there.
	Whole, Partial, Unfit, Absent int64
	// Series is how many series the newest points have that were made since the start;
	// zero if none were.
	Series int
	// Empty: points were made since the start, and none had a series.
	Empty bool
	// Due is the newest point that is due, or there already; zero if there is none.
	// All points from Since up to it are counted, and are whole but for the holes.
	Due time.Time
	// Holes are the spans of points that are not whole, oldest first; LeftOut counts
	// the newer ones that are not among them.
	Holes   []Hole
	LeftOut int
	// Failing says why the last attempt failed; empty if it did not.
	Failing string
	// Blocked: the points are not read, since what makes them void cannot be
	// stored. Failing says why.
	Blocked bool

	// newest is the newest point that is there, oldest the oldest that is absent
	// although it is due, in milliseconds; zero if there is none.
	newest, oldest int64
}

// Hole is a span of points that are not whole.
type Hole struct {
	From, To time.Time
	State    string // absent, partial or unfit
	Missing  []string
}

// Status tells of all rules that the tier keeps, by name, with so many holes of
// each at most. It may be called while the Collector runs.
func (c *Collector) Status(holes int) (out []Status) {
	s, now := c.cfg.Store, c.cfg.Now().UnixMilli()
	horizon, _ := c.horizon(now)
	for _, r := range s.Rules().All() {
		for _, k := range r.Keep[s.cfg.Tier] {
			out = append(out, s.status(r, k, now, horizon, holes))
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := range out {
		key := keptKey{out[i].Rule.ID, out[i].Keep}
		out[i].Failing = cmp.Or(c.blocked[key], c.failing[key])
		m, made := c.made[out[i].Rule.ID]
		out[i].Blocked, out[i].Series, out[i].Empty = c.blocked[key] != "", m.series, made && !m.filled
	}
	slices.SortStableFunc(out, func(a, b Status) int {
		return cmp.Or(strings.Compare(a.Rule.Name, b.Rule.Name), cmp.Compare(a.Keep.Every, b.Keep.Every))
	})
	return out
}

// status looks at the points of one rule at one distance.
func (s *Store) status(r *rollup.Rule, k rollup.Keep, now, horizon int64, holes int) Status {
	s.mu.RLock()
	defer s.mu.RUnlock()
	st := Status{Rule: r, Keep: k}
	l := s.kept[keptKey{r.ID, k}]
	since, ok := s.since[r.ID]
	if l == nil || !ok {
		return st
	}
	st.Since = time.UnixMilli(since)
	st.newest, _ = l.last(whole, partial, unfit)
	step := l.step
	next := up(max(since, now-k.For.Milliseconds()+step), step)
	// While somebody was away, points were due up to a later time than what is final.
	end := down(max(horizon, st.newest), step)
	if next <= end {
		st.Due = time.UnixMilli(end)
	}
	hole := func(from, to int64, sp span) {
		st.count(sp.state, (to-from)/step+1)
		if sp.state == whole {
			return
		}
		if len(st.Holes) == holes {
			st.LeftOut++
			return
		}
		st.Holes = append(st.Holes, holeOf(from, to, sp))
	}
	for t := next; t <= end; {
		sp := l.at(t)
		to := min(sp.to, end)
		if sp.state == absent && sp.from == sp.to {
			to = max(t, min(l.nextAfter(t)-step, end))
		}
		hole(t, to, sp)
		if sp.state == absent && st.oldest == 0 {
			st.oldest = t
		}
		if sp.state == absent && st.Until.IsZero() && t > next {
			st.Until = time.UnixMilli(t - step)
		}
		if t = to + step; t > end && st.Absent == 0 {
			st.Until = time.UnixMilli(end)
		}
	}
	return st
}

func (st *Status) count(s state, n int64) {
	switch s {
	case whole:
		st.Whole += n
	case partial:
		st.Partial += n
	case unfit:
		st.Unfit += n
	default:
		st.Absent += n
	}
}

func holeOf(from, to int64, sp span) Hole {
	h := Hole{From: time.UnixMilli(from), To: time.UnixMilli(to), State: sp.state.mark()}
	if sp.state == absent {
		h.State = absentText
	}
	for _, a := range awayOf(sp.missing) {
		h.Missing = append(h.Missing, a.name)
	}
	return h
}

// Owed is from when on the points of a rule are owed.
type Owed struct {
	From time.Time
	// Longest is how long the tier keeps them, if that is why it is not earlier; zero
	// if it is no later than asked for, but for the distance of the points.
	Longest time.Duration
}

// Backfill has the points of a rule be owed from a time on, so far as the tier
// keeps them that long: they are made as others that are missing. They may be owed
// from an earlier time on already.
func (c *Collector) Backfill(ctx context.Context, rule string, since time.Time) (Owed, error) {
	s := c.cfg.Store
	r := s.Rules().ByName(rule)
	if r == nil {
		return Owed{}, fmt.Errorf("there is no rollup rule %q", rule)
	}
	longest := time.Duration(0)
	for _, k := range r.Keep[s.cfg.Tier] {
		longest = max(longest, k.For)
	}
	if longest == 0 {
		return Owed{}, fmt.Errorf("rollup rule %q is not kept at this tier", rule)
	}
	out, oldest := Owed{}, c.cfg.Now().Add(-longest)
	if since.Before(oldest) {
		since, out.Longest = oldest, longest
	}
	if err := s.Owe(ctx, r, up(since.UnixMilli(), r.Interval)); err != nil {
		return Owed{}, err
	}
	owed, _ := s.OwedSince(r)
	out.From = time.UnixMilli(max(owed, up(oldest.UnixMilli(), r.Interval)))
	return out, nil
}
