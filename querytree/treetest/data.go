package treetest

import (
	"context"
	"fmt"
	"math"
	"math/rand"
	"testing"

	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb/tsdbutil"
)

// Data describes generated series: Minutes of samples every Interval
// milliseconds, from time zero.
type Data struct {
	Minutes  int
	Interval int64
}

// End returns the time of the last sample in milliseconds.
func (d Data) End() int64 { return int64(d.Minutes) * 60_000 }

// Fill appends counters with resets, gauges of both signs, classic and native
// histograms, mixtures of floats and histograms, gaps and stale markers, to
// every leaf of a tree made by Clusters. It returns the label sets. The same rnd
// makes the same data.
func (d Data) Fill(tb testing.TB, p *Planet, rnd *rand.Rand) []labels.Labels {
	tb.Helper()
	return d.FillLeaves(tb, p, rnd, p.cfg.Leaves)
}

// FillLeaves is Fill for series with the labels of other leaves than the tree's,
// which its Config.Place finds a leaf for.
func (d Data) FillLeaves(tb testing.TB, p *Planet, rnd *rand.Rand, leaves []Leaf) []labels.Labels {
	tb.Helper()
	var all []labels.Labels
	for i, leaf := range leaves {
		for pod := range 2 + i%2 {
			base := labels.NewBuilder(leaf.Labels).Set("job", []string{"api", "db"}[pod%2]).Set("instance", fmt.Sprintf("10.0.%d.%d:80", i%2, pod)).Set("pod", fmt.Sprintf("pod-%d", pod))
			all = append(all, d.fillPod(tb, p, rnd, base)...)
		}
	}
	return all
}

// fillPod appends one series of each kind, with some labels that recur in other
// leaves and some that do not.
func (d Data) fillPod(tb testing.TB, p *Planet, rnd *rand.Rand, base *labels.Builder) []labels.Labels {
	var all []labels.Labels
	add := func(name string, gen generator, extra ...string) {
		b := labels.NewBuilder(base.Labels()).Set(labels.MetricName, name)
		for i := 0; i < len(extra); i += 2 {
			b.Set(extra[i], extra[i+1])
		}
		all = append(all, b.Labels())
		d.series(tb, p, rnd, b.Labels(), gen)
	}
	for _, code := range []string{"200", "500"} {
		add("http_requests_total", counter(rnd), "code", code)
	}
	add("temperature", gauge(rnd))
	add("up", constant(1))
	scale := counter(rnd)
	for i, le := range []string{"0.1", "0.5", "1", "+Inf"} {
		add("latency_seconds_bucket", scaled(scale, float64(i+1)), "le", le)
	}
	add("native_seconds", native(rnd, false))
	if rnd.Intn(2) == 0 {
		add("native_gauge", native(rnd, true))
	}
	add("mixed", mixed(rnd))
	if rnd.Intn(3) == 0 {
		add("rare_info", constant(1), "version", fmt.Sprintf("v%d", rnd.Intn(3)))
	}
	return all
}

// generator returns the sample at step i, a float unless the histogram is set,
// and whether there is one.
type generator func(i int) (f float64, h *histogram.FloatHistogram, ok bool)

func constant(v float64) generator {
	return func(int) (float64, *histogram.FloatHistogram, bool) { return v, nil, true }
}

func counter(rnd *rand.Rand) generator {
	total, reset := 0.0, 20+rnd.Intn(200)
	last := -1
	return func(i int) (float64, *histogram.FloatHistogram, bool) {
		if i != last { // buckets of one histogram share their counter
			last = i
			total += float64(rnd.Intn(10)) + rnd.Float64()
			if i%reset == reset-1 {
				total = 0
			}
		}
		return total, nil, true
	}
}

func scaled(g generator, by float64) generator {
	return func(i int) (float64, *histogram.FloatHistogram, bool) {
		f, h, ok := g(i)
		return f * by, h, ok
	}
}

func gauge(rnd *rand.Rand) generator {
	phase, gap := rnd.Float64()*6, 5+rnd.Intn(60)
	return func(i int) (float64, *histogram.FloatHistogram, bool) {
		v := 40*math.Sin(phase+float64(i)/20) + rnd.Float64()
		return v, nil, i%gap > gap/4
	}
}

func native(rnd *rand.Rand, gauge bool) generator {
	n, reset := int64(1), 50+rnd.Intn(200)
	return func(i int) (float64, *histogram.FloatHistogram, bool) {
		if gauge {
			return 0, tsdbutil.GenerateTestGaugeFloatHistogram(int64(rnd.Intn(20))), true
		}
		n++
		if i%reset == reset-1 {
			n = 1
		}
		return 0, tsdbutil.GenerateTestFloatHistogram(n), true
	}
}

func mixed(rnd *rand.Rand) generator {
	n, period := int64(0), 30+rnd.Intn(50)
	return func(i int) (float64, *histogram.FloatHistogram, bool) {
		n++
		if (i/period)%3 == 1 {
			return 0, tsdbutil.GenerateTestFloatHistogram(n), true
		}
		return float64(n), nil, true
	}
}

// series appends one series. A third of them begin late, end early, or go stale
// in between.
func (d Data) series(tb testing.TB, p *Planet, rnd *rand.Rand, l labels.Labels, gen generator) {
	tb.Helper()
	steps := int(d.End()/d.Interval) + 1
	first, last, stale := 0, steps, -1
	switch rnd.Intn(9) {
	case 0:
		first = rnd.Intn(steps)
	case 1:
		last = rnd.Intn(steps)
	case 2:
		stale = rnd.Intn(steps)
	}
	offset := rnd.Int63n(d.Interval)
	app := p.AppenderV2(context.Background())
	for i := first; i < last; i++ {
		t := int64(i)*d.Interval + offset
		f, h, ok := gen(i)
		if i == stale {
			f, h, ok = math.Float64frombits(value.StaleNaN), nil, true
		}
		if !ok || (stale >= 0 && i > stale && i < stale+20) {
			continue
		}
		if _, err := app.Append(0, l, 0, t, f, nil, h, storage.AOptions{}); err != nil {
			tb.Fatal(err)
		}
	}
	if err := app.Commit(); err != nil {
		tb.Fatal(err)
	}
}
