package querytree

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/metadata"
	"github.com/prometheus/prometheus/model/timestamp"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/util/annotations"
)

// LocalConfig is what a Local is made of.
type LocalConfig struct {
	// Engine evaluates; it is Prometheus' own.
	Engine promql.QueryEngine
	// EngineOpts are those that Engine was made with. With them, pieces of
	// queries are evaluated apart, in a way that costs less than to have the
	// engine evaluate the whole: see docs/decisions/0010-inside-the-leaf.md. If
	// nil, the engine evaluates everything, and neither FeatureOps nor FeatureStats
	// is supported.
	EngineOpts *promql.EngineOpts
	// Cores says how many cores one query may use; nil means one.
	Cores *Cores
	// Turns are those of the process; nil makes some of its own.
	Turns *Turns
	// Samples and Chunks are the same storage, with identity labels attached.
	Samples storage.Queryable
	Chunks  storage.ChunkQueryable
	// Exemplars may be nil: then there are none.
	Exemplars storage.ExemplarQueryable
	// Metadata returns the entries of one metric family, or of all if metric
	// is empty. It may be nil: then there are none.
	Metadata func(metric string) map[string][]metadata.Metadata
	// Describe returns the current description; it must not block.
	Describe func() Description
	// Limits are the tier's own. Engine should hold no more than
	// Limits.EngineSamples.
	Limits Limits
	// Registerer may be nil.
	Registerer prometheus.Registerer
}

// Validate reports what is missing.
func (c LocalConfig) Validate() error {
	if c.Engine == nil || c.Samples == nil || c.Chunks == nil || c.Describe == nil {
		return errors.New("local child: engine, samples, chunks and describe are required")
	}
	return c.Limits.Validate()
}

// Local is a Child over a storage in this process: what a leaf is to its
// parents. It is safe for concurrent use.
type Local struct {
	cfg LocalConfig
	// engine evaluates what is not the text of a query; nil without EngineOpts.
	engine *promql.Engine
	// tickets is the parser of engine, or if that is nil, of cfg.Engine if it is
	// known.
	tickets *ticketParser
	// partSteps is that of the constant, and onPart nil, but in tests.
	partSteps int
	onPart    func(number int) (done func())
	bounded   *boundedEngine
	reads     *Gate
	// self returns who it is, which does not change, and name its name.
	self func() Identity
	name func() string
	// odd knows queries of few steps that turned out to be unusual.
	odd    *heavyQueries
	latest *latest[Local]
}

var _ Child = (*Local)(nil)

// NewLocal returns a Child over the storage and engine of cfg.
func NewLocal(cfg LocalConfig) (*Local, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	l := &Local{cfg: cfg, partSteps: partSteps, odd: newHeavyQueries(), latest: &latest[Local]{}}
	l.self = sync.OnceValue(func() Identity { return cfg.Describe().Identity })
	l.name = sync.OnceValue(func() string { return l.self().Name() })
	if l.cfg.Cores == nil {
		l.cfg.Cores = newCores(1)
	}
	if cfg.EngineOpts != nil {
		l.tickets = &ticketParser{Parser: parsedOnce(cfg.EngineOpts.Parser)}
		l.engine = l.engineOfParts(*cfg.EngineOpts)
	}
	m := newBoundsMetrics(cfg.Registerer)
	l.reads = newGate(readGate, cfg.Limits, l.name, m)
	l.bounded = &boundedEngine{
		engine: cfg.Engine, parser: parsedOnce(NewParser()), limits: cfg.Limits, name: l.name,
		gate: newGate(queryGate, cfg.Limits, l.name, m), memory: newMemory(cfg.Limits, m), turns: newTurns(cfg.Turns, m),
	}
	m.watchMemory(l.bounded.memory)
	return l, nil
}

// engineOfParts returns the engine for parts of a query, which is counted and has
// its slot already.
func (l *Local) engineOfParts(opts promql.EngineOpts) *promql.Engine {
	opts.Parser, opts.Reg, opts.ActiveQueryTracker = l.tickets, nil, nil
	return promql.NewEngine(opts)
}

// Engine returns the engine within the bounds that queries through Exec have:
// concurrency, memory and turns, shared with these. It is for queries of the
// leaf's own users and rules; their Options come with the context.
func (l *Local) Engine() promql.QueryEngine { return localEngine{l} }

// Describe implements Child.
func (l *Local) Describe() Description { return l.cfg.Describe() }

