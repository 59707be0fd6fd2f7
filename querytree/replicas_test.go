package querytree

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/prometheus/model/exemplar"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/metadata"
	"github.com/prometheus/prometheus/promql"
)

// replicaOf describes a replica of eu-1 that holds everything but for its gaps.
func replicaOf(name string, gaps ...Interval) Description {
	d := euOne
	d.Replica, d.Gaps, d.Instance = name, gaps, name
	d.Mint, d.Maxt, d.Leaves = math.MinInt64, math.MaxInt64, 1
	return d
}

const nameA, nameB = "zone=eu,cluster=eu-1/replica=a", "zone=eu,cluster=eu-1/replica=b"

// Which replica answers a query for samples of second 100 to 200, what it needs
// of others, and what is missing because replicas are not there.
func TestChoiceOfReplica(t *testing.T) {
	const s = 1000
	member := func(d Description, change func(*Member)) Member {
		m := Member{Description: d, Connected: true}
		if change != nil {
			change(&m)
		}
		return m
	}
	with := func(name string, change func(*Description), gaps ...Interval) Member {
		d := replicaOf(name, gaps...)
		if change != nil {
			change(&d)
		}
		return member(d, nil)
	}
	down := func(m *Member) { m.Connected = false }
	died := func(at int64) func(*Member) {
		return func(m *Member) { m.Connected, m.Description.Maxt = false, at }
	}
	mint := func(t int64) func(*Description) { return func(d *Description) { d.Mint = t } }
	maxt := func(t int64) func(*Description) { return func(d *Description) { d.Maxt = t } }
	zone := func(name string, missing ...string) Member {
		d := replicaOf(name)
		d.Tier, d.Missing = TierZone, missing
		return member(d, nil)
	}
	for what, c := range map[string]struct {
		members []Member
		want    string
	}{
		"first by name":              {[]Member{with("b", nil), with("a", nil)}, "a"},
		"without a gap":              {[]Member{with("a", nil, Interval{150 * s, 151 * s}), with("b", nil)}, "b"},
		"the gap is of another time": {[]Member{with("a", nil, Interval{50 * s, 99 * s}), with("b", nil)}, "a"},
		"smaller gap, filled":        {[]Member{with("a", nil, Interval{110 * s, 130 * s}), with("b", nil, Interval{140 * s, 150 * s})}, "b fill [140000 150000]"},
		"gaps told of the same time": {[]Member{with("a", nil, Interval{110 * s, 130 * s}), with("b", nil, Interval{110 * s, 130 * s})}, "a fill [110000 130000]"},
		"gap in a larger gap":        {[]Member{with("a", nil, Interval{110 * s, 130 * s}), with("b", nil, Interval{120 * s, 125 * s})}, "b fill [120000 125000]"},
		"reaches back further":       {[]Member{with("a", mint(150*s)), with("b", mint(140*s))}, "b"},
		"but not beyond the range":   {[]Member{with("a", mint(100*s)), with("b", mint(0))}, "a"},
		"empty":                      {[]Member{with("a", func(d *Description) { d.Mint, d.Maxt = math.MaxInt64, math.MinInt64 }), with("b", mint(150*s))}, "b"},
		"lags":                       {[]Member{with("a", maxt(130*s)), with("b", maxt(195*s))}, "b"},
		"lags a little":              {[]Member{with("a", maxt(140*s)), with("b", maxt(195*s))}, "a"},
		"gap and lag":                {[]Member{with("a", maxt(130*s)), with("b", maxt(300*s), Interval{110 * s, 111 * s})}, "b fill [110000 111000]"},
		"not connected":              {[]Member{member(replicaOf("a"), died(90*s)), with("b", nil)}, "b"},
		"nobody has it all and one is dead": {
			[]Member{member(replicaOf("a"), died(170*s)), with("b", nil, Interval{110 * s, 120 * s}, Interval{160 * s, 180 * s})},
			"b missing a [110000 120000] [160000 170000]",
		},
		"dead, and may have been down at that time too": {
			[]Member{member(replicaOf("a", Interval{105 * s, 125 * s}), died(170*s)), with("b", nil, Interval{110 * s, 120 * s})}, "b missing a [110000 120000]",
		},
		"both began late": {[]Member{with("a", mint(130*s)), with("b", mint(130*s))}, "a"},
		"dead, and began no earlier": {
			[]Member{member(replicaOf("a"), func(m *Member) { m.Connected, m.Description.Mint, m.Description.Maxt = false, 130*s, 170*s }), with("b", mint(130*s))}, "b",
		},
		"never seen: it may have it": {
			[]Member{member(func() Description {
				d := replicaOf("a")
				d.Mint, d.Maxt, d.Instance = math.MaxInt64, math.MinInt64, ""
				return d
			}(), down), with("b", mint(130*s), Interval{150 * s, 160 * s})},
			"b missing a [150000 160000]",
		},
		"none is there": {[]Member{member(replicaOf("a"), down), member(replicaOf("b"), down)}, "none"},
		"stale":         {[]Member{member(replicaOf("a"), func(m *Member) { m.Stale = true }), with("b", nil)}, "b"},
		"much faster":   {[]Member{member(replicaOf("a"), func(m *Member) { m.RTT = 30 * time.Millisecond }), member(replicaOf("b"), func(m *Member) { m.RTT = time.Millisecond })}, "b"},
		"a bit faster":  {[]Member{member(replicaOf("a"), func(m *Member) { m.RTT = 6 * time.Millisecond }), member(replicaOf("b"), func(m *Member) { m.RTT = time.Millisecond })}, "a"},
		"fast but incomplete": {[]Member{
			member(replicaOf("a"), func(m *Member) { m.RTT = time.Second }), member(replicaOf("b", Interval{110 * s, 111 * s}), func(m *Member) { m.RTT = time.Millisecond }),
		}, "a"},
		"zone that misses a leaf": {[]Member{zone("a", "x"), zone("b")}, "b"},
		"three": {
			[]Member{with("a", nil, Interval{110 * s, 150 * s}), with("b", nil, Interval{140 * s, 160 * s}), with("c", nil, Interval{100 * s, 144 * s})},
			"b fill [140000 160000]",
		},
	} {
		m := rootOver(t)
		set := m.newReplicaSet(c.members, Interval{100 * s, 200 * s}, nil)
		got := "none"
		if v := set.view; len(v.order) > 0 {
			got = v.order[0].Description.Replica
			if len(v.fill) > 0 {
				got += " fill " + render(v.fill)
			}
			for _, g := range v.gone {
				got += " missing " + g.Description.Replica + " " + render(g.times)
			}
		}
		if got != c.want {
			t.Errorf("%s: got %q, want %q", what, got, c.want)
		}
	}
}

