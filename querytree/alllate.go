package querytree

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"
)

// patience is how long a query waits for its children, and by which limit.
type patience struct {
	begin time.Time
	soft  time.Duration
	// flag sets the limit; of is what it allows the query, of which children get a
	// part. Zero: they get it all.
	flag string
	of   time.Duration
	tier string
}

// patienceFor returns that of a query of somebody outside the tree that begins now.
func (l Limits) patienceFor(ctx context.Context, o Options, tier string) patience {
	p := patience{begin: time.Now(), soft: l.ChildDeadline, flag: flagChildDeadline, tier: tier}
	own := l.timeLimit(ctx, o, tier)
	if soft := softDeadline(l.ChildDeadline, time.Until(own.end)); soft < l.ChildDeadline {
		p.soft, p.flag, p.of = rounded(soft), own.limit.Flag, time.Duration(own.limit.Limit)
	}
	return p
}

// allLate returns why an answer is none: every leaf that was asked, or who stands
// above it, was late. That is not a child's fault, of which there would be a
// warning, but of a query that takes more time than it has; an empty answer would
// look as if there were nothing. Where a single leaf was in time, or failed in another
// way, it is the answer of the others. So it is if some have no row, for nobody knows.
func (p patience) allLate(r Report) error {
	if r.Unlisted > 0 || r.Unnamed > 0 || len(r.Rollups) > 0 {
		return nil
	}
	var late []string
	for name, c := range r.Children {
		switch {
		case !c.Verdict.sent():
		case c.Late && c.Series == 0 && c.Samples == 0 && !c.Cached:
			late = append(late, fmt.Sprintf("%q", name))
		case c.Failed != "" || c.Tier == TierLeaf || c.Cached:
			return nil
		}
	}
	if len(late) == 0 {
		return nil
	}
	return &LimitError{What: p.what(late), Flag: p.flag, Limit: int64(p.soft), Tier: p.tier}
}

// mostLateNamed is how many of those who were late an error names.
const mostLateNamed = 3

// what says who was late, and after how long that was known: sooner than the limit if
// they are tiers below, each of which keeps a part of its time for itself.
func (p patience) what(late []string) string {
	slices.Sort(late)
	who := strings.Join(late[:min(len(late), mostLateNamed)], ", ")
	if more := len(late) - mostLateNamed; more > 0 {
		who += fmt.Sprintf(" and %d more", more)
	}
	s := "time for children"
	if p.of > 0 {
		s += fmt.Sprintf(", of %s for the query", p.of)
	}
	return fmt.Sprintf("%s, none of which answered within %s (%s)", s, time.Since(p.begin).Round(time.Millisecond), who)
}
