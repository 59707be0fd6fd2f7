package querytree

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/storage"
)

func memoryOf(l Limits) *Memory { return newMemory(l, newBoundsMetrics(nil)) }

// A query that holds too much is refused, with the limit and the tier by name,
// and all that works for it is told to stop.
func TestBudget(t *testing.T) {
	m := memoryOf(Limits{})
	ctx, b := m.budget(t.Context(), "", "zone=eu", 1000)
	if err := b.Reserve(600); err != nil {
		t.Fatal(err)
	}
	b.Release(300)
	if err := b.Reserve(700); err != nil {
		t.Fatal(err)
	}
	err := b.Reserve(1)
	want := "bytes held by one query: limit of 1000 exceeded with 1001 at zone=eu; narrow the query, or raise --query.max-bytes"
	if err == nil || err.Error() != want || IsBusy(err) {
		t.Errorf("want %q, got %v", want, err)
	}
	if !errors.Is(context.Cause(ctx), err) || !errors.Is(b.Err(), err) || !errors.Is(b.Reserve(1), err) {
		t.Errorf("the query goes on: %v, %v", context.Cause(ctx), b.Err())
	}
	if b.peak != 1001 {
		t.Errorf("peak of %d", b.peak)
	}
	b.Close()
	b.Close()
	if held := m.held.Load(); held != 0 || len(m.open) != 0 {
		t.Errorf("%d bytes are still held", held)
	}
	if b.Reserve(5) == nil || m.held.Load() != 0 {
		t.Error("a query that is over can reserve")
	}
}

// When all queries hold too much, the one that holds most fails, and no other:
// neither the one that asked last, nor, while the first is ending, a second one.
func TestBiggestQueryFails(t *testing.T) {
	const mib = 1 << 20
	m := memoryOf(Limits{MaxTotalBytes: 100 * mib})
	_, big := m.budget(t.Context(), "", "root", 0)
	_, medium := m.budget(t.Context(), "", "root", 0)
	_, light := m.budget(t.Context(), "", "root", 0)
	for b, n := range map[*Budget]int64{big: 60 * mib, medium: 39 * mib} {
		if err := b.Reserve(n); err != nil {
			t.Fatal(err)
		}
	}
	for range 3 {
		if err := light.Reserve(mib); err != nil {
			t.Errorf("a light query fails: %v", err)
		}
	}
	if err := big.Err(); !IsBusy(err) || !strings.Contains(err.Error(), "--query.max-total-bytes") {
		t.Errorf("the biggest query goes on: %v", err)
	}
	if err := medium.Reserve(mib); err != nil {
		t.Errorf("a second query fails: %v", err)
	}
	big.Close()
	if err := medium.Reserve(70 * mib); !IsBusy(err) {
		t.Errorf("now it holds most, and too much: %v", err)
	}
	medium.Close()
	light.Close()
	if m.held.Load() != 0 {
		t.Error("bytes are still held")
	}
}

// However much is held, what every query may have is granted.
func TestSmallQueriesAlwaysFit(t *testing.T) {
	m := memoryOf(Limits{MaxTotalBytes: 1})
	for range 50 {
		_, b := m.budget(t.Context(), "", "root", 0)
		defer b.Close()
		if err := b.Reserve(smallQuery); err != nil {
			t.Fatal(err)
		}
	}
}

func TestBudgetIsConcurrent(t *testing.T) {
	m := memoryOf(Limits{MaxTotalBytes: 20 << 20})
	var wg sync.WaitGroup
	for range 8 {
		ctx, b := m.budget(t.Context(), "", "root", 10<<20)
		for range 4 {
			wg.Go(func() {
				for i := range 1000 {
					if b.Reserve(2000) != nil {
						b.Close()
						return
					}
					if i%2 == 0 {
						b.Release(1000)
					}
				}
			})
		}
		wg.Go(func() { <-ctx.Done() })
		wg.Go(func() { <-time.After(time.Millisecond); b.Close() })
	}
	wg.Wait()
	if m.held.Load() != 0 || len(m.open) != 0 {
		t.Errorf("%d bytes held by %d queries", m.held.Load(), len(m.open))
	}
}

