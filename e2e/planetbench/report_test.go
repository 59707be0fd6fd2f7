package planetbench_test

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
	"text/tabwriter"
)

// Targets of the figures that have one.
const (
	targetZonePruned       = 99.9 // percent of leaves, for a selector local to one cluster
	targetRootPruned       = 95.0 // percent of zones, likewise
	targetEqualPrecision   = 99.0 // percent of asked children that hold a match
	targetRegexpPrecision  = 90.0
	targetFingerprintBytes = 1.3
	targetFalsePositives   = 1.0 // percent
	targetDecision         = 1.0 // milliseconds, p99 at 10,000 children
	targetDelta            = 1.0 // million fingerprints a second and core
)

// report writes figures, each beside its target.
type report struct{ w *tabwriter.Writer }

func newReport(w io.Writer) report { return report{tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)} }

func (r report) title(format string, args ...any) {
	fmt.Fprintf(r.w, "\n"+format+"\n", args...)
}

func (r report) row(cells ...any) {
	for i, c := range cells {
		if i > 0 {
			fmt.Fprint(r.w, "\t")
		}
		fmt.Fprint(r.w, c)
	}
	fmt.Fprintln(r.w)
}

func (r report) flush() { r.w.Flush() }

func atLeast(figure, target float64, unit string) string {
	return judged(figure, target, unit, "≥", figure >= target)
}

func atMost(figure, target float64, unit string) string {
	return judged(figure, target, unit, "≤", figure <= target)
}

func judged(figure, target float64, unit, sign string, ok bool) string {
	verdict := "ok"
	if !ok {
		verdict = "MISSED"
	}
	return fmt.Sprintf("%.4g%s (%s %.4g: %s)", figure, unit, sign, target, verdict)
}

// scope is where the series that match a query are.
type scope string

const (
	nowhere    scope = "nowhere"
	oneCluster scope = "one cluster"
	some       scope = "some clusters"
	most       scope = "most clusters"
)

var scopes = []scope{oneCluster, some, most, nowhere}

func (o *outcome) scope(leaves int) scope {
	held := 0
	for _, z := range o.leaves {
		held += z.held
	}
	switch {
	case held == 0:
		return nowhere
	case held == 1:
		return oneCluster
	case 2*held < leaves:
		return some
	default:
		return most
	}
}

// sums add up the outcomes of queries. Leaves are asked if their zone is.
type sums struct {
	queries                         int
	zonesAsked, zonesHeld           int
	leavesAsked, leavesHeld         int
	leavesPassed, leavesOfAskedZone int
}

func (s *sums) add(o *outcome, zones []*zone) {
	s.queries++
	for z := range zones {
		s.leavesPassed += o.leaves[z].passed
		s.leavesHeld += o.leaves[z].held
		if o.leaves[z].held > 0 {
			s.zonesHeld++
		}
		if o.zonePassed[z] {
			s.zonesAsked++
			s.leavesAsked += o.leaves[z].passed
			s.leavesOfAskedZone += zones[z].leaves
		}
	}
}

func percent(a, b int) float64 {
	if b == 0 {
		return 100
	}
	return 100 * float64(a) / float64(b)
}

func per(a, b int) string { return fmt.Sprintf("%.2f", float64(a)/float64(max(1, b))) }

func pct(a, b int) string {
	if b == 0 {
		return "–"
	}
	return fmt.Sprintf("%.2f%%", percent(a, b))
}

// pruning writes what hints ruled out, by scope and form.
func (p *planet) pruning(r report) {
	leaves := len(p.gen.places)
	by := map[scope]map[form]*sums{}
	for i, q := range p.queries {
		o := &p.verdict.queries[i]
		s := o.scope(leaves)
		if by[s] == nil {
			by[s] = map[form]*sums{}
		}
		for _, f := range []form{q.form, "all"} {
			if by[s][f] == nil {
				by[s][f] = &sums{}
			}
			by[s][f].add(o, p.zones)
		}
	}
	r.title("Pruning, locality by %s: selectors by where their matches are, and by form", p.gen.locality)
	r.row("matches", "form", "queries", "zones hold", "asked", "pruned", "precision", "leaves hold", "asked", "pruned of all", "pruned in asked zones", "precision")
	for _, s := range scopes {
		for _, f := range append(slices.Clone(forms), "all") {
			if t := by[s][f]; t != nil {
				r.row(s, f, t.queries, per(t.zonesHeld, t.queries), per(t.zonesAsked, t.queries),
					pct(zoneCount*t.queries-t.zonesAsked, zoneCount*t.queries), pct(t.zonesHeld, t.zonesAsked),
					per(t.leavesHeld, t.queries), per(t.leavesAsked, t.queries),
					pct(leaves*t.queries-t.leavesAsked, leaves*t.queries),
					pct(t.leavesOfAskedZone-t.leavesAsked, t.leavesOfAskedZone), pct(t.leavesHeld, t.leavesAsked))
			}
		}
	}
	p.targets(r, by)
	p.causes(r)
	p.vain(r)
}

