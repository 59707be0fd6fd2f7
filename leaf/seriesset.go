package leaf

import (
	"slices"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/util/annotations"
)

// set is what storage.SeriesSet and storage.ChunkSeriesSet have in common.
type set[S storage.Labels] interface {
	Next() bool
	At() S
	Err() error
	Warnings() annotations.Annotations
}

// each visits the label sets of a set until visit returns false.
func each[S storage.Labels](in set[S], visit func(labels.Labels) bool) (annotations.Annotations, error) {
	for in.Next() {
		if !visit(in.At().Labels()) {
			break
		}
	}
	return in.Warnings(), in.Err()
}

type entry[S storage.Labels] struct {
	lset   labels.Labels
	series S
}

// attachSet adds the identity labels to the series of a set, and keeps a sorted
// set sorted.
//
// Adding the same labels to two label sets changes their order only if one is
// the beginning of the other: {a="1"} sorts before {a="1", b="2"}, but with
// z="3" on both it sorts after. All series that begin with a series' label set
// follow it at once in the input. So it is enough to hold a series back while
// its successors, identity attached, sort before it. What is held is a chain of
// label sets each of which begins with the one before: no longer than the
// number of labels of a series.
type attachSet[S storage.Labels] struct {
	in     set[S]
	id     *identity
	wrap   func(S, labels.Labels) S
	sorted bool

	builder labels.ScratchBuilder
	held    []entry[S] // sorted descending: the last is the least
	ready   []entry[S] // to be returned next, in order
	cur     S
	drained bool
}

// Next implements set.
func (s *attachSet[S]) Next() bool {
	for {
		if len(s.ready) > 0 {
			s.cur = s.wrap(s.ready[0].series, s.ready[0].lset)
			s.ready = s.ready[1:]
			return true
		}
		if s.drained || !s.in.Next() {
			return s.drain()
		}
		series := s.in.At()
		lset := s.id.attach(&s.builder, series.Labels())
		if !s.sorted {
			s.cur = s.wrap(series, lset)
			return true
		}
		s.ready = s.ready[:0]
		for n := len(s.held); n > 0 && labels.Compare(s.held[n-1].lset, lset) < 0; n-- {
			s.ready = append(s.ready, s.held[n-1])
			s.held = s.held[:n-1]
		}
		s.held = append(s.held, entry[S]{lset: lset, series: series})
	}
}

func (s *attachSet[S]) drain() bool {
	s.drained = true
	n := len(s.held)
	if n == 0 {
		return false
	}
	s.cur = s.wrap(s.held[n-1].series, s.held[n-1].lset)
	s.held = s.held[:n-1]
	return true
}

// At implements set.
func (s *attachSet[S]) At() S { return s.cur }

// Err implements set.
func (s *attachSet[S]) Err() error { return s.in.Err() }

// Warnings implements set.
func (s *attachSet[S]) Warnings() annotations.Annotations { return s.in.Warnings() }

// renameSet serves a set some of whose series have stored labels with the names
// of identity labels: it renames those, drops what the matchers on renamed
// labels then exclude, sorts, and merges series that came to have equal labels.
// It holds all series of the set at once, but decodes no sample of them.
type renameSet[S storage.Labels] struct {
	in    set[S]
	id    *identity
	late  []*labels.Matcher
	wrap  func(S, labels.Labels) S
	merge func([]S) S

	started bool
	entries []entry[S]
	cur     S
}

// Next implements set.
func (s *renameSet[S]) Next() bool {
	if !s.started {
		s.started = true
		s.load()
	}
	if s.in.Err() != nil || len(s.entries) == 0 {
		return false
	}
	n := 1
	for n < len(s.entries) && labels.Equal(s.entries[0].lset, s.entries[n].lset) {
		n++
	}
	series := s.entries[0].series
	if n > 1 {
		same := make([]S, 0, n)
		for _, e := range s.entries[:n] {
			same = append(same, e.series)
		}
		series = s.merge(same)
	}
	s.cur = s.wrap(series, s.entries[0].lset)
	s.entries = s.entries[n:]
	return true
}

func (s *renameSet[S]) load() {
	var b labels.ScratchBuilder
	for s.in.Next() {
		series := s.in.At()
		lset := s.id.rename(series.Labels())
		if matchesAll(lset, s.late) {
			s.entries = append(s.entries, entry[S]{lset: s.id.attach(&b, lset), series: series})
		}
	}
	slices.SortStableFunc(s.entries, func(a, b entry[S]) int { return labels.Compare(a.lset, b.lset) })
}

// At implements set.
func (s *renameSet[S]) At() S { return s.cur }

// Err implements set.
func (s *renameSet[S]) Err() error { return s.in.Err() }

// Warnings implements set.
func (s *renameSet[S]) Warnings() annotations.Annotations { return s.in.Warnings() }

// series is a stored series under the labels it is served with.
type series struct {
	storage.Series
	lset labels.Labels
}

func (s *series) Labels() labels.Labels { return s.lset }

func wrapSeries(s storage.Series, lset labels.Labels) storage.Series {
	return &series{Series: s, lset: lset}
}

func mergeSeries(same []storage.Series) storage.Series {
	return storage.ChainedSeriesMerge(same...)
}

// chunkSeries is a stored chunk series under the labels it is served with.
type chunkSeries struct {
	storage.ChunkSeries
	lset labels.Labels
}

func (s *chunkSeries) Labels() labels.Labels { return s.lset }

func wrapChunkSeries(s storage.ChunkSeries, lset labels.Labels) storage.ChunkSeries {
	return &chunkSeries{ChunkSeries: s, lset: lset}
}

func mergeChunkSeries(same []storage.ChunkSeries) storage.ChunkSeries {
	return storage.NewCompactingChunkSeriesMerger(storage.ChainedSeriesMerge)(same...)
}
