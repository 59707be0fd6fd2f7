package querytree

import (
	"context"
	"errors"
	"sync"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/util/annotations"
)

// splicing merges the streams of several replicas: the first one's series, its
// holes filled from the second, whose own are filled from the third.
type splicing struct {
	streams []*stream
	heads   []*rawSeries
	done    []bool
	fill    intervals
	// labelsOnly: there are no samples to fill holes with.
	labelsOnly bool
}

// openSplice reads the series of a request from as many replicas as it takes.
func (s *replicaSet) openSplice(ctx context.Context, v *view, req SelectRequest) source {
	span := clip(req.Mint, req.Maxt)
	sp := &splicing{fill: v.fill.within(span), labelsOnly: req.LabelsOnly}
	limit := v.share(remaining(ctx, req.Budget))
	left := v.order[0].holes.within(span)
	for i, r := range v.order {
		if i > 0 && left.and(r.void).length() == left.length() {
			continue // it has nothing that is still wanted
		}
		sub := req
		if i > 0 {
			left = left.and(r.holes)
			sub.Limit = 0 // what lies outside of holes is not used
			if !req.LabelsOnly {
				around := sp.fill.grown(spliceMargin.Milliseconds(), spliceMargin.Milliseconds())
				sub.Mint, sub.Maxt = max(req.Mint, around[0].Mint), min(req.Maxt, around[len(around)-1].Maxt)
			} else {
				sub.Mint, sub.Maxt = max(req.Mint, sp.fill[0].Mint), min(req.Maxt, sp.fill[len(sp.fill)-1].Maxt)
			}
		}
		sp.streams = append(sp.streams, openStream(ctx, r, sub, limit))
	}
	sp.heads, sp.done = make([]*rawSeries, len(sp.streams)), make([]bool, len(sp.streams))
	return sp
}

// next implements source.
func (sp *splicing) next(ctx context.Context) (rawSeries, bool, error) {
	for {
		least, err := sp.advance(ctx)
		if err != nil || least == nil {
			return rawSeries{}, false, err
		}
		series, err := sp.take(least.lset)
		if err != nil || sp.labelsOnly || len(series.metas) > 0 {
			return series, err == nil, err
		}
	}
}

// advance reads the next series of each stream, and returns the least.
func (sp *splicing) advance(ctx context.Context) (*rawSeries, error) {
	var least *rawSeries
	for i, st := range sp.streams {
		if sp.heads[i] == nil && !sp.done[i] {
			series, ok, err := st.next(ctx)
			if err != nil {
				return nil, err
			}
			if sp.done[i] = !ok; ok {
				sp.heads[i] = &series
			}
		}
		if h := sp.heads[i]; h != nil && (least == nil || labels.Compare(h.lset, least.lset) < 0) {
			least = h
		}
	}
	return least, nil
}

// take takes a series off all streams that have it, and splices it.
func (sp *splicing) take(lset labels.Labels) (rawSeries, error) {
	out := rawSeries{lset: lset}
	for i := len(sp.streams) - 1; i >= 0; i-- {
		var own rawSeries
		if h := sp.heads[i]; h != nil && labels.Equal(h.lset, lset) {
			own, sp.heads[i] = *h, nil
		}
		holes := sp.fill
		if i > 0 {
			holes = holes.and(sp.streams[i].by.holes)
		}
		var err error
		if out.metas, err = splice(lset, own.metas, out.metas, holes); err != nil {
			return out, &replicaError{sp.streams[i].by, errors.Join(ErrUnavailable, err)}
		}
	}
	return out, nil
}

// told implements source.
func (sp *splicing) told() (annotations.Annotations, Report) {
	var warn annotations.Annotations
	var report Report
	for i, st := range sp.streams {
		w, r := st.told()
		if i > 0 {
			for name, c := range r.Children {
				c.Evidence = "fills holes of replica " + sp.streams[0].by.Description.Replica
				r.Children[name] = c
			}
		}
		warn.Merge(w)
		report.Merge(r)
	}
	return warn, report
}

