package treerpc

import (
	"errors"
	"fmt"
	"math"

	"github.com/prometheus/prometheus/model/histogram"

	"github.com/pandometrics/pando/querytree/querytreepb"
)

func histogramToWire(h *histogram.FloatHistogram) *querytreepb.FloatHistogram {
	return &querytreepb.FloatHistogram{
		CounterResetHint: uint32(h.CounterResetHint),
		Schema:           h.Schema,
		ZeroThreshold:    h.ZeroThreshold,
		ZeroCount:        h.ZeroCount,
		Count:            h.Count,
		Sum:              h.Sum,
		PositiveSpans:    spansToWire(h.PositiveSpans),
		NegativeSpans:    spansToWire(h.NegativeSpans),
		PositiveBuckets:  h.PositiveBuckets,
		NegativeBuckets:  h.NegativeBuckets,
		CustomValues:     h.CustomValues,
	}
}

// histogramSize is the size of a histogram on the wire, roughly.
func histogramSize(h *histogram.FloatHistogram) int {
	return 48 + 6*(len(h.PositiveSpans)+len(h.NegativeSpans)) +
		8*(len(h.PositiveBuckets)+len(h.NegativeBuckets)+len(h.CustomValues))
}

func spansToWire(spans []histogram.Span) []int64 {
	if len(spans) == 0 {
		return nil
	}
	out := make([]int64, 0, 2*len(spans))
	for _, s := range spans {
		out = append(out, int64(s.Offset), int64(s.Length))
	}
	return out
}

// histogramFromWire checks what the engine relies on. It does not ask for
// counts to be positive: results of subtractions are not.
func histogramFromWire(w *querytreepb.FloatHistogram) (*histogram.FloatHistogram, error) {
	if w == nil {
		return nil, errors.New("missing histogram")
	}
	if !histogram.IsKnownSchema(w.Schema) {
		return nil, histogram.UnknownSchemaError(w.Schema)
	}
	if w.CounterResetHint > uint32(histogram.GaugeType) {
		return nil, fmt.Errorf("counter reset hint %d", w.CounterResetHint)
	}
	positive, err := spansFromWire(w.PositiveSpans, len(w.PositiveBuckets))
	if err != nil {
		return nil, err
	}
	negative, err := spansFromWire(w.NegativeSpans, len(w.NegativeBuckets))
	if err != nil {
		return nil, err
	}
	if err := checkCustom(w, positive); err != nil {
		return nil, err
	}
	return &histogram.FloatHistogram{
		CounterResetHint: histogram.CounterResetHint(w.CounterResetHint),
		Schema:           w.Schema,
		ZeroThreshold:    w.ZeroThreshold,
		ZeroCount:        w.ZeroCount,
		Count:            w.Count,
		Sum:              w.Sum,
		PositiveSpans:    positive,
		NegativeSpans:    negative,
		PositiveBuckets:  w.PositiveBuckets,
		NegativeBuckets:  w.NegativeBuckets,
		CustomValues:     w.CustomValues,
	}, nil
}

func spansFromWire(w []int64, buckets int) ([]histogram.Span, error) {
	if len(w)%2 != 0 {
		return nil, errors.New("histogram span without a length")
	}
	if len(w) == 0 && buckets == 0 {
		return nil, nil
	}
	spans := make([]histogram.Span, 0, len(w)/2)
	check := spanCheck{limit: int64(buckets)}
	for i := 0; i < len(w); i += 2 {
		if err := check.add(w[i], w[i+1]); err != nil {
			return nil, err
		}
		spans = append(spans, histogram.Span{Offset: int32(w[i]), Length: uint32(w[i+1])})
	}
	if check.buckets != int64(buckets) {
		return nil, fmt.Errorf("histogram spans of %d buckets for %d counts", check.buckets, buckets)
	}
	return spans, nil
}

// spanCheck checks the spans of a histogram, one after another.
type spanCheck struct {
	limit   int64 // of buckets
	spans   int
	buckets int64
	lowest  int64 // index of a bucket
	next    int64 // index after the last bucket
}

func (c *spanCheck) add(offset, length int64) error {
	if offset < math.MinInt32 || offset > math.MaxInt32 || (c.spans > 0 && offset < 0) || length < 0 || length > c.limit-c.buckets {
		return fmt.Errorf("histogram span of offset %d and length %d", offset, length)
	}
	c.spans++
	c.buckets += length
	c.next += offset
	c.lowest = min(c.lowest, c.next)
	if c.next += length; c.next > math.MaxInt32 {
		return errors.New("histogram bucket index out of range")
	}
	return nil
}

// custom checks the spans of a histogram with that many custom bounds: the
// engine looks up the bound of every bucket.
func (c *spanCheck) custom(bounds int) error {
	// One bucket more than bounds: that up to infinity.
	if c.lowest < 0 || c.next > int64(bounds)+1 {
		return fmt.Errorf("histogram buckets from %d to %d for %d custom bounds", c.lowest, c.next-1, bounds)
	}
	return nil
}

// checkCustom checks a histogram with custom buckets, or that there are none.
func checkCustom(w *querytreepb.FloatHistogram, spans []histogram.Span) error {
	if !histogram.IsCustomBucketsSchema(w.Schema) {
		if len(w.CustomValues) > 0 {
			return errors.New("histogram with custom bounds but without custom buckets")
		}
		return nil
	}
	if len(w.NegativeSpans) > 0 || w.ZeroCount != 0 || w.ZeroThreshold != 0 {
		return errors.New("histogram with custom buckets and others")
	}
	for i, v := range w.CustomValues {
		if v != v || i > 0 && v <= w.CustomValues[i-1] {
			return errors.New("histogram bounds are not ascending")
		}
	}
	check := spanCheck{limit: math.MaxInt32}
	for _, s := range spans {
		if err := check.add(int64(s.Offset), int64(s.Length)); err != nil {
			return err
		}
	}
	return check.custom(len(w.CustomValues))
}
