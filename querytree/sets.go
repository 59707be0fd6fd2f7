package querytree

import (
	"context"
	"sync"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb/chunks"
	"github.com/prometheus/prometheus/util/annotations"
)

// MatrixSet is a ResultSet over an answer that is whole in memory.
type MatrixSet struct {
	m      promql.Matrix
	cur    promql.Series
	warn   annotations.Annotations
	report Report
}

// NewMatrixSet returns a ResultSet of the series of m, which must be in the order
// of a ResultSet. The set owns m.
func NewMatrixSet(m promql.Matrix, warn annotations.Annotations, report Report) *MatrixSet {
	return &MatrixSet{m: m, warn: warn, report: report}
}

// Next implements ResultSet.
func (s *MatrixSet) Next() bool {
	if len(s.m) == 0 {
		return false
	}
	s.cur, s.m = s.m[0], s.m[1:]
	return true
}

// At implements ResultSet.
func (s *MatrixSet) At() promql.Series { return s.cur }

// Err implements ResultSet.
func (s *MatrixSet) Err() error { return nil }

// Warnings implements ResultSet.
func (s *MatrixSet) Warnings() annotations.Annotations { return s.warn }

// Report implements ResultSet.
func (s *MatrixSet) Report() Report { return s.report }

// Close implements ResultSet.
func (s *MatrixSet) Close() { s.m = nil }

// failedSet is a SeriesSet that holds nothing but an error, a warning or a
// report.
type failedSet struct {
	err    error
	warn   annotations.Annotations
	report Report
}

func errSeriesSet(err error) SeriesSet { return &failedSet{err: err} }

func (s *failedSet) Next() bool                        { return false }
func (s *failedSet) At() storage.ChunkSeries           { return nil }
func (s *failedSet) Err() error                        { return s.err }
func (s *failedSet) Warnings() annotations.Annotations { return s.warn }
func (s *failedSet) Report() Report                    { return s.report }
func (s *failedSet) Close()                            {}

// countedConfig says how a countedSet counts and bounds.
type countedConfig struct {
	ctx        context.Context
	child      Identity
	close      func() error
	limit      int // cut off here, silently
	maxSeries  int // fail here
	maxSamples int // fail here
	limits     Limits
	labelsOnly bool
}

// countedSet is a SeriesSet over a storage: it counts what passes, stops at the
// limits and closes the querier when done.
type countedSet struct {
	set   storage.ChunkSeriesSet
	cfg   countedConfig
	once  sync.Once
	cur   storage.ChunkSeries
	stats ChildReport
	bytes int64 // of labels and chunks
	err   error
}

func newCountedSet(set storage.ChunkSeriesSet, cfg countedConfig) *countedSet {
	return &countedSet{set: set, cfg: cfg, stats: ChildReport{Tier: cfg.child.Tier, Verdict: Asked, Requests: 1}}
}

func (s *countedSet) Next() bool {
	if s.err != nil || (s.cfg.limit > 0 && s.stats.Series >= int64(s.cfg.limit)) {
		return false
	}
	if s.err = s.cfg.ctx.Err(); s.err != nil || !s.set.Next() {
		return false
	}
	s.cur = s.set.At()
	if s.cfg.labelsOnly {
		s.cur = labelsOnlySeries{s.cur.Labels()}
	}
	s.stats.Series++
	s.bytes += labelBytes(s.cur.Labels())
	if s.err = s.cfg.limits.checkResponse(s.bytes, s.cfg.child.Name()); s.err != nil {
		return false
	}
	if limit := s.cfg.maxSeries; limit > 0 && s.stats.Series > int64(limit) {
		s.err = tooMany("series of one request", flagMaxSeries, limit, int(s.stats.Series), s.cfg.child.Name())
		return false
	}
	if s.cfg.labelsOnly {
		return true
	}
	s.cur = storage.ChunkSeries(&countedSeries{ChunkSeries: s.cur, set: s})
	return true
}

func (s *countedSet) At() storage.ChunkSeries { return s.cur }

func (s *countedSet) Err() error {
	if s.err != nil {
		return s.err
	}
	return s.set.Err()
}

func (s *countedSet) Warnings() annotations.Annotations { return s.set.Warnings() }

func (s *countedSet) Report() Report {
	var r Report
	r.Add(s.cfg.child.Name(), s.stats)
	return r
}

func (s *countedSet) Close() { s.once.Do(func() { _ = s.cfg.close() }) }

// countedSeries counts the samples of the chunks that are read from a series.
type countedSeries struct {
	storage.ChunkSeries
	set *countedSet
}

func (s *countedSeries) Iterator(it chunks.Iterator) chunks.Iterator {
	if c, ok := it.(*countedChunks); ok {
		it = c.Iterator
	}
	return &countedChunks{Iterator: s.ChunkSeries.Iterator(it), set: s.set}
}

type countedChunks struct {
	chunks.Iterator
	set *countedSet
	err error
}

func (c *countedChunks) Next() bool {
	if c.err != nil || !c.Iterator.Next() {
		return false
	}
	st := &c.set.stats
	st.Samples += int64(c.At().Chunk.NumSamples())
	c.set.bytes += int64(len(c.At().Chunk.Bytes()))
	if limit := c.set.cfg.maxSamples; limit > 0 && st.Samples > int64(limit) {
		c.err = tooMany("samples of one request", flagMaxSamples, limit, int(st.Samples), c.set.cfg.child.Name())
		return false
	}
	return true
}

func (c *countedChunks) Err() error {
	if c.err != nil {
		return c.err
	}
	return c.Iterator.Err()
}

// labelsOnlySeries is a series without chunks.
type labelsOnlySeries struct{ lset labels.Labels }

func (s labelsOnlySeries) Labels() labels.Labels { return s.lset }

func (s labelsOnlySeries) Iterator(chunks.Iterator) chunks.Iterator {
	return storage.NewListChunkSeriesIterator()
}
