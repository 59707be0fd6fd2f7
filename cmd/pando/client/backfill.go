package client

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/prometheus/common/model"

	"github.com/pandometrics/pando/querytree/treehttp"
)

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
// shows how far it is until all are there. It returns OK only if they are there
// then and whole, from that time on, and else says why not.
func Backfill(ctx context.Context, o BackfillOptions, stdout, stderr io.Writer) int {
	conn, err := connect(o.Server, o.HTTP)
	var before treehttp.RollupList
	var owed treehttp.RollupOwed
	if err == nil {
		err = conn.get(ctx, rollupsPath, &before)
	}
	if err == nil {
		owed, err = conn.owe(ctx, o)
	}
	if err != nil {
		fmt.Fprintln(stderr, "error:", err)
		return Failed
	}
	if owed.Longest > 0 {
		fmt.Fprintf(stderr, "warning: points from %s on are made, not since %s: the tier keeps those of %s for %s at most\n",
			unixTime(owed.From), printable(o.Since), printable(o.Rule), model.Duration(owed.Longest*float64(time.Second)))
	}
	if !o.Wait {
		fmt.Fprintf(stdout, "%s is owed from %s on; pando rollup coverage tells how far it is\n", printable(o.Rule), unixTime(owed.From))
		return OK
	}
	w := backfillWatch{conn: conn, rule: o.Rule, every: o.Every, was: progressOf(before, o.Rule), from: owed.From, stdout: stdout, stderr: stderr}
	if w.every <= 0 {
		w.every = time.Second
	}
	return w.run(ctx)
}

// owe has a tier make points good, and returns from when on they are owed.
func (c connection) owe(ctx context.Context, o BackfillOptions) (owed treehttp.RollupOwed, err error) {
	e, err := c.call(ctx, rollupsPath+"/backfill", url.Values{"rule": {o.Rule}, "since": {o.Since}})
	if err != nil {
		return owed, err
	}
	if err := json.Unmarshal(e.Data, &owed); err != nil {
		return owed, fmt.Errorf("read answer of %s: %w", c.base.Redacted(), err)
	}
	return owed, nil
}

// backfillWatch shows how far a tier is.
type backfillWatch struct {
	conn           connection
	rule           string
	every          time.Duration
	was            progress // before it began
	from           float64  // the oldest point that is kept
	stdout, stderr io.Writer

	told   string // what was shown last
	failed int    // polls that failed since the last one that did not
}

// maxPolls bounds the polls in a row that may fail: the tier may be started anew
// meanwhile, and goes on by itself.
const maxPolls = 300

// run shows progress until all points are there, or ctx ends.
func (w *backfillWatch) run(ctx context.Context) int {
	for {
		code, done := w.poll(ctx)
		if done {
			return code
		}
		select {
		case <-ctx.Done():
			return w.interrupted()
		case <-time.After(w.every):
		}
	}
}

// poll asks how far the tier is, and reports whether that was the last time.
func (w *backfillWatch) poll(ctx context.Context) (code int, done bool) {
	var list treehttp.RollupList
	if err := w.conn.get(ctx, rollupsPath, &list); err != nil {
		if ctx.Err() != nil {
			return w.interrupted(), true
		}
		return w.lost(err)
	}
	w.failed = 0
	is := progressOf(list, w.rule)
	if text := is.text(list.Awaited, time.Now()); text != w.told {
		fmt.Fprint(w.stdout, text)
		w.told = text
	}
	if is.absent > 0 {
		return OK, false
	}
	return is.conclude(w.was, w.from, w.stdout, w.stderr), true
}

// lost says once that the tier does not answer, and gives up after a while, or at once
// if it refuses to.
func (w *backfillWatch) lost(err error) (code int, done bool) {
	if refused, ok := errors.AsType[*statusError](err); ok && refused.final() {
		fmt.Fprintln(w.stderr, "error:", err)
		return Failed, true
	}
	if w.failed++; w.failed >= maxPolls {
		fmt.Fprintf(w.stderr, "error: the tier has not answered %d times in a row: %v\n", w.failed, err)
		return Failed, true
	}
	if w.failed == 1 {
		fmt.Fprintf(w.stderr, "warning: the tier does not answer and is asked again: %v\n", err)
	}
	return OK, false
}

func (w *backfillWatch) interrupted() int {
	fmt.Fprintln(w.stderr, "the tier goes on by itself")
	return Partial
}

const rollupsPath = "/pando/api/v1/rollups"

// progress is how far the points of one rule are, at all its distances.
type progress struct {
	kinds                         int
	whole, partial, unfit, absent int64
	empty                         bool
	since                         float64
	failing                       string
}

func progressOf(list treehttp.RollupList, rule string) (p progress) {
	for _, r := range list.Rules {
		if r.Name != rule {
			continue
		}
		p.kinds++
		p.whole, p.partial, p.unfit, p.absent = p.whole+r.Whole, p.partial+r.Partial, p.unfit+r.Unfit, p.absent+r.Absent
		p.since = r.Since
		p.failing, p.empty = cmp.Or(p.failing, r.Failing), p.empty || r.Empty
	}
	return p
}

// text tells how far it is and, as long as points are absent, what holds them up.
func (p progress) text(awaited []treehttp.RollupAwaited, now time.Time) string {
	var out strings.Builder
	fmt.Fprintf(&out, "%d of %s\n", p.made(), count(int(p.made()+p.absent), "point", "points"))
	if p.absent > 0 {
		_ = renderAwaited(&out, awaited, now) // a Builder takes everything
		if p.failing != "" {
			fmt.Fprintf(&out, "the last attempt failed: %s\n", printable(p.failing))
		}
	}
	return out.String()
}

func (p progress) made() int64 { return p.whole + p.partial + p.unfit }

// conclude says what came of it, once no point is absent: was is how it was before, and
// from the oldest time of which points are kept.
func (p progress) conclude(was progress, from float64, stdout, stderr io.Writer) int {
	switch {
	case p.kinds == 0:
		fmt.Fprintln(stderr, "error: the tier keeps no such rule any more")
		return Failed
	case p.made() == 0:
		fmt.Fprintf(stderr, "error: nothing was made: %s\n", p.whyNothing())
		return Failed
	case p.partial+p.unfit > 0:
		fmt.Fprintf(stderr, "warning: %d of the points lack a child, and %d cannot be used since evaluating the rule warns; pando rollup coverage tells which\n", p.partial, p.unfit)
		return Partial
	case was.absent == 0 && was.since != 0 && was.since <= p.since:
		fmt.Fprintf(stdout, "all points from %s on were there already\n", unixTime(max(from, p.since)))
	case p.empty:
		fmt.Fprintln(stderr, "warning: no point that was made has a series: nothing below has samples of what the rule selects")
		return Partial
	}
	return OK
}

// whyNothing says why no point is due.
func (p progress) whyNothing() string {
	switch {
	case p.failing != "":
		return printable(p.failing)
	case p.since == 0:
		return "the tier has not noted yet from when on points are owed; try again in a moment"
	default:
		return fmt.Sprintf("no point from %s on is due: samples so new are not final yet, or nobody below has said up to when they are", unixTime(p.since))
	}
}
