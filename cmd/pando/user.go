package main

import (
	"context"
	"io"
	"time"

	"github.com/alecthomas/kingpin/v2"
	"github.com/prometheus/common/model"

	"github.com/pandometrics/pando/cmd/pando/client"
)

// queryCommand asks a tier a query.
func queryCommand(app *kingpin.Application, out streams) (string, command) {
	c := app.Command("query", "Ask a query. Exits with 3 if the answer is partial.")
	var (
		o           client.QueryOptions
		server      serverFlags
		format      string
		span        model.Duration
		step        stepValue
		timeout     time.Duration
		strict, any bool
	)
	c.Arg("expr", "PromQL expression.").Required().StringVar(&o.Expr)
	server.register(c)
	c.Flag("time", "Evaluation time, or end of --range: RFC3339 or Unix seconds; now if empty.").StringVar(&o.Time)
	c.Flag("range", "Ask for that much time before --time, such as 1h.").SetValue(&span)
	c.Flag("start", "Start of a range query.").StringVar(&o.Start)
	c.Flag("end", "End of a range query.").StringVar(&o.End)
	c.Flag("step", "Resolution of a range query, such as 1m, or 15 for seconds; a 60th of it if empty.").SetValue(&step)
	c.Flag("output", "table, json, csv or promql.").Short('o').Default("table").EnumVar(&format, client.Formats()...)
	c.Flag("strict", "Fail rather than answer without a child.").BoolVar(&strict)
	c.Flag("partial", "Answer without children that fail.").BoolVar(&any)
	c.Flag("stats", "Tell what was asked, pruned and missing.").BoolVar(&o.Stats)
	c.Flag("no-hints", "Do not prune by field hints.").BoolVar(&o.NoHints)
	c.Flag("no-pushdown", "Evaluate over raw series.").BoolVar(&o.NoPushdown)
	c.Flag("no-cache", "Evaluate anew in every tier.").BoolVar(&o.NoCache)
	c.Flag("no-rollup", "Do not answer from rollups.").BoolVar(&o.NoRollup)
	c.Flag("align", "Move the times of a range to where rollups have points.").BoolVar(&o.Align)
	c.Flag("timeout", "Longest time to wait.").Default("2m").DurationVar(&timeout)
	return c.FullCommand(), func(ctx context.Context) error {
		o.Format, o.Range, o.Step = client.Format(format), time.Duration(span), time.Duration(step)
		o.Strict, o.Partial, o.Timeout = strict, any, timeout
		var err error
		if o.Server, o.HTTP, err = server.reach(); err != nil {
			return err
		}
		return asError(client.Query(ctx, o, out.out, out.err))
	}
}

// whyCommand explains a query.
func whyCommand(app *kingpin.Application, out streams) (string, command) {
	c := app.Command("why", "Explain a query: its plan in every tier, who is asked and who is pruned by what, where the time goes.")
	var (
		o      client.WhyOptions
		server serverFlags
		span   model.Duration
		step   stepValue
	)
	c.Arg("expr", "PromQL expression.").Required().StringVar(&o.Expr)
	server.register(c)
	c.Flag("analyze", "Evaluate the query, and tell what each part took.").BoolVar(&o.Analyze)
	c.Flag("not", "Leaf, or a part of its name: say why it was not asked, or what it has.").StringVar(&o.Not)
	c.Flag("audit", "Ask again without hints, push-down, rollups and caches, and compare. Exits with 1 if an answer differs.").BoolVar(&o.Audit)
	c.Flag("at", "Evaluation time, or end of --range: RFC3339 or Unix seconds; now if empty, with --audit a minute ago.").StringVar(&o.Time)
	c.Flag("range", "A range query over that much time before --at, such as 1h.").SetValue(&span)
	c.Flag("start", "Start of a range query.").StringVar(&o.Start)
	c.Flag("end", "End of a range query.").StringVar(&o.End)
	c.Flag("step", "Resolution of a range query, such as 1m, or 15 for seconds; a 60th of it if empty.").SetValue(&step)
	c.Flag("output", "tree, json or dot (for graphviz; not with --not or --audit).").Short('o').Default(client.WhyTree).EnumVar(&o.Output, client.WhyTree, client.WhyJSON, client.WhyDot)
	c.Flag("verbose", "List every child.").BoolVar(&o.Verbose)
	c.Flag("strict", "Fail rather than answer without a child.").BoolVar(&o.Strict)
	c.Flag("no-hints", "Do not prune by field hints.").BoolVar(&o.NoHints)
	c.Flag("no-pushdown", "Evaluate over raw series.").BoolVar(&o.NoPushdown)
	c.Flag("no-rollup", "Do not answer from rollups.").BoolVar(&o.NoRollup)
	c.Flag("align", "Move the times of a range to where rollups have points.").BoolVar(&o.Align)
	c.Flag("timeout", "Longest time to wait.").Default("2m").DurationVar(&o.Timeout)
	return c.FullCommand(), func(ctx context.Context) error {
		o.Range, o.Step = time.Duration(span), time.Duration(step)
		var err error
		if o.Server, o.HTTP, err = server.reach(); err != nil {
			return err
		}
		return asError(client.Why(ctx, o, out.out, out.err))
	}
}

