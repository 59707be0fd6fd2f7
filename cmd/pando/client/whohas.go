package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"

	"github.com/pandometrics/pando/querytree"
	"github.com/pandometrics/pando/querytree/treehttp"
)

// WhoHasOptions say which leaves to look for.
type WhoHasOptions struct {
	// QueryOptions give the selector, as Expr, and the times that it is about;
	// Stats and Step are not used. Format is Table or JSON.
	QueryOptions
	// Verify asks the leaves how many series they have.
	Verify bool
}

// WhoHas writes which leaves may hold series of a selector, by what all tiers
// know of them, and what rules out the others. It returns the exit code: Partial
// if some part of the tree did not tell.
func WhoHas(ctx context.Context, o WhoHasOptions, stdout, stderr io.Writer) int {
	found, warnings, err := o.find(ctx)
	for _, w := range warnings {
		fmt.Fprintln(stderr, "warning:", printable(w))
	}
	if err == nil && o.Format == JSON {
		var raw []byte
		if raw, err = json.Marshal(found); err == nil {
			err = RenderJSON(stdout, Result{Raw: raw})
		}
	} else if err == nil {
		err = found.render(stdout)
	}
	switch {
	case err != nil:
		fmt.Fprintln(stderr, "error:", err)
		return Failed
	case !found.Complete:
		return Partial
	default:
		return OK
	}
}

// Holders are the leaves that may hold series of a selector.
type Holders struct {
	Selector string `json:"selector"`
	// Leaves may hold a match; all others cannot, if Complete is set.
	Leaves []Holder `json:"leaves"`
	// Own are tiers that hold series of the selector's name themselves, which their
	// rules record or their rollups keep: no leaf is asked for these there.
	Own      []string `json:"own,omitempty"`
	Complete bool     `json:"complete"`
	// Verified is set if the leaves were asked.
	Verified bool `json:"verified"`
	// Pruned says what rules out the others.
	Pruned []PrunedPart `json:"pruned"`
	// Untold are parts of the tree that may hold a match somewhere.
	Untold []Untold `json:"untold,omitempty"`
}

// Holder is a leaf that may hold a match.
type Holder struct {
	Name string `json:"name"`
	// Above are the tiers between the one that was asked and the leaf.
	Above  []string          `json:"above,omitempty"`
	Labels map[string]string `json:"labels,omitempty"`
	State  treehttp.State    `json:"state,omitempty"`
	// Series is how many series it has, if that was asked and answered; of leaves
	// that share their labels, as shards do, all have the number of all.
	Series *int `json:"series,omitempty"`
	Shared bool `json:"shared,omitempty"`
}

// PrunedPart are children of one tier that are ruled out by the same.
type PrunedPart struct {
	By       string            `json:"by"`
	Verdict  querytree.Verdict `json:"verdict"`
	Evidence string            `json:"evidence,omitempty"`
	Children int               `json:"children"`
	// Leaves counts the connected leaves that they are or have below.
	Leaves int `json:"leaves"`
}

// Untold is a part of the tree that did not tell what is below.
type Untold struct {
	Name string `json:"name"`
	Tier string `json:"tier"`
	Why  string `json:"why"`
}

func (o WhoHasOptions) find(ctx context.Context) (*Holders, []string, error) {
	vs, err := plainSelector(o.Expr)
	if err != nil {
		return nil, nil, err
	}
	o.Expr = vs.String()
	why := WhyOptions{QueryOptions: o.QueryOptions}
	conn, g, err := why.connect()
	if err != nil {
		return nil, nil, err
	}
	var tree treehttp.Tree
	if err := conn.get(ctx, "/pando/api/v1/tree", &tree); err != nil {
		return nil, nil, err
	}
	x, e, err := why.ask(ctx, conn, g, false)
	if err != nil {
		return nil, e.Warnings, err
	}
	f := finder{out: &Holders{Selector: o.Expr, Complete: true, Leaves: []Holder{}, Pruned: []PrunedPart{}}, nodes: nodesByName(tree), seen: map[string]bool{}}
	if x.Explanation.Tier == querytree.TierLeaf {
		f.leaf(x.Explanation.Name, nil)
	}
	f.follow(x.Explanation, nil)
	warnings := e.Warnings
	if o.Verify && len(f.out.Leaves)+len(f.out.Untold) == 0 {
		f.out.Verified = true // nobody is left to ask
	} else if o.Verify {
		more, err := f.verify(ctx, o.QueryOptions, conn, g, vs)
		warnings = append(warnings, more...)
		if err != nil {
			return nil, warnings, err
		}
	}
	return f.out, warnings, nil
}

