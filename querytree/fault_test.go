package querytree

import (
	"context"
	"fmt"
	"math/rand"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
)

// ofEveryKind are queries of every kind that a fragment, a guard or a pull of
// raw series can be.
var ofEveryKind = []string{
	"x", "abs(x)", "x > 1",
	"sum(x)", "count(x)", "min by (i) (x)", "sum without (zone) (x)",
	"avg(x)", "avg by (i) (x)", "stddev(x)", "stdvar by (i) (x)", `count_values("v", x)`,
	"quantile(0.5, x)", "quantile by (i) (0.9, x)", "topk(9, x)", "bottomk by (i) (9, x)", "limitk(9, x)",
	"max(sum by (i) (x))", "sum(x) / sum(y)", "avg(x) - stddev(y)", "sum(x) > 0 and count(x) > 0",
	"x + y", "x * on (zone, cluster, i) y", "x * on (i) group_left () max by (i) (y)", "x and on (i) y", "x unless on (i) nothing",
	"x or vector(0)", "sum(x) or vector(0)", "sum(nothing) or vector(0)",
	"absent(x)", "absent(nothing)", "absent_over_time(nothing[1m])", "scalar(sum(x)) + scalar(max(x))", "vector(scalar(max(x)))",
	"sort_desc(x)", "label_replace(x, \"j\", \"$1\", \"i\", \"(.*)\")",
	"max_over_time(x[1m:10s])", "max_over_time(sum(x)[1m:10s])", "max_over_time(avg(x)[1m:10s])",
	"sum(x offset 1m) - sum(x @ 300)", "timestamp(sum(x))", "info(x)", "quantile_over_time(scalar(max(x)) / 100, x[1m])",
	"histogram_quantile(0.9, sum by (le) (x))",
}

// threeOf returns a leaf with three series each of x and y.
func threeOf(tb testing.TB, d Description, v float64) Child {
	tb.Helper()
	var all []promql.Series
	for i := range 3 {
		for _, name := range []string{"x", "y"} {
			all = append(all, point(v+float64(i), "__name__", name, "i", fmt.Sprint(i), "le", fmt.Sprint(i)))
		}
	}
	return holding(tb, d, all...)
}

// brittle is a Child between which and its parent something may happen.
type brittle struct {
	Child
	// broken returns what is wrong with the next request, or nil, and after how
	// many series.
	broken func(ctx context.Context) (after int, err error)
}

func (b *brittle) Exec(ctx context.Context, req ExecRequest) (ResultSet, error) {
	after, err := b.broken(ctx)
	if err != nil && after == 0 {
		return nil, err
	}
	set, childErr := b.Child.Exec(ctx, req)
	if childErr != nil || err == nil {
		return set, childErr
	}
	return &brittleSet{ResultSet: set, left: after, err: err}, nil
}

func (b *brittle) Select(ctx context.Context, req SelectRequest) SeriesSet {
	if _, err := b.broken(ctx); err != nil {
		return errSeriesSet(err)
	}
	return b.Child.Select(ctx, req)
}

// brittleSet breaks off after some series.
type brittleSet struct {
	ResultSet
	left   int
	err    error
	broken error
}

func (s *brittleSet) Next() bool {
	if s.left--; s.left < 0 || !s.ResultSet.Next() {
		s.broken = s.err
		return false
	}
	return true
}

func (s *brittleSet) Err() error { return s.broken }

// always breaks every request.
func always(after int, err error) func(context.Context) (int, error) {
	return func(context.Context) (int, error) { return after, err }
}

var (
	euThree = leafOf("zone", "eu", "cluster", "eu-3")
	usOne   = leafOf("zone", "us", "cluster", "us-1")
)