// mergedReplicas is the storage of one evaluation over the merged series of
// several replicas, under one view.
type mergedReplicas struct {
	set  *replicaSet
	view *view
	opts Options

	mu     sync.Mutex
	warn   annotations.Annotations
	report Report
}

// told returns what the replicas said.
func (m *mergedReplicas) told() (annotations.Annotations, Report) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.warn, m.report
}

// ChunkQuerier implements storage.ChunkQueryable.
func (m *mergedReplicas) ChunkQuerier(mint, maxt int64) (storage.ChunkQuerier, error) {
	return &mergedQuerier{m: m, mint: mint, maxt: maxt}, nil
}

// samples is the same storage, read as samples.
func (m *mergedReplicas) samples() storage.Queryable {
	return storage.QueryableFunc(func(mint, maxt int64) (storage.Querier, error) {
		return &mergedSamples{mergedQuerier{m: m, mint: mint, maxt: maxt}}, nil
	})
}

// mergedQuerier is a storage.ChunkQuerier for the stock engine, which selects
// series and nothing else.
type mergedQuerier struct {
	m          *mergedReplicas
	mint, maxt int64
	mu         sync.Mutex
	cancel     []context.CancelFunc
}

var errNoNames = errors.New("merged replicas have series only")

func (q *mergedQuerier) LabelValues(context.Context, string, *storage.LabelHints, ...*labels.Matcher) ([]string, annotations.Annotations, error) {
	return nil, nil, errNoNames
}

func (q *mergedQuerier) LabelNames(context.Context, *storage.LabelHints, ...*labels.Matcher) ([]string, annotations.Annotations, error) {
	return nil, nil, errNoNames
}

func (q *mergedQuerier) Close() error {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, cancel := range q.cancel {
		cancel()
	}
	return nil
}

// Select implements storage.ChunkQuerier.
func (q *mergedQuerier) Select(ctx context.Context, _ bool, hints *storage.SelectHints, ms ...*labels.Matcher) storage.ChunkSeriesSet {
	req := SelectRequest{Options: q.m.opts, Mint: q.mint, Maxt: q.maxt, Matchers: ms, WholeChunks: true}
	if hints != nil {
		req.Mint, req.Maxt = hints.Start, hints.End
	}
	ctx, cancel := context.WithCancel(ctx)
	q.mu.Lock()
	q.cancel = append(q.cancel, cancel)
	q.mu.Unlock()
	v := q.m.view
	set := &sourceSet{ctx: ctx, m: q.m}
	if v.covers(v.order[0], clip(req.Mint, req.Maxt)) {
		set.source = openStream(ctx, v.order[0], req, v.share(remaining(ctx, req.Budget)))
	} else {
		set.source = q.m.set.openSplice(ctx, v, req)
	}
	return set
}

// mergedSamples is a storage.Querier over the same series.
type mergedSamples struct{ mergedQuerier }

// Select implements storage.Querier.
func (q *mergedSamples) Select(ctx context.Context, sorted bool, hints *storage.SelectHints, ms ...*labels.Matcher) storage.SeriesSet {
	mint, maxt := q.mint, q.maxt
	if hints != nil {
		mint, maxt = hints.Start, hints.End
	}
	return newSampleSet(q.mergedQuerier.Select(ctx, sorted, hints, ms...), mint, maxt)
}

// sourceSet is a source as a storage.ChunkSeriesSet.
type sourceSet struct {
	ctx    context.Context
	m      *mergedReplicas
	source source
	cur    rawSeries
	err    error
}

func (s *sourceSet) Next() bool {
	var ok bool
	s.cur, ok, s.err = s.source.next(s.ctx)
	if !ok && s.err == nil {
		warn, report := s.source.told()
		s.m.mu.Lock()
		defer s.m.mu.Unlock()
		s.m.warn.Merge(warn)
		s.m.report.Merge(report)
	}
	if ok {
		s.err = budgetFrom(s.ctx).Reserve(sizeOfChunks(s.cur.metas))
	}
	return ok && s.err == nil
}

func (s *sourceSet) At() storage.ChunkSeries           { return s.cur.chunks() }
func (s *sourceSet) Err() error                        { return s.err }
func (s *sourceSet) Warnings() annotations.Annotations { return nil }
