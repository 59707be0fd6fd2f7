package main

import (
	"context"
	"os"
	"os/signal"
	"time"

	"github.com/alecthomas/kingpin/v2"

	"github.com/pandometrics/pando/cmd/pando/client"
	"github.com/pandometrics/pando/rollup"
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

// suggestCommand proposes rules.
func suggestCommand(app *kingpin.Application, out streams) (string, command) {
	c := rollupCommand(app).Command("suggest", "Propose rollup rules for the queries of a query log, those first that save most, and say what none would help. Exits with 3 if a child is missing from what --url answers.")
	o, server, output := client.SuggestOptions{Input: os.Stdin}, serverFlags{}, ""
	c.Arg("file", "Query logs, as --query.log-file writes them; - is the standard input, which is read if neither a file nor --url is given.").StringsVar(&o.Files)
	c.Flag("url", "HTTP address of a tier whose recent queries to look at too, and to ask how many series each rule has.").StringVar(&server.server)
	server.registerReach(c)
	c.Flag("rollup.file", "Rules that there are already.").StringVar(&o.Have)
	c.Flag("tier", "Tier that is to keep the points; may be repeated.").Default(rollup.Root).EnumsVar(&o.Tiers, rollup.Tiers()...)
	c.Flag("min-times", "How often something must have been asked for.").Default("2").Int64Var(&o.MinTimes)
	c.Flag("top", "How many rules to propose at most.").Default("20").IntVar(&o.Top)
	c.Flag("output", "yaml, table or json.").Short('o').Default(string(client.YAML)).EnumVar(&output, client.SuggestFormats()...)
	c.Flag("timeout", "Longest time to wait for the series of a rule.").Default(time.Minute.String()).DurationVar(&o.Timeout)
	return c.FullCommand(), func(ctx context.Context) error {
		if len(o.Files) == 0 && server.server == "" {
			o.Files = []string{"-"}
		}
		var err error
		if o.Server, o.HTTP, err = server.reach(); err != nil {
			return err
		}
		o.Format = client.Format(output)
		return asError(client.Suggest(ctx, o, out.out, out.err))
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
