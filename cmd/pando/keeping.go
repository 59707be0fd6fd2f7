package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/alecthomas/kingpin/v2"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"

	"github.com/pandometrics/pando/fieldhint"
	"github.com/pandometrics/pando/leaf"
	"github.com/pandometrics/pando/querytree"
	"github.com/pandometrics/pando/querytree/tier"
	"github.com/pandometrics/pando/querytree/treehttp"
	"github.com/pandometrics/pando/rollup"
	"github.com/pandometrics/pando/rollup/keep"
)

// rollupFlags are those of all tiers that keep rollups.
type rollupFlags struct {
	file string
	use  bool
	// align moves the times of range queries to where rollups have points.
	align bool
	hold  model.Duration
}

func (f *rollupFlags) register(c *kingpin.CmdClause) {
	c.Flag("rollup.file", "Rollup rules: aggregates that are kept, and that queries are answered from. Read again upon SIGHUP.").StringVar(&f.file)
	c.Flag("query.rollups", "Answer queries from rollups unless they say rollup=off.").Default("true").BoolVar(&f.use)
	c.Flag("query.align", "Move the times of range queries to where rollups have points, unless they say align=off: the step is rounded up, to less than twice of it, and start and end down to its multiples.").BoolVar(&f.align)
}

func (f *rollupFlags) registerMix(c *kingpin.CmdClause) {
	f.register(c)
	c.Flag("rollup.hold", "How long a child may be away before points of rollups that are as old are made without it, and marked.").Default("24h").SetValue(&f.hold)
}

// rules reads the file; no file is no rules.
func (f *rollupFlags) rules() (*rollup.Rules, error) {
	if f.file == "" {
		return rollup.Parse([]byte("rollups: []"))
	}
	info, err := os.Stat(f.file)
	if err != nil {
		return nil, fmt.Errorf("--rollup.file: %w", err)
	}
	if info.Size() > rollup.MaxBytes {
		return nil, fmt.Errorf("--rollup.file: %q has %d bytes, which is more than %d", f.file, info.Size(), rollup.MaxBytes)
	}
	data, err := os.ReadFile(f.file)
	if err != nil {
		return nil, fmt.Errorf("--rollup.file: %w", err)
	}
	rules, err := rollup.Parse(data)
	if err != nil {
		return nil, fmt.Errorf("--rollup.file %q: %w", f.file, err)
	}
	return rules, nil
}

// keeping is what a tier keeps of rollups. A tier without rules still notes what
// is restated below it, for those above it that have some.
type keeping struct {
	flags    rollupFlags
	tier     string
	lookback time.Duration
	logger   *slog.Logger
	reg      prometheus.Registerer
	past     *keep.Past
	store    *keep.Store
	// collector is set once there is something to collect from.
	collector *keep.Collector
	// changed is called when there are other rules; nil if nobody wants to know.
	changed func()
}

// openKeeping opens the rollups of a tier, in a directory of its own.
func openKeeping(f rollupFlags, tier, dir string, lookback time.Duration, logger *slog.Logger, reg prometheus.Registerer) (*keeping, error) {
	k := &keeping{flags: f, tier: tier, lookback: lookback, logger: logger, reg: reg}
	rules, err := f.rules()
	if err != nil {
		return nil, err
	}
	if k.past, err = keep.OpenPast(filepath.Join(dir, "past.json")); err != nil {
		return nil, err
	}
	k.store, err = keep.Open(keep.StoreConfig{Dir: dir, Tier: tier, Rules: rules, Logger: logger, Registerer: reg})
	return k, err
}

// offer has the hint that parents get tell of what is kept; nil is no hint.
func (k *keeping) offer(set *fieldhint.Set) error {
	if set == nil {
		return nil
	}
	return k.store.SetOffer(set)
}

// rewriter returns what queries are answered by.
func (k *keeping) rewriter(constants labels.Labels) querytree.Rewriter {
	return k.store.CurrentRewriter(k.past, constants, k.lookback.Milliseconds())
}

// own returns what a zone or root answers itself.
func (k *keeping) own(series *ownSeries, constants labels.Labels, f commonFlags) (*querytree.Own, error) {
	p := querytree.NewParser()
	opts := querytree.EngineOpts(querytree.MixerConfig{Limits: f.limits, Lookback: k.lookback, SubqueryStep: defaultSubqueryStep, Logger: k.logger}, p)
	child, err := querytree.NewLocal(querytree.LocalConfig{
		Engine: promql.NewEngine(opts), EngineOpts: &opts, Samples: series, Chunks: series, Limits: f.limits, Turns: f.turns,
		Describe: func() querytree.Description {
			return querytree.Description{
				Identity: querytree.Identity{Tier: querytree.TierOwn, Labels: constants, Shard: querytree.TierOwn},
				Features: []string{querytree.FeatureOps, querytree.FeatureStats, querytree.FeatureExplain},
			}
		},
	})
	if err != nil {
		return nil, err
	}
	f.retune.tunes(func(t tuning) error { return child.Retune(t.tree) })
	return &querytree.Own{Child: child}, nil
}