// When the queries of one client hold too much, its biggest one fails, and nobody
// else's, which may be larger.
func TestClientsAreBounded(t *testing.T) {
	const mib = 1 << 20
	m := memoryOf(Limits{MaxTotalBytes: 200 * mib, MaxClientBytes: 50 * mib})
	open := func(client string, n int64) *Budget {
		_, b := m.budget(t.Context(), client, "root", 0)
		if err := b.Reserve(n * mib); err != nil {
			t.Fatal(err)
		}
		return b
	}
	other, big, medium, light := open("b", 48), open("a", 30), open("a", 19), open("a", 1)
	if err := light.Reserve(1); err != nil {
		t.Errorf("a light query fails: %v", err)
	}
	want := "bytes held by all queries of client a: limit of 52428800 exceeded with 52428801 at root; narrow the query, or raise --query.max-client-bytes"
	if err := big.Err(); !IsBusy(err) || err.Error() != want {
		t.Errorf("want %q, got %v", want, err)
	}
	part := medium.part()
	if err := part.Reserve(20 * mib); err != nil || other.Err() != nil {
		t.Errorf("others fail: %v, %v", err, other.Err())
	}
	part.Close()
	for _, b := range []*Budget{other, big, medium, light} {
		b.Close()
	}
	if len(m.clients) != 0 || m.held.Load() != 0 {
		t.Errorf("%d clients and %d bytes are left", len(m.clients), m.held.Load())
	}
}

// A client that has too much while all have too much lets go of its own, and nobody
// else does.
func TestClientLetsGoBeforeOthers(t *testing.T) {
	const mib = 1 << 20
	m := memoryOf(Limits{MaxTotalBytes: 100 * mib, MaxClientBytes: 60 * mib})
	open := func(client string, n int64) (*Budget, error) {
		_, b := m.budget(t.Context(), client, "root", 0)
		t.Cleanup(b.Close)
		return b, b.Reserve(n * mib)
	}
	other, _ := open("b", 45)
	first, _ := open("a", 20)
	second, _ := open("a", 19)
	if _, err := open("a", 25); !IsBusy(err) {
		t.Errorf("the client's biggest query goes on: %v", err)
	}
	for i, b := range []*Budget{other, first, second} {
		if err := b.Err(); err != nil {
			t.Errorf("query %d: %v", i, err)
		}
	}
}

// The heap is watched while queries run: the biggest fails when live objects
// crowd the process, once that was measured after the query began.
func TestHeapIsWatched(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		use := heapUse{live: 900, objects: 950, cycles: 7}
		m := memoryOf(Limits{ProcessBytes: 1000})
		m.heap = func() heapUse { mu.Lock(); defer mu.Unlock(); return use }
		_, big := m.budget(t.Context(), "", "leaf", 0)
		_, light := m.budget(t.Context(), "", "leaf", 0)
		if big.Reserve(2*smallQuery) != nil || light.Reserve(smallQuery) != nil {
			t.Fatal("refused")
		}
		<-time.After(time.Second)
		if err := big.Err(); err != nil {
			t.Errorf("fails for what the last query left: %v", err)
		}
		mu.Lock()
		use.cycles += 2
		mu.Unlock()
		<-time.After(2 * watchInterval)
		if err := big.Err(); !IsBusy(err) || !strings.Contains(err.Error(), "--memory.limit") {
			t.Errorf("goes on although the process is full: %v", err)
		}
		big.Close()
		<-time.After(time.Second)
		if err := light.Err(); err != nil {
			t.Errorf("a light query fails: %v", err)
		}
		light.Close()
		<-time.After(2 * watchInterval)
		synctest.Wait()
		m.mu.Lock()
		defer m.mu.Unlock()
		if m.watching {
			t.Error("the heap is watched although no query runs")
		}
	})
}

// wide is a child with a large answer, to every kind of request.
func wide(d Description, series int) *fake {
	f := &fake{desc: d}
	name := func(i int) labels.Labels {
		b := labels.NewBuilder(d.Labels)
		b.Set("n", fmt.Sprintf("%06d", i))
		return b.Labels()
	}
	f.exec = func(_ context.Context, req ExecRequest) (ResultSet, error) {
		var m promql.Matrix
		for i := range series {
			m = append(m, promql.Series{Metric: name(i), Floats: []promql.FPoint{{T: req.Start, F: 1}}})
		}
		return NewMatrixSet(m, nil, f.asked()), nil
	}
	f.selects = func(context.Context, SelectRequest) SeriesSet {
		var all []storage.ChunkSeries
		for i := range series {
			all = append(all, memorySeries{name(i), 1}.chunks())
		}
		return &listSet{series: all, report: f.asked()}
	}
	return f
}

