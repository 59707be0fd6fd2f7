package treehttp

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"time"

	"github.com/pandometrics/pando/querytree"
)

// QueryIDHeader names a query in the logs of every tier, in the list of queries
// and in the query log. A client may choose it; the answer tells it in any case.
const QueryIDHeader = "X-Pando-Query-Id"

// maxLoggedQuery bounds the query in a line of the query log.
const maxLoggedQuery = 4 << 10

// queryID takes the id that the client gives the query, or makes one up.
func queryID(r *http.Request) string {
	for _, h := range []string{QueryIDHeader, IDHeader} {
		if id := r.Header.Get(h); validQueryID(id) {
			return id
		}
	}
	return randomID()
}

func randomID() string {
	var b [8]byte
	_, _ = rand.Read(b[:]) // Never fails.
	return hex.EncodeToString(b[:])
}

// validQueryID keeps what would forge logs or break paths out of ids.
func validQueryID(id string) bool {
	return validID(id) && !slices.Contains([]byte(id), '.')
}

// recorded makes a request a query: with an id, in the list of active queries
// where it can be canceled, and in the record and the log when it has ended. The
// form must have been parsed, and the options be in the context.
func (h *Handler) recorded(kind string, next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithCancelCause(r.Context())
		defer cancel(nil)
		opts, _ := querytree.OptionsFrom(ctx)
		run := &queryRun{cancel: cancel, sink: querytree.ReportFrom(ctx), row: QueryRow{
			ID: queryID(r), Query: r.Form.Get("query"), Kind: kind, Client: clientOf(r, opts), Begun: h.cfg.Now(), State: QueryActive,
			Options: optionsGiven(r),
		}}
		h.queries.begin(run)
		opts.ID = run.row.ID
		w.Header().Set(QueryIDHeader, opts.ID)
		ctx = context.WithValue(querytree.WithOptions(ctx, opts), runKey{}, run)
		defer func() {
			code := 0
			if rec, ok := w.(*recorder); ok {
				code = rec.code
			}
			rec := run.record(ctx, h.cfg.Now(), code, h.tuning.Load().ExplainSlowerThan)
			h.queries.end(rec)
			h.logQuery(rec.QueryRow)
		}()
		next(w, r.WithContext(ctx))
	}
}

// logQuery writes a line of the query log.
func (h *Handler) logQuery(q QueryRow) {
	if h.cfg.QueryLog == nil {
		return
	}
	h.cfg.QueryLog.LogAttrs(context.Background(), slog.LevelInfo, "query",
		slog.String("id", q.ID), slog.String("kind", q.Kind), slog.String("query", clip(q.Query, maxLoggedQuery)),
		slog.Time("start", q.Start), slog.Time("end", q.End), seconds("step", q.Step),
		slog.String("client", q.Client), slog.Time("begun", q.Begun), seconds("duration", q.Duration), seconds("queued", q.Queued),
		slog.String("state", string(q.State)), slog.Int("code", q.Code), slog.String("error", clip(q.Error, maxErrorBytes)),
		slog.Int64("series", q.Series), slog.Int64("samples", q.Samples), slog.Int64("bytes", q.Bytes),
		slog.Int("asked", q.Asked), slog.Int("pruned", q.Pruned), slog.Int("failed", q.Failed),
		slog.Int("replans", q.Replans), slog.Int("fragments", q.Fragments),
	)
}

func seconds(name string, s Seconds) slog.Attr { return slog.Float64(name, time.Duration(s).Seconds()) }

// QueryList is the answer of /pando/api/v1/queries.
type QueryList struct {
	// Active queries, longest first; Recent ones, newest first.
	Active []QueryRow `json:"active"`
	Recent []QueryRow `json:"recent"`
}

// listQueries serves the active and recent queries.
func (h *Handler) listQueries(w http.ResponseWriter, _ *http.Request) {
	list := QueryList{Active: []QueryRow{}, Recent: h.queries.rows()}
	for _, run := range h.queries.runs() {
		list.Active = append(list.Active, run.soFar(h.cfg.Now()))
	}
	slices.SortFunc(list.Active, func(a, b QueryRow) int { return cmp.Or(a.Begun.Compare(b.Begun), cmp.Compare(a.ID, b.ID)) })
	respond(w, list, nil)
}

// oneQuery serves what is known of one query.
func (h *Handler) oneQuery(w http.ResponseWriter, r *http.Request) {
	id := r.PathValue("id")
	if run := h.queries.run(id); run != nil {
		respond(w, QueryRecord{QueryRow: run.soFar(h.cfg.Now())}, nil)
		return
	}
	rec, ok := h.queries.find(id)
	if !ok {
		respondError(w, http.StatusNotFound, errNotFound, fmt.Sprintf("no query %.64q is active or among the latest %d of this tier", id, h.queries.maxCount))
		return
	}
	respond(w, rec, nil)
}

// cancelQuery cancels an active query, in this tier and all below.
func (h *Handler) cancelQuery(w http.ResponseWriter, r *http.Request) {
	id := r.PathValue("id")
	if !h.queries.cancel(id) {
		respondError(w, http.StatusNotFound, errNotFound, fmt.Sprintf("no query %.64q is active at this tier", id))
		return
	}
	h.cfg.Logger.Info("query canceled over the API", "id", id, "remote", r.RemoteAddr)
	respond(w, map[string]string{"id": id}, nil)
}
