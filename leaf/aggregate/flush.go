package aggregate

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/metadata"
	"github.com/prometheus/prometheus/storage"
)

// Flush stores the outputs that are due. Run calls it in time.
func (a *Aggregator) Flush(ctx context.Context) error {
	a.flushing.Lock()
	defer a.flushing.Unlock()
	var errs []error
	now := a.now()
	for _, interval := range a.intervals() {
		if t, ok := a.due(interval, now); ok {
			errs = append(errs, a.flushInterval(ctx, interval, t))
		}
	}
	errs = append(errs, a.journal.flush())
	if size, err := a.journal.state(); size > a.cfg.SnapshotBytes || err != nil {
		errs = append(errs, a.snapshot())
	}
	return errors.Join(errs...)
}

// intervals returns the intervals of all groups and rules.
func (a *Aggregator) intervals() []int64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	var out []int64
	add := func(interval int64) {
		if !slices.Contains(out, interval) {
			out = append(out, interval)
		}
	}
	for _, g := range a.groups {
		if g != nil {
			add(g.interval)
		}
	}
	for _, r := range a.rules.Load().rules {
		add(time.Duration(r.Interval).Milliseconds())
	}
	slices.Sort(out)
	return out
}

// due returns the time of the outputs that are due, if any are. What was due while
// the process was down is not made up for.
func (a *Aggregator) due(interval, now int64) (int64, bool) {
	t := (now - a.delay.Load()) / interval * interval
	a.mu.Lock()
	defer a.mu.Unlock()
	before, ok := a.sealed[interval]
	if !ok { // the interval that ends next is the first
		a.sealed[interval] = t
		a.journal.add(encodeTimes(recLastly, interval, t))
	}
	return t, ok && t > before
}

// untilDue returns how long nothing is due.
func (a *Aggregator) untilDue() time.Duration {
	now, delay := a.now(), a.delay.Load()
	wait := time.Second.Milliseconds()
	for _, interval := range a.intervals() {
		wait = min(wait, interval-(now-delay)%interval)
	}
	return time.Duration(max(wait, 1)) * time.Millisecond
}

func (a *Aggregator) flushInterval(ctx context.Context, interval, t int64) error {
	begun := a.deps.Now()
	stored, err := a.findStored(ctx, interval, t)
	if err != nil {
		return fmt.Errorf("read what is stored of aggregation outputs: %w", err) // later
	}
	a.mu.Lock()
	behind := 0
	for gid, s := range stored {
		g := a.groups[gid]
		if g == nil || g.next != noGroup {
			continue // rules changed meanwhile: who took its place is resumed next time
		}
		if g.resume(s) {
			behind++
		}
		a.journal.add(encodeResume(gid, s))
	}
	if behind > 0 {
		a.deps.Logger.Warn("aggregation state is older than what is stored, as after a power cut: increases since may be missing", "outputs", behind)
		a.catchUp(t)
		a.journal.add(encodeTimes(recCatchUp, interval, t))
	}
	out := a.seal(interval, t)
	a.forget(interval, t)
	described := a.undescribed(interval)
	a.recount()
	a.measure()
	a.mu.Unlock()
	for name, m := range described {
		a.deps.Describe(name, m)
	}
	// An output that is stored must follow from the journal. If it does not, what was
	// taken in is not acknowledged either, and totals go on from the output.
	err = a.journal.flush()
	err = errors.Join(err, a.store(ctx, out))
	end := a.deps.Now()
	a.metrics.duration.Set(end.Sub(begun).Seconds())
	a.metrics.lag.Set(float64(end.UnixMilli()-t-a.delay.Load()) / 1000)
	return err
}

// recount tells rules how many inputs they have.
func (a *Aggregator) recount() {
	n := map[string]int64{}
	for _, g := range a.groups {
		if g != nil {
			n[g.rule] += int64(g.inputs)
		}
	}
	for _, r := range a.rules.Load().rules {
		r.inputs.Store(n[r.Name])
	}
}

// undescribed returns the metadata of outputs that it was not told of.
func (a *Aggregator) undescribed(interval int64) map[string]metadata.Metadata {
	if a.deps.Describe == nil {
		return nil
	}
	out := map[string]metadata.Metadata{}
	for _, g := range a.groups {
		if g == nil || g.interval != interval || g.described {
			continue
		}
		m, ok := g.meta, !g.meta.IsEmpty()
		if !ok {
			m, ok = a.metadataOf(g.metric)
		}
		if !ok {
			continue
		}
		g.described = true
		m.Type = g.kind.metricType()
		for _, lset := range g.outputs {
			out[lset.Get(labels.MetricName)] = m
		}
	}
	return out
}

// store appends outputs in one transaction.
func (a *Aggregator) store(ctx context.Context, outputs []output) error {
	if len(outputs) == 0 {
		return nil
	}
	app := a.deps.Out.AppenderV2(ctx)
	n := 0
	for _, o := range outputs {
		ref, err := app.Append(*o.ref, o.lset, 0, o.t, o.v, nil, o.h, storage.AOptions{RejectOutOfOrder: true})
		switch {
		case err == nil:
			*o.ref = ref
			n++
		case refused(err):
			a.metrics.failed.WithLabelValues("refused").Inc()
			a.deps.Logger.Debug("aggregation output not stored", "series", o.lset.String(), "err", err)
		default:
			a.metrics.failed.WithLabelValues("failed").Add(float64(len(outputs)))
			return errors.Join(fmt.Errorf("append aggregation output %s: %w", o.lset, err), app.Rollback())
		}
	}
	if err := app.Commit(); err != nil {
		a.metrics.failed.WithLabelValues("failed").Add(float64(len(outputs)))
		return fmt.Errorf("commit aggregation outputs: %w", err)
	}
	a.metrics.stored.Add(float64(n))
	return nil
}

