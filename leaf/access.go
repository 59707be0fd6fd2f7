package leaf

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
	"github.com/prometheus/prometheus/config"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/metadata"
	"github.com/prometheus/prometheus/notifier"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/rules"
	"github.com/prometheus/prometheus/scrape"
	"github.com/prometheus/prometheus/storage"

	"github.com/pandometrics/pando/querytree"
)

// Child returns the leaf as its parents see it.
func (l *Leaf) Child() querytree.Child { return l.child }

// Local returns the same as what it is, for those who add rollups to it.
func (l *Leaf) Local() *querytree.Local { return l.child }

// Ready reports whether the leaf runs with its configuration applied.
func (l *Leaf) Ready() bool { return l.ready.Load() }

// Describe returns what the leaf tells of itself now. It never blocks for long:
// at most while the list of blocks is exchanged.
func (l *Leaf) Describe() querytree.Description {
	// Before all else: who is told of a change must not be told of older bounds.
	epochs := l.changes.history.Epochs()
	final := l.final.final()
	var (
		past         string
		restatements []querytree.Restatement
	)
	if l.restater != nil {
		// After what is final: who knows of that knows of these. Before the bounds:
		// who knows of these knows from when on there are samples.
		past, restatements = l.restater.Told()
	}
	// Before the bounds: what comes meanwhile is in the one or in the other.
	earliest := l.late.oldest(l.store)
	mint, maxt := l.store.bounds()
	return querytree.Description{
		Identity: l.cfg.Identity,
		Instance: l.instance,
		ShardKey: l.shardKey,
		Version:  l.version,
		Mint:     mint,
		Maxt:     maxt,
		Earliest: min(mint, earliest),
		Series:   l.store.Head().NumSeries(),
		Samples:  l.samples.Load(),
		Leaves:   1,
		Features: []string{querytree.FeatureOps, querytree.FeatureStats, querytree.FeatureExplain, querytree.FeatureEpochs},
		Settled:  l.changes.settle(),
		Epochs:   epochs,
		Gaps:     l.coverage.gaps(mint),
		Final:    final,
		Revision: l.Revision(), ReloadFailed: !l.reloadOK.Load(),

		Past: past, Restatements: restatements,
	}
}

// Readable notes that aggregates of these metrics can be read since a moment ago, of
// times of which there may be no samples any more: parents drop what they keep of the
// leaf's answers. It is safe for concurrent use.
func (l *Leaf) Readable(metrics []string) {
	if len(metrics) > 0 {
		l.changes.readable()
	}
}

// Metadata returns the metadata of one metric family, or of all if metric is
// empty: that of active scrape targets, and what was written to the leaf.
func (l *Leaf) Metadata(metric string) map[string][]metadata.Metadata {
	return l.metadata.merged(metric, l.scraper.TargetsActive())
}

// PrometheusConfig returns the configuration that is in effect, completed with
// the leaf's flags and with its identity among the external labels. Its String
// method leaves secrets out. It must not be changed.
func (l *Leaf) PrometheusConfig() *config.Config { return l.conf.Load() }

// APIParts are what Prometheus' HTTP API, v1.NewAPI, is built from. What is read
// goes through Storage and Exemplars, where every series carries the leaf's
// identity, within the bounds of queries.
type APIParts struct {
	Engine       promql.QueryEngine
	Parser       parser.Parser
	Storage      storage.SampleAndChunkQueryable
	Exemplars    storage.ExemplarQueryable
	Appendable   storage.Appendable
	AppendableV2 storage.AppendableV2
	Scrape       *scrape.Manager
	Notifier     *notifier.Manager
	Rules        *rules.Manager
	// Admin implements v1.TSDBAdminStats: head statistics, WAL replay, blocks,
	// deletion, snapshots.
	Admin *Store
	// Dir is the storage directory.
	Dir string
	// Config returns the configuration in effect.
	Config func() config.Config
	// ReloadStatus says whether the last reload succeeded, and when the
	// configuration in effect was applied.
	ReloadStatus func() (ok bool, at time.Time)
	// Retention describes what is kept, as v1.RuntimeInfo does.
	Retention func() string
}

// APIParts returns the parts of the leaf that its HTTP API is built from.
func (l *Leaf) APIParts() APIParts {
	return APIParts{
		Engine:       l.child.Engine(),
		Parser:       l.parser,
		Storage:      l.child.Reads(),
		Exemplars:    l.child.Reads(),
		Appendable:   l.written,
		AppendableV2: l.written,
		Scrape:       l.scraper,
		Notifier:     l.notifier,
		Rules:        l.rules,
		Admin:        l.store,
		Dir:          l.cfg.DataDir,
		Config:       func() config.Config { return *l.PrometheusConfig() },
		ReloadStatus: func() (bool, time.Time) { return l.reloadOK.Load(), l.metrics.appliedAt() },
		Retention:    l.retention,
	}
}