// collect has the node collect what c says from where it says.
func (k *keeping) collect(n *node, c keep.CollectorConfig) error {
	c.Store, c.Past, c.Lookback, c.Logger, c.Registerer = k.store, k.past, k.lookback.Milliseconds(), k.logger, k.reg
	if k.flags.hold > 0 {
		c.Hold = time.Duration(k.flags.hold)
	}
	var err error
	if k.collector, err = keep.NewCollector(c); err != nil {
		return err
	}
	n.add(k.collector.Run)
	return nil
}

// collectTier has a zone or root collect from its children.
func (k *keeping) collectTier(n *node, t *tier.Tier) error {
	c := keep.DefaultCollectorConfig()
	c.Source, c.Final, c.Missing, c.Children, c.Known = t.Mixer, t.Final, t.Missing, t.Children, t.Known
	c.Readable = t.Readable
	return k.collect(n, c)
}

// collectLeaf has a leaf collect from its samples. Its ingest and its queries
// come first: it works on one rule at a time, and rests longer.
func (k *keeping) collectLeaf(n *node, l *leaf.Leaf) error {
	c := keep.DefaultCollectorConfig()
	c.Source, c.Final = l.Child(), func() int64 { return l.Describe().Final }
	c.Readable = l.Readable
	c.Parallel, c.Rest = 1, 9
	return k.collect(n, c)
}

// rolled returns what a leaf answers by: of its rollups, if it has any, else of
// its samples alone.
func (k *keeping) rolled(l *leaf.Leaf, retune *retuner) (querytree.Child, promql.QueryEngine, error) {
	if k.flags.file == "" || !k.flags.use && retune.fixed("query.rollups") {
		return l.Child(), l.Local().Engine(), nil
	}
	r, err := querytree.NewRolled(l.Local(), k.rewriter(l.Describe().Labels))
	if err != nil {
		return nil, nil, err
	}
	r.UseRollups(k.flags.use)
	retune.tunes(func(t tuning) error {
		r.UseRollups(t.rollups)
		return r.Retune(t.tree)
	})
	return r, r.Engine(), nil
}

// reload reads the rules again.
func (k *keeping) reload() error {
	rules, err := k.flags.rules()
	if err != nil {
		return err
	}
	if err := k.store.SetRules(rules); err != nil {
		return err
	}
	if k.changed != nil {
		k.changed()
	}
	k.logger.Info("rollup rules read", "file", k.flags.file, "rules", len(rules.All()))
	return nil
}

// after returns a function that reloads something, and then the rules.
func (k *keeping) after(reload func() error) func() error {
	if k.flags.file == "" {
		return reload
	}
	return func() error {
		if _, err := k.flags.rules(); err != nil {
			return err // before anything else of the revision takes effect
		}
		if err := reload(); err != nil {
			return err
		}
		return k.reload()
	}
}

// rollups serves what the tier tells of its rollups.
func (k *keeping) rollups() treehttp.Rollups {
	return liveRollups{k}
}

// liveRollups tells of a tier's rollups as they are now.
type liveRollups struct{ k *keeping }

// Rollups implements treehttp.Rollups.
func (l liveRollups) Rollups(holes int) treehttp.RollupList {
	out := treehttp.RollupList{Tier: l.k.tier, Rules: []treehttp.RollupStatus{}}
	for _, s := range l.k.collector.Status(holes) {
		out.Rules = append(out.Rules, rollupStatus(s, time.Now()))
	}
	for _, a := range l.k.collector.Awaited() {
		out.Awaited = append(out.Awaited, treehttp.RollupAwaited{Name: a.Name, Since: unixSeconds(a.Since), Released: unixSeconds(a.Released)})
	}
	return out
}

// Backfill implements treehttp.Rollups.
func (l liveRollups) Backfill(ctx context.Context, rule string, since time.Time) (treehttp.RollupOwed, error) {
	owed, err := l.k.collector.Backfill(ctx, rule, since)
	return treehttp.RollupOwed{From: unixSeconds(owed.From), Longest: owed.Longest.Seconds()}, err
}

// rollupStatus puts a rule's status into the form of the API.
func rollupStatus(s keep.Status, now time.Time) treehttp.RollupStatus {
	out := treehttp.RollupStatus{
		ID: s.Rule.ID, Name: s.Rule.Name, Expr: s.Rule.String(), Every: s.Keep.Every.Seconds(), For: s.Keep.For.Seconds(),
		Since: unixSeconds(s.Since), Until: unixSeconds(s.Until), Due: unixSeconds(s.Due), Whole: s.Whole, Partial: s.Partial, Unfit: s.Unfit, Absent: s.Absent, Series: s.Series, Empty: s.Empty,
		Holes: []treehttp.RollupHole{}, HolesLeftOut: s.LeftOut, Failing: s.Failing, Blocked: s.Blocked,
	}
	if !s.Until.IsZero() {
		out.Lag = now.Sub(s.Until).Seconds()
	}
	for _, h := range s.Holes {
		out.Holes = append(out.Holes, treehttp.RollupHole{From: unixSeconds(h.From), To: unixSeconds(h.To), State: h.State, Missing: h.Missing})
	}
	return out
}

func unixSeconds(t time.Time) float64 {
	if t.IsZero() {
		return 0
	}
	return float64(t.UnixMilli()) / 1000
}
