package client

import (
	"fmt"
	"io"
	"strconv"
	"time"
)

// RenderStats writes what a query cost, and what became of each child.
func RenderStats(w io.Writer, s *Stats) error {
	if s == nil {
		_, err := fmt.Fprintln(w, "the server gave no statistics")
		return err
	}
	took := time.Duration(s.Timings["execTotalTime"] * float64(time.Second)).Round(time.Microsecond)
	if _, err := fmt.Fprintf(w, "took %v, %d samples, at most %d at once\n", took, s.Samples.Total, s.Samples.Peak); err != nil {
		return err
	}
	p := s.Pando
	if p == nil {
		return nil
	}
	if _, err := fmt.Fprintf(w, "%d children asked, %d answered whole; pruned %d by identity label, %d by time, %d by field hint\n",
		p.Asked, p.Answered, p.Pruned.Label, p.Pruned.Time, p.Pruned.Hint); err != nil {
		return err
	}
	if p.Replaced > 0 {
		if _, err := fmt.Fprintf(w, "%s left it to others\n", count(p.Replaced, "replica", "replicas")); err != nil {
			return err
		}
	}
	if p.Unlisted > 0 {
		if _, err := fmt.Fprintf(w, "%s of further children not counted here, for there are too many\n", count(p.Unlisted, "answer", "answers")); err != nil {
			return err
		}
	}
	if p.Unnamed > 0 {
		if _, err := fmt.Fprintf(w, "%s more did not answer, too many to name\n", count(p.Unnamed, "child", "children")); err != nil {
			return err
		}
	}
	for _, r := range p.Rollups {
		if _, err := fmt.Fprintf(w, "rollup %s of %s had %d of %s, and is whole up to %s\n",
			printable(r.Rule), printable(r.Tier), r.Steps, count(r.Of, "step", "steps"), time.UnixMilli(r.Until).UTC().Format(time.RFC3339)); err != nil {
			return err
		}
	}
	for _, by := range p.PrunedBy {
		if _, err := fmt.Fprintf(w, "pruned %s by %s\n", count(by.Children, "child", "children"), printable(reason(by.Verdict, by.Evidence))); err != nil {
			return err
		}
	}
	if len(p.Children) == 0 {
		return nil
	}
	var rows [][]string
	for _, c := range p.Children {
		failed := printable(c.Failed)
		if c.Late {
			failed += " (late)"
		}
		rows = append(rows, []string{
			printable(c.Name), c.Tier, string(c.Verdict), strconv.Itoa(c.Requests),
			strconv.FormatInt(c.Series, 10), strconv.FormatInt(c.Samples, 10), failed,
		})
	}
	return writeTable(w, []column{
		{"CHILD", false}, {"TIER", false}, {"VERDICT", false}, {"REQUESTS", true}, {"SERIES", true}, {"SAMPLES", true}, {"FAILED", false},
	}, rows)
}
