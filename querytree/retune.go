package querytree

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/storage"
)

// Tuning is what may change of a tier while it answers. Requests that come after
// a change are answered by it; those that are at work end as they began.
type Tuning struct {
	// Limits replace the tier's own, but for Limits.ProcessBytes.
	Limits Limits
	// Lookback is the lookback delta of requests that name none.
	Lookback time.Duration
	// StrictByDefault makes requests strict that came without Options, NoHints
	// prunes for none of them. Only a Mixer has them.
	StrictByDefault, NoHints bool
}

// Validate reports the first setting that cannot be used.
func (t Tuning) Validate() error {
	if t.Lookback <= 0 {
		return errors.New("--query.lookback-delta must be greater than zero")
	}
	return t.Limits.Validate()
}

// latest is what a Mixer or Local shares with those that are the same but for
// their tuning: the one to answer by.
type latest[T any] struct{ p atomic.Pointer[T] }

// or returns the latest, or else the first.
func (l *latest[T]) or(first *T) *T {
	if l != nil {
		if t := l.p.Load(); t != nil {
			return t
		}
	}
	return first
}

// now returns the Mixer to answer by.
func (m *Mixer) now() *Mixer { return m.latest.or(m) }

// Retune changes the Mixer's tuning. It may be called while requests are answered,
// by one goroutine at a time.
func (m *Mixer) Retune(t Tuning) error {
	if err := t.Validate(); err != nil {
		return err
	}
	t.Limits.ProcessBytes = m.cfg.Limits.ProcessBytes
	next := *m
	next.cfg.Limits, next.cfg.Lookback, next.cfg.StrictByDefault, next.noHints = t.Limits, t.Lookback, t.StrictByDefault, t.NoHints
	next.engine = promql.NewEngine(EngineOpts(next.cfg, m.tickets))
	m.gate.resize(t.Limits)
	m.reads.resize(t.Limits)
	m.memory.retune(t.Limits)
	m.latest.p.Store(&next)
	return nil
}

// now returns the Local to answer by.
func (l *Local) now() *Local { return l.latest.or(l) }

// Retune changes the Local's tuning. It needs to have been made with EngineOpts,
// whose registerer gets the metrics of another engine. It may be called while
// requests are answered, by one goroutine at a time.
func (l *Local) Retune(t Tuning) error {
	if err := t.Validate(); err != nil {
		return err
	}
	if l.cfg.EngineOpts == nil {
		return errors.New("local child: without the options of its engine its limits cannot be changed")
	}
	t.Limits.ProcessBytes = l.cfg.Limits.ProcessBytes
	opts := *l.cfg.EngineOpts
	opts.MaxSamples, opts.Timeout, opts.LookbackDelta = t.Limits.EngineSamples(), t.Limits.Timeout, t.Lookback
	next, bounded := *l, *l.bounded
	next.cfg.Limits, next.cfg.EngineOpts, next.cfg.Engine = t.Limits, &opts, promql.NewEngine(opts)
	next.engine = l.engineOfParts(opts)
	bounded.limits, bounded.engine = t.Limits, next.cfg.Engine
	next.bounded = &bounded
	l.bounded.gate.resize(t.Limits)
	l.reads.resize(t.Limits)
	l.bounded.memory.retune(t.Limits)
	l.latest.p.Store(&next)
	return nil
}

// localEngine is the bounded engine of a Local, by its tuning of the moment.
type localEngine struct{ l *Local }

// NewInstantQuery implements promql.QueryEngine.
func (e localEngine) NewInstantQuery(ctx context.Context, q storage.Queryable, opts promql.QueryOpts, qs string, ts time.Time) (promql.Query, error) {
	return e.l.now().bounded.NewInstantQuery(ctx, q, opts, qs, ts)
}

// NewRangeQuery implements promql.QueryEngine.
func (e localEngine) NewRangeQuery(ctx context.Context, q storage.Queryable, opts promql.QueryOpts, qs string, start, end time.Time, interval time.Duration) (promql.Query, error) {
	return e.l.now().bounded.NewRangeQuery(ctx, q, opts, qs, start, end, interval)
}

// Retune changes the tuning of queries that rollups have a part in. That of the
// Local, which has a Retune of its own, has to be changed before.
func (r *Rolled) Retune(t Tuning) error {
	t.Limits.ChildDeadline = t.Limits.Timeout // as in NewRolled
	return r.mixer.Retune(t)
}

// UseRollups says whether rollups have a part in answers, as they do at first. It
// is safe for concurrent use.
func (r *Rolled) UseRollups(yes bool) { r.off.Store(!yes) }

// Retune says how many cores one query may use from now on, as in NewCores.
func (c *Cores) Retune(n int) error {
	other, err := NewCores(n)
	if err == nil {
		c.limit.Store(other.limit.Load())
	}
	return err
}

// Retune says whether heavy queries run at low priority from now on.
func (t *Turns) Retune(low bool) { t.low.Store(low) }
