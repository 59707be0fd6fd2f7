package querytree

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/timestamp"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/util/annotations"
)

// MixerConfig is what a Mixer is made of.
type MixerConfig struct {
	// Describe returns the tier's own description; it must not block.
	Describe func() Description
	// Members returns a snapshot of the children, which the Mixer does not
	// change. It must not block.
	Members func() []Member
	// Nodes describes the children for the live tree; nil makes do with what
	// Members tells.
	Nodes func() []Node
	// Pruner rules out children; nil switches field hints off.
	Pruner Pruner
	// Cache answers range queries from earlier answers; nil switches it off.
	Cache Cache
	// Rewriter knows the tier's rollups; nil if it has none.
	Rewriter Rewriter
	// Own is what the tier holds under names of its own; nil if there is nothing.
	Own *Own
	// Childless reports whether a tier that has no members is known to have none,
	// so that there are no series below it; nil if that is never known.
	Childless func() bool
	// Limits are the tier's own.
	Limits Limits
	// Lookback is the lookback delta of requests that name none.
	Lookback time.Duration
	// SubqueryStep is the resolution of subqueries that name none.
	SubqueryStep time.Duration
	// DelayedNameRemoval and UseStartTimestamps are the engine's options of
	// those names; they must be the same in all tiers.
	DelayedNameRemoval, UseStartTimestamps bool
	// StrictByDefault makes requests strict that came without Options.
	StrictByDefault bool
	// Logger and Registerer may be nil.
	Logger     *slog.Logger
	Registerer prometheus.Registerer
}

// Validate reports what is missing or out of range.
func (c MixerConfig) Validate() error {
	switch {
	case c.Describe == nil || c.Members == nil:
		return errors.New("mixer: describe and members are required")
	case c.Lookback <= 0:
		return errors.New("--query.lookback-delta must be greater than zero")
	case c.SubqueryStep <= 0:
		return errors.New("mixer: the default subquery step must be greater than zero")
	}
	return c.Limits.Validate()
}

// Mixer is a Child made of Children: it plans a query, asks the children that
// may have something to say, and evaluates what is left with the stock engine.
// It is safe for concurrent use.
type Mixer struct {
	cfg     MixerConfig
	gate    *Gate // of queries
	reads   *Gate // of names, metadata and exemplars
	memory  *Memory
	tickets *ticketParser
	engine  *promql.Engine
	metrics *mixerMetrics
	uses    *hintUses
	// latencies are those of replicas.
	latencies *latencies
	// name returns that of the tier, which does not change.
	name func() string
	// noHints switches the Pruner off.
	noHints bool
	latest  *latest[Mixer]
}

var _ Child = (*Mixer)(nil)

// NewMixer returns a Mixer.
func NewMixer(cfg MixerConfig) (*Mixer, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	m := &Mixer{cfg: cfg, tickets: &ticketParser{Parser: parsedOnce(NewParser())}, metrics: newMixerMetrics(cfg.Registerer), uses: newHintUses(cfg.Registerer), latencies: newLatencies(), latest: &latest[Mixer]{}}
	m.name = sync.OnceValue(func() string { return cfg.Describe().Name() })
	bounds := newBoundsMetrics(cfg.Registerer)
	m.gate, m.reads = newGate(queryGate, cfg.Limits, m.name, bounds), newGate(readGate, cfg.Limits, m.name, bounds)
	m.memory = newMemory(cfg.Limits, bounds)
	bounds.watchMemory(m.memory)
	m.engine = promql.NewEngine(EngineOpts(cfg, m.tickets))
	return m, nil
}

// EngineOpts returns the options of the stock engine that a tier evaluates
// with. All tiers must evaluate alike, so leaves use it too.
func EngineOpts(cfg MixerConfig, p parser.Parser) promql.EngineOpts {
	step := cfg.SubqueryStep.Milliseconds()
	return promql.EngineOpts{
		Logger:                   cfg.Logger,
		MaxSamples:               cfg.Limits.EngineSamples(),
		Timeout:                  cfg.Limits.Timeout,
		LookbackDelta:            cfg.Lookback,
		NoStepSubqueryIntervalFn: func(int64) int64 { return step },
		EnableAtModifier:         true,
		EnableNegativeOffset:     true,
		EnableDelayedNameRemoval: cfg.DelayedNameRemoval,
		UseStartTimestamps:       cfg.UseStartTimestamps,
		Parser:                   p,
	}
}

// Describe implements Child.
func (m *Mixer) Describe() Description { return m.cfg.Describe() }

// Mixer returns m, by its tuning of the moment. It lets an Engine find the tree
// behind a queryable that embeds one.
func (m *Mixer) Mixer() *Mixer { return m.now() }

// options completes the options of a request with the tier's own.
func (m *Mixer) options(o Options) Options {
	o.MaxSeries = lower(m.cfg.Limits.MaxSeries, o.MaxSeries)
	o.MaxSamples = lower(m.cfg.Limits.MaxSamples, o.MaxSamples)
	o.MaxBytes = lower(m.cfg.Limits.MaxBytes, o.MaxBytes)
	return o
}