func (p *planet) targets(r report, by map[scope]map[form]*sums) {
	leaves := len(p.gen.places)
	if t := by[oneCluster]["all"]; t != nil {
		r.title("Targets, locality by %s", p.gen.locality)
		r.row("leaves pruned, match in one cluster", atLeast(percent(leaves*t.queries-t.leavesAsked, leaves*t.queries), targetZonePruned, "%"))
		r.row("zones pruned at the root, match in one cluster", atLeast(percent(zoneCount*t.queries-t.zonesAsked, zoneCount*t.queries), targetRootPruned, "%"))
	}
	for _, group := range []struct {
		name   string
		forms  []form
		target float64
	}{
		{"equality", []form{nameOnly, equality, equalities}, targetEqualPrecision},
		{"regexps", []form{listed, pattern}, targetRegexpPrecision},
	} {
		of := func(scopes ...scope) (out sums) {
			for _, s := range scopes {
				for _, f := range group.forms {
					if t := by[s][f]; t != nil {
						out.merge(t)
					}
				}
			}
			return out
		}
		for _, t := range []struct {
			name string
			sums
		}{{"", of(oneCluster, some, most)}, {", match in one cluster", of(oneCluster)}} {
			r.row("precision in leaves, "+group.name+t.name, atLeast(percent(t.leavesHeld, t.leavesAsked), group.target, "%"))
			r.row("precision in zones, "+group.name+t.name, atLeast(percent(t.zonesHeld, t.zonesAsked), group.target, "%"))
		}
		in := of(nowhere)
		r.row("asked in vain for what is nowhere, "+group.name, fmt.Sprintf("%s leaves of %d, %s zones of %d a query",
			per(in.leavesAsked, in.queries), leaves, per(in.zonesAsked, in.queries), zoneCount))
	}
}

func (s *sums) merge(t *sums) {
	s.queries += t.queries
	s.zonesAsked += t.zonesAsked
	s.zonesHeld += t.zonesHeld
	s.leavesAsked += t.leavesAsked
	s.leavesHeld += t.leavesHeld
	s.leavesPassed += t.leavesPassed
	s.leavesOfAskedZone += t.leavesOfAskedZone
}

// causes writes why children were asked in vain, the most frequent ones.
func (p *planet) causes(r report) {
	for _, tier := range []struct {
		name   string
		counts map[string]int
	}{{"leaves", p.verdict.leafCauses}, {"zones", p.verdict.zoneCauses}} {
		total := 0
		for _, n := range tier.counts {
			total += n
		}
		r.title("Why %s passed that hold no match, locality by %s: %d times", tier.name, p.gen.locality, total)
		causes := slices.SortedFunc(maps.Keys(tier.counts), func(a, b string) int {
			return cmp.Or(tier.counts[b]-tier.counts[a], cmp.Compare(a, b))
		})
		for _, c := range causes[:min(12, len(causes))] {
			r.row("", c, tier.counts[c], pct(tier.counts[c], total))
		}
	}
}

// shownInVain is how many selectors vain lists.
const shownInVain = 15

// vain writes the selectors that asked most leaves in vain, of those that match
// anywhere.
func (p *planet) vain(r report) {
	type asked struct {
		query    query
		of       scope
		in, vain int
	}
	var all []asked
	for i, q := range p.queries {
		o := &p.verdict.queries[i]
		var s sums
		if s.add(o, p.zones); s.leavesHeld > 0 && s.leavesAsked > s.leavesHeld {
			all = append(all, asked{q, o.scope(len(p.gen.places)), s.leavesHeld, s.leavesAsked - s.leavesHeld})
		}
	}
	slices.SortStableFunc(all, func(a, b asked) int { return cmp.Compare(b.vain, a.vain) })
	r.title("Selectors that asked most leaves in vain, locality by %s: %d of %d did", p.gen.locality, len(all), len(p.queries))
	for _, a := range all[:min(shownInVain, len(all))] {
		r.row("", a.vain, "of "+fmt.Sprint(a.in+a.vain), a.of, a.query.form, a.query)
	}
}
