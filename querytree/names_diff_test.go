package querytree_test

import (
	"context"
	"fmt"
	"math/rand"
	"slices"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/storage"

	"github.com/pandometrics/pando/querytree"
	"github.com/pandometrics/pando/querytree/treetest"
)

// counting is a child that counts what it is asked, and knows its bounds.
type counting struct {
	querytree.Child
	asked *atomic.Int64
	maxt  int64
}

func (c counting) Describe() querytree.Description {
	d := c.Child.Describe()
	d.Mint, d.Maxt, d.Series = 0, c.maxt, 1
	return d
}

func (c counting) Names(ctx context.Context, req querytree.NamesRequest) (querytree.Names, error) {
	c.count(req.Options)
	return c.Child.Names(ctx, req)
}

func (c counting) Select(ctx context.Context, req querytree.SelectRequest) querytree.SeriesSet {
	c.count(req.Options)
	return c.Child.Select(ctx, req)
}

// count does not count what the hints of the test ask.
func (c counting) count(o querytree.Options) {
	if o.ID == "counted" {
		c.asked.Add(1)
	}
}

// namesPlanet is a tree of two zones that holds metrics in some leaves only, and
// counts the requests to zones and leaves.
func namesPlanet(t *testing.T, rnd *rand.Rand) (*treetest.Planet, *atomic.Int64) {
	asked := &atomic.Int64{}
	cfg := treetest.Config{}
	cfg.Leaves, cfg.Zones = treetest.Clusters("eu", 4, "us", 2)
	cfg.Connect = func(_ testing.TB, c querytree.Child) querytree.Child { return counting{c, asked, 29 * 60_000} }
	withExactHints(&cfg)
	p := treetest.New(t, cfg)
	fillSome(t, p, rnd, cfg.Leaves)
	return p, asked
}

func matchers(t *testing.T, selector string) []*labels.Matcher {
	t.Helper()
	if selector == "" {
		return nil
	}
	ms, err := parser.NewParser(parser.Options{}).ParseMetricSelector(selector)
	if err != nil {
		t.Fatal(err)
	}
	return ms
}

// Names, values and series of the tree are those of one Prometheus, with hints
// and without, and hints spare most requests.
func TestNamesOfTree(t *testing.T) {
	rnd := rand.New(rand.NewSource(3))
	p, asked := namesPlanet(t, rnd)
	requests := map[bool]int64{}
	for i := range 400 {
		selector := ""
		if i%8 != 0 {
			name := []string{`__name__="m%d"`, `__name__=~"m%d.*"`}[rnd.Intn(2)]
			more := []string{"", `,pod="pod-1"`, `,zone="eu"`, `,cluster=~"eu-[01]",pod!="pod-2"`, `,job=""`}[rnd.Intn(5)]
			selector = "{" + fmt.Sprintf(name, rnd.Intn(9)) + more + "}"
		}
		label := []string{"", "zone", "cluster", "pod", "__name__", "job"}[rnd.Intn(6)]
		limit := rnd.Intn(2) * rnd.Intn(6)
		want := namesOf(t, p.TestStorage, label, matchers(t, selector), limit)
		for _, noHints := range []bool{false, true} {
			before := asked.Load()
			got, err := p.Root.Names(t.Context(), querytree.NamesRequest{
				Options: querytree.Options{ID: "counted", NoHints: noHints, Strict: true}, Label: label, Mint: 0, Maxt: 1 << 40, Matchers: matchers(t, selector), Limit: limit,
			})
			requests[noHints] += asked.Load() - before
			if err != nil || len(got.Warnings) > 0 {
				t.Fatalf("%q of %s: %v, %v", label, selector, got.Warnings, err)
			}
			if d := cmp.Diff(want, got.Names); d != "" && len(want)+len(got.Names) > 0 {
				t.Errorf("%q of %s, limit %d, without hints %t, -want +got:\n%s", label, selector, limit, noHints, d)
			}
			if label == "zone" && selector == "" && asked.Load() != before {
				t.Errorf("%d requests for the zones that there are", asked.Load()-before)
			}
		}
	}
	t.Logf("%d requests with hints, %d without", requests[false], requests[true])
	if requests[false]*4 > requests[true]*3 {
		t.Error("hints spare few requests")
	}
}

func namesOf(t *testing.T, s storage.Queryable, label string, ms []*labels.Matcher, limit int) []string {
	t.Helper()
	q, err := s.Querier(0, 1<<40)
	if err != nil {
		t.Fatal(err)
	}
	defer q.Close()
	var names []string
	if label == "" {
		names, _, err = q.LabelNames(t.Context(), nil, ms...)
	} else {
		names, _, err = q.LabelValues(t.Context(), label, nil, ms...)
	}
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(names)
	if limit > 0 {
		names = names[:min(limit, len(names))]
	}
	return slices.Clone(names)
}

// The series API asks those that may hold a match, and no more than is wanted.
func TestSeriesOfTree(t *testing.T) {
	p, asked := namesPlanet(t, rand.New(rand.NewSource(4)))
	requests := map[bool]int64{}
	for m := range 9 {
		for _, more := range []string{"", `{zone="eu"}`, `{pod=~"pod-[01]"}`} {
			for _, limit := range []int{0, 2} {
				ms := matchers(t, fmt.Sprintf("m%d%s", m, more))
				want := seriesOf(t, p.TestStorage, &storage.SelectHints{Start: 0, End: 1 << 40, Func: "series"}, limit, ms)
				for _, noHints := range []bool{false, true} {
					before := asked.Load()
					ctx := querytree.WithOptions(t.Context(), querytree.Options{ID: "counted", NoHints: noHints, Strict: true})
					got := seriesOf(t, p.Root, &storage.SelectHints{Start: 0, End: 1 << 40, Func: "series", Limit: limit}, limit, ms, ctx)
					requests[noHints] += asked.Load() - before
					if d := cmp.Diff(want, got); d != "" {
						t.Errorf("m%d%s, limit %d, without hints %t, -want +got:\n%s", m, more, limit, noHints, d)
					}
				}
			}
		}
	}
	t.Logf("%d requests with hints, %d without", requests[false], requests[true])
	if requests[false]*4 > requests[true]*3 {
		t.Error("hints spare few requests")
	}
}

func seriesOf(t *testing.T, s storage.Queryable, hints *storage.SelectHints, limit int, ms []*labels.Matcher, ctxs ...context.Context) []string {
	t.Helper()
	ctx := t.Context()
	if len(ctxs) > 0 {
		ctx = ctxs[0]
	}
	q, err := s.Querier(0, 1<<40)
	if err != nil {
		t.Fatal(err)
	}
	defer q.Close()
	set := q.Select(ctx, true, hints, ms...)
	var out []string
	for set.Next() && (limit == 0 || len(out) < limit) {
		out = append(out, set.At().Labels().String())
	}
	if set.Err() != nil || len(set.Warnings()) > 0 {
		t.Fatalf("%v, %v", set.Warnings(), set.Err())
	}
	return out
}
