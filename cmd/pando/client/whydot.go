package client

import (
	"fmt"
	"io"
	"strings"

	"github.com/pandometrics/pando/querytree"
	"github.com/pandometrics/pando/querytree/treehttp"
)

// renderDot writes an explanation as a graph for graphviz: an edge for each
// child and fragment, dashed if it was pruned, red on the critical path.
func renderDot(w io.Writer, x treehttp.Explained) error {
	d := dotPrinter{}
	d.b.WriteString("digraph query {\n  rankdir=LR\n  node [shape=box fontname=monospace]\n  edge [fontname=monospace]\n")
	d.tier(x.Explanation, x.CriticalPath)
	d.b.WriteString("}\n")
	_, err := io.WriteString(w, d.b.String())
	return err
}

type dotPrinter struct {
	b    strings.Builder
	next int
}

// node writes a node and returns its name.
func (d *dotPrinter) node(label, style string) string {
	d.next++
	name := fmt.Sprintf("n%d", d.next)
	fmt.Fprintf(&d.b, "  %s [label=%s%s]\n", name, dotQuote(label), style)
	return name
}

// tier writes a tier and all that is below; path begins with the tier if it is
// on the critical path.
func (d *dotPrinter) tier(x *querytree.Explanation, path []querytree.PathStep) string {
	at := d.node(title(x.Tier, x.Name)+"\n"+oneLine(x.Query)+strings.ReplaceAll(measured(x), "\u2003", "\n"), "")
	var critical querytree.PathStep
	if len(path) > 1 {
		critical = path[1]
	}
	for _, f := range x.Fragments {
		for _, e := range f.Children {
			style, below := "", path[:0]
			if critical.Name == e.Child && critical.Fragment == f.ID {
				style, below = " color=red penwidth=2", path[1:]
			}
			d.edge(at, f, e, style, below)
		}
	}
	return at
}

func (d *dotPrinter) edge(at string, f querytree.FragmentExplanation, e querytree.EdgeExplanation, style string, path []querytree.PathStep) {
	label := f.ID + " " + f.Kind
	if e.Verdict != querytree.Asked {
		to := d.node(title(e.Tier, e.Child), " color=gray fontcolor=gray")
		fmt.Fprintf(&d.b, "  %s -> %s [label=%s style=dashed color=gray]\n", at, to, dotQuote(label+"\n"+reason(e.Verdict, e.Evidence)))
		return
	}
	if e.Time > 0 {
		label += "\n" + took(e.Time)
	}
	if e.Failed != "" {
		label += "\nfailed"
	}
	to := ""
	if e.Below != nil {
		to = d.tier(e.Below, path)
	} else {
		to = d.node(title(e.Tier, e.Child), "")
	}
	fmt.Fprintf(&d.b, "  %s -> %s [label=%s%s]\n", at, to, dotQuote(label), style)
}

// dotQuote quotes a label for graphviz, line by line.
func dotQuote(s string) string {
	lines := strings.Split(s, "\n")
	for i, l := range lines {
		lines[i] = strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(printable(l))
	}
	return `"` + strings.Join(lines, `\n`) + `"`
}
