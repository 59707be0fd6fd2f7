package resultcache

import "time"

// span is the steps from one to another, both inclusive.
type span struct{ from, to int64 }

// lacking returns the steps between from and to that the extents, sorted by
// time, do not have.
func lacking(have []extent, from, to, step int64) []span {
	var out []span
	for _, e := range have {
		if from < e.from {
			out = append(out, span{from, e.from - step})
		}
		from = e.to + step
	}
	if from <= to {
		out = append(out, span{from, to})
	}
	return out
}

// minSteps is the number of steps of a piece, about, below which it is not worth
// a request of its own.
const minSteps = 60

// interval returns the length of pieces for a query, in milliseconds; zero if it
// should not be split.
func interval(split time.Duration, r reads, step int64) int64 {
	n := split.Milliseconds()
	if n == 0 {
		return 0
	}
	n *= max(1, (minSteps*step+n-1)/n)
	if r.back+r.forward > n {
		return 0 // Each piece would read what the others do.
	}
	return n
}

// split takes spans apart at the multiples of an interval, if that is not zero.
func split(spans []span, interval, step int64) []span {
	if interval == 0 {
		return spans
	}
	var out []span
	for _, s := range spans {
		for s.from <= s.to {
			// The last step before the next multiple.
			next := s.from - mod(s.from, interval) + interval
			last := min(s.to, s.from+(next-1-s.from)/step*step)
			out = append(out, span{s.from, last})
			s.from = last + step
		}
	}
	return out
}

// coalesce puts spans together that follow one another.
func coalesce(spans []span, step int64) []span {
	var out []span
	for _, s := range spans {
		if n := len(out); n > 0 && out[n-1].to+step == s.from {
			out[n-1].to = s.to
			continue
		}
		out = append(out, s)
	}
	return out
}
