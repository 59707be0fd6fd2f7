package gitops

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"github.com/pandometrics/pando/gitops/wave"
)

// Loop is the control loop of one cluster.
type Loop struct {
	cfg     Config
	deps    Deps
	logger  *slog.Logger
	tracer  trace.Tracer
	metrics *metrics
	store   *store
	wake    chan struct{}
	past    archive
	// sleep waits, and spawn lets something run beside the turns; both are replaced
	// by tests.
	sleep func(ctx context.Context, d time.Duration) error
	spawn func(f func())

	mu    sync.Mutex // guards what follows; steps hold it for moments only
	state *State
	view  view

	// What follows belongs to the goroutine that takes turns.
	errands  errands         // to the repository
	fetchAt  time.Time       // when to look at the repository
	lookedAt time.Time       // when it was looked at last
	failures int             // fetches in a row that may be tried again
	seen     string          // looked at already, good or bad
	older    map[string]bool // revisions that do not descend from what runs
	retries  int             // deliveries in a row that failed
	tried    attempts        // at the delivery under way, by this process
	blocked  bool            // the delivery under way failed, and is tried again
	healthy  bool            // the workload runs what it should, or nothing yet
	gatesAt  time.Time       // when they were asked last during a delivery
	// silentSince is since when the workload cannot be asked, zero if it can.
	silentSince time.Time
	begins      bool // the workload waits for what is delivered first
}

// view is what the loop knows of this moment, and does not need to remember.
type view struct {
	decision wave.Decision
	fleet    *wave.Fleet
	stalled  *Problem
	problems map[string]string // by step: what went wrong last
	hurry    bool              // somebody said that there is a new commit
	gates    map[string]asked  // by key: the last answer of each
}

// Problem is what has to be changed before a revision can be used.
type Problem struct {
	Revision string    `json:"revision,omitempty"`
	Reason   string    `json:"reason"`
	Message  string    `json:"message"`
	At       time.Time `json:"at"`
}

// New opens the state. Close must be called when the loop is done with.
func New(cfg Config, deps Deps) (*Loop, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	deps, err := deps.withDefaults()
	if err != nil {
		return nil, err
	}
	l := &Loop{
		cfg: cfg, deps: deps, logger: deps.Logger.With("cluster", cfg.Cluster),
		tracer: deps.Tracer.Tracer("github.com/pandometrics/pando/gitops"),
		wake:   make(chan struct{}, 1), sleep: sleep, older: map[string]bool{},
		past: newArchive(),
	}
	l.errands.answers = make(chan answer, 1)
	l.spawn = func(f func()) { l.errands.running.Go(f) }
	l.view.problems, l.view.gates = map[string]string{}, map[string]asked{}
	if l.store, l.state, err = openStore(cfg.StateDir, cfg.Cluster); err != nil {
		return nil, err
	}
	if l.state.Newest != nil {
		l.seen = l.state.Newest.Revision
	}
	if l.metrics, err = newMetrics(deps.Registerer, l); err != nil {
		return nil, errors.Join(err, l.store.close())
	}
	return l, nil
}

// Close releases the state.
func (l *Loop) Close() error {
	l.metrics.unregister()
	return l.store.close()
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}

// Run takes turns until ctx ends. It may be called once.
func (l *Loop) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer l.errands.running.Wait()
	defer cancel()
	for l.rest(ctx, l.turn(ctx)) {
	}
	return nil
}

// Begin takes turns until there is something where the loop delivers to. It is
// for who starts the workload only then, and is called before Run.
func (l *Loop) Begin(ctx context.Context) error {
	target, ok := l.deps.Deliverer.(Blank)
	if !ok {
		return nil
	}
	ctx, cancel := context.WithCancel(ctx)
	defer func() {
		cancel()
		l.errands.running.Wait()
		l.receive() // what the end of ctx has cut short is asked for again
		l.errands.newest, l.errands.at, l.begins = nil, nil, false
	}()
	for l.begins = true; ; {
		if blank, err := target.Blank(ctx); err != nil || !blank {
			return err
		}
		if !l.rest(ctx, l.turn(ctx)) {
			return fmt.Errorf("wait for the first configuration of cluster %q: %w: %s", l.cfg.Cluster, ctx.Err(), l.Status().Doing)
		}
	}
}

// rest waits for the next turn, and tells whether there is one.
func (l *Loop) rest(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-l.wake:
	case <-t.C:
	}
	return ctx.Err() == nil
}

// jittered spreads the loops of a planet: d, give or take a fifth.
func (l *Loop) jittered(d time.Duration) time.Duration {
	return time.Duration(float64(d) * (0.8 + 0.4*l.deps.Jitter()))
}

// poke begins the next turn now.
func (l *Loop) poke() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// turn takes all steps, and returns the time until the next.
func (l *Loop) turn(ctx context.Context) time.Duration {
	ctx, span := l.tracer.Start(ctx, "gitops turn")
	defer span.End()
	l.receive()
	l.act(ctx) // before the repository's answer: a return must not wait for it
	if l.errands.newest == nil && l.due() {
		l.fetch(ctx)
	}
	if a := l.errands.newest; a != nil {
		l.errands.newest = nil
		before, _ := l.heard()
		l.stepSince(ctx, "fetch", a.sent, func(context.Context) error { return l.fetched(a) })
		// While a gate fails it is for the next turn: asking it again at once
		// would be asking about the same moment.
		if after, failing := l.heard(); after != before && !failing {
			l.act(ctx)
		}
	}
	return l.pause()
}

// act does what is to be done with what is known.
func (l *Loop) act(ctx context.Context) {
	if l.pending() != nil {
		l.step(ctx, "deliver", l.resume)
	}
	if l.pending() == nil {
		l.step(ctx, "confirm", l.correct)
		l.step(ctx, "decide", l.decide)
	}
}

