package querytree_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"

	"github.com/pandometrics/pando/querytree/treetest"
)

// Quantiles of classic buckets are those of the stock engine, whatever the buckets
// are like: not monotonic, without +Inf, of bounds that are equal or no numbers,
// with gaps, beside native histograms. So are the annotations.
func TestQuantilesOfClassicBuckets(t *testing.T) {
	for _, delayed := range []bool{false, true} {
		cfg := treetest.Config{DelayedNameRemoval: delayed}
		cfg.Leaves, cfg.Zones = treetest.Clusters("eu", 2, "us", 1)
		p := treetest.New(t, cfg)
		r := rand.New(rand.NewPCG(7, 7))
		for job, bounds := range map[string][]string{
			"plain": {"0.1", "0.5", "1", "+Inf"}, "negative": {"-1", "0", "2", "+Inf"}, "endless": {"1", "2"}, "alone": {"+Inf"}, "equal": {"1", "1.0", "1e0", "2", "+Inf", "Inf"},
			"odd": {"1", "x", "2", "+Inf"}, "none": {"", "1", "+Inf"}, "nan": {"NaN", "1", "+Inf"}, "native": {"1", "+Inf"},
		} {
			for i, le := range bounds {
				for _, cluster := range []string{"eu-0", "eu-1", "us-0"} {
					l := labels.FromStrings("__name__", "h_bucket", "zone", cluster[:2], "cluster", cluster, "job", job, "le", le)
					for at := int64(0); at <= 1_800_000; at += 30_000 {
						v := float64(r.IntN(4) + i*(2-r.IntN(8)/7*4))
						switch n := r.IntN(60); {
						case n == 0:
							at += 300_000
							continue
						case n == 1 && job == "nan": // of which no sums are folded
							v = math.NaN()
						case n == 2 && job == "nan":
							v = math.Inf(1)
						}
						p.Append(t, l, at, v)
					}
				}
			}
		}
		app := p.AppenderV2(t.Context())
		native := labels.FromStrings("__name__", "h_bucket", "zone", "eu", "cluster", "eu-0", "job", "native")
		for at := int64(600_000); at <= 1_200_000; at += 30_000 {
			h := &histogram.FloatHistogram{Count: 4, Sum: 3, ZeroThreshold: 0.01, PositiveSpans: []histogram.Span{{Offset: 0, Length: 1}}, PositiveBuckets: []float64{4}}
			if _, err := app.Append(0, native, 0, at, 0, nil, h, storage.AOptions{}); err != nil {
				t.Fatal(err)
			}
		}
		if err := app.Commit(); err != nil {
			t.Fatal(err)
		}
		for _, job := range []string{"plain", "negative", "endless", "alone", "equal", "odd", "none", "nan", "native", "plain|odd|native"} {
			for _, expr := range []string{
				`histogram_quantile(0.5, sum by (job, le) (h_bucket{job=~"%s"}))`, `histogram_quantile(0.99, sum by (le) (h_bucket{job=~"%s"}))`, `histogram_quantile(1, (sum by (job, le, zone) (h_bucket{job=~"%s"})))`,
				`(histogram_quantile((0), max by (job, le) (h_bucket{job=~"%s"})))`, `histogram_quantile(0.5, sum by (__name__, job, le) (h_bucket{job=~"%s"}))`, `histogram_quantile(2, sum by (le) (h_bucket{job=~"%s"}))`,
				`histogram_quantile(0.5, sum by (le) (h_bucket{job=~"%s"} @ 900))`, `histogram_quantile(0.5, h_bucket{job=~"%s"})`, `histogram_quantile(scalar(sum(h_bucket{job="none",le=""})), sum by (le) (h_bucket{job=~"%s"}))`,
				`histogram_quantile(0.5, sum by (le) (h_bucket{job=~"%s"})) > 1`, `histogram_quantile(0.5, sum by (job) (h_bucket{job=~"%s"}))`,
			} {
				expr := fmt.Sprintf(expr, job)
				p.Check(t, treetest.Query{Expr: expr, Start: 60_000, End: 1_800_000, Step: 60_000})
				p.Check(t, treetest.Query{Expr: expr, Start: 60_007, End: 1_790_000, Step: 45_000})
				p.Check(t, treetest.Query{Expr: expr, Start: 900_000})
			}
		}
	}
}
