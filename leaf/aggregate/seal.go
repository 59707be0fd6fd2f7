package aggregate

import (
	"cmp"
	"math"
	"slices"

	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/value"
)

// seal takes in what is due at t of groups with an interval, and returns the
// outputs. The caller holds mu.
func (a *Aggregator) seal(interval, t int64) []output {
	for s, sh := range a.shards {
		sh.mu.Lock()
		a.takeDue(sh, interval, t)
		a.journal.add(encodeSeal(s, interval, t))
		sh.mu.Unlock()
		a.apply(sh)
	}
	return a.conclude(interval, t)
}

// takeDue moves the samples that are due to the batch. The caller holds both locks.
func (a *Aggregator) takeDue(sh *shard, interval, t int64) {
	a.batch, a.hbatch = a.batch[:0], a.hbatch[:0]
	due := func(x *sample) bool {
		if x.t > t {
			return false
		}
		g := a.current(a.groups[sh.inputs[x.idx].group])
		return g.interval == interval && (g.resumed || !g.kind.cumulative())
	}
	rest := sh.pending[:0]
	for i := range sh.pending {
		if x := &sh.pending[i]; due(x) {
			a.batch = append(a.batch, *x)
		} else {
			rest = append(rest, *x)
		}
	}
	sh.pending = rest
	hrest := sh.hpend[:0]
	for _, x := range sh.hpend {
		if due(&x.sample) {
			a.hbatch = append(a.hbatch, x)
		} else {
			hrest = append(hrest, x)
		}
	}
	clear(sh.hpend[len(hrest):])
	sh.hpend = hrest
}

// drain takes in all samples of a shard before their time, since they are too many.
func (a *Aggregator) drain(s int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	sh := a.shards[s]
	sh.mu.Lock()
	if !sh.full() { // any more
		sh.mu.Unlock()
		return
	}
	a.takeAll(sh)
	a.journal.add(encodeDrain(s))
	sh.mu.Unlock()
	a.metrics.drained.Inc()
	a.apply(sh)
}

func (a *Aggregator) takeAll(sh *shard) {
	a.batch, a.hbatch = append(a.batch[:0], sh.pending...), append(a.hbatch[:0], sh.hpend...)
	clear(sh.hpend)
	sh.pending, sh.hpend = sh.pending[:0], sh.hpend[:0]
}

// apply takes in the batch, each input's samples in order of time. Of two of the
// same time the first counts that came.
func (a *Aggregator) apply(sh *shard) {
	var n tally
	if !a.ordered(sh, len(a.batch), func(i int) *sample { return &a.batch[i] }) {
		slices.SortStableFunc(a.batch, compare)
	}
	if !a.ordered(sh, len(a.hbatch), func(i int) *sample { return &a.hbatch[i].sample }) {
		slices.SortStableFunc(a.hbatch, func(x, y histSample) int { return compare(x.sample, y.sample) })
	}
	// Histograms come first: the stale markers among the others end them.
	for i := range a.hbatch {
		a.takeHistogram(sh, &a.hbatch[i], &n)
	}
	clear(a.hbatch)
	for i := range a.batch {
		a.takeFloat(sh, &a.batch[i], &n)
	}
	a.metrics.count(n)
}

func compare(x, y sample) int {
	return cmp.Or(cmp.Compare(x.idx, y.idx), cmp.Compare(x.t, y.t))
}

// ordered reports whether the samples of each input are in order.
func (a *Aggregator) ordered(sh *shard, n int, at func(int) *sample) bool {
	for len(a.newest) < len(sh.inputs) {
		a.newest = append(a.newest, unseen)
	}
	in := true
	for i := range n {
		x := at(i)
		if a.newest[x.idx] > x.t {
			in = false
		}
		a.newest[x.idx] = x.t
	}
	for i := range n {
		a.newest[at(i).idx] = unseen
	}
	return in
}

// tally counts what became of samples.
type tally struct {
	taken, late, duplicate, invalid, apart int
}

// fresh reports whether a sample is newer than the last one of its input, or than what
// may have been.
func (n *tally) fresh(g *group, l last, t int64) bool {
	before := g.lost
	if l.seen() {
		before = l.time()
	}
	switch {
	case t > before:
		return true
	case t == before:
		n.duplicate++
	default:
		n.late++
	}
	return false
}

func (a *Aggregator) takeFloat(sh *shard, x *sample, n *tally) {
	l := &sh.lasts[x.idx]
	g := a.groups[sh.inputs[x.idx].group]
	if !n.fresh(g, *l, x.t) {
		return
	}
	n.taken++
	if value.IsStaleNaN(x.v) {
		// The time stays that of the last sample: what began after it is known by it.
		if l.seen() {
			l.at |= 1
		}
		return
	}
	if g.kind == counter {
		if math.IsNaN(x.v) || math.IsInf(x.v, 0) || x.v < 0 {
			n.taken--
			n.invalid++
			return
		}
		g.total += increase(g, *l, x)
	}
	*l = last{v: x.v, at: x.t << 1}
}

// increase returns what a sample of a counter adds.
func increase(g *group, l last, x *sample) float64 {
	switch {
	case !l.seen() && began(g, x):
		return x.v
	case !l.seen():
		return 0
	case x.v < l.v || restarted(l, x):
		return x.v
	default:
		return x.v - l.v
	}
}

// began reports whether an input whose first sample this is is known to have begun
// after its rule did, and so lately that it cannot have been forgotten, nor lost.
func began(g *group, x *sample) bool {
	start := x.t - int64(x.age)
	return x.age > 0 && start >= g.since && start > g.lost && int64(x.age) <= g.forget
}

