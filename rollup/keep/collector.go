package keep

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"github.com/pandometrics/pando/querytree"
	"github.com/pandometrics/pando/rollup"
)

// Source is what points are made from: a leaf's samples, or the children of a
// tier.
type Source interface {
	Exec(context.Context, querytree.ExecRequest) (querytree.ResultSet, error)
}

// CollectorConfig is what a Collector is made of.
type CollectorConfig struct {
	Store  *Store
	Source Source
	// Final returns the time up to which samples are final, in milliseconds; zero
	// if that is not known.
	Final func() int64
	// Missing names who below the tier is away; nil at a leaf.
	Missing func() []string
	// Children describes the children that are connected; nil at a leaf.
	Children func() []querytree.Description
	// Known names all children, including those that are missing; nil at a leaf, or
	// if none is ever forgotten.
	Known func() []string
	// Readable is told of metrics of which points can be read that could not before:
	// at the start, or since their rule came back. What was answered about them in the
	// meantime, of times of which there are no samples, lacked these. It may be nil.
	Readable func(metrics []string)
	// Past is told of what changes.
	Past *Past
	// Lookback is the lookback delta in milliseconds.
	Lookback int64
	// Hold is how long somebody who is away is waited for, and how old a point is at
	// least that is made without them.
	Hold time.Duration
	// Batch is how many points of a rule are asked for at once.
	Batch int
	// Parallel is how many rules are asked for at once.
	Parallel int
	// Rest is how long to rest after a batch of points that are made good, in
	// times of what the batch took: fresh points and queries come first.
	Rest float64
	// Logger, Registerer and Now may be nil.
	Logger     *slog.Logger
	Registerer prometheus.Registerer
	Now        func() time.Time
	// Uptime is how long it has been running, whatever the clock was set to meanwhile;
	// nil is as long as the clock says, or if Now is nil too, what the system measures.
	Uptime func() time.Duration
}

// DefaultCollectorConfig returns the configuration of a Collector without what it
// works with.
func DefaultCollectorConfig() CollectorConfig {
	return CollectorConfig{Hold: 24 * time.Hour, Batch: 240, Parallel: 4, Rest: 3}
}

// Validate reports what is missing or out of range.
func (c CollectorConfig) Validate() error {
	switch {
	case c.Store == nil || c.Source == nil || c.Final == nil || c.Past == nil:
		return errors.New("rollups: store, source, final and past are required")
	case c.Hold <= 0:
		return fmt.Errorf("rollups: hold of %v; set --rollup.hold to more than zero", c.Hold)
	case c.Batch <= 0 || c.Parallel <= 0 || c.Rest < 0 || c.Lookback <= 0:
		return errors.New("rollups: batch, parallel and lookback must be greater than zero")
	}
	return nil
}

// Collector makes the points that a tier owes.
type Collector struct {
	cfg     CollectorConfig
	metrics *collectorMetrics
	jobs    map[keptKey]*job // of the goroutine that makes points

	// round counts those of MakeGood in which each rule had its batch.
	round uint64
	// turn is the kind of points of which a partial run was looked at last.
	turn keptKey
	// gone are those who were missing in the last round; waiting: there are some, and
	// all of them are waited for, however old a point is.
	gone    []string
	waiting bool

	mu      sync.Mutex
	failing map[keptKey]string
	// blocked says of points that are not read why they could not be made void.
	blocked map[keptKey]string
	made    map[string]made // by the ID of the rule
	// without are those who lacked in answers although nobody says that they are away.
	without map[string]lacked
}

// job is how far the points of one rule at one distance are. It is used by one
// goroutine at a time.
type job struct {
	rule *rollup.Rule
	keep rollup.Keep
	// cursor is where to look for missing points, so that one that cannot be made
	// does not hold up others; after, where to look if the batch under way cannot.
	cursor, after int64
	// fresh and good are how attempts go at the newest points and at older ones: what
	// fails of these must not keep those from being made, nor the reverse.
	fresh, good pace
	// partial ones that may be made whole have one of their own, too.
	whole pace
	// partial is where the partial run begins that was looked at last.
	partial int64
	// round is the last one of MakeGood in which it had its batch.
	round uint64
}

