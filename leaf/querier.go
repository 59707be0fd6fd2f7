package leaf

import (
	"context"
	"slices"
	"sync"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/util/annotations"
)

// served is the leaf's storage as the rest of the tree sees it: every series
// carries the identity labels, and matchers may name them. It implements
// storage.Queryable, storage.ChunkQueryable and storage.ExemplarQueryable.
type served struct {
	db interface {
		storage.SampleAndChunkQueryable
		storage.ExemplarQueryable
	}
	id *identity
	// deletions may be nil: then there are none.
	deletions *deletions
}

// Querier implements storage.Queryable.
func (s *served) Querier(mint, maxt int64) (storage.Querier, error) {
	trims, done := s.deletions.enter()
	q, err := s.db.Querier(mint, maxt)
	if err != nil {
		done()
		return nil, err
	}
	if q = (openQuerier{q, done}); !trims {
		q = trimmedQuerier{q, mint, maxt}
	}
	return &querier{
		labelQuerier: labelQuerier{LabelQuerier: q, id: s.id, walk: func(ctx context.Context, limit int, ms []*labels.Matcher, visit func(labels.Labels) bool) (annotations.Annotations, error) {
			hints := &storage.SelectHints{Start: mint, End: maxt, Func: "series", Limit: limit}
			return each(q.Select(ctx, false, hints, selecting(ms)...), visit)
		}},
		q: q,
	}, nil
}

// ChunkQuerier implements storage.ChunkQueryable.
func (s *served) ChunkQuerier(mint, maxt int64) (storage.ChunkQuerier, error) {
	trims, done := s.deletions.enter()
	q, err := s.db.ChunkQuerier(mint, maxt)
	if err != nil {
		done()
		return nil, err
	}
	if q = (openChunkQuerier{q, done}); !trims {
		q = trimmedChunkQuerier{q, mint, maxt}
	}
	return &chunkQuerier{
		labelQuerier: labelQuerier{LabelQuerier: q, id: s.id, walk: func(ctx context.Context, limit int, ms []*labels.Matcher, visit func(labels.Labels) bool) (annotations.Annotations, error) {
			hints := &storage.SelectHints{Start: mint, End: maxt, Func: "series", Limit: limit}
			return each(q.Select(ctx, false, hints, selecting(ms)...), visit)
		}},
		q: q,
	}, nil
}

type querier struct {
	labelQuerier
	q storage.Querier
}

// Select implements storage.Querier.
func (q *querier) Select(ctx context.Context, sortSeries bool, hints *storage.SelectHints, ms ...*labels.Matcher) storage.SeriesSet {
	rest, ok := q.id.resolve(ms)
	if !ok {
		return storage.EmptySeriesSet()
	}
	foreign, err := q.foreign(ctx)
	if err != nil {
		return storage.ErrSeriesSet(err)
	}
	if !foreign {
		in := q.q.Select(ctx, sortSeries, hints, selecting(rest)...)
		return &attachSet[storage.Series]{in: in, id: q.id, wrap: wrapSeries, sorted: sortSeries}
	}
	stored, late := q.id.split(rest)
	in := q.q.Select(ctx, false, unlimited(hints), selecting(stored)...)
	return &renameSet[storage.Series]{in: in, id: q.id, late: late, wrap: wrapSeries, merge: mergeSeries}
}

type chunkQuerier struct {
	labelQuerier
	q storage.ChunkQuerier
}

// Select implements storage.ChunkQuerier.
func (q *chunkQuerier) Select(ctx context.Context, sortSeries bool, hints *storage.SelectHints, ms ...*labels.Matcher) storage.ChunkSeriesSet {
	rest, ok := q.id.resolve(ms)
	if !ok {
		return storage.EmptyChunkSeriesSet()
	}
	foreign, err := q.foreign(ctx)
	if err != nil {
		return storage.ErrChunkSeriesSet(err)
	}
	if !foreign {
		in := q.q.Select(ctx, sortSeries, hints, selecting(rest)...)
		return &attachSet[storage.ChunkSeries]{in: in, id: q.id, wrap: wrapChunkSeries, sorted: sortSeries}
	}
	stored, late := q.id.split(rest)
	in := q.q.Select(ctx, false, unlimited(hints), selecting(stored)...)
	return &renameSet[storage.ChunkSeries]{in: in, id: q.id, late: late, wrap: wrapChunkSeries, merge: mergeChunkSeries}
}

// labelQuerier answers for label names and values, for both kinds of querier.
type labelQuerier struct {
	storage.LabelQuerier
	id *identity
	// walk visits the stored label sets that match until visit returns false.
	walk func(ctx context.Context, limit int, ms []*labels.Matcher, visit func(labels.Labels) bool) (annotations.Annotations, error)

	mu      sync.Mutex
	checked bool
	found   bool
}

