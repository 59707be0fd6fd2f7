package querytree

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/tsdb/tsdbutil"
)

func wantOutcome(t *testing.T, want, got outcome) {
	t.Helper()
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("-want +got:\n%s", d)
	}
}

// deadline is the soft deadline of the tests with slow children.
const deadline = 10 * time.Second

func impatient(c *MixerConfig) { c.Limits.ChildDeadline = deadline }

// A slow child costs its own part, is named, and does not hold up the rest for
// longer than the soft deadline, whatever the number of slow children and
// whether they heed their contexts or not.
func TestSlowChildren(t *testing.T) {
	for _, query := range []string{"x", "sum(x)", "x or vector(0)", "quantile(0.5, x)", "sum(x) / sum(y)"} {
		t.Run(query, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				rude, release := deaf(asia)
				defer release()
				m := mixerOver(t, Identity{Tier: TierRoot}, impatient, saying(eu, point(1, "zone", "eu")), hanging(us), rude)
				begin := time.Now()
				got := askInstant(t.Context(), m, query, Options{})
				if took := time.Since(begin); took != deadline {
					t.Errorf("took %s, want the soft deadline of %s", took, deadline)
				}
				if want := []string{"zone=asia", "zone=us"}; !slices.Equal(got.Missing, want) {
					t.Errorf("missing: want %q, got %q", want, got.Missing)
				}
				if len(got.Series) == 0 {
					t.Error("the answer of the child in time is missing")
				}
				want := []string{
					`partial answer: zone "zone=asia" did not answer: unavailable: soft deadline passed (10s)`,
					`partial answer: zone "zone=us" did not answer: unavailable: soft deadline passed (10s)`,
				}
				if d := cmp.Diff(want, got.Warnings); d != "" {
					t.Errorf("warnings -want +got:\n%s", d)
				}
			})
		})
	}
}

// Raw series of several selectors are waited for side by side.
func TestSlowChildrenOfSeveralSelectors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := mixerOver(t, Identity{Tier: TierRoot}, impatient, hanging(eu), hanging(us))
		begin := time.Now()
		got := askInstant(t.Context(), m, "absent_over_time(x[5m]) + absent_over_time(y[5m]) + absent_over_time(z[5m])", Options{})
		if took := time.Since(begin); took != deadline || len(got.Missing) != 2 {
			t.Errorf("took %s: %+v", took, got)
		}
	})
}

// Late is set of a child that missed the deadline, and not of one that is down.
func TestLateInReport(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := mixerOver(t, Identity{Tier: TierRoot}, impatient, hanging(eu), down(us))
		set, err := m.Exec(t.Context(), ExecRequest{Query: "x"})
		if err != nil {
			t.Fatal(err)
		}
		r := set.Report()
		if c := r.Children["zone=eu"]; !c.Late || c.Failed == "" || c.Verdict != Asked {
			t.Errorf("late child: %+v", c)
		}
		if c := r.Children["zone=us"]; c.Late || c.Failed == "" || c.Verdict != Asked {
			t.Errorf("child that is down: %+v", c)
		}
	})
}

func TestDeadChild(t *testing.T) {
	m := rootOver(t, saying(eu, point(1, "zone", "eu")), down(us))
	wantOutcome(t, outcome{
		Series:   []string{`{zone="eu"} 1`},
		Warnings: []string{`partial answer: zone "zone=us" did not answer: unavailable: not connected`},
		Missing:  []string{"zone=us"},
	}, askInstant(t.Context(), m, "x", Options{}))
	for _, query := range []string{"x", "sum(x)", "sum(x) + 1", "absent_over_time(x[5m])"} {
		got := askInstant(t.Context(), m, query, Options{Strict: true})
		if !strings.Contains(got.Err, `zone "zone=us" did not answer: unavailable: not connected`) {
			t.Errorf("%s, strict: got %+v, want an error that names zone=us", query, got)
		}
	}
	// A child that cannot hold a match is not missed.
	wantOutcome(t, outcome{Series: []string{`{zone="eu"} 1`}}, askInstant(t.Context(), m, `x{zone="eu"}`, Options{Strict: true}))
}

