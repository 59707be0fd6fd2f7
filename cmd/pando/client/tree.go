package client

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/pandometrics/pando/querytree/treehttp"
)

// TreeOptions say whose tree to show.
type TreeOptions struct {
	// Server is the address of a tier; empty means DefaultServer.
	Server string
	// HTTP is the client used, for TLS and credentials; nil means a plain one.
	HTTP *http.Client
	// Verbose lists the gaps of replicas.
	Verbose bool
	// JSON writes the tree as the server tells it.
	JSON bool
	// Now is the clock; nil means time.Now.
	Now func() time.Time
}

// Tree writes the live tree to stdout. It returns Partial if a child is missing.
func Tree(ctx context.Context, o TreeOptions, stdout, stderr io.Writer) int {
	t, raw, err := o.ask(ctx)
	if err == nil {
		err = o.render(stdout, t, raw)
	}
	if err != nil {
		fmt.Fprintln(stderr, "error:", err)
		return Failed
	}
	if n := missing(t.Children); n > 0 {
		fmt.Fprintf(stderr, "warning: %d missing\n", n)
		return Partial
	}
	return OK
}

func (o TreeOptions) ask(ctx context.Context) (t treehttp.Tree, raw json.RawMessage, err error) {
	conn, err := connect(o.Server, o.HTTP)
	if err != nil {
		return t, nil, err
	}
	if err = conn.get(ctx, "/pando/api/v1/tree", &raw); err != nil {
		return t, nil, err
	}
	if err = json.Unmarshal(raw, &t); err != nil {
		err = fmt.Errorf("read tree: %w", err)
	}
	return t, raw, err
}

func (o TreeOptions) render(w io.Writer, t treehttp.Tree, raw json.RawMessage) error {
	if o.JSON {
		return RenderJSON(w, Result{Raw: raw})
	}
	now := time.Now
	if o.Now != nil {
		now = o.Now
	}
	if err := RenderTree(w, t, now()); err != nil || !o.Verbose {
		return err
	}
	return renderGaps(w, append([]treehttp.Node{t.Self}, t.Children...))
}

// renderGaps lists the gaps of all replicas, a line each.
func renderGaps(w io.Writer, nodes []treehttp.Node) error {
	for _, n := range nodes {
		for _, g := range n.Gaps {
			if n.Replica == "" {
				break
			}
			end := "now"
			if !g.End.IsZero() {
				end = g.End.UTC().Format(time.RFC3339)
			}
			if _, err := fmt.Fprintf(w, "gap of %s: %s to %s\n", printable(n.Name), g.Start.UTC().Format(time.RFC3339), end); err != nil {
				return err
			}
		}
		if err := renderGaps(w, n.Children); err != nil {
			return err
		}
	}
	return nil
}

// gaps sums the gaps of a replica up: its twin fills them.
func gaps(n treehttp.Node, now time.Time) string {
	if n.Replica == "" || len(n.Gaps) == 0 {
		return ""
	}
	s := fmt.Sprintf("gaps %d, %s", len(n.Gaps), treehttp.ShortDuration(treehttp.GapTime(n.Gaps, now)))
	if n.Error != "" {
		s += "; "
	}
	return s
}

func missing(nodes []treehttp.Node) int {
	n := 0
	for _, c := range nodes {
		if c.State == treehttp.StateMissing {
			n++
		}
		n += missing(c.Children)
	}
	return n
}

// RenderTree draws a tree, a line per node.
func RenderTree(w io.Writer, t treehttp.Tree, now time.Time) error {
	rows := [][]string{nodeRow("", t.Self, now)}
	rows = append(rows, branch("", t.Children, now)...)
	err := writeTable(w, []column{
		{"NODE", false},
		{"TIER", false},
		{"STATE", false},
		{"LEAVES", true},
		{"SERIES", true},
		{"SAMPLES/S", true},
		{"HINT", true},
		{"AGE", true},
		{"RTT", true},
		{"NOTE", false},
	}, rows)
	if err != nil {
		return err
	}
	for _, p := range t.Parents {
		if _, err := fmt.Fprintf(w, "parent %s: %s%s\n", printable(p.Address), note(string(p.State), p.Since, p.Error, now), unused(p.Hints)); err != nil {
			return err
		}
	}
	for _, r := range t.Refused {
		if _, err := fmt.Fprintf(w, "refused %s%s %s ago: %s\n", printable(r.Name), from(r.Remote), treehttp.ShortDuration(now.Sub(r.At)), printable(r.Reason)); err != nil {
			return err
		}
	}
	return nil
}

// branch draws the nodes below one.
func branch(indent string, nodes []treehttp.Node, now time.Time) [][]string {
	var rows [][]string
	for i, n := range nodes {
		fork, below := "├─ ", "│  "
		if i == len(nodes)-1 {
			fork, below = "└─ ", "   "
		}
		rows = append(rows, nodeRow(indent+fork, n, now))
		rows = append(rows, branch(indent+below, n.Children, now)...)
	}
	return rows
}

func nodeRow(indent string, n treehttp.Node, now time.Time) []string {
	row := []string{
		indent + printable(n.Name), n.Tier, note(string(n.State), n.Since, "", now), strconv.Itoa(n.Leaves), treehttp.ShortCount(n.Series),
		"", "", "", "", gaps(n, now) + printable(n.Error),
	}
	if n.SampleRate > 0 {
		row[5] = treehttp.ShortCount(uint64(n.SampleRate))
	}
	if h := n.Hint; h != nil {
		row[6], row[7] = treehttp.ShortBytes(h.Bytes), "not complete"
		switch {
		case h.Synced:
			row[7] = treehttp.ShortDuration(time.Duration(h.Age))
		case h.Reason != "":
			row[7] = printable(h.Reason)
		}
	}
	if n.RTT > 0 {
		row[8] = treehttp.ShortDuration(time.Duration(n.RTT))
	}
	return row
}

// unused says why a parent does not use the hints that it is sent, and how much of
// them it has yet to take in.
func unused(h *treehttp.SentHints) string {
	if h == nil {
		return ""
	}
	s := ""
	if h.Unused != "" {
		s = "; does not use the hints: " + printable(h.Unused)
	}
	if h.UnacknowledgedAge > treehttp.Seconds(time.Second) {
		s += fmt.Sprintf("; %s of hints not acknowledged for %s", treehttp.ShortBytes(uint64(h.UnacknowledgedBytes)), treehttp.ShortDuration(time.Duration(h.UnacknowledgedAge)))
	}
	return s
}

// note joins a state, how long it has lasted, and what is wrong.
func note(state string, since time.Time, err string, now time.Time) string {
	s := printable(state)
	if !since.IsZero() {
		s += " " + treehttp.ShortDuration(now.Sub(since))
	}
	if err != "" {
		s += ": " + printable(err)
	}
	return s
}

func from(remote string) string {
	if remote == "" {
		return ""
	}
	return " from " + printable(remote)
}
