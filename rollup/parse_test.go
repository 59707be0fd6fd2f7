package rollup_test

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pandometrics/pando/rollup"
)

const fullFile = `
rollups:
  - name: job_code:http_requests:rate5m
    expr: (sum(rate(http_requests_total{env="prod", job=~"api"}[5m])) by (job, code, job))
    interval: 1m
    keep:
      leaf: {for: 15d}
      zone: {for: 90d}
      root:
        - {every: 1h, for: 5y}
        - {for: 30d}
  - expr: avg without (pod) (temperature)
    interval: 30s
    keep: {root: {for: 1d}}
`

// rule returns a file with one good rule, but for the fields given.
func rule(fields ...string) string {
	out := map[string]string{"expr": "expr: sum(x)", "interval": "interval: 1m", "keep": "keep: {root: {for: 1d}}"}
	for _, f := range fields {
		key, _, _ := strings.Cut(f, ":")
		out[key] = f
	}
	return "rollups:\n- " + strings.Join(slices.Sorted(maps.Values(out)), "\n  ")
}

// of returns a file with one rule of an expression.
func of(expr string) string { return rule(fmt.Sprintf("expr: %q", expr)) }

func mustParse(t testing.TB, text string) *rollup.Rules {
	t.Helper()
	rs, err := rollup.Parse([]byte(text))
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	return rs
}

