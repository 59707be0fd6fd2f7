package treehttp

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/timestamp"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"

	"github.com/pandometrics/pando/querytree"
)

// Explained is the answer of /pando/api/v1/explain and /pando/api/v1/analyze.
type Explained struct {
	// ID is that of the query.
	ID          string                 `json:"id"`
	Explanation *querytree.Explanation `json:"explanation"`
	// The others are there if the query was analysed, that is, evaluated.
	CriticalPath []querytree.PathStep `json:"criticalPath,omitempty"`
	ResultType   parser.ValueType     `json:"resultType,omitempty"`
	Series       int64                `json:"series"`
	Samples      int64                `json:"samples"`
	Stats        any                  `json:"stats,omitempty"`
}

// explain serves the explanation of a query: of its plan, or of its evaluation.
func (h *Handler) explain(mode querytree.ExplainMode) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		g, err := h.gridOf(r)
		if err != nil {
			respondError(w, http.StatusBadRequest, errBadData, err.Error())
			return
		}
		ctx := r.Context()
		opts, _ := querytree.OptionsFrom(ctx)
		opts.Explain, opts.Detail = mode, true
		ctx = querytree.WithOptions(ctx, opts)
		if g.timeout > 0 {
			var cancel context.CancelFunc
			ctx, cancel = context.WithTimeout(ctx, g.timeout)
			defer cancel()
		}
		q, err := g.query(ctx, boundEngine{h.cfg.Engine, h.cfg.Queryable, h.limits, h.name}, r.Form.Get("query"))
		if err != nil {
			respondError(w, http.StatusBadRequest, errBadData, fmt.Sprintf("invalid parameter %q: %v", "query", err))
			return
		}
		defer q.Close()
		h.respondExplained(ctx, w, q, g, mode)
	}
}

func (h *Handler) respondExplained(ctx context.Context, w http.ResponseWriter, q promql.Query, g gridParams, mode querytree.ExplainMode) {
	opts, _ := querytree.OptionsFrom(ctx)
	out := Explained{ID: opts.ID, Explanation: h.leafExplanation(ctx, q, g)}
	if mode == querytree.ExplainPlan && out.Explanation != nil {
		respond(w, out, nil)
		return
	}
	begin := time.Now()
	res := q.Exec(ctx)
	if res.Err != nil {
		respondErr(w, res.Err)
		return
	}
	if x := out.Explanation; x != nil { // of a leaf
		x.Total = time.Since(begin)
		x.Series, x.Samples = size(res)
		if a := querytree.ReportFrom(ctx).Report().Aligned; a != nil {
			x.Start, x.End, x.Step, x.Aligned = a.Start, a.End, a.Step, a
		}
	} else {
		out.Explanation = querytree.ReportFrom(ctx).Explanation()
	}
	if mode == querytree.ExplainAnalyze {
		out.CriticalPath = out.Explanation.CriticalPath()
		out.ResultType = res.Value.Type()
		out.Series, out.Samples = size(res)
		out.Stats = renderStats(ctx, q.Stats(), "all")
	}
	respond(w, out, res.Warnings)
}

// leafExplanation returns the explanation of a tier that evaluates all by
// itself, with Prometheus' engine; nil if the tier has children, or rollups that
// have a part in the answer, to explain.
func (h *Handler) leafExplanation(ctx context.Context, q promql.Query, g gridParams) *querytree.Explanation {
	d := h.cfg.Describe()
	if e, ok := q.(interface{ Explains(context.Context) bool }); d.Tier != querytree.TierLeaf || ok && e.Explains(ctx) {
		return nil
	}
	return &querytree.Explanation{
		Name: d.Name(), Tier: d.Tier, Query: q.String(),
		Start: timestamp.FromTime(g.start), End: timestamp.FromTime(g.end), Step: g.step.Milliseconds(),
	}
}

// gridParams say when to evaluate: at start only if step is zero.
type gridParams struct {
	start, end    time.Time
	step, timeout time.Duration
}

// maxPoints is the most points of a range query, as in Prometheus' API.
const maxPoints = 11_000

// gridOf reads the parameters of query_range if there are any, else those of
// query.
func (h *Handler) gridOf(r *http.Request) (g gridParams, err error) {
	now := h.cfg.Now()
	given := func(name string) bool { return r.Form.Get(name) != "" }
	if given("timeout") {
		if g.timeout, err = durationParam(r, "timeout"); err != nil {
			return g, err
		}
	}
	if !given("start") && !given("end") && !given("step") {
		g.start, err = timeParam(r, "time", now)
		g.end = g.start
		return g, err
	}
	if g.start, err = timeParam(r, "start", time.Time{}); err != nil {
		return g, err
	}
	if g.end, err = timeParam(r, "end", time.Time{}); err != nil {
		return g, err
	}
	if g.step, err = durationParam(r, "step"); err != nil {
		return g, err
	}
	switch {
	case g.start.IsZero() || g.end.IsZero():
		return g, errors.New("a range query needs start, end and step")
	case g.end.Before(g.start):
		return g, errors.New(`invalid parameter "end": end timestamp must not be before start time`)
	case g.end.Sub(g.start)/g.step > maxPoints:
		return g, errors.New("exceeded maximum resolution of 11,000 points per timeseries. Try decreasing the query resolution (?step=XX)")
	}
	return g, nil
}

func (g gridParams) query(ctx context.Context, e boundEngine, text string) (promql.Query, error) {
	if g.step == 0 {
		return e.NewInstantQuery(ctx, nil, nil, text, g.start)
	}
	return e.NewRangeQuery(ctx, nil, nil, text, g.start, g.end, g.step)
}

// timeParam reads a time as Prometheus' API does.
func timeParam(r *http.Request, name string, otherwise time.Time) (time.Time, error) {
	s := r.Form.Get(name)
	if s == "" {
		return otherwise, nil
	}
	if f, err := strconv.ParseFloat(s, 64); err == nil && math.Abs(f) < 1e11 {
		return time.UnixMilli(int64(math.Round(f * 1000))).UTC(), nil
	}
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil {
		return t, fmt.Errorf("invalid parameter %q: cannot parse %.40q to a valid timestamp", name, s)
	}
	return t, nil
}

// durationParam reads a duration greater than zero as Prometheus' API does.
func durationParam(r *http.Request, name string) (time.Duration, error) {
	s := r.Form.Get(name)
	if f, err := strconv.ParseFloat(s, 64); err == nil && f > 0 && f < 1e9 {
		return max(time.Duration(f*float64(time.Second)), time.Millisecond), nil
	}
	d, err := model.ParseDuration(s)
	if err != nil || d <= 0 {
		return 0, fmt.Errorf("invalid parameter %q: cannot parse %.40q to a duration greater than zero", name, s)
	}
	return time.Duration(d), nil
}
