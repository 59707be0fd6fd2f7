package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"runtime"
	"syscall"
	"time"

	"github.com/alecthomas/kingpin/v2"
	"github.com/alecthomas/units"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/model"
	apiv1 "github.com/prometheus/prometheus/web/api/v1"

	"github.com/pandometrics/pando/fieldhint"
	"github.com/pandometrics/pando/leaf"
	"github.com/pandometrics/pando/querytree"
	"github.com/pandometrics/pando/querytree/treehttp"
)

// leafFlags are those of pando leaf.
type leafFlags struct {
	commonFlags
	identityFlags
	parentFlags
	rollupFlags
	pull           pullFlags
	gitops         *leafGitopsFlags // nil in dev
	finalDelay     model.Duration
	configFile     string
	aggregateFile  string
	dataDir        string
	retention      model.Duration
	retentionSize  units.Base2Bytes
	outOfOrder     model.Duration
	exemplars      int64
	walCompression string
	noLockfile     bool
	shardKey       []string
	scrape         scrapeFlags
	hints          bool
	hintBudget     fieldhint.Budget
	hintWindow     model.Duration
	admin          bool
	parallelism    int
	cores          *querytree.Cores // of the process
}

func (f *leafFlags) register(c *kingpin.CmdClause) {
	f.pull.register(c)
	f.gitops = &leafGitopsFlags{}
	f.gitops.register(c, f)
	f.registerLeaf(c)
	c.Flag("shard-key", "Label by which series were spread over the shards. Repeatable.").StringsVar(&f.shardKey)
	c.Flag("config.file", "Prometheus configuration file: what to scrape, rules, Alertmanagers.").StringVar(&f.configFile)
	c.Flag("aggregate.file", "Rules by which series are summed up before they are stored; read again with the configuration file.").StringVar(&f.aggregateFile)
	f.scrape.register(c)
	c.Flag("storage.tsdb.path", "Directory of the TSDB; that of a Prometheus opens as it is.").Default("data/leaf").StringVar(&f.dataDir)
	c.Flag("storage.tsdb.retention.time", "How long samples are kept; 15d if neither this nor the size is set.").SetValue(&f.retention)
	c.Flag("storage.tsdb.retention.size", "Most that blocks may take, such as 512MB.").BytesVar(&f.retentionSize)
	c.Flag("storage.tsdb.out-of-order-time-window", "How far behind the newest sample one may be appended.").Default("0s").SetValue(&f.outOfOrder)
	c.Flag("storage.exemplars", "Exemplars kept in memory; 0 for none.").Default("100000").Int64Var(&f.exemplars)
	c.Flag("storage.tsdb.wal-compression-type", "snappy, zstd or none.").Default("snappy").EnumVar(&f.walCompression, "snappy", "zstd", "none")
	c.Flag("storage.tsdb.no-lockfile", "Do not create a lock file.").BoolVar(&f.noLockfile)
	c.Flag("hints", "Offer field hints to parents.").Default("true").BoolVar(&f.hints)
	c.Flag("hints.bytes-per-series", "Memory that field hints may take at a parent for each series; less tells less of which labels go together; 0 means 2.").Default("2").Float64Var(&f.hintBudget.BytesPerSeries)
	c.Flag("hints.keep", "Label whose values and pairs are told in field hints whatever they take. Repeatable.").StringsVar(&f.hintBudget.Keep)
	c.Flag("hints.drop", "Label whose values are not told in field hints. Repeatable.").StringsVar(&f.hintBudget.Drop)
	c.Flag("hints.window", "Length of the windows of time by which field hints tell series apart that come and go; at least 2h.").Default("24h").SetValue(&f.hintWindow)
	c.Flag("web.enable-admin-api", "Allow to delete series and to take snapshots.").BoolVar(&f.admin)
	c.Flag("rollup.delay", "Age from which on samples are final, unless some came later during the last hour, or the out-of-order window is longer: rollups are made of them then.").Default("1m").SetValue(&f.finalDelay)
	f.parentFlags.register(c)
	f.registerLimits(c)
	limited(c, f)
}