func (m *Mixer) asking(o Options) *asking {
	o = m.options(o)
	return &asking{opts: o, soft: softDeadline(m.cfg.Limits.ChildDeadline, o.Budget), lost: &lost{}, limits: m.cfg.Limits}
}

// members returns the children to consider for samples of a time range; the
// replicas of one shard are one of them.
func (m *Mixer) members(mint, maxt int64, gone *lost) []Member {
	return m.joinReplicas(m.cfg.Members(), mint, maxt, gone)
}

func (m *Mixer) pruner(o Options) Pruner {
	if o.NoHints || m.noHints {
		return nil
	}
	return m.cfg.Pruner
}

// Exec implements Child.
func (m *Mixer) Exec(ctx context.Context, req ExecRequest) (ResultSet, error) {
	m = m.now()
	if len(req.Ops) > 0 {
		return m.execOps(ctx, req)
	}
	return m.execWhole(ctx, req)
}

func (m *Mixer) execWhole(ctx context.Context, req ExecRequest) (ResultSet, error) {
	ctx, budget := m.budget(ctx, req.Options)
	value, warn, report, err := m.eval(ctx, req, &trail{})
	if err != nil {
		budget.Close()
		return nil, err
	}
	if value == nil { // only explained
		budget.Close()
		return NewMatrixSet(nil, warn, report), nil
	}
	mat, err := matrixOf(value)
	if err == nil && len(req.Ops) > 0 && req.ByGroup {
		err = groupedByOp(ctx, mat)
	}
	if err != nil {
		budget.Close()
		return nil, fmt.Errorf("exec on %q: %w", m.name(), err)
	}
	return heldSet{NewMatrixSet(mat, warn, report), budget}, nil
}

// maxReplans bounds how often a query is planned again because answers could
// not be merged; the last attempt pushes nothing down.
const maxReplans = 4

// maxTears bounds how often a query is asked again because something below a
// child broke off between two of its fragments.
const maxTears = 3

// eval evaluates a query and returns a value of its type, which the caller owns;
// there is none if the query is only to be explained. It notes in t how it went.
// The context has to carry a budget, in which the value is what is left.
func (m *Mixer) eval(ctx context.Context, req ExecRequest, t *trail) (parser.Value, annotations.Annotations, Report, error) {
	t.begin = time.Now()
	defer func() { m.metrics.duration.Observe(time.Since(t.begin).Seconds()) }()
	expr, err := m.parse(req.Query)
	if err != nil {
		return nil, nil, Report{}, err
	}
	ctx, cancel := m.cfg.Limits.timed(ctx, req.Options, m.name())
	defer cancel()
	if req.Lookback == 0 {
		req.Lookback = m.cfg.Lookback.Milliseconds()
	}
	// What is only explained has no answer that a cache could have, or keep.
	if m.cfg.Cache != nil && req.Step > 0 && req.Explain != ExplainPlan {
		if m.mostlyRolled(expr, req) {
			return m.pastCache(ctx, req, t)
		}
		value, warn, report, err := m.cached(ctx, req, expr, t)
		return value, warn, report, ofTime(ctx, err)
	}
	return m.evaluate(ctx, req, t)
}

// evaluate evaluates a query when it is its turn.
func (m *Mixer) evaluate(ctx context.Context, req ExecRequest, t *trail) (parser.Value, annotations.Annotations, Report, error) {
	leave, err := m.gate.Enter(ctx, req.Client)
	if err != nil {
		return nil, nil, Report{}, err
	}
	defer leave()
	t.queued = time.Since(t.begin)
	value, warn, report, err := m.attempts(ctx, req, t)
	return value, warn, report, m.settle(ctx, value, err)
}

// attempts evaluates the query, planning again without the fragments that could
// not be merged.
func (m *Mixer) attempts(ctx context.Context, req ExecRequest, t *trail) (parser.Value, annotations.Annotations, Report, error) {
	banned, gone, tears := map[string]bool{}, &lost{}, 0
	for attempt := 0; ; {
		req.Options = req.Options.within(ctx)
		planning := time.Now()
		e, err := m.newExecution(req, banned, gone)
		if err != nil {
			return nil, nil, Report{}, err
		}
		t.planned(e, time.Since(planning))
		if req.Explain == ExplainPlan {
			return nil, nil, e.explainPlan(ctx, t), nil
		}
		value, warn, err := e.attempt(ctx)
		var sw *switched
		if errors.As(err, &sw) {
			m.cfg.Logger.Debug("query evaluated again", "query", req.Query, "id", req.ID, "reason", sw)
			continue
		}
		var nm *notMergeable
		if err == nil || !errors.As(err, &nm) {
			report := e.report()
			m.metrics.observe(e.plan, report, err)
			m.uses.observe(e)
			t.done(value)
			if req.Explain == ExplainAnalyze {
				report.Explanation = t.explanation()
			}
			return value, warn, report, err
		}
		m.metrics.replans.Inc()
		m.cfg.Logger.Debug("query planned again", "query", req.Query, "id", req.ID, "reason", nm.why)
		t.again(nm)
		if nm.again {
			continue // each time with a member less
		}
		if nm.torn {
			tears++ // what goes on breaking off is named, at least
			gone.mu.Lock()
			gone.torn = tears > maxTears
			gone.mu.Unlock()
			continue
		}
		banned[nm.fragment.key] = true
		for _, key := range nm.fragment.keys {
			banned[key] = true
		}
		if attempt++; attempt > maxReplans {
			req.NoPushdown = true
		}
	}
}

