package querytree_test

import (
	"context"
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"

	"github.com/pandometrics/pando/querytree"
	"github.com/pandometrics/pando/querytree/treetest"
)

var updateExplain = flag.Bool("update-explain", false, "rewrite testdata/explain.txt")

// troubled is a child with a fault of its own.
type troubled struct {
	querytree.Child
	err error
}

func (c troubled) Exec(ctx context.Context, req querytree.ExecRequest) (querytree.ResultSet, error) {
	if req.Explain == querytree.ExplainPlan {
		return c.Child.Exec(ctx, req)
	}
	return nil, c.err
}

func (c troubled) Select(ctx context.Context, req querytree.SelectRequest) querytree.SeriesSet {
	return brokenSet{c.Child.Select(ctx, req), c.err}
}

type brokenSet struct {
	querytree.SeriesSet
	err error
}

func (brokenSet) Next() bool   { return false }
func (s brokenSet) Err() error { return s.err }

// byMetric rules out children by metric names that they do not have, and by the
// pair of a metric and a job.
type byMetric map[string][]string

func (h byMetric) RulesOutAll(children []string, ms []*labels.Matcher, _, _ int64) []bool {
	out := make([]bool, len(children))
	for i, c := range children {
		for _, what := range h[c] {
			all := true
			for _, want := range strings.Split(what, "+") {
				found := false
				for _, m := range ms {
					found = found || m.String() == want
				}
				all = all && found
			}
			out[i] = out[i] || all
		}
	}
	return out
}

// explainPlanet has two zones of three and two leaves, of which eu-1 is dead and
// us-1 is late.
func explainPlanet(t *testing.T) *treetest.Planet {
	t.Helper()
	leaves, zones := treetest.Clusters("eu", 3, "us", 2)
	faults := map[string]error{
		"zone=eu,cluster=eu-1": fmt.Errorf("%w: connection lost", querytree.ErrUnavailable),
		"zone=us,cluster=us-1": fmt.Errorf("%w (10s)", querytree.ErrLate),
	}
	p := treetest.New(t, treetest.Config{
		Leaves: leaves, Zones: zones,
		Connect: func(_ testing.TB, c querytree.Child) querytree.Child {
			if err := faults[c.Describe().Name()]; err != nil {
				return troubled{c, err}
			}
			return c
		},
		Pruner: func(testing.TB, []querytree.Child) querytree.Pruner {
			return byMetric{
				"zone=eu,cluster=eu-2": {`job="db"`, `__name__="up"+job="web"`},
				"zone=us":              {`job="db"`},
			}
		},
	})
	for _, l := range leaves {
		for _, job := range []string{"api", "web"} {
			set := labels.NewBuilder(l.Labels).Set("__name__", "up").Set("job", job).Labels()
			for i := range int64(3) {
				p.Append(t, set, i*60_000, 1)
			}
		}
	}
	return p
}

// explained asks the root for the explanation of a query. One that begins with a
// "!" is not to be pushed down.
func explained(t *testing.T, p *treetest.Planet, query string, mode querytree.ExplainMode) *querytree.Explanation {
	t.Helper()
	query, raw := strings.CutPrefix(query, "!")
	set, err := p.Root.Exec(context.Background(), querytree.ExecRequest{
		Query: query, Start: 60_000, End: 120_000, Step: 60_000, Options: querytree.Options{Explain: mode, Detail: true, NoPushdown: raw},
	})
	if err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	defer set.Close()
	n := 0
	for set.Next() {
		n++
	}
	if mode == querytree.ExplainPlan && n > 0 {
		t.Errorf("%s: %d series in an answer that should only explain", query, n)
	}
	return set.Report().Explanation
}