// with returns a root over a zone of two leaves, one of which is brittle, and
// over another leaf; and a root over what is left without the brittle one.
func with(tb testing.TB, change func(*MixerConfig), broken func(context.Context) (int, error)) (whole, rest *Mixer) {
	tb.Helper()
	one, two, other := threeOf(tb, euOne, 1), threeOf(tb, euTwo, 100), threeOf(tb, usOne, 10)
	zone := func(children ...Child) Child {
		return mixerOver(tb, eu.Identity, func(c *MixerConfig) {
			d := eu
			d.Features = MixerFeatures()
			if c.Describe = func() Description { return d }; change != nil {
				change(c)
			}
		}, children...)
	}
	root := func(children ...Child) *Mixer { return mixerOver(tb, Identity{Tier: TierRoot}, change, children...) }
	return root(zone(one, &brittle{two, broken}), other), root(zone(one), other)
}

// wantWithout checks that an answer is that of the rest of the tree, and names
// who is missing.
func wantWithout(t *testing.T, query string, want, got outcome, name string) {
	t.Helper()
	if d := cmp.Diff(want.Series, got.Series); d != "" || got.Err != "" {
		t.Errorf("%s: %s-want +got:\n%s", query, got.Err, d)
	}
	if !slices.Equal(got.Missing, []string{name}) || !slices.ContainsFunc(got.Warnings, func(w string) bool { return strings.Contains(w, name) }) {
		t.Errorf("%s: missing %q, warnings %q, want them to name %s", query, got.Missing, got.Warnings, name)
	}
}

// A leaf two tiers down that fails, at once or in the middle of its answer,
// costs exactly its own series in queries of every kind, and is named at the
// root; a strict request fails.
func TestFailingLeaf(t *testing.T) {
	for _, after := range []int{0, 1, 2} {
		whole, rest := with(t, nil, always(after, errBroke))
		for _, query := range ofEveryKind {
			want, got := askInstant(t.Context(), rest, query, Options{}), askInstant(t.Context(), whole, query, Options{})
			wantWithout(t, query, want, got, euTwo.Name())
			strict := askInstant(t.Context(), whole, query, Options{Strict: true})
			if !strings.Contains(strict.Err, euTwo.Name()) {
				t.Errorf("%s, strict: want an error that names the leaf, got %+v", query, strict)
			}
		}
	}
}

// One that hangs costs no more than a soft deadline, whatever the query and
// however many selectors, fragments and guards there are; and the zone above it
// still has the time to answer without it.
func TestHangingLeaf(t *testing.T) {
	for _, query := range ofEveryKind {
		synctest.Test(t, func(t *testing.T) {
			whole, rest := with(t, impatient, func(ctx context.Context) (int, error) {
				<-ctx.Done()
				return 0, ctx.Err()
			})
			want := askInstant(t.Context(), rest, query, Options{})
			begin := time.Now()
			got := askInstant(t.Context(), whole, query, Options{})
			if took := time.Since(begin); took > deadline {
				t.Errorf("%s: took %s, with a soft deadline of %s", query, took, deadline)
			}
			wantWithout(t, query, want, got, euTwo.Name())
		})
	}
}

// Leaves that are slow but in time are waited for side by side: the query takes
// as long as the slowest.
func TestSlowLeavesDoNotAddUp(t *testing.T) {
	const pause = 2 * time.Second
	for _, query := range ofEveryKind {
		synctest.Test(t, func(t *testing.T) {
			requests := 0
			var mu sync.Mutex
			slowly := func(d Description, v float64) Child {
				return &brittle{threeOf(t, d, v), func(ctx context.Context) (int, error) {
					mu.Lock()
					requests++
					mu.Unlock()
					select {
					case <-time.After(pause):
						return 0, nil
					case <-ctx.Done():
						return 0, ctx.Err()
					}
				}}
			}
			var leaves []Child
			for i := range 6 {
				leaves = append(leaves, slowly(leafOf("zone", "eu", "cluster", fmt.Sprint(i)), float64(i)))
			}
			m := mixerOver(t, Identity{Tier: TierRoot}, impatient, leaves...)
			begin := time.Now()
			got := askInstant(t.Context(), m, query, Options{})
			// Leaves answer several operators one after the other, and a scalar
			// parameter or a second plan comes before what needs it.
			if took := time.Since(begin); took > 4*pause || len(got.Missing) > 0 || got.Err != "" {
				t.Errorf("%s: took %s for %d requests of %s to six leaves: %+v", query, took, requests, pause, got)
			}
		})
	}
}

