package querytree

import (
	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
	"github.com/prometheus/prometheus/tsdb/chunks"
	"github.com/prometheus/prometheus/util/annotations"
)

// sampleSet reads a ChunkSeriesSet as samples between mint and maxt. It reads
// them as the TSDB itself would: chunks that do not overlap are read one after
// the other, so that histograms keep the counter reset hints of their chunks.
type sampleSet struct {
	set        storage.ChunkSeriesSet
	mint, maxt int64
	cur        *chunkedSeries
	err        error
}

func newSampleSet(set storage.ChunkSeriesSet, mint, maxt int64) *sampleSet {
	return &sampleSet{set: set, mint: mint, maxt: maxt}
}

func (s *sampleSet) Next() bool {
	if s.err != nil || !s.set.Next() {
		return false
	}
	series := s.set.At()
	var metas []chunks.Meta
	it := series.Iterator(nil)
	for it.Next() {
		metas = append(metas, it.At())
	}
	s.cur = newChunkedSeries(series.Labels(), metas, s.mint, s.maxt)
	s.err = it.Err()
	return s.err == nil
}

func (s *sampleSet) At() storage.Series                { return s.cur }
func (s *sampleSet) Warnings() annotations.Annotations { return s.set.Warnings() }

func (s *sampleSet) Err() error {
	if s.err != nil {
		return s.err
	}
	return s.set.Err()
}

// chunkedSeries is a series of chunks, read as samples.
type chunkedSeries struct {
	lset       labels.Labels
	metas      []chunks.Meta
	overlap    bool
	mint, maxt int64
}

func newChunkedSeries(lset labels.Labels, metas []chunks.Meta, mint, maxt int64) *chunkedSeries {
	s := &chunkedSeries{lset: lset, metas: metas, mint: mint, maxt: maxt}
	for i := range metas {
		s.overlap = s.overlap || (i > 0 && metas[i].MinTime <= metas[i-1].MaxTime)
	}
	return s
}

func (s *chunkedSeries) Labels() labels.Labels { return s.lset }

func (s *chunkedSeries) Iterator(it chunkenc.Iterator) chunkenc.Iterator {
	t, ok := it.(*TrimIterator)
	if !ok {
		t = &TrimIterator{}
	}
	if s.overlap {
		*t = TrimIterator{Iterator: s.merged(), Mint: s.mint, Maxt: s.maxt}
		return t
	}
	c, ok := t.Iterator.(*concatIterator)
	if !ok {
		c = &concatIterator{}
	}
	c.reset(s.metas)
	*t = TrimIterator{Iterator: c, Mint: s.mint, Maxt: s.maxt}
	return t
}

// merged reads overlapping chunks, as out-of-order samples make them.
func (s *chunkedSeries) merged() chunkenc.Iterator {
	series := make([]storage.Series, len(s.metas))
	for i, m := range s.metas {
		series[i] = &storage.SeriesEntry{Lset: s.lset, SampleIteratorFn: func(chunkenc.Iterator) chunkenc.Iterator {
			return m.Chunk.Iterator(nil)
		}}
	}
	return storage.ChainedSeriesMerge(series...).Iterator(nil)
}

// concatIterator reads chunks one after the other.
type concatIterator struct {
	metas []chunks.Meta
	cur   chunkenc.Iterator
	err   error
}

func (c *concatIterator) reset(metas []chunks.Meta) {
	c.metas, c.err = metas, nil
	c.open()
}

// open starts with the first of the remaining chunks.
func (c *concatIterator) open() {
	if len(c.metas) == 0 {
		c.cur = chunkenc.NewNopIterator()
		return
	}
	c.cur = c.metas[0].Chunk.Iterator(c.cur)
	c.metas = c.metas[1:]
}

func (c *concatIterator) Next() chunkenc.ValueType {
	for {
		if v := c.cur.Next(); v != chunkenc.ValNone {
			return v
		}
		if !c.advance() {
			return chunkenc.ValNone
		}
	}
}

// advance moves on to the next chunk, if there is one and the last was sound.
func (c *concatIterator) advance() bool {
	if c.err = c.cur.Err(); c.err != nil || len(c.metas) == 0 {
		return false
	}
	c.open()
	return true
}

func (c *concatIterator) Seek(t int64) chunkenc.ValueType {
	for {
		if v := c.cur.Seek(t); v != chunkenc.ValNone {
			return v
		}
		if c.err = c.cur.Err(); c.err != nil {
			return chunkenc.ValNone
		}
		for len(c.metas) > 1 && c.metas[0].MaxTime < t {
			c.metas = c.metas[1:]
		}
		if !c.advance() {
			return chunkenc.ValNone
		}
	}
}

func (c *concatIterator) At() (int64, float64) { return c.cur.At() }

func (c *concatIterator) AtHistogram(h *histogram.Histogram) (int64, *histogram.Histogram) {
	return c.cur.AtHistogram(h)
}

func (c *concatIterator) AtFloatHistogram(h *histogram.FloatHistogram) (int64, *histogram.FloatHistogram) {
	return c.cur.AtFloatHistogram(h)
}

func (c *concatIterator) AtT() int64  { return c.cur.AtT() }
func (c *concatIterator) AtST() int64 { return c.cur.AtST() }

func (c *concatIterator) Err() error {
	if c.err != nil {
		return c.err
	}
	return c.cur.Err()
}
