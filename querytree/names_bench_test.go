package querytree

import (
	"context"
	"fmt"
	"math"
	"slices"
	"testing"

	"github.com/prometheus/prometheus/model/labels"
)

// BenchmarkAutocomplete asks a root over 20 zones of 50 leaves each what an
// editor asks while somebody types. All of it is one process, and leaves answer
// at once: what is measured is the fan-out and the merging. Leaves have 1,500
// metric names in common and 20 of their own, and 300 pods each.
func BenchmarkAutocomplete(b *testing.B) {
	root := autocompleteTree(b, 20, 50)
	prefix := labels.MustNewMatcher(labels.MatchRegexp, labels.MetricName, "metric_0.*")
	for _, bb := range []struct {
		name string
		req  NamesRequest
		want int
	}{
		{"metric names/all", NamesRequest{Label: labels.MetricName}, 21_500},
		{"metric names/limit 1000", NamesRequest{Label: labels.MetricName, Limit: 1000}, 1000},
		{"metric names/matcher", NamesRequest{Label: labels.MetricName, Matchers: []*labels.Matcher{prefix}}, 21_500},
		{"pods/limit 1000", NamesRequest{Label: "pod", Limit: 1000}, 1000},
		{"pods/all", NamesRequest{Label: "pod"}, 300_000},
		{"label names", NamesRequest{}, 30},
		{"zones", NamesRequest{Label: "zone"}, 20},
		{"clusters", NamesRequest{Label: "cluster"}, 1000},
	} {
		bb.req.Mint, bb.req.Maxt = math.MinInt64, math.MaxInt64
		b.Run(bb.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				got, err := root.Names(b.Context(), bb.req)
				if err != nil || len(got.Names) != bb.want {
					b.Fatal(len(got.Names), err)
				}
			}
		})
	}
}

// autocompleteTree is a root over zones of leaves that know names alone.
func autocompleteTree(b *testing.B, zones, leaves int) *Mixer {
	var common, labelNames []string
	for i := range 1500 {
		common = append(common, fmt.Sprintf("metric_%04d_total", i))
	}
	for i := range 30 {
		labelNames = append(labelNames, fmt.Sprintf("label_%02d", i))
	}
	known := func(d Description) Description {
		d.Mint, d.Maxt, d.Series = 1000, 2000, 100
		return d
	}
	var below []Child
	for z := range zones {
		zone := fmt.Sprintf("zone-%02d", z)
		var children []Child
		for l := range leaves {
			cluster := fmt.Sprintf("%s-%02d", zone, l)
			names, pods := slices.Clone(common), []string{}
			for i := range 20 {
				names = append(names, fmt.Sprintf("own_%s_%d", cluster, i))
			}
			for i := range 300 {
				pods = append(pods, fmt.Sprintf("pod-%06d", (i*zones*leaves+z*leaves+l)*7919%10_000_019))
			}
			slices.Sort(names)
			slices.Sort(pods)
			f := &fake{desc: known(leafOf("zone", zone, "cluster", cluster))}
			f.names = func(_ context.Context, req NamesRequest) (Names, error) {
				list := map[string][]string{"": labelNames, labels.MetricName: names, "pod": pods}[req.Label]
				if req.Limit > 0 {
					list = list[:min(req.Limit, len(list))]
				}
				return Names{Names: list, Report: f.asked()}, nil
			}
			children = append(children, f)
		}
		d := known(zoneOf("zone", zone))
		below = append(below, mixerOver(b, d.Identity, func(c *MixerConfig) { c.Describe = func() Description { return d } }, children...))
	}
	return rootOver(b, below...)
}
