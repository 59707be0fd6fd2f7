package rollup_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pandometrics/pando/rollup"
)

// noon is a time that all distances of points have.
var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// asked is a query over the day before, a minute apart, of a second.
func asked(query string) rollup.Asked {
	return rollup.Asked{Query: query, Start: noon.Add(-24 * time.Hour), End: noon, Step: time.Minute, Begun: noon.Add(time.Hour), Duration: time.Second, Series: 3, Bytes: 100}
}

// advice returns what is proposed for queries, each asked twice.
func advice(t testing.TB, cfg rollup.AdvisorConfig, queries ...rollup.Asked) rollup.Advice {
	t.Helper()
	a, err := rollup.NewAdvisor(cfg)
	if err != nil {
		t.Fatal(err)
	}
	for _, q := range slices.Concat(queries, queries) {
		a.Add(q)
	}
	return a.Advise()
}

// exprs are the proposed expressions, sorted.
func exprs(a rollup.Advice) (out []string) {
	for _, p := range a.Rules {
		out = append(out, p.Rule.String())
	}
	slices.Sort(out)
	return out
}

func TestAdvise(t *testing.T) {
	for _, c := range []struct {
		name    string
		queries []string
		want    []string
	}{
		{"as asked", []string{`sum(rate(a_total[5m])) by (job)`}, []string{`sum by (job) (rate(a_total[5m]))`}},
		{"the inside of a ranking", []string{`topk(3, sum by (job) (rate(a_total[5m])))`}, []string{`sum by (job) (rate(a_total[5m]))`}},
		{"buckets of a quantile", []string{`histogram_quantile(0.9, sum by (le) (rate(a_bucket[5m])))`}, []string{`sum by (le) (rate(a_bucket[5m]))`}},
		{"both sides of a ratio", []string{`sum(rate(a_total[5m])) / sum(rate(b_total[5m]))`}, []string{`sum(rate(a_total[5m]))`, `sum(rate(b_total[5m]))`}},
		{"a coarser grouping in a finer one", []string{`sum by (job) (x)`, `sum by (job, zone) (x)`, `sum(x)`}, []string{`sum by (job, zone) (x)`}},
		{"groupings of which neither is coarser", []string{`sum by (job) (x)`, `sum by (zone) (x)`}, []string{`sum by (job) (x)`, `sum by (zone) (x)`}},
		{"a sum and a count in an average", []string{`sum by (job) (x)`, `avg by (job) (x)`, `count(x)`}, []string{`avg by (job) (x)`}},
		{"min and max apart", []string{`min(x)`, `max(x)`}, []string{`max(x)`, `min(x)`}},
		{"values of a dashboard's variable", []string{`sum(rate(a_total{job="x"}[5m]))`, `sum(rate(a_total{job="y"}[5m]))`, `sum(rate(a_total{job=~"x|z"}[5m]))`}, []string{`sum by (job) (rate(a_total[5m]))`}},
		{"a matcher that all have stays", []string{`sum(x{env="p", job="a"})`, `sum(x{env="p", job="b"})`}, []string{`sum by (job) (x{env="p"})`}},
		{"without what a variable selects by", []string{`sum without (pod, job) (x{job="a"})`, `sum without (pod, job) (x{job="b"})`}, []string{`sum without (pod) (x)`}},
		{"a matcher on a label that is kept", []string{`sum by (job) (x{zone="a"})`, `sum by (job, zone) (x)`}, []string{`sum by (job, zone) (x)`}},
		{"by in without", []string{`sum by (job) (x)`, `sum without (pod) (x)`}, []string{`sum without (pod) (x)`}},
		{"an offset is another time", []string{`sum(rate(a_total[5m] offset 1d))`, `sum(rate(a_total[5m]))`}, []string{`sum(rate(a_total[5m]))`}},
		{"names that need quotes", []string{`sum by ("it's") ({"a.b", "it's"="it's"})`}, []string{`sum by ("it's") ({"it's"="it's",__name__="a.b"})`}},
		{"within a subquery", []string{`max_over_time(sum by (job) (x)[1h:1m])`}, []string{`sum by (job) (x)`}},
		{"nothing that can be kept", []string{`quantile(0.9, x)`, `x`, `1`, `sum(`, `sum(x * on (job) y)`, `max_over_time(sum(x)[1h:])`, `count by (job) (rate(gauge[5m]))`}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			var queries []rollup.Asked
			for _, q := range c.queries {
				queries = append(queries, asked(q))
			}
			a := advice(t, rollup.AdvisorConfig{}, queries...)
			if d := cmp.Diff(c.want, exprs(a)); d != "" {
				t.Error(d)
			}
			proposalsHold(t, a)
			if len(c.want) == 0 && len(a.Unhelped) == 0 {
				t.Error("nothing is said of what is not helped")
			}
		})
	}
}

