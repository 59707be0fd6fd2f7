package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/alecthomas/kingpin/v2"

	"github.com/pandometrics/pando/cmd/pando/client"
	gitplanet "github.com/pandometrics/pando/gitops/planet"
	"github.com/pandometrics/pando/gitops/source"
)

// revisions finds the files of a revision of a repository, and calls read with
// them; they may be gone when it returns.
type revisions interface {
	open(ctx context.Context, revision string, read func(fs.FS) error) error
}

// places takes what is a directory for one with files, and all else for a revision
// of a git repository on this machine.
type places struct{ repository string }

func (p places) open(_ context.Context, revision string, read func(fs.FS) error) error {
	if info, err := os.Stat(revision); err == nil && info.IsDir() {
		return readRepository(revision, read)
	}
	r, err := source.Local(p.repository, revision, source.DefaultLimits())
	if err != nil {
		return fmt.Errorf("there is no directory %q, and as a revision: %w", revision, err)
	}
	return read(r.Files)
}

// diffOptions are the flags of pando config diff.
type diffOptions struct {
	from, to, cluster, form string
	server                  serverFlags
	timeout                 time.Duration
}

// configDiffCommand tells what a change does.
func configDiffCommand(app *kingpin.Application, out streams) (string, command) {
	c := configCommand(app).Command("diff", "Tell what differs between two planets: jobs, targets, rules, limits, waves, and with --url how many series that concerns. Exits with 3 if a child is missing from what --url answers.")
	o, in := &diffOptions{}, &places{}
	c.Arg("from", "Revision as it was, such as main or HEAD~1, or a directory with its files.").Required().StringVar(&o.from)
	c.Arg("to", "Revision as it will be, or a directory with its files.").Required().StringVar(&o.to)
	c.Flag("repository", "Git repository of the revisions, or any folder of its work tree.").Default(".").StringVar(&in.repository)
	c.Flag("cluster", "What differs in this cluster, and the tiers that it hosts; in all if empty.").StringVar(&o.cluster)
	c.Flag("output", "text or json.").Short('o').Default(asText).EnumVar(&o.form, asText, asJSON)
	c.Flag("url", "HTTP address of the root, to ask how many series rules would have, and what is removed has.").StringVar(&o.server.server)
	o.server.registerReach(c)
	c.Flag("timeout", "Longest time to wait for a number of series.").Default(time.Minute.String()).DurationVar(&o.timeout)
	return c.FullCommand(), func(ctx context.Context) error { return o.run(ctx, *in, out) }
}

// difference is a change, with the series that it concerns, if they were asked for.
type difference struct {
	gitplanet.Change
	Count *seriesCount `json:"count,omitempty"`
}

// seriesCount is how many series the live tree has of something.
type seriesCount struct {
	Series  float64 `json:"series"`
	Partial bool    `json:"partial,omitempty"`
	Error   string  `json:"error,omitempty"`
}

func (o *diffOptions) run(ctx context.Context, in revisions, out streams) error {
	var planets [2]*gitplanet.Planet
	for i, revision := range []string{o.from, o.to} {
		err := in.open(ctx, revision, func(fsys fs.FS) (err error) {
			planets[i], err = gitplanet.Load(fsys)
			return err
		})
		if err != nil {
			return tell(out, err)
		}
	}
	changes, err := gitplanet.Diff(planets[0], planets[1], o.cluster)
	if err != nil {
		return err
	}
	differences, code, err := o.counted(ctx, changes)
	if err != nil {
		return err
	}
	if o.form == asJSON {
		e := json.NewEncoder(out.out)
		e.SetIndent("", "  ")
		err = e.Encode(differences)
	} else {
		err = textDifferences(out.out, differences)
	}
	if err == nil {
		err = asError(code)
	}
	return err
}

// counted asks how many series changes concern.
func (o *diffOptions) counted(ctx context.Context, changes []gitplanet.Change) ([]difference, int, error) {
	out, code := []difference{}, client.OK
	server, hc, err := o.server.reach()
	if err != nil {
		return nil, code, err
	}
	for _, c := range changes {
		d := difference{Change: c}
		if o.server.server != "" && c.Series != "" {
			n, partial, err := client.Number(ctx, client.QueryOptions{Server: server, HTTP: hc, Expr: c.Series, Timeout: o.timeout})
			d.Count = &seriesCount{Series: n, Partial: partial}
			if err != nil {
				d.Count.Error, code = err.Error(), client.Failed
			} else if partial && code == client.OK {
				code = client.Partial
			}
		}
		out = append(out, d)
	}
	return out, code, nil
}

// textDifferences writes a paragraph for each change.
func textDifferences(w io.Writer, of []difference) error {
	var b strings.Builder
	for _, d := range of {
		fmt.Fprintf(&b, "%s %s%s%s\n", d.Op, client.Printable(d.Title), tierText(d.Change), d.Count)
		for _, line := range d.Details {
			fmt.Fprintf(&b, "    %s\n", client.Printable(line))
		}
	}
	if len(of) == 0 {
		b.WriteString("no difference\n")
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// shownPlaces is how many clusters are named.
const shownPlaces = 3

// tierText says where a change is.
func tierText(c gitplanet.Change) string {
	if c.Tier == "" {
		return ""
	}
	text := " (" + string(c.Tier)
	if n := len(c.Places); n > shownPlaces {
		text += fmt.Sprintf(": %s and %d more", strings.Join(c.Places[:shownPlaces], ", "), n-shownPlaces)
	} else if n > 0 {
		text += ": " + strings.Join(c.Places, ", ")
	}
	return text + ")"
}

// String says how many series there are.
func (c *seriesCount) String() string {
	switch {
	case c == nil:
		return ""
	case c.Error != "":
		return ": series unknown: " + client.Printable(c.Error)
	}
	text := ": " + strconv.FormatFloat(c.Series, 'f', -1, 64) + " series"
	if c.Partial {
		text += " or more"
	}
	return text
}
