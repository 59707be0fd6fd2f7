package querytree

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb/chunks"
	"github.com/prometheus/prometheus/util/annotations"
	"golang.org/x/sys/unix"
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
		{"metric names/of one leaf", NamesRequest{Label: labels.MetricName, Matchers: []*labels.Matcher{ownMetrics}, Limit: 1000}, 20},
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
			defer reportCPU(b, cpuTime(b))
			for b.Loop() {
				got, err := root.Names(b.Context(), bb.req)
				if err != nil || len(got.Names) != bb.want {
					b.Fatal(len(got.Names), err)
				}
			}
		})
	}
	for _, bb := range []struct {
		name    string
		matcher *labels.Matcher
		limit   int
		want    int
	}{
		{"series/limit 1000", prefix, 1000, 1000},
		{"series/of one leaf", ownMetrics, 1000, 20},
	} {
		req := SelectRequest{Mint: math.MinInt64, Maxt: math.MaxInt64, Matchers: []*labels.Matcher{bb.matcher}, LabelsOnly: true, Limit: bb.limit}
		b.Run(bb.name, func(b *testing.B) {
			b.ReportAllocs()
			defer reportCPU(b, cpuTime(b))
			for b.Loop() {
				n, set := 0, root.Select(b.Context(), req)
				for set.Next() {
					n++
				}
				if err := set.Err(); err != nil || n != bb.want {
					b.Fatal(n, err)
				}
				set.Close()
			}
		})
	}
}

// cpuTime is what the process has used so far: others use the machine, too.
func cpuTime(b *testing.B) time.Duration {
	b.Helper()
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_PROCESS_CPUTIME_ID, &t); err != nil {
		b.Fatal(err)
	}
	return time.Duration(t.Nano())
}

func reportCPU(b *testing.B, since time.Duration) {
	b.Helper()
	b.ReportMetric((cpuTime(b)-since).Seconds()*1000/float64(b.N), "cpu-ms/op")
}

// ownMetrics are metrics that one leaf has and no other, of which hints know.
var ownMetrics = labels.MustNewMatcher(labels.MatchRegexp, labels.MetricName, "own_zone-07-13_.*")

// knowing is a Pruner that knows who has ownMetrics.
type knowing struct{}

func (knowing) RulesOutAll(children []string, ms []*labels.Matcher, _, _ int64) []bool {
	out := make([]bool, len(children))
	if slices.Contains(ms, ownMetrics) {
		for i, name := range children {
			out[i] = name != "zone=zone-07" && !strings.Contains(name, "cluster=zone-07-13")
		}
	}
	return out
}

// bareSeries is a SeriesSet of label sets.
type bareSeries struct {
	sets   []labels.Labels
	report Report
	at     int
}

func (s *bareSeries) Next() bool                        { s.at++; return s.at <= len(s.sets) }
func (s *bareSeries) At() storage.ChunkSeries           { return s }
func (s *bareSeries) Labels() labels.Labels             { return s.sets[s.at-1] }
func (s *bareSeries) Err() error                        { return nil }
func (s *bareSeries) Warnings() annotations.Annotations { return nil }
func (s *bareSeries) Report() Report                    { return s.report }
func (s *bareSeries) Close()                            {}
func (s *bareSeries) ChunkCount() (int, error)          { return 0, nil }
func (s *bareSeries) Iterator(chunks.Iterator) chunks.Iterator {
	return storage.NewListChunkSeriesIterator()
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
			own := slices.Clone(names[len(common):])
			slices.Sort(own)
			slices.Sort(names)
			slices.Sort(pods)
			var all, few []labels.Labels
			for _, name := range names {
				lset := labels.FromStrings(labels.MetricName, name, "cluster", cluster, "job", "j", "zone", zone)
				if all = append(all, lset); slices.Contains(own, name) {
					few = append(few, lset)
				}
			}
			f := &fake{desc: known(leafOf("zone", zone, "cluster", cluster))}
			f.names = func(_ context.Context, req NamesRequest) (Names, error) {
				list := map[string][]string{"": labelNames, labels.MetricName: names, "pod": pods}[req.Label]
				if slices.Contains(req.Matchers, ownMetrics) {
					list = own
				}
				if req.Limit > 0 {
					list = list[:min(req.Limit, len(list))]
				}
				return Names{Names: list, Report: f.asked()}, nil
			}
			f.selects = func(_ context.Context, req SelectRequest) SeriesSet {
				sets := all
				if slices.Contains(req.Matchers, ownMetrics) {
					sets = few
				}
				return &bareSeries{sets: sets[:min(req.Limit, len(sets))], report: f.asked()}
			}
			children = append(children, f)
		}
		d := known(zoneOf("zone", zone))
		below = append(below, mixerOver(b, d.Identity, func(c *MixerConfig) {
			c.Describe, c.Pruner = func() Description { return d }, knowing{}
		}, children...))
	}
	return mixerOver(b, Identity{Tier: TierRoot}, func(c *MixerConfig) { c.Pruner = knowing{} }, below...)
}
