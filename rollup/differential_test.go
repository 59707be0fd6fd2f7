package rollup_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/util/annotations"

	"github.com/pandometrics/pando/rollup"
)

// inners are what is aggregated: S stands for the selector, O for the offset
// that moves it all.
var inners = []string{
	"SO", "SO", "SO", "rate(S[5m]O)", "rate(S[5m]O)", "rate(S[5m]O)", "increase(S[2m]O)", "irate(S[5m]O)", "delta(S[5m]O)", "idelta(S[5m]O)", "deriv(S[4m]O)",
	"max_over_time(S[3m]O)", "last_over_time(S[5m]O)", "first_over_time(S[5m]O)", "quantile_over_time(0.5, S[5m]O)", "changes(S[5m]O)", "resets(S[5m]O)",
	"count_over_time(S[5m]O)", "SO > 2", "2 < SO", "5 > SO", "3 >= SO", "3 <= SO", "3 != SO", "2 * SO", "2 + SO", "2 ^ SO", "SO * 2", "1 - SO", "-SO", "+SO", "abs(SO)", "SO ^ 2", "SO == bool 1", "SO / 3 + 1", "round(SO, 5)", "hour(SO)",
	"clamp(SO, 0, 5)", "timestamp(SO)", "timestamp(SO * 1)", "predict_linear(S[5m]O, 60)", "histogram_count(SO)", "histogram_sum(rate(S[5m]O))", "histogram_avg(SO)",
	"rate(S[5m]O) > 0.5", "rate(S[5m]O) * 60", "clamp_max(rate(S[5m]O), 1)", "max_over_time(rate(S[2m])[6m:1m]O)", "count_over_time((S > 1)[5m:30s]O)",
	"max_over_time((S offset 1m)[5m:1m]O)", "max_over_time(timestamp(S * 1)[5m:1m]O)", "predict_linear(S[5m:1m]O, 60)", "double_exponential_smoothing(S[5m]O, 0.5, 0.5)",
	"ts_of_max_over_time(S[5m]O)", "mad_over_time(S[5m]O)", "avg_over_time(S[5m]O)", "sum_over_time(S[5m]O)", "min_over_time(S[5m]O)", "present_over_time(S[5m]O)",
	"stddev_over_time(S[5m]O)", "stdvar_over_time(S[5m]O)", "ts_of_first_over_time(S[5m]O)", "ts_of_last_over_time(S[5m]O)", "ts_of_min_over_time(S[5m]O)",
	"histogram_stddev(SO)", "histogram_stdvar(SO)", "histogram_avg(rate(S[5m]O))", "histogram_count(increase(S[5m]O))", "SO </ 2", "SO >/ 2", "SO % 3", "3 / SO", "SO atan2 2", "SO == NaN", "SO != Inf",
	"SO > bool -Inf", "SO * -0", "minute(SO)", "days_in_month(timestamp(SO))", "sgn(SO)", "exp(SO / 100)", "ln(SO)", "sqrt(SO)", "clamp_min(SO, 1)", "clamp(SO, 5, 0)", "+(SO)", "-(-SO)", "timestamp(+SO)",
	"last_over_time(S[5m:1m]O)", "last_over_time((S > 1)[5m:1m]O) < 5", "rate(S[10m:1m]O)",
}

// wraps are what may stand around the inner expression E.
var wraps = []string{
	"abs(E)", "(E) * 2", "1 - (E)", "(E) > 1", "2 >= (E)", "(E) <= bool 1", "round(E, 0.5)", "timestamp(E)", "clamp_max(E, 3)", "-(E)", "+(E)", "hour(E)", "histogram_sum(E)", "histogram_count(E)",
	"max_over_time((E)[4m:1m])", "count_over_time((E)[4m:30s] offset 1m)", "rate((E)[4m:1m])", "((E))", "(E) % 2", "(E) </ 3",
}

var offsets = []string{"", "", "", " offset 1m", " offset 5m", " offset 90s", " offset 0s"}

// shifts are those of queries, which may look at what comes too.
var shifts = append([]string{" offset -2m", " offset -90s"}, offsets...)

// spelt are other ways to write the same.
var spelt = [][2]string{{"[5m]", "[300s]"}, {"[5m]", "[4m60s]"}, {" 2", " (1 + 1)"}, {" 60", " 1m"}, {"SO", "(SO)"}, {"S[5m]O", "(S[5m]O)"}, {"* 2", "* (4 / 2)"}, {"[5m:1m]", "[300s:60s]"}, {" > ", " >"}}

// generator makes rules and queries of them.
type generator struct{ *rand.Rand }

func pick[T any](r *rand.Rand, of []T) T { return of[r.IntN(len(of))] }

// inner returns what is aggregated, at times with something around it.
func (g generator) inner() string {
	inner := pick(g.Rand, inners)
	for g.IntN(5) == 0 && len(inner) < 100 {
		inner = strings.ReplaceAll(pick(g.Rand, wraps), "E", inner)
	}
	return inner
}

