package querytree

import (
	"context"
	"fmt"
	"math"
	"regexp"
	"strings"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
)

// maxExplained bounds the rows of an explanation, over all tiers below.
const maxExplained = 4000

// explanation tells what the latest attempt did.
func (t *trail) explanation() *Explanation {
	e := t.e
	x := e.m.explain(e.req)
	e.traced = e.ask.trace.byKey()
	x.Cuts, x.Unrolled, x.Replans = e.plan.Cuts, e.plan.Unrolled, t.replans
	x.Queued, x.Planned, x.Total, x.Wasted, x.Series, x.Samples = t.queued, t.plan, t.total, t.wasted, t.series, t.samples
	x.Residual = t.residual
	for _, f := range e.plan.Fragments {
		x.Fragments = append(x.Fragments, e.fragmentRow(f, f.Kind(), f.why()))
		for _, g := range f.guards {
			x.Fragments = append(x.Fragments, e.fragmentRow(g, "guard", "it must have no result, or fragment "+f.ID+" would not be exact"))
		}
	}
	x.Fragments = append(x.Fragments, e.rawRows()...)
	x.bound(maxExplained)
	return x
}

// explain begins an explanation.
func (m *Mixer) explain(req ExecRequest) *Explanation {
	d := m.cfg.Describe()
	return &Explanation{Name: d.Name(), Tier: d.Tier, Query: strings.TrimSpace(req.Query), Start: req.Start, End: req.End, Step: req.Step, Ops: req.Ops}
}

// residualStandIn is a stand-in as the parser prints it, in part.
var residualStandIn = regexp.MustCompile(`\{__name__="fragment (\d+)"(,?)([^}]*)\}( @ -?[0-9.]+)?`)

// residualInfo is the stand-in of info series as the parser prints it.
var residualInfo = regexp.MustCompile(`\{((?:[^{}]*,)?)__name__!="fragment (\d+)",?([^{}]*)\}`)

// residualText prints a residual expression with the stand-ins as metrics of the
// names fragment_0, fragment_1 and so on.
func residualText(e parser.Expr) string {
	text := residualInfo.ReplaceAllString(e.String(), `fragment_$2{$1$3}`)
	text = residualStandIn.ReplaceAllString(text, `fragment_$1{$3}`)
	text = strings.ReplaceAll(text, "{}", "")
	return strings.ReplaceAll(strings.ReplaceAll(text, ", "+childLabel, ""), childLabel, "")
}

func residualName(id string) string { return "fragment_" + id }

// fragmentRow tells what became of one fragment.
func (e *execution) fragmentRow(f *Fragment, kind, why string) FragmentExplanation {
	row := FragmentExplanation{
		ID: f.ID, Kind: kind, Query: strings.TrimSpace(f.Query),
		Start: f.grid.start, End: f.grid.end, Step: f.grid.step, Why: why,
	}
	if len(f.Ops) > 1 {
		row.Ops = f.Ops
	}
	if f.rollup != nil {
		use := f.rollupUse(e.m.name())
		row.Rollup = &use
	}
	var asked bitset
	for _, i := range f.Children {
		asked = asked.with(i)
	}
	e.edges(&row, asked, e.selectionsOf(f.Query))
	e.markVain(&row, e.prune.countedOf(f))
	for _, edge := range e.prune.sparedEdges(f) {
		row.Pruned[edge.Verdict]++
		if len(row.Children) < maxExplained {
			row.Children = append(row.Children, edge)
		}
	}
	return row
}

// selectionsOf returns what was decided for each selector of a fragment.
func (e *execution) selectionsOf(query string) [][]selection {
	expr, err := e.m.tickets.Parser.ParseExpr(query)
	if err != nil {
		return nil
	}
	var out [][]selection
	parser.Inspect(expr, func(n parser.Node, _ []parser.Node) error {
		if vs, ok := n.(*parser.VectorSelector); ok {
			if s := e.prune.selected(vs.LabelMatchers); len(s) > 0 {
				out = append(out, s)
			}
		}
		return nil
	})
	return out
}

