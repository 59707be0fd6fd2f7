package client

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/pandometrics/pando/querytree"
	"github.com/pandometrics/pando/querytree/treehttp"
)

// maxListed is how many children of one fragment are listed that are alike.
const maxListed = 20

// renderWhy writes an explanation as an indented tree, then the critical path.
func renderWhy(w io.Writer, x treehttp.Explained, verbose bool) error {
	p := whyPrinter{verbose: verbose}
	if x.ID != "" {
		p.line("", "query id %s", x.ID)
	}
	p.tier("", x.Explanation)
	p.path(x.CriticalPath)
	_, err := io.WriteString(w, p.b.String())
	return err
}

type whyPrinter struct {
	b       strings.Builder
	verbose bool
}

func (p *whyPrinter) line(in, format string, args ...any) {
	p.b.WriteString(in)
	p.b.WriteString(printable(fmt.Sprintf(format, args...)))
	p.b.WriteByte('\n')
}

// tier writes what one tier does, and all that is below.
func (p *whyPrinter) tier(in string, x *querytree.Explanation) {
	p.line(in, "%s: %s%s", title(x.Tier, x.Name), oneLine(x.Query), measured(x))
	p.work(in+"  ", x)
}

// work writes what a tier does with its query.
func (p *whyPrinter) work(in string, x *querytree.Explanation) {
	if x.Residual != "" {
		p.line(in, "evaluates %s", oneLine(x.Residual))
	}
	if x.Aligned != nil {
		p.line(in, "aligned: %s", x.Aligned)
	}
	for _, c := range x.Cuts {
		p.line(in, "keeps %s: %s", oneLine(c.Expr), c.Why)
	}
	for _, c := range x.Unrolled {
		p.line(in, "no rollup for %s: %s", oneLine(c.Expr), c.Why)
	}
	for _, r := range x.Replans {
		p.line(in, "planned again: %s", r)
	}
	if x.Cache != "" {
		p.line(in, "cache: %s", x.Cache)
	}
	for _, f := range x.Fragments {
		p.fragment(in, f)
	}
	if x.Truncated != "" {
		p.line(in, "(left out: %s)", x.Truncated)
	}
}

func measured(x *querytree.Explanation) string {
	if x.Total == 0 {
		return ""
	}
	s := fmt.Sprintf("\u2003%s, %d series, %d samples", took(x.Total), x.Series, x.Samples)
	if x.Queued > time.Millisecond {
		s += ", queued " + took(x.Queued)
	}
	if x.Wasted > 0 {
		s += ", plans given up " + took(x.Wasted)
	}
	return s
}

// fragment writes a fragment: the rule, the children asked, and a summary of the
// others.
func (p *whyPrinter) fragment(in string, f querytree.FragmentExplanation) {
	name := "fragment " + f.ID
	if f.Kind == "raw" {
		name = f.ID
	}
	p.line(in, "%s, %s: %s", name, f.Kind, oneLine(f.Query))
	in += "  "
	if f.Why != "" {
		p.line(in, "because %s", f.Why)
	}
	if r := f.Rollup; r != nil {
		p.line(in, "reads %d of %s from rollup %s, which is whole up to %s", r.Steps, count(r.Of, "step", "steps"), r.Rule, time.UnixMilli(r.Until).UTC().Format(time.RFC3339))
	}
	p.pruned(in, f)
	listed := 0
	for _, e := range f.Children {
		if e.Verdict != querytree.Asked {
			continue
		}
		if listed++; listed <= maxListed || p.verbose || e.Failed != "" {
			p.edge(in, f, e)
		}
	}
	if n := listed - maxListed; n > 0 && !p.verbose {
		p.line(in, "… and %d more, of which those that failed are listed (--verbose lists all)", n)
	}
	if f.Note != "" {
		p.line(in, "(%s)", f.Note)
	}
}