// A query over its budget ends in every tier at once: the root says which limit
// of which tier, and what its other children are doing for it is cancelled,
// through a zone too.
func TestOverBudgetEndsEverywhere(t *testing.T) {
	for _, query := range []string{"x", "quantile(0.5, x)", "sum(x) or x", "label_replace(x, 'a', '$1', 'n', '(.*)')"} {
		t.Run(query, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var mu sync.Mutex
				ended, asked := []time.Duration{}, 0
				begin := time.Now()
				watch := func(ctx context.Context) error {
					mu.Lock()
					asked++
					mu.Unlock()
					<-ctx.Done()
					mu.Lock()
					defer mu.Unlock()
					ended = append(ended, time.Since(begin))
					return ctx.Err()
				}
				slow := hanging(leafOf("zone", "eu", "cluster", "eu-1"))
				slow.exec = func(ctx context.Context, _ ExecRequest) (ResultSet, error) { return nil, watch(ctx) }
				slow.selects = func(ctx context.Context, _ SelectRequest) SeriesSet { return errSeriesSet(watch(ctx)) }
				zone := mixerOver(t, eu.Identity, nil, slow)
				m := mixerOver(t, Identity{Tier: TierRoot}, func(c *MixerConfig) { c.Limits.MaxBytes = 100_000 }, zone, wide(us, 1000))
				got := askInstant(t.Context(), m, query, Options{})
				if !strings.Contains(got.Err, "bytes held by one query: limit of 100000 exceeded") || !strings.Contains(got.Err, " at root;") {
					t.Errorf("want an error that names the limit and the tier, got %+v", got)
				}
				synctest.Wait()
				if asked == 0 || len(ended) != asked {
					t.Errorf("%d of %d requests below have ended", len(ended), asked)
				}
				for _, d := range ended {
					if d > 100*time.Millisecond {
						t.Errorf("a request below ended after %s", d)
					}
				}
				if held := m.memory.held.Load() + zone.memory.held.Load(); held != 0 {
					t.Errorf("%d bytes are still held", held)
				}
			})
		})
	}
}

// The limit that a parent passes down applies where it is the lower one.
func TestLowerLimitApplies(t *testing.T) {
	for _, c := range []struct {
		name        string
		zone, given int64
		want        string
	}{
		{"its own", 50_000, 90_000, "limit of 50000 exceeded"},
		{"the parent's", 90_000, 50_000, "limit of 50000 exceeded"},
		{"the parent's alone", 0, 50_000, "limit of 50000 exceeded"},
	} {
		m := mixerOver(t, eu.Identity, func(l *MixerConfig) { l.Limits.MaxBytes = c.zone }, wide(euOne, 1000))
		if got := askInstant(t.Context(), m, "x", Options{MaxBytes: c.given}); !strings.Contains(got.Err, c.want) {
			t.Errorf("%s: want %q, got %q", c.name, c.want, got.Err)
		}
	}
	var got []int64
	child := wide(euOne, 1)
	inner := child.exec
	child.exec = func(ctx context.Context, req ExecRequest) (ResultSet, error) {
		got = append(got, req.MaxBytes)
		return inner(ctx, req)
	}
	m := mixerOver(t, eu.Identity, func(l *MixerConfig) { l.Limits.MaxBytes = 70_000 }, child)
	askInstant(t.Context(), m, "x", Options{MaxBytes: 80_000})
	askInstant(t.Context(), m, "x", Options{MaxBytes: 60_000})
	if d := cmp.Diff([]int64{70_000, 60_000}, got); d != "" {
		t.Errorf("passed down: %s", d)
	}
}

// An answer that is too large is refused, of a query and of raw series.
func TestResponseIsBounded(t *testing.T) {
	m := mixerOver(t, eu.Identity, func(l *MixerConfig) { l.Limits.MaxResponse = 50_000 }, wide(euOne, 1000))
	if got := askInstant(t.Context(), m, "x", Options{}); !strings.Contains(got.Err, "--query.max-response-bytes") {
		t.Errorf("exec: %+v", got)
	}
	set := m.Select(t.Context(), SelectRequest{Maxt: 600_000})
	defer set.Close()
	for set.Next() {
	}
	if err := set.Err(); !IsLimit(err) || !strings.Contains(err.Error(), "--query.max-response-bytes") {
		t.Errorf("select: %v", err)
	}
}

// Raw series that stream through a tier are held only until they are passed on.
func TestStreamsAreNotHeld(t *testing.T) {
	m := mixerOver(t, eu.Identity, func(l *MixerConfig) { l.Limits.MaxBytes = 100_000 }, wide(euOne, 2000))
	set := m.Select(t.Context(), SelectRequest{Maxt: 600_000})
	n := 0
	for set.Next() {
		n++
	}
	if err := set.Err(); err != nil || n != 2000 {
		t.Errorf("%d series, %v", n, err)
	}
	set.Close()
	if m.memory.held.Load() != 0 {
		t.Error("bytes are still held")
	}
}

