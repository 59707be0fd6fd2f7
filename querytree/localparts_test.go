package querytree_test

import (
	"context"
	"fmt"
	"math"
	"math/rand"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/timestamp"
	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/promqltest"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
	"github.com/prometheus/prometheus/tsdb/tsdbutil"
	"github.com/prometheus/prometheus/util/teststorage"

	"github.com/pandometrics/pando/querytree"
	"github.com/pandometrics/pando/querytree/treetest"
)

// locals are children over one storage, in pairs: one that leaves all to the
// stock engine, and one that does not.
type locals map[string]pair

type pair struct{ stock, parts *querytree.Local }

type bothQueryable interface {
	storage.Queryable
	storage.ChunkQueryable
}

func localOpts(startTimestamps bool, limits querytree.Limits) promql.EngineOpts {
	return querytree.EngineOpts(querytree.MixerConfig{
		Limits: limits, Lookback: treetest.Lookback, SubqueryStep: treetest.SubqueryStep, UseStartTimestamps: startTimestamps,
	}, querytree.NewParser())
}

func newLocal(tb testing.TB, s bothQueryable, opts promql.EngineOpts, parts bool, cores int, limits querytree.Limits) *querytree.Local {
	tb.Helper()
	c, err := querytree.NewCores(cores)
	if err != nil {
		tb.Fatal(err)
	}
	cfg := querytree.LocalConfig{
		Engine: promql.NewEngine(opts), Cores: c, Samples: s, Chunks: s, Limits: limits,
		Describe: func() querytree.Description {
			return querytree.Description{Identity: querytree.Identity{Tier: querytree.TierLeaf, Labels: labels.FromStrings("zone", "eu")}}
		},
	}
	if parts {
		cfg.EngineOpts = &opts
	}
	l, err := querytree.NewLocal(cfg)
	if err != nil {
		tb.Fatal(err)
	}
	l.SetPartSteps(1)
	return l
}

func newLocals(tb testing.TB, s bothQueryable) locals {
	limits, all := querytree.DefaultLimits(), locals{}
	for _, startTimestamps := range []bool{false, true} { // with them, the engine evaluates all parts
		opts := localOpts(startTimestamps, limits)
		for _, cores := range []int{1, 4} {
			all[fmt.Sprintf("%d cores, start timestamps %v", cores, startTimestamps)] = pair{
				newLocal(tb, s, opts, false, 1, limits), newLocal(tb, s, opts, true, cores, limits),
			}
		}
	}
	return all
}

// answer is a whole answer of a child.
type answer struct {
	m    promql.Matrix
	warn []string
	err  string
}

func execAll(c querytree.Child, req querytree.ExecRequest) answer {
	set, err := c.Exec(context.Background(), req)
	if err != nil {
		return answer{err: err.Error()}
	}
	defer set.Close()
	var a answer
	for set.Next() {
		a.m = append(a.m, set.At())
	}
	if set.Err() != nil {
		a.err = set.Err().Error()
	}
	warns, infos := set.Warnings().AsStrings(req.Query, 0, 0)
	a.warn = append(warns, infos...)
	slices.Sort(a.warn)
	return a
}

// diffAnswers compares answers whose values must satisfy equal.
func diffAnswers(want, got answer, equal func(a, b float64) bool) string {
	if want.err != got.err {
		return fmt.Sprintf("error: want %q, got %q", want.err, got.err)
	}
	if !slices.Equal(want.warn, got.warn) {
		return fmt.Sprintf("annotations:\nwant %q\ngot  %q", want.warn, got.warn)
	}
	if len(want.m) != len(got.m) {
		return fmt.Sprintf("series: want %d, got %d:\nwant %s\ngot  %s", len(want.m), len(got.m), want.m, got.m)
	}
	for i, w := range want.m {
		if d := diffSeries(w, got.m[i], equal); d != "" {
			return fmt.Sprintf("series %d of %d: %s", i, len(want.m), d)
		}
	}
	return ""
}

