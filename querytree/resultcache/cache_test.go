package resultcache

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser/posrange"
	"github.com/prometheus/prometheus/util/annotations"

	"github.com/pandometrics/pando/querytree"
)

// fakeTree answers with the time of each step, and notes what it was asked.
type fakeTree struct {
	t    testing.TB
	desc querytree.Description
	// before is called with each request, and may change the answer.
	before func(ctx context.Context, req querytree.ExecRequest, a *querytree.Answer) error

	mu    sync.Mutex
	asked []string
}

func newTree(t testing.TB) *fakeTree {
	d := querytree.Description{Features: []string{querytree.FeatureEpochs}, Settled: math.MaxInt64}
	d.Tier = querytree.TierRoot
	return &fakeTree{t: t, desc: d}
}

func (f *fakeTree) eval(ctx context.Context, req querytree.ExecRequest) (querytree.Answer, error) {
	f.mu.Lock()
	f.asked = append(f.asked, fmt.Sprintf("%d-%d", req.Start/60_000, req.End/60_000))
	f.mu.Unlock()
	var a querytree.Answer
	s := promql.Series{Metric: labels.FromStrings("a", "b")}
	for t := req.Start; t <= req.End; t += req.Step {
		s.Floats = append(s.Floats, promql.FPoint{T: t, F: float64(t)})
	}
	a.Matrix = promql.Matrix{s}
	a.Report.Add("leaf", querytree.ChildReport{Tier: querytree.TierLeaf, Verdict: querytree.Asked, Requests: 1})
	if f.before != nil {
		if err := f.before(ctx, req, &a); err != nil {
			return a, err
		}
	}
	return a, nil
}

// took returns what was asked since, sorted.
func (f *fakeTree) took() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	slices.Sort(f.asked)
	s := strings.Join(f.asked, " ")
	f.asked = nil
	return s
}

func (f *fakeTree) ask(ctx context.Context, c *Cache, req querytree.ExecRequest) (querytree.Answer, error) {
	return c.Range(ctx, req, querytree.Evaluator{
		Expr: parse(f.t, req.Query), Describe: func() querytree.Description { return f.desc }, Eval: f.eval,
	})
}

// minutes asks for x, once a minute from one to another.
func minutes(from, to int64) querytree.ExecRequest {
	return querytree.ExecRequest{Query: "x", Start: from * 60_000, End: to * 60_000, Step: 60_000, Lookback: 300_000}
}