// An error of evaluation is the query's, in the words of the child.
func TestEvaluationErrorOfChild(t *testing.T) {
	text := "found duplicate series for the match group {} on the right hand-side of the operation"
	m := rootOver(t, saying(eu, point(1, "zone", "eu")), failing(us, errors.New(text)))
	for _, query := range []string{"x", "sum(x)", "sum(x) + 1"} {
		if got := askInstant(t.Context(), m, query, Options{}); !strings.Contains(got.Err, text) {
			t.Errorf("%s: want the child's error, got %+v", query, got)
		}
	}
}

func TestLimitErrorOfChild(t *testing.T) {
	limit := &LimitError{What: "series of one request", Flag: "query.max-series", Limit: 3, Tier: "zone=us"}
	m := rootOver(t, saying(eu, point(1, "zone", "eu")), failing(us, limit))
	for _, query := range []string{"x", "sum(x)", "sum(x) + 1", "absent_over_time(x[5m])"} {
		_, err := m.Exec(t.Context(), ExecRequest{Query: query})
		var le *LimitError
		if !errors.As(err, &le) || le.Tier != "zone=us" {
			t.Errorf("%s: want the child's LimitError, got %v", query, err)
		}
	}
}

// Who sends more series than a request may have is named: he may be left out.
func TestTooManySeriesNameTheirChild(t *testing.T) {
	var many []promql.Series
	for i := range 5 {
		many = append(many, point(1, "zone", "us", "pod", fmt.Sprint(i)))
	}
	m := rootOver(t, saying(eu, point(1, "zone", "eu", "pod", "0")), saying(us, many...))
	for _, query := range []string{"x", "sum by (zone, pod) (x)", "sum by (pod) (x)", "quantile by (pod) (0.5, x)"} {
		_, err := m.Exec(t.Context(), ExecRequest{Query: query, Options: Options{MaxSeries: 4}})
		var le *LimitError
		if !errors.As(err, &le) || le.Flag != "query.max-series" || le.Limit != 4 || le.What != `series of one request, in the answer of "zone=us"` {
			t.Errorf("%s: want a LimitError that names zone=us, got %v", query, err)
		}
	}
}

// Where each child's series are few enough, but not those of all, none is blamed
// alone.
func TestTooManySeriesOfChildrenTogether(t *testing.T) {
	m := rootOver(t, saying(eu, point(1, "pod", "0"), point(1, "pod", "1")), saying(us, point(1, "pod", "2"), point(1, "pod", "3")))
	_, err := m.Exec(t.Context(), ExecRequest{Query: "sum by (pod) (x)", Options: Options{MaxSeries: 3}})
	var le *LimitError
	if !errors.As(err, &le) || le.Value != 4 || !strings.HasPrefix(le.What, `series of one request, together with those of "zone=`) {
		t.Errorf("want a LimitError of 4 series of both, got %v", err)
	}
}

// A storage that cannot be read costs its own child.
func TestStorageErrorOfChild(t *testing.T) {
	broken := brokenStorage(t, euOne)
	m := rootOver(t, holding(t, leafOf("zone", "us", "cluster", "us-1"), point(2, "__name__", "x")), broken)
	for _, query := range []string{"x", "sum(x)", "absent_over_time(x[5m]) or x"} {
		got := askInstant(t.Context(), m, query, Options{})
		if len(got.Series) == 0 || !slices.Equal(got.Missing, []string{"zone=eu,cluster=eu-1"}) {
			t.Errorf("%s: want the answer of the other child, got %+v", query, got)
		}
	}
}

func TestCancelledQuery(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, query := range []string{"x", "sum(x) + 1", "absent_over_time(x[5m])"} {
			ctx, cancel := context.WithCancel(t.Context())
			time.AfterFunc(time.Second, cancel)
			begin := time.Now()
			_, err := rootOver(t, hanging(eu), hanging(us)).Exec(ctx, ExecRequest{Query: query})
			var cancelled promql.ErrQueryCanceled
			if !errors.As(err, &cancelled) || time.Since(begin) != time.Second {
				t.Errorf("%s: after %s: %v", query, time.Since(begin), err)
			}
		}
	})
}

