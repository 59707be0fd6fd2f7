package e2e_test

import (
	"context"
	"fmt"
	"log/slog"
	"math"
	"slices"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/pandometrics/pando/fieldhint"
	"github.com/pandometrics/pando/querytree"
	"github.com/pandometrics/pando/querytree/tier"
	"github.com/pandometrics/pando/querytree/treerpc"
	"github.com/pandometrics/pando/zone"
)

// namingLeaf is a leaf that knows the names of its metrics and pods, and answers at once.
type namingLeaf struct {
	querytree.Child
	d     querytree.Description
	set   *fieldhint.Set
	names map[string][]string // by label; label names under the empty one
}

// Describe implements querytree.Child.
func (l *namingLeaf) Describe() querytree.Description { return l.d }

// Names implements querytree.Child.
func (l *namingLeaf) Names(_ context.Context, req querytree.NamesRequest) (querytree.Names, error) {
	var out []string
	for _, name := range l.names[req.Label] {
		if req.Limit > 0 && len(out) == req.Limit {
			break
		}
		if !slices.ContainsFunc(req.Matchers, func(m *labels.Matcher) bool { return m.Name == req.Label && !m.Matches(name) }) {
			out = append(out, name)
		}
	}
	return querytree.Names{Names: out}, nil
}

// newNamingLeaf returns a leaf with 1,500 metrics that all have, 20 of its own, and 300
// pods.
func newNamingLeaf(b *testing.B, zone string, number int) *namingLeaf {
	b.Helper()
	cluster := fmt.Sprintf("%s-%02d", zone, number)
	id := querytree.Identity{Tier: querytree.TierLeaf, Labels: labels.FromStrings("cluster", cluster, "zone", zone)}
	set, err := fieldhint.NewSet(fieldhint.SetConfig{External: id.Labels, CacheSize: 64})
	if err != nil {
		b.Fatal(err)
	}
	l := &namingLeaf{set: set, names: map[string][]string{"": {"__name__", "cluster", "job", "pod", "zone"}}}
	now := time.Now()
	l.d = querytree.Description{
		Identity: id, Instance: cluster, Leaves: 1, Series: 50_000, Features: querytree.MixerFeatures(),
		Mint: now.Add(-2 * time.Hour).UnixMilli(), Maxt: now.Add(24 * time.Hour).UnixMilli(),
	}
	for i := range 1520 {
		name := fmt.Sprintf("metric_%04d_total", i)
		if i >= 1500 {
			name = fmt.Sprintf("own_%s_%d", cluster, i)
		}
		l.names[labels.MetricName] = append(l.names[labels.MetricName], name)
		set.AddSeries(labels.FromStrings(labels.MetricName, name, "job", "j"))
	}
	for i := range 300 {
		pod := fmt.Sprintf("pod-%s-%03d", cluster, i)
		l.names["pod"] = append(l.names["pod"], pod)
		set.AddSeries(labels.FromStrings(labels.MetricName, "metric_0000_total", "job", "j", "pod", pod))
	}
	set.SetComplete()
	return l
}

// attach keeps a child connected to its parent.
func attach(b *testing.B, child querytree.Child, hints *fieldhint.Set, address string) {
	b.Helper()
	link, err := treerpc.NewLink(treerpc.LinkConfig{Logger: slog.New(slog.DiscardHandler), Child: child, Hints: hints, Parents: []string{address}})
	if err != nil {
		b.Fatal(err)
	}
	background(b, link.Run)
}

// namingTree is a root over zones of leaves, each joined to its parent by a connection
// of its own, with hints in use at all tiers.
func namingTree(b *testing.B, zones, leaves int) *tier.Tier {
	b.Helper()
	root := newHintedParent(b)
	parent, address := listen(b, root, anyPort)
	for i := range zones {
		name := fmt.Sprintf("zone-%02d", i)
		z, err := zone.New(zone.Config{Tier: tier.Config{
			Identity: querytree.Identity{Tier: querytree.TierZone, Labels: labels.FromStrings("zone", name)}, Hints: true,
			Limits: querytree.DefaultLimits(), Lookback: 5 * time.Minute, SubqueryStep: time.Minute,
		}})
		if err != nil {
			b.Fatal(err)
		}
		background(b, z.Run)
		_, below := listen(b, z.Tier, anyPort)
		for j := range leaves {
			l := newNamingLeaf(b, name, j)
			attach(b, l, l.set, below)
		}
		within(b, "leaves of "+name, func() bool { return z.Describe().Leaves == leaves })
		attach(b, z.Mixer, z.Union, address)
		within(b, "hint of "+name, func() bool { return parent.Index.Synced("zone=" + name) })
	}
	return root
}

// BenchmarkAutocompleteOverLinks asks a root what an editor asks while somebody types,
// over the connections by which tiers are joined in production. All tiers are of one
// process, which 1,000 leaves keep busy by their heartbeats alone: so smaller trees tell
// what a zone and a root would take that have a machine each.
func BenchmarkAutocompleteOverLinks(b *testing.B) {
	for _, size := range []struct{ zones, leaves int }{{20, 50}, {1, 50}, {20, 1}} {
		b.Run(fmt.Sprintf("%d zones of %d", size.zones, size.leaves), func(b *testing.B) {
			autocomplete(b, namingTree(b, size.zones, size.leaves), size.zones*size.leaves)
		})
	}
}

func autocomplete(b *testing.B, root *tier.Tier, leaves int) {
	b.Helper()
	own := labels.MustNewMatcher(labels.MatchRegexp, labels.MetricName, "own_zone-00-00_.*")
	nobody := labels.MustNewMatcher(labels.MatchRegexp, labels.MetricName, "nobody_has_this.*")
	for _, c := range []struct {
		name string
		req  querytree.NamesRequest
		want int
	}{
		{"metric names/limit 1000", querytree.NamesRequest{Label: labels.MetricName, Limit: 1000}, 1000},
		{"metric names/all", querytree.NamesRequest{Label: labels.MetricName}, 1500 + 20*leaves},
		{"metric names/of one leaf", querytree.NamesRequest{Label: labels.MetricName, Matchers: []*labels.Matcher{own}, Limit: 1000}, 20},
		{"metric names/of nobody", querytree.NamesRequest{Label: labels.MetricName, Matchers: []*labels.Matcher{nobody}, Limit: 1000}, 0},
		{"pods/limit 1000", querytree.NamesRequest{Label: "pod", Limit: 1000}, 1000},
		{"label names", querytree.NamesRequest{}, 5},
		{"clusters", querytree.NamesRequest{Label: "cluster"}, leaves},
	} {
		c.req.Mint, c.req.Maxt = math.MinInt64, math.MaxInt64
		b.Run(c.name, func(b *testing.B) {
			var took []time.Duration
			cpu := ownCPU(b)
			for b.Loop() {
				begin := time.Now()
				got, err := root.Mixer.Names(b.Context(), c.req)
				if err != nil || len(got.Names) != c.want || got.Report.Partial() {
					b.Fatalf("%d names, want %d, %v", len(got.Names), c.want, err)
				}
				took = append(took, time.Since(begin))
			}
			b.ReportMetric((ownCPU(b)-cpu).Seconds()*1000/float64(b.N), "cpu-ms/op")
			slices.Sort(took)
			b.ReportMetric(float64(took[len(took)*99/100].Microseconds())/1000, "p99-ms")
			b.ReportMetric(float64(took[len(took)/2].Microseconds())/1000, "p50-ms")
		})
	}
}
