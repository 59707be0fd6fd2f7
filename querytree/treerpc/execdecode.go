package treerpc

import (
	"errors"
	"fmt"
	"math/bits"
	"slices"

	"github.com/prometheus/prometheus/promql"

	"github.com/pandometrics/pando/querytree/querytreepb"
)

// execDecoder turns frames back into series, and refuses what no execEncoder
// sends.
type execDecoder struct {
	grid    grid
	symbols symbolReader
	order   seriesOrder
	once    seriesOnce                // in place of order
	unpack  *unpacker                 // nil if packed frames were not asked for
	parts   []*querytreepb.GridSeries // of the last frame, not yet decoded
	words   []uint64                  // of these parts
	cur     promql.Series
	more    bool // cur is not complete
	series  int64
	samples int64

	memory *unpackMemory // of the last packed frame, if there was one
	spare  [][]promql.FPoint
}

// maxSpare is how many series' points are kept for the next ones.
const maxSpare = 64

// recycle takes points back that nobody uses any more.
func (d *execDecoder) recycle(series []promql.Series) {
	for _, s := range series {
		if len(d.spare) == maxSpare {
			return
		}
		if cap(s.Floats) > 0 {
			d.spare = append(d.spare, s.Floats[:0])
		}
	}
}

// room returns room for n points, used before if possible.
func (d *execDecoder) room(n int) []promql.FPoint {
	last := len(d.spare) - 1
	if last < 0 {
		return make([]promql.FPoint, 0, n)
	}
	points := d.spare[last]
	d.spare[last], d.spare = nil, d.spare[:last]
	return slices.Grow(points, n)
}

// add takes in a frame. All series of the frame before must have been read.
func (d *execDecoder) add(f *querytreepb.ExecFrame) error {
	if d.words = nil; f.GetPacked() != nil {
		inner, err := d.unpacked(f)
		if err != nil {
			return err
		}
		f = inner
	} else if len(f.GetPlanes()) > 0 {
		return errors.New("planes in a frame that is not packed")
	}
	d.parts = f.GetSeries()
	return d.symbols.add(f.GetSymbols())
}

func (d *execDecoder) unpacked(f *querytreepb.ExecFrame) (*querytreepb.ExecFrame, error) {
	if f.GetSymbols() != nil || len(f.GetSeries()) > 0 {
		return nil, errors.New("symbols or series beside a packed frame")
	}
	if d.unpack == nil {
		return nil, errors.New("packed frame, which was not asked for")
	}
	if d.memory == nil {
		d.memory = d.unpack.memory()
	}
	plain, err := d.unpack.unpack(f.GetPacked(), &d.memory.plain)
	if err != nil {
		return nil, err
	}
	inner := &querytreepb.ExecFrame{}
	if err := unmarshalExecFrame(plain, inner, &d.memory.frame); err != nil {
		return nil, fmt.Errorf("packed frame: %w", err)
	}
	if inner.GetEnd() != nil || inner.GetPacked() != nil {
		return nil, errors.New("packed frame within another, or its end")
	}
	words := 0
	for _, part := range inner.GetSeries() {
		words += int(part.GetPoints())
	}
	if len(inner.GetPlanes()) != 8*words {
		return nil, fmt.Errorf("planes of %d bytes for %d points", len(inner.GetPlanes()), words)
	}
	d.memory.words = wordsOf(d.memory.words, inner.GetPlanes())
	d.words = d.memory.words
	return inner, nil
}

// whole reports an answer that ends within a series. Nothing may be added any
// more.
func (d *execDecoder) whole() error {
	if d.memory != nil {
		d.unpack.free.Put(d.memory)
		d.memory, d.words, d.parts = nil, nil, nil
	}
	if d.more {
		return errors.New("answer ends within a series")
	}
	return nil
}

func (d *execDecoder) counts() (series, samples int64) { return d.series, d.samples }

// next returns the next complete series of the frames so far.
func (d *execDecoder) next() (promql.Series, bool, error) {
	for len(d.parts) > 0 {
		part := d.parts[0]
		d.parts = d.parts[1:]
		if err := d.part(part); err != nil {
			return promql.Series{}, false, err
		}
		if d.more = part.GetMore(); !d.more {
			s := d.cur
			d.cur = promql.Series{}
			d.series, d.samples = d.series+1, d.samples+int64(promql.Matrix{s}.TotalSamples())
			return s, true, nil
		}
	}
	return promql.Series{}, false, nil
}

