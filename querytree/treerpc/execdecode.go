package treerpc

import (
	"errors"
	"fmt"
	"math/bits"

	"github.com/prometheus/prometheus/promql"

	"github.com/pandometrics/pando/querytree/querytreepb"
)

// execDecoder turns frames back into series, and refuses what no execEncoder
// sends.
type execDecoder struct {
	grid    grid
	symbols symbolReader
	order   seriesOrder
	parts   []*querytreepb.GridSeries // of the last frame, not yet decoded
	cur     promql.Series
	more    bool // cur is not complete
}

// add takes in a frame. All series of the frame before must have been read.
func (d *execDecoder) add(f *querytreepb.ExecFrame) error {
	d.parts = f.GetSeries()
	return d.symbols.add(f.GetSymbols())
}

// whole reports an answer that ends within a series.
func (d *execDecoder) whole() error {
	if d.more {
		return errors.New("answer ends within a series")
	}
	return nil
}

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
		if err := d.order.next(ls); err != nil && d.grid.steps > 1 {
			return err
		}
		d.cur = promql.Series{Metric: ls}
	case len(part.GetLabels()) > 0:
		return errors.New("new series within another")
	case len(part.GetValues())+len(part.GetHistograms()) == 0:
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
	if len(values) == 0 {
		if len(present) > 0 {
			return errors.New("bitmap without values")
		}
		return nil
	}
	if err := d.checkPresent(first, len(values), present); err != nil {
		return err
	}
	if n := len(d.cur.Floats); n > 0 && d.grid.time(first) <= d.cur.Floats[n-1].T {
		return errors.New("points out of order")
	}
	points := d.cur.Floats
	if points == nil {
		points = make([]promql.FPoint, 0, len(values))
	}
	if len(present) == 0 {
		for i, v := range values {
			points = append(points, promql.FPoint{T: d.grid.time(first + i), F: v})
		}
	} else {
		for i, b := range present {
			for ; b != 0; b &= b - 1 {
				step := first + 8*i + bits.TrailingZeros8(b)
				points = append(points, promql.FPoint{T: d.grid.time(step), F: values[0]})
				values = values[1:]
			}
		}
	}
	d.cur.Floats = points
	return nil
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