// config completes the leaf's configuration.
func (f *leafFlags) config() (leaf.Config, error) {
	c := leaf.DefaultConfig()
	id, err := f.identity(querytree.TierLeaf)
	if err != nil {
		return c, err
	}
	if id.Labels.IsEmpty() {
		return c, errors.New("a leaf needs --zone and --cluster, or --external-label: they are on every series it serves")
	}
	c.Identity, c.ShardKey = id, f.shardKey
	c.DataDir, c.ConfigFile, c.AggregateFile = f.dataDir, f.configFile, f.aggregateFile
	c.Retention, c.RetentionBytes = time.Duration(f.retention), int64(f.retentionSize)
	c.OutOfOrderWindow, c.MaxExemplars = time.Duration(f.outOfOrder), f.exemplars
	c.WALCompression, c.NoLockfile = f.walCompression, f.noLockfile
	c.Limits, c.LookbackDelta = f.limits, time.Duration(f.lookback)
	c.QueryParallelism = f.parallelism
	if f.finalDelay > 0 {
		c.FinalDelay = time.Duration(f.finalDelay)
	}
	if f.hintWindow > 0 {
		c.HintWindow = time.Duration(f.hintWindow)
	}
	c.RefuseLinkLocal = f.scrape.refuse || f.pull.folder != "" || f.gitops != nil && f.gitops.loop.source.URL != ""
	if c.AllowLinkLocal, err = f.scrape.allowed(); err != nil {
		return c, err
	}
	c.ExternalURL, err = f.url()
	return c, err
}

func leafCommand(app *kingpin.Application, out streams) (string, command) {
	c := app.Command("leaf", "Keep one cluster's series: scrape, take remote write and OTLP, answer queries.")
	f := &leafFlags{}
	f.register(c)
	return c.FullCommand(), func(ctx context.Context) error {
		logger, err := f.logger(out.err)
		if err != nil {
			return err
		}
		if f.cores, err = querytree.NewCores(f.parallelism); err != nil {
			return err
		}
		f.turns = querytree.NewTurns(max(1, runtime.GOMAXPROCS(0)-1), f.lowPriority)
		spareProcessor()
		f.alone = true
		n, _, err := openLeaf(*f, logger, newRegistry())
		if err != nil {
			return f.gitops.settle(ctx, err, out.err)
		}
		n.announce(out.out)
		f.gitops.join(n, out.out)
		n.add(reloadOnHangup(n.reload, logger))
		return n.Run(ctx)
	}
}

// reloadOnHangup reloads upon SIGHUP.
func reloadOnHangup(reload func() error, logger *slog.Logger) func(context.Context) error {
	return func(ctx context.Context) error {
		hup := make(chan os.Signal, 1)
		signal.Notify(hup, syscall.SIGHUP)
		defer signal.Stop(hup)
		for {
			select {
			case <-ctx.Done():
				return nil
			case <-hup:
				if err := reload(); err != nil {
					logger.Error("configuration not reloaded; the old one keeps running", "err", err)
				}
			}
		}
	}
}

// leafHTTP describes the leaf's HTTP API.
func leafHTTP(f leafFlags, n *node, l *leaf.Leaf, tree liveTree, reg *prometheus.Registry, logger *slog.Logger) treehttp.Config {
	p := l.APIParts()
	return treehttp.Config{
		Engine: p.Engine, Queryable: p.Storage, Exemplars: p.Exemplars, Metadata: l.Child().Metadata,
		Describe: l.Describe, Tree: tree, Limits: f.limits, Turns: f.turns, Lookback: time.Duration(f.lookback),
		Authenticated: n.authenticated,
		Parts: treehttp.Parts{
			ScrapePools:   p.Scrape,
			Targets:       p.Scrape,
			Alertmanagers: p.Notifier,
			Rules:         p.Rules,
			TSDB:          p.Admin, TSDBDir: p.Dir, EnableAdmin: f.admin, Config: p.Config,
			Write: l.WriteHandler(), OTLP: l.OTLPHandler(),
		},
		Ready: func() error {
			if !l.Ready() {
				return errors.New("leaf is starting")
			}
			return nil
		},
		Reload: l.Reload, Flags: f.shown, ExternalURL: mustURL(f.commonFlags), ListenAddress: n.http.Addr().String(),
		Runtime: func(r *apiv1.RuntimeInfo) {
			r.StorageRetention = p.Retention()
			ok, at := p.ReloadStatus()
			r.ReloadConfigSuccess, r.LastConfigTime = ok, at
		},
		ExplainSlowerThan: f.explainSlower, QueryLog: n.queries,
		Gatherer: reg, Registerer: reg, Logger: logger,
	}
}

// checkConfigCommand checks a configuration file as a leaf would.
func checkConfigCommand(app *kingpin.Application, out streams) (string, command) {
	c := checkCommand(app).Command("config", "Check a Prometheus configuration file, and the rule files it names, as a leaf would.")
	file := c.Arg("file", "Configuration file.").Required().String()
	return c.FullCommand(), func(context.Context) error {
		summary, err := leaf.CheckConfig(*file)
		if err != nil {
			fmt.Fprintf(out.err, "%s: %v\n", *file, err)
			return exitCode(1)
		}
		_, err = io.WriteString(out.out, summary)
		return err
	}
}