// A query with less time than the soft deadline, by the tier's limit or by its
// own, is answered in time without the child that hangs.
func TestShortTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		answering := saying(eu, point(1, "zone", "eu"))
		byLimit := mixerOver(t, Identity{Tier: TierRoot}, func(c *MixerConfig) { c.Limits.Timeout = time.Second }, answering, hanging(us))
		own, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		for what, ask := range map[string]func() ResultSet{
			"limit": func() ResultSet { return must(byLimit.Exec(t.Context(), ExecRequest{Query: "x"})) },
			"own":   func() ResultSet { return must(rootOver(t, answering, hanging(us)).Exec(own, ExecRequest{Query: "x"})) },
		} {
			begin := time.Now()
			set := ask()
			if n := len(results(set)); n != 1 || time.Since(begin) >= time.Second {
				t.Errorf("%s: %d series after %s", what, n, time.Since(begin))
			}
			if got := set.Report().Missing(); !slices.Equal(got, []string{us.Name()}) {
				t.Errorf("%s: missing %q", what, got)
			}
		}
	})
}

func must(set ResultSet, err error) ResultSet {
	if err != nil {
		panic(err)
	}
	return set
}

func results(set ResultSet) (out []promql.Series) {
	for set.Next() {
		out = append(out, set.At())
	}
	return out
}

// What a grandchild failed with is known at the top, by its own name.
func TestNestedReports(t *testing.T) {
	zone := mixerOver(t, eu.Identity, nil, saying(euOne, point(1, "zone", "eu", "cluster", "eu-1")), down(euTwo))
	root := rootOver(t, zone, saying(us, point(2, "zone", "us")))
	set, err := root.Exec(t.Context(), ExecRequest{Query: "x"})
	if err != nil {
		t.Fatal(err)
	}
	r := set.Report()
	if want := []string{"zone=eu,cluster=eu-2"}; !slices.Equal(r.Missing(), want) {
		t.Errorf("missing: want %q, got %q", want, r.Missing())
	}
	var names []string
	for name := range r.Children {
		names = append(names, name)
	}
	slices.Sort(names)
	if d := cmp.Diff([]string{"zone=eu", "zone=eu,cluster=eu-1", "zone=eu,cluster=eu-2", "zone=us"}, names); d != "" {
		t.Errorf("children -want +got:\n%s", d)
	}
	got := askInstant(t.Context(), root, "sum(x)", Options{})
	if len(got.Warnings) != 1 || !strings.Contains(got.Warnings[0], `leaf "zone=eu,cluster=eu-2" did not answer`) {
		t.Errorf("warnings: %q", got.Warnings)
	}
	got = askInstant(t.Context(), root, "sum(x)", Options{Strict: true})
	if !strings.Contains(got.Err, `leaf "zone=eu,cluster=eu-2" did not answer`) {
		t.Errorf("strict: %+v", got)
	}
}

// Each tier gives the one below less time than it has.
func TestBudgetShrinks(t *testing.T) {
	for _, budget := range []time.Duration{0, time.Second, 5 * time.Second, time.Minute} {
		var at []time.Duration
		leaf := saying(euOne)
		answer := leaf.exec
		leaf.exec = func(ctx context.Context, req ExecRequest) (ResultSet, error) {
			at = append(at, req.Budget)
			return answer(ctx, req)
		}
		root := rootOver(t, mixerOver(t, eu.Identity, func(c *MixerConfig) {
			c.Limits.ChildDeadline = time.Hour
		}, leaf))
		if _, err := root.Exec(t.Context(), ExecRequest{Query: "x", Options: Options{Budget: budget}}); err != nil {
			t.Fatal(err)
		}
		zones := softDeadline(DefaultLimits().ChildDeadline, budget)
		if len(at) != 1 || at[0] <= 0 || at[0] >= zones || (budget > 0 && zones >= budget) {
			t.Errorf("budget %s: zone %s, leaf %v", budget, zones, at)
		}
	}
}

// Planning a query again does not begin its time anew: a parent counts from the
// first attempt.
func TestReplansShareTheDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		same := point(1, "job", "a")
		slow := hanging(asia)
		m := mixerOver(t, Identity{Tier: TierRoot}, impatient, saying(eu, same), saying(us, same), slow)
		begin := time.Now()
		_, _ = m.Exec(t.Context(), ExecRequest{Query: "x"})
		if took := time.Since(begin); took != deadline {
			t.Errorf("took %s, with a soft deadline of %s", took, deadline)
		}
	})
}

