package client

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
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
		if err = conn.get(ctx, "/pando/api/v1/rollups", &list); err == nil {
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
		return code, renderCoverage(w, found)
	}
	cols := []column{{head: "NAME"}, {head: "EVERY"}, {head: "FOR"}, {head: "SERIES"}, {head: "SINCE"}, {head: "WHOLE UP TO"}, {head: "LAG"}, {head: "WHOLE"}, {head: "PARTIAL"}, {head: "UNFIT"}, {head: "ABSENT"}, {head: "FAILING"}}
	var rows [][]string
	for _, r := range found {
		rows = append(rows, []string{
			printable(r.Name), spanText(r.Every), spanText(r.For), strconv.Itoa(r.Series), unixTime(r.Since), unixTime(r.Until), lagText(r),
			strconv.FormatInt(r.Whole, 10), strconv.FormatInt(r.Partial, 10), strconv.FormatInt(r.Unfit, 10), strconv.FormatInt(r.Absent, 10), printable(r.Failing),
		})
	}
	return code, writeTable(w, cols, rows)
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

// BackfillOptions say what to make good.
type BackfillOptions struct {
	// Server is the address of a tier; empty means DefaultServer.
	Server string
	// HTTP is the client used, for TLS and credentials; nil means a plain one.
	HTTP *http.Client
	// Rule is the name of the rule.
	Rule string
	// Since is a duration before now, or a time.
	Since string
	// Wait shows progress until all points are there.
	Wait bool
	// Every is how often progress is shown; zero means a second.
	Every time.Duration
}

// Backfill has a tier make the points of a rule from an earlier time on, and
// shows how far it is until all are there.
func Backfill(ctx context.Context, o BackfillOptions, stdout, stderr io.Writer) int {
	conn, err := connect(o.Server, o.HTTP)
	if err == nil {
		_, err = conn.call(ctx, "/pando/api/v1/rollups/backfill", url.Values{"rule": {o.Rule}, "since": {o.Since}})
	}
	if err != nil {
		fmt.Fprintln(stderr, "error:", err)
		return Failed
	}
	if !o.Wait {
		fmt.Fprintf(stdout, "%s is owed from %s on; pando rollup coverage tells how far it is\n", printable(o.Rule), printable(o.Since))
		return OK
	}
	every := o.Every
	if every <= 0 {
		every = time.Second
	}
	for {
		var list treehttp.RollupList
		if err := conn.get(ctx, "/pando/api/v1/rollups", &list); err != nil {
			fmt.Fprintln(stderr, "error:", err)
			return Failed
		}
		var done, all int64
		for _, r := range list.Rules {
			if r.Name == o.Rule {
				done, all = done+r.Whole+r.Partial+r.Unfit, all+r.Whole+r.Partial+r.Unfit+r.Absent
			}
		}
		fmt.Fprintf(stdout, "%d of %s\n", done, count(int(all), "point", "points"))
		if done == all {
			return OK
		}
		select {
		case <-ctx.Done():
			fmt.Fprintln(stderr, "the tier goes on by itself")
			return Partial
		case <-time.After(every):
		}
	}
}
