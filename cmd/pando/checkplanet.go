package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"

	"github.com/alecthomas/kingpin/v2"

	"github.com/pandometrics/pando/cmd/pando/client"
	gitplanet "github.com/pandometrics/pando/gitops/planet"
	"github.com/pandometrics/pando/gitops/ruletest"
)

// Forms of what is told.
const (
	asText = "text"
	asJSON = "json"
)

// checkPlanetCommand checks a repository as the control loop would before it
// delivers anything.
func checkPlanetCommand(app *kingpin.Application, out streams) (string, command) {
	c := checkCommand(app).Command("planet", "Check a configuration repository whole, as the control loop does: all files, what they refer to, what every cluster would get, and rule unit tests. Exits with 1 if there are errors.")
	dir := c.Arg("dir", "Directory of the repository.").Default(".").String()
	form := c.Flag("output", "text or json.").Short('o').Default(asText).Enum(asText, asJSON)
	cluster := c.Flag("cluster", "Check what this cluster would get only.").String()
	tests := c.Flag("tests", "Run rule unit tests.").Default("true").Bool()
	timeout := c.Flag("tests.timeout", "How long all rule unit tests may take together; the control loop gives them 20s. 0 is no bound.").Default("2m").Duration()
	return c.FullCommand(), func(ctx context.Context) error {
		opts := gitplanet.CheckOptions{Context: ctx, Cluster: *cluster, TestTimeout: *timeout}
		if *tests {
			opts.Tests = ruletest.Runner{}
		}
		var (
			p        *gitplanet.Planet
			problems gitplanet.Problems
		)
		err := readRepository(*dir, func(fsys fs.FS) error {
			p, problems = gitplanet.Validate(fsys, opts)
			return nil
		})
		if err != nil {
			return err
		}
		if *form == asJSON {
			err = jsonProblems(out.out, problems)
		} else {
			err = textProblems(out, *dir, p, problems)
		}
		if err == nil && problems.Failed() {
			return exitCode(1)
		}
		return err
	}
}

// textProblems writes a line for each problem, or sums up the planet if there is
// no error.
func textProblems(out streams, dir string, p *gitplanet.Planet, problems gitplanet.Problems) error {
	for _, problem := range problems {
		fmt.Fprintln(out.err, client.Printable(problem.String()))
	}
	if problems.Failed() || p == nil {
		return nil
	}
	_, err := fmt.Fprintf(out.out, "%s is valid: %d clusters, %d waves\n", dir, len(p.Clusters()), len(p.Waves()))
	return err
}

func jsonProblems(w io.Writer, problems gitplanet.Problems) error {
	if problems == nil {
		problems = gitplanet.Problems{}
	}
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(struct {
		Valid    bool               `json:"valid"`
		Problems gitplanet.Problems `json:"problems"`
	}{!problems.Failed(), problems})
}

// tell writes the problems of a planet that could not be read, a line each.
func tell(out streams, err error) error {
	var problems gitplanet.Problems
	if !errors.As(err, &problems) {
		return err
	}
	for _, p := range problems {
		fmt.Fprintln(out.err, client.Printable(p.String()))
	}
	return exitCode(1)
}
