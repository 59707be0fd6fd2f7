package treetest

import (
	"context"
	"maps"
	"math/rand"
	"slices"
	"strings"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/util/annotations"
)

// shuffled is a storage that returns series in an order of its own, as any
// storage may: an answer that depends on it is one that PromQL leaves open.
type shuffled struct {
	storage.Queryable
	seed int64
}

// Querier implements storage.Queryable.
func (s shuffled) Querier(mint, maxt int64) (storage.Querier, error) {
	q, err := s.Queryable.Querier(mint, maxt)
	if err != nil {
		return nil, err
	}
	return shuffledQuerier{q, s.seed}, nil
}

type shuffledQuerier struct {
	storage.Querier
	seed int64
}

// Select implements storage.Querier.
func (q shuffledQuerier) Select(ctx context.Context, _ bool, hints *storage.SelectHints, ms ...*labels.Matcher) storage.SeriesSet {
	set := q.Querier.Select(ctx, false, hints, ms...)
	out := &seriesList{}
	for set.Next() {
		out.series = append(out.series, set.At())
	}
	out.err, out.warn = set.Err(), set.Warnings()
	rnd := rand.New(rand.NewSource(q.seed))
	rnd.Shuffle(len(out.series), func(i, j int) {
		out.series[i], out.series[j] = out.series[j], out.series[i]
	})
	if q.seed%2 == 1 {
		bySome(rnd, out.series)
	}
	return out
}

// bySome sorts by the values of labels, in any order of their names. So all groups
// of an aggregation may begin with the same job, as they do in answers that are
// sorted by labels, and next to never where series are in no order.
func bySome(rnd *rand.Rand, series []storage.Series) {
	seen := map[string]bool{}
	for _, s := range series {
		s.Labels().Range(func(l labels.Label) { seen[l.Name] = true })
	}
	names := slices.Sorted(maps.Keys(seen))
	rnd.Shuffle(len(names), func(i, j int) { names[i], names[j] = names[j], names[i] })
	slices.SortStableFunc(series, func(a, b storage.Series) int {
		for _, name := range names {
			if c := strings.Compare(a.Labels().Get(name), b.Labels().Get(name)); c != 0 {
				return c
			}
		}
		return 0
	})
}

type seriesList struct {
	series []storage.Series
	at     int
	err    error
	warn   annotations.Annotations
}

func (l *seriesList) Next() bool {
	l.at++
	return l.at <= len(l.series)
}

func (l *seriesList) At() storage.Series                { return l.series[l.at-1] }
func (l *seriesList) Err() error                        { return l.err }
func (l *seriesList) Warnings() annotations.Annotations { return l.warn }
