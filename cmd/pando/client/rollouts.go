package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/pandometrics/pando/gitops"
	"github.com/pandometrics/pando/gitops/rollouts"
)

// errNoRollouts says that who was asked is not a root: a control loop, which tells
// of its own cluster.
var errNoRollouts = errors.New("it does not tell of rollouts")

// reached is who tells of rollouts: a root, or a control loop.
type reached struct {
	connection
	root bool
}

// reachRollouts finds out who is at the server. If none was named, that is the
// control loop of this machine, or else the root.
func (o RolloutOptions) reachRollouts(ctx context.Context) (reached, error) {
	if o.Server != "" {
		conn, err := connect(o.Server, o.HTTP)
		return reached{conn, conn.isRoot(ctx)}, err
	}
	var conn connection
	var err error
	for _, server := range []string{DefaultLoop, DefaultServer} {
		if conn, err = connect(server, o.HTTP); err != nil {
			return reached{}, err
		}
		req, _ := http.NewRequestWithContext(ctx, http.MethodGet, conn.base.JoinPath("/-/healthy").String(), nil)
		if _, _, err = conn.do(req); err == nil {
			return reached{conn, conn.isRoot(ctx)}, nil
		}
	}
	return reached{}, err
}

// isRoot tells whether a server tells of all loops.
func (c connection) isRoot(ctx context.Context) bool {
	if c.base == nil {
		return false
	}
	var o rollouts.Overview
	err := c.tell(ctx, rollouts.Path, &o)
	return err == nil && o.State != ""
}

// tell reads what a root tells; errNoRollouts if it is none.
func (c connection) tell(ctx context.Context, path string, into any) error {
	u := c.base.JoinPath(rollouts.Path)
	path, query, _ := strings.Cut(strings.TrimPrefix(path, rollouts.Path), "?")
	u = u.JoinPath(path)
	u.RawQuery = query
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimSuffix(u.String(), "/"), nil)
	if err != nil {
		return err
	}
	resp, body, err := c.do(req)
	if err != nil {
		return err
	}
	var said gitops.Said
	if resp.StatusCode != http.StatusOK && json.Unmarshal(body, &said) == nil && said.Error != "" {
		return errors.New(printable(said.Error))
	}
	if resp.StatusCode == http.StatusNotFound {
		return errNoRollouts
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answered %s", req.URL.Redacted(), resp.Status)
	}
	if err := json.Unmarshal(body, into); err != nil {
		return fmt.Errorf("read answer of %s: %w", req.URL.Redacted(), err)
	}
	return nil
}

// look writes what the server tells, once, and returns the exit code.
func (o RolloutOptions) look(ctx context.Context, r reached, w io.Writer) (int, error) {
	switch {
	case r.root && o.Cluster == "" && o.History:
		var h rollouts.History
		if err := r.tell(ctx, "/history", &h); err != nil {
			return Failed, err
		}
		return OK, o.renderEvents(w, h)
	case r.root && o.Cluster == "":
		var v rollouts.Overview
		if err := r.tell(ctx, "", &v); err != nil {
			return Failed, err
		}
		return overviewCode(v), o.renderOverview(w, v)
	}
	var s gitops.Status
	var err error
	if r.root {
		err = r.tell(ctx, "/clusters/"+url.PathEscape(o.Cluster), &s)
	} else {
		err = r.get(ctx, gitops.Path, &s)
	}
	if err == nil && s.Cluster == "" {
		err = fmt.Errorf("%s is neither a control loop nor a root", r.base.Redacted())
	}
	if err == nil && !r.root && o.Cluster != "" && s.Cluster != o.Cluster {
		err = fmt.Errorf("%s is the control loop of cluster %q: ask the root, or that of %q", r.base.Redacted(), s.Cluster, o.Cluster)
	}
	if err != nil {
		return Failed, err
	}
	return rolloutCode(s), o.render(w, s)
}

