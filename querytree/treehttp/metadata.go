package treehttp

import (
	"net/http"
	"strconv"

	"github.com/prometheus/prometheus/model/metadata"
	"github.com/prometheus/prometheus/util/httputil"

	"github.com/pandometrics/pando/querytree"
)

// metadata serves /api/v1/metadata. Prometheus' own handler only knows active
// scrape targets; a tree has leaves that receive samples, and tiers without any.
func (h *Handler) metadata(w http.ResponseWriter, r *http.Request) {
	httputil.SetCORS(w, h.cfg.CORSOrigin, r)
	limit, err := intParam(r, "limit")
	if err != nil {
		respondError(w, http.StatusBadRequest, errBadData, "limit must be a number")
		return
	}
	perMetric, err := intParam(r, "limit_per_metric")
	if err != nil {
		respondError(w, http.StatusBadRequest, errBadData, "limit_per_metric must be a number")
		return
	}
	if limit == 0 { // Prometheus takes zero at its word.
		respond(w, map[string][]metadata.Metadata{}, nil)
		return
	}
	opts, _ := querytree.OptionsFrom(r.Context())
	md, err := h.cfg.Metadata(r.Context(), querytree.MetadataRequest{
		Options: opts, Metric: r.FormValue("metric"), Limit: max(limit, 0), LimitPerMetric: max(perMetric, 0),
	})
	if err != nil {
		respondErr(w, err)
		return
	}
	querytree.ReportFrom(r.Context()).Merge(md.Report)
	if md.Families == nil {
		md.Families = map[string][]metadata.Metadata{}
	}
	respond(w, md.Families, md.Warnings)
}

// intParam returns a numeric parameter, -1 if it is not given.
func intParam(r *http.Request, name string) (int, error) {
	s := r.FormValue(name)
	if s == "" {
		return -1, nil
	}
	return strconv.Atoi(s)
}
