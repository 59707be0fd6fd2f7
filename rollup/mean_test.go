package rollup_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"

	"github.com/pandometrics/pando/rollup"
)

func rulesOf(texts ...string) string {
	out := "rollups:"
	for _, text := range texts {
		out += fmt.Sprintf("\n- {expr: %q, interval: 1m, keep: {root: {for: 1d}}}", text)
	}
	return out
}

// An average is made of a sum and a count if there are both, each of all that the
// query is of.
func TestHalves(t *testing.T) {
	for _, c := range []struct {
		query string
		rules []string
		want  string
	}{
		{`avg(x)`, []string{`sum(x)`, `count(x)`}, "[sum(x)] [count(x)]"},
		{`avg by (job) (x{code="200"} offset 5m)`, []string{`sum by (job, code) (x)`, `count without (pod) (x)`}, "[sum by (code, job) (x)] [count without (pod) (x)]"},
		{`avg(x{env="a"})`, []string{`sum(x{env="a"})`, `count by (env) (x)`, `count by (env, job) (x)`}, `[sum(x{env="a"})] [count by (env) (x) count by (env, job) (x)]`},
		{`avg by (job) (x)`, []string{`sum by (job) (x)`, `count(x)`}, "[] []"},
		{`avg(x)`, []string{`sum(x)`, `count(x{job="a"})`}, "[] []"},
		{`avg(x)`, []string{`sum(x)`, `count(x * 1)`}, "[] []"},
		{`avg(x)`, []string{`sum(x)`, `max(x)`}, "[] []"},
		{`avg(x)`, []string{`count(x)`, `group(x)`}, "[] []"},
		{`avg(x)`, []string{`avg(x)`, `count(x)`}, "[] []"}, // what keeps both does without others
		{`avg(x @ 5)`, []string{`sum(x)`, `count(x)`}, "[] []"},
		{`sum(x)`, []string{`sum(x)`, `count(x)`}, "[] []"},
		// What is annotated has no whole counts, but of native histograms.
		{`avg(rate(x[5m]))`, []string{`sum(rate(x[5m]))`, `count(rate(x[5m]))`}, "[sum(rate(x[5m]))] [count(rate(x[5m]))]"},
	} {
		sums, counts := mustParse(t, rulesOf(c.rules...)).Halves(aggregation(t, c.query), labels.EmptyLabels())
		text := func(ms []rollup.Match) (out []string) {
			for _, m := range ms {
				out = append(out, m.Rule.String())
			}
			return out
		}
		if got := fmt.Sprint(text(sums), " ", text(counts)); got != c.want {
			t.Errorf("%s of %v: %s, want %s", c.query, c.rules, got, c.want)
		}
	}
}

// An average that is made of the points of two rules is that of the stock engine,
// annotations included.
func TestMeanOfHalvesIsExact(t *testing.T) {
	const worlds, rulesOfEach, queriesOfEach = 400, 5, 15
	p := queryParser()
	seen := tally{}
	for seed := range uint64(worlds) {
		r := rand.New(rand.NewPCG(seed, 2))
		w := newWorld(r, newEngine(seed%2 == 0))
		g := generator{r}
		for range rulesOfEach {
			d := draft{op: "avg", inner: pick(r, inners), metric: pick(r, metrics)}
			if r.IntN(2) == 0 {
				d.matchers = g.matchers(2)
			}
			rs := mustParse(t, rulesOf(expression("sum", g.grouping(80), d.inner, d.metric, d.matchers, pick(r, offsets)),
				expression("count", g.grouping(80), d.inner, d.metric, d.matchers, pick(r, offsets))))
			h := halvesKept{keeper{w, rs.All()[0], map[string]kept{}}, keeper{w, rs.All()[1], map[string]kept{}}}
			for range queriesOfEach {
				query := g.query(d)
				e, err := p.ParseExpr(query)
				if err != nil {
					t.Fatalf("%s: %v", query, err)
				}
				seen["all"]++
				if sums, counts := rs.Halves(e.(*parser.AggregateExpr), w.constants); len(sums) > 0 {
					h.compare(t, fmt.Sprintf("seed %d: %s of %v", seed, query, rs.All()), query, sums[0], counts[0], seen)
				}
				if t.Failed() {
					t.FailNow()
				}
			}
		}
	}
	t.Logf("%v", seen)
	for what, least := range map[string]int{"compared": 3000, "histograms": 100, "mixed": 20, "void": 200, "other offsets": 1000, "other groupings": 1000} {
		if seen[what] < least {
			t.Errorf("only %d comparisons of %s, want %d", seen[what], what, least)
		}
	}
}

// halvesKept are a rule of a sum and one of a count.
type halvesKept struct{ sum, count keeper }

func (h halvesKept) compare(t *testing.T, what, query string, sum, count rollup.Match, seen tally) {
	at := steps{firstSample + 20*60_000, firstSample + 50*60_000, 5 * 60_000}
	by, mixed := map[string]table{}, false
	for _, half := range []struct {
		k keeper
		m rollup.Match
	}{{h.sum, sum}, {h.count, count}} {
		op := half.m.Ops[0]
		got := half.k.eval(t, op, at.before(half.m.Offset))
		if slices.ContainsFunc(got.warn.AsErrors(), func(err error) bool { return !half.k.rule.Foretold(err) }) {
			seen["void"]++
			return
		}
		folded, isMixed, _ := fold(half.m, op, got.value, h.sum.constants)
		by[op], mixed = folded, mixed || isMixed
	}
	want, warn := h.sum.world.eval(t, query, at)
	average := sum
	average.Op, average.Ops = parser.AVG, []string{"sum", "count"}
	if d := difference(answer(average, by), tableOf(want)); d != "" {
		t.Errorf("%s: %s", what, d)
	}
	if mixed {
		seen["mixed"]++
		if !strings.Contains(fmt.Sprint(warn.AsErrors()), "mix of") {
			t.Errorf("%s: the engine does not warn of a mix: %v", what, warn.AsErrors())
		}
		return
	}
	if len(warn) > 0 { // a count of what is annotated is never whole
		t.Errorf("%s: the engine annotates %v", what, warn.AsErrors())
	}
	for name, is := range map[string]bool{
		"compared": true, "other offsets": sum.Offset != count.Offset, "other groupings": fmt.Sprint(sum.Rule.Expr.Grouping) != fmt.Sprint(count.Rule.Expr.Grouping),
		"histograms": len(want) > 0 && len(want[0].Histograms) > 0,
	} {
		if is {
			seen[name]++
		}
	}
}