// proposalsHold fails the test unless the proposals are a file that is taken, and
// answer their examples.
func proposalsHold(t *testing.T, a rollup.Advice) {
	t.Helper()
	text := "rollups:\n"
	for _, p := range a.Rules {
		text += p.Rule.YAML()
	}
	if len(a.Rules) == 0 {
		return
	}
	rules, err := rollup.Parse([]byte(text))
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	for _, p := range a.Rules {
		r := rules.ByName(p.Rule.Name)
		if r == nil || r.ID != p.Rule.ID || !cmp.Equal(r.Keep, p.Rule.Keep) {
			t.Errorf("%s is read as %v", p.Rule, r)
		}
	}
	// With the rules there, nothing more is proposed.
	var again []rollup.Asked
	for _, p := range a.Rules {
		for _, e := range p.Examples {
			again = append(again, asked(e))
		}
	}
	if b := advice(t, rollup.AdvisorConfig{Have: rules}, again...); len(b.Rules) > 0 || len(b.Unhelped) == 0 {
		t.Errorf("with the rules there: %q, %v", exprs(b), b.Unhelped)
	}
}

// The distance of points and how long they are kept follow from what was asked.
func TestAdviseDistance(t *testing.T) {
	day := 24 * time.Hour
	at := func(start time.Time, back, step time.Duration) rollup.Asked {
		return rollup.Asked{Query: "sum(x)", Start: start.Add(-back), End: start, Step: step, Begun: start.Add(time.Hour), Duration: time.Second}
	}
	for _, c := range []struct {
		name     string
		asked    rollup.Asked
		interval time.Duration
		keep     string
		saved    float64 // seconds of one
		aligned  float64
	}{
		{"minutes", at(noon, day, time.Minute), time.Minute, "[{1m0s 168h0m0s}]", 1, 1},
		{"a step between", at(noon, day, 2*time.Minute), time.Minute, "[{1m0s 168h0m0s}]", 1, 1},
		{"hours of a year", at(noon, 300*day, time.Hour), time.Hour, "[{1h0m0s 8760h0m0s}]", 1, 1},
		{"of another start", at(noon.Add(7*time.Second), day, time.Minute), time.Minute, "[{1m0s 168h0m0s}]", 0, 1},
		{"an instant of the past", rollup.Asked{Query: "sum(x)", Start: noon, End: noon, Begun: noon.Add(2 * time.Hour), Duration: time.Second}, time.Hour, "[{1h0m0s 24h0m0s}]", 1, 1},
		{"an offset that is no multiple", rollup.Asked{Query: "sum(x offset 90s)", Start: noon.Add(-day), End: noon, Step: time.Minute, Begun: noon.Add(time.Hour), Duration: time.Second}, 30 * time.Second, "[{30s 168h0m0s}]", 1, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := advice(t, rollup.AdvisorConfig{}, c.asked)
			if len(a.Rules) != 1 {
				t.Fatalf("%d rules, %v", len(a.Rules), a.Unhelped)
			}
			p := a.Rules[0]
			if got := time.Duration(p.Rule.Interval) * time.Millisecond; got != c.interval {
				t.Errorf("every %v, want %v", got, c.interval)
			}
			if got := fmt.Sprint(p.Rule.Keep[rollup.Root]); got != c.keep {
				t.Errorf("keeps %s, want %s", got, c.keep)
			}
			if p.Times != 2 || p.Saved.Duration.Seconds() != 2*c.saved || p.Aligned.Duration.Seconds() != 2*c.aligned {
				t.Errorf("%d times, saves %v of %v, aligned %v", p.Times, p.Saved.Duration, p.Duration, p.Aligned.Duration)
			}
		})
	}
}

