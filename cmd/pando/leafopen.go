package main

import (
	"errors"
	"log/slog"
	"path/filepath"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/prometheus/promql"

	"github.com/pandometrics/pando/fieldhint"
	"github.com/pandometrics/pando/leaf"
	"github.com/pandometrics/pando/querytree"
	"github.com/pandometrics/pando/querytree/relay"
	"github.com/pandometrics/pando/querytree/treehttp"
	"github.com/pandometrics/pando/querytree/treerpc"
)

// leafOpening is a leaf that is being put together: its parts, in the order in which
// they are made, each of those before it.
type leafOpening struct {
	*node
	f      leafFlags
	cfg    leaf.Config
	reg    *prometheus.Registry
	traces middleware

	hints   *fieldhint.Set // nil if none are offered
	keeping *keeping
	leaf    *leaf.Leaf
	child   querytree.Child // the leaf, with its rollups
	engine  promql.QueryEngine
	below   *relay.Relay
	link    *treerpc.Link
}

// openLeaf binds the leaf's address, then opens its storage, which may replay a
// WAL for a while.
func openLeaf(f leafFlags, logger *slog.Logger, reg *prometheus.Registry) (_ *node, _ *leaf.Leaf, err error) {
	o := leafOpening{f: f, reg: reg}
	if o.cfg, err = f.config(); err != nil {
		return nil, nil, err
	}
	if o.node, o.traces, err = openNode(f.commonFlags, o.cfg.Identity, nil, logger); err != nil {
		return nil, nil, err
	}
	for _, step := range []func() error{o.openStorage, o.connect, o.openHTTP} {
		if err := step(); err != nil {
			return nil, nil, errors.Join(err, o.Close())
		}
	}
	return o.node, o.leaf, nil
}

// openStorage opens the leaf's series, and the rollups that it makes of them.
func (o *leafOpening) openStorage() (err error) {
	f, cfg := o.f, o.cfg
	deps := leaf.Deps{Logger: o.logger, Registerer: o.reg, Version: buildVersion(), Cores: f.cores, Turns: f.turns, Beside: f.retune.beside(o.logger)}
	if f.hints {
		if o.hints, err = fieldhint.NewSet(fieldhint.SetConfig{External: cfg.Identity.Labels, Registerer: o.reg, Budget: f.hintBudget}); err != nil {
			return err
		}
		deps.Hints = o.hints
	}
	dir := filepath.Join(cfg.DataDir, "pando-rollups")
	if o.keeping, err = openKeeping(f.rollupFlags, querytree.TierLeaf, dir, cfg.LookbackDelta, o.logger, o.reg); err != nil {
		return err
	}
	o.closers = append(o.closers, o.keeping.store.Close)
	if err := o.keeping.offer(o.hints); err != nil {
		return err
	}
	deps.Restater = o.keeping.past
	if o.leaf, err = leaf.Open(cfg, deps); err != nil {
		return err
	}
	o.closers = append(o.closers, o.leaf.Close)
	o.add(o.leaf.Run)
	if err := o.keeping.collectLeaf(o.node, o.leaf); err != nil {
		return err
	}
	f.retune.tunes(func(t tuning) error { return o.leaf.Retune(t.tree) })
	o.child, o.engine, err = o.keeping.rolled(o.leaf, f.retune)
	return err
}

// connect dials the parents.
func (o *leafOpening) connect() (err error) {
	if o.below, err = leafRelay(o.f.parentFlags, o.leaf, o.logger, o.reg); err != nil {
		return err
	}
	o.link, err = o.dialParents(o.f.parentFlags, o.below.Child(o.child), hintSource(o.hints), o.logger, o.reg)
	return err
}

// openHTTP serves the HTTP API of the whole.
func (o *leafOpening) openHTTP() error {
	f, n, l := o.f, o.node, o.leaf
	web := leafHTTP(f, n, l, liveTree{child: o.child, link: o.link}, o.reg, o.logger)
	web.Engine, web.Defaults = o.engine, f.defaults()
	web.Delivery = liveDelivery{engine: web.Engine, series: web.Queryable, leaf: l}
	web.Console = console(o.logger)
	web.Below = o.below
	web.Hints, web.Rollups = liveHints{describe: l.Describe, own: o.hints}, o.keeping.rollups()
	n.reload, n.revision = f.pull.before(o.keeping.after(l.Reload)), l.Revision
	web.Reload = n.reload
	if err := f.pull.tell(o.reg); err != nil {
		return err
	}
	h, err := treehttp.New(web)
	if err != nil {
		return err
	}
	f.retune.tunesHTTP(h)
	if f.alone {
		f.process(f.cores)
	}
	o.below.Serve(h)
	n.serve(o.traces(h))
	return nil
}