// foreign reports whether any series in reach has a stored label with the name
// of an identity label. No series that the leaf ingested has one, but the data
// of a Prometheus that ran here before, or a block put here by hand, may.
func (q *labelQuerier) foreign(ctx context.Context) (bool, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.checked {
		return q.found, nil
	}
	for i := range q.id.pairs {
		values, _, err := q.LabelQuerier.LabelValues(ctx, q.id.pairs[i].Name, &storage.LabelHints{Limit: 1})
		if err != nil {
			return false, err
		}
		if len(values) > 0 {
			q.found = true
			break
		}
	}
	q.checked = true
	return q.found, nil
}

// LabelNames implements storage.LabelQuerier.
func (q *labelQuerier) LabelNames(ctx context.Context, hints *storage.LabelHints, ms ...*labels.Matcher) ([]string, annotations.Annotations, error) {
	rest, ok := q.id.resolve(ms)
	if !ok {
		return nil, nil, nil
	}
	foreign, err := q.foreign(ctx)
	if err != nil {
		return nil, nil, err
	}
	var (
		names []string
		warns annotations.Annotations
	)
	if foreign {
		seen := map[string]struct{}{}
		warns, err = q.walkRenamed(ctx, rest, func(lset labels.Labels) {
			lset.Range(func(l labels.Label) { note(seen, l.Name) })
		})
		names = sorted(seen)
	} else {
		names, warns, err = q.LabelQuerier.LabelNames(ctx, hints, rest...)
	}
	if err != nil || len(names) == 0 {
		return nil, warns, err
	}
	names = append(slices.Clone(names), q.id.names...)
	slices.Sort(names)
	return limited(slices.Compact(names), hints), warns, nil
}

// LabelValues implements storage.LabelQuerier.
func (q *labelQuerier) LabelValues(ctx context.Context, name string, hints *storage.LabelHints, ms ...*labels.Matcher) ([]string, annotations.Annotations, error) {
	rest, ok := q.id.resolve(ms)
	if !ok {
		return nil, nil, nil
	}
	foreign, err := q.foreign(ctx)
	if err != nil {
		return nil, nil, err
	}
	_, late := q.id.split(rest)
	switch {
	case q.id.is(name):
		return q.identityValue(ctx, name, rest, foreign && len(late) > 0)
	case foreign && (len(late) > 0 || q.id.renamed(name)):
		seen := map[string]struct{}{}
		warns, err := q.walkRenamed(ctx, rest, func(lset labels.Labels) {
			if v := lset.Get(name); v != "" {
				note(seen, v)
			}
		})
		return limited(sorted(seen), hints), warns, err
	default:
		return q.LabelQuerier.LabelValues(ctx, name, hints, rest...)
	}
}

// identityValue returns the one value of an identity label, if there is any
// series to carry it.
func (q *labelQuerier) identityValue(ctx context.Context, name string, rest []*labels.Matcher, renamed bool) ([]string, annotations.Annotations, error) {
	var (
		found bool
		warns annotations.Annotations
		err   error
	)
	switch {
	case renamed:
		warns, err = q.walkRenamed(ctx, rest, func(labels.Labels) { found = true })
	case len(rest) == 0:
		var names []string
		names, warns, err = q.LabelQuerier.LabelNames(ctx, &storage.LabelHints{Limit: 1})
		found = len(names) > 0
	default:
		warns, err = q.walk(ctx, 1, rest, func(labels.Labels) bool {
			found = true
			return false
		})
	}
	if err != nil || !found {
		return nil, warns, err
	}
	return []string{q.id.lset.Get(name)}, warns, nil
}

// walkRenamed visits the label sets that match after their renaming, without
// the identity labels.
func (q *labelQuerier) walkRenamed(ctx context.Context, rest []*labels.Matcher, visit func(labels.Labels)) (annotations.Annotations, error) {
	stored, late := q.id.split(rest)
	return q.walk(ctx, 0, stored, func(lset labels.Labels) bool {
		if lset = q.id.rename(lset); matchesAll(lset, late) {
			visit(lset)
		}
		return true
	})
}

// note copies s before keeping it: label strings may point into a mapped block.
func note(seen map[string]struct{}, s string) {
	if _, ok := seen[s]; !ok {
		seen[string([]byte(s))] = struct{}{}
	}
}

func sorted(seen map[string]struct{}) []string {
	out := make([]string, 0, len(seen))
	for s := range seen {
		out = append(out, s)
	}
	slices.Sort(out)
	return out
}

func limited(values []string, hints *storage.LabelHints) []string {
	if hints != nil && hints.Limit > 0 && len(values) > hints.Limit {
		return values[:hints.Limit]
	}
	return values
}

// unlimited drops the limit, which must not be applied before matchers that
// are decided after the select.
func unlimited(hints *storage.SelectHints) *storage.SelectHints {
	if hints == nil || hints.Limit == 0 {
		return hints
	}
	h := *hints
	h.Limit = 0
	return &h
}