func (g generator) matcher() string {
	return pick(g.Rand, []string{
		`"a.b"="1"`, `"a.b"!=""`, `"a.b"=~"1|2"`, `"a.b"=""`, `job=~""`, `job!~""`, `job=~"^api$"`, `job=~"api|api|"`, `code=~"404|500"`, `code=~".00"`, `code!="",code=~"200|404"`, `job=~"(api|web)"`, `job=~"a(pi)?"`,
		`zone=~".*u"`, `zone!~"us|"`, `__name__!=""`, `__name__=~"x.*"`, `none!="a"`, `none="a"`, `pod=~"p.+"`, `code!~"4.*|5.*"`,
		`job="api"`, `job=~"api"`, `job=~"api|web"`, `job!="web"`, `job=""`, `job=~".*"`, `job!=""`, `job=~".+"`, `job!~"a.*"`, `code="200"`, `code=~"2..|5.."`,
		`code!~"5.."`, `code=~"(?i)200|"`, `code!=""`, `job!~"api"`, `code!~".+"`, `pod!~".*"`, `pod="p1"`, `pod=~"p[12]"`, `pod!="p0"`, `zone="eu"`, `zone=~"eu|us"`, `zone!="us"`, `zone="us"`, `none=""`,
	})
}

func (g generator) matchers(most int) (out []string) {
	for range g.IntN(most + 1) {
		out = append(out, g.matcher())
	}
	return out
}

// grouping returns a clause, of few labels or of many.
func (g generator) grouping(keep int) string {
	var names []string
	for _, name := range []string{"job", "code", "pod", "zone", "none", `"a.b"`} {
		if g.IntN(100) < keep {
			names = append(names, name)
		}
	}
	if g.IntN(3) == 0 {
		var others []string
		for _, name := range []string{"job", "code", "pod", "zone", `"a.b"`} {
			if !slices.Contains(names, name) {
				others = append(others, name)
			}
		}
		return fmt.Sprintf("without (%s)", strings.Join(others, ", "))
	}
	return fmt.Sprintf("by (%s)", strings.Join(names, ", "))
}

func expression(op, grouping, inner, metric string, ms []string, offset string) string {
	all := ms
	ms = slices.DeleteFunc(slices.Clone(ms), func(m string) bool { return strings.HasPrefix(m, "__name__") }) // once is enough
	sel := fmt.Sprintf("{%s}", strings.Join(append([]string{strconv.Quote(metric)}, ms...), ","))
	if !strings.Contains(metric, ".") {
		sel = metric + "{" + strings.Join(ms, ",") + "}"
	}
	if g, ok := strings.CutPrefix(metric, "="); ok {
		sel = "{" + strings.Join(append(slices.Clone(all), `__name__="`+g+`"`), ",") + "}"
	}
	return fmt.Sprintf("%s %s (%s)", op, grouping, strings.NewReplacer("S", sel, "O", offset).Replace(inner))
}

var ops = []string{"sum", "count", "avg", "min", "max", "group"}

// draft is a rule from which queries are made.
type draft struct {
	op, inner, metric string
	matchers          []string
}

func (g generator) rule() (string, draft) {
	d := draft{op: pick(g.Rand, ops), inner: g.inner(), metric: pick(g.Rand, metrics)}
	if g.IntN(2) == 0 {
		d.matchers = g.matchers(2)
	}
	return expression(d.op, g.grouping(80), d.inner, d.metric, d.matchers, pick(g.Rand, offsets)), d
}

// query returns one that the rule may answer, or nearly.
func (g generator) query(d draft) string {
	ms := append(slices.Clone(d.matchers), g.matchers(g.IntN(3))...)
	g.Shuffle(len(ms), func(i, j int) { ms[i], ms[j] = ms[j], ms[i] })
	if len(ms) > 0 && g.IntN(12) == 0 {
		ms = ms[1:]
	}
	inner, metric := d.inner, d.metric
	switch g.IntN(12) {
	case 0:
		inner = pick(g.Rand, inners)
	case 1:
		metric = "=" + metric
	case 2:
		inner = "(" + inner + ")"
	case 3, 4:
		is := pick(g.Rand, spelt)
		inner = strings.ReplaceAll(inner, is[0], is[1])
	case 5:
		inner = strings.ReplaceAll(pick(g.Rand, wraps), "E", inner)
	}
	grouping := g.grouping(25)
	if g.IntN(15) == 0 {
		grouping = strings.Replace(grouping, "(", "(__name__,", 1)
		grouping = strings.Replace(grouping, ",)", ")", 1)
	}
	op := d.op
	if g.IntN(3) == 0 {
		op = pick(g.Rand, ops)
	}
	return expression(op, grouping, inner, metric, ms, pick(g.Rand, shifts))
}

// tally counts what was compared.
type tally map[string]int

