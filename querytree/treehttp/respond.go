package treehttp

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"slices"

	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/tsdb"
	"github.com/prometheus/prometheus/util/annotations"
	apiv1 "github.com/prometheus/prometheus/web/api/v1"

	"github.com/pandometrics/pando/querytree"
)

// Error types of the API, as Prometheus names them.
const (
	errBadData     = "bad_data"
	errExecution   = "execution"
	errInternal    = "internal"
	errNotFound    = "not_found"
	errUnavailable = "unavailable"
	errTimeout     = "timeout"
	errCanceled    = "canceled"
)

// statusClientClosed is what Prometheus answers a client that hung up.
const statusClientClosed = 499

// maxAnnotations bounds the warnings and the infos of one answer, as Prometheus
// does.
const maxAnnotations = 10

// respond writes an answer in the API's envelope.
func respond(w http.ResponseWriter, data any, ws annotations.Annotations) {
	writeJSON(w, http.StatusOK, success(data, ws))
}

// success is the envelope of an answer.
func success(data any, ws annotations.Annotations) apiv1.Response {
	warnings, infos := ws.AsStrings("", maxAnnotations, maxAnnotations)
	for _, err := range ws {
		// How many more are missing is told whatever else is.
		more, ok := errors.AsType[*querytree.UnnamedError](err)
		if ok && !slices.Contains(warnings, more.Error()) {
			warnings = slices.Insert(warnings, 0, more.Error())
		}
	}
	return apiv1.Response{Status: "success", Data: data, Warnings: warnings, Infos: infos}
}

// respondError writes an error in the API's envelope.
func respondError(w http.ResponseWriter, code int, kind, msg string) {
	writeJSON(w, code, apiv1.Response{Status: "error", ErrorType: kind, Error: msg})
}

// respondErr writes an error that the tree gave.
func respondErr(w http.ResponseWriter, err error) {
	code, kind := classify(err)
	respondError(w, code, kind, err.Error())
}

// classify is the one table from errors to status codes and error types.
func classify(err error) (code int, kind string) {
	var timeout promql.ErrQueryTimeout
	var canceled promql.ErrQueryCanceled
	var broken promql.ErrStorage
	switch {
	case errors.Is(err, querytree.ErrUnavailable), querytree.IsBusy(err), errors.Is(err, tsdb.ErrNotReady):
		return http.StatusServiceUnavailable, errUnavailable
	case errors.As(err, &timeout), errors.Is(err, context.DeadlineExceeded):
		return http.StatusServiceUnavailable, errTimeout
	case errors.As(err, &canceled), errors.Is(err, context.Canceled):
		return statusClientClosed, errCanceled
	case errors.As(err, &broken):
		return http.StatusInternalServerError, errInternal
	default:
		return http.StatusUnprocessableEntity, errExecution
	}
}

// unavailable makes Prometheus' handlers answer 503 where a strict request
// failed for want of a child, or the tier is busy: it is worth another try,
// unlike a query that is wrong. N stands for a type that Prometheus does not export.
func unavailable[N any](_ N, err error) (code int, override bool) {
	return http.StatusServiceUnavailable, errors.Is(err, querytree.ErrUnavailable) || querytree.IsBusy(err)
}

func writeJSON(w http.ResponseWriter, code int, v any) {
	b, err := json.Marshal(v)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	// The client may be gone; there is nobody left to tell.
	_, _ = w.Write(append(b, '\n'))
}
