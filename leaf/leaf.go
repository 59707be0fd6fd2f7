package leaf

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/prometheus/config"
	"github.com/prometheus/prometheus/discovery"
	"github.com/prometheus/prometheus/notifier"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/rules"
	"github.com/prometheus/prometheus/scrape"
	"github.com/prometheus/prometheus/util/logging"

	"github.com/pandometrics/pando/leaf/aggregate"
	"github.com/pandometrics/pando/querytree"
)

// metadataInterval is how often changed metadata is written to disk.
const metadataInterval = 30 * time.Second

// Leaf owns the series of one cluster, or of one shard of it. Its methods are
// safe for concurrent use.
type Leaf struct {
	cfg         Config
	logger      *slog.Logger
	reg         prometheus.Registerer
	parser      parser.Parser
	now         func() time.Time
	externalURL *url.URL
	metrics     *metrics
	revision    *prometheus.GaugeVec // of the configuration in effect

	id       *identity
	store    *Store
	served   *served
	in       intake      // what others write: remote-written, OTLP
	written  *appendable // where it is stored
	recorded *appendable // what rules write
	samples  atomic.Uint64
	changes  *changes
	metadata *metadataStore
	indexing *indexing // nil without field hints
	late     *lateness
	coverage *coverage

	aggregator *aggregate.Aggregator // nil without rules

	cores   *querytree.Cores
	turns   *querytree.Turns
	tracker *promql.ActiveQueryTracker
	active  *activeQueries // in tracker
	engine  *promql.Engine
	child   *querytree.Local
	guard   *writeGuard

	final           *finality
	restater        Restater
	ruleQuery       rules.QueryFunc
	alertSeries     string
	inEffect        atomic.Pointer[string] // revision of the configuration
	recordedNames   atomic.Pointer[[]string]
	onRecorded      func()
	beside          func() (func(), error)
	scraper         *scrape.Manager
	scrapeDiscovery *discovery.Manager
	notifier        *notifier.Manager
	notifyDiscovery *discovery.Manager
	rules           *rules.Manager

	writeHandler, otlpHandler http.Handler

	conf               atomic.Pointer[config.Config]
	evaluationInterval atomic.Int64
	reloadMu           sync.Mutex
	reloadOK           atomic.Bool
	running            atomic.Bool
	ready              atomic.Bool
	stop               context.CancelFunc // ends what takes a context at construction
	closeOnce          sync.Once
	closeErr           error
	instance           string
	version            string
	shardKey           []string
}