func diffSeries(want, got promql.Series, equal func(a, b float64) bool) string {
	if !labels.Equal(want.Metric, got.Metric) || len(want.Floats) != len(got.Floats) || len(want.Histograms) != len(got.Histograms) {
		return fmt.Sprintf("want %s with %d floats and %d histograms, got %s with %d and %d",
			want.Metric, len(want.Floats), len(want.Histograms), got.Metric, len(got.Floats), len(got.Histograms))
	}
	for i, w := range want.Floats {
		if g := got.Floats[i]; w.T != g.T || !equal(w.F, g.F) {
			return fmt.Sprintf("%s: want %v at %d, got %v at %d", want.Metric, w.F, w.T, g.F, g.T)
		}
	}
	for i, w := range want.Histograms {
		if g := got.Histograms[i]; w.T != g.T || !w.H.Equals(g.H) {
			return fmt.Sprintf("%s: want %s at %d, got %s at %d", want.Metric, w.H, w.T, g.H, g.T)
		}
	}
	return ""
}

func sameBits(a, b float64) bool {
	return math.Float64bits(a) == math.Float64bits(b) || math.IsNaN(a) && math.IsNaN(b)
}

func near(a, b float64) bool {
	return sameBits(a, b) || a == b || math.Abs(a-b) <= 1e-12*max(math.Abs(a), math.Abs(b))
}

func (l locals) check(t *testing.T, req querytree.ExecRequest, equal func(a, b float64) bool) {
	t.Helper()
	for name, p := range l {
		if d := diffAnswers(execAll(p.stock, req), execAll(p.parts, req), equal); d != "" {
			t.Errorf("%s, by %s:\n%s", req.Query, name, d)
		}
	}
}

// oddities fills a storage with what is easily got wrong: values at the edges of
// what floats can hold, gaps, stale markers, resets, single samples, histograms.
func oddities(tb testing.TB, series int) *teststorage.TestStorage {
	tb.Helper()
	s := teststorage.New(tb, func(o *tsdb.Options) { o.EnableSTStorage = false })
	rnd := rand.New(rand.NewSource(7))
	odd := []float64{math.NaN(), math.Inf(1), math.Inf(-1), 0, math.Copysign(0, -1), math.MaxFloat64, -math.MaxFloat64, 1e-300, 1e308, math.Float64frombits(value.StaleNaN)}
	app := s.Appender(context.Background())
	for i := range series {
		base := labels.NewBuilder(labels.FromStrings("i", strconv.Itoa(i), "a", strconv.Itoa(rnd.Intn(4)), "le", []string{"1", "2", "+Inf"}[i%3]))
		if i%3 != 0 {
			base.Set("b", strconv.Itoa(i%5))
		}
		with := func(name string) labels.Labels { return base.Set(labels.MetricName, name).Labels() }
		sum, phase, n := 0.0, rnd.Int63n(15_000), int64(0)
		for at := phase; at <= 2_400_000; at += 15_000 + rnd.Int63n(3)*5_000 {
			if rnd.Intn(20) == 0 {
				at += rnd.Int63n(600_000) // a gap
			}
			v := rnd.NormFloat64() * math.Pow(10, float64(rnd.Intn(20)-10))
			if sum += math.Abs(v); rnd.Intn(30) == 0 {
				sum = 0
			}
			appendOdd(tb, app, with("plain"), at, rnd.Float64())
			appendOdd(tb, app, with("c_total"), at, sum)
			appendOdd(tb, app, with("m"), at, v)
			if n++; rnd.Intn(8) == 0 {
				v = odd[rnd.Intn(len(odd))]
			}
			appendOdd(tb, app, with("odd"), at, v)
			if i == 17 {
				appendHistogram(tb, app, with("one_hist"), at, n)
			} else {
				appendOdd(tb, app, with("one_hist"), at, v)
			}
			if i%4 == 0 {
				appendHistogram(tb, app, with("hist"), at, n)
			}
			if i < 6 {
				appendOdd(tb, app, labels.FromStrings(labels.MetricName, "typed_total", "__type__", "t"+strconv.Itoa(i)), at, sum)
			}
		}
		if i%7 == 0 {
			appendOdd(tb, app, with("single"), 1_000_000, float64(i))
		}
	}
	if err := app.Commit(); err != nil {
		tb.Fatal(err)
	}
	return s
}

func appendOdd(tb testing.TB, app storage.Appender, l labels.Labels, t int64, v float64) {
	tb.Helper()
	if _, err := app.Append(0, l, t, v); err != nil {
		tb.Fatal(err)
	}
}