// parse checks and parses a query, and makes explicit what depends on the
// configuration of the tier that evaluates it.
func (m *Mixer) parse(query string) (parser.Expr, error) {
	if err := m.cfg.Limits.CheckQueryAt(m.name(), query); err != nil {
		return nil, err
	}
	expr, err := m.tickets.Parser.ParseExpr(query)
	if err != nil {
		return nil, err
	}
	parser.Inspect(expr, func(n parser.Node, _ []parser.Node) error {
		if sq, ok := n.(*parser.SubqueryExpr); ok && sq.Step == 0 && sq.StepExpr == nil {
			sq.Step = m.cfg.SubqueryStep
		}
		return nil
	})
	return expr, nil
}

// timeRange returns the times of the samples that a query looks at.
func (m *Mixer) timeRange(req ExecRequest) (mint, maxt int64, err error) {
	expr, err := m.parse(req.Query)
	if err != nil {
		return 0, 0, err
	}
	start, end, step := timestamp.Time(req.Start), timestamp.Time(req.End), time.Duration(req.Step)*time.Millisecond
	if expr, err = promql.PreprocessExpr(expr, start, end, step); err != nil {
		return 0, 0, err
	}
	mint, maxt = promql.FindMinMaxTime(&parser.EvalStmt{
		Expr: expr, Start: start, End: end, Interval: step, LookbackDelta: time.Duration(req.Lookback) * time.Millisecond,
	})
	if mint == 0 && maxt == 0 {
		return math.MinInt64, math.MaxInt64, nil // no selector, or all at the epoch
	}
	return mint, maxt, nil
}

// newExecution plans a query. It parses anew, since the engine leaves series
// behind in the expression that it evaluated.
func (m *Mixer) newExecution(req ExecRequest, banned map[string]bool, gone *lost) (*execution, error) {
	expr, err := m.parse(req.Query)
	if err != nil {
		return nil, err
	}
	mint, maxt, err := m.timeRange(req)
	if err != nil {
		return nil, err
	}
	members := m.withOwn(m.members(mint, maxt, gone))
	e := &execution{m: m, req: req, members: members, ask: m.asking(req.Options), held: &atomic.Int64{}}
	e.ask.lost = gone
	e.req.Options = e.ask.opts
	e.prune = newPruning(members, m.pruner(req.Options), mint, maxt)
	e.prune.own = m.cfg.Own
	if e.plan = m.plan(req, expr, e.prune, banned); e.plan == nil {
		return nil, errSeparately
	}
	if err := m.cfg.Limits.checkFragments(len(e.plan.Fragments), m.name()); err != nil {
		return nil, err
	}
	e.prune.spare(e.plan)
	e.selects = mint != math.MinInt64 || maxt != math.MaxInt64
	return e, nil
}

// plan prunes for each selector, then plans. It returns nil if several operators
// cannot be answered together.
func (m *Mixer) plan(req ExecRequest, expr parser.Expr, prune *pruning, banned map[string]bool) *Plan {
	p := &Planner{
		members: prune.members, candidates: map[*parser.VectorSelector]bitset{}, keyLabels: keyLabelsOf(prune.members),
		delayedNames: m.cfg.DelayedNameRemoval, banned: banned, off: req.NoPushdown, query: req.Query, stats: req.Stats,
		parse: m.tickets.Parser.ParseExpr, grid: grid{req.Start, req.End, req.Step}, maxLength: m.cfg.Limits.MaxQueryLength,
	}
	if m.cfg.Rewriter != nil && !req.NoRollup {
		p.rollups = newRollups(m.cfg.Rewriter, req)
	}
	parser.Inspect(expr, func(n parser.Node, path []parser.Node) error {
		switch n := n.(type) {
		case *parser.VectorSelector:
			mint, maxt := m.selectorRange(req, n, path)
			p.candidates[n] = prune.candidatesAt(n.LabelMatchers, mint, maxt)
		case *parser.Call:
			if n.Func.Name == "info" && len(n.Args) == 1 {
				p.targetInfo = prune.candidates([]*labels.Matcher{labels.MustNewMatcher(labels.MatchEqual, labels.MetricName, targetInfo)})
			}
		}
		return nil
	})
	if len(req.Ops) > 0 {
		return p.planOps(expr, req.Ops)
	}
	return p.plan(expr)
}
