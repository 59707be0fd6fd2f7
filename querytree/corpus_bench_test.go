package querytree

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"text/tabwriter"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
)

// realQueries returns the distinct expressions of the corpus, and of those in
// PANDO_CORPUS_DIR, by kind: alert, record or panel.
func realQueries(tb testing.TB) map[string][]string {
	tb.Helper()
	files, err := filepath.Glob("../e2e/testdata/corpus/*.jsonl")
	if err != nil || len(files) == 0 {
		tb.Fatalf("no corpus: %v", err)
	}
	if dir := os.Getenv("PANDO_CORPUS_DIR"); dir != "" {
		more, err := filepath.Glob(filepath.Join(dir, "*.jsonl"))
		if err != nil || len(more) == 0 {
			tb.Fatalf("no *.jsonl in PANDO_CORPUS_DIR=%s: %v", dir, err)
		}
		files = append(files, more...)
	}
	out, seen := map[string][]string{}, map[[2]string]bool{}
	for _, name := range files {
		f, err := os.Open(name)
		if err != nil {
			tb.Fatal(err)
		}
		lines := bufio.NewScanner(f)
		lines.Buffer(nil, 1<<20)
		for lines.Scan() {
			var line struct{ Expr, Kind string }
			if err := json.Unmarshal(lines.Bytes(), &line); err != nil {
				tb.Fatalf("%s: %v", name, err)
			}
			if key := [2]string{line.Kind, line.Expr}; !seen[key] {
				seen[key] = true
				out[line.Kind] = append(out[line.Kind], line.Expr)
			}
		}
		if err := errors.Join(lines.Err(), f.Close()); err != nil {
			tb.Fatal(err)
		}
	}
	return out
}

// variant is a way to ask for an expression of the corpus.
type variant struct {
	name   string
	change func(parser.Node)
}

var variants = []variant{
	{"as written", func(parser.Node) {}},
	{`every selector pins zone="eu"`, pinZone},
	{"grouping and matching labels extended by zone", keepZone},
}

func pinZone(n parser.Node) {
	if vs, ok := n.(*parser.VectorSelector); ok {
		vs.LabelMatchers = append(vs.LabelMatchers, labels.MustNewMatcher(labels.MatchEqual, ZoneLabel, "eu"))
	}
}

// keepZone makes aggregations and matches keep the label, as an alert would that
// is to tell in which zone it fires.
func keepZone(n parser.Node) {
	switch n := n.(type) {
	case *parser.AggregateExpr:
		if !n.Without && !slices.Contains(n.Grouping, ZoneLabel) {
			n.Grouping = append(n.Grouping, ZoneLabel)
		}
	case *parser.BinaryExpr:
		if m := n.VectorMatching; m != nil && m.On && !slices.Contains(m.MatchingLabels, ZoneLabel) {
			m.MatchingLabels = append(m.MatchingLabels, ZoneLabel)
		}
	}
}

// of returns an expression so changed.
func (v variant) of(tb testing.TB, expr string) string {
	tb.Helper()
	e, err := NewParser().ParseExpr(expr)
	if err != nil {
		tb.Fatalf("%s: %v", expr, err)
	}
	parser.Inspect(e, func(n parser.Node, _ []parser.Node) error { v.change(n); return nil })
	out := e.String()
	if _, err := NewParser().ParseExpr(out); err != nil {
		return expr // such as a label that would be in on() and group_left()
	}
	return out
}

// pushed says how far down expressions can be evaluated.
type pushed struct {
	total int
	// idle: the root does nothing but put answers side by side. merging: or it
	// merges them, which is all that it does. leaves: all tiers above the leaves
	// merge at most.
	idle, merging, leaves int
	// zone: asked at a zone, that does nothing but merge; zoneIdle: nothing but
	// put answers side by side.
	zone, zoneIdle int
	// raw: the root pulls raw series, zoneRaw: so does a zone that is asked.
	raw, zoneRaw int
	// stuck are expressions for which the root evaluates something.
	stuck []string
}

// corpusTree are mixers to plan at: a root over three zones, and one of them
// over its four leaves.
type corpusTree struct{ root, zone *Mixer }

func newCorpusTree(tb testing.TB) corpusTree {
	var leaves []Description
	for i := range 4 {
		cluster := fmt.Sprintf("eu-%d", i)
		if i == 0 {
			cluster = "VAR" // what stands for the variables of dashboards
		}
		leaves = append(leaves, leafOf("zone", "eu", "cluster", cluster))
	}
	return corpusTree{planner(tb, false, eu, us, asia), planner(tb, false, leaves...)}
}