// edge writes a child that was asked. What a leaf says of itself adds nothing.
func (p *whyPrinter) edge(in string, f querytree.FragmentExplanation, e querytree.EdgeExplanation) {
	var notes []string
	if e.Time > 0 && e.Failed == "" {
		notes = append(notes, fmt.Sprintf("%s, %d series, %d samples, %s", took(e.Time), e.Series, e.Samples, treehttp.ShortBytes(uint64(max(e.Bytes, 0)))))
	}
	if e.Time > 0 && e.Failed != "" {
		notes = append(notes, took(e.Time))
	}
	if e.Below != nil && e.Below.Total > 0 {
		notes = append(notes, "of which its own "+took(e.Below.Total))
	}
	for _, n := range []struct {
		is   bool
		text string
	}{{e.Hedged, "hedged"}, {e.Cached, "cached"}, {e.Late, "late"}} {
		if n.is {
			notes = append(notes, n.text)
		}
	}
	if e.Empty != "" {
		notes = append(notes, fmt.Sprintf("asked in vain (selector of kind %s)", e.Empty))
	}
	if e.Failed != "" {
		notes = append(notes, "failed: "+e.Failed)
	}
	text := "asks " + title(e.Tier, e.Child)
	if len(notes) > 0 {
		text += "\u2003" + strings.Join(notes, ", ")
	}
	p.line(in, "%s", text)
	switch below := e.Below; {
	case below == nil || (len(below.Fragments) == 0 && below.Residual == ""):
	case oneLine(below.Query) == oneLine(f.Query):
		p.work(in+"  ", below)
	default:
		p.tier(in+"  ", below)
	}
}

// pruned writes how many children were pruned by what.
func (p *whyPrinter) pruned(in string, f querytree.FragmentExplanation) {
	by := map[string][]string{}
	for _, e := range f.Children {
		if e.Verdict != querytree.Asked {
			why := reason(e.Verdict, e.Evidence)
			by[why] = append(by[why], e.Child)
		}
	}
	whys := slices.SortedFunc(maps.Keys(by), func(a, b string) int {
		return cmp.Or(cmp.Compare(len(by[b]), len(by[a])), cmp.Compare(a, b))
	})
	for _, why := range whys {
		p.line(in, "prunes %s by %s", count(len(by[why]), "child", "children"), why)
		if p.verbose {
			for _, name := range by[why] {
				p.line(in+"  ", "%s", name)
			}
		}
	}
}

// path writes where the time went.
func (p *whyPrinter) path(steps []querytree.PathStep) {
	if len(steps) == 0 {
		return
	}
	p.line("", "critical path:")
	for _, s := range steps {
		text := fmt.Sprintf("%s: %s, self %s", title(s.Tier, s.Name), took(s.Total), took(s.Self))
		if s.Queued > 0 {
			text += ", queued " + took(s.Queued)
		}
		if s.Wire > 0 {
			text += ", wire " + took(s.Wire)
		}
		if s.Late {
			text += ", late"
		} else if s.Failed != "" {
			text += ", failed"
		}
		p.line("  ", "%s", text)
	}
}

// reason puts a verdict into words.
func reason(v querytree.Verdict, evidence string) string {
	words := map[querytree.Verdict]string{
		querytree.PrunedLabel: "identity label", querytree.PrunedTime: "time", querytree.PrunedHint: "field hint", querytree.RolledUp: "rollup",
	}
	word := cmp.Or(words[v], string(v))
	if evidence == "" {
		return word
	}
	return word + ": " + evidence
}

// title names a tier: its kind, and its identity if that says more.
func title(tier, name string) string {
	if tier == name || tier == "" {
		return name
	}
	return tier + " " + name
}

func count(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return strconv.Itoa(n) + " " + many
}

// took is a duration with three digits, about.
func took(d time.Duration) string {
	unit := time.Duration(1)
	for d/unit >= 1000 {
		unit *= 10
	}
	return d.Round(unit).String()
}

// oneLine joins the lines of a query.
func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }
