package main

import (
	"cmp"
	"errors"
	"log/slog"
	"path/filepath"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/pandometrics/pando/fieldhint"
	"github.com/pandometrics/pando/querytree"
	"github.com/pandometrics/pando/querytree/relay"
	"github.com/pandometrics/pando/querytree/tier"
	"github.com/pandometrics/pando/querytree/treehttp"
	"github.com/pandometrics/pando/querytree/treerpc"
	"github.com/pandometrics/pando/root"
	"github.com/pandometrics/pando/zone"
)

// mixOpening is a zone or root that is being put together: its parts, in the order
// in which they are made, each of those before it.
type mixOpening struct {
	*node
	f      mixFlags
	id     querytree.Identity
	reg    *prometheus.Registry
	traces middleware

	keeping *keeping
	rules   *tierRules
	tier    *tier.Tier
	offered *fieldhint.Set // to the parents; nil if nothing is
	below   *relay.Relay
	link    *treerpc.Link
}

// openMix binds the addresses of a zone or root and builds it. links, which may
// be nil, are shown on its front page.
func openMix(f mixFlags, kind string, logger *slog.Logger, reg *prometheus.Registry, links func() []treehttp.Link) (_ *node, _ *keeping, err error) {
	o := mixOpening{f: f, reg: reg}
	if o.id, err = f.checked(kind); err != nil {
		return nil, nil, err
	}
	if o.node, o.traces, err = openNode(f.commonFlags, o.id, &f.address, logger); err != nil {
		return nil, nil, err
	}
	for _, step := range []func() error{
		func() error { return o.serveLoops(f) },
		o.openStorage, o.openTier, o.connect,
		func() error { return o.openHTTP(links) },
	} {
		if err := step(); err != nil {
			return nil, nil, errors.Join(err, o.Close())
		}
	}
	return o.node, o.keeping, nil
}

// checked returns the identity that the flags give, if they go together.
func (f *mixFlags) checked(kind string) (querytree.Identity, error) {
	id, err := f.identity(kind)
	if err != nil {
		return id, err
	}
	if f.dataDir == "" {
		return id, errors.New("--storage.path must not be empty: without it, a restart forgets which children may be missing")
	}
	return id, f.checkHold()
}

// openStorage opens what the tier keeps of its own: rollups, and what its rules record.
func (o *mixOpening) openStorage() (err error) {
	dir := filepath.Join(o.f.dataDir, "rollups")
	if o.keeping, err = openKeeping(o.f.rollupFlags, o.id.Tier, dir, time.Duration(o.f.lookback), o.logger, o.reg); err != nil {
		return err
	}
	o.closers = append(o.closers, o.keeping.store.Close)
	if o.rules, err = openRules(o.f, o.id, o.logger); err != nil {
		return err
	}
	o.closers = append(o.closers, o.rules.close)
	return nil
}

// openTier builds the zone or root, with the limits that are in effect.
func (o *mixOpening) openTier() (err error) {
	f := o.f
	if o.tier, o.offered, err = o.buildTier(f, o.id, o.keeping, o.rules, o.logger, o.reg); err != nil {
		return err
	}
	f.retune.tunesTier(o.tier)
	if f.hints || f.retune.fixed("query.hints") {
		return nil
	}
	now := f.tuning() // it has hints, to use them later
	if err := o.tier.Retune(now.tree, now.cache); err != nil {
		return cmp.Or(now.validate(), err)
	}
	return nil
}

// buildTier builds a zone or a root, and returns what it offers its parents, if
// anything.
func (n *node) buildTier(f mixFlags, id querytree.Identity, k *keeping, rules *tierRules, logger *slog.Logger, reg *prometheus.Registry) (*tier.Tier, *fieldhint.Set, error) {
	cfg := tier.Config{
		Identity: id, DataDir: f.dataDir, ForgetAfter: f.forgetAfter, Hints: f.hints || !f.retune.fixed("query.hints"), HintSize: f.hintSize, Limits: f.limits,
		Lookback: time.Duration(f.lookback), SubqueryStep: defaultSubqueryStep, StrictByDefault: !f.partial,
		Cache: &f.cache, Version: buildVersion(), Logger: logger, Registerer: reg,
		Rewriter: k.rewriter(id.Labels), Told: k.past.Told, Loaded: rules.loaded,
	}
	own := newOwnSeries(rules, k.store, id.Labels)
	var err error
	if cfg.Own, err = k.own(own, id.Labels, f.commonFlags); err != nil {
		return nil, nil, err
	}
	if id.Tier == querytree.TierRoot {
		r, err := root.New(root.Config{Tier: cfg})
		if err != nil {
			return nil, nil, err
		}
		own.tell(r.Tier, k)
		n.add(r.Run)
		rules.run(n, r.Tier.Mixer)
		return r.Tier, nil, k.collectTier(n, r.Tier)
	}
	z, err := zone.New(zone.Config{Tier: cfg})
	if err != nil {
		return nil, nil, err
	}
	if err := k.offer(z.Union); err != nil {
		return nil, nil, err
	}
	own.tell(z.Tier, k)
	n.add(z.Run)
	rules.run(n, z.Tier.Mixer)
	return z.Tier, z.Union, k.collectTier(n, z.Tier)
}

// connect lets children in, and dials the parents.
func (o *mixOpening) connect() (err error) {
	if err := o.serveChildren(o.f.childrenFlags, o.tier, o.logger, o.reg); err != nil {
		return err
	}
	if o.below, err = tierRelay(o.f.parentFlags, o.tier, o.logger, o.reg); err != nil {
		return err
	}
	o.link, err = o.dialParents(o.f.parentFlags, o.below.Child(o.tier.Mixer), hintSource(o.offered), o.logger, o.reg)
	return err
}

// openHTTP serves the HTTP API of the whole.
func (o *mixOpening) openHTTP(links func() []treehttp.Link) error {
	f, n, t, r := o.f, o.node, o.tier, o.rules
	cfg := mixHTTP(f, n, t, liveTree{child: t.Mixer, link: o.link, roster: t.Roster}, o.reg, o.logger)
	told := liveDelivery{engine: cfg.Engine, series: cfg.Queryable, leaf: r.leaf}
	cfg.Delivery = told
	cfg.Console = console(o.logger)
	cfg.Below = o.below
	cfg.Links, cfg.Hints, cfg.Rollups = links, liveHints{describe: t.Mixer.Describe, own: o.offered, tier: t}, o.keeping.rollups()
	n.reload = f.pull.before(o.keeping.after(r.reload(f.retune.alone(n.tellHangup(o.id.Tier, f.queryLog), o.logger))))
	if r.leaf != nil {
		n.revision = r.leaf.Revision
	}
	r.serve(&cfg, n.reload)
	if f.pull.follower != nil || f.retune != nil {
		cfg.Reload = n.reload
	}
	if err := f.pull.tell(o.reg); err != nil {
		return err
	}
	h, err := treehttp.New(cfg)
	if err != nil {
		return err
	}
	f.retune.tunesHTTP(h)
	if f.alone {
		f.process(nil)
	}
	o.below.Serve(h)
	all, err := f.rolloutFlags.mount(h, o.id.Tier, told, n.authenticated)
	if err != nil {
		return err
	}
	n.serve(o.traces(all))
	return nil
}