// Exec implements Child with the stock engine, which evaluates either the whole
// query or, where that is cheaper, pieces of it.
func (l *Local) Exec(ctx context.Context, req ExecRequest) (ResultSet, error) {
	l = l.now()
	if err := l.cfg.Limits.CheckQueryAt(l.name(), req.Query); err != nil {
		return nil, err
	}
	if req.Explain == ExplainPlan {
		return l.explainPlan(ctx, req)
	}
	begin := time.Now()
	if len(req.Ops) > 0 && l.engine == nil {
		if err := checkOps(req); err != nil {
			return nil, fmt.Errorf("exec on %q: %w", l.name(), err)
		}
		return execEach(ctx, l, req, req.Ops)
	}
	work, err := l.bounded.admit(ctx, req.Options, l.bounded.measure(req.Query, grid{req.Start, req.End, req.Step}))
	if err != nil {
		return nil, err
	}
	defer work.end()
	l.cfg.Cores.enter()
	defer l.cfg.Cores.leave()
	var (
		m    promql.Matrix
		warn annotations.Annotations
	)
	work.turn.lowered(func() {
		if m, warn, err = l.evaluate(work.ctx, req); err == nil && len(req.Ops) > 0 && req.ByGroup {
			err = groupedByOp(work.ctx, m)
		}
	})
	if err == nil {
		err = l.checkSize(m, req.Options)
	}
	if err = work.settle(m, err); err != nil {
		return nil, err
	}
	return heldSet{NewMatrixSet(m, warn, l.explained(req, m, time.Since(begin))), work.budget}, nil
}

func (l *Local) evaluate(ctx context.Context, req ExecRequest) (promql.Matrix, annotations.Annotations, error) {
	if len(req.Ops) > 0 {
		return l.execOps(ctx, req)
	}
	if req.Stats {
		return l.execStats(ctx, req)
	}
	m, warn, err := l.execParts(ctx, req)
	if unusual(err) {
		return l.execStock(ctx, l.cfg.Engine, req, orderMatters(req.Query))
	}
	return m, warn, err
}

// execStock has an engine evaluate the whole query, over series sorted by labels
// or in the order of the storage.
func (l *Local) execStock(ctx context.Context, e promql.QueryEngine, req ExecRequest, sorted bool) (promql.Matrix, annotations.Annotations, error) {
	samples := &faultyQueryable{Queryable: l.cfg.Samples, sorted: sorted}
	q, err := newEngineQuery(ctx, e, samples, req)
	if err != nil {
		return nil, nil, fmt.Errorf("exec on %q: %w", l.name(), err)
	}
	// The query is not closed: the engine would recycle the points, which the
	// answer outlives.
	res := q.Exec(ctx)
	if res.Err != nil {
		return nil, nil, samples.fault(ctx, res.Err)
	}
	m, err := matrixOf(res.Value)
	if err != nil {
		return nil, nil, fmt.Errorf("exec on %q: %w", l.name(), err)
	}
	return m, res.Warnings, nil
}

func (l *Local) report(m promql.Matrix) Report {
	var r Report
	c := ChildReport{Series: int64(len(m)), Samples: pointsOf(m)}
	r.Add(l.name(), ChildReport{Tier: l.self().Tier, Verdict: Asked, Requests: 1, Series: c.Series, Samples: c.Samples})
	return r
}

func (l *Local) checkSize(m promql.Matrix, o Options) error {
	if limit := lower(l.cfg.Limits.MaxSeries, o.MaxSeries); limit > 0 && len(m) > limit {
		return tooMany("series of one request", flagMaxSeries, limit, len(m), l.name())
	}
	if limit := lower(l.cfg.Limits.MaxSamples, o.MaxSamples); limit > 0 && m.TotalSamples() > limit {
		return tooMany("samples of one query", flagMaxSamples, limit, m.TotalSamples(), l.name())
	}
	return nil
}

// newEngineQuery builds the engine's query for a request.
func newEngineQuery(ctx context.Context, e promql.QueryEngine, q storage.Queryable, req ExecRequest) (promql.Query, error) {
	opts := promql.NewPrometheusQueryOpts(false, time.Duration(req.Lookback)*time.Millisecond)
	if req.Step == 0 {
		return e.NewInstantQuery(ctx, q, opts, req.Query, timestamp.Time(req.Start))
	}
	return e.NewRangeQuery(ctx, q, opts, req.Query, timestamp.Time(req.Start), timestamp.Time(req.End), time.Duration(req.Step)*time.Millisecond)
}

// matrixOf turns any result of a vector or scalar expression into series on a
// grid, in the order of a ResultSet.
func matrixOf(v parser.Value) (promql.Matrix, error) {
	var m promql.Matrix
	switch v := v.(type) {
	case promql.Matrix:
		m = v
		sortSeries(m)
	case promql.Vector:
		m = make(promql.Matrix, 0, len(v))
		for _, s := range v {
			if s.H != nil {
				m = append(m, promql.Series{Metric: s.Metric, Histograms: []promql.HPoint{{T: s.T, H: s.H}}})
			} else {
				m = append(m, promql.Series{Metric: s.Metric, Floats: []promql.FPoint{{T: s.T, F: s.F}}})
			}
		}
	case promql.Scalar:
		m = promql.Matrix{{Floats: []promql.FPoint{{T: v.T, F: v.V}}}}
	default:
		return nil, fmt.Errorf("expressions of type %s cannot be pushed down", v.Type())
	}
	return m, nil
}

