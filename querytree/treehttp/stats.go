package treehttp

import (
	"cmp"
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
	// Answered those of them that answered whole. Replaced are replicas that were
	// asked too, but in whose place others answered: they are in neither.
	Asked    int `json:"asked"`
	Answered int `json:"answered"`
	Replaced int `json:"replaced,omitempty"`
	// Pruned counts the children that were not asked, by why they cannot hold a
	// matching series.
	Pruned PrunedCount `json:"pruned"`
	// Failed are the children whose part is missing or incomplete, by name.
	Failed []FailedChild `json:"failed"`
	// Children has a row for each child, by name.
	Children []ChildRow `json:"children"`
	// Unlisted counts answers of children that have no row, for there are too many:
	// Asked, Answered and the sums are too small by them.
	Unlisted int `json:"unlisted,omitempty"`
	// Unnamed counts children that failed and are not in Failed, for too many did.
	Unnamed int `json:"unnamed,omitempty"`
	// PrunedBy counts the pruned by the very matcher or time by which they were pruned,
	// most first; at most 100 of these.
	PrunedBy []PrunedBy `json:"prunedBy,omitempty"`
	// Late, Hedged and Cached count children: those that missed their soft
	// deadline, had a replica raced with them, were in part answered from a cache.
	Late   int `json:"late"`
	Hedged int `json:"hedged"`
	Cached int `json:"cached"`
	// Series, Samples and Bytes are the sums over all leaves and, of Bytes, also
	// over the tiers between.
	Series  int64 `json:"series"`
	Samples int64 `json:"samples"`
	Bytes   int64 `json:"bytes"`
	// Rollups had a part in the answer.
	Rollups []querytree.RollupUse `json:"rollups,omitempty"`
	// Aligned tells at which times the query was evaluated, if it asked for these
	// to be moved to where rollups have points.
	Aligned *querytree.Alignment `json:"aligned,omitempty"`
}

// PrunedBy counts the children pruned by one matcher or time.
type PrunedBy struct {
	Verdict  querytree.Verdict `json:"verdict"`
	Evidence string            `json:"evidence"`
	Children int               `json:"children"`
}

// PrunedCount counts pruned children by reason: identity labels, time range,
// field hint; or by why they need not be: their parent's rollup.
type PrunedCount struct {
	Label int `json:"label"`
	Time  int `json:"time"`
	Hint  int `json:"hint"`
	// Rollup is zero without rollups.
	Rollup int `json:"rollup,omitempty"`
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
	Hedged   bool              `json:"hedged,omitempty"`
	// Cached is set if some of its part came from the tier's result cache, or
	// from that of a tier below.
	Cached bool `json:"cached,omitempty"`
	// Evidence is the matcher, or the time, by which the child was pruned.
	Evidence string `json:"evidence,omitempty"`
	Bytes    int64  `json:"bytes,omitempty"`
	// Time is how long its slowest request took, as its parent saw it.
	Time Seconds `json:"time,omitempty"`
}

// maxPrunedBy bounds Completeness.PrunedBy.
const maxPrunedBy = 100

// completeness puts a report into the form that the API tells it in.
func completeness(r querytree.Report) Completeness {
	c := Completeness{
		Complete: !r.Partial(),
		Pruned: PrunedCount{
			Label: r.Pruned[querytree.PrunedLabel], Time: r.Pruned[querytree.PrunedTime], Hint: r.Pruned[querytree.PrunedHint],
			Rollup: r.Pruned[querytree.RolledUp],
		},
		Failed: []FailedChild{}, Children: []ChildRow{}, Rollups: r.Rollups, Aligned: r.Aligned,
		Unlisted: r.Unlisted, Unnamed: r.Unnamed,
	}
	by := map[PrunedBy]int{}
	for _, name := range slices.Sorted(maps.Keys(r.Children)) {
		row := r.Children[name]
		c.count(row)
		switch row.Verdict {
		case querytree.Asked:
			c.Asked++
			if row.Failed == "" {
				c.Answered++
			}
		case querytree.Replaced:
			c.Replaced++
		default:
			by[PrunedBy{Verdict: row.Verdict, Evidence: row.Evidence}]++
		}
		if row.Failed != "" {
			c.Failed = append(c.Failed, FailedChild{Name: name, Reason: row.Failed, Late: row.Late})
		}
		c.Children = append(c.Children, ChildRow{
			Name: name, Tier: row.Tier, Verdict: row.Verdict, Requests: row.Requests,
			Series: row.Series, Samples: row.Samples, Failed: row.Failed, Late: row.Late, Hedged: row.Hedged, Cached: row.Cached,
			Evidence: row.Evidence, Bytes: row.Bytes, Time: Seconds(row.Time),
		})
	}
	c.PrunedBy = mostPruned(by)
	return c
}

// count adds what a child contributed.
func (c *Completeness) count(row querytree.ChildReport) {
	for _, n := range []struct {
		is  bool
		sum *int
	}{{row.Late, &c.Late}, {row.Hedged, &c.Hedged}, {row.Cached, &c.Cached}} {
		if n.is {
			*n.sum++
		}
	}
	c.Bytes += row.Bytes
	if row.Tier == querytree.TierLeaf {
		c.Series, c.Samples = c.Series+row.Series, c.Samples+row.Samples
	}
}

// mostPruned sorts what pruned children by how many.
func mostPruned(by map[PrunedBy]int) []PrunedBy {
	var out []PrunedBy
	for p, n := range by {
		p.Children = n
		out = append(out, p)
	}
	slices.SortFunc(out, func(a, b PrunedBy) int {
		return cmp.Or(cmp.Compare(b.Children, a.Children), cmp.Compare(a.Verdict, b.Verdict), cmp.Compare(a.Evidence, b.Evidence))
	})
	return out[:min(len(out), maxPrunedBy)]
}

// queryStats are Prometheus' statistics of a query, and ours.
type queryStats struct {
	stats.BuiltinStats
	Pando *pandoStats `json:"pando,omitempty"`
	// Cache is what the tier's result cache had to do with the answer.
	Cache *querytree.CacheUse `json:"cache,omitempty"`
}

// pandoStats are the completeness of an answer, and how its evaluation went.
type pandoStats struct {
	Completeness
	// QueryID is that of the header.
	QueryID string  `json:"queryId,omitempty"`
	Queued  Seconds `json:"queued"`
	Planned Seconds `json:"planned"`
	Total   Seconds `json:"total"`
	// Replans and Fragments, as in QueryRow.
	Replans   int `json:"replans"`
	Fragments int `json:"fragments"`
}

// renderStats is the apiv1.StatsRenderer. It is called when the query has been
// evaluated, so that the report is complete.
func renderStats(ctx context.Context, s *stats.Statistics, param string) stats.QueryStats {
	opts, _ := querytree.OptionsFrom(ctx)
	if param == "" && !opts.Detail {
		return addressed(ctx, nil)
	}
	qs := &queryStats{BuiltinStats: stats.NewQueryStats(s).Builtin()}
	sink := querytree.ReportFrom(ctx)
	report := sink.Report()
	qs.Cache = report.Cache
	if opts.Detail {
		ev := sink.Evaluation()
		qs.Pando = &pandoStats{
			Completeness: completeness(report), QueryID: opts.ID, Queued: Seconds(ev.Queued), Planned: Seconds(ev.Planned),
			Total: Seconds(ev.Total), Replans: ev.Replans, Fragments: ev.Fragments,
		}
	}
	return addressed(ctx, qs)
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
