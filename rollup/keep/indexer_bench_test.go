package keep_test

import (
	"fmt"
	"math"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/promqltest"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/util/teststorage"

	"github.com/pandometrics/pando/querytree"
	"github.com/pandometrics/pando/querytree/treetest"
	"github.com/pandometrics/pando/rollup"
	"github.com/pandometrics/pando/rollup/keep"
)

// What it takes a leaf to keep 1,000 series of rollups, of 10 inputs each: CPU
// time for each point in time, and what that is of one core at a point a minute.
func BenchmarkIndexer(b *testing.B) {
	const outputs, inputs, points = 1000, 10, 120
	st := teststorage.New(b)
	end := int64(15 * 60_000)
	refs := make([]storage.SeriesRef, outputs*inputs)
	all := make([]labels.Labels, len(refs))
	for i := range all {
		all[i] = labels.FromStrings("__name__", "x_total", "pod", fmt.Sprintf("pod-%04d", i/inputs), "code", fmt.Sprint(i%inputs))
	}
	for t := int64(0); t <= end; t += 15_000 {
		app := st.AppenderV2(b.Context())
		for i, l := range all {
			var err error
			if refs[i], err = app.Append(refs[i], l, 0, t, float64(t/1000*int64(i%7+1)), nil, nil, storage.AOptions{}); err != nil {
				b.Fatal(err)
			}
		}
		if err := app.Commit(); err != nil {
			b.Fatal(err)
		}
	}
	opts := querytree.EngineOpts(querytree.MixerConfig{Limits: querytree.DefaultLimits(), Lookback: treetest.Lookback, SubqueryStep: treetest.SubqueryStep}, querytree.NewParser())
	leaf, err := querytree.NewLocal(querytree.LocalConfig{
		Engine: promqltest.NewTestEngineWithOpts(b, opts), EngineOpts: &opts, Samples: st, Chunks: st, Limits: querytree.DefaultLimits(),
		Describe: func() querytree.Description {
			return querytree.Description{Identity: querytree.Identity{Tier: querytree.TierLeaf}, Mint: math.MinInt64, Maxt: math.MaxInt64}
		},
	})
	if err != nil {
		b.Fatal(err)
	}
	rules := parseRules(b, `rollups: [{expr: "sum by (pod) (rate(x_total[5m]))", interval: 1s, keep: {leaf: {for: 2d}}}]`)
	dir := b.TempDir()
	final := int64(10 * 60_000)
	now := func() time.Time { return time.UnixMilli(end) }
	store, err := keep.Open(keep.StoreConfig{Dir: dir, Tier: rollup.Leaf, Rules: rules, Now: now})
	if err != nil {
		b.Fatal(err)
	}
	defer store.Close()
	past, err := keep.OpenPast(filepath.Join(dir, "past.json"))
	if err != nil {
		b.Fatal(err)
	}
	c := keep.DefaultCollectorConfig()
	c.Store, c.Source, c.Past, c.Lookback, c.Now, c.Parallel = store, leaf, past, treetest.Lookback.Milliseconds(), now, 1
	c.Final = func() int64 { return final }
	collector, err := keep.NewCollector(c)
	if err != nil {
		b.Fatal(err)
	}
	if err := store.Owe(b.Context(), rules.All()[0], final); err != nil {
		b.Fatal(err)
	}
	produce := func(n int) {
		for range n {
			if err := collector.Fresh(b.Context()); err != nil {
				b.Fatal(err)
			}
			final += 1000
		}
	}
	produce(5)
	var used, made time.Duration
	for b.Loop() {
		cpu := cpuTime(b)
		produce(points)
		used, made = used+cpuTime(b)-cpu, made+points
		if err := store.Void(b.Context(), rules.All()[0], 10*60_000, end); err != nil {
			b.Fatal(err)
		}
		final = 10 * 60_000
	}
	each := used / made
	b.ReportMetric(float64(each.Microseconds())/1000, "ms-CPU/point")
	b.ReportMetric(100*each.Seconds()/60, "%core-at-1m")
	b.ReportMetric(0, "ns/op")
}

// cpuTime returns the CPU time that the process has used.
func cpuTime(tb testing.TB) time.Duration {
	tb.Helper()
	var ru syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &ru); err != nil {
		tb.Fatal(err)
	}
	return time.Duration(ru.Utime.Nano() + ru.Stime.Nano())
}
