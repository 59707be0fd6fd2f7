package querytree

import (
	"cmp"
	"math"
	"slices"
	"strings"
	"time"
)

// laggard is how far the newest sample of a replica may be behind that of
// another one before the time after it counts as missing.
const laggard = time.Minute

// replica is one member of a replica set as one query sees it.
type replica struct {
	Member
	// holes are the times within the query's range of which it may lack samples,
	// void those of which it certainly has none. What lies between may hold some:
	// what is told of a gap may be larger than the gap was.
	holes, void intervals
	// failed is set once it has failed in this query.
	failed error
	// latency is how long it takes to begin an answer, zero if unknown.
	latency time.Duration
}

// live reports whether the replica is there to be asked.
func (r *replica) live() bool { return r.Connected && r.failed == nil }

// unknown reports whether nothing is known of what the replica holds, since it
// has never been connected in the life of this tier.
func (r *replica) unknown() bool {
	return !r.Connected && r.Description.Mint == math.MaxInt64 && r.Description.Instance == ""
}

// findHoles computes the holes of all replicas of a set within a span.
func findHoles(replicas []*replica, span Interval) {
	oldest, newest, leaves := int64(math.MaxInt64), int64(math.MinInt64), 0
	for _, r := range replicas {
		leaves = max(leaves, r.Description.Leaves)
		oldest, newest = min(oldest, r.Description.Mint), max(newest, r.Description.Maxt)
	}
	for _, r := range replicas {
		void, gaps := r.missing(oldest, newest, leaves)
		r.void = newIntervals(void...).within(span)
		r.holes = newIntervals(append(void, gaps...)...).within(span)
	}
}

// missing returns the times of which a replica has no samples, and those of
// which it may have none, if those of the set are from oldest to newest, and one
// of them has so many leaves below it.
func (r *replica) missing(oldest, newest int64, leaves int) (void, gaps []Interval) {
	d := r.Description
	all := Interval{math.MinInt64, math.MaxInt64}
	switch {
	case d.Tier != TierLeaf:
		// It stores nothing: what is below is the same for all of them, but for one
		// that no leaf has found, and that therefore does not know of any.
		if !r.Connected || d.Leaves == 0 && leaves > 0 {
			void = append(void, all)
		}
		return void, nil
	case r.unknown():
		// It may have all that any replica can have.
		return []Interval{{math.MinInt64, oldest - 1}}, nil
	case d.Mint == math.MaxInt64:
		return []Interval{all}, nil
	}
	void = append(void, Interval{math.MinInt64, max(d.Mint, math.MinInt64+1) - 1})
	after := Interval{min(d.Maxt, math.MaxInt64-1) + 1, math.MaxInt64}
	gaps = slices.Clone(d.Gaps)
	if !r.Connected {
		void = append(void, after)
	} else if d.Maxt != math.MaxInt64 && d.Maxt < newest-laggard.Milliseconds() {
		gaps = append(gaps, after)
	}
	return void, gaps
}

// view is what a replica set makes of the replicas that are left.
type view struct {
	// order has the live replicas, the one to ask first.
	order []*replica
	// fill are the holes of the first, whole, that another live one may fill at
	// least in part.
	fill intervals
	// gone are times that only replicas which are not there may cover, by
	// replica.
	gone []absence
	// stale is closed when the set has moved on to another view.
	stale chan struct{}
	// used: an answer under this view was handed out.
	used bool
}

// absence is a replica that is not there, and the times that only it covers.
type absence struct {
	*replica
	times intervals
}

// newView chooses among the replicas for a span of time: the one that lacks
// least of what there is, and of several such that which answers fastest.
func newView(replicas []*replica, span Interval, preferred *replica) *view {
	v := &view{stale: make(chan struct{})}
	for _, r := range replicas {
		if r.live() {
			v.order = append(v.order, r)
		}
	}
	if len(v.order) == 0 {
		return v
	}
	lacks := make(map[*replica]int64, len(v.order))
	for _, r := range v.order {
		lacks[r] = r.holes.without(common(v.order)).length()
	}
	slices.SortStableFunc(v.order, func(a, b *replica) int {
		return cmp.Or(
			cmp.Compare(lacks[a], lacks[b]),
			before(a == preferred, b == preferred),
			health(a, b),
			strings.Compare(a.Description.Replica, b.Description.Replica),
		)
	})
	if v.order[0] != preferred {
		v.fastest(lacks)
	}
	v.fill = v.order[0].holes.touching(v.wants(v.order[0]))
	none := common(v.order)
	for _, r := range replicas {
		if r.live() {
			continue
		}
		if times := none.without(r.void); len(times) > 0 {
			v.gone = append(v.gone, absence{r, times})
		}
	}
	return v
}

// health compares how much replicas can be relied on, the better one first.
func health(a, b *replica) int {
	return cmp.Or(
		before(!a.Stale, !b.Stale),
		cmp.Compare(len(a.Description.Missing), len(b.Description.Missing)),
		cmp.Compare(b.Description.Leaves, a.Description.Leaves),
	)
}

func before(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return -1
	}
	return 1
}

// common returns the holes that all replicas share, which make no difference to
// whom to ask first.
func common(replicas []*replica) intervals {
	out := replicas[0].holes
	for _, r := range replicas[1:] {
		out = out.and(r.holes)
	}
	return out
}

// fastest moves a replica to the front that is as good as the first but clearly
// faster. What is not clear stays as it is: answers of two replicas differ by
// when they took their samples, and a chart should not flicker.
func (v *view) fastest(lacks map[*replica]int64) {
	best := 0
	for i, r := range v.order {
		if lacks[r] != lacks[v.order[0]] || health(r, v.order[0]) != 0 {
			break
		}
		if l := v.order[best].latency; r.latency > 0 && 2*r.latency+5*time.Millisecond < l {
			best = i
		}
	}
	first := v.order[best]
	v.order = slices.Insert(slices.Delete(v.order, best, best+1), 0, first)
}

// wants returns the holes of a replica of which another live one may have
// samples.
func (v *view) wants(r *replica) intervals {
	nowhere := r.holes
	for _, o := range v.order {
		if o != r {
			nowhere = nowhere.and(o.void)
		}
	}
	return r.holes.without(nowhere)
}

// covers reports whether a replica has all that any live one has, for samples
// of a span.
func (v *view) covers(r *replica, span Interval) bool { return !v.wants(r).touch(span) }

// twin returns the replica that may be raced with the first for samples of a
// span, or nil: both must have everything.
func (v *view) twin(span Interval) *replica {
	if len(v.order) == 0 || !v.covers(v.order[0], span) {
		return nil
	}
	for _, r := range v.order[1:] {
		if !r.Stale && r.Description.Leaves >= v.order[0].Description.Leaves && v.covers(r, span) {
			return r
		}
	}
	return nil
}