func TestMaxSamplesAndSeries(t *testing.T) {
	var series []promql.Series
	for i := range 10 {
		series = append(series, point(1, "__name__", "x", "i", fmt.Sprint(i)))
	}
	leaf := func(cluster string) Child { return holding(t, leafOf("zone", "eu", "cluster", cluster), series...) }
	children := []Child{leaf("a"), leaf("b")}
	for _, c := range []struct {
		name, query string
		change      func(*MixerConfig)
		options     Options
		flag        string
	}{
		{"samples of a fragment", "x", func(c *MixerConfig) { c.Limits.MaxSamples = 5 }, Options{}, "query.max-samples"},
		{"samples of all fragments", "x + on (i) group_left () y", func(c *MixerConfig) { c.Limits.MaxSamples = 19 }, Options{}, "query.max-samples"},
		{"samples, by the parent", "x", nil, Options{MaxSamples: 5}, "query.max-samples"},
		{"series of a fragment", "x", func(c *MixerConfig) { c.Limits.MaxSeries = 5 }, Options{}, "query.max-series"},
		{"series of all children", "x", func(c *MixerConfig) { c.Limits.MaxSeries = 15 }, Options{}, "query.max-series"},
		{"series, by the parent", "x", nil, Options{MaxSeries: 5}, "query.max-series"},
		{"series of raw pulls", "quantile_over_time(scalar(sum(x)), x[5m])", nil, Options{MaxSeries: 5}, "query.max-series"},
		{"samples of raw pulls", "quantile_over_time(scalar(sum(x)), x[5m])", nil, Options{MaxSamples: 601 * 15}, "query.max-samples"},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := mixerOver(t, Identity{Tier: TierRoot}, c.change, children...)
			_, err := m.Exec(t.Context(), ExecRequest{Query: c.query, Start: 600_000, End: 600_000, Options: c.options})
			var le *LimitError
			if !errors.As(err, &le) || le.Flag != c.flag {
				t.Errorf("want a LimitError of %s, got %v", c.flag, err)
			}
		})
	}
	t.Run("within the limits", func(t *testing.T) {
		got := askInstant(t.Context(), rootOver(t, children...), "count(x)", Options{MaxSeries: 20, MaxSamples: 601 * 20})
		wantOutcome(t, outcome{Series: []string{"{} 20"}}, got)
	})
	t.Run("a leaf keeps to its parent's", func(t *testing.T) {
		_, err := children[0].Exec(t.Context(), ExecRequest{Query: "x", Start: 600_000, End: 600_000, Options: Options{MaxSamples: 5}})
		if !IsLimit(err) {
			t.Errorf("want a LimitError, got %v", err)
		}
	})
}

// Two children that say the same label set are not what they were taken for: the
// query is evaluated over raw series, which are merged.
func TestEqualLabelSets(t *testing.T) {
	d := func(shard string) Description { return shardOf(shard, nil) }
	one := holding(t, d("0"), point(1, "__name__", "x"), point(5, "__name__", "a", "job", "j"))
	two := holding(t, d("1"), point(1, "__name__", "x"), point(7, "__name__", "b", "job", "j"))
	m := rootOver(t, one, two)
	wantOutcome(t, outcome{Series: []string{`{__name__="x"} 1`}}, askInstant(t.Context(), m, "x", Options{}))
	// Only once they have lost their names are these equal.
	got := askInstant(t.Context(), m, `-{job="j"}`, Options{})
	if !strings.Contains(got.Err, "same labelset") {
		t.Errorf("want the error that one Prometheus gives, got %+v", got)
	}
	wantOutcome(t, outcome{Series: []string{"{} 12"}}, askInstant(t.Context(), m, `sum({job="j"})`, Options{}))
}

// A sum of a child that met floats and histograms has no value, but the sum of
// all must know that.
func TestMixedSumIsReplanned(t *testing.T) {
	h := tsdbutil.GenerateTestFloatHistogram(1)
	raw := map[string][]promql.Series{
		"eu": {{Metric: labels.FromStrings("zone", "eu", "i", "0"), Histograms: []promql.HPoint{{H: h}}}, point(1, "zone", "eu", "i", "1")},
		"us": {point(3, "zone", "us")},
	}
	var mu sync.Mutex
	var queries []string
	child := func(d Description) Child {
		real := saying(d, raw[d.Labels.Get("zone")]...)
		answer := real.exec
		real.exec = func(ctx context.Context, req ExecRequest) (ResultSet, error) {
			mu.Lock()
			queries = append(queries, strings.TrimSpace(req.Query))
			mu.Unlock()
			if !strings.Contains(req.Query, "sum") {
				return answer(ctx, req)
			}
			return mixedSum(raw[d.Labels.Get("zone")], req), nil
		}
		return real
	}
	got := askInstant(t.Context(), rootOver(t, child(eu), child(us)), "sum(x)", Options{})
	if len(got.Series) != 0 || len(got.Warnings) != 1 || !strings.Contains(got.Warnings[0], "mix of histograms and floats") {
		t.Errorf("want no value and a warning, got %+v", got)
	}
	if !slices.Contains(queries, "x") {
		t.Errorf("not planned again: children were asked %q", queries)
	}
}

