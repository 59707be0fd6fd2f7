package rollup_test

import (
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/util/annotations"
)

func aggregation(t testing.TB, query string) *parser.AggregateExpr {
	t.Helper()
	e, err := queryParser().ParseExpr(query)
	if err != nil {
		t.Fatal(err)
	}
	return e.(*parser.AggregateExpr)
}

// matched renders how a query is answered from a rule: what of it is needed, or
// why it is not.
func matched(t testing.TB, rule, query string, constants ...string) string {
	t.Helper()
	matches, misses := mustParse(t, of(rule)).Match(aggregation(t, query), labels.FromStrings(constants...))
	switch {
	case len(misses) == 1 && len(matches) == 0:
		return "no: " + misses[0].Why
	case len(matches) != 1 || len(misses) != 0:
		return fmt.Sprintf("%d matches, %d misses", len(matches), len(misses))
	}
	m := matches[0]
	out := strings.Join(m.Ops, "+")
	if len(m.Matchers) > 0 {
		out += fmt.Sprint(" ", m.Matchers)
	}
	if m.Offset != 0 {
		out += fmt.Sprint(" offset ", m.Offset)
	}
	if m.Info != nil {
		out += " info"
	}
	return out
}

// What a rule answers and what it does not. Whether the answers are right is for
// TestMatchIsExact.
func TestMatch(t *testing.T) {
	const rule = `sum by (job, code) (rate(http_requests_total{env="prod"}[5m]))`
	eu := []string{"zone", "eu"}
	for _, c := range []struct {
		rule, query string
		constants   []string
		want        string
	}{
		{rule, `sum by (job) (rate(http_requests_total{env="prod"}[5m]))`, nil, "sum"},
		{rule, `sum(rate(http_requests_total{env="prod",job="a",code=~"5.."}[5m]))`, nil, `sum [code=~"5.." job="a"]`},
		{rule, `sum(rate(http_requests_total{env=~"prod",job=~".*"}[5m]))`, nil, "sum"},
		{rule, `sum(rate(http_requests_total{env="prod",env!=""}[5m] offset 1h))`, nil, "sum offset 3600000"},
		{rule, `sum(rate(http_requests_total[5m]))`, nil, `no: it has only series with env="prod", the query asks for others too`},
		{rule, `sum(rate(http_requests_total{env="prod",pod="a"}[5m]))`, nil, `no: the query selects by pod="a", and the rule does not keep pod`},
		{rule, `sum by (pod) (rate(http_requests_total{env="prod"}[5m]))`, nil, `no: the query groups by pod, which the rule does not keep`},
		{rule, `sum by (env) (rate(http_requests_total{env="prod"}[5m]))`, nil, `no: the query groups by env, which the rule does not keep`},
		{rule, `sum(rate(http_requests_total{env="prod"}[1m]))`, nil, `no: it is of rate(http_requests_total{env="prod"}[5m]), the query of rate(http_requests_total{env="prod"}[1m])`},
		{rule, `max(rate(http_requests_total{env="prod"}[5m]))`, nil, `no: it keeps sum, of which max cannot be made`},
		{rule, `avg(rate(http_requests_total{env="prod"}[5m]))`, nil, `no: it keeps sum, of which avg is made only together with a rule of the count`},
		{rule, `group(rate(http_requests_total{env="prod"}[5m]))`, nil, `no: it keeps sum, of which group cannot be made`},
		{rule, `sum without (pod) (rate(http_requests_total{env="prod"}[5m]))`, nil, `no: the query groups without some labels, hence by all others, and the rule keeps some only`},
		{rule, `sum(rate(http_requests_total{env="prod"}[5m] @ 5))`, nil, `no: http_requests_total{env="prod"} @ 5.000 is of a fixed time; leave @ out`},
		{rule, `topk(5, rate(http_requests_total{env="prod"}[5m]))`, nil, `no: topk chooses among all series, so that the choices of parts do not make that of the whole; keep the sum, min or max by what it chooses among; a query may choose from that`},
		{rule, `sum(rate(http_requests_total{env="prod"}[5m]) / rate(other_total[5m]))`, nil, `no: it joins two sides by /; keep an aggregate of each side, and join these in the query`},
		{rule, `sum(rate(other_total[5m]))`, nil, "0 matches, 0 misses"},

		{`avg(x)`, `avg(x)`, nil, "sum+count"},
		{`avg(x)`, `sum(x)`, nil, "sum"},
		{`avg(x)`, `count(x)`, nil, "count"},
		{`avg(x)`, `group(x)`, nil, "count"},
		{`count(x)`, `avg(x)`, nil, `no: it keeps count, of which avg is made only together with a rule of the sum`},
		{`max(x)`, `avg(x)`, nil, `no: it keeps max, of which avg cannot be made`},
		{`count(x)`, `group(x)`, nil, "count"},
		{`group(x)`, `group(x)`, nil, "group"},
		{`group(x)`, `count(x)`, nil, "no: it keeps group, of which count cannot be made"},

		{`sum(x{code=~"4..|5.."})`, `sum(x{code="404"})`, nil, `no: the query selects by code="404", and the rule does not keep code`},
		{`sum by (code) (x{code=~"4..|5.."})`, `sum(x{code=~"404|503"})`, nil, `sum [code=~"404|503"]`},
		{`sum by (code) (x{code=~"4..|5.."})`, `sum(x{code=~"404|200"})`, nil, `no: it has only series with code=~"4..|5..", the query asks for others too`},
		{`sum(x{mode="idle"})`, `sum(x{mode="idle",mode!="user"})`, nil, `sum`},

		{`sum by (job) (x)`, `sum by (job, zone) (x{zone="eu"})`, eu, "sum"},
		{`sum by (job) (x)`, `sum by (zone) (x)`, nil, "no: the query groups by zone, which the rule does not keep"},
		{`sum by (job) (x)`, `sum(x{zone="us"})`, eu, `no: the query selects zone="us", of which there is nothing here: all series have zone="eu"`},
		{`sum by (job) (x{zone="us"})`, `sum(x{zone="us"})`, eu, `no: it selects zone="us", of which there is nothing here: all series have zone="eu"`},
		{`sum by (job) (x{zone=~"eu|us"})`, `sum(x)`, eu, "sum"},
		{`sum by (job) (x{zone=~"eu|us"})`, `sum(x)`, nil, `no: it has only series with zone=~"eu|us", the query asks for others too`},

		{`sum without (pod) (x)`, `sum without (pod, job) (x{job="a"})`, nil, `sum [job="a"]`},
		{`sum without (pod) (x)`, `sum by (anything) (x)`, nil, `sum`},
		{`sum without (pod) (x)`, `sum by (pod) (x)`, nil, `no: the query groups by pod, which the rule does not keep`},
		{`sum without (pod) (x)`, `sum without (job) (x)`, nil, `no: the query keeps pod, and the rule does not`},
		{`sum without (pod, zone) (x)`, `sum without (pod) (x)`, eu, `sum`},
		{`sum without (pod) (x)`, `sum by (__type__) (x)`, nil, `no: the query groups by __type__, which the rule does not keep`},

		{`sum(x)`, `sum by (__name__) (x)`, nil, "sum"},
		{`sum(x > 1)`, `sum by (__name__) (x > 1)`, nil, "sum"},
		{`sum(x * 1)`, `sum by (__name__) (x * 1)`, nil, "no: the query groups by the metric name, and whether there is one after a function depends on the server"},

		{`sum(x offset 5m)`, `sum(x)`, nil, "sum offset -300000"},
		{`sum(timestamp(x))`, `sum(timestamp(x offset 5m))`, nil, "sum offset 300000"},
		{`sum(timestamp(x * 1))`, `sum(timestamp(x offset 5m * 1))`, nil, "no: its value depends on the time of evaluation, which the query's offset of 5m0s does not shift"},
		{`max(max_over_time(rate(x_total[1m])[1h:1m]))`, `max(max_over_time(rate(x_total[1m])[1h:1m] offset 1d))`, nil, "max offset 86400000"},
		{`max(max_over_time(rate(x_total[1m])[1h:1m]))`, `max(max_over_time(rate(x_total[1m] offset 30s)[1h:1m]))`, nil, "no: it is of max_over_time(rate(x_total[1m])[1h:1m]), the query of max_over_time(rate(x_total[1m] offset 30s)[1h:1m])"},
		{`max(max_over_time(x[1h:1m]))`, `max(max_over_time(x[1h:]))`, nil, "no: x[1h:] leaves its step to the server; write the step, as in [1h:1m]"},

		{`sum(rate(x[5m]))`, `sum(rate(x[5m]))`, nil, "sum info"},
		{`sum(rate(x_total[5m]))`, `sum(rate(x_total[5m]))`, nil, "sum"},
		{`count(rate(x[5m]))`, `count(rate(x[5m]))`, nil, "count"},
		{`sum(rate(x[5m]) > 1)`, `sum(rate(x[5m]) > 1)`, nil, "sum"},
		{`avg(rate(x[5m]))`, `count(rate(x[5m]))`, nil, "no: x is not a counter by its name, and whether the engine says so cannot be told of a count"},
		{`sum by (job, le) (rate(h_bucket[5m]))`, `sum by (le) (rate(h_bucket{job="a"}[5m]))`, nil, `sum [job="a"]`},
		{`sum by (job) (rate(h[5m]))`, `sum(rate(h[5m]))`, nil, `sum info`},
	} {
		if got := matched(t, c.rule, c.query, c.constants...); got != c.want {
			t.Errorf("%s from %s at %v:\n got %s\nwant %s", c.query, c.rule, c.constants, got, c.want)
		}
	}
}

