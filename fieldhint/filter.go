package fieldhint

import (
	"math"
	"math/bits"
	"slices"
	"sync/atomic"
)

// Shares of the false-positive rate: the first layer of a filter, which holds
// nearly all if the filter was given the right size, may use most of it; each
// further layer half of what is left.
const (
	firstShare   = 0.85
	minLayer     = 1024
	growthOfSize = 8 // a filter sized for n grows at first by n/8
)

const (
	blockWords = 8 // words of a block: one line of the processor's cache
	blockBits  = 64 * blockWords
	maxHashes  = 20 // bits of a block that stand for a fingerprint, at most
)

// Filter is a set of fingerprints that may also seem to hold others, at a rate
// that is bounded however many are added: when a layer is full, the next one is
// twice as large (after the first) and has a lower rate. It never loses an
// entry. (The layering is that of scalable bloom filters, Almeida et al., 2007.)
//
// A layer is a blocked bloom filter (Putze, Sanders and Singler, 2007): all bits
// of a fingerprint are in one block, so that looking for it costs one access to
// memory. At one percent, that takes 4% more bits than a plain one.
//
// Any number of readers may use a Filter while one goroutine adds to it.
type Filter struct {
	rate   float64
	n      atomic.Int64
	layers atomic.Pointer[[]*layer]
}

type layer struct {
	plate
	capacity int
	n        *atomic.Int64

	// Of those who add:
	seat    *seat    // among layers that share a slab, or will
	moving  bool     // what is added is noted in journal
	journal []uint64 // fingerprints
}

// NewFilter returns an empty filter with room for about capacity fingerprints in
// its first layer, and a false-positive rate of at most rate, which must lie
// between 0 and 1.
func NewFilter(capacity int, rate float64) *Filter {
	f := &Filter{rate: rate}
	f.layers.Store(&[]*layer{})
	f.grow(max(capacity, minLayer))
	return f
}

// grow appends a layer.
func (f *Filter) grow(capacity int) *layer {
	old := *f.layers.Load()
	share := firstShare
	if i := len(old); i > 0 {
		share = (1 - firstShare) * math.Pow(0.5, float64(i))
	}
	perKey, hashes := layerSize(f.rate * share)
	blocks := roundBlocks(uint64(math.Ceil(perKey * float64(capacity) / blockBits)))
	capacity = max(capacity, int(float64(blocks*blockBits)/perKey))
	l := &layer{plate: plate{words: make([]uint64, blocks*blockWords), blocks: blocks, hashes: uint8(hashes)}, capacity: capacity, n: new(atomic.Int64)}
	layers := append(old[:len(old):len(old)], l)
	f.layers.Store(&layers)
	return l
}

// roundBlocks returns one of eight sizes for each power of two: so many filters are
// of the same size, as layers are that share a slab. It takes 4% more memory, of
// which the room for more fingerprints comes.
func roundBlocks(blocks uint64) uint64 {
	step := uint64(1) << max(bits.Len64(blocks)-4, 0)
	return (blocks + step - 1) &^ (step - 1)
}

// nextCapacity is that of the layer after the last.
func nextCapacity(layers []*layer) int {
	last := layers[len(layers)-1].capacity
	if len(layers) == 1 && last > minLayer {
		return max(last/growthOfSize, minLayer)
	}
	return 2 * last
}

// Add adds a fingerprint. It returns false if it was there, or seemed to be.
func (f *Filter) Add(fp uint64) bool {
	var room [1 + maxHashes]uint64
	locs := appendLocations(room[:0], fp)
	if f.hasLocations(locs) {
		return false
	}
	layers := *f.layers.Load()
	last := layers[len(layers)-1]
	if last.n.Load() >= int64(last.capacity) {
		last = f.grow(nextCapacity(layers))
	}
	last.add(locs)
	last.n.Add(1)
	if last.moving {
		last.journal = append(last.journal, fp)
	}
	f.n.Add(1)
	return true
}

// Has reports whether a fingerprint was added. If not, it may still say so, at
// FalsePositiveRate.
func (f *Filter) Has(fp uint64) bool {
	var room [1 + maxHashes]uint64
	return f.hasLocations(appendLocations(room[:0], fp))
}