func overviewCode(v rollouts.Overview) int {
	if slices.Contains([]string{rollouts.Failing, rollouts.Refused, rollouts.Unknown}, v.State) {
		return Partial
	}
	return OK
}

func (o RolloutOptions) renderEvents(w io.Writer, h rollouts.History) error {
	if o.Format == JSON {
		return writeJSON(w, h)
	}
	cols := []column{{head: "TIME"}, {head: "CLUSTER"}, {head: "WHAT"}, {head: "REVISION"}, {head: "WHY"}}
	var rows [][]string
	for _, e := range slices.Backward(h.Events) {
		rows = append(rows, []string{e.At.UTC().Format(time.RFC3339), printable(e.Cluster), printable(e.What), printable(cut(e.Revision)), printable(e.Why)})
	}
	return writeTable(w, cols, rows)
}

func writeJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

// renderOverview writes waves and clusters.
func (o RolloutOptions) renderOverview(w io.Writer, v rollouts.Overview) error {
	if o.Format == JSON {
		return writeJSON(w, v)
	}
	lines := [][2]string{{"state", v.State + ": " + strings.ReplaceAll(v.Doing, "\n", "\n           ")}, {"newest", orNone(cut(v.Target))}}
	if len(v.Paused) > 0 {
		lines = append(lines, [2]string{"paused", "by " + strings.Join(v.Paused, ", ")})
	}
	for _, r := range v.Rejected {
		lines = append(lines, [2]string{"rejects", r.Cluster + " rejects " + cut(r.Revision) + ": " + r.Why})
	}
	for _, text := range v.Warnings {
		lines = append(lines, [2]string{"warning", text})
	}
	for _, l := range lines {
		if _, err := fmt.Fprintf(w, "%-10s %s\n", l[0], printableLines(l[1])); err != nil {
			return err
		}
	}
	if len(v.Waves) == 0 {
		return nil
	}
	if _, err := fmt.Fprintln(w); err != nil {
		return err
	}
	return writeTable(w, []column{{head: "WAVE"}, {head: "STATE"}, {head: "BAKE"}, {head: "CLUSTER"}, {head: "RUNS"}, {head: "DOING"}}, overviewRows(v))
}

func overviewRows(v rollouts.Overview) (rows [][]string) {
	for _, wave := range v.Waves {
		state := wave.State
		if wave.Bakes != nil {
			state += " until " + wave.Bakes.Until.UTC().Format("15:04:05")
		}
		for i, c := range wave.Clusters {
			row := []string{"", "", "", printable(c.Cluster), printable(orNone(cut(c.Running))), printable(c.Doing)}
			if i == 0 {
				row[0], row[1], row[2] = printable(wave.Name), printable(state), spanText(wave.Bake)
			}
			if c.Loop != rollouts.Answers {
				row[5] = "its loop is " + c.Loop
			}
			rows = append(rows, row)
		}
		if len(wave.Clusters) == 0 {
			rows = append(rows, []string{printable(wave.Name), printable(state), spanText(wave.Bake), strconv.Itoa(0), "", ""})
		}
	}
	return rows
}

// order sends a command through a root, and returns what loops say.
func (o SteerOptions) order(ctx context.Context, conn reached) (string, error) {
	order := rollouts.Order{Revision: o.Revision, Why: o.Why}
	if o.Cluster != "" {
		order.Clusters = []string{o.Cluster}
	}
	var said struct {
		gitops.Said
		Results []rollouts.Result `json:"results"`
	}
	if err := conn.post(ctx, order, &said, rollouts.Path, o.Command); err != nil {
		return "", err
	}
	if said.Error != "" {
		return "", errors.New(printable(said.Error))
	}
	var done []string
	var errs []error
	for _, r := range said.Results {
		if r.Error != "" {
			errs = append(errs, fmt.Errorf("%s: %s", printable(r.Cluster), printable(r.Error)))
			continue
		}
		done = append(done, r.Cluster+": "+r.Done)
	}
	return strings.Join(done, "\n"), errors.Join(errs...)
}