func appendHistogram(tb testing.TB, app storage.Appender, l labels.Labels, t, n int64) {
	tb.Helper()
	var fh *histogram.FloatHistogram
	if _, err := app.AppendHistogram(0, l, t, tsdbutil.GenerateTestHistogram(n), fh); err != nil {
		tb.Fatal(err)
	}
}

// request asks for 60 steps at uneven times.
func request(query string, step int64) querytree.ExecRequest {
	return querytree.ExecRequest{Query: query, Start: 123_456, End: 123_456 + 59*step, Step: step}
}

// Aggregations over series-wise operands give the bits that the stock engine
// gives, whichever way they are evaluated.
func TestColumnsGiveTheBitsOfTheStockEngine(t *testing.T) {
	l := newLocals(t, oddities(t, 90))
	operands := []string{
		`plain`, `odd`, `m offset -30s`, `m{b=""}`, `single`, `nothing`, `(c_total)`, `one_hist`, `hist`, `m @ 1000`,
		`rate(c_total[5m])`, `rate(odd[5m])`, `increase(c_total[90s] offset 1m)`, `delta(odd[2m])`, `rate(m[40s])`, `increase(single[5m])`,
		`rate(hist[5m])`, `rate(one_hist[5m])`, `rate(typed_total[5m])`, `rate(c_total[5m] smoothed)`, `increase(c_total[5m] anchored)`,
		`avg_over_time(m[3m])`, `quantile_over_time(2, m[3m])`, `-odd`, `max_over_time(rate(c_total[2m])[5m:40s])`, `irate(c_total[3m])`,
		`last_over_time(odd[1m])`, `{__name__="m", __name__=~".+"}`, `{__name__=~"m|plain"}`,
	}
	aggregations := []string{
		`sum(%s)`, `sum by (a) (%s)`, `sum by (a, nope, b) (%s)`, `sum by (__name__, b) (%s)`, `sum without (i) (%s)`, `sum without () (%s)`,
		`min by (b) (%s)`, `max by (b) (%s)`, `count by (a) (%s)`, `group by (le) (%s)`, `avg(%s)`, `avg by (a) (%s)`, `avg by (__type__) (%s)`,
		`stddev by (a) (%s)`, `stdvar by (b) (%s)`, `quantile by (a) (0.4, %s)`, `quantile(1, %s)`, `quantile(-0.5, %s)`, `quantile by (a) (NaN, %s)`,
		`topk by (a) (2, %s)`, `count_values("v", %s)`, `%s`,
	}
	for o, operand := range operands {
		for i, a := range aggregations {
			if (o+i)%raceShare != 0 {
				continue
			}
			l.check(t, request(fmt.Sprintf(a, operand), []int64{15_000, 30_000, 61_000}[i%3]), sameBits)
		}
	}
}

// Queries of few steps, as they are asked by who has kept the others, give the
// same bits too; each is asked twice, since what turned out to be unusual is known
// again.
func TestFewStepsGiveTheBitsOfTheStockEngine(t *testing.T) {
	l := newLocals(t, oddities(t, 60))
	for o, operand := range []string{
		`plain`, `odd`, `m offset -30s`, `single`, `nothing`, `(c_total)`, `one_hist`, `hist`, `rate(c_total[5m])`, `rate(odd[5m])`,
		`increase(c_total[90s] offset 1m)`, `delta(odd[2m])`, `rate(m[40s])`, `increase(single[5m])`, `rate(hist[5m])`, `rate(one_hist[5m])`,
		`rate(typed_total[5m])`, `avg_over_time(m[3m])`, `{__name__=~"m|plain"}`,
	} {
		for n, query := range []string{`sum by (a) (%s)`, `avg(%s)`, `stddev by (b) (%s)`, `quantile by (a) (0.4, %s)`, `topk by (a) (2, max by (a, b) (%s))`, `%s`} {
			if (o+n)%raceShare != 0 {
				continue
			}
			for i, steps := range []int64{1, 2, 7, 1, 2} {
				start := 123_456 + int64(i)*301_000
				req := querytree.ExecRequest{Query: fmt.Sprintf(query, operand), Start: start, End: start + (steps-1)*15_000 + 3, Step: 15_000}
				l.check(t, req, sameBits)
			}
		}
	}
}