// Open opens the storage of a leaf, which replays its WAL, and builds the rest
// around it. Nothing is scraped or evaluated before Run. It fails if the
// configuration file is wrong. The caller must Close the leaf.
func Open(cfg Config, deps Deps) (*Leaf, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	deps = deps.withDefaults()
	var conf *config.Config
	var aggregations aggregate.Rules
	revision, err := unmixed(cfg.ConfigFile, func() (err error) {
		if conf, err = loadConfig(cfg, deps.Parser, deps.Logger); err == nil {
			aggregations, err = loadAggregations(cfg, conf)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	ctx, stop := context.WithCancel(context.Background())
	l := &Leaf{
		cfg:         cfg,
		logger:      deps.Logger,
		reg:         deps.Registerer,
		parser:      deps.Parser,
		now:         deps.Now,
		externalURL: cfg.ExternalURL,
		metrics:     newMetrics(deps.Registerer),
		revision:    newRevisionMetric(deps.Registerer),
		id:          newIdentity(cfg.Identity.Labels),
		guard:       newWriteGuard(cfg),
		stop:        stop,
		version:     deps.Version,
		cores:       deps.Cores,
		restater:    deps.Restater,
		ruleQuery:   deps.RuleQuery,
		alertSeries: deps.AlertSeries,
		onRecorded:  deps.OnRecorded,
		beside:      deps.Beside,
		turns:       deps.Turns,
		shardKey:    cfg.ShardKey,
	}
	if l.externalURL == nil {
		l.externalURL = &url.URL{}
	}
	l.conf.Store(conf)
	l.useRevision(revision)
	l.reloadOK.Store(true)
	for _, build := range []func() error{
		l.nameInstance,
		func() error { return l.openStorage(conf, deps.Hints) },
		func() error { return l.openAggregation(aggregations) },
		l.buildQueries,
		func() error { return l.buildIngest(ctx) },
		func() error { return l.buildRules(ctx, conf) },
	} {
		if err := build(); err != nil {
			return nil, errors.Join(err, l.Close())
		}
	}
	return l, nil
}

func (l *Leaf) nameInstance() error {
	var b [8]byte
	if _, err := rand.Read(b[:]); err != nil {
		return fmt.Errorf("choose instance name: %w", err)
	}
	l.instance = hex.EncodeToString(b[:])
	return nil
}

func (l *Leaf) openStorage(conf *config.Config, hints Indexer) error {
	// The callback is in place before the replay of the WAL creates the first
	// series.
	l.late = newLateness(l.now, outOfOrder(conf))
	l.indexing = newIndexing(hints, l.id, l.logger, l.cfg, l.late)
	opts := tsdbOptions(l.cfg, conf, l.indexing.created())
	store, err := openStore(l.cfg, opts, l.id, l.logger, l.reg)
	if err != nil {
		return err
	}
	l.changes = newChanges(l.now)
	store.deleted = l.changes.deleted
	l.final = newFinality(l.now, l.finalDelay, l.restater)
	store.final = l.final
	l.store = store
	l.served = &served{db: store.DB, id: l.id, deletions: store.deletions}
	if l.metadata, err = openMetadata(l.cfg.DataDir, l.cfg.MaxMetadataFamilies); err != nil {
		l.logger.Warn("stored metadata not used", "err", err)
	}
	if l.coverage, err = openCoverage(l.cfg.DataDir, l.now); err != nil {
		l.logger.Warn("stored coverage not used", "err", err)
	}
	to := appendable{v1: store.DB, v2: store.DB, id: l.id, samples: &l.samples, late: l.changes.appended, final: l.final, committing: l.indexing.committing()}
	written, recorded := to, to
	written.metadata, recorded.ownLabels, recorded.alerts = l.metadata.add, true, l.alertSeries
	l.written, l.recorded = &written, &recorded
	l.in = l.written
	return nil
}

func (l *Leaf) buildQueries() error {
	var err error
	l.tracker, err = promql.NewActiveQueryTracker(l.cfg.DataDir, min(max(trackedQueries, l.cfg.Limits.MaxConcurrent), mostTracked), l.logger.With("component", "active queries"))
	if err != nil {
		return fmt.Errorf("track active queries: %w", err)
	}
	l.active = newActiveQueries(l.tracker, l.cfg.Limits.MaxConcurrent)
	opts := promql.EngineOpts{
		Logger:                   l.logger.With("component", "query engine"),
		Reg:                      newEngineMetrics(l.reg),
		MaxSamples:               l.cfg.Limits.EngineSamples(),
		Timeout:                  l.cfg.Limits.Timeout,
		ActiveQueryTracker:       l.active,
		LookbackDelta:            l.cfg.LookbackDelta,
		NoStepSubqueryIntervalFn: func(int64) int64 { return l.evaluationInterval.Load() },
		EnableAtModifier:         true,
		EnableNegativeOffset:     true,
		Parser:                   l.parser,
	}
	l.engine = promql.NewEngine(opts)
	cores := l.cores
	if cores == nil {
		if cores, err = querytree.NewCores(l.cfg.QueryParallelism); err != nil {
			return err
		}
	}
	l.evaluationInterval.Store(time.Duration(config.DefaultGlobalConfig.EvaluationInterval).Milliseconds())
	l.child, err = querytree.NewLocal(querytree.LocalConfig{
		Engine:     l.engine,
		EngineOpts: &opts,
		Cores:      cores,
		Samples:    l.served,
		Chunks:     l.served,
		Exemplars:  l.served,
		Metadata:   l.Metadata,
		Describe:   l.Describe,
		Limits:     l.cfg.Limits,
		Turns:      l.turns,
		Registerer: l.reg,
	})
	return err
}

func (l *Leaf) buildIngest(ctx context.Context) error {
	var err error
	// Aggregation wants to know what kind of metric it is, and since when.
	opts := &scrape.Options{AppendMetadata: l.aggregator != nil, ParseST: l.aggregator != nil, HTTPClientOptions: newGuard(l.cfg).options()}
	l.scraper, err = scrape.NewManager(opts, l.logger.With("component", "scrape manager"), logging.NewJSONFileLogger, nil, l.scraped(), l.reg)
	if err != nil {
		return fmt.Errorf("build scrape manager: %w", err)
	}
	sd, err := discovery.CreateAndRegisterSDMetrics(l.reg)
	if err != nil {
		return fmt.Errorf("register discovery metrics: %w", err)
	}
	l.scrapeDiscovery = discovery.NewManager(ctx, l.logger.With("component", "scrape discovery"), l.reg, sd, discovery.Name("scrape"))
	l.notifyDiscovery = discovery.NewManager(ctx, l.logger.With("component", "notify discovery"), l.reg, sd, discovery.Name("notify"))
	if l.scrapeDiscovery == nil || l.notifyDiscovery == nil {
		return errors.New("build discovery managers: their metrics are registered already; give each leaf a registerer of its own")
	}
	l.writeHandler = l.newWriteHandler()
	l.otlpHandler = l.newOTLPHandler()
	return nil
}

// scraped is where scraping writes to. The metadata of what is scraped is asked
// of the targets, which forget it when they go.
func (l *Leaf) scraped() intake {
	a := *l.written
	a.metadata = nil
	return l.aggregate(&a)
}

func (l *Leaf) buildRules(ctx context.Context, conf *config.Config) error {
	scheme := conf.GlobalConfig.MetricNameValidationScheme
	if l.ruleQuery == nil {
		l.ruleQuery = l.queryForRules()
	}
	l.notifier = notifier.NewManager(&notifier.Options{
		QueueCapacity:   l.cfg.NotificationQueue,
		DrainOnShutdown: true,
		Registerer:      l.reg,
	}, scheme, l.logger.With("component", "notifier"))
	l.rules = rules.NewManager(&rules.ManagerOptions{
		NameValidationScheme: scheme,
		Appendable:           l.recorded,
		Queryable:            restoring{l.served},
		QueryFunc:            l.ruleQuery,
		NotifyFunc:           rules.SendAlerts(l.notifier, l.externalURL.String()),
		Context:              ctx,
		ExternalURL:          l.externalURL,
		Registerer:           l.reg,
		Logger:               l.logger.With("component", "rules"),
		OutageTolerance:      time.Hour,
		ForGracePeriod:       10 * time.Minute,
		ResendDelay:          time.Minute,
		MaxConcurrentEvals:   4,
		DefaultRuleQueryOffset: func() time.Duration {
			return time.Duration(l.PrometheusConfig().GlobalConfig.RuleQueryOffset)
		},
		Parser: l.parser,
	})
	return nil
}

// rulesClient is the client that the leaf's own rules are, when it comes to turns.
const rulesClient = "rules"

// queryForRules evaluates within the bounds of the leaf: a rule can be as heavy
// as a user's query.
func (l *Leaf) queryForRules() rules.QueryFunc {
	query := rules.EngineQueryFunc(l.child.Engine(), l.served)
	return func(ctx context.Context, qs string, t time.Time) (promql.Vector, error) {
		return query(querytree.WithOptions(ctx, querytree.Options{Client: rulesClient}), qs, t)
	}
}

// Run scrapes, evaluates rules and keeps the leaf's hints complete, until ctx
// ends. It may be called once. The leaf can be written to and queried from Open
// to Close, whether or not it runs.
func (l *Leaf) Run(ctx context.Context) error {
	if !l.running.CompareAndSwap(false, true) {
		return errors.New("run leaf: it runs or ran already")
	}
	l.reloadMu.Lock()
	err := l.apply(l.PrometheusConfig())
	l.metrics.reloaded(err, l.now())
	if e := l.coverage.begin(settling(l.PrometheusConfig())); e != nil {
		l.logger.Error("coverage not saved", "err", e)
	}
	l.reloadMu.Unlock()

	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var wg sync.WaitGroup
	for _, part := range []func(){
		func() { l.ended("scrape discovery", l.scrapeDiscovery.Run()) },
		func() { l.ended("notify discovery", l.notifyDiscovery.Run()) },
		func() { l.ended("scrape manager", l.scraper.Run(l.scrapeDiscovery.SyncCh())) },
		func() { l.notifier.Run(l.notifyDiscovery.SyncCh()) },
		l.rules.Run,
		func() { l.keepMetadata(ctx) },
		func() { l.indexing.run(ctx, l.store) },
		func() { l.coverage.run(ctx, l.retentionTime, l.logger) },
		func() { l.runAggregation(ctx) },
	} {
		wg.Go(part)
	}
	if err == nil {
		l.ready.Store(true)
		l.logger.Info("leaf is ready", "leaf", l.cfg.Identity.Name(), "instance", l.instance)
		<-ctx.Done()
	}
	if e := l.coverage.end(); e != nil {
		l.logger.Error("coverage not saved", "err", e)
	}
	// Rules first, so that absent() does not fire upon the end of scraping; the
	// notifier after them, so that it can send what they found.
	l.ready.Store(false)
	l.rules.Stop()
	l.scraper.Stop()
	l.notifier.Stop()
	l.stop()
	cancel()
	wg.Wait()
	return err
}

func (l *Leaf) ended(what string, err error) {
	if err != nil && !errors.Is(err, context.Canceled) {
		l.logger.Error("part of the leaf ended", "part", what, "err", err)
	}
}

func (l *Leaf) keepMetadata(ctx context.Context) {
	tick := time.NewTicker(metadataInterval)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			if err := l.metadata.save(); err != nil {
				l.logger.Error("metadata not saved", "err", err)
			}
		case <-ctx.Done():
			return
		}
	}
}

// Close closes the storage. Run must have returned before. It may be called
// more than once.
func (l *Leaf) Close() error {
	l.closeOnce.Do(func() {
		l.stop()
		var errs []error
		if l.metadata != nil {
			errs = append(errs, l.metadata.save())
		}
		if l.aggregator != nil {
			errs = append(errs, l.aggregator.Close())
		}
		if l.tracker != nil {
			errs = append(errs, l.tracker.Close())
		}
		if l.store != nil {
			errs = append(errs, l.store.Close())
		}
		if err := errors.Join(errs...); err != nil {
			l.closeErr = fmt.Errorf("close leaf: %w", err)
		}
	})
	return l.closeErr
}