func TestParse(t *testing.T) {
	rs := mustParse(t, fullFile)
	type rule struct {
		Name, Text, Canonical, Metric string
		Ops                           []string
		Interval                      int64
		Keep                          map[string][]rollup.Keep
		Instant                       bool
		Window                        time.Duration
	}
	var got []rule
	for _, r := range rs.All() {
		if len(r.ID) != 16 || rs.ByName(r.Name) != r {
			t.Errorf("ID %q, name %q leads to %v", r.ID, r.Name, rs.ByName(r.Name))
		}
		got = append(got, rule{strings.ReplaceAll(r.Name, r.ID, "ID"), r.Text(), r.String(), r.Metric(), r.Ops, r.Interval, r.Keep, r.Instant, r.Window(7 * time.Minute)})
	}
	const day, year = 24 * time.Hour, 365 * 24 * time.Hour
	sum := `sum by (code, job) (rate(http_requests_total{env="prod",job="api"}[5m]))`
	want := []rule{
		{"job_code:http_requests:rate5m", sum, sum, "http_requests_total", []string{"sum"}, 60_000, map[string][]rollup.Keep{
			"leaf": {{time.Minute, 15 * day}}, "zone": {{time.Minute, 90 * day}}, "root": {{time.Minute, 30 * day}, {time.Hour, 5 * year}},
		}, false, 5 * time.Minute},
		{"rollup:ID", "sum without (pod) (temperature)", "avg without (pod) (temperature)", "temperature", []string{"sum", "count"}, 30_000, map[string][]rollup.Keep{
			"root": {{30 * time.Second, day}},
		}, true, 7 * time.Minute},
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	if rs.ByName("nobody") != nil {
		t.Error("a rule that is not there has a name")
	}
}

// The example of the documentation is a file.
func TestDocumentedExample(t *testing.T) {
	doc, err := os.ReadFile("../docs/rollups.md")
	if err != nil {
		t.Fatal(err)
	}
	_, after, _ := strings.Cut(string(doc), "```yaml\n")
	example, _, _ := strings.Cut(after, "```")
	if n := len(mustParse(t, example).All()); n != 2 {
		t.Errorf("%d rules, want 2", n)
	}
}

// An expression has one canonical text and one identity, however it is written.
func TestCanonical(t *testing.T) {
	for _, c := range []struct {
		want  string
		forms []string
	}{
		{`sum by (a, b) (x)`, []string{`sum(x) by (b,a)`, `(sum by(a,b,a)((x)))`, `sum by (a,b) ({__name__="x"})`, `sum by (a,b) ({__name__=~"x", c=~".*"})`}},
		{`sum(x)`, []string{`sum by () (x)`, `sum(x)`}},
		{`sum without () (x)`, []string{`sum without (__name__) (x)`}},
		{`max(rate(x_total{a="1",b!=""}[1h]))`, []string{`max(rate(x_total{b=~".+",a="1",a="1"}[60m]))`, `max((rate((x_total{b!="",a=~"1"}[3600]))))`, `max(rate(x_total{b!~"",a="1"}[1h]))`}},
		{`sum(x * 86400)`, []string{`sum(24 * 60 * 60 * x)`, `sum(x * (24*3600))`, `sum(1d * x)`}},
		{`sum(x > 0)`, []string{`sum(0 < x)`, `sum((x) > 0.0)`}},
		{`sum(1 - (x / 2))`, []string{`sum(1-x/2)`, `sum(1 - (x/2))`}},
		{`sum((-x) ^ 2)`, []string{`sum((-x)^2)`}},
		{`sum(-(x ^ 2))`, []string{`sum(-x^2)`}},
		{`sum((-1) ^ x)`, []string{`sum((-1)^x)`}},
		{`sum(x == bool (-1))`, []string{`sum(-1 == bool x)`}},
		{`avg(max_over_time((x * 2)[1h:1m] offset 5m))`, []string{`avg(max_over_time((2*x)[60m:60s] offset 300s))`}},
		{`avg(max_over_time((x offset 5m)[1h:1m]))`, []string{`avg(max_over_time((x offset 5m)[1h:1m]))`}},
		{`sum(clamp(x, (-1), 1))`, nil},
		{`count({__name__="sum.of"})`, []string{`count({"sum.of"})`}},
		{`count({__name__="inf"})`, []string{`count({__name__="inf"})`}},
		{`sum by ("k8s.pod", le) (x_bucket)`, []string{`sum by (le, "k8s.pod") (x_bucket)`}},
		{`sum(quantile_over_time(0.5, x[5m]))`, []string{`sum(quantile_over_time(1/2, x[5m]))`}},
	} {
		id := ""
		for _, form := range append(c.forms, c.want) {
			rs, err := rollup.Parse([]byte(of(form)))
			if err != nil {
				t.Errorf("%s: %v", form, err)
				continue
			}
			r := rs.All()[0]
			if got := r.String(); got != c.want && form != c.want {
				t.Errorf("%s: got %s, want %s", form, got, c.want)
			}
			if id == "" {
				id = r.ID
			}
			if r.ID != id {
				t.Errorf("%s: ID %s, want %s", form, r.ID, id)
			}
		}
	}
}

// What is refused says what to write instead.
func TestParseRefuses(t *testing.T) {
	for expr, words := range map[string]string{
		`topk(5, x)`: "keep the sum", `quantile(0.9, x)`: "by (le)", `stddev(x)`: "sum of squares", `stdvar by (a) (x)`: "sum of squares",
		`count_values("v", x)`: "keep the count", `limitk(5, x)`: "sample", `limit_ratio(0.5, x)`: "sample", `bottomk(1, x)`: "choose from that",
		`x`: "sum, min, max, count, group, avg", `rate(x[5m])`: "write one of", `sum(x) + 1`: "keep sum(x);", `sum(rate(x[5m])) / on (job) sum by (job) (rate(y[5m]))`: "keep sum(rate(x[5m])) and sum by (job) (rate(y[5m]));",
		`histogram_quantile(0.9, sum by (le) (rate(x_bucket[5m])))`: "keep sum by (le) (rate(x_bucket[5m]));", `topk(1, x) + 1`: "write one of", `1`: "write one of", `sum(`: "parse error",
		`sum(x + y)`: "join", `sum(x and y)`: "each side", `sum(x or x)`: "each side", `sum(x unless y)`: "each side", `sum(x * on(a) group_left y)`: "join",
		`sum(x @ 5)`: "leave @ out", `sum(x @ start())`: "leave @ out", `sum(max_over_time(x[5m:1m] @ end()))`: "leave @ out", `sum(rate(x[5m] @ 5))`: "leave @ out",
		`sum(label_replace(x, "a", "b", "c", "d"))`: "writes labels", `sum(label_join(x, "a", "-", "b"))`: "writes labels",
		`sum(absent(x))`: "keep a count", `sum(absent_over_time(x[5m]))`: "keep a count", `sum(vector(1))`: "use a selector", `sum(vector(scalar(x)))`: "use a selector",
		`sum(x * scalar(y))`: "a number", `sum(x - time())`: "a number", `sum(sort(x))`: "no order", `sum(sort_by_label(x, "a"))`: "no order",
		`sum(histogram_quantile(0.9, x))`: "sum by (le", `sum(histogram_fraction(0, 1, x))`: "sum by (le", `sum(histogram_quantiles(x, "q", 0.5))`: "sum by (le",
		`sum(info(x))`: "themselves have", `sum(hour())`: "of the clock", `sum(max_over_time(x[5m:]))`: "write the step", `sum(sum by (a) (x))`: "within another",
		`sum(max_over_time(sum(x)[5m:1m]))`: "within another", `sum({a="b"})`: "name one metric", `sum({__name__=~"a|b"})`: "name one metric",
		`sum({__name__="a",__name__!="a"})`: "selects nothing", `sum(x offset -5m)`: "positive", `sum(rate(x[5m] offset -5m))`: "positive", `sum(max_over_time(x[5m:1m] offset -5m))`: "positive",
		`sum(rate(x[step()]))`: "as one duration", `sum(rate(x[2*range()]))`: "as one duration", `sum(x offset step())`: "as one duration", `sum(max_over_time(x[5m:step()]))`: "as one duration",
		`sum(rate(x[5m] smoothed))`: "plain selector", `sum(rate(x[5m] anchored))`: "plain selector", `sum(x * start())`: "a number",
		`sum by (__name__) (x)`: "leave it out", `sum by (__type__) (x)`: "leave it out", `sum without (__unit__) (x)`: "leave it out",
		`sum(quantile_over_time(1.5, x[5m]))`: "between 0 and 1", `sum(quantile_over_time(NaN, x[5m]))`: "between 0 and 1", `sum(double_exponential_smoothing(x[5m], 0, 1))`: "between 0 and 1",
		`sum(rate(x[0.0015]))`: "whole milliseconds", `sum(rate(x[20y]))`: "3650 days", `sum(1)`: "", `sum(start_timestamp(x))`: "not known",
		"sum(x) + " + strings.Repeat("1+", 9000) + "1": "bytes",
	} {
		_, err := rollup.Parse([]byte(of(expr)))
		if err == nil || !strings.Contains(err.Error(), words) {
			t.Errorf("%.60s: want %q, got %v", expr, words, err)
		}
	}
	for text, words := range map[string]string{
		rule("interval: 500ms"): "whole seconds", rule("interval: 0s"): "whole seconds", rule("interval: 1500ms"): "whole seconds", rule("interval: 1x"): "interval",
		rule("keep: {root: {every: 90s, for: 1d}}"): "multiple", rule("keep: {root: {every: 0s, for: 1d}}"): "multiple", rule("keep: {root: {every: 1h, for: 1m}}"): "between 1h",
		rule("keep: {root: {for: 200y}}"): "100 years", rule("keep: {root: [{for: 1d}, {every: 1m, for: 2d}]}"): "two entries", rule("keep: {globe: {for: 1d}}"): "use leaf, zone, root",
		rule("name: x"): "metric that rollup 1 reads", "a: b": "not found", "rollups: []\n---\nrollups: []": "several", "rollups: [{expr: sum(x), expr: sum(y)}]": "already set",
		rule("name: a") + strings.Replace(rule("name: b"), "rollups:", "", 1):                 "same as rollup 1 (a)",
		rule("name: a") + strings.Replace(rule("name: a", "expr: max(x)"), "rollups:", "", 1): "same name",
		"rollups: [" + strings.Repeat("{},", rollup.MaxRules+1) + "]":                         "at most 10000",
		strings.Repeat(" ", rollup.MaxBytes+1):                                                "at most 16777216",
	} {
		if _, err := rollup.Parse([]byte(text)); err == nil || !strings.Contains(err.Error(), words) {
			t.Errorf("%.200s: want %q, got %v", text, words, err)
		}
	}
}

// All that is wrong is told at once, and where.
func TestParseTellsAll(t *testing.T) {
	_, err := rollup.Parse([]byte(`rollups:
- {name: a, expr: 'topk(1, x)', interval: 1ms, keep: {root: {for: 1d}}}
- {expr: 'sum(x)', interval: 1m, keep: {root: {for: 1d}}}
- {name: 1c, expr: 'sum(x @ 5)', interval: 1m, keep: {root: {for: 1d}, moon: {for: 1d}}}
`))
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{"rollup 1 (a)", "topk", "interval: 1ms", "rollup 3 (1c)", "not a metric name", "@", "moon"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("no %q in %v", want, err)
		}
	}
	if strings.Contains(err.Error(), "rollup 2") {
		t.Errorf("rollup 2 is blamed: %v", err)
	}
}

