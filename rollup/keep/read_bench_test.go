package keep_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/timestamp"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/util/annotations"

	"github.com/pandometrics/pando/querytree"
	"github.com/pandometrics/pando/querytree/treetest"
	"github.com/pandometrics/pando/rollup"
	"github.com/pandometrics/pando/rollup/keep"
)

// sums answers any aggregation with so many series, by code and job, and by le.
type sums struct{ series int }

func (s sums) labels(i int) labels.Labels {
	return labels.FromStrings("code", fmt.Sprintf("%03d", i), "job", fmt.Sprint(i%40), "le", fmt.Sprint(float64(i)/8))
}

func (s sums) Exec(_ context.Context, req querytree.ExecRequest) (querytree.ResultSet, error) {
	var m promql.Matrix
	for i := range s.series {
		one := promql.Series{Metric: s.labels(i)}
		for t := req.Start; t <= req.End; t += req.Step {
			one.Floats = append(one.Floats, promql.FPoint{T: t, F: float64(t%977) + 1/float64(i+3)})
		}
		m = append(m, one)
	}
	return querytree.NewMatrixSet(m, annotations.Annotations{}, querytree.Report{}), nil
}

// deafChild must not be asked.
type deafChild struct{ querytree.Child }

func (deafChild) Exec(context.Context, querytree.ExecRequest) (querytree.ResultSet, error) {
	return nil, errors.New("a child was asked")
}

// A month at steps of 5 minutes from rollups that a root keeps: what it takes the
// root, without the API.
func BenchmarkMonth(b *testing.B) {
	for _, c := range []struct {
		series int
		query  string
		most   int // series of the answer
	}{
		{8, `sum(rate(x_total[5m]))`, 1},
		{160, `sum(rate(x_total[5m]))`, 1},
		{160, `topk(3, sum by (job) (rate(x_total[5m])))`, 40},
		{8, `histogram_quantile(0.9, sum by (le) (rate(x_total[5m])))`, 1},
	} {
		b.Run(fmt.Sprint(c.series, " series ", c.query), func(b *testing.B) { benchmarkMonth(b, c.series, c.query, c.most) })
	}
}

func benchmarkMonth(b *testing.B, series int, query string, most int) {
	const step = 5 * time.Minute
	end := time.UnixMilli(1_700_000_100_000)
	start := end.Add(-30 * 24 * time.Hour)
	rules := parseRules(b, `rollups: [{expr: "sum by (code, job, le) (rate(x_total[5m]))", interval: 1m, keep: {root: {every: 5m, for: 60d}}}]`)
	dir := b.TempDir()
	now := func() time.Time { return end }
	store, err := keep.Open(keep.StoreConfig{Dir: dir, Tier: rollup.Root, Rules: rules, Now: now})
	if err != nil {
		b.Fatal(err)
	}
	defer store.Close()
	past, err := keep.OpenPast(filepath.Join(dir, "past.json"))
	if err != nil {
		b.Fatal(err)
	}
	c := keep.DefaultCollectorConfig()
	c.Store, c.Source, c.Past, c.Lookback, c.Now = store, sums{series}, past, treetest.Lookback.Milliseconds(), now
	c.Final = func() int64 { return end.UnixMilli() }
	collector, err := keep.NewCollector(c)
	if err != nil {
		b.Fatal(err)
	}
	if err := store.Owe(b.Context(), rules.All()[0], start.UnixMilli()); err != nil {
		b.Fatal(err)
	}
	if err := collector.Fresh(b.Context()); err != nil {
		b.Fatal(err)
	}
	for collector.MakeGood(b.Context()) {
	}
	zone := querytree.Description{Identity: querytree.Identity{Tier: querytree.TierZone, Labels: labels.FromStrings("zone", "eu")}, Maxt: end.UnixMilli()}
	m, err := querytree.NewMixer(querytree.MixerConfig{
		Describe: func() querytree.Description {
			return querytree.Description{Identity: querytree.Identity{Tier: querytree.TierRoot}}
		},
		Members: func() []querytree.Member {
			return []querytree.Member{{Child: deafChild{}, Description: zone, Connected: true}}
		},
		Rewriter: store.CurrentRewriter(past, labels.EmptyLabels(), treetest.Lookback.Milliseconds()),
		Limits:   querytree.DefaultLimits(), Lookback: treetest.Lookback, SubqueryStep: time.Minute,
	})
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		q, err := querytree.Engine{}.NewRangeQuery(b.Context(), m, nil, query, timestamp.Time(start.UnixMilli()), timestamp.Time(end.UnixMilli()), step)
		if err != nil {
			b.Fatal(err)
		}
		res := q.Exec(querytree.WithOptions(b.Context(), querytree.Options{Strict: true}))
		if m, err := res.Matrix(); err != nil || len(m) == 0 || len(m) > most || most == 1 && len(m[0].Floats) != 30*24*12+1 {
			b.Fatal(res)
		}
		q.Close()
	}
}
