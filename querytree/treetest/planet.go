package treetest

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"math"
	"runtime"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/prometheus/model/exemplar"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/promql/promqltest"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
	"github.com/prometheus/prometheus/util/teststorage"

	"github.com/pandometrics/pando/querytree"
)

// Leaf describes one leaf of a test tree.
type Leaf struct {
	querytree.Identity
	ShardKey []string
	// Zone is the index of the zone that the leaf belongs to; zones without
	// leaves are not built.
	Zone int
}

// Group describes a mixer between the root and some of the zones.
type Group struct {
	querytree.Identity
	// Zones are the indexes of the zones below it.
	Zones []int
}

// Config describes a test tree: a root, its zones, their leaves. Without zones,
// the root is over the leaves; with groups of zones, it is over these.
type Config struct {
	Leaves []Leaf
	// Zones holds the identity of each zone.
	Zones []querytree.Identity
	// Groups are the mixers of a tree of four tiers, each zone in one of them.
	Groups []Group
	// ZoneShardKey is the shard key of zones.
	ZoneShardKey []string
	// Place returns the index of the leaf that stores a series. Nil goes by
	// the zone and cluster labels of the series.
	Place func(labels.Labels) int
	// Connect puts something between a child and its parent, such as a wire.
	// Nil connects them directly.
	Connect func(tb testing.TB, child querytree.Child) querytree.Child
	// Pruner makes a parent's pruner over its children's storages; nil prunes
	// by identity and time alone.
	Pruner func(tb testing.TB, children []querytree.Child) querytree.Pruner
	// Rewriter makes a mixer's rewriter, of what the mixer itself answers without
	// rollups; nil makes none.
	Rewriter func(tb testing.TB, m *querytree.Mixer) querytree.Rewriter
	// LeafRewriter does so for a leaf; m answers from the leaf's samples.
	LeafRewriter func(tb testing.TB, m *querytree.Mixer) querytree.Rewriter
	// Own makes what a mixer holds under names of its own; nil makes nothing.
	Own func(tb testing.TB, m *querytree.Mixer) querytree.Own
	// OnSeries is called with each series and the indexes of its leaf and zone.
	OnSeries func(lset labels.Labels, leaf, zone int)
	// Outages gives every leaf replicas that were down at times.
	Outages Outages
	// DelayedNameRemoval, as in promql.EngineOpts.
	DelayedNameRemoval bool
	// Limits of all mixers; zero means large.
	Limits querytree.Limits
	// Tolerance is how far answers may be from the oracle's, relative to it;
	// zero means the constant of that name.
	Tolerance float64
}

// Clusters returns leaves and zones from pairs of a zone's name and its number
// of clusters.
func Clusters(pairs ...any) (leaves []Leaf, zones []querytree.Identity) {
	for i := 0; i < len(pairs); i += 2 {
		zone := pairs[i].(string)
		zones = append(zones, querytree.Identity{Tier: querytree.TierZone, Labels: labels.FromStrings("zone", zone)})
		for c := range pairs[i+1].(int) {
			leaves = append(leaves, Leaf{Zone: i / 2, Identity: querytree.Identity{
				Tier:   querytree.TierLeaf,
				Labels: labels.FromStrings("zone", zone, "cluster", fmt.Sprintf("%s-%d", zone, c)),
			}})
		}
	}
	return leaves, zones
}

// Shards returns n leaves and two zones that hold series without identity
// labels, spread by hash of the labels in key; no key means of all labels.
func Shards(n int, key ...string) Config {
	c := Config{ZoneShardKey: key}
	for z := range 2 {
		c.Zones = append(c.Zones, querytree.Identity{Tier: querytree.TierZone, Shard: fmt.Sprint(z)})
	}
	for i := range n {
		c.Leaves = append(c.Leaves, Leaf{Zone: i % 2, ShardKey: key, Identity: querytree.Identity{Tier: querytree.TierLeaf, Shard: fmt.Sprint(i)}})
	}
	c.Place = func(l labels.Labels) int {
		if len(key) == 0 {
			return int(l.Hash() % uint64(n))
		}
		h := fnv.New64a()
		for _, name := range key {
			fmt.Fprintf(h, "%s\xff", l.Get(name))
		}
		return int(h.Sum64() % uint64(n))
	}
	return c
}

// Planet is a test tree and its oracle. It is a storage.Storage whose appends
// go to the leaf in charge and to the oracle, and whose Mixer is the root's, so
// that promqltest can run its scripts over it.
type Planet struct {
	*teststorage.TestStorage // the oracle's storage
	Root                     *querytree.Mixer
	ZoneMixers               []*querytree.Mixer
	// LeafStores and LeafChildren are those of all replicas of the first leaf,
	// then of the second, and so on.
	LeafStores   []*teststorage.TestStorage
	LeafChildren []querytree.Child
	cfg          Config
	oracle       *promql.Engine
	registries   []*prometheus.Registry // of all tiers
	verdicts     verdicts
}

// Lookback and SubqueryStep of all tiers and the oracle.
const (
	Lookback     = 5 * time.Minute
	SubqueryStep = time.Minute
)

