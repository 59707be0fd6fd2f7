package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"path/filepath"
	"time"

	"github.com/alecthomas/kingpin/v2"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/pandometrics/pando/fieldhint"
	"github.com/pandometrics/pando/querytree"
	"github.com/pandometrics/pando/querytree/tier"
	"github.com/pandometrics/pando/querytree/treehttp"
	"github.com/pandometrics/pando/querytree/treerpc"
	"github.com/pandometrics/pando/rollup/keep"
	"github.com/pandometrics/pando/root"
	"github.com/pandometrics/pando/zone"
)

// mixFlags are those of pando zone and pando root; a root has neither identity
// nor parents.
type mixFlags struct {
	commonFlags
	identityFlags
	parentFlags
	childrenFlags
	rollupFlags
	ruleFlags
	rolloutFlags
	otherLoopsFlags
	pull pullFlags
}

func (f *mixFlags) register(c *kingpin.CmdClause, dataDir string) {
	f.pull.register(c)
	f.childrenFlags.register(c, dataDir)
	f.commonFlags.register(c)
	f.commonFlags.registerMix(c)
	f.rollupFlags.registerMix(c)
	f.ruleFlags.register(c)
	limited(c, f)
}

func zoneCommand(app *kingpin.Application, out streams) (string, command) {
	c := app.Command("zone", "Mix the leaves of a region, or the zones of a larger one.")
	f := &mixFlags{}
	f.registerZone(c)
	f.register(c, "data/zone")
	f.parentFlags.register(c)
	return c.FullCommand(), func(ctx context.Context) error { return runMix(ctx, *f, querytree.TierZone, out) }
}

func rootCommand(app *kingpin.Application, out streams) (string, command) {
	c := app.Command("root", "Mix the zones of the planet.")
	f := &mixFlags{}
	f.register(c, "data/root")
	f.rolloutFlags.register(c)
	f.otherLoopsFlags.register(c)
	return c.FullCommand(), func(ctx context.Context) error { return runMix(ctx, *f, querytree.TierRoot, out) }
}

func runMix(ctx context.Context, f mixFlags, kind string, out streams) error {
	f.alone = true
	ready := collectOften()
	spareProcessor()
	f.turns = querytree.NewTurns(0, f.lowPriority)
	logger, err := f.logger(out.err)
	if err != nil {
		return err
	}
	n, _, err := openMix(f, kind, logger, newRegistry(), nil)
	if err != nil {
		return err
	}
	ready()
	n.announce(out.out)
	n.add(reloadOnHangup(n.reload, logger))
	return n.Run(ctx)
}

// checkHold refuses to forget children before points of rollups are made without
// them: such points would pass for whole.
func (f *mixFlags) checkHold() error {
	hold := cmp.Or(time.Duration(f.hold), keep.DefaultCollectorConfig().Hold)
	if f.file == "" || f.forgetAfter == 0 || f.forgetAfter > hold {
		return nil
	}
	return fmt.Errorf("--child.forget-after=%v must be longer than --rollup.hold=%v: points of rollups are marked as made without a child only while it is known; 0 never forgets", f.forgetAfter, hold)
}

// tellHangup tells what SIGHUP does to a tier that has no configuration file.
func (n *node) tellHangup(kind, queryLog string) func() error {
	other := []any{"tier", kind}
	if queryLog != "" {
		other = append(other, "reopened", "--query.log-file")
	}
	if n.webConfig != "" {
		other = append(other, "read_with_each_request", "--web.config.file")
	}
	return func() error {
		n.logger.Info("nothing to reload: there is no configuration file, and flags take effect at the start", other...)
		return nil
	}
}

