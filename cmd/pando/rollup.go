package main

import (
	"context"
	"os"
	"os/signal"

	"github.com/alecthomas/kingpin/v2"

	"github.com/pandometrics/pando/cmd/pando/client"
)

// rollupCommand returns the command that all about live rollups is below.
func rollupCommand(app *kingpin.Application) *kingpin.CmdClause {
	if c := app.GetCommand("rollup"); c != nil {
		return c
	}
	return app.Command("rollup", "What a tier keeps of rollups.")
}

// rollupListCommand lists the rules of a tier.
func rollupListCommand(app *kingpin.Application, out streams) (string, command) {
	c := rollupCommand(app).Command("ls", "List the rollups that a tier keeps, and how far they are. Exits with 3 if points that are due are not there.")
	return listRollups(c, out, false)
}

// rollupCoverageCommand lists the points that are not whole.
func rollupCoverageCommand(app *kingpin.Application, out streams) (string, command) {
	c := rollupCommand(app).Command("coverage", "List which points of rollups are not there or not whole, and who had no part in them. Exits with 3 if there are any.")
	return listRollups(c, out, true)
}

func listRollups(c *kingpin.CmdClause, out streams, coverage bool) (string, command) {
	o, server, output := client.RollupListOptions{Coverage: coverage}, serverFlags{}, ""
	c.Arg("rule", "Name of one rule; all if empty.").StringVar(&o.Rule)
	server.register(c)
	c.Flag("output", "table or json.").Short('o').Default(string(client.Table)).EnumVar(&output, string(client.Table), string(client.JSON))
	return c.FullCommand(), func(ctx context.Context) error {
		var err error
		if o.Server, o.HTTP, err = server.reach(); err != nil {
			return err
		}
		o.Format = client.Format(output)
		return asError(client.RollupList(ctx, o, out.out, out.err))
	}
}

// backfillCommand makes points of the past.
func backfillCommand(app *kingpin.Application, out streams) (string, command) {
	c := rollupCommand(app).Command("backfill", "Have a tier make the points of a rule from an earlier time on, from what the tiers below still have. Shows progress until they are there; the tier goes on if that is interrupted.")
	o, server := client.BackfillOptions{}, serverFlags{}
	c.Arg("rule", "Name of the rule.").Required().StringVar(&o.Rule)
	server.register(c)
	c.Flag("since", "How long ago to begin, such as 7d, or a time.").Required().StringVar(&o.Since)
	c.Flag("wait", "Wait until all points are there.").Default("true").BoolVar(&o.Wait)
	return c.FullCommand(), func(ctx context.Context) error {
		ctx, stop := signal.NotifyContext(ctx, os.Interrupt)
		defer stop()
		var err error
		if o.Server, o.HTTP, err = server.reach(); err != nil {
			return err
		}
		return asError(client.Backfill(ctx, o, out.out, out.err))
	}
}
