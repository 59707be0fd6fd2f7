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
	// turn is which of the partial runs is looked at next.
	turn int
	// gone are those who were missing in the last round; waiting: some of them are
	// waited for, however old a point is.
	gone    []string
	waiting bool

	mu      sync.Mutex
	failing map[keptKey]string
	// blocked says of points that are not read why they could not be made void.
	blocked map[keptKey]string
	made    map[string]made // by the ID of the rule
}

// job is how far the points of one rule at one distance are. It is used by one
// goroutine at a time.
type job struct {
	rule *rollup.Rule
	keep rollup.Keep
	// cursor is where to look for missing points, so that one that cannot be made
	// does not hold up others.
	cursor int64
	// failed counts failures since the last success; not before until is the next
	// attempt.
	failed int
	until  time.Time
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
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	c := &Collector{cfg: cfg, metrics: newCollectorMetrics(cfg.Registerer), jobs: map[keptKey]*job{}, failing: map[keptKey]string{}, blocked: map[keptKey]string{}, made: map[string]made{}}
	if cfg.Registerer != nil {
		if err := cfg.Registerer.Register(newTotals(c)); err != nil {
			return nil, fmt.Errorf("rollups: register metrics: %w", err)
		}
	}
	return c, nil
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
	return c.each(ctx, func(j *job) (querytree.Interval, bool) {
		runs := c.lacking(j, math.MinInt64, now, horizon)
		if len(runs) == 0 || runs[len(runs)-1].Maxt != down(horizon, j.step()) {
			return querytree.Interval{}, false
		}
		last := runs[len(runs)-1]
		last.Mint = max(last.Mint, last.Maxt-int64(c.cfg.Batch-1)*j.step())
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
	err := c.each(ctx, func(j *job) (querytree.Interval, bool) {
		if over = over || c.cfg.Now().Sub(begin) >= slice; over || j.round > c.round {
			return querytree.Interval{}, false
		}
		j.round = c.round + 1
		runs := c.lacking(j, j.cursor, now, horizon)
		if len(runs) == 0 {
			j.cursor = math.MinInt64
			if runs = c.lacking(j, j.cursor, now, horizon); len(runs) == 0 {
				return querytree.Interval{}, false
			}
		}
		first := runs[0]
		first.Maxt = min(first.Maxt, first.Mint+int64(c.cfg.Batch-1)*j.step())
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
	gone := c.cfg.Missing()
	slices.Sort(gone)
	if err := c.cfg.Past.miss(gone, c.cfg.Now()); err != nil {
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
		j.failed, j.until = 0, time.Time{}
	}
}

// each makes the run of points that next says of each job, several at once.
func (c *Collector) each(ctx context.Context, next func(*job) (querytree.Interval, bool)) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(c.cfg.Parallel)
	for _, j := range c.order() {
		if c.cfg.Now().Before(j.until) {
			continue
		}
		if run, ok := next(j); ok {
			g.Go(func() error { return c.try(ctx, j, run) })
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

// Back-off of rules whose points cannot be made.
const (
	minBackoff = time.Second
	maxBackoff = 30 * time.Second
)

// try makes a run of points, and notes how it went. Its error is that of ctx: what
// happens to one rule does not keep others from being made.
func (c *Collector) try(ctx context.Context, j *job, run querytree.Interval) error {
	err := c.make(ctx, j, run)
	if err == nil {
		j.failed = 0
		c.note(j, "")
		return nil
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	j.cursor = run.Maxt + j.step()
	c.backOff(j, run, err)
	return nil
}

// backOff notes that points could not be made.
func (c *Collector) backOff(j *job, run querytree.Interval, err error) {
	c.metrics.failures.Inc()
	c.note(j, err.Error())
	j.failed++
	j.until = c.cfg.Now().Add(min(maxBackoff, minBackoff<<min(j.failed-1, 5)))
	level := slog.LevelDebug
	if broken := (*storeError)(nil); errors.As(err, &broken) {
		level = slog.LevelError // of this tier's disk, not of somebody below
	}
	c.cfg.Logger.Log(context.Background(), level, "rollup cannot be made yet", "rule", j.rule.Name, "from", run.Mint, "to", run.Maxt, "error", err)
}

// note keeps why the last attempt of a rule failed.
func (c *Collector) note(j *job, why string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if key := (keptKey{j.rule.ID, j.keep}); why == "" {
		delete(c.failing, key)
	} else {
		c.failing[key] = why
	}
}

// storeError says that points could not be stored.
type storeError struct{ err error }

func (e *storeError) Error() string { return e.err.Error() }
func (e *storeError) Unwrap() error { return e.err }

// make makes the points of a run: those for which nobody is waited any more apart
// from the others.
func (c *Collector) make(ctx context.Context, j *job, run querytree.Interval) error {
	if c.waiting {
		return c.evaluate(ctx, j, run, true)
	}
	held := down(c.cfg.Now().Add(-c.cfg.Hold).UnixMilli(), j.step())
	if run.Mint <= held && held < run.Maxt {
		return errors.Join(c.evaluate(ctx, j, querytree.Interval{Mint: run.Mint, Maxt: held}, false),
			c.evaluate(ctx, j, querytree.Interval{Mint: held + j.step(), Maxt: run.Maxt}, true))
	}
	return c.evaluate(ctx, j, run, run.Maxt > held)
}

// evaluate asks for the points and stores them. What warns is split until it is
// known of each point whether it does.
func (c *Collector) evaluate(ctx context.Context, j *job, run querytree.Interval, strict bool) error {
	b, fit, err := c.ask(ctx, j, run, strict)
	if err != nil {
		return err
	}
	if !fit && run.Mint < run.Maxt {
		middle := run.Mint + (run.Maxt-run.Mint)/j.step()/2*j.step()
		return errors.Join(c.evaluate(ctx, j, querytree.Interval{Mint: run.Mint, Maxt: middle}, strict),
			c.evaluate(ctx, j, querytree.Interval{Mint: middle + j.step(), Maxt: run.Maxt}, strict))
	}
	if !fit {
		b.state, b.series, b.missing = unfit, nil, ""
	}
	var early error
	if last := down(c.cfg.Final(), j.step()); b.state != partial && run.Maxt > last {
		// Nobody would tell of a change to a whole point that is not final.
		early = errors.New("samples are not final yet, although nobody is away")
		if b.to = last; b.to < b.from {
			return early
		}
	}
	if err := c.cfg.Store.write(ctx, j.rule, b); err != nil {
		return &storeError{err}
	}
	c.metrics.points.WithLabelValues(b.state.mark()).Add(float64((b.to-b.from)/b.step + 1))
	c.noteSeries(j, b)
	return early
}

// made is how many series the newest batch of points of a rule has that was made.
type made struct {
	to     int64
	series int
}

// noteSeries keeps how many series a batch of points has, if there is no newer one.
func (c *Collector) noteSeries(j *job, b batch) {
	n := 0
	for _, s := range b.series {
		if op := s.Metric.Get(querytree.OpLabel); op == "" || op == j.rule.Ops[0] {
			n++
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	// Those of greater distances are among the points of smaller ones.
	if id := j.rule.ID; b.state != unfit && b.to >= c.made[id].to {
		c.made[id] = made{b.to, n}
	}
}

// ask evaluates the rule. The points are not fit if there is more to say of them
// than a query would be told.
func (c *Collector) ask(ctx context.Context, j *job, run querytree.Interval, strict bool) (batch, bool, error) {
	b := batch{from: run.Mint, to: run.Maxt, step: j.step(), state: whole}
	req := querytree.ExecRequest{
		Options: querytree.Options{ID: "rollup " + j.rule.ID, Client: "rollups", Strict: strict, NoCache: true},
		Query:   j.rule.Text(), Start: run.Mint, End: run.Maxt, Step: j.step(), Lookback: c.cfg.Lookback,
	}
	if len(j.rule.Ops) > 1 {
		req.Ops = j.rule.Ops
	}
	set, err := c.cfg.Source.Exec(ctx, req)
	if err != nil {
		return b, false, err
	}
	defer set.Close()
	for set.Next() {
		b.series = append(b.series, set.At())
	}
	if err := set.Err(); err != nil {
		return b, false, err
	}
	if missing := set.Report().Missing(); len(missing) > 0 {
		if strict || c.waits() { // who has just gone is waited for, too
			return b, false, fmt.Errorf("%q did not answer", missing)
		}
		b.state, b.missing = partial, missingText(set.Report(), missing[:min(len(missing), maxNamed)])
	}
	for _, w := range set.Warnings() {
		if !j.rule.Foretold(w) && !strings.HasPrefix(w.Error(), "partial answer") {
			return b, false, nil
		}
	}
	return b, true, nil
}

// maxNamed bounds the names of who had no part in a point.
const maxNamed = 20