func render(is intervals) string {
	var out []string
	for _, i := range is {
		out = append(out, fmt.Sprintf("[%d %d]", i.Mint, i.Maxt))
	}
	return strings.Join(out, " ")
}

func TestIntervals(t *testing.T) {
	is := newIntervals(Interval{5, 9}, Interval{1, 3}, Interval{4, 4}, Interval{20, 30}, Interval{40, 39}, Interval{50, math.MaxInt64})
	for what, c := range map[string]struct{ got, want string }{
		"joined":   {render(is), render(intervals{{1, 9}, {20, 30}, {50, endOfTime}})},
		"within":   {render(is.within(Interval{9, 20})), "[9 9] [20 20]"},
		"without":  {render(is.without(newIntervals(Interval{3, 25}, Interval{27, 28}, Interval{50, math.MaxInt64}))), "[1 2] [26 26] [29 30]"},
		"and":      {render(is.and(newIntervals(Interval{3, 25}, Interval{27, 28}))), "[3 9] [20 25] [27 28]"},
		"touching": {render(is.touching(newIntervals(Interval{9, 19}))), "[1 9]"},
		"grown":    {render(newIntervals(Interval{1, 9}, Interval{20, 30}).grown(6, 4)), "[-5 34]"},
	} {
		if c.got != c.want {
			t.Errorf("%s: got %s, want %s", what, c.got, c.want)
		}
	}
	for at, want := range map[int64]bool{0: false, 1: true, 9: true, 10: false, 25: true, 31: false, 60: true} {
		if is.contain(at) != want {
			t.Errorf("contain(%d) is %t", at, !want)
		}
	}
}