// Whatever matches is answered from the rule's output as the stock engine
// answers it from the series, annotations included.
func TestMatchIsExact(t *testing.T) {
	const worlds, rulesOfEach, queriesOfEach = 800, 5, 25 // 100,000 queries
	p := queryParser()
	seen := tally{}
	for seed := range uint64(worlds) {
		r := rand.New(rand.NewPCG(seed, 1))
		w := newWorld(r, newEngine(seed%2 == 0))
		g := generator{r}
		for range rulesOfEach {
			text, d := g.rule()
			rs := mustParse(t, of(text))
			k := keeper{world: w, rule: rs.All()[0], kept: map[string]kept{}}
			for range queriesOfEach {
				query := g.query(d)
				e, err := p.ParseExpr(query)
				if err != nil {
					t.Fatalf("%s: %v", query, err)
				}
				seen["all"]++
				matches, misses := rs.Match(e.(*parser.AggregateExpr), w.constants)
				if len(matches)+len(misses) > 1 {
					t.Fatalf("seed %d: %s: %d matches and %d misses of one rule", seed, query, len(matches), len(misses))
				}
				for _, m := range matches {
					k.compare(t, seed, query, m, seen)
				}
				if t.Failed() {
					t.FailNow()
				}
			}
		}
	}
	t.Logf("%v", seen)
	for what, least := range map[string]int{
		"matched": 20_000, "sum": 2500, "count": 2500, "avg": 2000, "min": 2000, "max": 2000, "group": 2500, "offset": 10_000, "without": 3000, "matchers": 5000,
		"info": 300, "histograms": 500, "mixed": 100, "void": 1000, "constants": 10_000, "nothing": 1000, "by name": 100,
		"sum of avg": 100, "count of avg": 100, "group of avg": 100, "group of count": 100,
	} {
		if seen[what] < least {
			t.Errorf("only %d comparisons of %s, want %d", seen[what], what, least)
		}
	}
}

// keeper evaluates a rule when it is needed.
type keeper struct {
	*world
	rule *rollup.Rule
	kept map[string]kept
}

type kept struct {
	value promql.Matrix
	warn  annotations.Annotations
}

func (k keeper) eval(t *testing.T, op string, at steps) kept {
	key := fmt.Sprint(op, at)
	if _, ok := k.kept[key]; !ok {
		text := op + strings.TrimPrefix(k.rule.Text(), k.rule.Ops[0])
		value, warn := k.world.eval(t, text, at)
		k.kept[key] = kept{value, warn}
	}
	return k.kept[key]
}

func (k keeper) compare(t *testing.T, seed uint64, query string, m rollup.Match, seen tally) {
	at := steps{firstSample + 20*60_000, firstSample + 50*60_000, 5 * 60_000}
	by, mixed, floats := map[string]table{}, false, false
	for _, op := range m.Rule.Ops {
		got := k.eval(t, op, at.before(m.Offset))
		for _, err := range got.warn {
			if !m.Rule.Foretold(err) {
				seen["void"]++
				return
			}
		}
		if slices.Contains(m.Ops, op) {
			folded, isMixed, isFloat := fold(m, op, got.value, k.constants)
			by[op], mixed, floats = folded, mixed || isMixed, floats || isFloat && op != "count"
		}
	}
	want, warn := k.world.eval(t, query, at)
	got := answer(m, by)
	if d := difference(got, tableOf(want)); d != "" {
		t.Errorf("seed %d: %s from %s (offset %d, matchers %v): %s", seed, query, m.Rule, m.Offset, m.Matchers, d)
	}
	var expected annotations.Annotations
	if m.Info != nil && floats {
		expected.Add(m.Info)
		seen["info"]++
	}
	if mixed {
		seen["mixed"]++
		if !strings.Contains(fmt.Sprint(warn.AsErrors()), "mix of") {
			t.Errorf("seed %d: %s from %s: the engine does not warn of a mix: %v", seed, query, m.Rule, warn.AsErrors())
		}
		return
	}
	if g, w := fmt.Sprint(expected.AsStrings(query, 0, 0)), fmt.Sprint(warn.AsStrings(query, 0, 0)); g != w {
		t.Errorf("seed %d: %s from %s: annotations %v, want %v", seed, query, m.Rule, g, w)
	}
	seen.count(query, m, want, k.constants.Len() > 0)
}

func (c tally) count(query string, m rollup.Match, value promql.Matrix, constants bool) {
	own := m.Rule.Expr.Op.String()
	for what, is := range map[string]bool{
		"matched": true, m.Op.String(): len(value) > 0, m.Op.String() + " of " + own: len(value) > 0, "offset": m.Offset != 0, "without": m.Without, "matchers": len(m.Matchers) > 0,
		"constants": constants, "nothing": len(value) == 0, "by name": len(value) > 0 && value[0].Metric.Has("__name__"),
		"histograms": slices.ContainsFunc(value, func(s promql.Series) bool { return len(s.Histograms) > 0 }),
	} {
		if is {
			c[what]++
		}
	}
}
