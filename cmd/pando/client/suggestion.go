package client

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/prometheus/common/model"

	"github.com/pandometrics/pando/rollup"
)

// suggestion is what is written.
type suggestion struct {
	// Queries were looked at; Unreadable counts lines that were none.
	Queries    int64 `json:"queries"`
	Unreadable int64 `json:"unreadable"`
	// Seconds is how long all queries took.
	Seconds float64         `json:"seconds"`
	Rules   []suggestedRule `json:"rules"`
	// More is how many more rules would help.
	More     int           `json:"more"`
	Unhelped []unhelpedRow `json:"unhelped"`
}

// suggestedRule is one rule. Times, seconds, bytes and steps are of what was asked
// that the rule has; saved is the part that it would have answered.
type suggestedRule struct {
	Name     string `json:"name"`
	Expr     string `json:"expr"`
	Interval string `json:"interval"`
	costRow
	// Saved is what would be answered from the rule, SavedAligned with
	// --query.align.
	Saved        costRow `json:"saved"`
	SavedAligned costRow `json:"savedAligned"`
	// Series are those of the rule: Known says how, by "tree" or by "log"; empty if
	// they are not known.
	Series float64 `json:"series,omitempty"`
	Known  string  `json:"known,omitempty"`
	// Points are read instead of what was evaluated; PointsADay are written by each
	// tier that keeps them.
	Points     float64  `json:"points,omitempty"`
	PointsADay float64  `json:"pointsADay,omitempty"`
	Examples   []string `json:"examples"`

	rule *rollup.Rule
}

type costRow struct {
	Times   int64   `json:"times"`
	Seconds float64 `json:"seconds"`
	Samples int64   `json:"samples"`
	Bytes   int64   `json:"bytes"`
	Steps   int64   `json:"steps"`
}

// unhelpedRow is what no rule would answer.
type unhelpedRow struct {
	Why string `json:"why"`
	costRow
	Example string `json:"example"`
}

func costOf(c rollup.Cost) costRow {
	return costRow{Times: c.Times, Seconds: c.Duration.Seconds(), Samples: c.Samples, Bytes: c.Bytes, Steps: c.Steps}
}

func suggestedOf(p rollup.Proposal) suggestedRule {
	row := suggestedRule{
		Name: p.Rule.Name, Expr: p.Rule.String(), Interval: model.Duration(time.Duration(p.Rule.Interval) * time.Millisecond).String(),
		costRow: costOf(p.Cost), Saved: costOf(p.Saved), SavedAligned: costOf(p.Aligned), Examples: p.Examples, rule: p.Rule,
	}
	if p.Series > 0 {
		row.sized(float64(p.Series*int64(len(p.Rule.Ops))), "log")
	}
	return row
}

// sized notes how many series the rule has.
func (r *suggestedRule) sized(series float64, known string) {
	r.Series, r.Known = series, known
	r.Points = series * float64(r.SavedAligned.Steps)
	r.PointsADay = series * float64(24*time.Hour/time.Millisecond) / float64(r.rule.Interval)
}

// estimate asks how many series the rule has.
func (r *suggestedRule) estimate(ctx context.Context, o SuggestOptions, stderr io.Writer) int {
	series, res, err := RollupsOptions{Server: o.Server, HTTP: o.HTTP, Timeout: o.Timeout}.seriesOf(ctx, r.rule)
	if err != nil {
		fmt.Fprintf(stderr, "error: series of %s: %v\n", r.Name, err)
		return Failed
	}
	if r.sized(series, "tree"); res.Partial {
		fmt.Fprintf(stderr, "warning: a child is missing: %s may have more series\n", printable(r.Name))
		return Partial
	}
	return OK
}

func (s *suggestion) unhelped(a rollup.Advice) {
	s.Seconds = a.Total.Duration.Seconds()
	for _, u := range a.Unhelped {
		s.Unhelped = append(s.Unhelped, unhelpedRow{Why: u.Why, costRow: costOf(u.Cost), Example: u.Example})
	}
}