// edges adds a row for each member, those asked first.
func (e *execution) edges(row *FragmentExplanation, asked bitset, selections [][]selection) {
	row.Children = []EdgeExplanation{}
	asked.each(func(i int) {
		d := e.members[i].Description
		edge, ok := e.traced[edgeKey{row.ID, d.Name()}]
		if !ok {
			edge = EdgeExplanation{Child: d.Name(), Tier: d.Tier, Verdict: Asked}
		}
		row.Children = append(row.Children, edge)
	})
	pruned := e.prune.edges(selections, asked)
	row.Pruned = map[Verdict]int{}
	for _, edge := range pruned {
		row.Pruned[edge.Verdict]++
	}
	row.Children = append(row.Children, pruned[:min(len(pruned), maxExplained)]...)
}

// edges returns rows for the members that are not asked: what the strongest of
// the verdicts of the selectors is, and by what. Of a selector that occurs at
// several times, it is the weakest that kept the member from being asked.
func (p *pruning) edges(selections [][]selection, asked bitset) []EdgeExplanation {
	best := make([]*selection, len(p.members))
	for _, same := range selections {
		for i := range best {
			weakest := &same[0]
			for n := range same {
				if same[n].ranks[i] < weakest.ranks[i] {
					weakest = &same[n]
				}
			}
			if best[i] == nil || weakest.ranks[i] > best[i].ranks[i] {
				best[i] = weakest
			}
		}
	}
	who := map[*selection][]int{}
	for i, s := range best {
		if s != nil && !inSet(asked, i) && byRank[s.ranks[i]] != Asked {
			who[s] = append(who[s], i)
		}
	}
	evidence := map[int]string{}
	for s, members := range who {
		for i, text := range p.prove(*s, members) {
			evidence[i] = text
		}
	}
	var out []EdgeExplanation
	for i, m := range p.members {
		if text, ok := evidence[i]; ok {
			v := byRank[best[i].ranks[i]]
			out = append(out, EdgeExplanation{Child: m.Description.Name(), Tier: m.Description.Tier, Verdict: v, Evidence: text})
		}
	}
	return out
}

func inSet(b bitset, i int) bool { return i>>6 < len(b) && b[i>>6]&(1<<(i&63)) != 0 }

// rawRows tells of the raw series that were pulled or, if nothing is evaluated,
// would be.
func (e *execution) rawRows() []FragmentExplanation {
	pulls := e.ask.trace.pulled()
	if e.req.Explain == ExplainPlan {
		pulls = nil
		for _, vs := range e.plan.rawSelectors() {
			pulls = append(pulls, SelectRequest{Mint: e.prune.mint, Maxt: e.prune.maxt, Matchers: vs.LabelMatchers})
		}
	}
	var out []FragmentExplanation
	for i, req := range pulls {
		out = append(out, e.rawRow(i, req))
	}
	return out
}

func (e *execution) rawRow(i int, req SelectRequest) FragmentExplanation {
	text := selectorText(req.Matchers)
	row := FragmentExplanation{ID: rawID(i), Kind: "raw", Query: text, Start: req.Mint, End: req.Maxt, Why: e.plan.whyRaw(text)}
	var asked bitset
	var selections [][]selection
	if same := e.prune.selected(req.Matchers); len(same) > 0 {
		selections = append(selections, same)
		for _, s := range same {
			for j, r := range s.ranks {
				if byRank[r] == Asked && s.mint <= req.Maxt && s.maxt >= req.Mint {
					asked = asked.with(j)
				}
			}
		}
	}
	if asked.count() == 0 {
		row.Why = whyNobody
	}
	e.edges(&row, asked, selections)
	e.markVain(&row, e.prune.countedRaw(req.Matchers))
	return row
}

// selectorText prints matchers as a selector of a query does.
func selectorText(ms []*labels.Matcher) string {
	vs := &parser.VectorSelector{LabelMatchers: ms}
	for _, m := range ms {
		if m.Name == labels.MetricName && m.Type == labels.MatchEqual {
			vs.Name = m.Value
		}
	}
	return vs.String()
}