// What plans and answers of a tree of three tiers are explained by, as text.
func TestExplain(t *testing.T) {
	p := explainPlanet(t)
	var got strings.Builder
	for _, query := range []string{
		`sum by (cluster) (up)`,                     // local: the co-location key is kept
		`sum(up{cluster="us-0"})`,                   // one zone and, in it, one leaf
		`avg(up{zone="eu"})`,                        // pruned by label; in the zone, sums and counts
		`sum(up{job="db"})`,                         // pruned by one matcher's hint
		`max(up{job="web"})`,                        // pruned by the pair's hint alone
		`sort(up)`,                                  // an order is put on what is pushed down
		`absent(up{job="db"}) or quantile(0.5, up)`, // absence and quantiles stay above
		`max_over_time(absent(up)[2m:1m])`,          // a subquery has a grid of its own
		`!sum(up) + sum(up{zone="us"})`,             // raw series, as asked
		`count(up) > scalar(sum(up{zone="us"}))`,
		`vector(1)`,
	} {
		fmt.Fprintf(&got, "=== %s\n--- plan\n", query)
		draw(&got, "", explained(t, p, query, querytree.ExplainPlan))
		fmt.Fprintf(&got, "--- analysis\n")
		draw(&got, "", explained(t, p, query, querytree.ExplainAnalyze))
	}
	const file = "testdata/explain.txt"
	if *updateExplain {
		if err := os.WriteFile(file, []byte(got.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), got.String()); d != "" {
		t.Errorf("-want +got (-update-explain rewrites):\n%s", d)
	}
}

// draw writes what of an explanation is the same each time.
func draw(b *strings.Builder, in string, x *querytree.Explanation) {
	fmt.Fprintf(b, "%s%s %s: %s", in, x.Tier, x.Name, x.Query)
	if x.Total > 0 {
		fmt.Fprintf(b, " = %d series, %d samples", x.Series, x.Samples)
	}
	b.WriteByte('\n')
	if x.Residual != "" {
		fmt.Fprintf(b, "%s  here: %s\n", in, x.Residual)
	}
	for _, c := range x.Cuts {
		fmt.Fprintf(b, "%s  cut %s: %s\n", in, c.Expr, c.Why)
	}
	for _, r := range x.Replans {
		fmt.Fprintf(b, "%s  replanned: %s\n", in, r)
	}
	for _, f := range x.Fragments {
		fmt.Fprintf(b, "%s  %s %s %s [%d,%d,%d]: %s\n", in, f.ID, f.Kind, f.Query, f.Start, f.End, f.Step, f.Why)
		for _, e := range f.Children {
			fmt.Fprintf(b, "%s    %s %s", in, e.Child, e.Verdict)
			if e.Evidence != "" {
				fmt.Fprintf(b, " by %s", e.Evidence)
			}
			if e.Time > 0 && e.Failed == "" {
				fmt.Fprintf(b, ": %d series, %d samples", e.Series, e.Samples)
			}
			if e.Failed != "" {
				fmt.Fprintf(b, " failed: %s (late %v)", e.Failed, e.Late)
			}
			b.WriteByte('\n')
			if e.Below != nil {
				draw(b, in+"      ", e.Below)
			}
		}
	}
}

// An explanation fits what was answered: its samples are those of the report,
// and its times nest.
func TestAnalysisFitsTheReport(t *testing.T) {
	p := explainPlanet(t)
	ctx, sink := querytree.WithReport(context.Background())
	q, err := (querytree.Engine{}).NewRangeQuery(ctx, p.Root, nil, "sum by (job) (up)", time.Unix(60, 0), time.Unix(120, 0), time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	defer q.Close()
	if res := q.Exec(querytree.WithOptions(ctx, querytree.Options{Explain: querytree.ExplainAnalyze})); res.Err != nil {
		t.Fatal(res.Err)
	}
	x, report := sink.Explanation(), sink.Report()
	for _, e := range x.Fragments[0].Children {
		row := report.Children[e.Child]
		if e.Bytes == 0 || e.Bytes != row.Bytes || e.Time > x.Total || e.Below == nil || e.Below.Total > e.Time {
			t.Errorf("%s: edge %+v of a total of %v, report %+v", e.Child, e, x.Total, row)
		}
	}
	if row := report.Children["zone=us,cluster=us-0"]; row.Bytes == 0 || row.Time == 0 {
		t.Errorf("a leaf two tiers below has no bytes or time: %+v", row)
	}
	if ev := sink.Evaluation(); ev.Total != x.Total || ev.Fragments != 1 || ev.Planned == 0 {
		t.Errorf("evaluation %+v", ev)
	}
}

// A query that nobody asked to explain can be explained afterwards, but for what
// happened below.
func TestExplainAfterwards(t *testing.T) {
	p := explainPlanet(t)
	ctx, sink := querytree.WithReport(context.Background())
	q, err := (querytree.Engine{}).NewInstantQuery(ctx, p.Root, nil, "sum by (job) (up)", time.Unix(120, 0))
	if err != nil {
		t.Fatal(err)
	}
	defer q.Close()
	if res := q.Exec(ctx); res.Err != nil {
		t.Fatal(res.Err)
	}
	x := sink.Explanation()
	if x == nil || len(x.Fragments) != 1 || len(x.Fragments[0].Children) != 2 || x.Fragments[0].Children[0].Time == 0 || x.Total == 0 {
		t.Fatalf("explanation %+v", x)
	}
	if x.Fragments[0].Children[0].Below != nil {
		t.Error("it was not analysed, and yet tells of what is below")
	}
}

// A tier that has more children than are worth asking asks some, and says so.
func TestExplainIsBounded(t *testing.T) {
	leaves, zones := treetest.Clusters("eu", 70)
	p := treetest.New(t, treetest.Config{Leaves: leaves, Zones: zones})
	x := explained(t, p, "sum(up)", querytree.ExplainPlan)
	f := x.Fragments[0].Children[0].Below.Fragments[0]
	n := 0
	for _, e := range f.Children {
		if e.Below != nil {
			n++
		}
	}
	if want := "64 of 70 children were asked for their plans; the others' are alike"; n != 64 || len(f.Children) != 70 || f.Note != want {
		t.Errorf("%d of %d children were asked, note %q", n, len(f.Children), f.Note)
	}
}

// A query that is wrong cannot be explained.
func TestExplainWrongQuery(t *testing.T) {
	p := explainPlanet(t)
	_, err := p.Root.Exec(context.Background(), querytree.ExecRequest{Query: "sum(", Options: querytree.Options{Explain: querytree.ExplainPlan}})
	var parseErrs parser.ParseErrors
	if err == nil {
		t.Fatalf("no error, want %T", parseErrs)
	}
}

// The critical path follows the slowest edges, and its parts add up.
func TestCriticalPath(t *testing.T) {
	ms := func(n int) time.Duration { return time.Duration(n) * time.Millisecond }
	leaf := &querytree.Explanation{Name: "slow", Tier: "leaf", Total: ms(60)}
	zone := &querytree.Explanation{Name: "eu", Tier: "zone", Total: ms(80), Queued: ms(5), Fragments: []querytree.FragmentExplanation{{
		ID: "0", Children: []querytree.EdgeExplanation{
			{Child: "quick", Tier: "leaf", Time: ms(10)}, {Child: "slow", Tier: "leaf", Time: ms(70), Below: leaf},
		},
	}}}
	root := &querytree.Explanation{Name: "root", Tier: "root", Total: ms(100), Queued: ms(1), Fragments: []querytree.FragmentExplanation{
		{ID: "0", Children: []querytree.EdgeExplanation{{Child: "us", Tier: "zone", Time: ms(50)}}},
		{ID: "1", Children: []querytree.EdgeExplanation{{Child: "eu", Tier: "zone", Time: ms(90), Below: zone}}},
	}}
	want := []querytree.PathStep{
		{Name: "root", Tier: "root", Total: ms(100), Queued: ms(1), Self: ms(9)},
		{Name: "eu", Tier: "zone", Fragment: "1", Total: ms(90), Queued: ms(5), Wire: ms(10), Self: ms(5)},
		{Name: "slow", Tier: "leaf", Fragment: "0", Total: ms(70), Wire: ms(10), Self: ms(60)},
	}
	got := root.CriticalPath()
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("-want +got:\n%s", d)
	}
	sum := time.Duration(0)
	for _, s := range got {
		sum += s.Queued + s.Wire + s.Self
	}
	if sum != root.Total {
		t.Errorf("parts add up to %v, the whole took %v", sum, root.Total)
	}
	if late := (&querytree.Explanation{Total: ms(30), Fragments: []querytree.FragmentExplanation{{Children: []querytree.EdgeExplanation{
		{Child: "x", Time: ms(25), Late: true, Failed: "soft deadline"},
	}}}}).CriticalPath(); len(late) != 2 || !late[1].Late || late[1].Self != ms(25) {
		t.Errorf("a late child is not at the end of the path: %+v", late)
	}
	if p := (&querytree.Explanation{}).CriticalPath(); p != nil {
		t.Errorf("a plan has a critical path: %v", p)
	}
}
