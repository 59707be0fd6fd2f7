package treehttp

import (
	"context"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
	"github.com/prometheus/prometheus/util/annotations"
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
}

// NewInstantQuery implements promql.QueryEngine.
func (e boundEngine) NewInstantQuery(ctx context.Context, _ storage.Queryable, opts promql.QueryOpts, qs string, ts time.Time) (promql.Query, error) {
	return e.engine.NewInstantQuery(ctx, e.queryable, opts, qs, ts)
}

// NewRangeQuery implements promql.QueryEngine.
func (e boundEngine) NewRangeQuery(ctx context.Context, _ storage.Queryable, opts promql.QueryOpts, qs string, start, end time.Time, interval time.Duration) (promql.Query, error) {
	return e.engine.NewRangeQuery(ctx, e.queryable, opts, qs, start, end, interval)
}