func (d *execDecoder) part(part *querytreepb.GridSeries) error {
	switch {
	case !d.more:
		ls, err := d.symbols.labels(part.GetLabels())
		if err != nil {
			return err
		}
		// An instant query's order is the expression's own.
		next := d.order.next
		if d.grid.steps <= 1 {
			next = d.once.next
		}
		if err := next(ls); err != nil {
			return err
		}
		d.cur = promql.Series{Metric: ls}
	case len(part.GetLabels()) > 0:
		return errors.New("new series within another")
	case len(part.GetValues())+int(part.GetPoints())+len(part.GetHistograms()) == 0:
		return errors.New("empty part of a series")
	}
	if err := d.floats(part); err != nil {
		return fmt.Errorf("series %s: %w", d.cur.Metric, err)
	}
	if err := d.histograms(part); err != nil {
		return fmt.Errorf("series %s: %w", d.cur.Metric, err)
	}
	return nil
}

func (d *execDecoder) floats(part *querytreepb.GridSeries) error {
	first, values, present := int(part.GetFirst()), part.GetValues(), part.GetPresent()
	n := len(values)
	if part.GetPoints() > 0 {
		if n > 0 || int(part.GetPoints()) > len(d.words) {
			return fmt.Errorf("%d points with %d values and %d words", part.GetPoints(), n, len(d.words))
		}
		n = int(part.GetPoints())
	}
	if n == 0 {
		if len(present) > 0 {
			return errors.New("bitmap without values")
		}
		return nil
	}
	if err := d.checkPresent(first, n, present); err != nil {
		return err
	}
	if n := len(d.cur.Floats); n > 0 && d.grid.time(first) <= d.cur.Floats[n-1].T {
		return errors.New("points out of order")
	}
	start := len(d.cur.Floats)
	if d.cur.Floats == nil {
		d.cur.Floats = d.room(n)
	}
	d.cur.Floats = slices.Grow(d.cur.Floats, n)[:start+n]
	points := d.cur.Floats[start:]
	d.times(points, first, present)
	if len(values) > 0 {
		for i, v := range values {
			points[i].F = v
		}
		return nil
	}
	r := wordReader{scale: float64(part.GetScale())}
	for i := range points {
		points[i].F = r.value(d.words[i])
	}
	d.words = d.words[n:]
	return nil
}

// times sets the times of points, of which the bitmap has as many.
func (d *execDecoder) times(points []promql.FPoint, first int, present []byte) {
	if len(present) == 0 {
		t := d.grid.time(first)
		for i := range points {
			points[i].T = t
			t += d.grid.step
		}
		return
	}
	n := 0
	for i, b := range present {
		for ; b != 0; b &= b - 1 {
			points[n].T = d.grid.time(first + 8*i + bits.TrailingZeros8(b))
			n++
		}
	}
}

// checkPresent checks that the bitmap has as many bits as there are values,
// and lies on the grid.
func (d *execDecoder) checkPresent(first, values int, present []byte) error {
	span := values
	if len(present) > 0 {
		set := 0
		for _, b := range present {
			set += bits.OnesCount8(b)
		}
		if set != values {
			return fmt.Errorf("bitmap of %d points for %d values", set, values)
		}
		if present[0]&1 == 0 || present[len(present)-1] == 0 {
			return errors.New("bitmap is padded")
		}
		span = 8*len(present) - bits.LeadingZeros8(present[len(present)-1])
	}
	if first+span > d.grid.steps {
		return fmt.Errorf("points up to step %d of %d", first+span, d.grid.steps)
	}
	return nil
}

func (d *execDecoder) histograms(part *querytreepb.GridSeries) error {
	for _, g := range part.GetHistograms() {
		step := int(g.GetStep())
		if step >= d.grid.steps {
			return fmt.Errorf("histogram at step %d of %d", step, d.grid.steps)
		}
		t := d.grid.time(step)
		if n := len(d.cur.Histograms); n > 0 && t <= d.cur.Histograms[n-1].T {
			return errors.New("histograms out of order")
		}
		h, err := histogramFromWire(g.GetHistogram())
		if err != nil {
			return err
		}
		d.cur.Histograms = append(d.cur.Histograms, promql.HPoint{T: t, H: h})
	}
	return nil
}
