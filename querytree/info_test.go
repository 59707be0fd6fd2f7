package querytree_test

import (
	"math"
	"testing"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/value"

	"github.com/pandometrics/pando/querytree"
	"github.com/pandometrics/pando/querytree/treetest"
)

// infoPlanet has targets whose info series follow one another: some end with a
// stale marker, some without, and some are written at the very same times. The
// leaf of a series goes by its cluster.
func infoPlanet(t *testing.T) (*treetest.Planet, *traffic) {
	t.Helper()
	tree := rowTrees[1]
	cfg, counts := tree.make(), &traffic{top: map[string]bool{"zone=eu": true}}
	cfg.Connect = counts.connect
	for _, z := range cfg.Zones {
		counts.top[z.Name()] = true
	}
	p := treetest.New(t, cfg)
	write := func(from, to, offset int64, pairs ...string) {
		for at := from; at <= to; at += 30_000 {
			p.Append(t, labels.FromStrings(pairs...), at+offset, 1)
		}
	}
	for _, job := range []string{"a", "b", "same", "none", "odd"} {
		write(0, 1_800_000, 7, "__name__", "up", "zone", "eu", "cluster", "eu-0", "job", job, "instance", "i-"+job)
		write(0, 1_800_000, 7, "__name__", "up", "zone", "us", "cluster", "us-0", "job", job, "instance", "j-"+job)
	}
	info := func(from, to, offset int64, job, zone, cluster, version string) {
		write(from, to, offset, "__name__", "target_info", "zone", zone, "cluster", cluster, "job", job, "instance", "i-"+job, "version", version)
	}
	info(0, 600_000, 11, "a", "eu", "eu-0", "v1")
	info(615_000, 1_200_000, 13, "a", "eu", "eu-1", "v2") // v1 is not stale yet
	info(1_230_000, 1_800_000, 9, "a", "us", "us-0", "v1")
	info(0, 600_000, 11, "b", "eu", "eu-0", "v1")
	stale := labels.FromStrings("__name__", "target_info", "zone", "eu", "cluster", "eu-0", "job", "b", "instance", "i-b", "version", "v1")
	p.Append(t, stale, 615_000, math.Float64frombits(value.StaleNaN))
	info(720_000, 1_800_000, 13, "b", "eu", "eu-2", "v2")
	info(900_000, 1_800_000, 5, "same", "eu", "eu-0", "v1")
	info(1_500_000, 1_800_000, 5, "same", "us", "us-0", "v2")
	write(0, 1_800_000, 3, "__name__", "build_info", "zone", "eu", "cluster", "eu-0", "job", "a", "instance", "i-a", "commit", "c1")
	write(300_000, 1_800_000, 4, "__name__", "build_info", "zone", "us", "cluster", "us-0", "job", "b", "instance", "i-b", "commit", "c2")
	write(300_000, 1_800_000, 4, "__name__", "typed_info", "zone", "us", "cluster", "us-0", "job", "b", "instance", "i-b", "__type__", "gauge", "v", "1")
	write(300_000, 1_800_000, 5, "__name__", "typed_info", "zone", "eu", "cluster", "eu-0", "job", "b", "instance", "i-b", "__type__", "gauge", "v", "2")
	return p, counts
}