// A child that is known but not connected costs no time, and is named.
func TestDisconnectedChildCostsNoTime(t *testing.T) {
	for _, query := range ofEveryKind {
		synctest.Test(t, func(t *testing.T) {
			gone := []Member{{Child: down(euTwo), Description: euTwo}, {Child: down(euThree), Description: euThree}}
			m := mixerOver(t, Identity{Tier: TierRoot}, func(c *MixerConfig) {
				impatient(c)
				connected := c.Members()
				c.Members = func() []Member { return append(slices.Clone(connected), gone...) }
			}, threeOf(t, euOne, 1))
			want := askInstant(t.Context(), rootOver(t, threeOf(t, euOne, 1)), query, Options{})
			begin := time.Now()
			got := askInstant(t.Context(), m, query, Options{})
			if took := time.Since(begin); took != 0 {
				t.Errorf("%s: took %s", query, took)
			}
			if d := cmp.Diff(want.Series, got.Series); d != "" || !slices.Equal(got.Missing, []string{euTwo.Name(), euThree.Name()}) {
				t.Errorf("%s: missing %q; -want +got:\n%s", query, got.Missing, d)
			}
		})
	}
}

// A child that comes and goes at random is in an answer whole, or not at all and
// named; never in a part of it.
func TestFlappingChild(t *testing.T) {
	one, two, other := threeOf(t, euOne, 1), threeOf(t, euTwo, 100), threeOf(t, usOne, 10)
	flapping := &brittle{two, atRandom()}
	pushed := slices.DeleteFunc(slices.Clone(ofEveryKind), pullsBeside)
	checkFlapping(t, rootOver(t, one, flapping, other), rootOver(t, one, two, other), rootOver(t, one, other), pushed)
}

// pullsBeside reports whether raw series are pulled for a query beside its
// fragments: what a child gave before it failed stays in the answer then.
func pullsBeside(query string) bool {
	return strings.HasPrefix(query, "info") || strings.HasPrefix(query, "quantile_over_time(scalar")
}

// So is a leaf further down, of queries that ask its zone once. If they ask more
// than once, it may be in one part of the answer and not in the other, but it is
// named.
func TestFlappingLeaf(t *testing.T) {
	whole, rest := with(t, nil, atRandom())
	healthy, _ := with(t, nil, always(0, nil))
	var once, several []string
	for _, query := range ofEveryKind {
		plan, err := whole.PlanOf(ExecRequest{Query: query, Start: 600_000, End: 600_000})
		if err != nil {
			t.Fatal(err)
		}
		if len(plan.Fragments) == 1 && len(plan.Fragments[0].guards) == 0 && !pullsBeside(query) {
			once = append(once, query)
		} else {
			several = append(several, query)
		}
	}
	if len(once) < len(ofEveryKind)/2 {
		t.Errorf("only %q ask once", once)
	}
	checkFlapping(t, whole, healthy, rest, once)
	for _, query := range several {
		all := askInstant(t.Context(), healthy, query, Options{})
		for range 20 {
			got := askInstant(t.Context(), whole, query, Options{})
			if d := cmp.Diff(all.Series, got.Series); d != "" && !slices.Equal(got.Missing, []string{euTwo.Name()}) {
				t.Errorf("%s: not the whole answer, but nobody is missing:\n%s", query, d)
			}
		}
	}
}