// whoHasCommand finds the leaves that may hold series.
func whoHasCommand(app *kingpin.Application, out streams) (string, command) {
	c := app.Command("who-has", "List the leaves that may hold series of a selector, and what rules out the others. Exits with 3 if some part of the tree did not tell.")
	var (
		o      client.WhoHasOptions
		span   model.Duration
		output string
	)
	c.Arg("selector", `Selector, such as 'up{job="api"}'.`).Required().StringVar(&o.Expr)
	c.Flag("server", "HTTP address of any tier.").Default(client.DefaultServer).StringVar(&o.Server)
	c.Flag("verify", "Ask the leaves how many series they have.").BoolVar(&o.Verify)
	c.Flag("time", "Time that it is about, or end of --range: RFC3339 or Unix seconds; now if empty.").StringVar(&o.Time)
	c.Flag("range", "That much time before --time too, such as 1h.").SetValue(&span)
	c.Flag("start", "Start of a time range.").StringVar(&o.Start)
	c.Flag("end", "End of a time range.").StringVar(&o.End)
	c.Flag("output", "table or json.").Short('o').Default(string(client.Table)).EnumVar(&output, string(client.Table), string(client.JSON))
	c.Flag("no-hints", "Do not prune by field hints.").BoolVar(&o.NoHints)
	c.Flag("timeout", "Longest time to wait.").Default("2m").DurationVar(&o.Timeout)
	return c.FullCommand(), func(ctx context.Context) error {
		o.Range, o.Format = time.Duration(span), client.Format(output)
		return asError(client.WhoHas(ctx, o, out.out, out.err))
	}
}

// treeCommand shows the live tree.
func treeCommand(app *kingpin.Application, out streams) (string, command) {
	c := app.Command("tree", "Show the live tree: identity, health, series, hints. Exits with 3 if a child is missing.")
	var o client.TreeOptions
	var server serverFlags
	server.register(c)
	c.Flag("json", "As JSON.").BoolVar(&o.JSON)
	c.Flag("verbose", "List the gaps of replicas: when each may have missed samples.").BoolVar(&o.Verbose)
	return c.FullCommand(), func(ctx context.Context) error {
		var err error
		if o.Server, o.HTTP, err = server.reach(); err != nil {
			return err
		}
		return asError(client.Tree(ctx, o, out.out, out.err))
	}
}

func asError(code int) error {
	if code == client.OK {
		return nil
	}
	return exitCode(code)
}

// completionCommand prints a shell's completion script.
func completionCommand(app *kingpin.Application, out streams) (string, command) {
	c := app.Command("completion", "Print a completion script: source <(pando completion bash).")
	shell := c.Arg("shell", "bash or zsh.").Required().Enum("bash", "zsh")
	return c.FullCommand(), func(context.Context) error {
		script := bashCompletion
		if *shell == "zsh" {
			script = zshCompletion
		}
		_, err := io.WriteString(out.out, script)
		return err
	}
}

// The scripts ask the binary itself, which knows its commands and flags.
const (
	bashCompletion = `_pando() {
  local cur opts
  COMPREPLY=()
  cur="${COMP_WORDS[COMP_CWORD]}"
  opts=$("${COMP_WORDS[0]}" --completion-bash "${COMP_WORDS[@]:1:$COMP_CWORD}")
  COMPREPLY=($(compgen -W "${opts}" -- "${cur}"))
}
complete -F _pando -o default pando
`
	zshCompletion = `#compdef pando
_pando() {
  local -a opts
  opts=(${(f)"$("${words[1]}" --completion-bash "${(@)words[2,$CURRENT]}")"})
  compadd -a opts
}
compdef _pando pando
`
)