// Engine returns the engine that evaluates over the leaf's series, by the limits
// that it was opened with.
func (l *Leaf) Engine() *promql.Engine { return l.engine }

// Queryable returns the leaf's series, identity labels attached.
func (l *Leaf) Queryable() storage.SampleAndChunkQueryable { return l.served }

// retentionTime is how long samples are kept, zero if there is no such limit.
func (l *Leaf) retentionTime() time.Duration {
	return time.Duration(l.PrometheusConfig().StorageConfig.TSDBConfig.Retention.Time)
}

func (l *Leaf) retention() string {
	r := l.PrometheusConfig().StorageConfig.TSDBConfig.Retention
	var s string
	if r.Time != 0 {
		s = r.Time.String()
	}
	if r.Size != 0 {
		if s != "" {
			s += " or "
		}
		s += r.Size.String()
	}
	return s
}

// metrics are the leaf's own; those of the Prometheus parts in it are theirs.
type metrics struct {
	invalidSeries prometheus.Counter
	reloadOK      []prometheus.Gauge
	reloadTime    []prometheus.Gauge

	applied chan time.Time // holds the time of the last success
}

func newMetrics(reg prometheus.Registerer) *metrics {
	f := promauto.With(reg)
	m := &metrics{
		invalidSeries: f.NewCounter(prometheus.CounterOpts{
			Name: "pando_leaf_remote_write_invalid_series_total",
			Help: "Series of remote write 1.0 requests that were dropped because their labels are invalid.",
		}),
		applied: make(chan time.Time, 1),
	}
	m.applied <- time.Time{}
	// Prometheus' own names too: its alerts ask for these.
	for _, prefix := range []string{"pando_leaf", "prometheus"} {
		m.reloadOK = append(m.reloadOK, f.NewGauge(prometheus.GaugeOpts{
			Name: prefix + "_config_last_reload_successful",
			Help: "Whether the last reload of the configuration file succeeded.",
		}))
		m.reloadTime = append(m.reloadTime, f.NewGauge(prometheus.GaugeOpts{
			Name: prefix + "_config_last_reload_success_timestamp_seconds",
			Help: "Time at which the configuration in effect was applied.",
		}))
	}
	return m
}

func (m *metrics) reloaded(err error, at time.Time) {
	if err != nil {
		for _, g := range m.reloadOK {
			g.Set(0)
		}
		return
	}
	for i := range m.reloadOK {
		m.reloadOK[i].Set(1)
		m.reloadTime[i].Set(float64(at.UnixMilli()) / 1000)
	}
	<-m.applied
	m.applied <- at
}

func (m *metrics) appliedAt() time.Time {
	at := <-m.applied
	m.applied <- at
	return at
}

// maxRestoredVariants bounds the label sets under which the state of an alert
// is looked for after a restart.
const maxRestoredVariants = 16

// restoring is what the rule manager restores the state of alerts from. It looks
// for the stored state under the exact labels of the alert, which has those
// identity labels that its expression left it; but what was stored has none,
// and what is served has all of them. So each series is offered under every
// combination.
type restoring struct {
	storage.Queryable
}

// Querier implements storage.Queryable.
func (r restoring) Querier(mint, maxt int64) (storage.Querier, error) {
	q, err := r.Queryable.Querier(mint, maxt)
	if err != nil {
		return nil, err
	}
	return &restoringQuerier{querier: q.(*querier)}, nil
}

type restoringQuerier struct {
	*querier
}

// Select implements storage.Querier.
func (q *restoringQuerier) Select(ctx context.Context, sortSeries bool, hints *storage.SelectHints, ms ...*labels.Matcher) storage.SeriesSet {
	return &variantSet{SeriesSet: q.querier.Select(ctx, sortSeries, hints, ms...), id: q.id}
}

// variantSet offers each series of a set under its labels, and under them
// without any combination of the identity labels.
type variantSet struct {
	storage.SeriesSet
	id   *identity
	next int
}

// Next implements storage.SeriesSet.
func (s *variantSet) Next() bool {
	if s.next == 0 || s.next == min(1<<len(s.id.pairs), maxRestoredVariants) {
		s.next = 1
		return s.SeriesSet.Next()
	}
	s.next++
	return true
}

// At implements storage.SeriesSet.
func (s *variantSet) At() storage.Series {
	in := s.SeriesSet.At()
	b := labels.NewBuilder(in.Labels())
	for i := range s.id.pairs {
		if (s.next-1)&(1<<i) != 0 {
			b.Del(s.id.pairs[i].Name)
		}
	}
	return wrapSeries(in, b.Labels())
}