// What is made of aggregations is evaluated over their columns.
func TestQueriesOverColumns(t *testing.T) {
	l := newLocals(t, oddities(t, 60))
	for _, query := range []string{
		`histogram_quantile(0.9, sum by (le, a) (rate(c_total[5m])))`, `sum by (a) (plain) / count by (a) (plain)`,
		`topk(2, sum by (b) (m))`, `bottomk by (a) (1, max by (a, b) (odd))`, `limitk(1, sum by (b) (m))`, `sum(sum by (a) (m))`,
		`label_replace(sum by (a) (m), "c", "$1", "a", "(.*)")`, `label_join(sum by (__name__, a) (m), "a", "-", "__name__")`,
		`sum(m) or vector(0)`, `absent(sum(nothing))`, `absent(sum(m))`, `scalar(sum(plain)) * m`, `timestamp(sum(m))`, `vector(scalar(sum(nothing)))`,
		`avg_over_time(sum by (a) (m)[5m:1m])`, `sum(plain) > 20`, `sum(plain) > bool 20`, `sort_desc(sum by (a) (m))`, `-sum by (a) (m)`,
		`clamp_max(sum by (a) (odd), 3)`, `sum by (a) (plain) * on (a) group_left () avg by (a) (rate(c_total[5m]))`, `sum(m) unless sum(nothing)`,
		`sum by (a) (m) and on (a) sum by (a) (m{i="3"})`, `(((sum(m))))`, `sum(m) + sum(m @ end())`, `sum(m @ start())`, `sum by (a) (m) + m`,
		`count_values("v", count by (a) (m))`, `stddev(sum by (i) (plain))`, `quantile(0.5, sum by (b) (hist))`, `sum(hist) + sum(m)`,
		`sum by (a) (m) > on (a) group_right () sum by (a, b) (m)`, `sum(m) == sum(m)`, `topk(scalar(count(m)), m)`, `quantile(scalar(sum(plain)), m)`,
		`sum(rate(typed_total[5m])) + sum(m)`, `info(sum by (a) (m))`, `sum(1)`, `sum(m) +`, `"text"`, `histogram_quantile(0.9, sum by (le) (hist))`,
	} {
		l.check(t, request(query, 30_000), sameBits)
	}
}

// Functions that the engine applies step by step leave no order to series, and
// so no order of summation either.
func TestColumnsOverFunctions(t *testing.T) {
	l := newLocals(t, oddities(t, 60))
	for _, query := range []string{
		`sum by (a) (abs(m))`, `sum by (a) (plain * 2 + 1)`, `avg by (a) (2 ^ plain)`, `stddev(clamp(plain, 0.2, 0.8))`, `sum by (a) (plain > 0.5)`,
		`sum(timestamp(plain))`, `max by (a) (rate(c_total[5m]) * 60)`, `count(m == m)`, `sum(rate(c_total[5m]) > bool 1)`, `sum by (a) (hour(plain))`,
		`quantile by (a) (0.3, ceil(plain * 10))`, `sum(-abs(plain))`, `abs(m)`, `rate(c_total[5m]) * 60`, `stddev by (a) (histogram_count(hist))`, `sum(plain * time())`,
	} {
		l.check(t, request(query, 30_000), near)
	}
}

// Of the elements that an operation cannot be applied to, the engine tells of the last
// at each step: that is not the last of each part.
func TestPartsTellOfTheLastElement(t *testing.T) {
	leaves, zones := treetest.Clusters("eu", 5, "us", 4)
	p, rnd := treetest.New(t, treetest.Config{Leaves: leaves, Zones: zones}), rand.New(rand.NewSource(3))
	treetest.Data{Minutes: 30, Interval: 15_000}.Fill(t, p, rnd)
	l := newLocals(t, p.TestStorage)
	for _, query := range []string{`2 </ mixed`, `(range() >/ mixed offset 1m)`, `2 + mixed`, `mixed </ 2`, `count(3 </ mixed) or vector(0)`} {
		l.check(t, querytree.ExecRequest{Query: query, Start: 1_152_963, End: 1_422_963, Step: 30_000}, treetest.Near)
	}
}

