package querytree

import (
	"math"
	"time"

	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
	"github.com/prometheus/prometheus/tsdb/chunks"
)

// spliceMargin is how far around a hole another replica's samples are read, to
// tell how far apart they are.
const spliceMargin = 5 * time.Minute

// splice fills the holes of one replica's series with another one's samples.
// Outside of holes there are samples of the first alone, since a mix would have
// twice as many and make a counter's increase jitter. What is known of a hole
// may be larger than the hole is: within it all samples of the first stay, and
// those of the other go only where the first really has none, as told by how
// close the other's samples are.
func splice(lset labels.Labels, first, other []chunks.Meta, holes intervals) ([]chunks.Meta, error) {
	if len(other) == 0 || len(holes) == 0 {
		return first, nil
	}
	have, err := samplesOf(first)
	if err != nil {
		return nil, err
	}
	spare, err := samplesOf(other)
	if err != nil {
		return nil, err
	}
	joined, filled := join(have, spare, holes)
	if !filled {
		return first, nil
	}
	return encode(lset, joined, append(first[:len(first):len(first)], other...))
}

// samplesOf decodes chunks.
func samplesOf(metas []chunks.Meta) ([]chunks.Sample, error) {
	s := newChunkedSeries(labels.EmptyLabels(), metas, math.MinInt64, math.MaxInt64)
	return storage.ExpandSamplesWithoutReplacingNaNs(s.Iterator(nil), nil)
}

// join returns the samples of have, and those of spare that fill holes; filled
// is false if there are none of those.
func join(have, spare []chunks.Sample, holes intervals) (joined []chunks.Sample, filled bool) {
	distance := closest(spare)
	next := 0
	fromSpare := false
	add := func(s chunks.Sample, spare bool) {
		if spare != fromSpare {
			forgetReset(s)
		}
		fromSpare = spare
		joined = append(joined, s)
	}
	for i := 0; i <= len(have); i++ {
		from, to := int64(math.MinInt64), int64(math.MaxInt64)
		if i > 0 {
			from = have[i-1].T()
		}
		if i < len(have) {
			to = have[i].T()
		}
		wide := i == 0 || i == len(have) || float64(to-from) > 1.5*float64(distance)
		for next < len(spare) && spare[next].T() < to {
			if s := spare[next]; wide && s.T() > from && holes.contain(s.T()) {
				add(s, true)
				filled = true
			}
			next++
		}
		if i < len(have) {
			add(have[i], false)
		}
	}
	return joined, filled
}

// closest returns the smallest distance between samples, at most spliceMargin.
func closest(samples []chunks.Sample) int64 {
	if len(samples) < 2 {
		return 0
	}
	least := spliceMargin.Milliseconds()
	for i, s := range samples[1:] {
		least = min(least, s.T()-samples[i].T())
	}
	return least
}

// forgetReset drops what a sample says about a counter reset before it, since
// the sample before is another one now.
func forgetReset(s chunks.Sample) {
	var hint *histogram.CounterResetHint
	switch s.Type() {
	case chunkenc.ValHistogram:
		hint = &s.H().CounterResetHint
	case chunkenc.ValFloatHistogram:
		hint = &s.FH().CounterResetHint
	default:
		return
	}
	if *hint != histogram.GaugeType {
		*hint = histogram.UnknownCounterReset
	}
}

// encode makes chunks of samples, with the encoding of floats that the chunks
// had which they were read from.
func encode(lset labels.Labels, samples []chunks.Sample, like []chunks.Meta) ([]chunks.Meta, error) {
	floats := chunkenc.EncXOR
	for _, m := range like {
		if m.Chunk.Encoding() == chunkenc.EncXOR2 {
			floats = chunkenc.EncXOR2
		}
	}
	var out []chunks.Meta
	it := storage.NewSeriesToChunkEncoderWithFloatEncoding(storage.NewListSeries(lset, samples), floats).Iterator(nil)
	for it.Next() {
		out = append(out, it.At())
	}
	return out, it.Err()
}