// heard returns the newest revision, and whether a gate failed just now.
func (l *Loop) heard() (newest string, failing bool) {
	l.peek(func(s *State) { newest, failing = s.newest(), len(s.Memory.Failed) > 0 })
	return newest, failing
}

// hurryInterval is the least time between two looks at the repository.
const hurryInterval = time.Second

// pause is the time until the next turn.
func (l *Loop) pause() time.Duration {
	l.mu.Lock()
	soon, pending, hurry := l.view.decision.Soon, l.state.Pending != nil, l.view.hurry
	l.mu.Unlock()
	d := l.cfg.Interval
	if hurry {
		d = min(d, hurryInterval)
	}
	if soon || pending {
		d = min(d, l.cfg.RolloutInterval)
	}
	if l.retries > 0 {
		d = min(d, backoff(l.retries, l.cfg.RolloutInterval))
	}
	d = l.jittered(d)
	if until := l.fetchAt.Sub(l.deps.Now()); until > 0 && until < d {
		d = until
	}
	return max(d, 50*time.Millisecond)
}

// backoff doubles from a second up to most.
func backoff(failures int, most time.Duration) time.Duration {
	return min(most, time.Second<<min(failures-1, 10))
}

// step takes one step, and remembers how it went.
func (l *Loop) step(ctx context.Context, name string, f func(context.Context) error) {
	l.stepSince(ctx, name, time.Now(), f)
}

// stepSince takes a step a part of which is done.
func (l *Loop) stepSince(ctx context.Context, name string, start time.Time, f func(context.Context) error) {
	ctx, span := l.tracer.Start(ctx, "gitops "+name)
	defer span.End()
	err := f(ctx)
	l.metrics.stepped(name, time.Since(start), err)
	text := ""
	if err != nil && ctx.Err() == nil {
		text = err.Error()
		span.SetStatus(codes.Error, text)
	}
	l.mu.Lock()
	before := l.view.problems[name]
	l.view.problems[name] = text
	l.mu.Unlock()
	switch {
	case text != "" && l.begins: // the workload is not there yet, and the root may not be
		l.logger.Debug("step of the control loop did not succeed", "step", name, "err", err)
	case text != "" && text != before: // once, not with every turn
		l.logger.Warn("step of the control loop did not succeed", "step", name, "err", err)
	case text == "" && before != "":
		l.logger.Info("step of the control loop succeeds again", "step", name)
	}
}

// change changes the state and writes it to the disk. If that fails, the state
// is what it was, and nothing that depends on the change may be done.
func (l *Loop) change(f func(s *State)) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	next, err := l.state.clone()
	if err != nil {
		return err
	}
	f(next)
	if err := l.store.save(next); err != nil {
		return err
	}
	l.state = next
	return nil
}

// peek reads the state.
func (l *Loop) peek(f func(s *State)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	f(l.state)
}

func (l *Loop) pending() *Pending {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.state.Pending == nil {
		return nil
	}
	p := *l.state.Pending
	return &p
}

// correct sees to it that what the workload has loaded is what it should have:
// somebody may have changed it, or put back an older copy.
func (l *Loop) correct(ctx context.Context) error {
	var revision, hash string
	partial := false
	l.peek(func(s *State) { revision, hash, partial = s.Running, s.RunningHash, s.Partial })
	l.healthy = revision == ""
	if l.healthy {
		return nil
	}
	loaded, err := l.deps.Confirmer.Loaded(ctx)
	if parts := mixed(err); len(parts) > 1 {
		loaded, err = strings.Join(parts, ", "), nil
	}
	if l.healthy = err == nil && loaded == hash; err != nil && !partial {
		err = fmt.Errorf("ask the workload what it has loaded: %w", err)
		return errors.Join(err, l.silent(revision, err))
	}
	l.silentSince = time.Time{}
	// What made way for another may be why a workload cannot be asked.
	if l.healthy && !partial {
		return nil
	}
	b := l.store.bundle(revision)
	if b == nil {
		return fmt.Errorf("the workload has loaded %.12q instead of %.12q, and the stored bundle of revision %.12s is gone", loaded, hash, revision)
	}
	if !partial {
		l.metrics.drift.Inc()
		l.logger.Warn("the workload does not run what it should: delivering that again", "loaded", loaded, "revision", revision)
	}
	if err := l.deps.Deliverer.Deliver(ctx, b); err != nil {
		// What is in the way of this one too may be what the next removes.
		l.healthy = l.healthy || partial && unavailable(err)
		return fmt.Errorf("deliver revision %.12s again: %w", revision, err)
	}
	if partial {
		return l.change(func(s *State) { s.Partial = false })
	}
	return nil
}

// silent rejects what has not proved itself if its workload cannot be asked for too
// long: it may be what the workload dies of. Nobody else can tell, for a gate lacks
// what the leaf would say.
func (l *Loop) silent(revision string, err error) error {
	now, limit := l.deps.Now(), l.cfg.SilenceTimeout
	if progressing(err) {
		limit = max(limit, l.cfg.ProgressTimeout)
	}
	if unavailable(err) {
		l.silentSince = time.Time{}
		return nil
	}
	if l.silentSince.IsZero() {
		l.silentSince = now
	}
	proven := false
	l.peek(func(s *State) {
		proven = slices.Contains(s.Good, revision) || len(s.Good) == 0 || s.Promoted == revision || s.Pinned == revision
	})
	if proven || now.Sub(l.silentSince) <= limit {
		return nil
	}
	why := fmt.Sprintf("the workload has not answered for %s since it runs this: %s", now.Sub(l.silentSince).Round(time.Second), err)
	return l.change(func(s *State) { s.reject(revision, why, now) })
}