// openMix binds the addresses of a zone or root and builds it. links, which may
// be nil, are shown on its front page.
func openMix(f mixFlags, kind string, logger *slog.Logger, reg *prometheus.Registry, links func() []treehttp.Link) (_ *node, _ *keeping, err error) {
	id, err := f.identity(kind)
	if err != nil {
		return nil, nil, err
	}
	if err := f.checkHold(); err != nil {
		return nil, nil, err
	}
	if f.dataDir == "" {
		return nil, nil, errors.New("--storage.path must not be empty: without it, a restart forgets which children may be missing")
	}
	n := &node{name: displayName(id), logger: logger, webConfig: f.webConfigFile}
	if n.authenticated, err = checksPasswords(f.webConfigFile); err != nil {
		return nil, nil, err
	}
	defer func() {
		if err != nil {
			_ = n.Close()
		}
	}()
	if n.http, err = listen("web.listen-address", f.httpAddress); err != nil {
		return nil, nil, err
	}
	if n.grpc, err = listen("grpc.listen-address", f.address); err != nil {
		return nil, nil, err
	}
	n.startHTTP()
	if err := n.serveLoops(f); err != nil {
		return nil, nil, err
	}
	if err := n.logQueries(f.queryLog); err != nil {
		return nil, nil, err
	}
	traces, err := n.trace(f.commonFlags, id)
	if err != nil {
		return nil, nil, err
	}
	k, err := openKeeping(f.rollupFlags, id.Tier, filepath.Join(f.dataDir, "rollups"), time.Duration(f.lookback), logger, reg)
	if err != nil {
		return nil, nil, err
	}
	n.closers = append(n.closers, k.store.Close)
	r, err := openRules(f, id, logger)
	if err != nil {
		return nil, nil, err
	}
	n.closers = append(n.closers, r.close)
	t, offered, err := n.buildTier(f, id, k, r, logger, reg)
	if err != nil {
		return nil, nil, err
	}
	f.retune.tunesTier(t)
	if !f.hints && !f.retune.fixed("query.hints") { // it has them, to use them later
		now := f.tuning()
		if err := t.Retune(now.tree, now.cache); err != nil {
			return nil, nil, cmp.Or(now.validate(), err)
		}
	}
	if err := n.serveChildren(f.childrenFlags, t, logger, reg); err != nil {
		return nil, nil, err
	}
	below, err := tierRelay(f.parentFlags, t, logger, reg)
	if err != nil {
		return nil, nil, err
	}
	link, err := n.dialParents(f.parentFlags, below.Child(t.Mixer), hintSource(offered), logger, reg)
	if err != nil {
		return nil, nil, err
	}
	cfg := mixHTTP(f, n, t, liveTree{child: t.Mixer, link: link, roster: t.Roster}, reg, logger)
	told := liveDelivery{engine: cfg.Engine, series: cfg.Queryable, leaf: r.leaf}
	cfg.Delivery = told
	cfg.Console = console(logger)
	cfg.Below = below
	cfg.Links, cfg.Hints, cfg.Rollups = links, liveHints{describe: t.Mixer.Describe, own: offered, tier: t}, k.rollups()
	n.reload = f.pull.before(k.after(r.reload(f.retune.alone(n.tellHangup(kind, f.queryLog), logger))))
	if r.leaf != nil {
		n.revision = r.leaf.Revision
	}
	r.serve(&cfg, n.reload)
	if f.pull.follower != nil || f.retune != nil {
		cfg.Reload = n.reload
	}
	if err := f.pull.tell(reg); err != nil {
		return nil, nil, err
	}
	h, err := treehttp.New(cfg)
	if err != nil {
		return nil, nil, err
	}
	f.retune.tunesHTTP(h)
	if f.alone {
		f.process(nil)
	}
	below.Serve(h)
	all, err := f.rolloutFlags.mount(h, kind, told, n.authenticated)
	if err != nil {
		return nil, nil, err
	}
	n.serve(traces(all))
	return n, k, nil
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

// defaultSubqueryStep is the resolution of subqueries that name none: the
// default evaluation interval of Prometheus.
const defaultSubqueryStep = time.Minute

// hintSource returns the set as a source of hints; a nil set is none.
func hintSource(set *fieldhint.Set) treerpc.HintSource {
	if set == nil {
		return nil
	}
	return set
}

// mixHTTP describes the HTTP API of a zone or root.
func mixHTTP(f mixFlags, n *node, t *tier.Tier, tree liveTree, reg *prometheus.Registry, logger *slog.Logger) treehttp.Config {
	return treehttp.Config{
		Engine: querytree.Engine{}, Queryable: t.Mixer, Exemplars: t.Mixer, Metadata: t.Mixer.Metadata,
		Describe: t.Mixer.Describe, Tree: tree, Limits: f.limits, Turns: f.turns, Defaults: f.defaults(),
		Authenticated: n.authenticated,
		Lookback:      time.Duration(f.lookback), Ready: t.Ready, Flags: f.shown,
		ExternalURL: mustURL(f.commonFlags), ListenAddress: n.http.Addr().String(),
		ExplainSlowerThan: f.explainSlower, QueryLog: n.queries,
		Gatherer: reg, Registerer: reg, Logger: logger,
	}
}

// mustURL returns the external URL; that it parses was checked before.
func mustURL(f commonFlags) *url.URL {
	u, err := f.url()
	if err != nil {
		return nil
	}
	return u
}

// middleware wraps a handler.
type middleware func(http.Handler) http.Handler
