package querytree

import (
	"context"
	"strings"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
)

// orderMatters reports whether a query may contain an aggregation that picks
// some of several equal candidates by their order. The TSDB returns series in
// the order of their creation, which differs from leaf to leaf; such queries
// read series in the order of their labels, everywhere.
func orderMatters(query string) bool {
	for _, op := range []string{"limitk", "topk", "bottomk"} {
		if strings.Contains(strings.ToLower(query), op) {
			return true
		}
	}
	return false
}

// Sorted returns a queryable that always returns series sorted by labels.
func Sorted(q storage.Queryable) storage.Queryable {
	return storage.QueryableFunc(func(mint, maxt int64) (storage.Querier, error) {
		querier, err := q.Querier(mint, maxt)
		if err != nil {
			return nil, err
		}
		return sortedQuerier{querier}, nil
	})
}

type sortedQuerier struct{ storage.Querier }

// Select implements storage.Querier.
func (q sortedQuerier) Select(ctx context.Context, _ bool, hints *storage.SelectHints, ms ...*labels.Matcher) storage.SeriesSet {
	return q.Querier.Select(ctx, true, hints, ms...)
}