// The identity depends on what is kept, not on for how long or by which name.
func TestIdentity(t *testing.T) {
	id := func(fields ...string) string { return mustParse(t, rule(fields...)).All()[0].ID }
	if id() != id("name: a", "keep: {leaf: {for: 5d}}") {
		t.Error("name or retention change the ID")
	}
	if id() == id("interval: 2m") || id() == id("expr: avg(x)") || id() == id("expr: sum(y)") {
		t.Error("rules that keep other points have the same ID")
	}
}

// Notes warn of what would never be kept.
func TestNotes(t *testing.T) {
	for expr, want := range map[string]bool{
		"sum(rate(x[5m]))": false, "sum(rate(x[5m]) * 2)": false, "max(x)": false, "count(rate(x_total[5m]))": false,
		"count(rate(x[5m]))": true, "sum(rate(x[5m]) > 1)": true, "sum(histogram_count(increase(x[5m])))": true, "sum(max_over_time(rate(x[5m])[1h:5m]))": true,
		"sum(clamp(rate(x[5m]), 0, 1))": true, "sum(timestamp(rate(x[5m])))": true,
	} {
		if got := mustParse(t, of(expr)).All()[0].Notes(); (len(got) > 0) != want {
			t.Errorf("%s: notes %q", expr, got)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(fullFile))
	for _, expr := range []string{"sum(x)", "avg by (a) (rate(x{a=~\"b|c\"}[5m] offset 1m))", "max(-1 ^ (2 - x))", "min(max_over_time((x > 1)[1h:1m] offset 1h))", "sum(x == bool 0x1p-3)"} {
		f.Add([]byte(of(expr)))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		rs, err := rollup.Parse(data)
		if err != nil {
			return
		}
		for _, r := range rs.All() {
			again, err := rollup.Parse([]byte(rule(fmt.Sprintf("expr: %q", r.String()), fmt.Sprintf("interval: %dms", r.Interval))))
			if err != nil {
				t.Fatalf("%s: %v", r, err)
			}
			if b := again.All()[0]; b.ID != r.ID || b.String() != r.String() {
				t.Fatalf("%s (%s) became %s (%s)", r, r.ID, b, b.ID)
			}
		}
	})
}
