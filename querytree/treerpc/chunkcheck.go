package treerpc

import (
	"errors"
	"fmt"
	"math"

	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
)

// checkChunk refuses chunk data whose iterator would panic, or allocate far
// more than the data: Prometheus trusts its chunks, but these come from a peer.
func checkChunk(enc chunkenc.Encoding, data []byte) error {
	header := 3
	switch enc {
	case chunkenc.EncXOR:
		header = 2
	case chunkenc.EncXOR2:
	case chunkenc.EncHistogram, chunkenc.EncFloatHistogram, chunkenc.EncHistogramST, chunkenc.EncFloatHistogramST:
		if len(data) > header {
			return checkLayout(data[header:])
		}
	default:
		return fmt.Errorf("unknown chunk encoding %d", enc)
	}
	if len(data) < header {
		return fmt.Errorf("chunk of %d bytes is too short", len(data))
	}
	return nil
}

// checkLayout reads the layout at the start of a histogram chunk: the zero
// threshold (1 byte, or 9 if that is 255), the schema, the positive and
// negative spans, which say how many buckets every sample has, and the bounds
// of custom buckets. Iterators allocate the buckets before they read them; but
// each takes at least a bit in the first sample.
func checkLayout(data []byte) error {
	r := bitReader{data: data}
	if r.bits(8) == 255 {
		r.bits(64)
	}
	schema := r.signed()
	positive, err := checkSpans(&r)
	if err != nil {
		return err
	}
	negative, err := checkSpans(&r)
	if err != nil {
		return err
	}
	if schema == int64(histogram.CustomBucketsSchema) {
		bounds, err := checkBounds(&r)
		if err != nil {
			return err
		}
		if negative.spans > 0 {
			return errors.New("histogram chunk with custom and negative buckets")
		}
		if err := positive.custom(bounds); err != nil {
			return err
		}
	}
	if r.over {
		return errors.New("histogram chunk ends within its layout")
	}
	return nil
}

func checkSpans(r *bitReader) (spanCheck, error) {
	check := spanCheck{limit: int64(len(r.data)) * 8}
	for n := r.varbit(); n > 0 && !r.over; n-- {
		length := r.varbit()
		if err := check.add(r.signed(), int64(min(length, math.MaxInt64))); err != nil {
			return check, err
		}
	}
	return check, nil
}

// checkBounds reads custom bounds: thousandths plus one, or zero and a float.
func checkBounds(r *bitReader) (n int, err error) {
	last := math.Inf(-1)
	for left := r.varbit(); left > 0 && !r.over; left-- {
		var bound float64
		if v := r.varbit(); v == 0 {
			bound = math.Float64frombits(r.bits(64))
		} else {
			bound = float64(v-1) / 1000
		}
		if n > 0 && bound <= last || bound != bound {
			return n, errors.New("histogram chunk: bounds are not ascending")
		}
		last = bound
		n++
	}
	return n, nil
}

// bitReader reads bits, the highest of each byte first. Beyond the end it
// reads zeros and sets over.
type bitReader struct {
	data []byte
	pos  int
	over bool
}

func (r *bitReader) bits(n int) uint64 {
	var v uint64
	for range n {
		v <<= 1
		if r.pos >= 8*len(r.data) {
			r.over = true
			continue
		}
		v |= uint64(r.data[r.pos/8]>>(7-r.pos%8)) & 1
		r.pos++
	}
	return v
}

// varbit reads a number in Prometheus' varbit encoding: up to eight ones tell
// the width of what follows.
func (r *bitReader) varbit() uint64 {
	v, _ := r.varbitWidth()
	return v
}

func (r *bitReader) varbitWidth() (v uint64, width int) {
	widths := [...]int{0, 3, 6, 9, 12, 18, 25, 56, 64}
	ones := 0
	for ones < 8 && r.bits(1) == 1 {
		ones++
	}
	width = widths[ones]
	return r.bits(width), width
}

// signed reads the same for numbers with a sign: the upper half of each width
// but its first stands for negative ones.
func (r *bitReader) signed() int64 {
	v, width := r.varbitWidth()
	if width > 0 && width < 64 && v > 1<<(width-1) {
		return int64(v) - 1<<width
	}
	return int64(v)
}
