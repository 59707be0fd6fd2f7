package querytree_test

import (
	"context"
	"math/rand"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/util/annotations"

	"github.com/pandometrics/pando/querytree"
	"github.com/pandometrics/pando/querytree/treetest"
)

// plain is a Child that does not know of several operators, and fails the test
// if it is asked for them.
type plain struct {
	querytree.Child
	tb testing.TB
}

func (p plain) Describe() querytree.Description {
	d := p.Child.Describe()
	d.Features = nil
	return d
}

func (p plain) Exec(ctx context.Context, req querytree.ExecRequest) (querytree.ResultSet, error) {
	if len(req.Ops) > 0 {
		p.tb.Errorf("a child without the feature was asked for %v of %s", req.Ops, req.Query)
	}
	return p.Child.Exec(ctx, req)
}

// opsTrees are four tiers where all mixers know of several operators, where
// none says so, and where some do.
var opsTrees = map[string]func(tb testing.TB, d querytree.Description) bool{
	"all know":  func(testing.TB, querytree.Description) bool { return true },
	"none does": func(testing.TB, querytree.Description) bool { return false },
	"some do": func(_ testing.TB, d querytree.Description) bool {
		return d.Labels.Get("part") == "north" || (d.Labels.Get("zone") == "us" && d.Labels.Get("part") == "")
	},
	"only below": func(_ testing.TB, d querytree.Description) bool { return d.Labels.Get("part") != "" },
}

func opsTree(t *testing.T, knows func(testing.TB, querytree.Description) bool) *treetest.Planet {
	cfg := fourTiers()
	cfg.Connect = func(tb testing.TB, c querytree.Child) querytree.Child {
		if knows(tb, c.Describe()) {
			return c
		}
		return plain{c, tb}
	}
	p := treetest.New(t, cfg)
	rowData.Fill(t, p, rand.New(rand.NewSource(3)))
	return p
}

// Averages, deviations and variances are the engine's whether the children
// answer several operators at once or one after the other.
func TestOpsOfMixedTrees(t *testing.T) {
	for name, knows := range opsTrees {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := opsTree(t, knows)
			for _, op := range []string{"avg", "stddev", "stdvar"} {
				for _, rest := range []string{
					"(temperature)", " by (job) (rate(http_requests_total[5m]))", " without (zone, part, cluster) (temperature)",
					" by (zone) (temperature)", "(nowhere)", "(native_seconds)", " by (pod) (mixed)", `(temperature{zone="eu"})`,
					"(max_over_time(avg(temperature)[3m:1m]))", "(temperature @ 600)",
				} {
					p.Check(t, treetest.Query{Expr: op + rest, Start: 900_123})
					p.Check(t, treetest.Query{Expr: op + rest, Start: 330_000, End: 1_170_000, Step: 41_000})
				}
			}
		})
	}
}

// opsOf are requests for several operators, with what is asked of them.
var opsOf = []struct {
	query string
	ops   []string
}{
	{"stddev(temperature)", []string{"count", "avg", "stddev"}},
	{"   stdvar by (job) (temperature)", []string{"count", "avg", "stdvar"}},
	{"sum without (zone, part, cluster) (rate(http_requests_total[5m]))", []string{"sum", "count"}},
	{"max by (zone) (temperature)", []string{"min", "max", "avg", "stddev"}}, // not mergeable above the zone, but need not be
	{"max by (pod) (temperature)", []string{"min", "max", "group", "sum", "count", "avg", "stddev", "stdvar"}},
	{"max by (pod) (temperature)", []string{"stddev", "avg"}},        // without a count
	{"sum(temperature @ 600)", []string{"sum", "count"}},             // the same at all steps
	{"sum(native_seconds)", []string{"sum", "count"}},                // histograms
	{"sum by (job) (mixed)", []string{"sum", "count"}},               // and floats
	{"avg(native_seconds)", []string{"count", "avg", "stddev"}},      // a mean, but no deviation
	{"sum(nowhere)", []string{"sum", "count"}},                       // nothing
	{"sum(vector(1))", []string{"sum", "count"}},                     // constant
	{`sum(temperature{zone="us"})`, []string{"sum", "count", "max"}}, // one child
	{"((sum(temperature)))", []string{"sum", "count"}},               // in brackets
	{"sum(sum by (zone) (temperature))", []string{"sum", "max", "count"}},
	{"sum(quantile(0.5, temperature))", []string{"sum", "count"}}, // an operand that is not local
}

// A request for several operators has the answers to one request for each, with
// the operator in a label, at every tier; and so it has by group.
func TestOpsAreTheOperators(t *testing.T) {
	for name, knows := range opsTrees {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := opsTree(t, knows)
			for _, c := range opsOf {
				for _, g := range []struct {
					start, end, step int64
					byGroup          bool
				}{{900_123, 900_123, 0, false}, {330_000, 1_170_000, 41_000, false}, {900_123, 900_123, 0, true}, {330_000, 1_170_000, 41_000, true}} {
					req := querytree.ExecRequest{Query: c.query, Start: g.start, End: g.end, Step: g.step, Ops: c.ops, ByGroup: g.byGroup}
					res := ofSet(t, p, req)
					for _, op := range c.ops {
						own := strings.TrimLeft(c.query, " (")
						single := strings.Replace(c.query, own[:strings.IndexAny(own, " (")], op, 1)
						want := p.Oracle(treetest.Query{Expr: single, Start: g.start, End: g.end, Step: g.step})
						if d := treetest.DiffResults(single, onlyValues(want, g.start), res[op]); d != "" {
							t.Errorf("%v of %q, step %d: %s: %s", c.ops, c.query, g.step, op, d)
						}
					}
				}
			}
		})
	}
}