// Select implements Child. It has its slot while the series are looked up, and
// not while they are read: then it may be waited for by a request that waits for
// another leaf, which must not be one that waits for this slot.
func (l *Local) Select(ctx context.Context, req SelectRequest) SeriesSet {
	l = l.now()
	leave, err := l.reads.Enter(ctx, req.Client)
	if err != nil {
		return errSeriesSet(err)
	}
	defer leave()
	q, err := l.cfg.Chunks.ChunkQuerier(req.Mint, req.Maxt)
	if err != nil {
		return errSeriesSet(fmt.Errorf("select on %q: %w: %w", l.name(), ErrUnavailable, err))
	}
	hints := &storage.SelectHints{Start: req.Mint, End: req.Maxt, Limit: req.Limit, DisableTrimming: req.WholeChunks}
	if req.LabelsOnly {
		hints.Func = "series"
	}
	// The TSDB sorts the matchers in place; siblings share them.
	set := q.Select(ctx, true, hints, slices.Clone(req.Matchers)...)
	return newCountedSet(set, countedConfig{
		child: l.cfg.Describe().Identity, close: q.Close, ctx: ctx, limit: req.Limit,
		maxSeries: lower(l.cfg.Limits.MaxSeries, req.MaxSeries), labelsOnly: req.LabelsOnly,
		maxSamples: lower(l.cfg.Limits.MaxSamples, req.MaxSamples), limits: l.cfg.Limits,
	})
}

// Names implements Child.
func (l *Local) Names(ctx context.Context, req NamesRequest) (Names, error) {
	leave, err := l.reads.Enter(ctx, req.Client)
	if err != nil {
		return Names{}, err
	}
	defer leave()
	q, err := l.cfg.Samples.Querier(req.Mint, req.Maxt)
	if err != nil {
		return Names{}, fmt.Errorf("names on %q: %w", l.name(), err)
	}
	defer q.Close()
	hints := &storage.LabelHints{Limit: req.Limit}
	var (
		names []string
		warn  annotations.Annotations
	)
	if req.Label == "" {
		names, warn, err = q.LabelNames(ctx, hints, slices.Clone(req.Matchers)...)
	} else {
		names, warn, err = q.LabelValues(ctx, req.Label, hints, slices.Clone(req.Matchers)...)
	}
	if err != nil {
		return Names{}, fmt.Errorf("names on %q: %w", l.name(), err)
	}
	slices.Sort(names)
	if req.Limit > 0 && len(names) > req.Limit {
		names = names[:req.Limit]
	}
	// The strings may live in memory that is unmapped once the querier closes.
	out := make([]string, len(names))
	for i, n := range names {
		out[i] = string([]byte(n))
	}
	return Names{Names: out, Warnings: warn, Report: l.asked()}, nil
}

func (l *Local) asked() Report {
	d := l.cfg.Describe()
	var r Report
	r.Add(d.Name(), ChildReport{Tier: d.Tier, Verdict: Asked, Requests: 1})
	return r
}

// Tree implements Child: there is nothing below.
func (l *Local) Tree(context.Context) ([]Node, error) { return nil, nil }

// Metadata implements Child.
func (l *Local) Metadata(_ context.Context, req MetadataRequest) (Metadata, error) {
	m := Metadata{Families: map[string][]metadata.Metadata{}, Report: l.asked()}
	if l.cfg.Metadata != nil {
		mergeMetadata(m.Families, l.cfg.Metadata(req.Metric), req)
	}
	return m, nil
}

// Exemplars implements Child.
func (l *Local) Exemplars(ctx context.Context, req ExemplarsRequest) (Exemplars, error) {
	if l.cfg.Exemplars == nil {
		return Exemplars{Report: l.asked()}, nil
	}
	leave, err := l.reads.Enter(ctx, req.Client)
	if err != nil {
		return Exemplars{}, err
	}
	defer leave()
	q, err := l.cfg.Exemplars.ExemplarQuerier(ctx)
	if err != nil {
		return Exemplars{}, fmt.Errorf("exemplars on %q: %w", l.name(), err)
	}
	selectors := make([][]*labels.Matcher, len(req.Selectors))
	for i, ms := range req.Selectors {
		selectors[i] = slices.Clone(ms)
	}
	res, err := q.Select(req.Mint, req.Maxt, selectors...)
	if err != nil {
		return Exemplars{}, fmt.Errorf("exemplars on %q: %w", l.name(), err)
	}
	return Exemplars{Results: res, Report: l.asked()}, nil
}
