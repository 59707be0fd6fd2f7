package main

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"time"

	"github.com/alecthomas/kingpin/v2"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/pandometrics/pando/fieldhint"
	"github.com/pandometrics/pando/querytree"
	"github.com/pandometrics/pando/querytree/tier"
	"github.com/pandometrics/pando/querytree/treehttp"
	"github.com/pandometrics/pando/querytree/treerpc"
	"github.com/pandometrics/pando/rollup/keep"
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