// plainSelector parses a selector without a time of its own.
func plainSelector(text string) (*parser.VectorSelector, error) {
	if text == "" {
		return nil, errors.New(`no selector is given; write for instance 'up{job="api"}'`)
	}
	e, err := querytree.NewParser().ParseExpr(text)
	if err != nil {
		return nil, fmt.Errorf("parse selector: %w", err)
	}
	for {
		p, ok := e.(*parser.ParenExpr)
		if !ok {
			break
		}
		e = p.Expr
	}
	vs, ok := e.(*parser.VectorSelector)
	if !ok || vs.OriginalOffset != 0 || vs.Timestamp != nil || vs.StartOrEnd != 0 || vs.Anchored || vs.Smoothed {
		return nil, fmt.Errorf("%q is not a plain selector such as up{job=\"api\"}; give times by --time, or --start and --end", text)
	}
	return vs, nil
}

// nodesByName returns all nodes of the live tree.
func nodesByName(t treehttp.Tree) map[string]treehttp.Node {
	out := map[string]treehttp.Node{}
	var walk func(nodes []treehttp.Node)
	walk = func(nodes []treehttp.Node) {
		for _, n := range nodes {
			out[n.Tier+" "+n.Name] = n
			walk(n.Children)
		}
	}
	walk([]treehttp.Node{t.Self})
	walk(t.Children)
	return out
}

// finder goes through an explanation.
type finder struct {
	out   *Holders
	nodes map[string]treehttp.Node
	seen  map[string]bool
}

// follow notes what became of the children of one tier, and of theirs.
func (f *finder) follow(x *querytree.Explanation, above []string) {
	if x.Truncated != "" {
		f.untold(x.Name, x.Tier, x.Truncated)
	}
	for _, fragment := range x.Fragments {
		for _, e := range fragment.Children {
			switch {
			case e.Verdict != querytree.Asked:
				f.pruned(x, e)
			case e.Tier == querytree.TierLeaf:
				f.leaf(e.Child, above)
			case e.Tier == querytree.TierOwn:
				f.own(x)
			case e.Below == nil && e.Failed != "":
				f.untold(e.Child, e.Tier, e.Failed)
			case e.Below == nil:
				f.untold(e.Child, e.Tier, "it did not say which of its children may")
			default:
				f.follow(e.Below, append(slices.Clone(above), e.Child))
			}
		}
		if rows := len(fragment.Children); f.outnumbered(fragment, rows) {
			f.untold(x.Name, x.Tier, fragment.Note)
		}
	}
}

// outnumbered reports whether some children of a fragment have no row.
func (f *finder) outnumbered(fragment querytree.FragmentExplanation, rows int) bool {
	pruned := 0
	for _, n := range fragment.Pruned {
		pruned += n
	}
	for _, e := range fragment.Children {
		if e.Verdict == querytree.Asked {
			rows--
		}
	}
	return rows < pruned
}

func (f *finder) leaf(name string, above []string) {
	if f.seen[name] {
		return
	}
	f.seen[name] = true
	n := f.nodes[querytree.TierLeaf+" "+name]
	f.out.Leaves = append(f.out.Leaves, Holder{Name: name, Above: above, Labels: n.Labels, State: n.State})
}

// own notes that a tier itself is to answer.
func (f *finder) own(x *querytree.Explanation) {
	if name := title(x.Tier, x.Name); !slices.Contains(f.out.Own, name) {
		f.out.Own = append(f.out.Own, name)
	}
}

func (f *finder) pruned(x *querytree.Explanation, e querytree.EdgeExplanation) {
	leaves := f.nodes[e.Tier+" "+e.Child].Leaves
	part := PrunedPart{By: title(x.Tier, x.Name), Verdict: e.Verdict, Evidence: e.Evidence, Children: 1, Leaves: leaves}
	for i, p := range f.out.Pruned {
		if p.By == part.By && p.Verdict == part.Verdict && p.Evidence == part.Evidence {
			f.out.Pruned[i].Children++
			f.out.Pruned[i].Leaves += leaves
			return
		}
	}
	f.out.Pruned = append(f.out.Pruned, part)
}

func (f *finder) untold(name, tier, why string) {
	f.out.Complete = false
	f.out.Untold = append(f.out.Untold, Untold{Name: name, Tier: tier, Why: why})
}

