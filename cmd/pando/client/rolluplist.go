package client

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/common/model"

	"github.com/pandometrics/pando/querytree/treehttp"
)

// RollupListOptions say whose rollups to list.
type RollupListOptions struct {
	// Server is the address of a tier; empty means DefaultServer.
	Server string
	// HTTP is the client used, for TLS and credentials; nil means a plain one.
	HTTP *http.Client
	// Rule restricts the list to one rule, by name or ID; empty means all.
	Rule string
	// Coverage lists the spans of points that are not whole.
	Coverage bool
	// Format is Table or JSON.
	Format Format
}

// RollupList writes what a tier keeps of rollups. It returns Partial if points
// that are due are not there.
func RollupList(ctx context.Context, o RollupListOptions, stdout, stderr io.Writer) int {
	conn, err := connect(o.Server, o.HTTP)
	if err == nil {
		var list treehttp.RollupList
		if err = conn.get(ctx, rollupsPath, &list); err == nil {
			var code int
			if code, err = o.render(stdout, list); err == nil {
				return code
			}
		}
	}
	fmt.Fprintln(stderr, "error:", err)
	return Failed
}

func (o RollupListOptions) render(w io.Writer, list treehttp.RollupList) (int, error) {
	code, found := OK, []treehttp.RollupStatus{}
	for _, r := range list.Rules {
		if o.Rule != "" && r.Name != o.Rule && r.ID != o.Rule {
			continue
		}
		if found = append(found, r); r.Absent > 0 || r.Partial > 0 {
			code = Partial
		}
	}
	if o.Rule != "" && len(found) == 0 {
		return Failed, fmt.Errorf("%s keeps no rollup %q", list.Name, o.Rule)
	}
	list.Rules = found
	if o.Format == JSON {
		raw, err := json.Marshal(list)
		if err != nil {
			return Failed, err
		}
		return code, RenderJSON(w, Result{Raw: raw})
	}
	if o.Coverage {
		if err := renderCoverage(w, found); err != nil {
			return Failed, err
		}
		return code, renderAwaited(w, list.Awaited, time.Now())
	}
	cols := []column{{head: "NAME"}, {head: "EVERY"}, {head: "FOR"}, {head: "SERIES"}, {head: "SINCE"}, {head: "WHOLE UP TO"}, {head: "LAG"}, {head: "WHOLE"}, {head: "PARTIAL"}, {head: "UNFIT"}, {head: "ABSENT"}, {head: "FAILING"}}
	var rows [][]string
	for _, r := range found {
		rows = append(rows, []string{
			printable(r.Name), spanText(r.Every), spanText(r.For), strconv.Itoa(r.Series), unixTime(r.Since), unixTime(r.Until), lagText(r),
			strconv.FormatInt(r.Whole, 10), strconv.FormatInt(r.Partial, 10), strconv.FormatInt(r.Unfit, 10), strconv.FormatInt(r.Absent, 10), printable(r.Failing),
		})
	}
	if err := writeTable(w, cols, rows); err != nil {
		return Failed, err
	}
	return code, renderAwaited(w, list.Awaited, time.Now())
}

// renderAwaited tells who is away, and until when points wait for them, a line each.
func renderAwaited(w io.Writer, all []treehttp.RollupAwaited, now time.Time) error {
	for _, a := range all {
		state := "has just gone: points wait for it"
		switch released := unixTime(a.Released); {
		case a.Released > 0 && a.Released <= float64(now.Unix()):
			state = fmt.Sprintf("is away since %s: points are made without it since %s", unixTime(a.Since), released)
		case a.Released > 0:
			state = fmt.Sprintf("is away since %s: points wait for it until %s", unixTime(a.Since), released)
		}
		if _, err := fmt.Fprintf(w, "%s %s\n", printable(a.Name), state); err != nil {
			return err
		}
	}
	return nil
}

// renderCoverage lists what is not whole, a line each.
func renderCoverage(w io.Writer, rules []treehttp.RollupStatus) error {
	for _, r := range rules {
		if _, err := fmt.Fprintf(w, "%s every %s: whole from %s up to %s\n", printable(r.Name), spanText(r.Every), unixTime(r.Since), unixTime(r.Until)); err != nil {
			return err
		}
		for _, h := range r.Holes {
			who := ""
			if len(h.Missing) > 0 {
				who = " without " + printable(strings.Join(h.Missing, ", "))
			}
			if _, err := fmt.Fprintf(w, "  %-7s %s .. %s%s\n", h.State, unixTime(h.From), unixTime(h.To), who); err != nil {
				return err
			}
		}
		if r.HolesLeftOut > 0 {
			if _, err := fmt.Fprintf(w, "  and %s after these\n", count(r.HolesLeftOut, "newer span", "newer spans")); err != nil {
				return err
			}
		}
	}
	return nil
}

func spanText(s float64) string {
	return model.Duration(time.Duration(s * float64(time.Second))).String()
}

func unixTime(s float64) string {
	if s == 0 {
		return "-"
	}
	return time.UnixMilli(int64(s * 1000)).UTC().Format(time.RFC3339)
}

func lagText(r treehttp.RollupStatus) string {
	if r.Until == 0 {
		return "-"
	}
	return (time.Duration(r.Lag) * time.Second).String()
}