// testCache has a clock that stands still at minute 1000 and keeps what is ten
// minutes old.
func testCache(t testing.TB, change func(*Config)) *Cache {
	t.Helper()
	cfg := Config{Bytes: 1 << 20, Window: 10 * time.Minute, Parallelism: 2, Now: func() time.Time { return time.UnixMilli(1000 * 60_000) }}
	if change != nil {
		change(&cfg)
	}
	c, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// check asks, and checks the answer, its state, and what the tree was asked.
func (f *fakeTree) check(c *Cache, req querytree.ExecRequest, state, asked string) querytree.Answer {
	f.t.Helper()
	a, err := f.ask(f.t.Context(), c, req)
	if err != nil {
		f.t.Fatal(err)
	}
	want, got := []int64{}, []int64{}
	for t := req.Start; t <= req.End; t += req.Step {
		want = append(want, t)
	}
	for _, p := range a.Matrix[0].Floats {
		got = append(got, p.T)
	}
	if d := cmp.Diff(want, got); d != "" || len(a.Matrix) != 1 {
		f.t.Errorf("%d series, steps -want +got:\n%s", len(a.Matrix), d)
	}
	if a.Report.Cache == nil || a.Report.Cache.State != state {
		f.t.Errorf("cache: %+v, want %q", a.Report.Cache, state)
	}
	if got := f.took(); got != asked {
		f.t.Errorf("the tree was asked %q, want %q", got, asked)
	}
	return a
}

// Steps are kept as far as the children say that they are settled.
func TestSettled(t *testing.T) {
	c, f := testCache(t, func(cfg *Config) { cfg.Window = 0 }), newTree(t)
	f.desc.Settled = 0
	f.check(c, minutes(900, 960), "miss", "900-960")
	f.check(c, minutes(900, 960), "miss", "900-960")
	f.desc.Settled = 950 * 60_000
	f.check(c, minutes(900, 960), "miss", "900-960")
	f.check(c, minutes(900, 960), "partial", "950-960")
	f.desc.Settled++
	f.check(c, minutes(900, 960), "partial", "950-960")
	f.check(c, minutes(900, 960), "partial", "951-960")
	f.desc.Settled = math.MaxInt64
	f.check(c, minutes(990, 1010), "miss", "990-1010")
	f.check(c, minutes(990, 1010), "partial", "1001-1010") // the future is not settled, whatever they say
}

// What an epoch concerns is not kept until hints must have heard of the change.
func TestEpochBeforeItsHints(t *testing.T) {
	c, f := testCache(t, nil), newTree(t)
	f.desc.Epochs = []querytree.Epoch{{Number: 1, Mint: 950 * 60_000}}
	f.check(c, minutes(900, 960), "miss", "900-960")
	f.check(c, minutes(900, 960), "partial", "950-960")
	f.desc.Epochs[0].Age = c.cfg.Load().HintDelay
	f.check(c, minutes(900, 960), "partial", "950-960")
	f.check(c, minutes(900, 960), "hit", "")
}

func TestHitsAndMisses(t *testing.T) {
	c, f := testCache(t, nil), newTree(t)
	f.check(c, minutes(900, 1000), "miss", "900-1000")
	f.check(c, minutes(900, 990), "hit", "")
	a := f.check(c, minutes(890, 1000), "partial", "890-899 991-1000")
	if row := a.Report.Children["leaf"]; !row.Cached || row.Requests != 2 || a.Report.Cache.Cached != 91 || a.Report.Cache.Steps != 111 {
		t.Errorf("report %+v, cache %+v", row, a.Report.Cache)
	}
	a = f.check(c, minutes(891, 905), "hit", "")
	if row := a.Report.Children["leaf"]; !row.Cached || row.Requests != 0 || row.Verdict != querytree.Asked {
		t.Errorf("report of a hit: %+v", row)
	}
	// What makes a difference makes another key; what does not, does not.
	for what, change := range map[string]func(*querytree.ExecRequest){
		"query": func(r *querytree.ExecRequest) { r.Query = "y" }, "lookback": func(r *querytree.ExecRequest) { r.Lookback++ },
		"grid": func(r *querytree.ExecRequest) { r.Start++; r.End++ }, "step": func(r *querytree.ExecRequest) { r.Step = 30_000 },
		"operators": func(r *querytree.ExecRequest) { r.Ops = []string{"sum", "count"} },
	} {
		req := minutes(900, 905)
		change(&req)
		t.Log(what)
		f.check(c, req, "miss", "900-905")
	}
	req := minutes(900, 905)
	req.Strict, req.Detail, req.ID, req.Client = true, true, "1", "somebody"
	f.check(c, req, "hit", "")
}

func TestRequestsThatGoPast(t *testing.T) {
	c, f := testCache(t, func(c *Config) { c.Split = time.Hour }), newTree(t)
	f.check(c, minutes(900, 905), "miss", "900-905")
	for _, change := range []func(*querytree.ExecRequest){
		func(r *querytree.ExecRequest) { r.NoCache = true }, func(r *querytree.ExecRequest) { r.NoHints = true },
		func(r *querytree.ExecRequest) { r.NoPushdown = true },
	} {
		req := minutes(800, 985)
		change(&req)
		f.check(c, req, whyNoCache, "800-985")
	}
	req := minutes(800, 985)
	req.Explain = querytree.ExplainAnalyze
	f.check(c, req, whyExplained, "800-985")
	req = minutes(800, 985)
	req.Query = "x @ end()"
	f.check(c, req, whyWholeAt, "800-985")
	for _, odd := range []querytree.ExecRequest{
		{Query: "x", Start: 0, End: far, Step: 1 << 62}, {Query: "x", Start: -4 * far, End: -4 * far, Step: 1}, {Query: "x", Start: far * 2, End: far * 2, Step: 1},
	} {
		if a, err := f.ask(t.Context(), c, odd); err != nil || a.Report.Cache.State != whyInvalid {
			t.Errorf("%+v: %+v, %v", odd, a.Report.Cache, err)
		}
	}
	f.took()
	// A child that does not tell of changes costs the cache, not the split.
	f.desc.Features = nil
	f.check(c, minutes(900, 965), whyUntold, "900-959 960-965")
	f.check(c, minutes(900, 905), whyUntold, "900-905")
}

// Steps that a child which is away had a part in are asked for anew; what it had
// no part in is not.
func TestMissingChild(t *testing.T) {
	c, f := testCache(t, nil), newTree(t)
	f.check(c, minutes(900, 905), "miss", "900-905")
	f.desc.Missing = []string{"another"}
	f.check(c, minutes(900, 905), "hit", "")
	f.desc.Missing = []string{"another", "leaf"}
	f.check(c, minutes(900, 905), "miss", "900-905")
	f.desc.Missing = make([]string, maxMissing)
	f.check(c, minutes(900, 905), "miss", "900-905")
}

// Answers that lack something are not kept, annotations of PromQL are.
func TestWhatIsKept(t *testing.T) {
	info := annotations.NewPossibleNonCounterInfo("x", posrange.PositionRange{})
	for what, c := range map[string]struct {
		change func(*querytree.Answer)
		kept   bool
	}{
		"whole": {func(*querytree.Answer) {}, true},
		"info":  {func(a *querytree.Answer) { a.Warnings.Add(info) }, true},
		"plain": {func(a *querytree.Answer) { a.Warnings.Add(errors.New("remote: something")) }, false},
		"both":  {func(a *querytree.Answer) { a.Warnings.Add(info); a.Warnings.Add(errors.New("plain")) }, false},
		"partial": {func(a *querytree.Answer) {
			a.Report.Add("b", querytree.ChildReport{Verdict: querytree.Asked, Failed: "late"})
		}, false},
	} {
		cache, f := testCache(t, nil), newTree(t)
		f.before = func(_ context.Context, _ querytree.ExecRequest, a *querytree.Answer) error { c.change(a); return nil }
		first := f.check(cache, minutes(900, 905), "miss", "900-905")
		again := map[bool][]string{true: {"hit", ""}, false: {"miss", "900-905"}}[c.kept]
		second := f.check(cache, minutes(900, 905), again[0], again[1])
		if d := cmp.Diff(texts(first.Warnings), texts(second.Warnings)); d != "" {
			t.Errorf("%s: warnings: %s", what, d)
		}
	}
}

// A piece that lacks something leaves the others to be kept, and what is left is
// asked for at once.
func TestPartialPiece(t *testing.T) {
	c, f := testCache(t, func(c *Config) { c.Split, c.Parallelism = time.Hour, 1 }), newTree(t)
	f.before = func(_ context.Context, req querytree.ExecRequest, a *querytree.Answer) error {
		if req.Start == 660*60_000 {
			a.Report.Add("b", querytree.ChildReport{Verdict: querytree.Asked, Failed: "late", Late: true})
			a.Warnings.Add(errors.New("partial answer"))
		}
		return nil
	}
	a := f.check(c, minutes(600, 899), "miss", "600-659 660-719 720-899")
	if !a.Report.Partial() || len(a.Warnings) != 1 {
		t.Errorf("report %+v, warnings %v", a.Report, a.Warnings)
	}
	f.before = nil
	f.check(c, minutes(600, 899), "partial", "660-719")
	f.check(c, minutes(600, 899), "hit", "")
}

// The last piece has all the time that is left, those before it half: a child
// that hangs leaves time for the rest.
func TestBudgets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, f := testCache(t, func(c *Config) { c.Split, c.Parallelism = time.Hour, 1 }), newTree(t)
		var budgets []time.Duration
		f.before = func(ctx context.Context, req querytree.ExecRequest, a *querytree.Answer) error {
			budgets = append(budgets, req.Budget)
			<-time.After(req.Budget / 2)
			return nil
		}
		req := minutes(600, 779)
		req.Budget = 16 * time.Second
		f.check(c, req, "miss", "600-659 660-719 720-779")
		if d := cmp.Diff([]time.Duration{8 * time.Second, 6 * time.Second, 9 * time.Second}, budgets); d != "" {
			t.Error(d)
		}
	})
}

