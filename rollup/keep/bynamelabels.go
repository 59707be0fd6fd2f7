package keep

import (
	"context"
	"maps"
	"slices"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/util/annotations"
)

// LabelValues implements storage.LabelQuerier, for selectors of a rule's name: which
// names there are, the Store tells.
func (q *nameQuerier) LabelValues(ctx context.Context, name string, _ *storage.LabelHints, ms ...*labels.Matcher) ([]string, annotations.Annotations, error) {
	return q.labelsOf(ctx, ms, func(lset labels.Labels, add func(string)) {
		if v := lset.Get(name); v != "" {
			add(v)
		}
	})
}

// LabelNames implements storage.LabelQuerier, for selectors of a rule's name.
func (q *nameQuerier) LabelNames(ctx context.Context, _ *storage.LabelHints, ms ...*labels.Matcher) ([]string, annotations.Annotations, error) {
	return q.labelsOf(ctx, ms, func(lset labels.Labels, add func(string)) {
		lset.Range(func(l labels.Label) { add(l.Name) })
	})
}

// labelsOf returns, sorted, what tell adds of the series that a selector matches.
func (q *nameQuerier) labelsOf(ctx context.Context, ms []*labels.Matcher, tell func(lset labels.Labels, add func(string))) ([]string, annotations.Annotations, error) {
	found := map[string]struct{}{}
	set := q.Select(ctx, false, &storage.SelectHints{Start: q.mint, End: q.maxt, Func: "series"}, ms...)
	for set.Next() {
		tell(set.At().Labels(), func(s string) { found[s] = struct{}{} })
	}
	return slices.Sorted(maps.Keys(found)), set.Warnings(), set.Err()
}

// unread is named without points: which series there are in the blocks that have some
// of the times, as the TSDB tells of labels.
func (n nameReading) unread(ctx context.Context, ms []*labels.Matcher) (map[string]*named, error) {
	out := map[string]*named{}
	if len(n.spans) == 0 {
		return out, nil // no point is whole
	}
	q, err := n.db.Querier(n.mint, n.maxt)
	if err != nil {
		return nil, err
	}
	defer q.Close()
	set := q.Select(ctx, false, &storage.SelectHints{Start: n.mint, End: n.maxt, Func: "series"}, n.stored(ms)...)
	var buf []byte
	for set.Next() {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		lset := visible(set.At().Labels())
		buf = lset.Bytes(buf)
		if out[string(buf)] == nil {
			out[string(buf)] = &named{lset: cloneLabels(lset), f: map[string]promql.Series{}}
		}
	}
	return out, set.Err()
}

// stored returns matchers for the stored points of the rule.
func (n nameReading) stored(ms []*labels.Matcher) []*labels.Matcher {
	return append([]*labels.Matcher{
		labels.MustNewMatcher(labels.MatchEqual, ruleLabel, n.id), labels.MustNewMatcher(labels.MatchEqual, markerLabel, ""),
	}, ms...)
}
