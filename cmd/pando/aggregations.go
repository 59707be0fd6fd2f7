package main

import (
	"context"
	"fmt"
	"io"

	"github.com/alecthomas/kingpin/v2"

	"github.com/pandometrics/pando/leaf"
	"github.com/pandometrics/pando/leaf/aggregate"
)

// checkAggregationsCommand checks a file of aggregation rules as a leaf would. The
// command check must be there.
func checkAggregationsCommand(app *kingpin.Application, out streams) (string, command) {
	c := app.GetCommand("check").Command("aggregations", "Check a file of aggregation rules as a leaf would, but for what depends on its identity.")
	file := c.Arg("file", "File of aggregation rules.").String()
	schema := c.Flag("schema", "Print the JSON schema of such files.").Bool()
	return c.FullCommand(), func(context.Context) error {
		if *schema {
			_, err := out.out.Write(aggregate.Schema)
			return err
		}
		summary, err := leaf.CheckAggregations(*file)
		if err != nil {
			fmt.Fprintf(out.err, "%s: %v\n", *file, err)
			return exitCode(1)
		}
		_, err = io.WriteString(out.out, summary)
		return err
	}
}
