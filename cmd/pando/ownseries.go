package main

import (
	"context"
	"errors"
	"slices"
	"sync"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/util/annotations"

	"github.com/pandometrics/pando/querytree/tier"
	"github.com/pandometrics/pando/rollup/keep"
)

// ownSeries are the series that a tier holds itself: those of its rules, by the
// names that they record now, and those of its rollups by theirs. A name that
// both have is the rule's.
type ownSeries struct {
	rules   *tierRules
	rollups *keep.Store
	named   storage.SampleAndChunkQueryable

	telling sync.Mutex
}

func newOwnSeries(r *tierRules, s *keep.Store, constants labels.Labels) *ownSeries {
	return &ownSeries{rules: r, rollups: s, named: s.ByName(constants)}
}

func (o *ownSeries) recorded() []string {
	if o.rules.leaf == nil {
		return nil
	}
	return o.rules.leaf.RecordedNames()
}

// tell has a tier answer for the names that there are, from now on and whenever
// others are recorded or kept.
func (o *ownSeries) tell(t *tier.Tier, k *keeping) {
	told := func() {
		o.telling.Lock()
		defer o.telling.Unlock()
		t.SetOwnNames(o.names())
	}
	o.rules.changed, k.changed = told, told
	told()
}

// names returns all names, sorted.
func (o *ownSeries) names() []string {
	recorded, kept := o.recorded(), o.rollups.Names()
	if len(recorded) == 0 {
		return kept
	}
	if len(kept) == 0 {
		return recorded
	}
	all := append(slices.Clone(recorded), kept...)
	slices.Sort(all)
	return slices.Compact(all)
}

// ofRules reports whether a selector is of what rules record.
func (o *ownSeries) ofRules(ms []*labels.Matcher) bool {
	recorded := o.recorded()
	return slices.ContainsFunc(ms, func(m *labels.Matcher) bool {
		if m.Name != labels.MetricName || m.Type != labels.MatchEqual {
			return false
		}
		_, found := slices.BinarySearch(recorded, m.Value)
		return found
	})
}

// Querier implements storage.Queryable.
func (o *ownSeries) Querier(mint, maxt int64) (storage.Querier, error) {
	q, err := o.named.Querier(mint, maxt)
	if err != nil || o.rules.leaf == nil {
		return q, err
	}
	r, err := o.rules.leaf.Queryable().Querier(mint, maxt)
	if err != nil {
		return nil, errors.Join(err, q.Close())
	}
	return &ownQuerier{Querier: q, rules: r, own: o}, nil
}

// ChunkQuerier implements storage.ChunkQueryable.
func (o *ownSeries) ChunkQuerier(mint, maxt int64) (storage.ChunkQuerier, error) {
	q, err := o.named.ChunkQuerier(mint, maxt)
	if err != nil || o.rules.leaf == nil {
		return q, err
	}
	r, err := o.rules.leaf.Queryable().ChunkQuerier(mint, maxt)
	if err != nil {
		return nil, errors.Join(err, q.Close())
	}
	return &ownChunkQuerier{ChunkQuerier: q, rules: r, own: o}, nil
}

// ownQuerier asks what has the name that a selector is of.
type ownQuerier struct {
	storage.Querier // of rollups
	rules           storage.Querier
	own             *ownSeries
}

// Select implements storage.Querier.
func (q *ownQuerier) Select(ctx context.Context, sorted bool, hints *storage.SelectHints, ms ...*labels.Matcher) storage.SeriesSet {
	if q.own.ofRules(ms) {
		return q.rules.Select(ctx, sorted, hints, ms...)
	}
	return q.Querier.Select(ctx, sorted, hints, ms...)
}

// LabelValues implements storage.LabelQuerier.
func (q *ownQuerier) LabelValues(ctx context.Context, name string, hints *storage.LabelHints, ms ...*labels.Matcher) ([]string, annotations.Annotations, error) {
	if q.own.ofRules(ms) {
		return q.rules.LabelValues(ctx, name, hints, ms...)
	}
	return q.Querier.LabelValues(ctx, name, hints, ms...)
}

// LabelNames implements storage.LabelQuerier.
func (q *ownQuerier) LabelNames(ctx context.Context, hints *storage.LabelHints, ms ...*labels.Matcher) ([]string, annotations.Annotations, error) {
	if q.own.ofRules(ms) {
		return q.rules.LabelNames(ctx, hints, ms...)
	}
	return q.Querier.LabelNames(ctx, hints, ms...)
}

// Close implements storage.Querier.
func (q *ownQuerier) Close() error { return errors.Join(q.Querier.Close(), q.rules.Close()) }

// ownChunkQuerier is ownQuerier for chunks.
type ownChunkQuerier struct {
	storage.ChunkQuerier
	rules storage.ChunkQuerier
	own   *ownSeries
}

// Select implements storage.ChunkQuerier.
func (q *ownChunkQuerier) Select(ctx context.Context, sorted bool, hints *storage.SelectHints, ms ...*labels.Matcher) storage.ChunkSeriesSet {
	if q.own.ofRules(ms) {
		return q.rules.Select(ctx, sorted, hints, ms...)
	}
	return q.ChunkQuerier.Select(ctx, sorted, hints, ms...)
}

// Close implements storage.ChunkQuerier.
func (q *ownChunkQuerier) Close() error { return errors.Join(q.ChunkQuerier.Close(), q.rules.Close()) }
