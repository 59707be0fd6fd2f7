package leaf

import (
	"cmp"
	"context"
	"slices"

	"github.com/prometheus/prometheus/model/exemplar"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
)

// ExemplarQuerier implements storage.ExemplarQueryable.
func (s *served) ExemplarQuerier(ctx context.Context) (storage.ExemplarQuerier, error) {
	q, err := s.db.ExemplarQuerier(ctx)
	if err != nil {
		return nil, err
	}
	return &exemplarQuerier{q: q, id: s.id}, nil
}

type exemplarQuerier struct {
	q  storage.ExemplarQuerier
	id *identity
}

// Select implements storage.ExemplarQuerier. Stored labels are matched first
// where they decide, served labels afterwards, and exemplars of series that
// have equal labels once renamed are merged.
func (q *exemplarQuerier) Select(start, end int64, selectors ...[]*labels.Matcher) ([]exemplar.QueryResult, error) {
	var possible, stored [][]*labels.Matcher
	for _, ms := range selectors {
		rest, ok := q.id.resolve(ms)
		if !ok {
			continue
		}
		first, _ := q.id.split(rest)
		stored = append(stored, first)
		possible = append(possible, rest)
	}
	if len(possible) == 0 {
		return nil, nil
	}
	in, err := q.q.Select(start, end, stored...)
	if err != nil {
		return nil, err
	}
	var b labels.ScratchBuilder
	out := make([]exemplar.QueryResult, 0, len(in))
	for _, r := range in {
		lset := q.id.rename(r.SeriesLabels)
		if !slices.ContainsFunc(possible, func(ms []*labels.Matcher) bool { return matchesAll(lset, ms) }) {
			continue
		}
		out = append(out, exemplar.QueryResult{SeriesLabels: q.id.attach(&b, lset), Exemplars: r.Exemplars})
	}
	slices.SortStableFunc(out, func(a, b exemplar.QueryResult) int { return labels.Compare(a.SeriesLabels, b.SeriesLabels) })
	return mergeEqual(out), nil
}

// mergeEqual joins neighbours of equal labels.
func mergeEqual(in []exemplar.QueryResult) []exemplar.QueryResult {
	var out []exemplar.QueryResult
	for _, r := range in {
		last := len(out) - 1
		if last < 0 || !labels.Equal(out[last].SeriesLabels, r.SeriesLabels) {
			out = append(out, r)
			continue
		}
		both := append(slices.Clone(out[last].Exemplars), r.Exemplars...)
		slices.SortStableFunc(both, func(a, b exemplar.Exemplar) int { return cmp.Compare(a.Ts, b.Ts) })
		out[last].Exemplars = both
	}
	return out
}