// atRandom breaks a third of all requests, now and then in the middle.
func atRandom() func(context.Context) (int, error) {
	var mu sync.Mutex
	rnd := rand.New(rand.NewSource(1))
	return func(context.Context) (int, error) {
		mu.Lock()
		defer mu.Unlock()
		if rnd.Intn(3) > 0 {
			return 0, nil
		}
		return rnd.Intn(4), errBroke
	}
}

// checkFlapping compares the answers of a tree one of whose leaves is flapping
// with those of trees that have it and that do not.
func checkFlapping(t *testing.T, flapping, healthy, rest *Mixer, queries []string) {
	t.Helper()
	var wg sync.WaitGroup
	var with, without atomic.Int64
	for _, query := range queries {
		wg.Go(func() {
			all, some := askInstant(t.Context(), healthy, query, Options{}), askInstant(t.Context(), rest, query, Options{})
			for range 20 {
				got := askInstant(t.Context(), flapping, query, Options{})
				if len(got.Missing) > 0 {
					without.Add(1)
					wantWithout(t, query, some, got, euTwo.Name())
					continue
				}
				with.Add(1)
				if d := cmp.Diff(all, got); d != "" {
					t.Errorf("%s, whole: -want +got:\n%s", query, d)
				}
			}
		})
	}
	wg.Wait()
	if with.Load() == 0 || without.Load() == 0 {
		t.Errorf("%d answers with the child, %d without: nothing was flapping", with.Load(), without.Load())
	}
}

// A tier that is restarted in the middle of a query is missing from that answer,
// and whole in the next one.
func TestRestartWithinAQuery(t *testing.T) {
	one, two, other := threeOf(t, euOne, 1), threeOf(t, euTwo, 100), threeOf(t, usOne, 10)
	healthy, rest := rootOver(t, one, two, other), rootOver(t, one, other)
	for _, query := range slices.DeleteFunc(slices.Clone(ofEveryKind), pullsBeside) {
		var asked atomic.Int64
		m := rootOver(t, one, &brittle{two, func(context.Context) (int, error) {
			if asked.Add(1) == 1 {
				return 1, errBroke
			}
			return 0, nil
		}}, other)
		wantWithout(t, query, askInstant(t.Context(), rest, query, Options{}), askInstant(t.Context(), m, query, Options{}), euTwo.Name())
		want, second := askInstant(t.Context(), healthy, query, Options{}), askInstant(t.Context(), m, query, Options{})
		if d := cmp.Diff(want, second); d != "" {
			t.Errorf("%s, after the restart: -want +got:\n%s", query, d)
		}
	}
}

// nonsense are answers that no child should give.
var nonsense = map[string]func(req ExecRequest) promql.Matrix{
	"a point before the grid": func(req ExecRequest) promql.Matrix {
		return promql.Matrix{{Metric: labels.FromStrings("i", "0"), Floats: []promql.FPoint{{T: req.Start - 1, F: 9}}}}
	},
	"a point after the grid": func(req ExecRequest) promql.Matrix {
		return promql.Matrix{{Metric: labels.FromStrings("i", "0"), Floats: []promql.FPoint{{T: req.End + 1, F: 9}}}}
	},
}

// A child that sends nonsense does no harm but to itself: aggregations leave it
// out, and name it.
func TestNonsense(t *testing.T) {
	for name, answer := range nonsense {
		mad := &fake{desc: euTwo}
		mad.desc.Features = MixerFeatures()
		mad.exec = func(_ context.Context, req ExecRequest) (ResultSet, error) {
			return NewMatrixSet(answer(req), nil, mad.asked()), nil
		}
		m, rest := rootOver(t, threeOf(t, euOne, 1), mad), rootOver(t, threeOf(t, euOne, 1))
		for _, query := range []string{"sum by (i) (x)", "avg by (i) (x)", "stddev by (i) (x)", "quantile by (i) (0.5, x)"} {
			want, got := askInstant(t.Context(), rest, query, Options{}), askInstant(t.Context(), m, query, Options{})
			wantWithout(t, name+": "+query, want, got, euTwo.Name())
		}
	}
}

