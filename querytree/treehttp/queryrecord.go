package treehttp

import (
	"cmp"
	"context"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/prometheus/prometheus/promql"

	"github.com/pandometrics/pando/querytree"
)

// QueryState says what became of a query.
type QueryState string

// States of queries.
const (
	QueryActive   QueryState = "active"
	QueryFinished QueryState = "finished"
	QueryFailed   QueryState = "failed"
	// QueryCanceled: its client went away, or someone canceled it.
	QueryCanceled QueryState = "canceled"
)

// QueryRow is one query in the list of active and recent ones.
type QueryRow struct {
	ID    string `json:"id"`
	Query string `json:"query"`
	// Kind is the endpoint: query, query_range, explain or analyze.
	Kind string `json:"kind"`
	// Start, End and Step are the grid; Step is zero for an instant. They are
	// zero if the request was refused before its grid was known.
	Start time.Time `json:"start,omitzero"`
	End   time.Time `json:"end,omitzero"`
	Step  Seconds   `json:"step"`
	// Client is the name or else the address of who asked.
	Client string `json:"client"`
	// Begun is when the request came, Duration how long it took or, of an active
	// query, has taken so far.
	Begun    time.Time  `json:"begun"`
	Duration Seconds    `json:"duration"`
	State    QueryState `json:"state"`
	// Code is the status of the HTTP answer; zero while there is none.
	Code  int    `json:"code,omitempty"`
	Error string `json:"error,omitempty"`
	// Series and Samples count the answer, Bytes what came from the children of
	// this tier and below.
	Series  int64 `json:"series"`
	Samples int64 `json:"samples"`
	Bytes   int64 `json:"bytes"`
	// Asked, Pruned and Failed count children, in all tiers below.
	Asked  int `json:"asked"`
	Pruned int `json:"pruned"`
	Failed int `json:"failed"`
	// Queued is the time waited for a turn; Replans counts plans given up, and
	// Fragments what the last plan pushed down.
	Queued    Seconds `json:"queued"`
	Replans   int     `json:"replans"`
	Fragments int     `json:"fragments"`
	// Explained is set if the query's record has an explanation.
	Explained bool `json:"explained"`
	// Options are the parameters of the request that say how it is evaluated, those
	// that it had: hints=off, say.
	Options map[string]string `json:"options,omitempty"`
	// Progress is how far an active query is; nil of others, and while it waits for
	// its turn.
	Progress *QueryProgress `json:"progress,omitempty"`
}

// QueryProgress is how far a query has come: of this tier's own children, how many
// were asked, have answered all that they were asked, or have failed. Waiting names
// those that owe an answer, a hundred at most.
type QueryProgress struct {
	Asked    int      `json:"asked"`
	Answered int      `json:"answered"`
	Failed   int      `json:"failed"`
	Waiting  []string `json:"waiting,omitempty"`
}

// maxOptionBytes bounds the value of an option that is kept.
const maxOptionBytes = 32

// optionsGiven returns the parameters of a request that say how it is evaluated.
// The form must have been parsed.
func optionsGiven(r *http.Request) map[string]string {
	var out map[string]string
	for _, name := range []string{"partial_response", "hints", "pushdown", "rollup", "nocache", "align", "timeout"} {
		if v := r.Form.Get(name); v != "" {
			if out == nil {
				out = map[string]string{}
			}
			out[name] = clip(v, maxOptionBytes)
		}
	}
	return out
}

// QueryRecord is all that is known of one query.
type QueryRecord struct {
	QueryRow
	// Completeness is there once the query has ended, Explanation and
	// CriticalPath if it was analysed, or was slow.
	Completeness *Completeness          `json:"completeness,omitempty"`
	Explanation  *querytree.Explanation `json:"explanation,omitempty"`
	CriticalPath []querytree.PathStep   `json:"criticalPath,omitempty"`
}

// queryRun is a query under way. It is safe for concurrent use.
type queryRun struct {
	cancel context.CancelCauseFunc
	// sink collects what the evaluation tells; nil if nothing does.
	sink *querytree.ReportSink

	mu  sync.Mutex
	row QueryRow
	err error
}

type runKey struct{}

// runFrom returns the run that ctx carries, or nil: a nil run notes nothing.
func runFrom(ctx context.Context) *queryRun {
	run, _ := ctx.Value(runKey{}).(*queryRun)
	return run
}

// onGrid notes the grid.
func (q *queryRun) onGrid(start, end time.Time, step time.Duration) {
	if q == nil {
		return
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	q.row.Start, q.row.End, q.row.Step = tellable(start), tellable(end), Seconds(step)
}

// evaluated notes what the evaluation came to.
func (q *queryRun) evaluated(r *promql.Result) {
	if q == nil {
		return
	}
	series, samples := size(r)
	q.mu.Lock()
	defer q.mu.Unlock()
	q.err, q.row.Series, q.row.Samples = r.Err, series, samples
}

// size counts the series and samples of a result.
func size(r *promql.Result) (series, samples int64) {
	switch v := r.Value.(type) {
	case promql.Matrix:
		return int64(len(v)), int64(v.TotalSamples())
	case promql.Vector:
		return int64(len(v)), int64(len(v))
	case promql.Scalar, promql.String:
		return 1, 1
	}
	return 0, 0
}

// soFar returns the row of a query under way.
func (q *queryRun) soFar(now time.Time) QueryRow {
	q.mu.Lock()
	defer q.mu.Unlock()
	row := q.row
	row.Duration = Seconds(now.Sub(row.Begun))
	if p := q.sink.Progress(); p.Asked > 0 {
		row.Progress = &QueryProgress{p.Asked, p.Answered, p.Failed, p.Waiting}
	}
	return row
}

// clientOf names who asks.
func clientOf(r *http.Request, o querytree.Options) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		host = r.RemoteAddr
	}
	return cmp.Or(o.Client, host)
}

// record completes the row of a query that has ended.
func (q *queryRun) record(ctx context.Context, now time.Time, code int, slow time.Duration) QueryRecord {
	sink := querytree.ReportFrom(ctx)
	report, ev := sink.Report(), sink.Evaluation()
	c := completeness(report)
	rec := QueryRecord{QueryRow: q.soFar(now), Completeness: &c}
	rec.Code, rec.State, rec.Progress = code, QueryFinished, nil
	rec.Asked, rec.Failed, rec.Pruned = c.Asked, len(c.Failed)+c.Unnamed, c.Pruned.Label+c.Pruned.Time+c.Pruned.Hint
	rec.Bytes, rec.Queued, rec.Replans, rec.Fragments = c.Bytes, Seconds(ev.Queued), ev.Replans, ev.Fragments
	q.mu.Lock()
	err := q.err
	q.mu.Unlock()
	switch {
	case context.Cause(ctx) != nil:
		rec.State, rec.Error = QueryCanceled, context.Cause(ctx).Error()
	case err != nil:
		rec.State, rec.Error = QueryFailed, err.Error()
	case code >= http.StatusBadRequest || code == 0:
		rec.State, rec.Error = QueryFailed, "refused: "+cmp.Or(http.StatusText(code), "internal error")
	}
	x := report.Explanation
	if x == nil && slow > 0 && time.Duration(rec.Duration) >= slow {
		x = sink.Explanation()
	}
	rec.Explanation, rec.CriticalPath, rec.Explained = x, x.CriticalPath(), x != nil
	return rec
}
