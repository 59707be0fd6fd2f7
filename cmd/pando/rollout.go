package main

import (
	"context"
	"os"
	"os/signal"
	"time"

	"github.com/alecthomas/kingpin/v2"

	"github.com/pandometrics/pando/cmd/pando/client"
	"github.com/pandometrics/pando/gitops"
)

// rolloutCommand returns the command that all about rollouts is below.
func rolloutCommand(app *kingpin.Application) *kingpin.CmdClause {
	if c := app.GetCommand("rollout"); c != nil {
		return c
	}
	return app.Command("rollout", "Follow and steer how a revision of the configuration reaches the clusters.")
}

// loopFlags say which control loop is asked.
type loopFlags struct {
	serverFlags
	cluster string
}

func (f *loopFlags) register(c *kingpin.CmdClause) {
	c.Flag("server", "HTTP address of a cluster's control loop, or of a root that knows the loops; "+client.DefaultLoop+" by default, or else "+client.DefaultServer+".").PlaceHolder("URL").StringVar(&f.server)
	c.Flag("cluster", "Cluster whose loop is meant, where a root is asked; all if empty.").StringVar(&f.cluster)
	f.registerReach(c)
}

// rolloutStatusCommand shows one loop's view.
func rolloutStatusCommand(app *kingpin.Application, out streams) (string, command) {
	c := rolloutCommand(app).Command("status", "Show what a cluster runs, what it waits for and why, and what the waves run. Exits with 3 if it is stalled or failing.")
	return showRollout(c, out, client.RolloutOptions{})
}

// rolloutWatchCommand shows it again and again.
func rolloutWatchCommand(app *kingpin.Application, out streams) (string, command) {
	c := rolloutCommand(app).Command("watch", "Show each change of that, until interrupted.")
	return showRollout(c, out, client.RolloutOptions{Watch: 2 * time.Second})
}

// rolloutHistoryCommand lists what happened.
func rolloutHistoryCommand(app *kingpin.Application, out streams) (string, command) {
	c := rolloutCommand(app).Command("history", "List what a cluster's loop has done, and why.")
	return showRollout(c, out, client.RolloutOptions{History: true})
}

func showRollout(c *kingpin.CmdClause, out streams, o client.RolloutOptions) (string, command) {
	f, output := loopFlags{}, ""
	f.register(c)
	c.Flag("output", "table or json.").Short('o').Default(string(client.Table)).EnumVar(&output, string(client.Table), string(client.JSON))
	return c.FullCommand(), func(ctx context.Context) error {
		ctx, stop := signal.NotifyContext(ctx, os.Interrupt)
		defer stop()
		var err error
		if o.Server, o.HTTP, err = f.reach(); err != nil {
			return err
		}
		o.Format, o.Cluster = client.Format(output), f.cluster
		return asError(client.Rollout(ctx, o, out.out, out.err))
	}
}

// steering are the commands that change something.
func steering() map[string]string {
	return map[string]string{
		gitops.CommandPause:    "Let no cluster advance, until this one is resumed. Returning to good revisions goes on.",
		gitops.CommandResume:   "End what pause, rollback and promote began at a cluster.",
		gitops.CommandPromote:  "Let one cluster take a revision now, without waiting for its turn and for gates.",
		gitops.CommandAbort:    "Reject a revision: every cluster that runs it returns to its last good one, and none takes it again.",
		gitops.CommandRollback: "Return one cluster to an earlier revision, and pause the others until it is resumed.",
	}
}

func rolloutPauseCommand(app *kingpin.Application, out streams) (string, command) {
	return steer(app, out, gitops.CommandPause)
}

func rolloutResumeCommand(app *kingpin.Application, out streams) (string, command) {
	return steer(app, out, gitops.CommandResume)
}

func rolloutPromoteCommand(app *kingpin.Application, out streams) (string, command) {
	return steer(app, out, gitops.CommandPromote)
}

func rolloutAbortCommand(app *kingpin.Application, out streams) (string, command) {
	return steer(app, out, gitops.CommandAbort)
}

func rolloutRollbackCommand(app *kingpin.Application, out streams) (string, command) {
	return steer(app, out, gitops.CommandRollback)
}

// steer sends a command to a loop.
func steer(app *kingpin.Application, out streams, name string) (string, command) {
	c := rolloutCommand(app).Command(name, steering()[name])
	f, o := loopFlags{}, client.SteerOptions{Command: name}
	if name != gitops.CommandPause && name != gitops.CommandResume {
		c.Arg("revision", "Revision, or its first characters; the obvious one if empty.").StringVar(&o.Revision)
	}
	f.register(c)
	c.Flag("why", "For the history, and for those who ask.").StringVar(&o.Why)
	return c.FullCommand(), func(ctx context.Context) error {
		var err error
		if o.Server, o.HTTP, err = f.reach(); err != nil {
			return err
		}
		o.Cluster = f.cluster
		return asError(client.Steer(ctx, o, out.out, out.err))
	}
}