// refused reports whether a sample was refused for what it is.
func refused(err error) bool {
	return slices.ContainsFunc([]error{storage.ErrOutOfOrderSample, storage.ErrOutOfBounds, storage.ErrDuplicateSampleForTimestamp, storage.ErrTooOldSample},
		func(e error) bool { return errors.Is(err, e) })
}

const (
	// resumeRange is how far back it is looked for what is stored of a new group.
	resumeRange = 6 * time.Hour
	// fewGroups is how many groups of a name are looked up one by one.
	fewGroups = 8
)

// resume makes a total go on from what is stored: a new one from there, one that was
// restored not from below, which it is only if the journal has lost something. Then it
// returns true: what is known of the inputs is behind the total too.
func (g *group) resume(s Stored) bool {
	behind := false
	switch {
	case g.kind == counter && g.fresh:
		g.total += s.Value
	case g.kind == counter && s.Value > g.total:
		g.total, behind = s.Value, true
	case s.Hist != nil && g.fresh:
		g.add(s.Hist)
	case s.Hist != nil && (g.hist == nil || g.hist.Count < s.Hist.Count):
		g.hist, behind = s.Hist.Copy(), true
	}
	if s.Time > 0 && (behind || g.fresh) {
		g.lost = s.Time
	}
	g.behind = behind
	g.fresh, g.resumed = false, true
	return behind
}

// catchUp makes the inputs of groups that are ahead of them begin anew.
func (a *Aggregator) catchUp(t int64) {
	for _, sh := range a.shards {
		for i := range sh.inputs {
			if gid := sh.inputs[i].group; gid != noGroup && a.current(a.groups[gid]).behind {
				sh.lasts[i] = last{v: float64(t), at: unseen}
				delete(sh.hists, uint32(i))
			}
		}
	}
	for _, g := range a.groups {
		if g != nil {
			g.behind = false
		}
	}
}

// findStored returns what is stored of the groups that have not been resumed. The
// caller holds flushing, so that groups stay.
func (a *Aggregator) findStored(ctx context.Context, interval, t int64) (map[uint32]Stored, error) {
	fresh, known := a.unresumed(interval)
	found := map[uint32]Stored{}
	since := t - resumeRange.Milliseconds()
	for _, groups := range fresh {
		if err := a.find(ctx, found, groups, since, t); err != nil {
			return nil, err
		}
	}
	for _, groups := range known {
		// A restored total is below what is stored only if that is newer.
		if err := a.find(ctx, found, groups, max(since, a.lastSealed(interval)-interval), t); err != nil {
			return nil, err
		}
	}
	return found, nil
}

// unresumed returns the outputs of groups to be resumed, by number and name.
func (a *Aggregator) unresumed(interval int64) (fresh, known map[string]map[uint32]labels.Labels) {
	fresh, known = map[string]map[uint32]labels.Labels{}, map[string]map[uint32]labels.Labels{}
	a.mu.Lock()
	defer a.mu.Unlock()
	for i, g := range a.groups {
		if g == nil || g.next != noGroup || g.interval != interval || g.resumed || !g.kind.cumulative() {
			continue
		}
		list := known
		if g.fresh {
			list = fresh
		}
		name := g.outputs[0].Get(labels.MetricName)
		if list[name] == nil {
			list[name] = map[uint32]labels.Labels{}
		}
		list[name][uint32(i)] = g.outputs[0]
	}
	return fresh, known
}

func (a *Aggregator) lastSealed(interval int64) int64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.sealed[interval]
}

// find finds what is stored of groups whose outputs have one name.
func (a *Aggregator) find(ctx context.Context, found map[uint32]Stored, groups map[uint32]labels.Labels, mint, maxt int64) error {
	byHash := map[uint64]uint32{}
	name := ""
	for gid, lset := range groups {
		found[gid] = Stored{} // nothing
		byHash[lset.Hash()] = gid
		name = lset.Get(labels.MetricName)
	}
	if a.deps.Last == nil {
		return nil
	}
	selectors := [][]*labels.Matcher{{labels.MustNewMatcher(labels.MatchEqual, labels.MetricName, name)}}
	if len(groups) <= fewGroups {
		selectors = nil
		for _, lset := range groups {
			selectors = append(selectors, equalTo(lset))
		}
	}
	for _, ms := range selectors {
		stored, err := a.deps.Last(ctx, mint, maxt, ms...)
		if err != nil {
			return err
		}
		for _, s := range stored {
			if gid, ok := byHash[s.Labels.Hash()]; ok && labels.Equal(groups[gid], s.Labels) {
				found[gid] = s
			}
		}
	}
	return nil
}

func equalTo(lset labels.Labels) []*labels.Matcher {
	var ms []*labels.Matcher
	lset.Range(func(l labels.Label) { ms = append(ms, labels.MustNewMatcher(labels.MatchEqual, l.Name, l.Value)) })
	return ms
}