// restarted reports whether the start timestamp tells of a reset.
func restarted(l last, x *sample) bool {
	return x.age > 0 && x.t-int64(x.age) > l.time()
}

func (a *Aggregator) takeHistogram(sh *shard, x *histSample, n *tally) {
	l := &sh.lasts[x.idx]
	g := a.groups[sh.inputs[x.idx].group]
	if !n.fresh(g, *l, x.t) {
		return
	}
	if g.kind == histogramCounter {
		g.zero(x.h)
		if inc := histogramIncrease(g, *l, sh.hists[x.idx], x); inc != nil && !g.add(inc) {
			n.apart++ // buckets of two kinds
		}
	}
	n.taken++
	sh.hists[x.idx] = x.h
	*l = last{at: x.t << 1}
}

// histogramIncrease returns what a sample of a histogram adds, or nil.
func histogramIncrease(g *group, l last, before *histogram.FloatHistogram, x *histSample) *histogram.FloatHistogram {
	switch {
	case !l.seen() && began(g, &x.sample):
		return x.h
	case !l.seen():
		return nil
	case before == nil || restarted(l, &x.sample) || x.h.DetectReset(before):
		return x.h
	}
	inc, _, _, err := x.h.Copy().Sub(before)
	if err != nil {
		return x.h // cannot be: it would have been a reset
	}
	return inc
}

// conclude looks at all inputs of groups with an interval, and returns the outputs
// of t. The caller holds mu.
func (a *Aggregator) conclude(interval, t int64) []output {
	a.journal.add(encodeTimes(recSealed, interval, t))
	return a.lookAll(interval, t)
}

// lookAll does what a recSealed record stands for. It changes nothing but groups.
func (a *Aggregator) lookAll(interval, t int64) []output {
	a.sealed[interval] = t
	for _, g := range a.groups {
		if g != nil {
			a.handOver(g)
			if a.current(g).interval == interval {
				g.begin()
			}
		}
	}
	var n tally
	for _, sh := range a.shards {
		a.look(sh, interval, t, &n)
	}
	a.metrics.count(n)
	var out []output
	for _, g := range a.groups {
		if g != nil && g.interval == interval && g.next == noGroup {
			out = g.emit(out, t)
		}
	}
	return out
}

// current returns the group that counts, which is another if rules have changed.
func (a *Aggregator) current(g *group) *group {
	for g.next != noGroup {
		g = a.groups[g.next]
	}
	return g
}

// handOver gives what was added up to the group that has taken the place.
func (a *Aggregator) handOver(g *group) {
	if g.next == noGroup {
		return
	}
	for a.groups[g.next].next != noGroup {
		g.next = a.groups[g.next].next
	}
	to := a.groups[g.next]
	if to.kind == g.kind {
		to.total += g.total
		if g.hist != nil {
			to.add(g.hist)
		}
	}
	g.total, g.hist = 0, nil
}

// look counts the inputs of a shard in their groups.
func (a *Aggregator) look(sh *shard, interval, t int64, n *tally) {
	for i := range sh.inputs {
		gid := sh.inputs[i].group
		if gid == noGroup {
			continue
		}
		own := a.groups[gid]
		g := a.current(own)
		if g.interval != interval {
			continue
		}
		own.inputs++
		l := sh.lasts[i]
		if !l.seen() || l.ended() || l.time() <= t-g.staleness || own.kind != g.kind {
			continue
		}
		if !g.kind.histogram() {
			g.see(l.v)
		} else if !g.seeHistogram(sh.hists[uint32(i)]) {
			n.apart++
		}
	}
}

// forget forgets the inputs that have not been seen for long, and the groups
// without inputs. The caller holds mu, and has just concluded the interval at t.
func (a *Aggregator) forget(interval, t int64) {
	for s, sh := range a.shards {
		var places []uint32
		for i := range sh.inputs {
			gid := sh.inputs[i].group
			if gid == noGroup || a.current(a.groups[gid]).interval != interval {
				continue
			}
			since := sh.lasts[i].time()
			if !sh.lasts[i].seen() {
				since = int64(sh.lasts[i].v)
			}
			// While the leaf was down, nothing could be seen.
			if t-max(since, a.up) > a.groups[gid].forget {
				places = append(places, uint32(i))
			}
		}
		if len(places) > 0 {
			a.forgetPlaces(s, sh, places)
		}
	}
	a.forgetGroups(interval)
}

// forgetGroups forgets the groups that had no inputs at the last look.
func (a *Aggregator) forgetGroups(interval int64) {
	needed := map[uint32]bool{}
	for _, g := range a.groups {
		if g != nil && g.next != noGroup {
			needed[g.next] = true
		}
	}
	for i, g := range a.groups {
		gid := uint32(i)
		if g == nil || a.current(g).interval != interval || g.inputs > 0 || needed[gid] || (g.emitted && g.next == noGroup) {
			continue
		}
		a.freed = append(a.freed, gid)
		a.journal.add(encodeUngroup(gid))
		a.ungroup(gid)
	}
}

// forgetPlaces forgets inputs, but for those of which samples wait.
func (a *Aggregator) forgetPlaces(s int, sh *shard, places []uint32) {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	waiting := map[uint32]bool{}
	for i := range sh.pending {
		waiting[sh.pending[i].idx] = true
	}
	for i := range sh.hpend {
		waiting[sh.hpend[i].idx] = true
	}
	places = slices.DeleteFunc(places, func(idx uint32) bool { return waiting[idx] })
	for _, idx := range places {
		sh.forget(idx)
	}
	a.journal.add(encodeForget(s, places))
}