// New builds a tree.
func New(tb testing.TB, cfg Config) *Planet {
	tb.Helper()
	p := &Planet{TestStorage: newStorage(tb), cfg: cfg}
	if p.cfg.Limits == (querytree.Limits{}) {
		p.cfg.Limits = querytree.DefaultLimits()
		// A machine that stalls for half a minute must not make an answer partial:
		// what is compared is values, and deadlines have tests of their own.
		p.cfg.Limits.ChildDeadline = 10 * time.Minute
	}
	byZone := make([][]querytree.Child, max(1, len(cfg.Zones)))
	for i, l := range cfg.Leaves {
		for r := range cfg.Outages.replicas() {
			store := newStorage(tb)
			child := p.newLeaf(tb, cfg.Outages.identity(l, r), store, cfg.Outages.gaps(i, r))
			p.LeafStores = append(p.LeafStores, store)
			p.LeafChildren = append(p.LeafChildren, child)
			byZone[l.Zone] = append(byZone[l.Zone], p.connect(tb, child))
		}
	}
	p.Root = p.mixer(tb, querytree.Identity{Tier: querytree.TierRoot}, nil, p.belowRoot(tb, byZone))
	p.oracle = promqltest.NewTestEngineWithOpts(tb, querytree.EngineOpts(p.engineConfig(), querytree.NewParser()))
	tb.Cleanup(func() { p.checkHeld(tb) })
	tb.Cleanup(func() { p.verdicts.check(tb) })
	return p
}

// registry returns the registry of one more tier.
func (p *Planet) registry() *prometheus.Registry {
	r := prometheus.NewRegistry()
	p.registries = append(p.registries, r)
	return r
}

// checkHeld fails the test if any tier believes that it still holds something
// for queries that have ended: some day it would refuse all others.
func (p *Planet) checkHeld(tb testing.TB) {
	for begin := time.Now(); ; runtime.Gosched() {
		var held []string
		for i, r := range p.registries {
			all, err := r.Gather()
			if err != nil {
				tb.Fatal(err)
			}
			for _, f := range all {
				if n := f.Metric[0].GetGauge().GetValue(); f.GetName() == "pando_tree_held_bytes" && n != 0 {
					held = append(held, fmt.Sprintf("tier %d: %v bytes", i, n))
				}
			}
		}
		if len(held) == 0 {
			return
		}
		if time.Since(begin) > 10*time.Second { // What was cancelled ends soon.
			tb.Errorf("queries that have ended hold memory: %v", held)
			return
		}
	}
}

// belowRoot returns the root's children, made of the leaves of each zone.
func (p *Planet) belowRoot(tb testing.TB, byZone [][]querytree.Child) []querytree.Child {
	if len(p.cfg.Zones) == 0 {
		return byZone[0]
	}
	var zones, groups []querytree.Child
	for i, z := range p.cfg.Zones {
		m := p.mixer(tb, z, p.cfg.ZoneShardKey, byZone[i])
		p.ZoneMixers = append(p.ZoneMixers, m)
		zones = append(zones, p.connect(tb, m))
	}
	if len(p.cfg.Groups) == 0 {
		return zones
	}
	for _, g := range p.cfg.Groups {
		var below []querytree.Child
		for _, i := range g.Zones {
			below = append(below, zones[i])
		}
		groups = append(groups, p.connect(tb, p.mixer(tb, g.Identity, nil, below)))
	}
	return groups
}

func newStorage(tb testing.TB) *teststorage.TestStorage {
	return teststorage.New(tb, func(o *tsdb.Options) {
		o.EnableSTStorage = true
		o.FloatChunkEncoding = chunkenc.EncXOR2
		o.EnableHistogramSTEncoding = true
		// A script makes hundreds of planets, which stay until it ends: 11 MiB
		// each by default, for exemplars and locks alone.
		o.MaxExemplars, o.StripeSize = 1000, 64
	})
}

// Mixer returns the root's; querytree.Engine looks for it.
func (p *Planet) Mixer() *querytree.Mixer { return p.Root }

func (p *Planet) connect(tb testing.TB, c querytree.Child) querytree.Child {
	if p.cfg.Connect == nil {
		return c
	}
	return p.cfg.Connect(tb, c)
}

func (p *Planet) engineConfig() querytree.MixerConfig {
	return querytree.MixerConfig{
		Limits: p.cfg.Limits, Lookback: Lookback, SubqueryStep: SubqueryStep,
		DelayedNameRemoval: p.cfg.DelayedNameRemoval, UseStartTimestamps: true,
	}
}

