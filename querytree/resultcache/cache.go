package resultcache

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/prometheus/util/annotations"

	"github.com/pandometrics/pando/querytree"
)

// Config is what a Cache is made of.
type Config struct {
	// Bytes bounds the memory for answers. Zero keeps none.
	Bytes int64
	// Window is how old a step must be to be kept, even if the children say
	// that it is settled. It is no condition of exactness: what changes is told
	// of by the leaves, and costs the steps after it.
	Window time.Duration
	// HintDelay is how long after an epoch answers are not kept for the steps
	// that it concerns; zero means 5 s. A late sample may have made a series, and
	// news of it may be here before the field hints that tell of the series: until
	// these are here too, or too old to be trusted, a child may be passed by that
	// has it. Each tier trusts hints for two seconds, and what a zone passes by is
	// wrong here as well.
	HintDelay time.Duration
	// Split is the length of the pieces, about, in which long ranges are
	// evaluated; zero evaluates them whole. Parallelism is how many pieces of
	// one query are evaluated at a time.
	Split       time.Duration
	Parallelism int
	// Now may be nil: then it is time.Now.
	Now func() time.Time
	// Registerer may be nil.
	Registerer prometheus.Registerer
}

// DefaultConfig is that of an unconfigured tier.
func DefaultConfig() Config {
	return Config{Bytes: 64 << 20, Split: 24 * time.Hour, Parallelism: 2}
}

// Validate reports what cannot be used, and the flag to change.
func (c Config) Validate() error {
	switch {
	case c.Bytes < 0:
		return errors.New("--query.cache-bytes must not be negative; 0 switches the result cache off")
	case c.HintDelay < 0:
		return errors.New("the result cache's hint delay must not be negative; 0 means 5s")
	case c.Window < 0:
		return errors.New("--query.cache-window must not be negative; 0 keeps all that leaves say is settled")
	case c.Split < 0 || c.Split > 0 && c.Split < time.Minute:
		return errors.New("--query.split-interval must be at least 1m, or 0 not to split")
	case c.Parallelism < 1:
		return errors.New("--query.max-split-parallelism must be at least 1")
	}
	return nil
}

// Cache is a querytree.Cache. It is safe for concurrent use.
type Cache struct {
	cfg     atomic.Pointer[Config]
	store   *store
	flights flights
	metrics *metrics
}

var _ querytree.Cache = (*Cache)(nil)

// New returns an empty Cache.
func New(cfg Config) (*Cache, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.HintDelay == 0 {
		cfg.HintDelay = 5 * time.Second
	}
	c := &Cache{metrics: newMetrics(cfg.Registerer)}
	c.cfg.Store(&cfg)
	c.store = newStore(cfg.Bytes, c.metrics)
	return c, nil
}

// Retune changes Bytes, Window, Split and Parallelism to those of to. What no
// longer fits is dropped. Queries that have begun end as they began. It may be
// called while requests are answered, by one goroutine at a time.
func (c *Cache) Retune(to Config) error {
	if err := to.Validate(); err != nil {
		return err
	}
	next := *c.cfg.Load()
	next.Bytes, next.Window, next.Split, next.Parallelism = to.Bytes, to.Window, to.Split, to.Parallelism
	c.cfg.Store(&next)
	c.store.resize(next.Bytes)
	return nil
}

// Reasons why a request goes past the cache.
const (
	whyNoCache   = "not used: the request says so"
	whyExplained = "not used: the request is explained"
	whyOff       = "not used: nothing is kept"
	whyUntold    = "not used: a child does not tell when what it holds of the past changes"
)

// Range implements querytree.Cache.
func (c *Cache) Range(ctx context.Context, req querytree.ExecRequest, tree querytree.Evaluator) (querytree.Answer, error) {
	r, why := analyze(tree.Expr, req)
	switch {
	case req.End < req.Start || max(-req.Start, req.End, req.Step) > far:
		why = whyInvalid
	case req.NoCache || req.NoHints || req.NoPushdown || req.NoRollup:
		why = whyNoCache
	case req.Explain != querytree.ExplainOff:
		why = whyExplained
	}
	if why != "" {
		c.metrics.requests.WithLabelValues("unused").Inc()
		a, err := tree.Eval(ctx, req)
		tell(&a, querytree.CacheUse{State: why})
		return a, err
	}
	q := newQuery(c, req, r, tree)
	a, shared, err := c.flights.do(ctx, q.flightKey(), req.Budget, q.answer)
	if shared && a.Report.Cache != nil {
		c.metrics.shared.Inc()
		a.Report.Cache.Shared = true
	}
	return a, err
}