// ofSet asks the root for several operators and returns the answer to each. No
// other series may be in it, and by group those of a group have to be neighbours.
func ofSet(t *testing.T, p *treetest.Planet, req querytree.ExecRequest) map[string]*promql.Result {
	t.Helper()
	out := map[string]*promql.Result{}
	parts := map[string]promql.Matrix{}
	opLabel, group, groups := querytree.OpLabel, "none", map[string]bool{}
	if req.ByGroup {
		opLabel = querytree.GroupOpLabel
	}
	set, err := p.Root.Exec(t.Context(), req)
	if err == nil {
		defer set.Close()
		for set.Next() {
			s := set.At()
			op := s.Metric.Get(opLabel)
			if !slices.Contains(req.Ops, op) {
				t.Errorf("%v of %q: a series with operator %q", req.Ops, req.Query, op)
			}
			s.Metric = labels.NewBuilder(s.Metric).Del(opLabel).Labels()
			if now := s.Metric.String(); now != group {
				if group = now; req.ByGroup && groups[now] {
					t.Errorf("%v of %q: the series of %s are apart", req.Ops, req.Query, now)
				}
				groups[now] = true
			}
			parts[op] = append(parts[op], s)
		}
		err = set.Err()
	}
	for _, op := range req.Ops {
		out[op] = &promql.Result{Err: err, Value: parts[op]}
	}
	return out
}

// onlyValues is a result as a matrix, without annotations: those of a request
// for several operators are those of its query alone.
func onlyValues(r *promql.Result, at int64) *promql.Result {
	v, ok := r.Value.(promql.Vector)
	if !ok {
		return &promql.Result{Err: r.Err, Value: r.Value}
	}
	m := promql.Matrix{}
	for _, s := range v {
		series := promql.Series{Metric: s.Metric}
		if s.H != nil {
			series.Histograms = []promql.HPoint{{T: at, H: s.H}}
		} else {
			series.Floats = []promql.FPoint{{T: at, F: s.F}}
		}
		m = append(m, series)
	}
	return &promql.Result{Err: r.Err, Value: m, Warnings: annotations.Annotations{}}
}

// What nobody should ask for is refused, with the reason, before any child is
// asked.
func TestOpsRefused(t *testing.T) {
	p := opsTree(t, opsTrees["all know"])
	for name, c := range map[string]struct {
		query string
		ops   []string
		want  string
	}{
		"unknown":             {"sum(up)", []string{"sum", "median"}, `"median" is unknown or there twice`},
		"not for several":     {"sum(up)", []string{"sum", "topk"}, `"topk" is unknown`},
		"one":                 {"sum(up)", []string{"max"}, "1 of them"},
		"empty":               {"sum(up)", []string{"sum", ""}, `"" is unknown`},
		"twice":               {"sum(up)", []string{"sum", "count", "sum"}, `"sum" is unknown or there twice`},
		"too many":            {"sum(up)", slices.Repeat([]string{"sum"}, 9), "9 of them"},
		"no aggregation":      {"rate(up[5m])", []string{"sum", "count"}, "not an aggregation"},
		"below an operator":   {"sum(up) + 1", []string{"sum", "count"}, "not an aggregation"},
		"with a parameter":    {"topk(2, up)", []string{"sum", "count"}, "not an aggregation"},
		"does not parse":      {"sum(up", []string{"sum", "count"}, ""},
		"longer than allowed": {"sum(up)" + strings.Repeat(" ", 1<<20), []string{"sum", "count"}, "query"},
	} {
		for tier, m := range map[string]querytree.Child{"root": p.Root, "zone": p.ZoneMixers[0]} {
			_, err := m.Exec(t.Context(), querytree.ExecRequest{Query: c.query, Start: 900_000, End: 900_000, Ops: c.ops})
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%s, at the %s: want an error with %q, got %v", name, tier, c.want, err)
			}
		}
	}
}

// Without push-down, several operators are evaluated one by one.
func TestOpsWithoutPushdown(t *testing.T) {
	p := opsTree(t, opsTrees["all know"])
	req := querytree.ExecRequest{Query: "sum by (job) (temperature)", Start: 900_123, End: 900_123, Ops: []string{"sum", "count"}}
	want := ofSet(t, p, req)
	req.NoPushdown = true
	got := ofSet(t, p, req)
	for _, op := range req.Ops {
		if d := treetest.DiffResults(req.Query, want[op], got[op]); d != "" {
			t.Errorf("%s: %s", op, d)
		}
	}
}