func (s suggestion) render(w io.Writer, f Format) error {
	switch f {
	case JSON:
		if s.Rules == nil {
			s.Rules = []suggestedRule{}
		}
		if s.Unhelped == nil {
			s.Unhelped = []unhelpedRow{}
		}
		e := json.NewEncoder(w)
		e.SetIndent("", "  ")
		e.SetEscapeHTML(false)
		return e.Encode(s)
	case Table:
		return s.table(w)
	default:
		return s.yaml(w)
	}
}

// yaml writes a file of rules; what it would save is in comments.
func (s suggestion) yaml(out io.Writer) error {
	w := bufio.NewWriter(out)
	fmt.Fprintf(w, "# Of %s, which took %s together.\n", count(int(s.Queries), "query", "queries"), secondsText(s.Seconds))
	if len(s.Rules) == 0 {
		fmt.Fprintln(w, "rollups: []")
	} else {
		fmt.Fprintln(w, "rollups:")
	}
	for _, r := range s.Rules {
		fmt.Fprintf(w, "# asked %s, %s; from the rule: %s", timesText(r.Times), secondsText(r.Seconds), secondsText(r.Saved.Seconds))
		if r.SavedAligned != r.Saved {
			fmt.Fprintf(w, ", with --query.align %s", secondsText(r.SavedAligned.Seconds))
		}
		if r.Known != "" {
			fmt.Fprintf(w, "\n# %s series (by the %s): %s points read instead, %s written a day", rounded(r.Series), r.Known, rounded(r.Points), rounded(r.PointsADay))
		}
		fmt.Fprintln(w)
		for _, e := range r.Examples {
			fmt.Fprintf(w, "#   %s\n", printable(e))
		}
		fmt.Fprint(w, r.rule.YAML())
	}
	if s.More > 0 {
		fmt.Fprintf(w, "# %s would help too; --top tells more.\n", count(s.More, "rule", "rules"))
	}
	if len(s.Unhelped) > 0 {
		fmt.Fprintln(w, "# No rule helps:")
	}
	for _, u := range s.Unhelped {
		fmt.Fprintf(w, "# - asked %s, %s: %s\n#     %s\n", timesText(u.Times), secondsText(u.Seconds), printable(u.Why), printable(u.Example))
	}
	return w.Flush()
}

func (s suggestion) table(w io.Writer) error {
	cols := []column{
		{head: "RULE"}, {head: "EVERY"}, {head: "ASKED", right: true}, {head: "TOOK", right: true}, {head: "SAVED", right: true},
		{head: "ALIGNED", right: true}, {head: "BYTES", right: true}, {head: "SERIES", right: true}, {head: "POINTS READ", right: true}, {head: "POINTS/DAY", right: true}, {head: "EXPRESSION"},
	}
	var rows [][]string
	for _, r := range s.Rules {
		series, points, day := "-", "-", "-"
		if r.Known != "" {
			series, points, day = rounded(r.Series), rounded(r.Points), rounded(r.PointsADay)
		}
		rows = append(rows, []string{
			printable(r.Name), r.Interval, strconv.FormatInt(r.Times, 10), secondsText(r.Seconds), secondsText(r.Saved.Seconds),
			secondsText(r.SavedAligned.Seconds), strconv.FormatInt(r.Bytes, 10), series, points, day, printable(r.Expr),
		})
	}
	if err := writeTable(w, cols, rows); err != nil || len(s.Unhelped) == 0 {
		return err
	}
	rows = nil
	for _, u := range s.Unhelped {
		rows = append(rows, []string{strconv.FormatInt(u.Times, 10), secondsText(u.Seconds), printable(u.Why), printable(u.Example)})
	}
	if _, err := fmt.Fprintln(w); err != nil {
		return err
	}
	return writeTable(w, []column{{head: "ASKED", right: true}, {head: "TOOK", right: true}, {head: "NO RULE HELPS, FOR"}, {head: "SUCH AS"}}, rows)
}

func secondsText(s float64) string {
	return time.Duration(s * float64(time.Second)).Round(time.Millisecond).String()
}

func timesText(n int64) string { return count(int(n), "time", "times") }

func rounded(v float64) string { return strconv.FormatFloat(v, 'f', 0, 64) }
