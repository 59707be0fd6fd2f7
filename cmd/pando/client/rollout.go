package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/pandometrics/pando/gitops"
)

// DefaultLoop is where a control loop listens on the user's own machine.
const DefaultLoop = "http://127.0.0.1:9095"

// RolloutOptions say whose view of a rollout to show.
type RolloutOptions struct {
	// Server is the address of a control loop, or of a root that knows loops; empty
	// means DefaultLoop, or else DefaultServer.
	Server string
	// HTTP is the client used, for TLS and credentials; nil means a plain one.
	HTTP *http.Client
	// Cluster is whose loop's view to show; empty means that of all if a root is asked.
	Cluster string
	// History lists what happened instead.
	History bool
	// Watch asks again so often, and writes what has changed; zero asks once.
	Watch time.Duration
	// Format is Table or JSON.
	Format Format
}

// Rollout writes what a control loop tells. It returns Partial if the loop is
// stalled or failing.
func Rollout(ctx context.Context, o RolloutOptions, stdout, stderr io.Writer) int {
	r, err := o.reachRollouts(ctx)
	last := ""
	for err == nil {
		var b bytes.Buffer
		var code int
		if code, err = o.look(ctx, r, &b); err != nil {
			break
		}
		if text := b.String(); text != last {
			if last = text; o.Watch > 0 {
				fmt.Fprintf(stdout, "%s\n", time.Now().UTC().Format(time.RFC3339))
			}
			if _, err = io.WriteString(stdout, text); err != nil {
				break
			}
		}
		if o.Watch == 0 {
			return code
		}
		select {
		case <-ctx.Done():
			return OK
		case <-time.After(o.Watch):
		}
	}
	if o.Watch > 0 && errors.Is(err, context.Canceled) {
		return OK
	}
	fmt.Fprintln(stderr, "error:", err)
	return Failed
}

func rolloutCode(s gitops.Status) int {
	if s.State == "stalled" || s.State == "failing" {
		return Partial
	}
	return OK
}

func (o RolloutOptions) render(w io.Writer, s gitops.Status) error {
	if o.Format == JSON {
		e := json.NewEncoder(w)
		e.SetIndent("", "  ")
		if o.History {
			return e.Encode(s.History)
		}
		return e.Encode(s)
	}
	if o.History {
		return renderHistory(w, s.History)
	}
	lines := [][2]string{
		{"cluster", s.Cluster + " of wave " + orNone(s.Wave)},
		{"state", s.State + ": " + strings.ReplaceAll(s.Doing, "\n", "\n           ")},
		{"runs", runsText(s)},
	}
	if s.Newest != nil && s.Newest.Revision != s.Running {
		lines = append(lines, [2]string{"newest", cut(s.Newest.Revision) + " " + s.Newest.Subject})
	}
	for _, r := range s.Rejected {
		lines = append(lines, [2]string{"rejects", cut(r.Revision) + ": " + r.Why})
	}
	for _, step := range slices.Sorted(maps.Keys(s.Problems)) {
		lines = append(lines, [2]string{"problem", step + ": " + s.Problems[step]})
	}
	for _, l := range lines {
		if _, err := fmt.Fprintf(w, "%-10s %s\n", l[0], printableLines(l[1])); err != nil {
			return err
		}
	}
	return renderWaves(w, s.Waves)
}

func runsText(s gitops.Status) string {
	if s.Running == "" {
		return "nothing yet"
	}
	return cut(s.Running) + " since " + s.RunningAt.UTC().Format(time.RFC3339)
}

func renderWaves(w io.Writer, waves []gitops.WaveStatus) error {
	cols := []column{{head: "WAVE"}, {head: "CLUSTERS"}, {head: "BAKE"}, {head: "RUNS"}}
	var rows [][]string
	for _, v := range waves {
		var runs []string
		for _, r := range slices.Sorted(maps.Keys(v.Runs)) {
			name := cut(r)
			if r == "" {
				name = "unknown"
			}
			runs = append(runs, fmt.Sprintf("%s: %d", name, v.Runs[r]))
		}
		rows = append(rows, []string{printable(v.Name), strconv.Itoa(v.Clusters), spanText(v.Bake), printable(strings.Join(runs, ", "))})
	}
	if len(rows) == 0 {
		return nil
	}
	if _, err := fmt.Fprintln(w); err != nil {
		return err
	}
	return writeTable(w, cols, rows)
}

func renderHistory(w io.Writer, events []gitops.Event) error {
	cols := []column{{head: "TIME"}, {head: "WHAT"}, {head: "REVISION"}, {head: "WHY"}}
	var rows [][]string
	for _, e := range events {
		rows = append(rows, []string{e.At.UTC().Format(time.RFC3339), printable(e.What), printable(cut(e.Revision)), printable(e.Why)})
	}
	return writeTable(w, cols, rows)
}

// printableLines keeps line ends.
func printableLines(s string) string {
	lines := strings.Split(s, "\n")
	for i, l := range lines {
		lines[i] = printable(l)
	}
	return strings.Join(lines, "\n")
}

// cut shortens a revision as git does, for people.
func cut(revision string) string {
	if len(revision) > 12 {
		return revision[:12]
	}
	return revision
}

func orNone(s string) string {
	if s == "" {
		return "none"
	}
	return s
}

// SteerOptions say what a control loop is told.
type SteerOptions struct {
	// Server is the address of a control loop, or of a root that knows loops; empty
	// means DefaultLoop, or else DefaultServer.
	Server string
	// HTTP is the client used, for TLS and credentials; nil means a plain one.
	HTTP *http.Client
	// Cluster is whose loop is told; empty means all if a root is asked.
	Cluster string
	// Command is one of gitops' commands; Revision and Why go with it.
	Command, Revision, Why string
}

// Steer tells a control loop a command, and writes what it will do.
func Steer(ctx context.Context, o SteerOptions, stdout, stderr io.Writer) int {
	said, err := o.send(ctx)
	if said != "" {
		fmt.Fprintln(stdout, printableLines(said))
	}
	if err != nil {
		fmt.Fprintln(stderr, "error:", err)
		return Failed
	}
	return OK
}

func (o SteerOptions) send(ctx context.Context) (string, error) {
	conn, err := RolloutOptions{Server: o.Server, HTTP: o.HTTP}.reachRollouts(ctx)
	if err != nil {
		return "", err
	}
	if conn.root {
		return o.order(ctx, conn)
	}
	var s gitops.Said
	if err := conn.post(ctx, gitops.Command{Revision: o.Revision, Why: o.Why}, &s, gitops.Path, o.Command); err != nil {
		return "", err
	}
	if s.Error != "" {
		return "", errors.New(printable(s.Error))
	}
	return s.Done, nil
}

// post sends a command to whoever tells of rollouts, and decodes what is said to it.
func (r reached) post(ctx context.Context, command, said any, elem ...string) error {
	body, err := json.Marshal(command)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, r.base.JoinPath(elem...).String(), bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	resp, answer, err := r.do(req)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(answer, said); err != nil {
		return fmt.Errorf("%s answered %s; is it a control loop, or a root that knows some?", req.URL.Redacted(), resp.Status)
	}
	return nil
}