// A replica that fails is replaced, whatever it was asked; its row tells why, and
// is not counted as missing.
func TestFailover(t *testing.T) {
	series := promql.Series{Metric: labels.FromStrings("__name__", "x"), Floats: []promql.FPoint{{F: 7}}}
	good := holding(t, replicaOf("b"), series)
	good = &fake{
		desc: replicaOf("b"), exec: good.Exec, selects: good.Select,
		names: func(context.Context, NamesRequest) (Names, error) { return Names{Names: []string{"b"}}, nil },
		metadata: func(context.Context, MetadataRequest) (Metadata, error) {
			return Metadata{Families: map[string][]metadata.Metadata{"x": {{Help: "b"}}}}, nil
		},
		exemplars: func(context.Context, ExemplarsRequest) (Exemplars, error) {
			return Exemplars{Results: []exemplar.QueryResult{{SeriesLabels: replicaOf("b").Labels}}}, nil
		},
	}
	m := rootOver(t, down(replicaOf("a")), good)
	ctx := t.Context()
	for _, o := range []Options{{}, {Strict: true}, {NoPushdown: true}} {
		set, err := m.Exec(ctx, ExecRequest{Options: o, Query: "sum by (cluster) (x)", Start: 600_000, End: 600_000})
		if err != nil {
			t.Fatal(err)
		}
		if !set.Next() || set.At().Floats[0].F != 7 || len(set.Warnings()) > 0 || set.Report().Partial() {
			t.Errorf("%+v: %v, warnings %v", o, set.At(), set.Warnings())
		}
		if row := set.Report().Children[nameA]; row.Verdict != Replaced || row.Failed != "" || !strings.Contains(row.Evidence, "not connected") {
			t.Errorf("%+v: row of the replica that failed: %+v", o, row)
		}
		if row := set.Report().Children[nameB]; row.Verdict != Asked || row.Requests == 0 || row.Failed != "" {
			t.Errorf("%+v: row of the replica that answered: %+v", o, row)
		}
	}
	n, err := m.Names(ctx, NamesRequest{Maxt: 1000})
	if err != nil || !slices.Equal(n.Names, []string{"b"}) || n.Report.Partial() || len(n.Warnings) > 0 {
		t.Errorf("names: %+v, %v", n, err)
	}
	md, err := m.Metadata(ctx, MetadataRequest{})
	if err != nil || md.Families["x"][0].Help != "b" || md.Report.Partial() || len(md.Warnings) > 0 {
		t.Errorf("metadata: %+v, %v", md, err)
	}
	ex, err := m.Exemplars(ctx, ExemplarsRequest{Maxt: 1000, Selectors: [][]*labels.Matcher{matchersOf(t, "x")}})
	if err != nil || len(ex.Results) != 1 || ex.Report.Partial() || len(ex.Warnings) > 0 {
		t.Errorf("exemplars: %+v, %v", ex, err)
	}
}

// What the replica that answered tells of itself is passed on.
func TestReplicaExplains(t *testing.T) {
	b := &fake{desc: replicaOf("b")}
	b.exec = func(context.Context, ExecRequest) (ResultSet, error) {
		return NewMatrixSet(nil, nil, Report{Explanation: &Explanation{Name: nameB}}), nil
	}
	m := rootOver(t, down(replicaOf("a")), b)
	set := m.members(0, 1000, &lost{})[0].Child
	rs, err := set.Exec(t.Context(), ExecRequest{Query: "x", Start: 1000, End: 1000})
	if err != nil {
		t.Fatal(err)
	}
	defer rs.Close()
	if rs.Next() || rs.Report().Explanation == nil || rs.Report().Explanation.Name != nameB {
		t.Errorf("report: %+v", rs.Report())
	}
}

