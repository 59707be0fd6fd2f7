package leaf

import (
	"context"
	"slices"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
	"github.com/prometheus/prometheus/tsdb/chunks"

	"github.com/pandometrics/pando/querytree"
)

// openQuerier tells when it is closed.
type openQuerier struct {
	storage.Querier
	done func()
}

// Close implements storage.LabelQuerier.
func (q openQuerier) Close() error {
	defer q.done()
	return q.Querier.Close()
}

// openChunkQuerier tells when it is closed.
type openChunkQuerier struct {
	storage.ChunkQuerier
	done func()
}

// Close implements storage.LabelQuerier.
func (q openChunkQuerier) Close() error {
	defer q.done()
	return q.ChunkQuerier.Close()
}

// trimmedQuerier trims series in place of the TSDB: see deletions.
type trimmedQuerier struct {
	storage.Querier
	mint, maxt int64
}

// Select implements storage.Querier.
func (q trimmedQuerier) Select(ctx context.Context, sorted bool, hints *storage.SelectHints, ms ...*labels.Matcher) storage.SeriesSet {
	whole, hints := untrimmed(hints, q.mint, q.maxt)
	set := q.Querier.Select(ctx, sorted, hints, ms...)
	if whole {
		return set
	}
	return trimmedSet{set, hints.Start, hints.End}
}

// trimmedChunkQuerier is trimmedQuerier for chunks.
type trimmedChunkQuerier struct {
	storage.ChunkQuerier
	mint, maxt int64
}

// Select implements storage.ChunkQuerier.
func (q trimmedChunkQuerier) Select(ctx context.Context, sorted bool, hints *storage.SelectHints, ms ...*labels.Matcher) storage.ChunkSeriesSet {
	whole, hints := untrimmed(hints, q.mint, q.maxt)
	set := q.ChunkQuerier.Select(ctx, sorted, hints, ms...)
	if whole {
		return set
	}
	return trimmedChunkSet{set, hints.Start, hints.End}
}

// untrimmed returns hints that keep the TSDB from trimming, with its bounds, and
// whether nobody is to trim.
func untrimmed(hints *storage.SelectHints, mint, maxt int64) (whole bool, out *storage.SelectHints) {
	if hints == nil {
		return false, &storage.SelectHints{Start: mint, End: maxt, DisableTrimming: true}
	}
	h := *hints
	h.DisableTrimming = true
	return hints.DisableTrimming, &h
}

type trimmedSet struct {
	storage.SeriesSet
	mint, maxt int64
}

// At implements storage.SeriesSet.
func (s trimmedSet) At() storage.Series { return trimmedSeries{s.SeriesSet.At(), s.mint, s.maxt} }

type trimmedSeries struct {
	storage.Series
	mint, maxt int64
}

// Iterator implements storage.Series.
func (s trimmedSeries) Iterator(it chunkenc.Iterator) chunkenc.Iterator {
	old, ok := it.(*querytree.TrimIterator)
	if !ok {
		return &querytree.TrimIterator{Iterator: s.Series.Iterator(it), Mint: s.mint, Maxt: s.maxt}
	}
	*old = querytree.TrimIterator{Iterator: s.Series.Iterator(old.Iterator), Mint: s.mint, Maxt: s.maxt}
	return old
}

type trimmedChunkSet struct {
	storage.ChunkSeriesSet
	mint, maxt int64
}

// At implements storage.ChunkSeriesSet.
func (s trimmedChunkSet) At() storage.ChunkSeries {
	return trimmedChunkSeries{s.ChunkSeriesSet.At(), s.mint, s.maxt}
}

type trimmedChunkSeries struct {
	storage.ChunkSeries
	mint, maxt int64
}

// Iterator implements storage.ChunkSeries. Chunks within the bounds stay as they
// are; others are encoded anew.
func (s trimmedChunkSeries) Iterator(it chunks.Iterator) chunks.Iterator {
	if old, ok := it.(*trimmedChunks); ok {
		it = old.Iterator
	}
	return &trimmedChunks{Iterator: s.ChunkSeries.Iterator(it), mint: s.mint, maxt: s.maxt}
}

type trimmedChunks struct {
	chunks.Iterator
	mint, maxt int64
	cut        []chunks.Meta // of the chunk at hand
	cur        chunks.Meta
	err        error
}

// Next implements chunks.Iterator.
func (i *trimmedChunks) Next() bool {
	for len(i.cut) == 0 {
		if i.err != nil || !i.Iterator.Next() {
			return false
		}
		m := i.Iterator.At()
		if m.MinTime >= i.mint && m.MaxTime <= i.maxt {
			i.cur = m
			return true
		}
		i.trim(m)
	}
	i.cur, i.cut = i.cut[0], i.cut[1:]
	return true
}

// trim encodes what of a chunk is within the bounds.
func (i *trimmedChunks) trim(m chunks.Meta) {
	part := &storage.SeriesEntry{SampleIteratorFn: func(chunkenc.Iterator) chunkenc.Iterator {
		return &querytree.TrimIterator{Iterator: m.Chunk.Iterator(nil), Mint: i.mint, Maxt: i.maxt}
	}}
	encoded := storage.NewSeriesToChunkEncoder(part).Iterator(nil)
	for encoded.Next() {
		i.cut = append(slices.Clip(i.cut), encoded.At())
	}
	i.err = encoded.Err()
}

// At implements chunks.Iterator.
func (i *trimmedChunks) At() chunks.Meta { return i.cur }

// Err implements chunks.Iterator.
func (i *trimmedChunks) Err() error {
	if i.err != nil {
		return i.err
	}
	return i.Iterator.Err()
}
