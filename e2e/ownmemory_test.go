package e2e_test

import (
	"context"
	"maps"
	"math"
	"slices"
	"sync"
	"testing"

	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
	"github.com/prometheus/prometheus/tsdb/chunks"
	"github.com/prometheus/prometheus/util/annotations"

	"github.com/pandometrics/pando/querytree"
	"github.com/pandometrics/pando/querytree/treetest"
)

// memory is a storage of a few samples that may come in any order. It is safe for
// concurrent use.
type memory struct {
	mu     sync.Mutex
	series map[string]*remembered
}

type remembered struct {
	lset    labels.Labels
	samples map[int64]float64
}

func newMemory() *memory { return &memory{series: map[string]*remembered{}} }

func (m *memory) add(lset labels.Labels, t int64, v float64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := m.series[lset.String()]
	if s == nil {
		s = &remembered{lset, map[int64]float64{}}
		m.series[lset.String()] = s
	}
	s.samples[t] = v
}

// oldest returns the time of the oldest sample, and the greatest there is if there is
// none.
func (m *memory) oldest() int64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	out := int64(math.MaxInt64)
	for _, s := range m.series {
		for t := range s.samples {
			out = min(out, t)
		}
	}
	return out
}

// copyTo adds the series that match to another memory.
func (m *memory) copyTo(other *memory, ms ...*labels.Matcher) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, s := range m.series {
		if all(s.lset, ms) {
			for t, v := range s.samples {
				other.add(s.lset, t, v)
			}
		}
	}
}

func all(lset labels.Labels, ms []*labels.Matcher) bool {
	return !slices.ContainsFunc(ms, func(m *labels.Matcher) bool { return !m.Matches(lset.Get(m.Name)) })
}

// Querier implements storage.Queryable.
func (m *memory) Querier(mint, maxt int64) (storage.Querier, error) {
	return memoryQuerier{m, mint, maxt}, nil
}

// ChunkQuerier implements storage.ChunkQueryable.
func (m *memory) ChunkQuerier(mint, maxt int64) (storage.ChunkQuerier, error) {
	return memoryChunkQuerier{memoryQuerier{m, mint, maxt}}, nil
}

type memoryQuerier struct {
	m          *memory
	mint, maxt int64
}

func (q memoryQuerier) Close() error { return nil }

// Select implements storage.Querier.
func (q memoryQuerier) Select(_ context.Context, _ bool, _ *storage.SelectHints, ms ...*labels.Matcher) storage.SeriesSet {
	q.m.mu.Lock()
	defer q.m.mu.Unlock()
	var found []storage.Series
	for _, s := range q.m.series {
		var samples []chunks.Sample
		for _, t := range slices.Sorted(maps.Keys(s.samples)) {
			if t >= q.mint && t <= q.maxt {
				samples = append(samples, memorySample{t, s.samples[t]})
			}
		}
		if len(samples) > 0 && all(s.lset, ms) {
			found = append(found, storage.NewListSeries(s.lset, samples))
		}
	}
	slices.SortFunc(found, func(a, b storage.Series) int { return labels.Compare(a.Labels(), b.Labels()) })
	return &memorySet{rest: found}
}

func (q memoryQuerier) names(ms []*labels.Matcher, tell func(labels.Label) string) ([]string, annotations.Annotations, error) {
	out := map[string]bool{}
	for set := q.Select(context.Background(), false, nil, ms...); set.Next(); {
		set.At().Labels().Range(func(l labels.Label) { out[tell(l)] = true })
	}
	delete(out, "")
	return slices.Sorted(maps.Keys(out)), nil, nil
}

// LabelValues implements storage.LabelQuerier.
func (q memoryQuerier) LabelValues(_ context.Context, name string, _ *storage.LabelHints, ms ...*labels.Matcher) ([]string, annotations.Annotations, error) {
	return q.names(ms, func(l labels.Label) string {
		if l.Name != name {
			return ""
		}
		return l.Value
	})
}

// LabelNames implements storage.LabelQuerier.
func (q memoryQuerier) LabelNames(_ context.Context, _ *storage.LabelHints, ms ...*labels.Matcher) ([]string, annotations.Annotations, error) {
	return q.names(ms, func(l labels.Label) string { return l.Name })
}

// memorySet is a storage.SeriesSet of series in memory.
type memorySet struct {
	at   storage.Series
	rest []storage.Series
}

func (s *memorySet) Next() bool {
	if len(s.rest) == 0 {
		return false
	}
	s.at, s.rest = s.rest[0], s.rest[1:]
	return true
}

func (s *memorySet) At() storage.Series              { return s.at }
func (*memorySet) Err() error                        { return nil }
func (*memorySet) Warnings() annotations.Annotations { return nil }

type memoryChunkQuerier struct{ memoryQuerier }

// Select implements storage.ChunkQuerier.
func (q memoryChunkQuerier) Select(ctx context.Context, sorted bool, hints *storage.SelectHints, ms ...*labels.Matcher) storage.ChunkSeriesSet {
	return storage.NewSeriesSetToChunkSet(q.memoryQuerier.Select(ctx, sorted, hints, ms...))
}

type memorySample struct {
	t int64
	f float64
}

func (s memorySample) T() int64                    { return s.t }
func (s memorySample) ST() int64                   { return 0 }
func (s memorySample) F() float64                  { return s.f }
func (memorySample) H() *histogram.Histogram       { return nil }
func (memorySample) FH() *histogram.FloatHistogram { return nil }
func (memorySample) Type() chunkenc.ValueType      { return chunkenc.ValFloat }
func (s memorySample) Copy() chunks.Sample         { return s }

// local answers from a memory.
func (m *memory) local(t *testing.T, describe func() querytree.Description) *querytree.Local {
	t.Helper()
	opts := querytree.EngineOpts(querytree.MixerConfig{
		Limits: querytree.DefaultLimits(), Lookback: treetest.Lookback, SubqueryStep: treetest.SubqueryStep,
	}, querytree.NewParser())
	l, err := querytree.NewLocal(querytree.LocalConfig{
		Engine: promql.NewEngine(opts), EngineOpts: &opts, Samples: m, Chunks: m, Describe: describe, Limits: querytree.DefaultLimits(),
	})
	if err != nil {
		t.Fatal(err)
	}
	return l
}