// If no replica answers, all are named.
func TestAllReplicasFail(t *testing.T) {
	m := rootOver(t, down(replicaOf("a")), failing(replicaOf("b"), fmt.Errorf("%w: disk gone", ErrUnavailable)), saying(us, point(1, "zone", "us")))
	got := askInstant(t.Context(), m, "x", Options{})
	if len(got.Series) != 1 || len(got.Warnings) != 1 || !slices.Equal(got.Missing, []string{nameA}) {
		t.Fatalf("%+v", got)
	}
	for _, want := range []string{"partial answer: leaf", nameA, nameB, "not connected", "disk gone"} {
		if !strings.Contains(got.Warnings[0], want) {
			t.Errorf("warning %q does not tell %q", got.Warnings[0], want)
		}
	}
	if got := askInstant(t.Context(), m, "x", Options{Strict: true}); !strings.Contains(got.Err, nameB) {
		t.Errorf("strict: %+v", got)
	}
	// What is the fault of the query is not the replica's.
	m = rootOver(t, failing(replicaOf("a"), &LimitError{Flag: "query.max-series"}), saying(replicaOf("b"), point(1)))
	if got := askInstant(t.Context(), m, "x", Options{}); !strings.Contains(got.Err, "--query.max-series") {
		t.Errorf("limit: %+v", got)
	}
}

// A replica that is gone alone took samples at a time: the answer misses them.
func TestOnlyTheDeadReplicaHasIt(t *testing.T) {
	a, b := replicaOf("a"), replicaOf("b", Interval{500_000, 550_000})
	a.Maxt = 599_000
	members := []Member{{Child: down(a), Description: a}, {Child: saying(b, point(1)), Description: b, Connected: true}}
	m := mixerOver(t, Identity{Tier: TierRoot}, func(c *MixerConfig) { c.Members = func() []Member { return members } })
	if got := askInstant(t.Context(), m, "x[30s]", Options{}); got.Err == "" && len(got.Warnings) > 0 {
		t.Errorf("after the gap: %+v", got)
	}
	got := askInstant(t.Context(), m, "rate(x[2m])", Options{})
	if len(got.Series) != 1 || len(got.Warnings) != 1 || !strings.Contains(got.Warnings[0], nameA) || !slices.Equal(got.Missing, []string{nameA}) {
		t.Errorf("over the gap: %+v", got)
	}
	if got := askInstant(t.Context(), m, "rate(x[2m])", Options{Strict: true}); !strings.Contains(got.Err, nameA) {
		t.Errorf("strict: %+v", got)
	}
}

// The sum of one replica is never divided by the count of another, though one of
// them fails between the two.
func TestOneReplicaForAllFragments(t *testing.T) {
	for _, broken := range []string{"sum", "count"} {
		a := saying(replicaOf("a"), point(1000))
		says := a.exec
		a.exec = func(ctx context.Context, req ExecRequest) (ResultSet, error) {
			if strings.HasPrefix(req.Query, broken) {
				return nil, fmt.Errorf("%w: dies", ErrUnavailable)
			}
			return says(ctx, req)
		}
		b := saying(replicaOf("b"), point(6))
		m := rootOver(t, a, b, saying(euTwo, point(1)))
		e, err := m.newExecution(ExecRequest{Query: "sum(x) / on () count(x)", Start: 600_000, End: 600_000, Lookback: 1}, nil, &lost{})
		if err != nil {
			t.Fatal(err)
		}
		s, ok := e.members[1].Child.(*replicaSet)
		if !ok {
			t.Fatalf("members: %+v", e.members)
		}
		for _, query := range []string{"sum(x)", "count(x)", "sum(x)"} {
			set, err := s.Exec(t.Context(), ExecRequest{Query: query, Start: 600_000, End: 600_000, Lookback: 1})
			var sw *switched
			if errors.As(err, &sw) {
				if broken == "sum" || sw.name != nameA {
					t.Errorf("%s fails: %s asks to start again because of %s", broken, query, sw.name)
				}
				continue
			}
			if err != nil {
				t.Fatal(err)
			}
			set.Next()
			if got, want := set.At().Floats[0].F, map[string]float64{"sum": 6, "count": 1000}[broken]; got != want {
				t.Errorf("%s fails: %s is %v, want %v", broken, query, got, want)
			}
		}
		// All from b and the other leaf: 7 divided by 7.
		wantOutcome(t, outcome{Series: []string{"{} 1"}}, askInstant(t.Context(), m, "avg(x)", Options{}))
	}
}

