package main

import (
	"context"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/alecthomas/kingpin/v2"
	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/rules"

	"github.com/pandometrics/pando/leaf"
	"github.com/pandometrics/pando/querytree"
	"github.com/pandometrics/pando/querytree/treehttp"
)

// ruleFlags are those of a zone's or root's own rules.
type ruleFlags struct {
	configFile string
	retention  model.Duration
}

func (f *ruleFlags) register(c *kingpin.CmdClause) {
	c.Flag("config.file", "Prometheus configuration file: rules that are evaluated over the tree, and Alertmanagers. Read again upon SIGHUP.").StringVar(&f.configFile)
	c.Flag("rules.retention", "How long is kept what rules of this tier record.").Default("15d").SetValue(&f.retention)
}

// tierRules are the rules of a zone or the root: they are evaluated over all that
// is below it, and what they record is kept beside. A leaf that scrapes nothing
// does the keeping, so that rules are the same at each tier.
type tierRules struct {
	leaf *leaf.Leaf // nil without a configuration file
	// metrics are those of the leaf.
	metrics *prometheus.Registry
	// noRollups: the operator wants none used.
	noRollups atomic.Bool
	mixer     atomic.Pointer[querytree.Mixer]
	// changed is called when other names may be recorded; it is set before the leaf
	// runs.
	changed func()
}

// alertSeries is the name of the series that tell of a tier's own alerts. ALERTS
// are those of the leaves, which the tier must not hide.
func alertSeries(tier string) string { return tier + ":ALERTS" }

// openRules opens the rules of a tier, if there is a file of them.
func openRules(f mixFlags, id querytree.Identity, logger *slog.Logger) (*tierRules, error) {
	r := &tierRules{metrics: prometheus.NewRegistry()}
	r.noRollups.Store(!f.use)
	f.retune.tunes(func(t tuning) error { r.noRollups.Store(!t.rollups); return nil })
	if f.ruleFlags.configFile == "" {
		return r, nil
	}
	c := leaf.DefaultConfig()
	c.Identity = querytree.Identity{Tier: querytree.TierLeaf, Labels: id.Labels, Replica: id.Replica}
	c.RulesOnly, c.ConfigFile, c.DataDir = true, f.ruleFlags.configFile, filepath.Join(f.dataDir, "rules")
	c.Retention, c.Limits, c.LookbackDelta, c.MaxExemplars = time.Duration(f.ruleFlags.retention), f.limits, time.Duration(f.lookback), 0
	var err error
	if c.ExternalURL, err = f.url(); err != nil {
		return nil, err
	}
	r.leaf, err = leaf.Open(c, leaf.Deps{
		Logger: logger.With("part", "rules"), Registerer: r.metrics, Version: buildVersion(), Turns: f.turns,
		RuleQuery: r.query(), AlertSeries: alertSeries(id.Tier), OnRecorded: func() { r.changed() },
		Beside: f.retune.beside(logger),
	})
	return r, err
}

// rulesClient is what a tier's own rules are called, when it comes to turns.
const rulesClient = "rules"

// query evaluates a rule over the whole tree. A partial answer is none: an alert
// must neither fire nor end because a leaf is away.
func (r *tierRules) query() rules.QueryFunc {
	return func(ctx context.Context, qs string, t time.Time) (promql.Vector, error) {
		ctx = querytree.WithOptions(ctx, querytree.Options{Client: rulesClient, Strict: true, NoRollup: r.noRollups.Load()})
		return rules.EngineQueryFunc(querytree.Engine{}, r.mixer.Load())(ctx, qs, t)
	}
}

// run has the node evaluate the rules over a mixer.
func (r *tierRules) run(n *node, m *querytree.Mixer) {
	r.mixer.Store(m)
	if r.leaf != nil {
		n.add(r.leaf.Run)
	}
}

// close releases the storage.
func (r *tierRules) close() error {
	if r.leaf == nil {
		return nil
	}
	return r.leaf.Close()
}

// reload reads the file again.
func (r *tierRules) reload(none func() error) func() error {
	if r.leaf == nil {
		return none
	}
	return r.leaf.Reload
}

// serve has the HTTP API tell of rules, alerts, Alertmanagers and configuration.
func (r *tierRules) serve(cfg *treehttp.Config, reload func() error) {
	if r.leaf == nil {
		return
	}
	p := r.leaf.APIParts()
	cfg.Parts.Rules, cfg.Parts.Alertmanagers, cfg.Parts.Config, cfg.Reload = p.Rules, p.Notifier, p.Config, reload
	cfg.Gatherer = prometheus.Gatherers{cfg.Gatherer, prometheus.GathererFunc(r.gather)}
}

// revisionMetric tells the revision of the configuration in effect.
const revisionMetric = "pando_config_in_effect_info"

// gather returns the metrics that Prometheus has of rules, notifications and
// storage. The leaf's own would be taken for the tier's.
func (r *tierRules) gather() ([]*dto.MetricFamily, error) {
	all, err := r.metrics.Gather()
	return slices.DeleteFunc(all, func(f *dto.MetricFamily) bool {
		return f.GetName() != revisionMetric && !strings.HasPrefix(f.GetName(), "prometheus_") || strings.HasPrefix(f.GetName(), "prometheus_engine_")
	}), err
}