// A leaf refuses what its engine would hold: series, points, and labels that
// grow.
func TestLeafIsBounded(t *testing.T) {
	var series []promql.Series
	for i := range 50 {
		series = append(series, point(float64(i), labels.MetricName, "x", "n", fmt.Sprint(i)))
	}
	child := holding(t, euOne, series...)
	for _, c := range []struct {
		name, query string
		step        int64
		bytes       int64
		refused     bool
	}{
		{"few series", "x", 60_000, 100_000, false},
		{"many series", "x", 60_000, 20_000, true},
		{"many points", "x", 1, 1 << 20, true},
		{"points of a subquery", "max_over_time(x[10m:10ms])", 600_000, 1 << 20, true},
		{"points of one time, copied", "x @ 10", 1, 1 << 20, true},
		{"a chain that copies", strings.Repeat("label_replace(", 8) + "x" + strings.Repeat(`, "n", "$1", "n", "(.*)")`, 8), 60_000, 100_000, false},
		{"a chain that doubles", strings.Repeat("label_replace(", 30) + "x" + strings.Repeat(`, "n", "$1$1", "n", "(.*)")`, 30), 60_000, 100_000, true},
		{"a chain that joins", strings.Repeat("label_join(", 30) + "x" + strings.Repeat(`, "n", "-", "n", "n")`, 30), 60_000, 100_000, true},
		{"a constant that doubles", strings.Repeat("label_replace(", 30) + `label_replace(vector(1), "n", "y", "", "")` + strings.Repeat(`, "n", "$1$1", "n", "(.*)")`, 30), 60_000, 100_000, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			set, err := child.Exec(t.Context(), ExecRequest{Options: Options{MaxBytes: c.bytes}, Query: c.query, End: 600_000, Step: c.step})
			if err == nil {
				set.Close()
			}
			if !c.refused && err != nil || c.refused && (!IsLimit(err) || !strings.Contains(err.Error(), "--query.max-bytes")) {
				t.Errorf("got %v", err)
			}
			if held := child.(*Local).bounded.memory.held.Load(); held != 0 {
				t.Errorf("%d bytes are still held", held)
			}
		})
	}
}

// What people ask has nowhere near as many parts as they may have by default.
func TestCorpusHasFewParts(t *testing.T) {
	trees, most, which := newCorpusTree(t), 0, ""
	for _, exprs := range realQueries(t) {
		for _, expr := range exprs {
			for _, v := range variants {
				req := ExecRequest{Query: v.of(t, expr), Start: 3_600_000, End: 7_200_000, Step: 60_000}
				for _, m := range []*Mixer{trees.root, trees.zone} {
					if pl := planAt(t, m, req); pl != nil && len(pl.Fragments) > most {
						most, which = len(pl.Fragments), req.Query
					}
				}
			}
		}
	}
	if most == 0 || 2*most > DefaultLimits().MaxFragments {
		t.Errorf("%d parts, of at most %d: %s", most, DefaultLimits().MaxFragments, which)
	}
	t.Logf("at most %d parts: %s", most, which)
}

// A query of more parts than children may be asked is refused, rather than that
// they send raw series for those beyond the limit.
func TestMaxFragments(t *testing.T) {
	m := mixerOver(t, Identity{Tier: TierRoot}, func(c *MixerConfig) { c.Limits.MaxFragments = 2 },
		saying(eu, point(1, "zone", "eu")), saying(us, point(1, "zone", "us")))
	for query, parts := range map[string]int64{"sum(a) + sum(b)": 2, "sum(a) + sum(b) + sum(a) / sum(b)": 2, "sum(a) + sum(b) + sum(c) + sum(d)": 4} {
		e, err := m.newExecution(ExecRequest{Query: query}, nil, nil)
		var limit *LimitError
		switch {
		case parts <= 2 && (err != nil || int64(len(e.plan.Fragments)) != parts):
			t.Errorf("%s: %v", query, err)
		case parts > 2 && (!errors.As(err, &limit) || *limit != LimitError{limit.What, "query.max-fragments", 2, parts, "root"}):
			t.Errorf("%s: want a limit, got %v", query, err)
		}
	}
	if _, err := m.Exec(t.Context(), ExecRequest{Query: "sum(a) + sum(b) + sum(c)"}); !IsLimit(err) || !strings.HasSuffix(err.Error(), "at root; ask for fewer selectors in one query, or raise --query.max-fragments") {
		t.Errorf("got %v", err)
	}
}
