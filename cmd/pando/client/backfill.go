package client

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

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
	var before, after treehttp.RollupList
	if err == nil {
		err = conn.get(ctx, rollupsPath, &before)
	}
	if err == nil {
		_, err = conn.call(ctx, rollupsPath+"/backfill", url.Values{"rule": {o.Rule}, "since": {o.Since}})
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
	for told := ""; ; {
		after = treehttp.RollupList{} // what is left out must not stay as it was
		if err := conn.get(ctx, rollupsPath, &after); err != nil {
			fmt.Fprintln(stderr, "error:", err)
			return Failed
		}
		was, is := progressOf(before, o.Rule), progressOf(after, o.Rule)
		if text := is.text(after.Awaited, time.Now()); text != told {
			fmt.Fprint(stdout, text)
			told = text
		}
		if is.absent == 0 {
			return is.conclude(was, stdout, stderr)
		}
		select {
		case <-ctx.Done():
			fmt.Fprintln(stderr, "the tier goes on by itself")
			return Partial
		case <-time.After(every):
		}
	}
}

const rollupsPath = "/pando/api/v1/rollups"

// progress is how far the points of one rule are, at all its distances.
type progress struct {
	kinds                         int
	whole, partial, unfit, absent int64
	series                        int
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
		p.series, p.since = max(p.series, r.Series), r.Since
		p.failing = cmp.Or(p.failing, r.Failing)
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

// conclude says what came of it, once no point is absent: was is how it was before.
func (p progress) conclude(was progress, stdout, stderr io.Writer) int {
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
		fmt.Fprintf(stdout, "all points from %s on were there already\n", unixTime(p.since))
	case p.series == 0:
		fmt.Fprintln(stderr, "warning: the newest points have no series: nothing below has samples of what the rule selects")
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