func (c corpusTree) count(tb testing.TB, v variant, exprs []string) pushed {
	tb.Helper()
	var out pushed
	for _, expr := range exprs {
		expr = v.of(tb, expr)
		req := ExecRequest{Query: expr, Start: 3_600_000, End: 7_200_000, Step: 60_000}
		top, atZone := planAt(tb, c.root, req), planAt(tb, c.zone, req)
		out.total++
		if idle(top) {
			out.idle++
		}
		if merging(top) {
			out.merging++
			if c.below(tb, top) {
				out.leaves++
			}
		} else {
			out.stuck = append(out.stuck, expr)
		}
		if pullsRaw(top) {
			out.raw++
		}
		if pullsRaw(atZone) {
			out.zoneRaw++
		}
		if idle(atZone) {
			out.zoneIdle++
		}
		if merging(atZone) {
			out.zone++
		}
	}
	return out
}

func planAt(tb testing.TB, m *Mixer, req ExecRequest) *Plan {
	tb.Helper()
	pl, err := m.PlanOf(req)
	if errors.Is(err, errSeparately) {
		return nil
	}
	if err != nil {
		tb.Fatalf("%s: %v", req.Query, err)
	}
	return pl
}

// merging reports whether a tier does nothing but merge; expressions without
// series are nobody's work.
func merging(pl *Plan) bool {
	if pl == nil {
		return true // several operators, one by one, of what was merged
	}
	return pl.Whole() || len(pl.Fragments) == 0 && !hasSelector(pl.Residual) || chosen(pl)
}

// chosen reports whether a tier merges what children chose, as topk does: the
// operator is above the only fragment, and nothing else.
func chosen(pl *Plan) bool {
	n, ok := unparen(pl.Residual).(*parser.AggregateExpr)
	if !ok || len(pl.Fragments) != 1 || pl.Fragments[0].Merge != MergeConcat {
		return false
	}
	return strings.HasPrefix(strings.TrimSpace(pl.Fragments[0].Query), n.Op.String())
}

func idle(pl *Plan) bool {
	return pl != nil && (len(pl.Fragments) == 0 && !hasSelector(pl.Residual) || pl.Whole() && pl.Fragments[0].Merge == MergeConcat)
}

// pullsRaw reports whether selectors are left that no fragment stands for.
func pullsRaw(pl *Plan) bool {
	found := false
	parser.Inspect(pl.Residual, func(n parser.Node, _ []parser.Node) error {
		if vs, ok := n.(*parser.VectorSelector); ok {
			found = found || !slices.ContainsFunc(pl.Fragments, func(f *Fragment) bool { return slices.Contains(vs.LabelMatchers, f.standIn) })
		}
		return nil
	})
	return found
}

func hasSelector(e parser.Expr) bool {
	found := false
	parser.Inspect(e, func(n parser.Node, _ []parser.Node) error {
		_, selector := n.(*parser.VectorSelector)
		found = found || selector
		return nil
	})
	return found
}

// below reports whether a zone does nothing but merge for what the root asks it.
func (c corpusTree) below(tb testing.TB, top *Plan) bool {
	tb.Helper()
	for _, f := range top.Fragments {
		req := ExecRequest{Query: f.Query}
		req.Start, req.End, req.Step = f.Grid()
		if len(f.Ops) > 1 {
			req.Ops = f.Ops
		}
		if !merging(planAt(tb, c.zone, req)) {
			return false
		}
	}
	return true
}

func percent(n, of int) string { return fmt.Sprintf("%.1f%%", 100*float64(n)/float64(max(1, of))) }

// Where the expressions of real alerts, recording rules and dashboards are
// evaluated: a print, not a race.
func BenchmarkCorpusPlans(b *testing.B) {
	tree, queries := newCorpusTree(b), realQueries(b)
	table := &strings.Builder{}
	w := tabwriter.NewWriter(table, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "kind\tasked\texpressions\tnothing above leaves but merging\troot only merges\troot only concatenates\traw series to the root\tasked at a zone: it only merges\tonly concatenates\traw series to the zone")
	for _, kind := range []string{"alert", "record", "panel"} {
		for _, v := range variants {
			p := tree.count(b, v, queries[kind])
			fmt.Fprintf(w, "%s\t%s\t%d\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", kind, v.name, p.total, percent(p.leaves, p.total), percent(p.merging, p.total),
				percent(p.idle, p.total), percent(p.raw, p.total), percent(p.zone, p.total), percent(p.zoneIdle, p.total), percent(p.zoneRaw, p.total))
		}
	}
	_ = w.Flush()
	b.Logf("\n%s", table)
	for b.Loop() { // what planning costs
		planAt(b, tree.root, ExecRequest{Query: queries["alert"][0], Start: 3_600_000, End: 7_200_000, Step: 60_000})
	}
}

// Alerts whose labels keep the zone, and queries that pin one, are evaluated
// below the root.
func TestAlertsStayBelowTheRoot(t *testing.T) {
	tree, alerts := newCorpusTree(t), realQueries(t)["alert"]
	for _, v := range variants[1:] {
		p := tree.count(t, v, alerts)
		if p.idle*100 < p.total*95 {
			t.Errorf("%s: the root has something to do for %d of %d alerts, such as %q", v.name, p.total-p.idle, p.total, p.stuck[:min(5, len(p.stuck))])
		}
	}
}
