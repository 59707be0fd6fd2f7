package treerpc

import (
	"fmt"

	"github.com/prometheus/prometheus/promql"

	"github.com/pandometrics/pando/querytree/querytreepb"
)

// Bounds of what is put together before it is sent.
const (
	// frameSize is the size at which a frame is sent.
	frameSize = 128 << 10
	// maxFrameSize is the largest frame accepted. Only what cannot be divided,
	// a chunk, a histogram or a label set, makes a frame larger than frameSize.
	maxFrameSize = 4 << 20
	// partPoints and partSteps are the most points in a GridSeries, and the
	// most steps its bitmap covers.
	partPoints = 8 << 10
	partSteps  = 64 << 10
)

// execEncoder turns the series of an Exec answer into frames. A frame is valid
// until send returns: its memory is that of the next one.
type execEncoder struct {
	grid    grid
	send    func(*querytreepb.ExecFrame) error
	pack    *framePacker // nil packs nothing
	symbols symbolWriter
	frame   *querytreepb.ExecFrame
	size    int

	// Reused from frame to frame.
	parts  []*querytreepb.GridSeries
	values []float64
	bits   []byte
}

// add encodes one series. Its parts are sent as frames fill up.
func (e *execEncoder) add(s promql.Series) error {
	e.begin()
	part := e.part()
	var size int
	part.Labels, size = e.symbols.labels(s.Metric)
	e.size += size
	floats, histograms := s.Floats, s.Histograms
	for {
		var err error
		if floats, err = e.fillFloats(part, floats); err != nil {
			return fmt.Errorf("series %s: %w", s.Metric, err)
		}
		if len(floats) == 0 {
			if histograms, err = e.fillHistograms(part, histograms); err != nil {
				return fmt.Errorf("series %s: %w", s.Metric, err)
			}
		}
		part.More = len(floats)+len(histograms) > 0
		e.frame.Series = append(e.frame.Series, part)
		e.size += 16
		if e.size >= frameSize {
			if err := e.flush(); err != nil {
				return err
			}
		}
		if !part.More {
			return nil
		}
		e.begin()
		part = e.part()
	}
}

func (e *execEncoder) begin() {
	if e.frame == nil {
		e.frame, e.size = &querytreepb.ExecFrame{Symbols: e.symbols.begin(), Series: e.parts[:0]}, 0
		e.values, e.bits = e.values[:0], e.bits[:0]
	}
}

// part returns an empty part, of the frame before if it had that many.
func (e *execEncoder) part() *querytreepb.GridSeries {
	i := len(e.frame.Series)
	if i == len(e.parts) {
		e.parts = append(e.parts, &querytreepb.GridSeries{})
	} else {
		e.parts[i].Reset()
	}
	return e.parts[i]
}

// fillFloats moves as many points to the part as one may have, and returns the
// rest.
func (e *execEncoder) fillFloats(part *querytreepb.GridSeries, points []promql.FPoint) ([]promql.FPoint, error) {
	if len(points) == 0 {
		return nil, nil
	}
	first, ok := e.grid.index(points[0].T)
	if !ok {
		return nil, offGrid(points[0].T)
	}
	points = points[:min(len(points), partPoints):len(points)]
	values, bits := len(e.values), len(e.bits)
	t, bit := points[0].T, first
	for _, p := range points {
		// Most points follow one another.
		if p.T != t || bit >= e.grid.steps {
			i, ok := e.grid.index(p.T)
			if !ok || i < bit {
				return nil, offGrid(p.T)
			}
			t, bit = p.T, i
		}
		if bit-first >= partSteps {
			break
		}
		for len(e.bits)-bits <= (bit-first)/8 {
			e.bits = append(e.bits, 0)
		}
		e.bits[bits+(bit-first)/8] |= 1 << ((bit - first) % 8)
		e.values = append(e.values, p.F)
		t, bit = t+e.grid.step, bit+1
	}
	part.First = uint32(first)
	// Full slices, since parts of the same frame follow.
	part.Values = e.values[values:len(e.values):len(e.values)]
	if bit-first > len(part.Values) {
		part.Present = e.bits[bits:len(e.bits):len(e.bits)]
	} else {
		e.bits = e.bits[:bits]
	}
	e.size += len(part.Present) + 8*len(part.Values)
	return points[len(part.Values):cap(points)], nil
}

// fillHistograms moves histograms to the part until the frame is full, at
// least one, and returns the rest.
func (e *execEncoder) fillHistograms(part *querytreepb.GridSeries, points []promql.HPoint) ([]promql.HPoint, error) {
	last := -1
	for len(points) > 0 && (e.size < frameSize || len(part.Histograms) == 0) {
		p := points[0]
		i, ok := e.grid.index(p.T)
		if !ok || i <= last || p.H == nil {
			return nil, offGrid(p.T)
		}
		part.Histograms = append(part.Histograms, &querytreepb.GridHistogram{Step: uint32(i), Histogram: histogramToWire(p.H)})
		e.size += histogramSize(p.H)
		last, points = i, points[1:]
	}
	return points, nil
}

func offGrid(t int64) error {
	return fmt.Errorf("point at %d is not on the step grid, or out of order", t)
}

// flush sends the frame, if there is one.
func (e *execEncoder) flush() error {
	if e.frame == nil {
		return nil
	}
	f := e.frame
	e.frame = nil
	f, err := e.pack.exec(f, e.size)
	if err != nil {
		return err
	}
	return e.send(f)
}

// end sends what is left, and the last word.
func (e *execEncoder) end(end *querytreepb.End) error {
	if err := e.flush(); err != nil {
		return err
	}
	return e.send(&querytreepb.ExecFrame{End: end})
}
