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

// execEncoder turns the series of an Exec answer into frames.
type execEncoder struct {
	grid    grid
	send    func(*querytreepb.ExecFrame) error
	symbols symbolWriter
	frame   *querytreepb.ExecFrame
	size    int
}

// add encodes one series. Its parts are sent as frames fill up.
func (e *execEncoder) add(s promql.Series) error {
	e.begin()
	part := &querytreepb.GridSeries{}
	var size int
	part.Labels, size = e.symbols.labels(e.frame.Symbols, s.Metric)
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
		part = &querytreepb.GridSeries{}
	}
}

func (e *execEncoder) begin() {
	if e.frame == nil {
		e.frame, e.size = &querytreepb.ExecFrame{Symbols: e.symbols.begin()}, 0
	}
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
	n := min(len(points), partPoints)
	part.First = uint32(first)
	part.Values = make([]float64, 0, n)
	var bitmap []byte
	last := first - 1
	for _, p := range points[:n] {
		i, ok := e.grid.index(p.T)
		if !ok || i <= last {
			return nil, offGrid(p.T)
		}
		if i-first >= partSteps {
			break
		}
		for len(bitmap) <= (i-first)/8 {
			bitmap = append(bitmap, 0)
		}
		bitmap[(i-first)/8] |= 1 << ((i - first) % 8)
		part.Values = append(part.Values, p.F)
		last = i
	}
	if last-first+1 > len(part.Values) {
		part.Present = bitmap
	}
	e.size += len(part.Present) + 8*len(part.Values)
	return points[len(part.Values):], nil
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
	return e.send(f)
}

// end sends what is left, and the last word.
func (e *execEncoder) end(end *querytreepb.End) error {
	if err := e.flush(); err != nil {
		return err
	}
	return e.send(&querytreepb.ExecFrame{End: end})
}