// Sums whose parts cancel each other out are those of one Prometheus.
func TestSumsThatCancel(t *testing.T) {
	leaf := func(cluster string, v float64) Child {
		return holding(t, leafOf("zone", "eu", "cluster", cluster), point(v, "__name__", "x"))
	}
	for _, c := range []struct {
		values []float64
		want   string
	}{
		{[]float64{1e100, 1, -1e100}, "{} 1"},
		{[]float64{1, 2, 3}, "{} 6"},
		{[]float64{1e308, 1e308}, "{} +Inf"},
	} {
		var children []Child
		for i, v := range c.values {
			children = append(children, leaf(fmt.Sprint(i), v))
		}
		wantOutcome(t, outcome{Series: []string{c.want}}, askInstant(t.Context(), rootOver(t, children...), "sum(x)", Options{}))
	}
	// Averages do not overflow.
	got := askInstant(t.Context(), rootOver(t, leaf("0", 1.5e308), leaf("1", 1.5e308)), "avg(x)", Options{})
	wantOutcome(t, outcome{Series: []string{"{} 1.5e+308"}}, got)
}

// An average counts the children that it sums: one that answered only one of the
// two requests is left out of both.
func TestAverageOfPartialAnswers(t *testing.T) {
	us := leafOf("zone", "us", "cluster", "us-1")
	half := &fake{desc: us}
	whole := holding(t, us, point(100, "__name__", "x"))
	half.exec = func(ctx context.Context, req ExecRequest) (ResultSet, error) {
		if strings.Contains(req.Query, "count") {
			return nil, fmt.Errorf("%w: connection broke", ErrUnavailable)
		}
		return whole.Exec(ctx, req)
	}
	got := askInstant(t.Context(), rootOver(t, holding(t, euOne, point(2, "__name__", "x")), half), "avg(x)", Options{})
	if d := cmp.Diff([]string{"{} 2"}, got.Series); d != "" || len(got.Missing) != 1 {
		t.Errorf("%+v: -want +got:\n%s", got, d)
	}
}

// A match that only the whole tree shows to be ambiguous is refused.
func TestAmbiguousMatchAcrossChildren(t *testing.T) {
	one := holding(t, euOne, point(1, "__name__", "x", "job", "a"))
	two := holding(t, euTwo, point(1, "__name__", "y", "job", "a", "i", "0"), point(2, "__name__", "y", "job", "a", "i", "1"))
	m := rootOver(t, one, two)
	if got := askInstant(t.Context(), m, "x * on (cluster, job) y", Options{}); !strings.Contains(got.Err, "duplicate series for the match group") {
		t.Errorf("want the error that one Prometheus gives, got %+v", got)
	}
}

// A scalar that only one child can hold does not confine the rest to that child.
func TestScalarParameterOfOneChild(t *testing.T) {
	m := rootOver(t,
		holding(t, leafOf("zone", "eu"), point(0.5, "__name__", "q"), point(1, "__name__", "x")),
		holding(t, leafOf("zone", "us"), point(2, "__name__", "x")))
	want := outcome{Series: []string{`{zone="eu"} 1`, `{zone="us"} 2`}}
	wantOutcome(t, want, askInstant(t.Context(), m, `quantile_over_time(scalar(q{zone="eu"}), x[5m])`, Options{}))
}

// Shards by metric name: series without their names are not told apart by them.
func TestShardsByName(t *testing.T) {
	key := []string{"__name__"}
	m := rootOver(t,
		holding(t, shardOf("0", key), point(1, "__name__", "a", "job", "j", "pod", "p")),
		holding(t, shardOf("1", key), point(2, "__name__", "b", "job", "j", "pod", "q")))
	want := outcome{Series: []string{`{job="j"} 3`}}
	wantOutcome(t, want, askInstant(t.Context(), m, `sum without (pod) ({job="j"})`, Options{}))
	want = outcome{Series: []string{`{} 1`}}
	wantOutcome(t, want, askInstant(t.Context(), m, `count(sum without (pod) ({job="j"}))`, Options{}))
}

