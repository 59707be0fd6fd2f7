package querytree

import (
	"context"
	"math"

	"github.com/prometheus/prometheus/model/exemplar"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/util/annotations"
)

// The Mixer as Prometheus' storage interfaces, for its HTTP API: what options a
// request has comes with its context.
var (
	_ storage.SampleAndChunkQueryable = (*Mixer)(nil)
	_ storage.ExemplarQueryable       = (*Mixer)(nil)
)

// Querier implements storage.Queryable.
func (m *Mixer) Querier(mint, maxt int64) (storage.Querier, error) {
	return &treeQuerier{m: m.now(), mint: mint, maxt: maxt}, nil
}

// ChunkQuerier implements storage.ChunkQueryable.
func (m *Mixer) ChunkQuerier(mint, maxt int64) (storage.ChunkQuerier, error) {
	return &treeChunkQuerier{treeQuerier{m: m.now(), mint: mint, maxt: maxt}}, nil
}

// ExemplarQuerier implements storage.ExemplarQueryable.
func (m *Mixer) ExemplarQuerier(ctx context.Context) (storage.ExemplarQuerier, error) {
	return exemplarQuerier{m: m.now(), ctx: ctx}, nil
}

// treeQuerier is a storage.Querier over a Mixer.
type treeQuerier struct {
	m          *Mixer
	mint, maxt int64
	// ask is set within a query, which the requests are part of.
	ask  *asking
	ctx  context.Context
	open []SeriesSet
}

// requestOptions returns the options of a request that came through one of
// Prometheus' interfaces.
func (m *Mixer) requestOptions(ctx context.Context) Options {
	if o, ok := OptionsFrom(ctx); ok {
		return o
	}
	return Options{Strict: m.cfg.StrictByDefault}
}

func (q *treeQuerier) options(ctx context.Context) Options {
	if q.ask != nil {
		return q.ask.opts
	}
	return q.m.requestOptions(ctx)
}

// note tells the completeness of an answer to whoever collects it.
func (q *treeQuerier) note(ctx context.Context, r Report) {
	if q.ask != nil {
		q.ask.mu.Lock()
		defer q.ask.mu.Unlock()
		q.ask.report.Merge(r)
		return
	}
	ReportFrom(ctx).Merge(r)
}

func (q *treeQuerier) request(ctx context.Context, hints *storage.SelectHints, ms []*labels.Matcher) SelectRequest {
	req := SelectRequest{Options: q.options(ctx), Mint: q.mint, Maxt: q.maxt, Matchers: ms}
	if hints != nil {
		req.Mint, req.Maxt, req.Limit, req.LabelsOnly = hints.Start, hints.End, hints.Limit, hints.Func == "series"
	}
	return req
}

// Select implements storage.Querier. The set is valid until Close.
func (q *treeQuerier) Select(ctx context.Context, _ bool, hints *storage.SelectHints, ms ...*labels.Matcher) storage.SeriesSet {
	req := q.request(ctx, hints, ms)
	req.WholeChunks = true
	return newSampleSet(q.selectChunks(ctx, req), req.Mint, req.Maxt)
}

func (q *treeQuerier) selectChunks(ctx context.Context, req SelectRequest) storage.ChunkSeriesSet {
	set := q.m.Select(ctx, req)
	q.open = append(q.open, set)
	return &notedSet{SeriesSet: set, note: func(r Report) { q.note(ctx, r) }}
}

// notedSet passes on its report when it ends.
type notedSet struct {
	SeriesSet
	note func(Report)
}

func (s *notedSet) Next() bool {
	if s.SeriesSet.Next() {
		return true
	}
	if s.note != nil {
		s.note(s.Report())
		s.note = nil
	}
	return false
}

func (q *treeQuerier) names(ctx context.Context, label string, hints *storage.LabelHints, ms []*labels.Matcher) ([]string, annotations.Annotations, error) {
	req := NamesRequest{Options: q.options(ctx), Label: label, Mint: q.mint, Maxt: q.maxt, Matchers: ms}
	if q.ask != nil {
		req.Mint, req.Maxt = math.MinInt64, math.MaxInt64
	}
	if hints != nil {
		req.Limit = hints.Limit
	}
	n, err := q.m.Names(ctx, req)
	if err != nil {
		return nil, nil, err
	}
	q.note(ctx, n.Report)
	return n.Names, n.Warnings, nil
}

// LabelValues implements storage.LabelQuerier.
func (q *treeQuerier) LabelValues(ctx context.Context, name string, hints *storage.LabelHints, ms ...*labels.Matcher) ([]string, annotations.Annotations, error) {
	return q.names(ctx, name, hints, ms)
}

// LabelNames implements storage.LabelQuerier.
func (q *treeQuerier) LabelNames(ctx context.Context, hints *storage.LabelHints, ms ...*labels.Matcher) ([]string, annotations.Annotations, error) {
	return q.names(ctx, "", hints, ms)
}

// Close implements storage.LabelQuerier.
func (q *treeQuerier) Close() error {
	for _, set := range q.open {
		set.Close()
	}
	q.open = nil
	return nil
}

// treeChunkQuerier is a storage.ChunkQuerier over a Mixer.
type treeChunkQuerier struct{ treeQuerier }

// Select implements storage.ChunkQuerier.
func (q *treeChunkQuerier) Select(ctx context.Context, _ bool, hints *storage.SelectHints, ms ...*labels.Matcher) storage.ChunkSeriesSet {
	return q.selectChunks(ctx, q.request(ctx, hints, ms))
}

type exemplarQuerier struct {
	m   *Mixer
	ctx context.Context
}

// Select implements storage.ExemplarQuerier. The interface has no place for
// warnings: those are in the request's ReportSink.
func (q exemplarQuerier) Select(mint, maxt int64, selectors ...[]*labels.Matcher) ([]exemplar.QueryResult, error) {
	a, err := q.m.Exemplars(q.ctx, ExemplarsRequest{Options: q.m.requestOptions(q.ctx), Mint: mint, Maxt: maxt, Selectors: selectors})
	if err != nil {
		return nil, err
	}
	sink := ReportFrom(q.ctx)
	sink.Merge(a.Report)
	sink.Warn(a.Warnings)
	return a.Results, nil
}
