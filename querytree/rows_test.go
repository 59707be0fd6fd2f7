package querytree_test

import (
	"strings"
	"testing"

	"github.com/prometheus/prometheus/promql"

	"github.com/pandometrics/pando/querytree"
	"github.com/pandometrics/pando/querytree/treetest"
)

var rowData = treetest.Data{Minutes: 20, Interval: 30_000}

// rowSeed is that of the rows' data.
const rowSeed = 3

// A row is an expression with how it is to be evaluated at the root: the kinds
// of its fragments, "whole" before the only one if nothing is left to do but to
// merge, and "raw" if raw series are pulled. $KEY stands for the labels that tell
// the root's children apart, $ONE for one of them, $PIN for matchers that only
// one child satisfies.
type row struct {
	expr, want string
	// bare is wanted where nothing tells the children apart; if it is empty,
	// the same as elsewhere.
	bare string
	// deeper is wanted where there are tiers between root and leaves; if it is
	// empty, the same as elsewhere.
	deeper string
	// keyed is wanted where series of one target always live together; if it is
	// empty, the same as elsewhere.
	keyed string
	// again: the first plan may be given up for one without a fragment whose
	// answers collide.
	again bool
}

// The rows are in rowtable_test.go.
func TestRows(t *testing.T) {
	sizes := readRowBytes(t)
	t.Run("trees", func(t *testing.T) {
		for i, tree := range rowTrees {
			t.Run(tree.name, func(t *testing.T) {
				t.Parallel()
				checkRows(t, tree, i, sizes)
			})
		}
	})
	sizes.write(t)
}

// checkRows checks all rows that apply to a tree; under the race detector
// each tree has another share of them.
func checkRows(t *testing.T, tree rowTree, nth int, sizes *rowBytes) {
	p, counts := tree.build(t, rowData, rowSeed)
	held, repaired, empty := 0, 0, []string{}
	for section, rows := range rowSections {
		for i, r := range rows {
			expr, want := tree.fill(r)
			if expr == "" || (nth+i)%raceShare != 0 {
				continue
			}
			found := false
			for _, q := range []treetest.Query{
				{Expr: expr, Start: 900_123},
				{Expr: expr, Start: 330_000, End: 1_170_000, Step: 41_000},
			} {
				ok, bytes := checkRow(t, p, counts, section, q, r, want, tree)
				found = ok || found
				if counts.pullsBelow > 0 {
					repaired++
				}
				if q.Step > 0 {
					sizes.check(t, tree.name, r, bytes)
				}
			}
			if held++; !found {
				empty = append(empty, expr)
			}
		}
	}
	if len(empty)*10 > held {
		t.Errorf("%d of %d rows have an empty answer: %q", len(empty), held, empty)
	}
	if tree.replicas && repaired == 0 {
		t.Error("no outage of a replica was mended by another")
	}
}

// The same expressions where names are removed late: then fewer of them can be
// pushed down, but the answers are those of an engine that does so too.
func TestRowsWithDelayedNameRemoval(t *testing.T) {
	tree := rowTrees[1]
	make := tree.make
	tree.make = func() treetest.Config {
		cfg := make()
		cfg.DelayedNameRemoval = true
		return cfg
	}
	p, _ := tree.build(t, rowData, rowSeed)
	for section, rows := range rowSections {
		for i, r := range rows {
			if i%raceShare != 0 {
				continue
			}
			expr, _ := tree.fill(r)
			for _, q := range []treetest.Query{{Expr: expr, Start: 900_123}, {Expr: expr, Start: 330_000, End: 1_170_000, Step: 41_000}} {
				if diff, _ := p.Diff(t.Context(), q); diff != "" {
					t.Errorf("%s: %s", section, diff)
				}
			}
		}
	}
}

// fill returns the expression of a row for a tree, and what is wanted; none if
// the row does not apply.
func (tree rowTree) fill(r row) (expr, want string) {
	if strings.Contains(r.expr, "$PIN") && tree.pin == "" {
		return "", ""
	}
	key, want := tree.key, r.want
	if key == "" {
		key = "zone"
		if r.bare != "" {
			want = r.bare
		}
	}
	if r.keyed != "" && tree.key == "instance, job" {
		want = r.keyed
	}
	if tree.tiers > 2 && r.deeper != "" {
		want = r.deeper
	}
	one, _, _ := strings.Cut(key, ",")
	return strings.NewReplacer("$KEY", key, "$ONE", one, "$PIN", tree.pin).Replace(r.expr), want
}

// checkRow compares one query with one engine, pushed down and not, and how it
// was evaluated with what is wanted. It reports whether the answer held anything,
// and the bytes that came to the root where it was pushed down.
func checkRow(t *testing.T, p *treetest.Planet, counts *traffic, section string, q treetest.Query, r row, want string, tree rowTree) (found bool, bytes int64) {
	t.Helper()
	counts.reset()
	ctx, sink := querytree.WithReport(t.Context())
	diff, found := p.Diff(ctx, q)
	if diff != "" {
		t.Errorf("%s: %s", section, diff)
	}
	plan, err := p.Root.PlanOf(querytree.ExecRequest{Query: q.Expr, Start: q.Start, End: max(q.Start, q.End), Step: q.Step})
	if err != nil {
		t.Errorf("%s: %s: %v", section, q, err)
		return found, 0
	}
	for name, c := range sink.Report().Children {
		if counts.top[name] {
			bytes += c.Bytes
		}
	}
	if got := kindsOf(plan, counts, tree.replicas); got != want && (q.Step > 0 || strings.TrimPrefix(got, "whole ") != strings.TrimPrefix(want, "whole ")) {
		t.Errorf("%s: %s: want %q, got %q by the plan\n%s", section, q, want, got, plan)
	}
	if !r.again {
		checkTraffic(t, p, counts, q, plan, sink.Report())
	}
	if diff, _ := p.Diff(querytree.WithOptions(t.Context(), querytree.Options{NoPushdown: true}), q); diff != "" {
		t.Errorf("%s: not pushed down: %s", section, diff)
	}
	return found, bytes
}