// Generated queries over generated data.
func TestGeneratedQueriesByParts(t *testing.T) {
	rnd := rand.New(rand.NewSource(3))
	leaves, zones := treetest.Clusters("eu", 5, "us", 4)
	p := treetest.New(t, treetest.Config{Leaves: leaves, Zones: zones})
	data := treetest.Data{Minutes: 60, Interval: 15_000}
	g := treetest.NewGenerator(rnd, data, data.Fill(t, p, rnd))
	l := newLocals(t, p.TestStorage)
	wrong, total := 0, queries(t, 1000)
	for i := range total {
		q := g.Next()
		if q.Step == 0 {
			q.Step, q.End = 30_000, q.Start
		}
		q.End = max(q.End, q.Start+9*q.Step)
		req := querytree.ExecRequest{Query: q.Expr, Start: q.Start, End: q.End, Step: q.Step}
		for name, p := range l {
			want := execAll(p.stock, req)
			d := diffAnswers(want, execAll(p.parts, req), treetest.Near)
			// The engine itself aggregates, and chooses among equals, in random
			// order.
			for retry := 0; d != "" && retry < 100; retry++ {
				if diffAnswers(want, execAll(p.stock, req), treetest.Near) != "" {
					d = ""
				}
			}
			if d != "" {
				wrong++
				t.Errorf("query %d, %s, by %s:\n%s", i, q, name, d)
			}
		}
		if wrong > 10 {
			t.Fatal("too many differences")
		}
	}
	t.Logf("%d queries, %d wrong", total, wrong)
}

// Prometheus' own scripts: each of their queries is asked as a range query.
func TestPromQLScriptsByParts(t *testing.T) {
	opts := querytree.EngineOpts(querytree.MixerConfig{
		Limits: querytree.DefaultLimits(), Lookback: treetest.Lookback, SubqueryStep: treetest.SubqueryStep,
		DelayedNameRemoval: true, UseStartTimestamps: true,
	}, querytree.NewParser())
	engine := &comparing{QueryEngine: promqltest.NewTestEngineWithOpts(t, opts), t: t}
	promqltest.RunBuiltinTestsWithStorage(t, engine, func(tb testing.TB) storage.Storage {
		return teststorage.New(tb, func(o *tsdb.Options) {
			o.EnableSTStorage, o.FloatChunkEncoding, o.EnableHistogramSTEncoding = true, chunkenc.EncXOR2, true
			o.MaxExemplars, o.StripeSize = 1000, 64
		})
	})
}

// comparing is an engine that also has locals answer each query.
type comparing struct {
	promql.QueryEngine
	t *testing.T
	n int // queries so far
}

func (c *comparing) NewInstantQuery(ctx context.Context, q storage.Queryable, opts promql.QueryOpts, qs string, ts time.Time) (promql.Query, error) {
	if c.n++; c.n%raceShare != 0 {
		return c.QueryEngine.NewInstantQuery(ctx, q, opts, qs, ts)
	}
	start := timestamp.FromTime(ts) - 300_000
	newLocals(c.t, q.(bothQueryable)).check(c.t, querytree.ExecRequest{Query: qs, Start: start, End: start + 600_000, Step: 60_000}, near)
	return c.QueryEngine.NewInstantQuery(ctx, q, opts, qs, ts)
}

// Several operators at once answer what each answers by itself.
func TestOps(t *testing.T) {
	l := newLocals(t, oddities(t, 60))
	ops := []string{"sum", "count", "avg", "min", "max", "group", "stdvar", "stddev"}
	n := 0
	for _, operand := range []string{
		`plain`, `rate(c_total[5m])`, `hist`, `one_hist`, `rate(m[5m])`, `nothing`, `m * on (i) plain`, `topk(3, plain)`, `m @ 1000`, `typed_total`, `{__name__=~"plain|m"}`,
	} {
		for _, query := range []string{` ( stddev by (a, __pando_op__) (%s))`, `sum(%s)`, `SUM without (i) (%s)`} {
			for _, step := range []int64{0, 30_000, 600_000} {
				if n++; n%raceShare != 0 {
					continue
				}
				req := request(fmt.Sprintf(query, operand), step)
				for name, p := range l {
					checkOps(t, name, p, req, ops)
				}
			}
		}
	}
}

