package querytree_test

import (
	"context"
	"fmt"
	"math/rand"
	"testing"

	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"

	"github.com/pandometrics/pando/querytree"
	"github.com/pandometrics/pando/querytree/treetest"
)

// exactHints are those of a pruner that looks: a child is ruled out if it holds
// no match.
type exactHints map[string]querytree.Child

func (h exactHints) RulesOutAll(children []string, ms []*labels.Matcher, _, _ int64) []bool {
	out := make([]bool, len(children))
	if len(ms) == 0 {
		return out
	}
	for i, name := range children {
		set := h[name].Select(context.Background(), querytree.SelectRequest{
			Options: querytree.Options{NoHints: true}, Mint: 0, Maxt: 1 << 40, Matchers: ms, LabelsOnly: true, Limit: 1,
		})
		out[i] = !set.Next() && set.Err() == nil
		set.Close()
	}
	return out
}

func withExactHints(cfg *treetest.Config) {
	cfg.Pruner = func(_ testing.TB, children []querytree.Child) querytree.Pruner {
		h := exactHints{}
		for _, c := range children {
			h[c.Describe().Name()] = c
		}
		return h
	}
}

// joins makes random joins of metrics that live in some of the leaves.
type joins struct{ rnd *rand.Rand }

func (j joins) pick(from ...string) string { return from[j.rnd.Intn(len(from))] }

func (j joins) metric() string { return fmt.Sprintf("m%d", j.rnd.Intn(8)) + j.pick("", "", "_total") }

func (j joins) operand(depth int) string {
	if depth > 0 && j.rnd.Intn(3) == 0 {
		return "(" + j.join(depth-1) + ")"
	}
	m := j.metric()
	if j.rnd.Intn(6) == 0 {
		m += `{pod=~"pod-[12]"}`
	}
	const keys = "zone, cluster, pod"
	switch j.rnd.Intn(12) {
	case 0:
		return "rate(" + m + "[5m])"
	case 1:
		return "sum by (" + keys + ") (" + m + ")"
	case 2:
		return "sum by (" + keys + ") (rate(" + m + "[5m]))"
	case 3:
		return "count by (" + keys + ") (" + m + ")"
	case 4:
		return j.pick("max_over_time", "last_over_time", "count_over_time", "changes", "sum_over_time") + "(" + m + "[3m])"
	case 5:
		return j.pick("absent(", "timestamp(", "abs(", "-(", "histogram_count(", "group without (instance) (") + m + ")"
	case 6:
		return m + j.pick(" > 3", " > bool 3", " * 2", " offset 2m", " @ 1200")
	case 7:
		return `label_replace(` + m + `, "x", "$1", "pod", "(.*)")`
	case 8:
		return "max_over_time(" + j.pick(m, "rate("+m+"[2m])") + "[4m:1m])"
	default:
		return m
	}
}

func (j joins) join(depth int) string {
	on := j.pick("", "on (zone, cluster, pod) ", "ignoring (pod) ", "on (zone, cluster) ")
	op := j.pick("and", "and", "or", "unless", "*", "/", "==", ">", "+")
	group := ""
	if len(op) < 3 && op != "or" && on != "" {
		group = j.pick("", "group_left () ", "group_right () ")
	}
	return j.operand(depth) + " " + op + " " + on + group + j.operand(depth)
}

func (j joins) query() string {
	switch q := j.join(2); j.rnd.Intn(5) {
	case 0:
		return j.pick("sum", "count", "max", "avg", "stddev", "group") + "(" + q + ")"
	case 1:
		return j.pick("absent(", "sum by (zone) (", "topk(2, ", "scalar(", "quantile(0.5, ") + q + ")"
	default:
		return q
	}
}

// fillSome fills a tree with metrics each of which is in some leaves only: some
// are floats, some native histograms, some both.
func fillSome(t *testing.T, p *treetest.Planet, rnd *rand.Rand, leaves []treetest.Leaf) {
	t.Helper()
	h := func(v int) *histogram.FloatHistogram {
		return &histogram.FloatHistogram{Count: float64(v), Sum: float64(v), PositiveSpans: []histogram.Span{{Length: 1}}, PositiveBuckets: []float64{float64(v)}}
	}
	app := p.AppenderV2(t.Context())
	for m := range 8 {
		for _, suffix := range []string{"", "_total"} {
			for _, leaf := range leaves {
				if rnd.Intn(5) < 2 {
					continue
				}
				for pod := range 3 {
					l := labels.NewBuilder(leaf.Labels).Set("__name__", fmt.Sprintf("m%d%s", m, suffix)).Set("pod", fmt.Sprintf("pod-%d", pod)).Labels()
					for i := range 30 {
						var err error
						if m == 7 || m == 6 && pod == 1 {
							_, err = app.Append(0, l, 0, int64(i)*60_000, 0, nil, h(i+pod), storage.AOptions{})
						} else {
							_, err = app.Append(0, l, 0, int64(i)*60_000, float64((i*(pod+1))%(m+5)), nil, nil, storage.AOptions{})
						}
						if err != nil {
							t.Fatal(err)
						}
					}
				}
			}
		}
	}
	if err := app.Commit(); err != nil {
		t.Fatal(err)
	}
}

// Joins of what is not everywhere, with hints, which spare children, and
// without: values, errors and annotations are those of the oracle.
func TestGeneratedJoins(t *testing.T) {
	rnd := rand.New(rand.NewSource(7))
	cfg := treetest.Config{}
	cfg.Leaves, cfg.Zones = treetest.Clusters("eu", 3, "us", 2)
	withExactHints(&cfg)
	p := treetest.New(t, cfg)
	fillSome(t, p, rnd, cfg.Leaves)
	j := joins{rnd}
	pruned, annotated, found, wrong := 0, 0, 0, 0
	total := queries(t, 600)
	for range total {
		q := treetest.Query{Expr: j.query(), Start: 1_500_000}
		if rnd.Intn(2) == 0 {
			q.Step, q.End = 60_000, 1_900_000
		}
		want := p.Oracle(q)
		for _, noHints := range []bool{false, true} {
			ctx, sink := querytree.WithReport(querytree.WithOptions(t.Context(), querytree.Options{NoHints: noHints}))
			if diff := p.DiffAnswers(q, want, p.Ask(ctx, q)); diff != "" {
				t.Errorf("without hints %t: %s", noHints, diff)
				if wrong++; wrong > 5 {
					t.Fatal("too many differences")
				}
			}
			pruned += sink.Report().Pruned[querytree.PrunedHint]
		}
		if want.Err == nil && want.Value.String() != "" {
			found++
		}
		annotated += min(len(want.Warnings), 1)
	}
	t.Logf("%d queries, %d with a value, %d with annotations; children pruned by hints: %d", total, found, annotated, pruned)
	if found < total/4 || annotated < total/20 || pruned < total/2 {
		t.Error("the queries do not test much")
	}
}