// kindsOf says how a query was evaluated, in the words of a row. Raw series below
// are no news where zones have to mend the outages of replicas.
func kindsOf(plan *querytree.Plan, counts *traffic, replicas bool) string {
	var kinds []string
	for _, f := range plan.Fragments {
		kind := f.Kind()
		if plan.Whole() {
			kind = "whole " + kind
		}
		kinds = append(kinds, kind)
	}
	if counts.pulls > 0 {
		kinds = append(kinds, "raw")
	} else if counts.pullsBelow > 0 && !replicas {
		kinds = append(kinds, "raw below")
	}
	return strings.Join(kinds, ", ")
}

// checkTraffic checks that the children were asked what the plan says, once,
// and that no more samples crossed than plans need.
func checkTraffic(t *testing.T, p *treetest.Planet, counts *traffic, q treetest.Query, plan *querytree.Plan, r querytree.Report) {
	t.Helper()
	requests := 0
	for _, f := range plan.Fragments {
		each := 1
		if len(f.Ops) > 1 && !counts.opsKnown {
			each = len(f.Ops)
		}
		requests += len(f.Children) * (each + len(f.Guards()))
	}
	if counts.asked != requests {
		t.Errorf("%s: children of the root were asked %d times, want %d by the plan\n%s", q, counts.asked, requests, plan)
	}
	top, below := needed(t, p, p.Root, plan)
	if counts.samples > top {
		t.Errorf("%s: %d samples came to the root, want at most %d\n%s", q, counts.samples, top, plan)
	}
	if counts.pullsBelow == 0 && !counts.replicas && counts.below > below {
		t.Errorf("%s: %d samples crossed below, want at most %d\n%s", q, counts.below, below, plan)
	}
	reported := int64(0)
	for name, c := range r.Children {
		if counts.top[name] {
			reported += c.Samples
		}
	}
	sized := !counts.opsKnown && counts.histograms // leaves count histograms by their size
	if counts.pulls == 0 && !sized && reported != counts.samples {
		t.Errorf("%s: %d samples came to the root, %d are reported", q, counts.samples, reported)
	}
}

// needed returns how many samples have to cross to a mixer by its plan, and how
// many further below: no more than the answers to the fragments hold, from all
// children together for what is concatenated, from each of them for what is
// merged.
func needed(t *testing.T, p *treetest.Planet, m *querytree.Mixer, plan *querytree.Plan) (here, below int64) {
	t.Helper()
	members := m.MembersNow()
	for _, f := range plan.Fragments {
		n, each := answerSize(p, f), int64(1)
		if len(f.Ops) > 0 || chooses(f.Query) {
			each = int64(len(f.Children) * max(1, len(f.Ops)))
		}
		here += n * each
		for _, i := range f.Children {
			c, ok := members[i].Child.(*counted)
			if !ok { // replicas, which may have to mend each other's outages
				continue
			}
			child, ok := c.Child.(*querytree.Mixer)
			if !ok {
				continue
			}
			for _, plan := range plansBelow(t, child, f) {
				h, b := needed(t, p, child, plan)
				below += h + b
			}
		}
	}
	return here, below
}

// plansBelow returns how a mixer answers to a fragment of its parent: with one
// plan, or with one for each operator.
func plansBelow(t *testing.T, m *querytree.Mixer, f *querytree.Fragment) []*querytree.Plan {
	t.Helper()
	req := querytree.ExecRequest{Query: f.Query, Ops: f.Ops}
	req.Start, req.End, req.Step = f.Grid()
	if len(f.Ops) < 2 {
		req.Ops = nil
	}
	plan, err := m.PlanOf(req)
	if err == nil {
		return []*querytree.Plan{plan}
	}
	var all []*querytree.Plan
	for _, op := range req.Ops {
		req.Ops = nil
		if req.Query = querytree.WithOperator(f.Query, op); req.Query == "" {
			break
		}
		if plan, err = m.PlanOf(req); err != nil {
			break
		}
		all = append(all, plan)
	}
	if err != nil || len(all) == 0 {
		t.Fatalf("%s below: %v", f.Query, err)
	}
	return all
}

// answerSize is the number of samples that the answer to a fragment holds.
func answerSize(p *treetest.Planet, f *querytree.Fragment) int64 {
	start, end, step := f.Grid()
	switch v := p.Oracle(treetest.Query{Expr: f.Query, Start: start, End: end, Step: step}).Value.(type) {
	case promql.Matrix:
		return int64(v.TotalSamples())
	case promql.Vector:
		return int64(len(v))
	default:
		return 1
	}
}

// chooses reports whether each child answers with a choice of its own.
func chooses(query string) bool {
	for _, op := range []string{"topk", "bottomk", "limitk"} {
		if strings.HasPrefix(strings.TrimSpace(query), op) {
			return true
		}
	}
	return false
}