func checkOps(t *testing.T, name string, p pair, req querytree.ExecRequest, ops []string) {
	t.Helper()
	var want answer
	for _, op := range ops {
		one := req
		one.Query = strings.NewReplacer("stddev by", op+" by", "sum(", op+"(", "SUM without", op+" without").Replace(req.Query)
		a := execAll(p.stock, one)
		for _, s := range a.m {
			s.Metric = labels.NewBuilder(s.Metric).Set(querytree.OpLabel, op).Labels()
			want.m = append(want.m, s)
		}
		if a.err != "" {
			t.Fatal(one.Query, a.err)
		}
	}
	req.Ops = ops
	got := execAll(p.parts, req)
	got.warn = nil // positions are those in the request's text
	sorted := slices.IsSortedFunc(got.m, func(a, b promql.Series) int { return labels.Compare(a.Metric, b.Metric) })
	if req.Step > 0 && !sorted {
		t.Errorf("%s: the answer is not sorted", req.Query)
	}
	for _, m := range []promql.Matrix{want.m, got.m} {
		slices.SortFunc(m, func(a, b promql.Series) int { return labels.Compare(a.Metric, b.Metric) })
	}
	if d := diffAnswers(want, got, near); d != "" {
		t.Errorf("%s with all operators, by %s:\n%s", req.Query, name, d)
	}
}

// Annotations of an answer with several operators refer to the request's text.
func TestOpsKeepPositions(t *testing.T) {
	l := newLocals(t, oddities(t, 60))
	req := request(`  stddev by (a) (one_hist)`, 30_000)
	for name, p := range l {
		want := execAll(p.stock, req).warn
		all := req
		all.Ops = []string{"stddev"}
		if got := execAll(p.parts, all).warn; len(want) != 1 || !slices.Equal(want, got) {
			t.Errorf("%s: want %q, got %q", name, want, got)
		}
	}
}

func TestOpsRefusesWhatItDoesNotKnow(t *testing.T) {
	l := newLocals(t, oddities(t, 1))["1 cores, start timestamps false"]
	for _, c := range []struct {
		query string
		ops   []string
		want  string
	}{
		{`sum(m)`, []string{"sum", "topk"}, `operator "topk" is unknown`},
		{`sum(m)`, []string{"sum", "sum"}, `operator "sum" is unknown or asked for twice`},
		{`m`, []string{"sum"}, "is not an aggregation without parameter"},
		{`quantile(0.5, m)`, []string{"sum"}, "is not an aggregation without parameter"},
		{`sum(`, []string{"sum"}, "parse error"},
	} {
		req := request(c.query, 30_000)
		req.Ops = c.ops
		if got := execAll(l.parts, req).err; !strings.Contains(got, c.want) {
			t.Errorf("%s with %q: want an error with %q, got %q", c.query, c.ops, c.want, got)
		}
	}
}

func TestOpsWithoutEngineOptions(t *testing.T) {
	l := newLocals(t, oddities(t, 1))["1 cores, start timestamps false"]
	req := request(`sum by (a) (plain)`, 30_000)
	req.Ops = []string{"sum", "count"}
	want, got := execAll(l.parts, req), execAll(l.stock, req)
	if want.err != "" || len(want.m) == 0 {
		t.Fatalf("nothing to compare with: %+v", want)
	}
	if d := diffAnswers(want, got, func(a, b float64) bool { return a == b }); d != "" {
		t.Errorf("one by one: %s", d)
	}
}

// What is held while a query is evaluated is bounded as the stock engine's
// samples are.
func TestColumnsAreBounded(t *testing.T) {
	s, limits := oddities(t, 60), querytree.DefaultLimits()
	limits.MaxSamples = 20 * 60
	l := newLocal(t, s, localOpts(false, limits), true, 1, limits)
	for _, query := range []string{`sum by (i) (plain)`, `plain`, `quantile(0.5, plain)`, `sum by (i) (plain) / 2`} {
		if _, err := l.Exec(t.Context(), request(query, 30_000)); !querytree.IsLimit(err) {
			t.Errorf("%s: want too many samples, got %v", query, err)
		}
	}
	if _, err := l.Exec(t.Context(), request(`sum by (a) (plain)`, 30_000)); err != nil {
		t.Errorf("four groups: %v", err)
	}
}
