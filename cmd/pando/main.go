// Command pando is every tier of a planet-wide Prometheus in one binary: leaf,
// zone and root, all of them at once as dev, and the commands of those who use
// them.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"github.com/alecthomas/kingpin/v2"
	promversion "github.com/prometheus/common/version"
)

// version is set by the Makefile.
var version = "dev"

func main() {
	promversion.Version = buildVersion() // of pando_build_info
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := runMain(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// exitCode is an error that says how the process ends, all having been told.
type exitCode int

func (e exitCode) Error() string { return fmt.Sprintf("exit code %d", int(e)) }

// runMain parses the command line and runs the command. It returns the exit code.
func runMain(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	app, commands := newApp(stdout, stderr)
	name, err := app.Parse(args)
	if err != nil {
		fmt.Fprintf(stderr, "pando: %v; see pando --help\n", err)
		return 2
	}
	err = commands[name](ctx)
	var code exitCode
	switch {
	case err == nil:
		return 0
	case errors.As(err, &code):
		return int(code)
	default:
		fmt.Fprintf(stderr, "pando: %v\n", err)
		return 1
	}
}

// command runs until it is done or ctx ends.
type command func(ctx context.Context) error

// newApp describes the command line.
func newApp(stdout, stderr io.Writer) (*kingpin.Application, map[string]command) {
	app := kingpin.New("pando", "One Prometheus for a whole planet.")
	app.HelpFlag.Short('h')
	app.Version(buildVersion()).VersionFlag.Short('v')
	app.UsageWriter(stdout).ErrorWriter(stderr)
	app.UsageFuncs(usageFuncs()).UsageTemplate(usage)
	out := streams{stdout, stderr}
	commands := map[string]command{}
	for _, add := range []func(*kingpin.Application, streams) (string, command){
		devCommand, leafCommand, zoneCommand, rootCommand, queryCommand, whyCommand, whoHasCommand, treeCommand, checkConfigCommand, checkRollupsCommand,
		checkAggregationsCommand, checkPlanetCommand, configInitCommand, configRenderCommand, configDiffCommand, configSchemaCommand, rollupListCommand, rollupCoverageCommand, backfillCommand, suggestCommand,
		gitopsCommand, rolloutStatusCommand, rolloutWatchCommand, rolloutHistoryCommand, rolloutPauseCommand, rolloutResumeCommand, rolloutPromoteCommand,
		rolloutAbortCommand, rolloutRollbackCommand, completionCommand,
	} {
		name, c := add(app, out)
		commands[name] = c
	}
	return app, commands
}

// streams are where a command writes.
type streams struct{ out, err io.Writer }

// buildVersion returns the version of the binary, with the revision it was
// built from if known.
func buildVersion() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return version
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" && len(s.Value) >= 12 {
			return version + "+" + s.Value[:12]
		}
	}
	return version
}
