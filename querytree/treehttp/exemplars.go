package treehttp

import (
	"errors"
	"net/http"
	"time"

	"github.com/prometheus/prometheus/model/exemplar"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/timestamp"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/util/httputil"
	apiv1 "github.com/prometheus/prometheus/web/api/v1"

	"github.com/pandometrics/pando/querytree"
)

// exemplars serves /api/v1/query_exemplars. Prometheus' own handler has no place for
// warnings: it could not say whose exemplars are missing.
func (h *Handler) exemplars(w http.ResponseWriter, r *http.Request) {
	httputil.SetCORS(w, h.cfg.CORSOrigin, r)
	selectors, start, end, err := exemplarsParams(r)
	if err != nil {
		respondError(w, http.StatusBadRequest, errBadData, err.Error())
		return
	}
	found := []exemplar.QueryResult{} // none are told as none, not as null
	if len(selectors) > 0 {
		q, err := h.cfg.Exemplars.ExemplarQuerier(r.Context())
		if err != nil {
			respondErr(w, err)
			return
		}
		some, err := q.Select(timestamp.FromTime(start), timestamp.FromTime(end), selectors...)
		if err != nil {
			respondErr(w, err)
			return
		}
		found = append(found, some...)
	}
	answer := success(found, querytree.ReportFrom(r.Context()).Warnings())
	b, err := apiv1.JSONCodec{}.Encode(&answer)
	if err != nil {
		respondErr(w, err)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(b) // the client may be gone
}

// exemplarsParams returns the selectors of the query, and the first and the last time.
func exemplarsParams(r *http.Request) (selectors [][]*labels.Matcher, start, end time.Time, err error) {
	query := r.FormValue("query") // it also parses the form
	if start, err = timeParam(r, "start", apiv1.MinTime); err != nil {
		return nil, start, end, err
	}
	if end, err = timeParam(r, "end", apiv1.MaxTime); err != nil {
		return nil, start, end, err
	}
	if end.Before(start) {
		return nil, start, end, errors.New("end timestamp must not be before start timestamp")
	}
	e, err := querytree.NewParser().ParseExpr(query)
	if err != nil {
		return nil, start, end, err
	}
	return parser.ExtractSelectors(e), start, end, nil
}
