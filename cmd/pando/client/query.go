package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/prometheus/common/model"

	"github.com/pandometrics/pando/querytree/treehttp"
)

// Format is the form in which a result is written.
type Format string

// Formats.
const (
	// Table has aligned columns, one per label.
	Table Format = "table"
	// JSON is the data of the API's answer, indented.
	JSON Format = "json"
	// CSV has a header, a column per label, and a row per sample.
	CSV Format = "csv"
	// PromQL is a load block as Prometheus' own tests read it; each line begins
	// with a selector of the series.
	PromQL Format = "promql"
)

// Formats are all of them, for flags.
func Formats() []string { return []string{string(Table), string(JSON), string(CSV), string(PromQL)} }

// defaultSteps is the number of steps of a range query without a step.
const defaultSteps = 60

// QueryOptions say what to ask of whom, and how to write the answer.
type QueryOptions struct {
	// Server is the address of a tier; empty means DefaultServer.
	Server string
	// HTTP is the client used, for TLS and credentials; nil means a plain one.
	HTTP *http.Client
	// Expr is the PromQL expression.
	Expr string
	// Time is the evaluation time of an instant query, and the end of a Range:
	// RFC3339, seconds since the epoch, or empty for now.
	Time string
	// Range makes a range query over that much time before Time.
	Range time.Duration
	// Start and End make a range query too; they are written like Time. An
	// empty End means Time.
	Start, End string
	// Step of a range query; zero means a 60th of it, at least a second.
	Step time.Duration
	// Format of the result; empty means Table.
	Format Format
	// Partial accepts and Strict refuses an incomplete answer, whatever the
	// server's default is. They exclude each other.
	Partial, Strict bool
	// Stats adds the statistics of the query, and who was asked, to stderr.
	Stats bool
	// NoHints, NoPushdown and NoCache ask for the plain way, for comparison.
	NoHints, NoPushdown, NoCache, NoRollup bool
	// Align moves the times of a range to where rollups have points.
	Align bool
	// Timeout of the evaluation; zero means the server's.
	Timeout time.Duration
	// Now is the clock; nil means time.Now.
	Now func() time.Time
}

// grid is when to evaluate: at end only if step is zero.
type grid struct {
	start, end time.Time
	step       time.Duration
}

// Query asks a query and writes the result to stdout and all else to stderr. It
// returns the exit code.
func Query(ctx context.Context, o QueryOptions, stdout, stderr io.Writer) int {
	res, err := o.ask(ctx)
	for _, w := range res.Warnings {
		fmt.Fprintln(stderr, "warning:", printable(w))
	}
	for _, i := range res.Infos {
		fmt.Fprintln(stderr, "info:", printable(i))
	}
	if err == nil {
		err = Render(stdout, stderr, o.Format, res)
	}
	if err == nil && o.Stats {
		err = RenderStats(stderr, res.Stats)
	}
	switch {
	case err != nil:
		fmt.Fprintln(stderr, "error:", err)
		return Failed
	case res.Partial:
		fmt.Fprintln(stderr, "warning: the answer is partial")
		return Partial
	default:
		return OK
	}
}

// Result is the answer to a query.
type Result struct {
	// Expr was asked.
	Expr string
	// Value is a model.Vector, model.Matrix, *model.Scalar or *model.String.
	Value model.Value
	// Raw is the data of the API's answer.
	Raw json.RawMessage
	// Step of a range query.
	Step            time.Duration
	Warnings, Infos []string
	// Stats are nil if they were not asked for or the server has none.
	Stats *Stats
	// Partial is set if a child's part is missing.
	Partial bool
}

// Stats are the statistics of a query.
type Stats struct {
	Timings map[string]float64 `json:"timings"`
	Samples struct {
		Total int64 `json:"totalQueryableSamples"`
		Peak  int64 `json:"peakSamples"`
	} `json:"samples"`
	// Pando is nil if the server is not a tier.
	Pando *treehttp.Completeness `json:"pando"`
}

func (o QueryOptions) ask(ctx context.Context) (Result, error) {
	res := Result{Expr: o.Expr}
	if o.Strict && o.Partial {
		return res, errors.New("--strict and --partial exclude each other")
	}
	if o.Expr == "" {
		return res, errors.New("no PromQL expression is given")
	}
	g, err := o.grid()
	if err != nil {
		return res, err
	}
	conn, err := connect(o.Server, o.HTTP)
	if err != nil {
		return res, err
	}
	path, params := o.request(g)
	res, err = conn.result(ctx, path, params)
	res.Expr, res.Step = o.Expr, g.step
	return res, err
}

