package main

import (
	"context"
	"fmt"
	"slices"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/metadata"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/storage"

	"github.com/pandometrics/pando/querytree"
)

// What a leaf knows: metric families that all leaves have and some of its own,
// and names of pods that are its own.
const (
	commonFamilies = 1500
	ownFamilies    = 5
	pods           = 300
	seriesOfLeaf   = 50_000
)

// families are what all leaves have in common.
type families struct {
	names    []string // sorted
	labels   []string // sorted
	metadata map[string][]metadata.Metadata
	// rest answers what is not about names: with nothing.
	rest *querytree.Local
}

func newFamilies() (*families, error) {
	f := &families{metadata: map[string][]metadata.Metadata{}}
	for i := range commonFamilies {
		name := fmt.Sprintf("%s_%04d_total", []string{"http_requests", "container_cpu", "node_disk", "go_gc"}[i%4], i)
		f.names = append(f.names, name)
		f.metadata[name] = []metadata.Metadata{{Type: "counter", Help: "What " + name + " counts, in as many words as helps have."}}
	}
	slices.Sort(f.names)
	for i := range 30 {
		f.labels = append(f.labels, fmt.Sprintf("label_%02d", i))
	}
	nothing := storage.NoopQuerier()
	rest, err := querytree.NewLocal(querytree.LocalConfig{
		Engine:   promql.NewEngine(promql.EngineOpts{MaxSamples: 1000, Timeout: querytree.DefaultLimits().Timeout, Parser: querytree.NewParser()}),
		Samples:  storage.QueryableFunc(func(int64, int64) (storage.Querier, error) { return nothing, nil }),
		Chunks:   noChunks{},
		Describe: func() querytree.Description { return querytree.Description{} },
		Limits:   querytree.DefaultLimits(),
	})
	f.rest = rest
	return f, err
}

type noChunks struct{}

func (noChunks) ChunkQuerier(int64, int64) (storage.ChunkQuerier, error) {
	return storage.NoopChunkedQuerier(), nil
}

// leaf is a simulated leaf.
type leaf struct {
	querytree.Child // for what is not about names
	families        *families
	description     querytree.Description
	names           map[string][]string // by label, sorted; label names by ""
}

func (f *families) leaf(zone, cluster string) *leaf {
	id := querytree.Identity{Tier: querytree.TierLeaf, Labels: labels.FromStrings("zone", zone, "cluster", cluster)}
	metrics := slices.Clone(f.names)
	for i := range ownFamilies {
		metrics = append(metrics, fmt.Sprintf("app_%s_%d_total", cluster, i))
	}
	var own []string
	for i := range pods {
		own = append(own, fmt.Sprintf("pod-%s-%03d", cluster, i))
	}
	slices.Sort(metrics)
	return &leaf{
		Child: f.rest, families: f, description: known(id, 1),
		names: map[string][]string{"": f.labels, labels.MetricName: metrics, "pod": own},
	}
}

// Describe implements querytree.Child.
func (l *leaf) Describe() querytree.Description { return l.description }

// report tells that the leaf was asked.
func (l *leaf) report() (r querytree.Report) {
	r.Add(l.description.Name(), querytree.ChildReport{Tier: l.description.Tier, Verdict: querytree.Asked, Requests: 1})
	return r
}

// Names implements querytree.Child. Matchers of the label itself restrict its
// values, and those of the metric's name which series there are; others are not
// looked at.
func (l *leaf) Names(_ context.Context, req querytree.NamesRequest) (querytree.Names, error) {
	list := l.names[req.Label]
	for _, m := range req.Matchers {
		switch {
		case m.Name == req.Label:
			list = slices.DeleteFunc(slices.Clone(list), func(v string) bool { return !m.Matches(v) })
		case m.Name == labels.MetricName && !slices.ContainsFunc(l.names[labels.MetricName], m.Matches):
			list = nil
		}
	}
	if req.Limit > 0 {
		list = list[:min(req.Limit, len(list))]
	}
	return querytree.Names{Names: list, Report: l.report()}, nil
}

// Metadata implements querytree.Child.
func (l *leaf) Metadata(context.Context, querytree.MetadataRequest) (querytree.Metadata, error) {
	return querytree.Metadata{Families: l.families.metadata, Report: l.report()}, nil
}