// Of two info series of a target the newer is taken; that is told by their times,
// which cross as a grid too.
func TestInfoSeriesThatFollowOneAnother(t *testing.T) {
	p, counts := infoPlanet(t)
	for _, c := range []struct {
		expr string
		raw  bool
	}{
		{expr: `info(up{job="a"})`},
		{expr: `info(up{job=~"a|b"})`},
		{expr: `info(up{job="b"}, {version=~".+"})`},
		{expr: `info(sum by (job, instance) (up{job=~"a|b"}), {version=~"v1|"})`},
		{expr: `sum by (version) (info(up{job=~"a|b|none"}))`},
		{expr: `max_over_time(info(up{job=~"a|b"})[5m:45s])`},
		{expr: `count_over_time(info(sum by (job, instance) (up{job="a"}))[10m:1m])`},
		{expr: `info(up{job="same"})`}, // an error where both have samples of one time
		{expr: `info(up{job="b"} offset 3m)`},
		{expr: `info(up{job="a"} offset 3m)`},
		{expr: `info(up{job="a"} offset -3m)`},
		// Which is newer is told of one metric, at times that move on.
		{expr: `info(up{job="a"} @ 700)`, raw: true},
		{expr: `info(up{job="a"} @ end() offset 1m)`, raw: true},
		{expr: `max_over_time(info(up{job="a"} @ 800 offset 1m)[3m:30s])`, raw: true},
		{expr: `info(up{job="a"}, {__name__=~"target_info|build_info"})`, raw: true},
		{expr: `info(up{job="b"}, {__name__=~"target_info|build_info"})`},
		{expr: `info(up{job="b"}, {__name__="typed_info"})`, raw: true},
	} {
		for _, q := range []treetest.Query{
			{Expr: c.expr, Start: 650_000},
			{Expr: c.expr, Start: 1_000_000},
			{Expr: c.expr, Start: 0, End: 1_400_000, Step: 17_000},
			{Expr: c.expr, Start: 20_000, End: 1_800_000, Step: 400_000},
			{Expr: c.expr, Start: 1_400_000, End: 1_800_000, Step: 30_000},
		} {
			counts.reset()
			diff, _ := p.Diff(t.Context(), q)
			if diff != "" {
				t.Error(diff)
			}
			if counts.pulls > 0 && !c.raw {
				t.Errorf("%s: raw series were pulled", q)
			}
			if diff, _ := p.Diff(querytree.WithOptions(t.Context(), querytree.Options{NoPushdown: true}), q); diff != "" {
				t.Errorf("not pushed down: %s", diff)
			}
		}
	}
}

// The selector of more targets than fit into a query asks for all of them.
func TestInfoSeriesOfManyTargets(t *testing.T) {
	p, _ := infoPlanet(t)
	long := make([]byte, 300)
	for i := range 70 {
		for j := range long {
			long[j] = 'a' + byte(i%26)
		}
		target := string(long[:250+i/26])
		p.Append(t, labels.FromStrings("__name__", "up", "zone", "eu", "cluster", "eu-0", "job", "many", "instance", target), 600_000, 1)
		if i%2 == 0 {
			p.Append(t, labels.FromStrings("__name__", "many_info", "zone", "us", "cluster", "us-0", "job", "many", "instance", target, "k", "v"), 600_000, 1)
		}
		p.Append(t, labels.FromStrings("__name__", "many_info", "zone", "us", "cluster", "us-0", "job", "other", "instance", target, "k", "1"), 600_000, 1)
		p.Append(t, labels.FromStrings("__name__", "many_info", "zone", "us", "cluster", "us-0", "job", "other", "instance", target, "k", "2"), 600_000, 1)
	}
	for _, expr := range []string{`info(up{job="many"}, {__name__="many_info"})`, `sum by (k) (info(up{job=~"many|none"}, {__name__="many_info"}))`} {
		if diff, found := p.Diff(t.Context(), treetest.Query{Expr: expr, Start: 620_000}); diff != "" || !found {
			t.Errorf("%s found %t", diff, found)
		}
	}
}

// At an instant, info() holds one sample of each info series, however long the
// lookback is.
func TestInfoSeriesAtAnInstantAreFewSamples(t *testing.T) {
	p, _ := infoPlanet(t)
	for _, pushdown := range []bool{true, false} {
		ctx := querytree.WithOptions(t.Context(), querytree.Options{NoPushdown: !pushdown, MaxBytes: 1 << 20})
		if diff, _ := p.Diff(ctx, treetest.Query{Expr: `info(up{job="b"})`, Start: 900_000}); diff != "" {
			t.Errorf("pushed down %t: %s", pushdown, diff)
		}
	}
}