// An absence that only a dead leaf could deny is not told without its name, and
// unknown to a strict request.
func TestAbsenceOfWhatADeadLeafHolds(t *testing.T) {
	only := holding(t, euTwo, point(1, "__name__", "z", "job", "a"))
	for _, query := range []string{`absent(z{job="a"})`, `absent_over_time(z{job="a"}[5m])`, `absent(sum(z))`, `absent(z) and on () vector(1)`} {
		alive := rootOver(t, threeOf(t, euOne, 1), only)
		wantOutcome(t, outcome{}, askInstant(t.Context(), alive, query, Options{Strict: true}))
		dead := rootOver(t, threeOf(t, euOne, 1), &brittle{only, always(0, errBroke)})
		got := askInstant(t.Context(), dead, query, Options{})
		if len(got.Series) != 1 || !slices.Equal(got.Missing, []string{euTwo.Name()}) || len(got.Warnings) != 1 {
			t.Errorf("%s: %+v", query, got)
		}
		if got := askInstant(t.Context(), dead, query, Options{Strict: true}); !strings.Contains(got.Err, euTwo.Name()) {
			t.Errorf("%s, strict: %+v", query, got)
		}
	}
}

// Leaves with equal labels and disjoint series are summed, not picked.
func TestEqualLabelsDisjointSeries(t *testing.T) {
	shard := func(n string, key ...string) Child {
		return holding(t, shardOf(n, key, "zone", "eu", "cluster", "a"), point(1, "__name__", "a", "instance", n), point(1, "__name__", "b", "instance", n))
	}
	for name, m := range map[string]*Mixer{
		"by hash":   rootOver(t, shard("0"), shard("1")),
		"by key":    rootOver(t, shard("0", "instance"), shard("1", "instance")),
		"in a zone": rootOver(t, mixerOver(t, eu.Identity, nil, shard("0"), shard("1"))),
	} {
		for query, want := range map[string]string{
			"sum(a)": "{} 2", "count(a)": "{} 2", "count by (zone, cluster) (a)": `{cluster="a", zone="eu"} 2`,
			"avg(a)": "{} 1", "count(a) + count(b)": "{} 4", "sum by (zone) (a) / sum by (zone) (b)": `{zone="eu"} 1`,
			`count({__name__=~"a|b"})`: "{} 4", "stddev(a)": "{} 0", "quantile(0.5, a)": "{} 1",
		} {
			if got := askInstant(t.Context(), m, query, Options{}); !slices.Equal(got.Series, []string{want}) || len(got.Warnings) > 0 {
				t.Errorf("%s, %s: want %s, got %+v", name, query, want, got)
			}
		}
	}
}

// Names do not prune by chance: a matcher that the empty string satisfies asks
// the children without the label too, and one side of `or` is not skipped for
// the other's sake.
func TestNoFalseNegativesByLabels(t *testing.T) {
	m := rootOver(t, holding(t, leafOf("zone", "eu"), point(1, "__name__", "x", "dc", "1")), holding(t, leafOf("zone", "us"), point(2, "__name__", "x")))
	for query, want := range map[string]string{
		`count(x{dc!="2"})`: "{} 2", `count(x{dc=""})`: "{} 1", `count(x{dc=~".*"})`: "{} 2", `count(x{dc!~"1"})`: "{} 1", `count(x{cluster=""})`: "{} 2",
		`count(x{zone="eu"} or x{zone="us"})`: "{} 2", `count(x{zone="nowhere"} or x)`: "{} 2", `count(x or x{zone="nowhere"})`: "{} 2",
	} {
		if got := askInstant(t.Context(), m, query, Options{}); !slices.Equal(got.Series, []string{want}) {
			t.Errorf("%s: want %s, got %+v", query, want, got)
		}
	}
}
