package client

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"

	"github.com/pandometrics/pando/querytree"
	"github.com/pandometrics/pando/querytree/treehttp"
)

// place is a node of the live tree, and how to get there.
type place struct {
	node treehttp.Node
	path []string // names, from below the server down to the node itself
}

// whyNotReport is what is written of a leaf as JSON.
type whyNotReport struct {
	Query string   `json:"query"`
	Leaf  string   `json:"leaf"`
	Asked bool     `json:"asked"`
	Says  []string `json:"says"` // the lines of text for people
}

// whyNot says why a leaf was not asked, or what it returned.
func (o WhyOptions) whyNot(ctx context.Context, stdout, stderr io.Writer) (int, error) {
	if o.Output != WhyJSON {
		code, _, err := o.followed(ctx, stdout, stderr)
		return code, err
	}
	var text bytes.Buffer
	code, t, err := o.followed(ctx, &text, stderr)
	if err != nil {
		return code, err
	}
	lines := strings.Split(strings.TrimSuffix(text.String(), "\n"), "\n")
	return code, writeJSON(stdout, whyNotReport{Query: o.Expr, Leaf: t.leaf.node.Name, Asked: t.asked, Says: lines})
}

// followed writes what became of a leaf.
func (o WhyOptions) followed(ctx context.Context, stdout, stderr io.Writer) (int, tracker, error) {
	conn, g, err := o.connect()
	if err != nil {
		return Failed, tracker{}, err
	}
	leaf, err := o.find(ctx, conn)
	if err != nil {
		return Failed, tracker{}, err
	}
	x, e, err := o.ask(ctx, conn, g, o.Analyze)
	warn(stderr, e)
	if err != nil {
		return Failed, tracker{}, err
	}
	t := tracker{leaf: leaf}
	t.follow(x.Explanation, leaf.path)
	for _, line := range t.lines {
		fmt.Fprintln(stdout, printable(line))
	}
	if len(t.lines) == 0 {
		fmt.Fprintf(stdout, "nothing of the query reads series\n")
	}
	if leaf.node.State == treehttp.StateMissing {
		fmt.Fprintf(stdout, "%s is missing: %s\n", printable(title(leaf.node.Tier, leaf.node.Name)), printable(cmp.Or(leaf.node.Error, "not connected")))
	}
	if t.asked {
		code, err := o.returned(ctx, conn, g, leaf, stdout, stderr)
		return code, t, err
	}
	return OK, t, nil
}

// find finds the leaf that is meant in the live tree.
func (o WhyOptions) find(ctx context.Context, conn connection) (place, error) {
	var raw json.RawMessage
	if err := conn.get(ctx, "/pando/api/v1/tree", &raw); err != nil {
		return place{}, err
	}
	var t treehttp.Tree
	if err := json.Unmarshal(raw, &t); err != nil {
		return place{}, fmt.Errorf("read tree: %w", err)
	}
	var all []place
	var walk func(nodes []treehttp.Node, above []string)
	walk = func(nodes []treehttp.Node, above []string) {
		for _, n := range nodes {
			p := place{node: n, path: append(slices.Clone(above), n.Name)}
			if n.Tier == querytree.TierLeaf {
				all = append(all, p)
			}
			walk(n.Children, p.path)
		}
	}
	walk(t.Children, nil)
	var names []string
	var found, exact []place
	for _, p := range all {
		if p.node.Name == o.Not {
			return p, nil
		}
		names = append(names, p.node.Name)
		if strings.Contains(p.node.Name, o.Not) {
			found = append(found, p)
		}
		for _, v := range p.node.Labels {
			if v == o.Not {
				exact = append(exact, p)
				break
			}
		}
	}
	if len(exact) > 0 { // eu-1 is not eu-10
		found = exact
	}
	switch len(found) {
	case 1:
		return found[0], nil
	case 0:
		return place{}, fmt.Errorf("--not=%s: no leaf below %s %q has a name like that; it has never registered, or was forgotten. There are %s",
			o.Not, t.Self.Tier, t.Self.Name, list(names))
	}
	names = nil
	for _, p := range found {
		names = append(names, p.node.Name)
	}
	return place{}, fmt.Errorf("--not=%s may be any of %s", o.Not, list(names))
}

// list joins names, of which there may be many.
func list(names []string) string {
	const most = 20
	if len(names) == 0 {
		return "none"
	}
	if len(names) > most {
		return strings.Join(names[:most], "; ") + fmt.Sprintf(" and %d more", len(names)-most)
	}
	return strings.Join(names, "; ")
}

// tracker follows a leaf through an explanation.
type tracker struct {
	leaf  place
	lines []string
	asked bool
}

func (t *tracker) say(f querytree.FragmentExplanation, format string, args ...any) {
	line := fmt.Sprintf("%s: ", oneLine(f.Query)) + fmt.Sprintf(format, args...)
	if !slices.Contains(t.lines, line) {
		t.lines = append(t.lines, line)
	}
}