// whyRaw returns why a selector is not pushed down: the reason of the smallest
// part of the query that holds it and stays here.
func (pl *Plan) whyRaw(selector string) string {
	best := Cut{}
	for _, c := range pl.Cuts {
		if strings.Contains(c.Expr, selector) && (best.Expr == "" || len(c.Expr) <= len(best.Expr)) && c.Why != whyRaw {
			best = c
		}
	}
	if best.Why == "" {
		return whyRaw
	}
	return best.Why
}

// explainSelect tells of a request for raw series whose answer has ended.
func (m *Mixer) explainSelect(req SelectRequest, ask *asking, prune *pruning) *Explanation {
	e := &execution{m: m, members: prune.members, prune: prune, ask: ask, plan: &Plan{Residual: &parser.NumberLiteral{}}, traced: ask.trace.byKey()}
	x := m.explain(ExecRequest{Query: selectorText(req.Matchers), Start: req.Mint, End: req.Maxt})
	x.Fragments = e.rawRows()
	for i, f := range x.Fragments {
		x.Fragments[i].Why = whyAbove
		for _, c := range f.Children {
			x.Series += c.Series
			x.Samples += c.Samples
			x.Total = max(x.Total, c.Time)
		}
	}
	x.bound(maxExplained)
	return x
}

// join adds what another request of the same tier did, which asked for one of
// several operators. It returns x, or if that is nil the other.
func (x *Explanation) join(other *Explanation, op string) *Explanation {
	if other == nil {
		return x
	}
	for i := range other.Fragments {
		other.Fragments[i].ID = op + " " + other.Fragments[i].ID
	}
	if x == nil {
		return other
	}
	x.Fragments = append(x.Fragments, other.Fragments...)
	x.Cuts, x.Replans = append(x.Cuts, other.Cuts...), append(x.Replans, other.Replans...)
	x.Queued, x.Planned, x.Total, x.Wasted = x.Queued+other.Queued, x.Planned+other.Planned, x.Total+other.Total, x.Wasted+other.Wasted
	x.Series, x.Samples = x.Series+other.Series, x.Samples+other.Samples
	return x
}

// bound leaves out what is below the first rows rows, counted tier by tier.
func (x *Explanation) bound(rows int) {
	level := []*Explanation{x}
	for len(level) > 0 {
		var next []*Explanation
		for _, at := range level {
			for i := range at.Fragments {
				f := &at.Fragments[i]
				if keep := max(rows, 0); len(f.Children) > keep {
					f.Children, f.Note = f.Children[:keep], "there are more children than an explanation has room for"
				}
				rows -= len(f.Children)
				for j := range f.Children {
					if below := f.Children[j].Below; below != nil {
						next = append(next, below)
					}
				}
			}
		}
		level = next
	}
}

// explain begins the explanation of a leaf, which evaluates all it is asked.
func (l *Local) explain(req ExecRequest) *Explanation {
	d := l.cfg.Describe()
	return &Explanation{Name: d.Name(), Tier: d.Tier, Query: strings.TrimSpace(req.Query), Start: req.Start, End: req.End, Step: req.Step, Ops: req.Ops}
}

// explained returns the report of an answer, with its explanation if that was
// asked for.
func (l *Local) explained(req ExecRequest, m promql.Matrix, took time.Duration) Report {
	r := l.report(m)
	if req.Explain == ExplainAnalyze {
		r.Explanation = l.explain(req)
		r.Explanation.Series, r.Explanation.Samples, r.Explanation.Total = int64(len(m)), pointsOf(m), took
	}
	return r
}

// explainPlan explains a query that parses, and evaluates nothing.
func (l *Local) explainPlan(ctx context.Context, req ExecRequest) (ResultSet, error) {
	q, err := newEngineQuery(ctx, l.cfg.Engine, l.cfg.Samples, req)
	if err != nil {
		return nil, fmt.Errorf("explain on %q: %w", l.name(), err)
	}
	q.Close()
	return NewMatrixSet(nil, nil, Report{Explanation: l.explain(req)}), nil
}

// explainableRange returns bounds within which a grid of two points lies.
func explainableRange(mint, maxt, start, end int64) (int64, int64) {
	if mint < math.MinInt64/4 || maxt > math.MaxInt64/4 {
		return start, end
	}
	return mint, maxt
}