// A year in hours and a day in minutes are kept at two distances.
func TestAdviseTwoDistances(t *testing.T) {
	year := asked("sum(x)")
	year.Start, year.Step = noon.Add(-300*24*time.Hour), time.Hour
	a := advice(t, rollup.AdvisorConfig{Tiers: []string{rollup.Zone, rollup.Root}}, asked("sum(x)"), year)
	const want = `- name: 'x:sum'
  expr: 'sum(x)'
  interval: 1m
  keep:
    zone:
    - {for: 1w}
    - {every: 1h, for: 1y}
    root:
    - {for: 1w}
    - {every: 1h, for: 1y}
`
	if len(a.Rules) != 1 {
		t.Fatal(exprs(a))
	}
	if d := cmp.Diff(want, a.Rules[0].Rule.YAML()); d != "" {
		t.Error(d)
	}
}

// What is of the present, at odd times or rare is not helped, and so is said.
func TestAdviseUnhelped(t *testing.T) {
	now := rollup.Asked{Query: "sum(x)", Start: noon, End: noon, Begun: noon, Duration: time.Second}
	odd := rollup.Asked{Query: "sum(y)", Start: noon.Add(7 * time.Second), End: noon.Add(7 * time.Second), Begun: noon.Add(time.Hour), Duration: time.Second}
	for _, c := range []struct {
		why   string
		cfg   rollup.AdvisorConfig
		asked rollup.Asked
	}{
		{"as of the present only", rollup.AdvisorConfig{}, now},
		{"not multiples of 5s", rollup.AdvisorConfig{}, odd},
		{"less than 3 times", rollup.AdvisorConfig{MinTimes: 3}, asked("sum(z)")},
		{"without aggregating", rollup.AdvisorConfig{}, asked("x > 5")},
		{"quantiles of parts", rollup.AdvisorConfig{}, asked("quantile(0.5, x)")},
		{"not PromQL", rollup.AdvisorConfig{}, asked("sum(x…")},
		{"refused before", rollup.AdvisorConfig{}, rollup.Asked{Query: "sum(x)"}},
	} {
		a := advice(t, c.cfg, c.asked)
		if len(a.Rules) > 0 || len(a.Unhelped) != 1 || !strings.Contains(a.Unhelped[0].Why, c.why) || a.Unhelped[0].Times != 2 || a.Unhelped[0].Example != c.asked.Query {
			t.Errorf("%s: %q, %+v", c.why, exprs(a), a.Unhelped)
		}
	}
	// Of a query that is helped in part, the rest is said.
	a := advice(t, rollup.AdvisorConfig{}, asked("topk(1, sum by (job) (x)) + on (job) y"))
	if len(a.Rules) != 1 || len(a.Unhelped) != 1 || !strings.Contains(a.Unhelped[0].Why, "without aggregating") || a.Rules[0].Duration != time.Second || a.Unhelped[0].Duration != time.Second {
		t.Errorf("%q, %+v", exprs(a), a.Unhelped)
	}
}

// Rules come in the order of what they save.
func TestAdviseOrder(t *testing.T) {
	slow := asked("sum(slow)")
	slow.Duration = time.Minute
	a := advice(t, rollup.AdvisorConfig{}, asked("sum(fast)"), asked("sum(fast)"), slow)
	if len(a.Rules) != 2 || a.Rules[0].Rule.Metric() != "slow" || a.Rules[0].Saved.Duration != 2*time.Minute || a.Rules[1].Times != 4 {
		t.Errorf("%q, %+v", exprs(a), a.Rules)
	}
}

// A log of more different queries than are held costs no more, what took longest
// is proposed all the same, and the rest is said.
func TestAdviseIsBounded(t *testing.T) {
	a, err := rollup.NewAdvisor(rollup.AdvisorConfig{})
	if err != nil {
		t.Fatal(err)
	}
	slow := asked("sum(slow)")
	slow.Duration = time.Hour
	for i := range 25_000 {
		if i%10_000 == 0 {
			a.Add(slow)
		}
		a.Add(asked(fmt.Sprintf("sum(x%d)", i)))
		a.Add(asked(fmt.Sprintf("x%d +", i)))
	}
	got := a.Advise()
	if d := cmp.Diff([]string{"sum(slow)"}, exprs(got)); d != "" {
		t.Error(d)
	}
	if times := got.Rules[0].Times; times != 3 {
		t.Errorf("asked %d times", times)
	}
	total := int64(0)
	for _, u := range got.Unhelped {
		total += u.Times
	}
	if want := got.Total.Times - 3; total != want || len(got.Unhelped) > 5 {
		t.Errorf("%d of %d are not helped: %d reasons", total, want, len(got.Unhelped))
	}
}