// slowly answers after a while.
func slowly(d Description, after time.Duration, v float64) (f *fake, asked, cancelled *atomic.Int64) {
	asked, cancelled = &atomic.Int64{}, &atomic.Int64{}
	f = saying(d, point(v, "cluster", "eu-1"))
	says := f.exec
	f.exec = func(ctx context.Context, req ExecRequest) (ResultSet, error) {
		asked.Add(1)
		select {
		case <-time.After(after):
			return says(ctx, req)
		case <-ctx.Done():
			cancelled.Add(1)
			return nil, ctx.Err()
		}
	}
	return f, asked, cancelled
}

// A replica that is slow to begin is raced with another one that has the same.
func TestHedging(t *testing.T) {
	for what, c := range map[string]struct {
		a, b   time.Duration
		gap    []Interval
		want   float64
		took   time.Duration
		hedged bool
	}{
		"fast enough":       {a: 150 * time.Millisecond, b: 0, want: 1, took: 150 * time.Millisecond},
		"the other wins":    {a: time.Second, b: 100 * time.Millisecond, want: 2, took: 300 * time.Millisecond, hedged: true},
		"it wins after all": {a: 250 * time.Millisecond, b: 100 * time.Millisecond, want: 1, took: 250 * time.Millisecond, hedged: true},
		"not the same":      {a: time.Second, b: 0, gap: []Interval{{590_000, 595_000}}, want: 1, took: time.Second},
		"hangs, not the same": {
			a: time.Hour, b: 0, gap: []Interval{{1_590_000, 1_595_000}}, want: 2, took: 200 * time.Millisecond, hedged: true,
		},
	} {
		synctest.Test(t, func(t *testing.T) {
			a, _, cancelledA := slowly(replicaOf("a"), c.a, 1)
			b, _, _ := slowly(replicaOf("b", c.gap...), c.b, 2)
			m := mixerOver(t, Identity{Tier: TierRoot}, impatient, a, b)
			begin := time.Now()
			set, err := m.Exec(t.Context(), ExecRequest{Query: "x", Start: 600_000, End: 600_000})
			if err != nil {
				t.Fatal(err)
			}
			if set.Next(); set.At().Floats[0].F != c.want || time.Since(begin) != c.took {
				t.Errorf("%s: got %v after %v", what, set.At().Floats[0].F, time.Since(begin))
			}
			verdict := Verdict("")
			switch {
			case c.want == 1:
				verdict = Asked
			case c.hedged:
				verdict = Replaced
			}
			if row := set.Report().Children[nameA]; row.Verdict != verdict || row.Hedged != c.hedged || set.Report().Partial() {
				t.Errorf("%s: report %+v", what, set.Report())
			}
			set.Close()
			synctest.Wait()
			if c.want == 2 && cancelledA.Load() != 1 {
				t.Errorf("%s: the slow replica was not cancelled", what)
			}
		})
	}
}

// A replica that hangs when it cannot be raced still leaves time for the other.
func TestReplicaThatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := hanging(replicaOf("a"))
		b, _, _ := slowly(replicaOf("b"), 0, 2)
		m := mixerOver(t, Identity{Tier: TierRoot}, impatient, a, b)
		m.latencies.tokens = 0
		begin := time.Now()
		got := askInstant(t.Context(), m, "x", Options{})
		if len(got.Series) != 1 || len(got.Warnings) > 0 || time.Since(begin) != deadline/2 {
			t.Errorf("after %v: %+v", time.Since(begin), got)
		}
	})
}

