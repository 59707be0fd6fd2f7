package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/alecthomas/kingpin/v2"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/pandometrics/pando/gitops"
	"github.com/pandometrics/pando/gitops/dirs"
	"github.com/pandometrics/pando/leaf"
)

// leafGitopsFlags let a leaf run the control loop of its cluster itself: the
// flags of pando gitops, with gitops. before them.
type leafGitopsFlags struct {
	loop     gitopsFlags
	patience time.Duration

	node *node // of the loop; nil if there is none
	ctl  *gitops.Loop
	leaf resident
}

// gitopsPrefix is before the names of the loop's flags.
const gitopsPrefix = "gitops."

// register must come before that of flags whose files are read while the command
// line is parsed: they may be among what the loop delivers.
func (g *leafGitopsFlags) register(c *kingpin.CmdClause, f *leafFlags) {
	g.loop.registerSource(c, gitopsPrefix)
	g.loop.registerLoop(c, gitopsPrefix, "data/gitops")
	c.Flag(gitopsPrefix+"deliver.path", "Folder that the loop delivers to. From PATH/current/leaf come the files of --config.file, --rollup.file, --aggregate.file and --limits.file that are not given.").Default("data/planet").StringVar(&g.loop.dirs.Base)
	c.Flag(gitopsPrefix+"patience", "How long to wait at the start for the first configuration.").Default("5m").DurationVar(&g.patience)
	c.PreAction(func(*kingpin.ParseContext) error {
		if g.loop.source.URL == "" {
			return nil
		}
		return g.begin(f)
	})
}

// begin runs the loop until there is something for the leaf to begin with.
func (g *leafGitopsFlags) begin(f *leafFlags) (err error) {
	switch {
	case f.pull.folder != "":
		return errors.New("--config.pull and --gitops.git.url both say where the configuration comes from: use one")
	case f.cluster == "":
		return errors.New("--gitops.git.url needs --cluster, which names the cluster in planet.yaml")
	case g.loop.root == "":
		return errors.New("--gitops.git.url needs --gitops.root.url: the root is asked who runs which revision")
	}
	g.loop.loop.Cluster, g.loop.webConfigFile = f.cluster, f.webConfigFile
	g.loop.dirs.Workloads = append(g.loop.dirs.Workloads, dirs.Workload{Name: "leaf", Resident: &g.leaf})
	for _, to := range []struct {
		flag *string
		name string
	}{{&f.configFile, "prometheus.yml"}, {&f.rollupFlags.file, "rollups.yml"}, {&f.aggregateFile, "aggregations.yml"}, {&f.limitsFile, "limits.yml"}} {
		if *to.flag == "" {
			*to.flag = filepath.Join(g.loop.dirs.Base, "current", "leaf", to.name)
		}
	}
	// The flags of logging may not be parsed yet.
	logger := slog.New(slog.NewTextHandler(os.Stderr, nil)).With("part", "gitops")
	// Metrics of the process are the leaf's.
	n, loop, err := openGitops(&g.loop, logger, prometheus.NewRegistry())
	if err != nil {
		return err
	}
	g.node, g.ctl = n, loop
	// The command line is still being parsed: nobody else hears signals yet.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	ctx, cancel := context.WithTimeout(ctx, g.patience)
	defer cancel()
	if err := loop.Begin(ctx); err != nil {
		return errors.Join(err, g.close())
	}
	return nil
}

// join has the leaf's node run the loop.
func (g *leafGitopsFlags) join(leaf *node, out io.Writer) {
	if g.node == nil {
		return
	}
	g.leaf.open(leaf)
	leaf.add(g.node.Run)
	fmt.Fprintf(out, "%s in it listens on http://%s\n", g.node.name, g.node.http.Addr())
}

// settle is for a leaf that could not be opened because of cause. If a revision
// was being delivered, it may be to blame: then the loop goes on without the leaf
// until it has returned to another or delivered a newer one, so that the next
// start finds that. The loop would never run otherwise, and no commit help.
func (g *leafGitopsFlags) settle(ctx context.Context, cause error, out io.Writer) error {
	if g.node == nil {
		return cause
	}
	if g.ctl.Status().Pending == nil {
		return errors.Join(cause, g.close())
	}
	read := func() (string, error) {
		return leaf.DeliveredRevision(filepath.Join(g.loop.dirs.Base, "current", "leaf", "prometheus.yml"))
	}
	revision, err := read()
	if err != nil {
		return errors.Join(cause, err, g.close())
	}
	fmt.Fprintf(out, "the leaf does not open with revision %s: %v\nits control loop goes on without it for %v at most, to deliver another\n", revision, cause, g.patience)
	ctx, cancel := context.WithTimeout(ctx, g.patience)
	defer cancel()
	g.leaf.stuck.Store(&stuck{revision: revision, cause: cause, read: read, moved: cancel})
	return errors.Join(cause, g.node.Run(ctx))
}

// close releases the loop, where the leaf does not come to run it.
func (g *leafGitopsFlags) close() error {
	if g.node == nil {
		return nil
	}
	return g.node.Close()
}
