package treehttp

import (
	"context"
	"maps"
	"net/http"
	"slices"

	"github.com/prometheus/prometheus/util/httputil"
	"github.com/prometheus/prometheus/util/stats"
	apiv1 "github.com/prometheus/prometheus/web/api/v1"

	"github.com/pandometrics/pando/querytree"
)

// Completeness is what became of each child in one query, as data.stats.pando
// of a query answer tells it.
type Completeness struct {
	// Complete is set if nothing is missing from the answer.
	Complete bool `json:"complete"`
	// Asked counts the children that a request was sent to, in all tiers below;
	// Answered those of them that answered whole.
	Asked    int `json:"asked"`
	Answered int `json:"answered"`
	// Pruned counts the children that were not asked, by why they cannot hold a
	// matching series.
	Pruned PrunedCount `json:"pruned"`
	// Failed are the children whose part is missing or incomplete, by name.
	Failed []FailedChild `json:"failed"`
	// Children has a row for each child, by name.
	Children []ChildRow `json:"children"`
}

// PrunedCount counts pruned children by reason: identity labels, time range,
// field hint.
type PrunedCount struct {
	Label int `json:"label"`
	Time  int `json:"time"`
	Hint  int `json:"hint"`
}

// FailedChild is a child whose part is missing or incomplete.
type FailedChild struct {
	Name   string `json:"name"`
	Reason string `json:"reason"`
	// Late is set if the child missed its soft deadline.
	Late bool `json:"late,omitempty"`
}

// ChildRow is what one child contributed.
type ChildRow struct {
	Name     string            `json:"name"`
	Tier     string            `json:"tier"`
	Verdict  querytree.Verdict `json:"verdict"`
	Requests int               `json:"requests"`
	Series   int64             `json:"series"`
	Samples  int64             `json:"samples"`
	Failed   string            `json:"failed,omitempty"`
	Late     bool              `json:"late,omitempty"`
	// Cached is set if some of its part came from the tier's result cache, or
	// from that of a tier below.
	Cached bool `json:"cached,omitempty"`
}

// completeness puts a report into the form that the API tells it in.
func completeness(r querytree.Report) Completeness {
	c := Completeness{
		Complete: !r.Partial(),
		Pruned: PrunedCount{
			Label: r.Pruned[querytree.PrunedLabel], Time: r.Pruned[querytree.PrunedTime], Hint: r.Pruned[querytree.PrunedHint],
		},
		Failed: []FailedChild{}, Children: []ChildRow{},
	}
	for _, name := range slices.Sorted(maps.Keys(r.Children)) {
		row := r.Children[name]
		if row.Verdict == querytree.Asked {
			c.Asked++
			if row.Failed == "" {
				c.Answered++
			}
		}
		if row.Failed != "" {
			c.Failed = append(c.Failed, FailedChild{Name: name, Reason: row.Failed, Late: row.Late})
		}
		c.Children = append(c.Children, ChildRow{
			Name: name, Tier: row.Tier, Verdict: row.Verdict, Requests: row.Requests,
			Series: row.Series, Samples: row.Samples, Failed: row.Failed, Late: row.Late, Cached: row.Cached,
		})
	}
	return c
}

// queryStats are Prometheus' statistics of a query, and ours.
type queryStats struct {
	stats.BuiltinStats
	Pando *Completeness `json:"pando,omitempty"`
	// Cache is what the tier's result cache had to do with the answer.
	Cache *querytree.CacheUse `json:"cache,omitempty"`
}

// renderStats is the apiv1.StatsRenderer. It is called when the query has been
// evaluated, so that the report is complete.
func renderStats(ctx context.Context, s *stats.Statistics, param string) stats.QueryStats {
	opts, _ := querytree.OptionsFrom(ctx)
	if param == "" && !opts.Detail {
		return nil
	}
	qs := &queryStats{BuiltinStats: stats.NewQueryStats(s).Builtin()}
	report := querytree.ReportFrom(ctx).Report()
	qs.Cache = report.Cache
	if opts.Detail {
		c := completeness(report)
		qs.Pando = &c
	}
	return qs
}

// tsdbStatus serves /api/v1/status/tsdb: of a leaf its head, of other tiers what
// they know of the leaves below.
func (h *Handler) tsdbStatus(w http.ResponseWriter, r *http.Request) {
	httputil.SetCORS(w, h.cfg.CORSOrigin, r)
	limit, err := intParam(r, "limit")
	switch {
	case err != nil || limit == 0 || limit < -1:
		respondError(w, http.StatusBadRequest, errBadData, "limit must be a positive number")
		return
	case limit > maxTSDBStats:
		respondError(w, http.StatusBadRequest, errBadData, "limit must not exceed 10000")
		return
	case limit == -1:
		limit = defaultTSDBStats
	}
	s, err := h.cfg.Parts.TSDB.Stats("__name__", limit)
	if err != nil {
		respondError(w, http.StatusInternalServerError, errInternal, err.Error())
		return
	}
	respond(w, apiv1.TSDBStatus{
		HeadStats: apiv1.HeadStats{
			NumSeries: s.NumSeries, MinTime: s.MinTime, MaxTime: s.MaxTime,
			NumLabelPairs: s.IndexPostingStats.NumLabelPairs, ChunkCount: h.headChunks(),
		},
		SeriesCountByMetricName:     apiv1.TSDBStatsFromIndexStats(s.IndexPostingStats.CardinalityMetricsStats),
		LabelValueCountByLabelName:  apiv1.TSDBStatsFromIndexStats(s.IndexPostingStats.CardinalityLabelStats),
		MemoryInBytesByLabelName:    apiv1.TSDBStatsFromIndexStats(s.IndexPostingStats.LabelValueStats),
		SeriesCountByLabelValuePair: apiv1.TSDBStatsFromIndexStats(s.IndexPostingStats.LabelValuePairsStats),
	}, nil)
}

// Bounds of /api/v1/status/tsdb, Prometheus' own.
const (
	defaultTSDBStats = 10
	maxTSDBStats     = 10_000
)

// headChunks reads the number of chunks in the head off the tier's metrics, as
// Prometheus does; zero where there is no head.
func (h *Handler) headChunks() int64 {
	families, err := h.cfg.Gatherer.Gather()
	if err != nil {
		return 0
	}
	for _, f := range families {
		if f.GetName() == "prometheus_tsdb_head_chunks" && len(f.Metric) > 0 {
			return int64(f.Metric[0].GetGauge().GetValue())
		}
	}
	return 0
}