// However slow a replica, few requests are asked twice.
func TestHedgeBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, askedA, _ := slowly(replicaOf("a"), 300*time.Millisecond, 1)
		b, askedB, _ := slowly(replicaOf("b"), 400*time.Millisecond, 1)
		m := mixerOver(t, Identity{Tier: TierRoot}, impatient, a, b)
		const n = 100
		for range n {
			if got := askInstant(t.Context(), m, "x", Options{}); len(got.Series) != 1 || len(got.Warnings) > 0 {
				t.Fatalf("%+v", got)
			}
			<-time.After(2 * latencyMemory) // each one is slower than is known of it
		}
		twice := askedA.Load() + askedB.Load() - n
		t.Logf("%d of %d requests were hedged", twice, n)
		if twice < hedgeBurst || twice > n/10+hedgeBurst {
			t.Errorf("%d of %d requests were hedged", twice, n)
		}
	})
}

func TestLatencies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLatencies()
		l.observe("a", 100*time.Millisecond)
		l.observe("a", 200*time.Millisecond)
		if got := l.of("a"); got != 120*time.Millisecond {
			t.Errorf("mean is %v", got)
		}
		for latency, want := range map[time.Duration]time.Duration{
			0: newHedgeDelay, time.Millisecond: minHedgeDelay, 100 * time.Millisecond: 300 * time.Millisecond, time.Minute: 5 * time.Second,
		} {
			if got := hedgeDelay(latency, 10*time.Second); got != want {
				t.Errorf("delay for %v: %v, want %v", latency, got, want)
			}
		}
		for i := range 100 {
			l.observe(fmt.Sprint(i), 1)
			l.keep(map[string]bool{"a": true, "1": true})
		}
		if len(l.byName) > 4 || l.of("a") == 0 {
			t.Errorf("%d latencies are kept", len(l.byName))
		}
		<-time.After(2 * latencyMemory)
		if l.of("a") != 0 {
			t.Error("an old latency still counts")
		}
	})
}

// Hints prune a set only if they rule out all replicas that the answer may come
// from.
func TestReplicasByHint(t *testing.T) {
	for what, c := range map[string]struct {
		gap    []Interval
		empty  []string
		stale  bool
		pruned bool
	}{
		"the one that answers is empty":        {empty: []string{nameA}, pruned: true},
		"the other one is":                     {empty: []string{nameB}},
		"its hole is filled by one that isn't": {gap: []Interval{{550_000, 560_000}}, empty: []string{nameB}},
		"both are":                             {gap: []Interval{{550_000, 560_000}}, empty: []string{nameA, nameB}, pruned: true},
		"its hint is late":                     {gap: []Interval{{550_000, 560_000}}, empty: []string{nameA, nameB}, stale: true},
	} {
		a, b := replicaOf("a"), replicaOf("b", c.gap...)
		if c.gap != nil {
			a.Gaps = []Interval{{500_000, 520_000}}
		}
		members := []Member{
			{Child: saying(a), Description: a, Connected: true, Stale: c.stale},
			{Child: saying(b), Description: b, Connected: true},
		}
		m := mixerOver(t, Identity{Tier: TierRoot}, func(cfg *MixerConfig) {
			cfg.Members = func() []Member { return members }
			cfg.Pruner = hintFunc(func(child string, _ []*labels.Matcher) bool { return slices.Contains(c.empty, child) })
		})
		set, err := m.Exec(t.Context(), ExecRequest{Query: "x", Start: 600_000, End: 600_000})
		if err != nil {
			t.Fatal(err)
		}
		if got := set.Report().Pruned[PrunedHint] == 1; got != c.pruned {
			t.Errorf("%s: pruned %t", what, got)
		}
	}
}