// result asks a query endpoint and reads the result.
func (c connection) result(ctx context.Context, path string, params url.Values) (Result, error) {
	var res Result
	e, err := c.call(ctx, path, params)
	res.Warnings, res.Infos, res.Partial, res.Raw = e.Warnings, e.Infos, e.partial, e.Data
	if err != nil {
		return res, err
	}
	var data struct {
		Type   model.ValueType `json:"resultType"`
		Result json.RawMessage `json:"result"`
		Stats  *Stats          `json:"stats"`
	}
	if err := json.Unmarshal(e.Data, &data); err != nil {
		return res, fmt.Errorf("read result: %w", err)
	}
	if res.Stats = data.Stats; data.Stats != nil && data.Stats.Pando != nil {
		res.Partial = res.Partial || !data.Stats.Pando.Complete
	}
	res.Value, err = value(data.Type, data.Result)
	return res, err
}

// request returns the endpoint and its parameters.
func (o QueryOptions) request(g grid) (string, url.Values) {
	p := url.Values{"query": {o.Expr}}
	set := func(given bool, name, v string) {
		if given {
			p.Set(name, v)
		}
	}
	set(o.Partial, "partial_response", "true")
	set(o.Strict, "partial_response", "false")
	set(o.Stats, "stats", "all")
	set(o.NoHints, "hints", "off")
	set(o.NoPushdown, "pushdown", "off")
	set(o.NoCache, "nocache", "1")
	set(o.NoRollup, "rollup", "off")
	set(o.Align, "align", "on")
	set(o.Timeout > 0, "timeout", seconds(o.Timeout))
	if g.step == 0 {
		p.Set("time", epoch(g.end))
		return "/api/v1/query", p
	}
	p.Set("start", epoch(g.start))
	p.Set("end", epoch(g.end))
	p.Set("step", seconds(g.step))
	return "/api/v1/query_range", p
}

// grid works out when to evaluate.
func (o QueryOptions) grid() (grid, error) {
	now := o.Now
	if now == nil {
		now = time.Now
	}
	at, err := parseTime("time", o.Time, now())
	if err != nil {
		return grid{}, err
	}
	g := grid{start: at, end: at, step: o.Step}
	switch {
	case o.Start != "" && o.Range != 0:
		return g, errors.New("--range and --start exclude each other")
	case o.Range < 0 || o.Step < 0:
		return g, errors.New("--range and --step must not be negative")
	case o.Start == "" && o.Range == 0:
		if o.Step != 0 || o.End != "" {
			return g, errors.New("--step and --end need --range or --start")
		}
		return g, nil
	}
	if g.end, err = parseTime("end", o.End, at); err != nil {
		return g, err
	}
	if g.start, err = parseTime("start", o.Start, g.end.Add(-o.Range)); err != nil {
		return g, err
	}
	if g.end.Before(g.start) {
		return g, errors.New("--end is before --start")
	}
	if g.step == 0 {
		g.step = max((g.end.Sub(g.start) / defaultSteps).Truncate(time.Second), time.Second)
	}
	return g, nil
}

// parseTime reads a time as Prometheus' API does.
func parseTime(flag, s string, otherwise time.Time) (time.Time, error) {
	if s == "" {
		return otherwise, nil
	}
	if f, err := strconv.ParseFloat(s, 64); err == nil && f > -1e11 && f < 1e11 {
		return time.UnixMilli(int64(f * 1000)).UTC(), nil
	}
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil {
		return t, fmt.Errorf("--%s=%q is neither RFC3339 (2006-01-02T15:04:05Z) nor seconds since the epoch", flag, s)
	}
	return t, nil
}

func epoch(t time.Time) string {
	return strconv.FormatFloat(float64(t.UnixMilli())/1000, 'f', -1, 64)
}

func seconds(d time.Duration) string { return strconv.FormatFloat(d.Seconds(), 'f', -1, 64) }

// value reads a result of a type.
func value(kind model.ValueType, raw json.RawMessage) (model.Value, error) {
	var v model.Value
	var err error
	switch kind {
	case model.ValVector:
		var vec model.Vector
		err = json.Unmarshal(raw, &vec)
		v = vec
	case model.ValMatrix:
		var m model.Matrix
		err = json.Unmarshal(raw, &m)
		v = m
	case model.ValScalar:
		s := &model.Scalar{}
		err = json.Unmarshal(raw, s)
		v = s
	case model.ValString:
		s := &model.String{}
		err = json.Unmarshal(raw, s)
		v = s
	default:
		err = fmt.Errorf("unknown type %v", kind)
	}
	if err != nil {
		return nil, fmt.Errorf("read result: %w", err)
	}
	return v, nil
}