func TestNobodyToAsk(t *testing.T) {
	m := rootOver(t)
	warning := `partial answer: root "root" did not answer: unavailable: no child has registered with it yet`
	want := outcome{Series: []string{"{} 1"}, Warnings: []string{warning}, Missing: []string{"root"}}
	wantOutcome(t, want, askInstant(t.Context(), m, "absent(x)", Options{}))
	wantOutcome(t, outcome{Series: []string{"{} 3"}}, askInstant(t.Context(), m, "1 + 2", Options{Strict: true}))
	_, err := m.Exec(t.Context(), ExecRequest{Query: "absent(x)", Options: Options{Strict: true}})
	if !IsStrictFailure(err) {
		t.Errorf("strict: want an error, got %v", err)
	}
	set := m.Select(t.Context(), SelectRequest{})
	defer set.Close()
	for set.Next() {
	}
	names, err := m.Names(t.Context(), NamesRequest{})
	if err != nil || len(set.Warnings()) != 1 || len(names.Warnings) != 1 {
		t.Errorf("want warnings: select %v, names %v, %v", set.Warnings(), names.Warnings, err)
	}
}

// The switch for checking answers asks for raw series only.
func TestNoPushdown(t *testing.T) {
	asked := 0
	leaf := holding(t, euOne, point(1, "__name__", "x"))
	f := &fake{desc: euOne, selects: leaf.Select, exec: func(ctx context.Context, req ExecRequest) (ResultSet, error) {
		asked++
		return leaf.Exec(ctx, req)
	}}
	wantOutcome(t, outcome{Series: []string{"{} 1"}}, askInstant(t.Context(), rootOver(t, f), "sum(x)", Options{NoPushdown: true}))
	if asked != 0 {
		t.Errorf("%d expressions were pushed down", asked)
	}
}

// Range queries keep gaps: a value is not carried into steps that have none.
func TestGapsStayGaps(t *testing.T) {
	f := &fake{desc: eu}
	f.exec = func(_ context.Context, req ExecRequest) (ResultSet, error) {
		m := promql.Matrix{{Metric: labels.FromStrings("zone", "eu"), Floats: []promql.FPoint{{T: req.Start, F: 1}, {T: req.Start + 3*req.Step, F: 2}}}}
		return NewMatrixSet(m, nil, f.asked()), nil
	}
	m := rootOver(t, f, saying(us))
	set, err := m.Exec(t.Context(), ExecRequest{Query: "sum(x) + 1", Start: 0, End: 5_000, Step: 1_000})
	if err != nil {
		t.Fatal(err)
	}
	var got []promql.FPoint
	for set.Next() {
		got = append(got, set.At().Floats...)
	}
	if d := cmp.Diff([]promql.FPoint{{T: 0, F: 2}, {T: 3_000, F: 3}}, got); d != "" {
		t.Errorf("-want +got:\n%s", d)
	}
}

// The engine may change the histograms that it reads; those of a fragment are
// not touched.
func TestGridIteratorCopiesHistograms(t *testing.T) {
	h := tsdbutil.GenerateTestFloatHistogram(3)
	want := h.Copy()
	s := newGridSeries(&promql.Series{Histograms: []promql.HPoint{{T: 1, H: h}}}, grid{0, 10, 1})
	it := s.Iterator(nil)
	for range 2 {
		it.Next()
		_, got := it.AtFloatHistogram(nil)
		got.Mul(7)
		reused := &histogram.FloatHistogram{}
		it = s.Iterator(it)
		it.Next()
		_, got = it.AtFloatHistogram(reused)
		got.Mul(7)
		it = s.Iterator(it)
	}
	if !h.Equals(want) {
		t.Errorf("changed to %s", h)
	}
}

// A query that waits for its turn is within its own timeout, and leaves no slot
// taken behind.
func TestGateBoundsQueries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := mixerOver(t, Identity{Tier: TierRoot}, func(c *MixerConfig) { c.Limits.MaxConcurrent, c.Limits.ChildDeadline = 1, time.Second }, hanging(eu))
		var wg sync.WaitGroup
		begin := time.Now()
		for range 3 {
			wg.Go(func() {
				if _, err := m.Exec(t.Context(), ExecRequest{Query: "x"}); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if took := time.Since(begin); took != 3*time.Second {
			t.Errorf("three queries, one at a time, took %s", took)
		}
	})
}
