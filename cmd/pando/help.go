package main

import (
	"fmt"
	"strings"
	"text/template"

	"github.com/alecthomas/kingpin/v2"
)

// usage prints a flag on one line, so that the help of every command fits a
// screen.
const usage = `usage: {{.App.Name}}{{if .Context.SelectedCommand}} {{.Context.SelectedCommand}}{{end}} [<flags>]{{if .Context.SelectedCommand}}{{range .Context.SelectedCommand.Args}} <{{.Name}}>{{end}}{{else}} <command>{{end}}

{{if .Context.SelectedCommand}}{{.Context.SelectedCommand.Help}}{{else}}{{.App.Help}}{{end}}
{{if .Context.SelectedCommand}}{{if .Context.SelectedCommand.Commands}}
{{range .Context.SelectedCommand.Commands}}{{commandline .}}{{end}}{{else}}
{{range .Context.Flags}}{{flagline .}}{{end}}{{end}}{{else}}
{{range .App.FlattenedCommands}}{{commandline .}}{{end}}
pando <command> --help tells more. Start with pando dev.
{{end}}`

// usageFuncs are the functions of the usage template.
func usageFuncs() template.FuncMap {
	return template.FuncMap{
		"flagline": func(f *kingpin.FlagModel) string {
			if f.Hidden || f.Name == "version" || strings.HasPrefix(f.Name, "help") {
				return ""
			}
			return fmt.Sprintf("  %-46s %s\n", flagName(f), f.Help)
		},
		"commandline": func(c *kingpin.CmdModel) string {
			if c.Hidden {
				return ""
			}
			return fmt.Sprintf("  %-14s %s\n", c.FullCommand, c.Help)
		},
	}
}

// flagName renders a flag with its default.
func flagName(f *kingpin.FlagModel) string {
	def := strings.Join(f.Default, ",")
	switch {
	case f.IsBoolFlag() && def == "true":
		return "--[no-]" + f.Name + " (on)"
	case f.IsBoolFlag():
		return "--" + f.Name
	case def != "":
		return "--" + f.Name + "=" + def
	default:
		return "--" + f.Name + "=…"
	}
}
