package main

import (
	"context"
	"errors"
	"io"
	"time"

	"github.com/alecthomas/kingpin/v2"

	"github.com/pandometrics/pando/cmd/pando/client"
	"github.com/pandometrics/pando/rollup"
)

// checkCommand returns the command that all checks are below.
func checkCommand(app *kingpin.Application) *kingpin.CmdClause {
	if c := app.GetCommand("check"); c != nil {
		return c
	}
	return app.Command("check", "Check files before they are used.")
}

// checkRollupsCommand checks a file of rollup rules as a tier would.
func checkRollupsCommand(app *kingpin.Application, out streams) (string, command) {
	c := checkCommand(app).Command("rollups", "Check a file of rollup rules, and tell what each keeps. Exits with 3 if a child is missing from what --url answers.")
	var (
		o      client.RollupsOptions
		server serverFlags
		schema bool
	)
	c.Arg("file", "File of rollup rules.").StringVar(&o.File)
	c.Flag("schema", "Print the JSON schema of such files.").BoolVar(&schema)
	c.Flag("url", "HTTP address of a tier to ask how many series each rule has.").StringVar(&server.server)
	server.registerReach(c)
	c.Flag("timeout", "Longest time to wait for the series of a rule.").Default(time.Minute.String()).DurationVar(&o.Timeout)
	return c.FullCommand(), func(ctx context.Context) error {
		if schema {
			_, err := io.WriteString(out.out, rollup.Schema())
			return err
		}
		if o.File == "" {
			return errors.New("no file is given: name one, or ask for its --schema")
		}
		var err error
		if o.Server, o.HTTP, err = server.reach(); err != nil {
			return err
		}
		return asError(client.Rollups(ctx, o, out.out, out.err))
	}
}