// follow tells of each fragment what became of the first of path, or of what is
// below it.
func (t *tracker) follow(x *querytree.Explanation, path []string) {
	for _, f := range x.Fragments {
		if f.Kind == "guard" {
			continue
		}
		i := slices.IndexFunc(f.Children, func(e querytree.EdgeExplanation) bool { return e.Child == path[0] })
		if i < 0 {
			t.absent(f, x, path[0])
			continue
		}
		e := f.Children[i]
		switch {
		case e.Verdict != querytree.Asked:
			t.say(f, "%s did not ask %s, by %s", title(x.Tier, x.Name), title(e.Tier, e.Child), reason(e.Verdict, e.Evidence))
		case e.Failed != "":
			t.asked = t.asked || len(path) == 1
			t.say(f, "%s asked %s, which failed: %s", title(x.Tier, x.Name), title(e.Tier, e.Child), e.Failed)
		case len(path) == 1:
			t.asked = true
			t.say(f, "%s asks it%s", title(x.Tier, x.Name), answered(e))
		case e.Below == nil:
			t.say(f, "%s asks %s, which does not explain itself", title(x.Tier, x.Name), title(e.Tier, e.Child))
		default:
			t.follow(e.Below, path[1:])
		}
	}
}

// absent tells of a child that has no row.
func (t *tracker) absent(f querytree.FragmentExplanation, x *querytree.Explanation, name string) {
	set, _, replica := strings.Cut(name, "/replica=")
	for _, e := range f.Children {
		if replica && strings.HasPrefix(e.Child, set+"/replica=") {
			t.say(f, "%s considers another replica in its place: %s", title(x.Tier, x.Name), e.Child)
			return
		}
	}
	t.say(f, "%s does not tell of %s. %s", title(x.Tier, x.Name), name, f.Note)
}

func answered(e querytree.EdgeExplanation) string {
	if e.Time == 0 {
		return ""
	}
	return fmt.Sprintf(", and got %d series, %d samples in %s", e.Series, e.Samples, took(e.Time))
}

// returned tells how many series the leaf has for each selector.
func (o WhyOptions) returned(ctx context.Context, conn connection, g grid, leaf place, stdout, stderr io.Writer) (int, error) {
	expr, err := querytree.NewParser().ParseExpr(o.Expr)
	if err != nil {
		return Failed, fmt.Errorf("parse query: %w", err)
	}
	code := OK
	seen := map[string]bool{}
	for _, s := range selectors(expr, g) {
		q := o.QueryOptions
		q.Expr, q.NoHints = pinned(s, leaf.node.Labels), true
		if seen[q.Expr] {
			continue
		}
		seen[q.Expr] = true
		res, err := q.value(ctx, conn, grid{start: g.end, end: g.end}, nil)
		if err != nil {
			return Failed, err
		}
		if res.Partial {
			code = Partial
			for _, w := range res.Warnings {
				fmt.Fprintln(stderr, "warning:", printable(w))
			}
		}
		n := 0
		if v, ok := res.Value.(model.Vector); ok && len(v) > 0 {
			n = int(v[0].Value)
		}
		where := "it has"
		if leaf.node.Shard != "" || leaf.node.Replica != "" {
			where = "leaves with its labels have"
		}
		fmt.Fprintf(stdout, "%s: %s %s for it\n", printable(s.text), where, count(n, "series", "series"))
	}
	return code, nil
}

// reads is a selector of a query, and how far back it looks.
type reads struct {
	text   string
	vs     *parser.VectorSelector
	window time.Duration
}

// defaultLookback is how far back an instant selector looks, unless a tier was
// told otherwise.
const defaultLookback = 5 * time.Minute

// selectors returns the selectors of a query, and the time before the end of the
// grid that each of them reads.
func selectors(expr parser.Expr, g grid) []reads {
	var out []reads
	parser.Inspect(expr, func(n parser.Node, path []parser.Node) error {
		vs, ok := n.(*parser.VectorSelector)
		if !ok {
			return nil
		}
		c := *vs
		switch c.StartOrEnd {
		case parser.START:
			at := g.start.UnixMilli()
			c.Timestamp, c.StartOrEnd = &at, 0
		case parser.END:
			at := g.end.UnixMilli()
			c.Timestamp, c.StartOrEnd = &at, 0
		}
		r := reads{text: vs.String(), vs: &c, window: g.end.Sub(g.start)}
		own := defaultLookback
		for _, p := range path {
			switch p := p.(type) {
			case *parser.MatrixSelector:
				own = p.Range
				r.text = p.String()
			case *parser.SubqueryExpr:
				r.window += p.Range
			}
		}
		r.window += own
		out = append(out, r)
		return nil
	})
	return out
}

// pinned counts the series of a selector in the part of the tree that has some
// identity labels.
func pinned(r reads, identity map[string]string) string {
	r.vs.LabelMatchers = slices.Clone(r.vs.LabelMatchers)
	for _, name := range slices.Sorted(maps.Keys(identity)) {
		r.vs.LabelMatchers = append(r.vs.LabelMatchers, labels.MustNewMatcher(labels.MatchEqual, name, identity[name]))
	}
	return fmt.Sprintf("count(last_over_time(%s))", &parser.MatrixSelector{VectorSelector: r.vs, Range: r.window})
}
