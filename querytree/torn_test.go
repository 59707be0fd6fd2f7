package querytree

import (
	"context"
	"math"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
)

// A leaf two tiers down breaks off between two fragments of one query: the query
// is asked again, and it is either there for both, or for neither and named.
// sum(x)/sum(y) is 1 of any set of leaves.
func TestLeafBelowAZoneBreaksOff(t *testing.T) {
	healthy, rest := with(t, nil, always(0, nil))
	for _, query := range []string{
		"sum(x) / sum(y)", "sum(x) > 0 and count(x) > 0", "scalar(sum(x)) + scalar(max(x))", "avg(x) - stddev(y)",
		"quantile_over_time(scalar(max(x)) / 100, x[1m])",
	} {
		for _, times := range []int64{1, math.MaxInt64} {
			var asked atomic.Int64
			broken, _ := with(t, nil, func(context.Context) (int, error) {
				if n := asked.Add(1); n > 1 && n <= 1+times || times == 1 && n == 1 {
					return 1, errBroke
				}
				return 0, nil
			})
			got := askInstant(t.Context(), broken, query, Options{})
			if len(got.Missing) == 0 {
				if d := cmp.Diff(askInstant(t.Context(), healthy, query, Options{}).Series, got.Series); d != "" {
					t.Errorf("%s: %q -want +got:\n%s", query, got.Warnings, d)
				}
				continue
			}
			wantWithout(t, query, askInstant(t.Context(), rest, query, Options{}), got, euTwo.Name())
		}
	}
}

// One operator is asked for by the query itself.
func TestOneOperatorIsNotSeveral(t *testing.T) {
	m := rootOver(t, threeOf(t, euOne, 1), threeOf(t, euTwo, 2))
	if _, err := m.Exec(t.Context(), ExecRequest{Query: "sum(x)", Start: 600_000, End: 600_000, Ops: []string{"max"}}); err == nil {
		t.Error("no error")
	}
}

// Guards of a request for several operators are asked for on their own.
func TestGuardsOfSeveralOperators(t *testing.T) {
	var wrong atomic.Int64
	f := &fake{desc: euOne}
	real := threeOf(t, euOne, 1)
	f.exec = func(ctx context.Context, req ExecRequest) (ResultSet, error) {
		if strings.Contains(req.Query, "> 1") && len(req.Ops) > 0 {
			wrong.Add(1)
		}
		return real.Exec(ctx, req)
	}
	m := rootOver(t, f, threeOf(t, euTwo, 2))
	set, err := m.Exec(t.Context(), ExecRequest{Query: "stddev(x * on (cluster, i) y)", Start: 600_000, End: 600_000, Ops: []string{"count", "avg", "stddev"}})
	if err != nil || wrong.Load() > 0 {
		t.Errorf("%d guards were sent with operators: %v %v", wrong.Load(), set, err)
	}
}

// The average of finite values whose sum overflows, and of an infinity, in one
// leaf or in several, of a tree of two or three tiers; beside values that are no
// numbers.
func TestAverageOfOverflow(t *testing.T) {
	inf, nan := math.Inf(-1), math.NaN()
	for _, values := range [][2][]float64{
		{{math.MaxFloat64, math.MaxFloat64}, {inf}},
		{{math.MaxFloat64, math.MaxFloat64, inf}, {5}},
		{{math.MaxFloat64, math.MaxFloat64, inf}, {5, nan}},
		{{math.MaxFloat64, math.MaxFloat64, inf}, {-inf}},
		{{math.MaxFloat64, math.MaxFloat64, inf}, {inf, -math.MaxFloat64}},
		{{math.MaxFloat64, math.MaxFloat64, inf}, {-math.MaxFloat64, -math.MaxFloat64}},
		{{nan, 1}, {2}},
		{{inf, -inf}, {2}},
	} {
		var leaves []Child
		us := holding(t, leafOf("zone", "us", "cluster", "three"), point(1, "__name__", "x", "i", "9"))
		for n, who := range []Description{euOne, euTwo} {
			var all []promql.Series
			for i, v := range values[n] {
				all = append(all, point(v, "__name__", "x", "i", string(rune('0'+i))))
			}
			leaves = append(leaves, holding(t, who, all...))
		}
		for _, expr := range []string{"avg(x)", "avg by (cluster) (x)", "avg by (i) (x)", `avg by (__name__) (x)`, "max_over_time(avg(x)[1m:10s])"} {
			zone := mixerOver(t, zoneOf("zone", "eu").Identity, nil, leaves...)
			for tiers, m := range map[int]*Mixer{2: rootOver(t, leaves...), 3: rootOver(t, zone, us)} {
				want := askInstant(t.Context(), m, expr, Options{NoPushdown: true})
				if d := cmp.Diff(want, askInstant(t.Context(), m, expr, Options{})); d != "" {
					t.Errorf("%s of %v over %d tiers: %s", expr, values, tiers, d)
				}
			}
		}
	}
}

// Sums that cancel in every tier lose digits in each.
func TestCancellationOverTiers(t *testing.T) {
	a, b := []float64{0.1, 0.7, 0.3, 0.9}, []float64{0.23, 0.81, 0.57}
	sum := func(v []float64) (s float64) {
		for _, x := range v {
			s += x
		}
		return s
	}
	leafOfValues := func(cluster string, v []float64) Child {
		var all []promql.Series
		for i, x := range v {
			all = append(all, point(x, "__name__", "x", "i", labels.FromStrings("i", string(rune('a'+i))).Get("i")))
		}
		return holding(t, leafOf("zone", "eu", "cluster", cluster), all...)
	}
	b = append(b, -(sum(a)+sum(b))+3e-4*sum(a))
	za := sum(a) + sum(b)
	c, d := []float64{0.37, 0.11, 0.93}, []float64{0.19, 0.41, 0.83}
	d = append(d, -(sum(c)+sum(d))-za*(1-3e-4))
	m := rootOver(t,
		mixerOver(t, Identity{Tier: TierZone, Labels: labels.FromStrings("zone", "eu"), Shard: "0"}, nil, leafOfValues("a", a), leafOfValues("b", b)),
		mixerOver(t, Identity{Tier: TierZone, Labels: labels.FromStrings("zone", "eu"), Shard: "1"}, nil, leafOfValues("c", c), leafOfValues("d", d)))
	want, got := askInstant(t.Context(), m, "sum(x)", Options{NoPushdown: true}), askInstant(t.Context(), m, "sum(x)", Options{})
	t.Logf("want %v, got %v", want.Series, got.Series)
	if len(want.Series) == 1 && len(got.Series) == 1 && want.Series[0][:12] != got.Series[0][:12] {
		t.Error("differ")
	}
}

// An answer with an operator nobody asked for costs that child alone.
func TestOperatorNobodyAskedFor(t *testing.T) {
	mad := &fake{desc: euTwo}
	mad.desc.Features = MixerFeatures()
	mad.exec = func(_ context.Context, req ExecRequest) (ResultSet, error) {
		return NewMatrixSet(promql.Matrix{{Metric: labels.FromStrings(OpLabel, "median"), Floats: []promql.FPoint{{T: req.Start, F: 9}}}}, nil, mad.asked()), nil
	}
	got := askInstant(t.Context(), rootOver(t, threeOf(t, euOne, 1), mad), "avg(x)", Options{})
	if !slices.Equal(got.Missing, []string{euTwo.Name()}) || len(got.Series) != 1 {
		t.Errorf("%+v", got)
	}
}