// Names and exemplars of a time that no replica covers are those of all.
func TestListsOverHoles(t *testing.T) {
	lists := func(d Description, names ...string) *fake {
		return &fake{
			desc:  d,
			names: func(context.Context, NamesRequest) (Names, error) { return Names{Names: names}, nil },
			exemplars: func(context.Context, ExemplarsRequest) (Exemplars, error) {
				var es []exemplar.Exemplar
				for _, n := range names {
					es = append(es, exemplar.Exemplar{Labels: labels.FromStrings("id", n), Ts: int64(n[0]), HasTs: true})
				}
				return Exemplars{Results: []exemplar.QueryResult{{SeriesLabels: euOne.Labels, Exemplars: es}}}, nil
			},
		}
	}
	m := rootOver(t, lists(replicaOf("a", Interval{10, 20}), "p", "r"), lists(replicaOf("b", Interval{30, 40}), "p", "q"))
	for maxt, want := range map[int64][]string{25: {"p", "q"}, 50: {"p", "q", "r"}} {
		n, err := m.Names(t.Context(), NamesRequest{Mint: 0, Maxt: maxt})
		if d := cmp.Diff(want, n.Names); err != nil || d != "" || n.Report.Partial() {
			t.Errorf("names until %d: %v\n%s", maxt, err, d)
		}
		ex, err := m.Exemplars(t.Context(), ExemplarsRequest{Mint: 0, Maxt: maxt, Selectors: [][]*labels.Matcher{matchersOf(t, "x")}})
		if err != nil || len(ex.Results) != 1 {
			t.Fatalf("exemplars: %+v, %v", ex, err)
		}
		var got []string
		for _, e := range ex.Results[0].Exemplars {
			got = append(got, e.Labels.Get("id"))
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("exemplars until %d:\n%s", maxt, d)
		}
	}
}

// Raw series go on with the other replica where the one broke off.
func TestSelectGoesOn(t *testing.T) {
	list := func(d Description, breaksAt int, names ...string) *fake {
		f := &fake{desc: d}
		f.selects = func(context.Context, SelectRequest) SeriesSet {
			set := &listSet{report: f.asked(), next: func(i int) error {
				if i == breaksAt {
					return fmt.Errorf("%w: broke off", ErrUnavailable)
				}
				return nil
			}}
			for _, n := range names {
				set.series = append(set.series, memorySeries{labels.FromStrings("cluster", "eu-1", "n", n, "zone", "eu"), 1}.chunks())
			}
			return set
		}
		return f
	}
	m := rootOver(t, list(replicaOf("a"), 2, "1", "3", "5"), list(replicaOf("b"), -1, "1", "2", "3", "4", "5"))
	set := m.Select(t.Context(), SelectRequest{Maxt: 600_000, Matchers: matchersOf(t, "x")})
	defer set.Close()
	var got []string
	for set.Next() {
		got = append(got, set.At().Labels().Get("n"))
	}
	if d := cmp.Diff([]string{"1", "3", "4", "5"}, got); d != "" || set.Err() != nil || len(set.Warnings()) > 0 || set.Report().Partial() {
		t.Errorf("%v, %v\n%s", set.Err(), set.Warnings(), d)
	}
}

// An answer too large to be held, which breaks off, makes the query start again
// with the other replica.
func TestLargeAnswerBreaksOff(t *testing.T) {
	const n = 3 * stageSamples / 2
	many := func(d Description, breaks bool) *fake {
		f := &fake{desc: d}
		f.exec = func(context.Context, ExecRequest) (ResultSet, error) {
			var m promql.Matrix
			for i := range n {
				s := point(1, "cluster", "eu-1", "i", fmt.Sprintf("%06d", i), "zone", "eu")
				s.Floats[0].T = 600_000
				m = append(m, s)
			}
			set := NewMatrixSet(m, nil, f.asked())
			if breaks {
				return &breakingSet{ResultSet: set, left: n - 1}, nil
			}
			return set, nil
		}
		return f
	}
	m := rootOver(t, many(replicaOf("a"), true), many(replicaOf("b"), false))
	got := askInstant(t.Context(), m, "x", Options{})
	if len(got.Series) != n || len(got.Warnings) > 0 || got.Err != "" {
		t.Errorf("%d series, %v, %s", len(got.Series), got.Warnings, got.Err)
	}
}

type breakingSet struct {
	ResultSet
	left int
	err  error
}

func (s *breakingSet) Next() bool {
	if s.left--; s.left < 0 {
		s.err = fmt.Errorf("%w: broke off", ErrUnavailable)
		return false
	}
	return s.ResultSet.Next()
}

func (s *breakingSet) Err() error { return s.err }
