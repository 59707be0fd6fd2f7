package treerpc

import (
	"errors"
	"fmt"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
	"github.com/prometheus/prometheus/tsdb/chunks"

	"github.com/pandometrics/pando/querytree/querytreepb"
)

// selectEncoder turns the series of a Select answer into frames.
type selectEncoder struct {
	labelsOnly bool
	send       func(*querytreepb.SelectFrame) error
	pack       *framePacker // nil packs nothing
	symbols    symbolWriter
	frame      *querytreepb.SelectFrame
	size       int
	iterator   chunks.Iterator
}

// add encodes one series. Its parts are sent as frames fill up.
func (e *selectEncoder) add(s storage.ChunkSeries) error {
	e.begin()
	part := &querytreepb.RawSeries{}
	var size int
	part.Labels, size = e.symbols.labels(s.Labels())
	e.put(part, size)
	if !e.labelsOnly {
		e.iterator = s.Iterator(e.iterator)
		for e.iterator.Next() {
			if e.size >= frameSize {
				part.More = true
				if err := e.flush(); err != nil {
					return err
				}
				e.begin()
				part = &querytreepb.RawSeries{}
				e.put(part, 0)
			}
			if err := e.chunk(part, e.iterator.At()); err != nil {
				return fmt.Errorf("series %s: %w", s.Labels(), err)
			}
		}
		if err := e.iterator.Err(); err != nil {
			// The part that stands in the frame must not pass as a whole series.
			part.More = true
			return fmt.Errorf("chunks of series %s: %w", s.Labels(), err)
		}
	}
	if e.size >= frameSize {
		return e.flush()
	}
	return nil
}

func (e *selectEncoder) put(part *querytreepb.RawSeries, size int) {
	e.frame.Series = append(e.frame.Series, part)
	e.size += size + 8
}

// chunk copies a chunk to the part: its bytes may be reused by the iterator.
func (e *selectEncoder) chunk(part *querytreepb.RawSeries, m chunks.Meta) error {
	if m.Chunk == nil {
		return errors.New("chunk without data")
	}
	data := append([]byte(nil), m.Chunk.Bytes()...)
	part.Chunks = append(part.Chunks, &querytreepb.Chunk{
		Mint: m.MinTime, Maxt: m.MaxTime, Encoding: uint32(m.Chunk.Encoding()), Data: data,
	})
	e.size += len(data) + 24
	return nil
}

func (e *selectEncoder) begin() {
	if e.frame == nil {
		e.frame, e.size = &querytreepb.SelectFrame{Symbols: e.symbols.begin()}, 0
	}
}

func (e *selectEncoder) flush() error {
	if e.frame == nil {
		return nil
	}
	f := e.frame
	e.frame = nil
	size := e.size
	if !e.labelsOnly {
		size = len(e.symbols.text)
	}
	f, err := e.pack.sel(f, size, !e.labelsOnly)
	if err != nil {
		return err
	}
	return e.send(f)
}

// end sends what is left, and the last word.
func (e *selectEncoder) end(end *querytreepb.End) error {
	if err := e.flush(); err != nil {
		return err
	}
	return e.send(&querytreepb.SelectFrame{End: end})
}

// selectDecoder turns frames back into series, and refuses what no
// selectEncoder sends.
type selectDecoder struct {
	labelsOnly bool
	unpack     *unpacker // nil if packed frames were not asked for
	symbols    symbolReader
	order      seriesOrder
	parts      []*querytreepb.RawSeries // of the last frame, not yet decoded
	curLabels  labels.Labels
	curChunks  []chunks.Meta
	more       bool // the current series is not complete
	series     int64
	samples    int64
}

// add takes in a frame. All series of the frame before must have been read.
func (d *selectDecoder) add(f *querytreepb.SelectFrame) error {
	if f.GetPacked() != nil {
		if err := d.unpack.selectFrame(f); err != nil {
			return err
		}
	}
	d.parts = f.GetSeries()
	return d.symbols.add(f.GetSymbols())
}

// whole reports an answer that ends within a series.
func (d *selectDecoder) whole() error {
	if d.more {
		return errors.New("answer ends within a series")
	}
	return nil
}

func (d *selectDecoder) counts() (series, samples int64) { return d.series, d.samples }

// recycle does nothing: chunks are handed on as they are.
func (d *selectDecoder) recycle([]storage.ChunkSeries) {}

// next returns the next complete series of the frames so far.
func (d *selectDecoder) next() (storage.ChunkSeries, bool, error) {
	for len(d.parts) > 0 {
		part := d.parts[0]
		d.parts = d.parts[1:]
		if err := d.part(part); err != nil {
			return nil, false, err
		}
		if d.more = part.GetMore(); !d.more {
			s := &chunkSeries{labels: d.curLabels, chunks: d.curChunks}
			d.curChunks = nil
			d.series++
			return s, true, nil
		}
	}
	return nil, false, nil
}

func (d *selectDecoder) part(part *querytreepb.RawSeries) error {
	switch {
	case !d.more:
		ls, err := d.symbols.labels(part.GetLabels())
		if err != nil {
			return err
		}
		if err := d.order.next(ls); err != nil {
			return err
		}
		d.curLabels = ls
	case len(part.GetLabels()) > 0:
		return errors.New("new series within another")
	case len(part.GetChunks()) == 0:
		return errors.New("empty part of a series")
	}
	if d.labelsOnly && len(part.GetChunks()) > 0 {
		return errors.New("chunks where only labels were asked for")
	}
	for _, c := range part.GetChunks() {
		m, err := chunkFromWire(c)
		if err == nil && len(d.curChunks) > 0 && m.MinTime < d.curChunks[len(d.curChunks)-1].MinTime {
			err = errors.New("chunks out of order")
		}
		if err != nil {
			return fmt.Errorf("series %s: %w", d.curLabels, err)
		}
		d.curChunks = append(d.curChunks, m)
		d.samples += int64(m.Chunk.NumSamples())
	}
	return nil
}

func chunkFromWire(c *querytreepb.Chunk) (chunks.Meta, error) {
	if c.GetMint() > c.GetMaxt() {
		return chunks.Meta{}, fmt.Errorf("chunk from %d to %d", c.GetMint(), c.GetMaxt())
	}
	if c.GetEncoding() > 0xff {
		return chunks.Meta{}, fmt.Errorf("unknown chunk encoding %d", c.GetEncoding())
	}
	enc := chunkenc.Encoding(c.GetEncoding())
	if err := checkChunk(enc, c.GetData()); err != nil {
		return chunks.Meta{}, err
	}
	chunk, err := chunkenc.FromData(enc, c.GetData())
	if err != nil {
		return chunks.Meta{}, fmt.Errorf("chunk encoding %d: %w", c.GetEncoding(), err)
	}
	return chunks.Meta{Chunk: chunk, MinTime: c.GetMint(), MaxTime: c.GetMaxt()}, nil
}

// chunkSeries is a series received. It stays valid after the set has moved on.
type chunkSeries struct {
	labels labels.Labels
	chunks []chunks.Meta
}

func (s *chunkSeries) Labels() labels.Labels { return s.labels }

func (s *chunkSeries) Iterator(chunks.Iterator) chunks.Iterator {
	return storage.NewListChunkSeriesIterator(s.chunks...)
}