func TestPiecesInParallel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, f := testCache(t, func(c *Config) { c.Split, c.Parallelism = time.Hour, 3 }), newTree(t)
		running, most := 0, 0
		f.before = func(context.Context, querytree.ExecRequest, *querytree.Answer) error {
			f.mu.Lock()
			running++
			most = max(most, running)
			f.mu.Unlock()
			<-time.After(time.Second)
			f.mu.Lock()
			running--
			f.mu.Unlock()
			return nil
		}
		begin := time.Now()
		f.check(c, minutes(0, 599), "miss", "0-59 120-179 180-239 240-299 300-359 360-419 420-479 480-539 540-599 60-119")
		if took := time.Since(begin); most != 3 || took != 4*time.Second {
			t.Errorf("%d at a time, in %s", most, took)
		}
		// An error ends the others.
		boom := errors.New("boom")
		f.before = func(ctx context.Context, req querytree.ExecRequest, _ *querytree.Answer) error {
			if req.Start == 660*60_000 {
				return boom
			}
			<-ctx.Done()
			return ctx.Err()
		}
		if _, err := f.ask(t.Context(), c, minutes(600, 899)); !errors.Is(err, boom) {
			t.Errorf("error %v", err)
		}
	})
}

// Limits hold for what is put together, and for what comes from the cache.
func TestLimits(t *testing.T) {
	c, f := testCache(t, func(c *Config) { c.Split = time.Hour }), newTree(t)
	f.check(c, minutes(600, 700), "miss", "600-659 660-700")
	for _, r := range []querytree.ExecRequest{minutes(600, 700), minutes(600, 720), minutes(0, 120)} {
		r.MaxSamples = 100
		if _, err := f.ask(t.Context(), c, r); !querytree.IsLimit(err) {
			t.Errorf("%d steps: %v", (r.End-r.Start)/r.Step+1, err)
		}
	}
	f.before = func(_ context.Context, req querytree.ExecRequest, a *querytree.Answer) error {
		a.Matrix[0].Metric = labels.FromStrings("from", fmt.Sprint(req.Start))
		return nil
	}
	r := minutes(0, 179)
	r.Query, r.MaxSeries = "y", 2
	if _, err := f.ask(t.Context(), c, r); !querytree.IsLimit(err) {
		t.Errorf("three series: %v", err)
	}
}

