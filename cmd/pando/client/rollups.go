package client

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/common/model"

	"github.com/pandometrics/pando/rollup"
)

// RollupsOptions say which rules to check, and whom to ask how large they are.
type RollupsOptions struct {
	// File holds the rules.
	File string
	// Server is the address of a tier that is asked how many series each rule
	// has; empty asks nobody.
	Server string
	// HTTP is the client used, for TLS and credentials; nil means a plain one.
	HTTP *http.Client
	// Timeout of each question; zero means the server's.
	Timeout time.Duration
}

// Rollups checks a file of rollup rules and describes each. It returns the exit
// code: Partial if the server told of fewer series than there are.
func Rollups(ctx context.Context, o RollupsOptions, stdout, stderr io.Writer) int {
	data, err := readBounded(o.File, rollup.MaxBytes)
	if err != nil {
		fmt.Fprintln(stderr, "error:", err)
		return Failed
	}
	rules, err := rollup.Parse(data)
	if err != nil {
		for line := range strings.Lines(err.Error()) {
			fmt.Fprintf(stderr, "%s: %s\n", o.File, printable(strings.TrimSuffix(line, "\n")))
		}
		return Failed
	}
	out := bufio.NewWriter(stdout)
	code := OK
	for i, r := range rules.All() {
		describeRule(out, i, r)
		if o.Server != "" {
			code = max(code, o.estimate(ctx, r, out, stderr))
		}
		if code == Failed {
			break
		}
	}
	if code != Failed {
		fmt.Fprintf(out, "OK: %s\n", count(len(rules.All()), "rollup", "rollups"))
	}
	if err := out.Flush(); err != nil {
		fmt.Fprintln(stderr, "error:", err)
		return Failed
	}
	return code
}

// readBounded reads a file of a limited size; one byte more is read of a larger
// one.
func readBounded(name string, limit int64) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, limit+1))
}

// describeRule writes what a rule keeps where.
func describeRule(w io.Writer, i int, r *rollup.Rule) {
	fmt.Fprintf(w, "rollup %d: %s (%s)\n  %s\n", i+1, r.Name, r.ID, printable(r.String()))
	for _, tier := range rollup.Tiers() {
		for _, k := range r.Keep[tier] {
			fmt.Fprintf(w, "  %s: every %s for %s\n", tier, model.Duration(k.Every), model.Duration(k.For))
		}
	}
	for _, note := range r.Notes() {
		fmt.Fprintf(w, "  note: %s\n", printable(note))
	}
}

// estimate asks how many series a rule has, and writes what a tier that has all
// of them writes in a day.
func (o RollupsOptions) estimate(ctx context.Context, r *rollup.Rule, stdout, stderr io.Writer) int {
	series, res, err := o.seriesOf(ctx, r)
	if err != nil {
		fmt.Fprintf(stderr, "error: series of %s: %v\n", r.Name, err)
		return Failed
	}
	more := ""
	if res.Partial {
		more = " or more"
	}
	fmt.Fprintf(stdout, "  now: %s series%s", strconv.FormatFloat(series, 'f', -1, 64), more)
	for _, tier := range rollup.Tiers() {
		if len(r.Keep[tier]) == 0 {
			continue
		}
		points := 0.0
		for _, k := range r.Keep[tier] {
			points += series * float64(24*time.Hour) / float64(k.Every)
		}
		fmt.Fprintf(stdout, "; %s: %s points a day", tier, strconv.FormatFloat(points, 'f', 0, 64))
	}
	fmt.Fprintln(stdout)
	for _, w := range append(res.Warnings, res.Infos...) {
		fmt.Fprintf(stderr, "warning: series of %s: %s\n", r.Name, printable(w))
	}
	if res.Partial {
		return Partial
	}
	return OK
}

// seriesOf asks how many series a rule has now; a sum and a count are two.
func (o RollupsOptions) seriesOf(ctx context.Context, r *rollup.Rule) (float64, Result, error) {
	q := QueryOptions{Server: o.Server, HTTP: o.HTTP, Timeout: o.Timeout, Expr: "count(" + r.Text() + ")"}
	res, err := q.ask(ctx)
	vector, ok := res.Value.(model.Vector)
	if err == nil && (!ok || len(vector) > 1) {
		err = fmt.Errorf("%s is not answered by a number", q.Expr)
	}
	if err != nil || len(vector) == 0 {
		return 0, res, err
	}
	return float64(vector[0].Value) * float64(len(r.Ops)), res, nil
}