// hasLocations is Has for a fingerprint whose places are known already.
func (f *Filter) hasLocations(locs []uint64) bool {
	for _, l := range *f.layers.Load() {
		if l.has(locs) {
			return true
		}
	}
	return false
}

// locations says where in a filter of any size a fingerprint is found: a number
// that chooses the block, then bits within the block.
func locations(fp uint64) []uint64 {
	return appendLocations(make([]uint64, 0, 1+maxHashes), fp)
}

func appendLocations(dst []uint64, fp uint64) []uint64 {
	const perHash = 7 // numbers of nine bits
	first := mix(fp & fingerprintMask)
	dst = append(dst, first)
	h := uint64(0)
	for i := range uint64(maxHashes) {
		if i%perHash == 0 {
			h = mix(first + i + 1)
		}
		dst = append(dst, h%blockBits)
		h /= blockBits
	}
	return dst
}

// blockOf chooses one of so many blocks.
func blockOf(hash, blocks uint64) uint64 {
	i, _ := bits.Mul64(hash, blocks)
	return i
}

// replace puts a layer in the place of another.
func (f *Filter) replace(old, by *layer) {
	layers := slices.Clone(*f.layers.Load())
	layers[slices.Index(layers, old)] = by
	f.layers.Store(&layers)
}

// Len returns the number of fingerprints for which Add returned true.
func (f *Filter) Len() int { return int(f.n.Load()) }

// Bytes returns the memory taken by the filter's bits.
func (f *Filter) Bytes() int {
	n := 0
	for _, l := range *f.layers.Load() {
		n += 8 * blockWords * int(l.blocks)
	}
	return n
}

// Layers returns the number of layers.
func (f *Filter) Layers() int { return len(*f.layers.Load()) }

// FalsePositiveRate estimates how often Has is true of a fingerprint that was
// never added, from how full the layers are.
func (f *Filter) FalsePositiveRate() float64 {
	miss := 1.0
	for _, l := range *f.layers.Load() {
		miss *= 1 - blockedRate(float64(l.n.Load())/float64(l.blocks), int(l.hashes))
	}
	return 1 - miss
}

// layerSizes lists, for false-positive rates of 1/2, 1/4, 1/8 and so on, the bits
// that a fingerprint takes in a blocked filter, and the best number of hashes:
// what blockedRate says, turned around.
var layerSizes = [...]struct {
	bits   float64
	hashes int
}{
	{1.45, 1},
	{2.89, 2},
	{4.35, 3},
	{5.83, 4},
	{7.33, 5},
	{8.87, 6},
	{10.46, 7},
	{12.10, 8},
	{13.80, 9},
	{15.56, 9},
	{17.39, 10},
	{19.31, 11},
	{21.33, 12},
	{23.44, 12},
	{25.65, 13},
	{27.99, 14},
	{30.47, 14},
	{33.06, 15},
	{35.81, 16},
	{38.72, 16},
	{41.79, 17},
	{45.06, 18},
	{48.52, 18},
	{52.19, 19},
	{56.10, 19},
	{60.23, 20},
}

// layerSize returns the bits per fingerprint, and the number of hashes, for a
// false-positive rate. Rates below 1 in 2^26 are not to be had.
func layerSize(rate float64) (perKey float64, hashes int) {
	halvings := -math.Log2(rate)
	above := min(max(int(math.Ceil(halvings)), 1), len(layerSizes))
	size := layerSizes[above-1]
	if part := float64(above) - halvings; above > 1 && part > 0 {
		size.bits -= part * (size.bits - layerSizes[above-2].bits)
	}
	return size.bits, size.hashes
}

// blockedRate is the false-positive rate of a blocked bloom filter: that of one
// block, by the number of fingerprints in it, which is Poisson distributed.
func blockedRate(perBlock float64, hashes int) float64 {
	k, rate := float64(hashes), 0.0
	p := math.Exp(-perBlock)
	for i := 0.0; i < perBlock+12*math.Sqrt(perBlock)+40; i++ {
		rate += p * math.Pow(1-math.Pow(1-1.0/blockBits, i*k), k)
		p *= perBlock / (i + 1)
	}
	return rate
}

// capacity is the number of fingerprints for which the first layer was made.
func (f *Filter) capacity() int { return (*f.layers.Load())[0].capacity }
