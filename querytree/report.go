package querytree

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"time"
)

// Verdict says what became of one child in one query.
type Verdict string

// Verdicts, in the order of precedence used when several requests of one query
// came to different ones.
const (
	Asked       Verdict = "asked"
	PrunedHint  Verdict = "pruned-hint"  // its field hint rules out a match
	PrunedTime  Verdict = "pruned-time"  // it holds no samples of that time
	PrunedLabel Verdict = "pruned-label" // its identity labels rule out a match
	RolledUp    Verdict = "rollup"       // a rollup of its parent has all that was asked for
	// Replaced: a request was sent to it, but what it had to say was left to
	// another replica, since it failed or was slower. Nothing is missing.
	Replaced Verdict = "replaced"
)

// Rows of a report: of all children, of those that requests were sent to, over all
// tiers more than twice as many as the largest tier has, and of those that were
// pruned, which are counted anyway. Those that failed are named as long as there is
// any room.
const (
	maxRows       = 100_000
	maxSentRows   = 50_000
	maxPrunedRows = 10_000
)

// sent reports whether a request was sent.
func (v Verdict) sent() bool { return v == Asked || v == Replaced }

// ChildReport is what one child contributed to an answer.
type ChildReport struct {
	// Tier of the child.
	Tier string
	// Verdict is Asked if any request of the query was sent to it, unless other
	// replicas took its place in all of them.
	Verdict Verdict
	// Requests counts the requests sent.
	Requests int
	// Failed says why the child's part is missing or incomplete; empty if it
	// is whole.
	Failed string
	// Late is set if it failed by missing its soft deadline.
	Late bool
	// Hedged is set if a replica was raced with it because it was slow.
	Hedged bool
	// Cached is set if some of its part came from a cache.
	Cached bool
	// Evidence is the matcher, or the time, by which the child was pruned.
	Evidence string
	// Series and Samples count what came from it, Bytes their size on the wire
	// or, within one process, in memory.
	Series, Samples, Bytes int64
	// Time is how long its slowest request took.
	Time time.Duration
}

// Report is the completeness of an answer, as data: what each child below
// contributed, was pruned by, or failed with. Children of children are listed
// under their own names, so nothing is lost between tiers.
//
// The zero value is an empty report. It is not safe for concurrent use.
type Report struct {
	// Children by Identity.Name. Children that were pruned are listed only if
	// the request asked for Detail; they are always counted in Pruned.
	Children map[string]ChildReport
	// Pruned counts children that were not asked, by verdict.
	Pruned map[Verdict]int
	// Unlisted counts answers of children that have no row, for there are too many:
	// what is added up of Children is too small by them. Never those that failed.
	Unlisted int
	// Unnamed counts children that failed and have no row, for too many did.
	Unnamed int
	// Explanation is what the tier did with the request, if it asked for one.
	Explanation *Explanation
	// Cache is what the tier's own cache had to do with the answer; nil if it
	// has none. It is not merged: each tier tells of its own.
	Cache *CacheUse
	// Rollups are those that had a part in the answer, of all tiers, by tier and
	// rule; a thousand at most.
	Rollups []RollupUse
	// Aligned tells at which times the query was evaluated instead of those asked
	// for; nil if it did not ask for that. It is not merged.
	Aligned *Alignment
}

// Add notes one child's part, merging it with what is already known of it.
func (r *Report) Add(name string, c ChildReport) {
	if r.Children == nil {
		r.Children = map[string]ChildReport{}
	}
	old, ok := r.Children[name]
	if !ok {
		r.addRow(name, c)
		return
	}
	r.Children[name] = old.merge(c)
}

// addRow notes a child that has no row yet, if it failed or there is room for it.
// Pruned ones leave room for the others.
func (r *Report) addRow(name string, c ChildReport) {
	switch sent := c.Verdict.sent(); {
	case len(r.Children) < maxPrunedRows, sent && len(r.Children) < maxSentRows, c.Failed != "" && len(r.Children) < maxRows:
		r.Children[name] = c
	case c.Failed != "":
		r.Unnamed++
	case sent:
		r.Unlisted++
	}
}

func (c ChildReport) merge(d ChildReport) ChildReport {
	if c.Verdict != Asked && (c.Verdict != Replaced || d.Verdict == Asked) {
		c.Verdict = d.Verdict
	}
	if c.Failed == "" {
		c.Failed = d.Failed
	}
	c.Late = c.Late || d.Late
	c.Hedged = c.Hedged || d.Hedged
	c.Cached = c.Cached || d.Cached
	if c.Evidence == "" {
		c.Evidence = d.Evidence
	}
	c.Bytes += d.Bytes
	c.Time = max(c.Time, d.Time)
	c.Requests += d.Requests
	c.Series += d.Series
	c.Samples += d.Samples
	return c
}

// MergePart notes all that the report of another part of the same answer tells: a part
// of its range, or of its operators. Who is not named in the one is mostly not in the
// other either.
func (r *Report) MergePart(other Report) {
	unnamed := max(r.Unnamed, other.Unnamed)
	r.Merge(other)
	r.Unnamed = max(r.Unnamed-other.Unnamed, unnamed)
}

// Merge notes all that other reports.
func (r *Report) Merge(other Report) {
	for name, c := range other.Children {
		r.Add(name, c)
	}
	r.Unlisted += other.Unlisted
	r.Unnamed += other.Unnamed
	for v, n := range other.Pruned {
		if r.Pruned == nil {
			r.Pruned = map[Verdict]int{}
		}
		r.Pruned[v] += n
	}
	for _, u := range other.Rollups {
		r.addRollup(u)
	}
}

// addRollup notes that a rollup had a part in the answer.
func (r *Report) addRollup(u RollupUse) {
	i, found := slices.BinarySearchFunc(r.Rollups, u, func(a, b RollupUse) int {
		return cmp.Or(strings.Compare(a.Tier, b.Tier), strings.Compare(a.Rule, b.Rule))
	})
	if found {
		old := &r.Rollups[i]
		old.Steps, old.Of, old.Until = old.Steps+u.Steps, old.Of+u.Of, min(old.Until, u.Until)
	} else if len(r.Rollups) < maxRollupRows {
		r.Rollups = slices.Insert(r.Rollups, i, u)
	}
}

// maxRollupRows bounds Report.Rollups: thousands of leaves may have a part each.
const maxRollupRows = 1000

// Missing returns the names of the children whose part is missing or
// incomplete, sorted, but for the Unnamed.
func (r Report) Missing() []string {
	var names []string
	for _, name := range slices.Sorted(maps.Keys(r.Children)) {
		if r.Children[name].Failed != "" {
			names = append(names, name)
		}
	}
	return names
}

// Partial reports whether anything is missing from the answer.
func (r Report) Partial() bool {
	if r.Unnamed > 0 {
		return true
	}
	for _, c := range r.Children {
		if c.Failed != "" {
			return true
		}
	}
	return false
}
