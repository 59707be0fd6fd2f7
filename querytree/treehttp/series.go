package treehttp

import (
	"context"
	"errors"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
	"github.com/prometheus/prometheus/util/annotations"

	"github.com/pandometrics/pando/querytree"
)

// seriesFunc marks the Selects of Prometheus' series endpoint.
const seriesFunc = "series"

// apiQueryable is the Queryable as Prometheus' API sees it. The API reads the
// warnings of the series endpoint before it reads the series; over a tree, who
// is missing is only known afterwards. So these Selects are read to their end
// first; the API would hold all of their label sets in memory anyway.
type apiQueryable struct {
	storage.SampleAndChunkQueryable
}

// Querier implements storage.Queryable.
func (q apiQueryable) Querier(mint, maxt int64) (storage.Querier, error) {
	inner, err := q.SampleAndChunkQueryable.Querier(mint, maxt)
	if err != nil {
		return nil, err
	}
	return apiQuerier{inner}, nil
}

type apiQuerier struct{ storage.Querier }

// Select implements storage.Querier.
func (q apiQuerier) Select(ctx context.Context, sorted bool, hints *storage.SelectHints, ms ...*labels.Matcher) storage.SeriesSet {
	set := q.Querier.Select(ctx, sorted, hints, ms...)
	if hints == nil || hints.Func != seriesFunc {
		return set
	}
	read := &labelsSet{at: -1}
	for set.Next() {
		read.all = append(read.all, set.At().Labels())
	}
	read.err, read.warnings = set.Err(), set.Warnings()
	return read
}

// labelsSet is a storage.SeriesSet of label sets without samples.
type labelsSet struct {
	all      []labels.Labels
	at       int
	err      error
	warnings annotations.Annotations
}

// Next ends with the error, if there is one: what precedes it is not an answer.
func (s *labelsSet) Next() bool {
	s.at++
	return s.err == nil && s.at < len(s.all)
}

func (s *labelsSet) At() storage.Series                { return labelsOnly{s.all[s.at]} }
func (s *labelsSet) Err() error                        { return s.err }
func (s *labelsSet) Warnings() annotations.Annotations { return s.warnings }

// labelsOnly is a series without samples.
type labelsOnly struct{ labels labels.Labels }

func (s labelsOnly) Labels() labels.Labels                      { return s.labels }
func (labelsOnly) Iterator(chunkenc.Iterator) chunkenc.Iterator { return chunkenc.NewNopIterator() }

// boundEngine is an engine that always evaluates over one queryable: engines may
// need to recognise theirs, which the API would hand them in disguise.
type boundEngine struct {
	engine    promql.QueryEngine
	queryable storage.Queryable
	limits    func() querytree.Limits
	tier      func() string
}

// NewInstantQuery implements promql.QueryEngine.
func (e boundEngine) NewInstantQuery(ctx context.Context, _ storage.Queryable, opts promql.QueryOpts, qs string, ts time.Time) (promql.Query, error) {
	runFrom(ctx).onGrid(ts, ts, 0)
	q, err := e.engine.NewInstantQuery(ctx, e.queryable, opts, qs, ts)
	if err != nil {
		return nil, err
	}
	return limitedQuery{q, e.limits(), e.tier}, nil
}

// NewRangeQuery implements promql.QueryEngine.
func (e boundEngine) NewRangeQuery(ctx context.Context, _ storage.Queryable, opts promql.QueryOpts, qs string, start, end time.Time, interval time.Duration) (promql.Query, error) {
	runFrom(ctx).onGrid(start, end, interval)
	q, err := e.engine.NewRangeQuery(ctx, e.queryable, opts, qs, start, end, interval)
	if err != nil {
		return nil, err
	}
	return limitedQuery{q, e.limits(), e.tier}, nil
}

// limitedQuery is a query whose answer is within limits: those of series, which
// not every engine has, and those of samples, whose flag no engine names.
type limitedQuery struct {
	promql.Query
	limits querytree.Limits
	tier   func() string
}

// Explains reports whether what is explained of the query is what a tree tells
// of it, although the tier has no children.
func (q limitedQuery) Explains(ctx context.Context) bool {
	e, ok := q.Query.(interface{ Explains(context.Context) bool })
	return ok && e.Explains(ctx)
}

// Exec implements promql.Query.
func (q limitedQuery) Exec(ctx context.Context) *promql.Result {
	r := q.limited(q.Query.Exec(ctx))
	runFrom(ctx).evaluated(r)
	return r
}

func (q limitedQuery) limited(r *promql.Result) *promql.Result {
	if many, ok := errors.AsType[promql.ErrTooManySamples](r.Err); ok {
		r.Err = promql.ErrTooManySamples(string(many) + "; narrow the query, or raise --query.max-samples")
		return r
	}
	n := 0
	switch v := r.Value.(type) {
	case promql.Vector:
		n = len(v)
	case promql.Matrix:
		n = len(v)
	}
	if most := q.limits.MaxSeries; r.Err == nil && most > 0 && n > most {
		return &promql.Result{Warnings: r.Warnings, Err: &querytree.LimitError{
			What: "series of one answer", Flag: "query.max-series", Limit: int64(most), Value: int64(n), Tier: q.tier(),
		}}
	}
	return r
}
