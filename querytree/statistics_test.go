package querytree_test

import (
	"math"
	"math/rand"
	"testing"

	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb/tsdbutil"

	"github.com/pandometrics/pando/querytree"
	"github.com/pandometrics/pando/querytree/treetest"
)

// histogramsOf appends a series of native histograms with resets, stale markers
// and gaps. Those with custom buckets have bounds of their own.
func histogramsOf(t *testing.T, p *treetest.Planet, rnd *rand.Rand, l labels.Labels, custom bool) {
	t.Helper()
	app := p.AppenderV2(t.Context())
	n, bounds, offset := int64(1), float64(1+rnd.Intn(3)), rnd.Int63n(15_000)
	for at := int64(0); at < 1_200_000; at += 15_000 {
		h := tsdbutil.GenerateTestFloatHistogram(n)
		if custom {
			h = &histogram.FloatHistogram{
				Schema: histogram.CustomBucketsSchema, Count: float64(2 * n), Sum: float64(n), CustomValues: []float64{bounds, 10},
				PositiveSpans: []histogram.Span{{Length: 2}}, PositiveBuckets: []float64{float64(n), float64(n)},
			}
		}
		switch n++; rnd.Intn(12) {
		case 0:
			n = 1
		case 1:
			h = &histogram.FloatHistogram{Sum: math.Float64frombits(value.StaleNaN)}
		case 2:
			continue
		}
		if _, err := app.Append(0, l, 0, at+offset, 0, nil, h, storage.AOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	if err := app.Commit(); err != nil {
		t.Fatal(err)
	}
}

// What the engine warns of under histogram_count is what one engine warns of:
// conflicts among counter resets, but not of custom buckets, which it does not
// read. A child that cannot read them so is asked for raw series.
func TestStatisticsOfSums(t *testing.T) {
	for _, old := range []string{"none", "zone=us", "zone=eu,cluster=eu-1"} {
		cfg, counts := threeTiers(), &traffic{top: map[string]bool{"zone=eu": true, "zone=us": true}}
		for i := range cfg.Zones {
			counts.top[cfg.Zones[i].Name()] = true
		}
		known := 0
		cfg.Connect = func(tb testing.TB, c querytree.Child) querytree.Child {
			if c = counts.connect(tb, c); c.Describe().Name() == old {
				known++
				return unlearned{c}
			}
			return c
		}
		p := treetest.New(t, cfg)
		rnd := rand.New(rand.NewSource(5))
		for i, leaf := range cfg.Leaves {
			for j := range 2 {
				b := labels.NewBuilder(leaf.Labels).Set("pod", string(rune('a'+2*i+j)))
				histogramsOf(t, p, rnd, b.Set("__name__", "exponential").Labels(), false)
				histogramsOf(t, p, rnd, b.Set("__name__", "custom").Labels(), true)
			}
		}
		for _, expr := range []string{
			`histogram_count(sum(custom))`, `histogram_sum(sum by (zone) (custom))`, `histogram_avg(sum(exponential))`, `histogram_count(sum by (cluster) (exponential))`,
			`histogram_count(sum({__name__=~"custom|exponential"}))`, `histogram_sum(sum by (__name__) ({__name__=~"custom|exponential"}))`,
			`histogram_quantile(0.5, sum(exponential)) * histogram_count(sum(exponential))`, `max_over_time(histogram_count(sum(custom))[2m:20s])`,
		} {
			for _, q := range []treetest.Query{
				{Expr: expr, Start: 700_000}, {Expr: expr, Start: 0, End: 1_200_000, Step: 7_000}, {Expr: expr, Start: 100_000, End: 1_200_000, Step: 301_000},
			} {
				counts.reset()
				if diff, _ := p.Diff(t.Context(), q); diff != "" {
					t.Errorf("without the feature %s: %s", old, diff)
				}
			}
		}
		counts.reset()
		p.Ask(t.Context(), treetest.Query{Expr: `histogram_count(sum(custom))`, Start: 700_000})
		if pulled := counts.pulls+counts.pullsBelow > 0; pulled != (old != "none") || known == 0 && old != "none" {
			t.Errorf("without the feature %s (%d): raw series were pulled: %t", old, known, pulled)
		}
	}
}

// Counter resets that conflict are warned of as one engine does, and keep nothing
// from being merged.
func TestConflictingCounterResets(t *testing.T) {
	conflicts := 0
	for seed := range int64(4) {
		cfg, counts := threeTiers(), &traffic{}
		cfg.Connect = counts.connect
		p := treetest.New(t, cfg)
		rnd := rand.New(rand.NewSource(seed))
		for i, leaf := range cfg.Leaves {
			for j := range 2 {
				l := labels.NewBuilder(leaf.Labels).Set("pod", string(rune('a'+2*i+j))).Set("__name__", "exponential").Labels()
				histogramsOf(t, p, rnd, l, false)
			}
		}
		for _, expr := range []string{`histogram_count(sum(exponential))`, `sum(exponential)`, `histogram_quantile(0.9, avg(exponential))`, `sum(rate(exponential[2m]))`} {
			for at := int64(100_000); at < 1_000_000; at += 99_999 {
				q := treetest.Query{Expr: expr, Start: at}
				conflicts += len(p.Oracle(q).Warnings)
				counts.reset()
				if diff, _ := p.Diff(t.Context(), q); diff != "" {
					t.Error(diff)
				}
				if counts.pulls+counts.pullsBelow > 0 {
					t.Errorf("%s: raw series were pulled", q)
				}
			}
		}
	}
	if conflicts == 0 {
		t.Error("no counter resets conflict")
	}
}

// unlearned is a child of before FeatureStats.
type unlearned struct{ querytree.Child }

func (u unlearned) Describe() querytree.Description {
	d := u.Child.Describe()
	var features []string
	for _, f := range d.Features {
		if f != querytree.FeatureStats {
			features = append(features, f)
		}
	}
	d.Features = features
	return d
}
