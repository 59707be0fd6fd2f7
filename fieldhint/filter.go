package fieldhint

import (
	"math"

	"github.com/bits-and-blooms/bloom/v3"
)

// Shares of the false-positive rate: the first layer of a filter, which holds
// nearly all if the filter was given the right size, may use most of it; each
// further layer half of what is left.
const (
	firstShare   = 0.8
	minLayer     = 1024
	maxHashes    = 32
	growthOfSize = 8 // a filter sized for n grows at first by n/8
)

// Filter is a set of fingerprints that may also seem to hold others, at a rate
// that is bounded however many are added: when a layer is full, the next one is
// twice as large (after the first) and has a lower rate. It never loses an
// entry. (The layering is that of scalable bloom filters, Almeida et al., 2007.)
//
// A Filter is not safe for concurrent use, except by readers alone.
type Filter struct {
	rate   float64
	layers []layer
	n      int
}

type layer struct {
	bloom    *bloom.BloomFilter
	capacity int
	n        int
}

// NewFilter returns an empty filter with room for about capacity fingerprints in
// its first layer, and a false-positive rate of at most rate, which must lie
// between 0 and 1.
func NewFilter(capacity int, rate float64) *Filter {
	f := &Filter{rate: rate}
	f.grow(max(capacity, minLayer))
	return f
}

func (f *Filter) grow(capacity int) {
	share := firstShare
	if i := len(f.layers); i > 0 {
		share = (1 - firstShare) * math.Pow(0.5, float64(i))
	}
	m, k := bloom.EstimateParameters(uint(capacity), f.rate*share)
	f.layers = append(f.layers, layer{bloom: bloom.New(m, min(k, maxHashes)), capacity: capacity})
}

// nextCapacity is that of the layer after the last.
func (f *Filter) nextCapacity() int {
	last := f.layers[len(f.layers)-1].capacity
	if len(f.layers) == 1 && last > minLayer {
		return max(last/growthOfSize, minLayer)
	}
	return 2 * last
}

// Add adds a fingerprint. It returns false if it was there, or seemed to be.
func (f *Filter) Add(fp uint64) bool {
	if f.Has(fp) {
		return false
	}
	last := &f.layers[len(f.layers)-1]
	if last.n >= last.capacity {
		f.grow(f.nextCapacity())
		last = &f.layers[len(f.layers)-1]
	}
	last.bloom.Add(key(fp))
	last.n++
	f.n++
	return true
}

// Has reports whether a fingerprint was added. If not, it may still say so, at
// FalsePositiveRate.
func (f *Filter) Has(fp uint64) bool {
	k := key(fp)
	for _, l := range f.layers {
		if l.bloom.Test(k) {
			return true
		}
	}
	return false
}

// hasLocations is Has for a fingerprint whose places are known already.
func (f *Filter) hasLocations(locs []uint64) bool {
	for _, l := range f.layers {
		if l.bloom.TestLocations(locs[:l.bloom.K()]) {
			return true
		}
	}
	return false
}

// Len returns the number of fingerprints for which Add returned true.
func (f *Filter) Len() int { return f.n }

// Bytes returns the memory taken by the filter's bits.
func (f *Filter) Bytes() int {
	bits := 0
	for _, l := range f.layers {
		bits += (int(l.bloom.Cap()) + 63) / 64 * 64
	}
	return bits / 8
}

// Layers returns the number of layers.
func (f *Filter) Layers() int { return len(f.layers) }

// FalsePositiveRate estimates how often Has is true of a fingerprint that was
// never added, from how full the layers are.
func (f *Filter) FalsePositiveRate() float64 {
	miss := 1.0
	for _, l := range f.layers {
		k := float64(l.bloom.K())
		fill := 1 - math.Exp(-k*float64(l.n)/float64(l.bloom.Cap()))
		miss *= 1 - math.Pow(fill, k)
	}
	return 1 - miss
}