// Of several rules, those with few labels come first.
func TestMatchPrefersFewLabels(t *testing.T) {
	text := "rollups:"
	for i, expr := range []string{"sum without (pod) (x)", "sum by (a, b, c) (x)", "max by (a) (x)", "sum by (a) (x)", "sum without (pod, a) (x)", "sum by (a, b) (x)", "sum(y)"} {
		text += fmt.Sprintf("\n- {name: r%d, expr: %q, interval: 1m, keep: {root: {for: 1d}}}", i, expr)
	}
	matches, misses := mustParse(t, text).Match(aggregation(t, "sum(x)"), labels.EmptyLabels())
	var got, missed []string
	for _, m := range matches {
		got = append(got, m.Rule.Name)
	}
	for _, m := range misses {
		missed = append(missed, m.Rule.Name)
	}
	if d := cmp.Diff([][]string{{"r3", "r5", "r1", "r4", "r0"}, {"r2"}}, [][]string{got, missed}); d != "" {
		t.Error(d)
	}
}

// The result's labels are those that the query groups by, constants included.
func TestLabels(t *testing.T) {
	stored := labels.FromStrings("__name__", "rollup:1", "job", "a", "code", "200")
	constants := labels.FromStrings("zone", "eu", "cluster", "eu-1")
	for _, c := range []struct{ rule, query, want string }{
		{"sum by (job, code) (x)", "sum(x)", `{}`},
		{"sum by (job, code) (x)", "sum by (job, zone) (x)", `{job="a", zone="eu"}`},
		{"sum by (job, code) (x)", "sum by (__name__, code) (x)", `{__name__="x", code="200"}`},
		{"sum without (pod) (x)", "sum without (pod, code) (x)", `{cluster="eu-1", job="a", zone="eu"}`},
		{"sum without (pod, zone) (x)", "sum without (pod, cluster) (x)", `{code="200", job="a", zone="eu"}`},
	} {
		matches, misses := mustParse(t, of(c.rule)).Match(aggregation(t, c.query), constants)
		if len(matches) != 1 {
			t.Errorf("%s from %s: %v", c.query, c.rule, misses)
			continue
		}
		if got := matches[0].Labels(stored, constants).String(); got != c.want {
			t.Errorf("%s from %s: labels %s, want %s", c.query, c.rule, got, c.want)
		}
	}
}