// Callers own what they get.
func TestAnswersAreCopies(t *testing.T) {
	c, f := testCache(t, nil), newTree(t)
	for range 3 {
		a, err := f.ask(t.Context(), c, minutes(900, 905))
		if err != nil || a.Matrix[0].Floats[3].F != 903*60_000 {
			t.Fatalf("%v, %v", a.Matrix, err)
		}
		a.Matrix[0].Floats[3].F = 42
		_ = append(a.Matrix[0].Floats, promql.FPoint{})
		a.Report.Children["leaf"] = querytree.ChildReport{Failed: "not so"}
	}
}

// texts returns annotations as text, sorted.
func texts(warn annotations.Annotations) (out []string) {
	for _, err := range warn.AsErrors() {
		out = append(out, err.Error())
	}
	slices.Sort(out)
	return out
}

// Other settings count for the queries that come after them, and what no longer
// fits is dropped.
func TestRetune(t *testing.T) {
	c, f := testCache(t, nil), newTree(t)
	to := *c.cfg.Load()
	tune := func(change func(*Config)) {
		t.Helper()
		change(&to)
		if err := c.Retune(to); err != nil {
			t.Fatal(err)
		}
	}
	f.check(c, minutes(900, 960), "miss", "900-960")
	f.check(c, minutes(900, 960), "hit", "")
	tune(func(cfg *Config) { cfg.Bytes = 0 })
	if c.store.bytes != 0 {
		t.Errorf("%d bytes are kept", c.store.bytes)
	}
	f.check(c, minutes(900, 960), whyOff, "900-960")
	tune(func(cfg *Config) { cfg.Bytes = 1 << 20 })
	f.check(c, minutes(900, 960), "miss", "900-960")
	f.check(c, minutes(900, 960), "hit", "")
	tune(func(cfg *Config) { cfg.Split = time.Hour })
	f.check(c, minutes(780, 899), "miss", "780-839 840-899")
	to.Parallelism = 0
	if err := c.Retune(to); err == nil {
		t.Error("no piece at a time is accepted")
	}
}