func (p *Planet) newLeaf(tb testing.TB, l Leaf, store *teststorage.TestStorage, gaps []querytree.Interval) querytree.Child {
	opts := querytree.EngineOpts(p.engineConfig(), querytree.NewParser())
	engine := promqltest.NewTestEngineWithOpts(tb, opts)
	c, err := querytree.NewLocal(querytree.LocalConfig{
		Engine: engine, EngineOpts: &opts, Samples: store, Chunks: store, Exemplars: store, Limits: p.cfg.Limits, Registerer: p.registry(),
		Describe: func() querytree.Description {
			return querytree.Description{Identity: l.Identity, ShardKey: l.ShardKey, Mint: math.MinInt64, Maxt: math.MaxInt64, Leaves: 1, Gaps: gaps, Features: []string{querytree.FeatureOps, querytree.FeatureStats, querytree.FeatureExplain}}
		},
	})
	if err != nil {
		tb.Fatal(err)
	}
	if p.cfg.LeafRewriter == nil {
		return c
	}
	w := &lateRewriter{}
	rolled, err := querytree.NewRolled(c, w)
	if err != nil {
		tb.Fatal(err)
	}
	w.Rewriter = p.cfg.LeafRewriter(tb, rolled.Mixer())
	return rolled
}

func (p *Planet) mixer(tb testing.TB, id querytree.Identity, shardKey []string, children []querytree.Child) *querytree.Mixer {
	var members []querytree.Member
	for _, c := range children {
		members = append(members, querytree.Member{Child: c, Description: c.Describe(), Connected: true})
	}
	cfg := p.engineConfig()
	cfg.Registerer = p.registry()
	cfg.Members = func() []querytree.Member { return members }
	cfg.Describe = func() querytree.Description {
		return querytree.Description{Identity: id, ShardKey: shardKey, Mint: math.MinInt64, Maxt: math.MaxInt64, Leaves: len(children), Features: querytree.MixerFeatures()}
	}
	if p.cfg.Pruner != nil {
		cfg.Pruner = p.cfg.Pruner(tb, children)
	}
	var rewriter *lateRewriter
	if p.cfg.Rewriter != nil {
		rewriter = &lateRewriter{}
		cfg.Rewriter = rewriter
	}
	if p.cfg.Own != nil {
		cfg.Own = &querytree.Own{}
	}
	m, err := querytree.NewMixer(cfg)
	if err != nil {
		tb.Fatal(err)
	}
	if cfg.Own != nil {
		*cfg.Own = p.cfg.Own(tb, m)
	}
	if rewriter != nil {
		rewriter.Rewriter = p.cfg.Rewriter(tb, m)
	}
	return m
}

// lateRewriter is one that is made after its mixer.
type lateRewriter struct{ querytree.Rewriter }

// Distance implements querytree.Aligner.
func (l *lateRewriter) Distance(n *parser.AggregateExpr, at querytree.RewriteAt) int64 {
	if a, ok := l.Rewriter.(querytree.Aligner); ok {
		return a.Distance(n, at)
	}
	return 0
}

// place returns the leaf that stores a series.
func (p *Planet) place(l labels.Labels) int {
	if p.cfg.Place != nil {
		return p.cfg.Place(l)
	}
	for i, leaf := range p.cfg.Leaves {
		if leaf.Labels.Get("zone") == l.Get("zone") && leaf.Labels.Get("cluster") == l.Get("cluster") {
			return i
		}
	}
	panic(fmt.Sprintf("treetest: no leaf for %s", l))
}

// AppenderV2 implements storage.AppendableV2.
func (p *Planet) AppenderV2(ctx context.Context) storage.AppenderV2 {
	a := &appender{p: p, oracle: p.TestStorage.AppenderV2(ctx)}
	for _, s := range p.LeafStores {
		a.leaves = append(a.leaves, s.AppenderV2(ctx))
	}
	return a
}

// appender appends to the oracle and to the leaf in charge.
type appender struct {
	p      *Planet
	oracle storage.AppenderV2
	leaves []storage.AppenderV2
}

func (a *appender) Append(_ storage.SeriesRef, l labels.Labels, st, t int64, v float64, h *histogramT, fh *floatHistogramT, opts storage.AOptions) (storage.SeriesRef, error) {
	i := a.p.place(l)
	if a.p.cfg.OnSeries != nil {
		a.p.cfg.OnSeries(l, i, a.p.cfg.Leaves[i].Zone)
	}
	if err := a.append(i, t, func(to storage.AppenderV2) error {
		_, err := to.Append(0, l, st, t, v, h, fh, opts)
		return err
	}); err != nil {
		return 0, err
	}
	_, err := a.oracle.Append(0, l, st, t, v, h, fh, opts)
	return 0, err
}

func (a *appender) Commit() error {
	errs := []error{a.oracle.Commit()}
	for _, l := range a.leaves {
		errs = append(errs, l.Commit())
	}
	return errors.Join(errs...)
}

func (a *appender) Rollback() error {
	errs := []error{a.oracle.Rollback()}
	for _, l := range a.leaves {
		errs = append(errs, l.Rollback())
	}
	return errors.Join(errs...)
}

// Append appends one float sample.
func (p *Planet) Append(tb testing.TB, l labels.Labels, t int64, v float64, ex ...exemplar.Exemplar) {
	tb.Helper()
	app := p.AppenderV2(context.Background())
	if _, err := app.Append(0, l, 0, t, v, nil, nil, storage.AOptions{Exemplars: ex}); err != nil {
		tb.Fatal(err)
	}
	if err := app.Commit(); err != nil {
		tb.Fatal(err)
	}
}