// NewCollector returns a Collector.
func NewCollector(cfg CollectorConfig) (*Collector, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Uptime == nil {
		cfg.Uptime = uptime(cfg.Now)
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	c := &Collector{cfg: cfg, metrics: newCollectorMetrics(cfg.Registerer), jobs: map[keptKey]*job{}, failing: map[keptKey]string{}, blocked: map[keptKey]string{}, made: map[string]made{}, without: map[string]lacked{}}
	if cfg.Registerer != nil {
		if err := cfg.Registerer.Register(newTotals(c)); err != nil {
			return nil, fmt.Errorf("rollups: register metrics: %w", err)
		}
	}
	return c, nil
}

// uptime measures from now on, by a clock if there is one.
func uptime(now func() time.Time) func() time.Duration {
	if now == nil {
		begin := time.Now()
		return func() time.Duration { return time.Since(begin) } // of a clock that is never set
	}
	begin := now()
	return func() time.Duration { return now().Sub(begin) }
}

// look is how often there may be new points.
const look = time.Second

// Run makes points until ctx ends: fresh ones as soon as they are final, and
// those that are missing, the oldest first, in between.
func (c *Collector) Run(ctx context.Context) error {
	tick := time.NewTicker(look)
	defer tick.Stop()
	rested := time.Time{}
	for {
		if err := c.Fresh(ctx); err != nil && ctx.Err() == nil {
			c.cfg.Logger.Error("rollups cannot be kept", "error", err)
		}
		if begin := c.cfg.Now(); !begin.Before(rested) {
			if c.MakeGood(ctx) {
				took := c.cfg.Now().Sub(begin)
				rested = c.cfg.Now().Add(time.Duration(c.cfg.Rest * float64(took)))
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		case <-c.cfg.Past.wake:
		}
	}
}

// Fresh makes void what has been restated, and makes the newest points that are
// due. Errors of single rules are logged and counted.
func (c *Collector) Fresh(ctx context.Context) error {
	if err := c.restate(ctx); err != nil {
		c.cfg.Store.doubt()
		return err
	}
	c.welcome()
	now := c.cfg.Now().UnixMilli()
	c.cfg.Store.Forget(now)
	if err := c.cfg.Store.SweepUnused(); err != nil {
		c.cfg.Logger.Error("rollups that no rule keeps stay", "error", err)
	}
	if err := c.cfg.Store.RenewOffer(); err != nil {
		c.cfg.Logger.Error("parents are told of rollups that are kept no more", "error", err)
	}
	c.schedule(ctx, now)
	horizon, waits := c.horizon(now)
	c.waiting = waits
	// Not before they have been tried: points are late only then.
	defer func() { c.cfg.Store.setDue(horizon, c.gone) }()
	return c.each(ctx, freshOf, func(j *job) (querytree.Interval, bool) {
		runs := c.lacking(j, math.MinInt64, now, horizon)
		if len(runs) == 0 || runs[len(runs)-1].Maxt != down(horizon, j.step()) {
			c.rest(j, &j.fresh)
			return querytree.Interval{}, false
		}
		last := runs[len(runs)-1]
		last.Mint = max(last.Mint, last.Maxt-(c.batch(j.fresh)-1)*j.step())
		return last, true
	})
}

// slice is how long MakeGood begins new batches, and so how long fresh points wait
// and what has been restated stays readable, but for the batches under way.
const slice = time.Second

// MakeGood makes one batch of the oldest missing points of each rule, and reports
// whether there were any. If that takes long it ends early, and the next call goes
// on with the rules that have not had theirs.
func (c *Collector) MakeGood(ctx context.Context) bool {
	if err := c.complete(ctx); err != nil {
		return false // ctx has ended
	}
	begin, any, over := c.cfg.Now(), false, false
	now := begin.UnixMilli()
	horizon, waits := c.horizon(now)
	c.waiting = waits
	err := c.each(ctx, goodOf, func(j *job) (querytree.Interval, bool) {
		if over = over || c.cfg.Now().Sub(begin) >= slice; over || j.round > c.round {
			return querytree.Interval{}, false
		}
		j.round = c.round + 1
		runs := c.lacking(j, j.cursor, now, horizon)
		if len(runs) == 0 {
			j.cursor = math.MinInt64
			if runs = c.lacking(j, j.cursor, now, horizon); len(runs) == 0 {
				c.rest(j, &j.good)
				return querytree.Interval{}, false
			}
		}
		first := runs[0]
		first.Maxt = min(first.Maxt, first.Mint+(c.batch(j.good)-1)*j.step())
		if j.after = first.Maxt + j.step(); first.Maxt == runs[len(runs)-1].Maxt {
			j.after = math.MinInt64 // or it would follow the newest points for ever
		}
		any = true
		return first, true
	})
	if !over {
		c.round++
	}
	return (any || over) && err == nil
}

func (j *job) step() int64 { return j.keep.Every.Milliseconds() }

// lacking returns the runs of points that are owed and not there, from a time on.
func (c *Collector) lacking(j *job, from, now, horizon int64) []querytree.Interval {
	since, ok := c.cfg.Store.OwedSince(j.rule)
	if !ok {
		return nil
	}
	from = max(from, since, now-j.keep.For.Milliseconds()+j.step())
	return c.cfg.Store.lacks(j.rule, j.keep, from, horizon)
}

// schedule has a job for each rule and distance that the tier keeps. A rule that
// is new is owed from now on; one of which that cannot be noted is tried again.
func (c *Collector) schedule(ctx context.Context, now int64) {
	s := c.cfg.Store
	current := map[keptKey]bool{}
	for _, r := range s.Rules().All() {
		keeps := r.Keep[s.cfg.Tier]
		var failed error
		if _, ok := s.OwedSince(r); !ok && len(keeps) > 0 {
			failed = s.Owe(ctx, r, up(now, r.Interval))
		}
		for _, k := range keeps {
			key := keptKey{r.ID, k}
			if current[key] = true; c.jobs[key] == nil {
				c.jobs[key] = &job{rule: r, keep: k, cursor: math.MinInt64}
			}
			c.jobs[key].rule = r // its name and other distances may have changed
			if failed != nil {
				c.note(c.jobs[key], failed.Error())
			}
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for key := range c.jobs {
		if !current[key] {
			delete(c.jobs, key)
			delete(c.failing, key)
		}
	}
}

// welcome ends the back-off of all rules once somebody who was missing is back:
// what failed for want of it need not wait longer.
// It notes who is missing.
func (c *Collector) welcome() {
	if c.cfg.Missing == nil {
		return
	}
	a := c.absences()
	gone := slices.Sorted(slices.Values(a.names))
	if err := c.cfg.Past.miss(a, moment{c.cfg.Now(), c.cfg.Uptime()}); err != nil {
		c.cfg.Logger.Error("rollups wait for children anew after a restart", "error", err)
	}
	back := slices.ContainsFunc(c.gone, func(name string) bool {
		_, missing := slices.BinarySearch(gone, name)
		return !missing
	})
	c.gone = gone
	if !back {
		return
	}
	for _, j := range c.jobs {
		j.fresh, j.good, j.whole = pace{}, pace{}, pace{}
	}
}

// each makes the run of points that next says of each job, several at once, at that
// pace.
func (c *Collector) each(ctx context.Context, of func(*job) *pace, next func(*job) (querytree.Interval, bool)) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(c.cfg.Parallel)
	for _, j := range c.order() {
		if c.cfg.Now().Before(of(j).until) {
			continue
		}
		if run, ok := next(j); ok {
			g.Go(func() error { return c.try(ctx, j, of(j), run) })
		}
	}
	return g.Wait()
}

// order is that in which rules are made: finer ones first, which coarser ones may
// be read from.
func (c *Collector) order() []*job {
	out := make([]*job, 0, len(c.jobs))
	for _, j := range c.jobs {
		out = append(out, j)
	}
	slices.SortFunc(out, func(a, b *job) int {
		if a.keep.Every != b.keep.Every {
			return int(a.keep.Every/time.Second) - int(b.keep.Every/time.Second)
		}
		return strings.Compare(a.rule.ID, b.rule.ID)
	})
	return out
}