// The annotation has the position of the range in the query.
func TestInfoHasThePositionInTheQuery(t *testing.T) {
	query := "sum by (job) (60 * rate(((x{job='a'}[5m]))))"
	rs := mustParse(t, of("sum by (job) (rate(x[5m]) * 60)"))
	matches, misses := rs.Match(aggregation(t, query), labels.EmptyLabels())
	if len(matches) != 1 {
		t.Fatal(misses)
	}
	_, infos := annotations.New().Add(matches[0].Info).AsStrings(query, 0, 0)
	if want := fmt.Sprintf("(1:%d)", strings.Index(query, "x{")+1); len(infos) != 1 || !strings.HasSuffix(infos[0], want) {
		t.Errorf("got %q, want one with %s", infos, want)
	}
	if r := rs.All()[0]; !r.Foretold(matches[0].Info) || r.Foretold(annotations.NewPossibleNonCounterInfo("xy", matches[0].Rule.Expr.PosRange)) || r.Foretold(annotations.PromQLWarning) {
		t.Error("the rule does not know its own annotation from others")
	}
}

// An average is not made of a sum that overflowed.
func TestHolds(t *testing.T) {
	for query, want := range map[string]bool{"avg(x)": false, "sum(x)": true} {
		matches, _ := mustParse(t, of("avg(x)")).Match(aggregation(t, query), labels.EmptyLabels())
		m := matches[0]
		if !m.Holds(1, nil) || !m.Holds(math.NaN(), nil) || m.Holds(math.Inf(-1), nil) != want {
			t.Errorf("%s: infinite sums are held to be %v", query, !want)
		}
		if !m.Holds(0, &histogram.FloatHistogram{Sum: 1}) || m.Holds(0, &histogram.FloatHistogram{Sum: math.Inf(1)}) != want {
			t.Errorf("%s: infinite histograms are held to be %v", query, !want)
		}
	}
}

// A query is not changed by being matched, so that it may be evaluated after.
func TestMatchLeavesTheQuery(t *testing.T) {
	const query = `sum by (b, a) (max_over_time((2 * x{c="1",b=~".*"} offset 1m)[5m:1m] offset 5m))`
	n, fresh := aggregation(t, query), aggregation(t, query)
	mustParse(t, of(query)).Match(n, labels.EmptyLabels())
	if n.String() != fresh.String() || n.Grouping[0] != "b" {
		t.Errorf("%s became %s", fresh, n)
	}
}

func BenchmarkMatch(b *testing.B) {
	text := "rollups:"
	for i := range 1000 {
		text += fmt.Sprintf("\n- {expr: 'sum by (job, l%d) (rate(http_requests_total{env=\"e%d\"}[5m]))', interval: 1m, keep: {root: {for: 1d}}}", i, i%10)
	}
	rs := mustParse(b, text)
	n := aggregation(b, `sum by (job) (rate(http_requests_total{env="e5",job="api"}[5m]))`)
	b.ReportAllocs()
	for b.Loop() {
		if matches, _ := rs.Match(n, labels.EmptyLabels()); len(matches) != 100 {
			b.Fatal(len(matches))
		}
	}
}
