package main

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/storage"

	"github.com/pandometrics/pando/gitops"
	"github.com/pandometrics/pando/leaf"
	"github.com/pandometrics/pando/querytree"
	"github.com/pandometrics/pando/querytree/treehttp"
)

// liveDelivery tells which configuration runs here, and in the clusters below: the
// control loops' own metrics say so, wherever they are scraped.
type liveDelivery struct {
	engine promql.QueryEngine
	series storage.Queryable
	// leaf has loaded the tier's configuration; nil if it has none.
	leaf *leaf.Leaf
}

// Config implements treehttp.Delivery.
func (d liveDelivery) Config(ctx context.Context) (treehttp.ConfigList, error) {
	out := treehttp.ConfigList{Clusters: []treehttp.ClusterConfig{}, Rejected: []treehttp.RejectedConfig{}, Paused: []string{}, Warnings: []string{}}
	if d.leaf != nil {
		ok, at := d.leaf.APIParts().ReloadStatus()
		out.Revision, out.Refused = d.leaf.Revision(), !ok
		if !at.IsZero() {
			out.LoadedAt = float64(at.UnixMilli()) / 1000
		}
	}
	// What a part of the tree tells is of use here, and the rest is named.
	ctx = querytree.WithOptions(ctx, querytree.Options{Client: "configuration", NoRollup: true})
	q, err := d.engine.NewInstantQuery(ctx, d.series, nil, gitops.FleetQuery, time.Now())
	if err != nil {
		return out, fmt.Errorf("ask which configuration runs: %w", err)
	}
	defer q.Close()
	res := q.Exec(ctx)
	v, err := res.Vector()
	if err != nil {
		return out, fmt.Errorf("ask which configuration runs: %w", err)
	}
	warnings, _ := res.Warnings.AsStrings(gitops.FleetQuery, 0, 0)
	out.Warnings = append(out.Warnings, warnings...)
	for _, s := range v {
		told(&out, s.Metric, s.F)
	}
	slices.SortFunc(out.Clusters, func(a, b treehttp.ClusterConfig) int {
		return cmp.Or(cmp.Compare(a.Zone, b.Zone), cmp.Compare(a.Cluster, b.Cluster), cmp.Compare(a.Revision, b.Revision))
	})
	slices.SortFunc(out.Rejected, func(a, b treehttp.RejectedConfig) int {
		return cmp.Or(cmp.Compare(a.Revision, b.Revision), cmp.Compare(a.Cluster, b.Cluster), cmp.Compare(a.Why, b.Why))
	})
	slices.Sort(out.Paused)
	out.Paused = slices.Compact(out.Paused)
	return out, nil
}

// told adds what one sample tells.
func told(out *treehttp.ConfigList, l labels.Labels, value float64) {
	cluster, revision := l.Get("cluster"), l.Get("revision")
	switch l.Get(labels.MetricName) {
	case gitops.MetricLoaded:
		out.Clusters = append(out.Clusters, treehttp.ClusterConfig{Cluster: cluster, Zone: l.Get("zone"), Revision: revision, Wave: l.Get("wave"), Since: value})
	case gitops.MetricRejected:
		out.Rejected = append(out.Rejected, treehttp.RejectedConfig{Revision: revision, Cluster: cluster, Why: l.Get("why"), Since: value})
	case gitops.MetricPaused:
		if value == 1 {
			out.Paused = append(out.Paused, cluster)
		}
	}
}