// verify asks for the number of series of each leaf, by identity labels.
func (f *finder) verify(ctx context.Context, o QueryOptions, conn connection, g grid, vs *parser.VectorSelector) ([]string, error) {
	names := map[string]bool{}
	for _, l := range f.out.Leaves {
		for name := range l.Labels {
			names[name] = true
		}
	}
	by := slices.Sorted(maps.Keys(names))
	what := vs.String()
	if g.step > 0 {
		what = fmt.Sprintf("last_over_time(%s)", &parser.MatrixSelector{VectorSelector: vs, Range: g.end.Sub(g.start) + defaultLookback})
	}
	o.Stats = true // tells who did not answer
	o.Expr = fmt.Sprintf("count by (%s) (%s)", strings.Join(by, ", "), what)
	res, err := o.value(ctx, conn, grid{start: g.end, end: g.end}, nil)
	if err != nil {
		return res.Warnings, fmt.Errorf("ask how many series there are: %w", err)
	}
	f.out.Verified = true
	f.out.Complete = f.out.Complete && !res.Partial
	counts := map[string]int{}
	if v, ok := res.Value.(model.Vector); ok {
		for _, s := range v {
			counts[identityKey(by, func(name string) string { return string(s.Metric[model.LabelName(name)]) })] = int(s.Value)
		}
	}
	f.count(by, counts, silent(res))
	return res.Warnings, nil
}

// silent returns the names of what did not answer.
func silent(res Result) map[string]bool {
	out := map[string]bool{}
	if res.Stats == nil || res.Stats.Pando == nil {
		return out
	}
	for _, c := range res.Stats.Pando.Failed {
		out[c.Name] = true
	}
	return out
}

// count notes the number of series of the leaves, but of those that did not
// answer, or that share their labels with one which did not.
func (f *finder) count(by []string, counts map[string]int, silent map[string]bool) {
	sharing, unknown := map[string]int{}, map[string]bool{}
	keys := make([]string, len(f.out.Leaves))
	for i, l := range f.out.Leaves {
		keys[i] = identityKey(by, func(name string) string { return l.Labels[name] })
		sharing[keys[i]]++
		if silent[l.Name] || slices.ContainsFunc(l.Above, func(name string) bool { return silent[name] }) || l.State == treehttp.StateMissing {
			unknown[keys[i]] = true
		}
	}
	for i, key := range keys {
		f.out.Leaves[i].Shared = sharing[key] > 1
		if n := counts[key]; !unknown[key] {
			f.out.Leaves[i].Series = &n
		}
	}
}

func identityKey(names []string, value func(string) string) string {
	b := labels.NewScratchBuilder(len(names))
	for _, name := range names {
		b.Add(name, value(name))
	}
	return b.Labels().String()
}

// render writes a table of the leaves, then what rules out the others.
func (h *Holders) render(w io.Writer) error {
	var rows [][]string
	for _, l := range h.Leaves {
		row := []string{printable(l.Name), printable(strings.Join(l.Above, " > ")), printable(string(l.State))}
		if h.Verified {
			series := "unknown"
			if l.Series != nil {
				series = fmt.Sprint(*l.Series)
			}
			if l.Shared {
				series += " (with those of the same labels)"
			}
			row = append(row, series)
		}
		rows = append(rows, row)
	}
	cols := []column{{"LEAF", false}, {"BELOW", false}, {"STATE", false}}
	if h.Verified {
		cols = append(cols, column{"SERIES", false})
	}
	if len(rows) == 0 && len(h.Own) > 0 {
		fmt.Fprintf(w, "no leaf is asked for %s\n", printable(h.Selector))
	} else if len(rows) == 0 {
		fmt.Fprintf(w, "no leaf can hold %s\n", printable(h.Selector))
	} else if err := writeTable(w, cols, rows); err != nil {
		return err
	}
	for _, name := range h.Own {
		fmt.Fprintf(w, "%s answers for that name itself, from what its rules record or its rollups keep\n", printable(name))
	}
	for _, p := range h.Pruned {
		what := count(p.Children, "child", "children")
		if p.Leaves != p.Children {
			what += fmt.Sprintf(" (%s)", count(p.Leaves, "leaf", "leaves"))
		}
		fmt.Fprintf(w, "%s rules out %s by %s\n", printable(p.By), what, printable(reason(p.Verdict, p.Evidence)))
	}
	var err error
	for _, u := range h.Untold {
		_, err = fmt.Fprintf(w, "%s may hold it somewhere: %s\n", printable(title(u.Tier, u.Name)), printable(u.Why))
	}
	return err
}