// tell notes what the cache had to do with an answer.
func tell(a *querytree.Answer, use querytree.CacheUse) {
	a.Report.Cache = &use
	if e := a.Report.Explanation; e != nil {
		e.Cache = use.State
	}
}

// query is one request that may be taken apart.
type query struct {
	c    *Cache
	cfg  Config
	req  querytree.ExecRequest
	key  key
	last int64 // the last step
	r    reads
	tree querytree.Evaluator
}

func newQuery(c *Cache, req querytree.ExecRequest, r reads, tree querytree.Evaluator) *query {
	return &query{
		c: c, cfg: *c.cfg.Load(), req: req, r: r, tree: tree, last: req.Start + (req.End-req.Start)/req.Step*req.Step,
		key: key{
			query: req.Query, ops: strings.Join(req.Ops, " "), stats: req.Stats, step: req.Step, offset: mod(req.Start, req.Step), lookback: req.Lookback,
		},
	}
}

func (q *query) flightKey() flightKey {
	o := q.req.Options
	return flightKey{
		key: q.key, from: q.req.Start, to: q.last, strict: o.Strict, detail: o.Detail,
		maxSeries: o.MaxSeries, maxSamples: o.MaxSamples, maxBytes: o.MaxBytes,
	}
}

// answer puts together what is kept and what the tree says about the rest.
func (q *query) answer(ctx context.Context) (querytree.Answer, error) {
	if q.tree.Share != nil {
		shared, end := q.tree.Share(ctx)
		defer end()
		ctx = shared
	}
	d, now := q.tree.Describe(), q.cfg.Now()
	use := querytree.CacheUse{State: querytree.CacheMiss, Steps: (q.last-q.req.Start)/q.req.Step + 1}
	var (
		have  []extent
		keeps bool
	)
	switch {
	case q.cfg.Bytes == 0:
		use.State = whyOff
	case !d.Has(querytree.FeatureEpochs):
		use.State = whyUntold
	default:
		keeps = true
		q.c.store.obey(d.Epochs)
		have = confirmed(q.c.store.lookup(q.key, q.req.Start, q.last, now), d.Missing)
	}
	run := &run{query: q, keeps: keeps, since: querytree.LastEpochBefore(d.Epochs, q.cfg.HintDelay), settled: q.r.newest(min(now.Add(-q.cfg.Window).UnixMilli(), sub(d.Settled, 1)))}
	lacks := lacking(have, q.req.Start, q.last, q.req.Step)
	pieces := split(lacks, interval(q.cfg.Split, q.r, q.req.Step), q.req.Step)
	for _, e := range have {
		use.Cached += (e.to-e.from)/q.req.Step + 1
	}
	use.Pieces = len(pieces)
	switch {
	case use.Cached == use.Steps:
		use.State = querytree.CacheHit
	case use.Cached > 0:
		use.State = querytree.CachePartial
	}
	q.c.count(use)
	run.all(ctx, pieces, have)
	a, err := run.result()
	tell(&a, use)
	return a, err
}

func (c *Cache) count(use querytree.CacheUse) {
	result := use.State
	if result != querytree.CacheHit && result != querytree.CachePartial && result != querytree.CacheMiss {
		result = "unused"
	}
	c.metrics.requests.WithLabelValues(result).Inc()
	c.metrics.steps.WithLabelValues("cache").Add(float64(use.Cached))
	c.metrics.steps.WithLabelValues("tree").Add(float64(use.Steps - use.Cached))
	c.metrics.pieces.Add(float64(use.Pieces))
}

// whole reports whether an answer lacks nothing: PromQL's own annotations say
// nothing of the kind.
func whole(a querytree.Answer) bool {
	if a.Report.Partial() {
		return false
	}
	for _, err := range a.Warnings {
		if !errors.Is(err, annotations.PromQLInfo) && !errors.Is(err, annotations.PromQLWarning) {
			return false
		}
	}
	return true
}
