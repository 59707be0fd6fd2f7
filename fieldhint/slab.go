package fieldhint

import "sync/atomic"

// A slab holds the bits of 64 layers, of filters of 64 children, turned around:
// a row of one word for each place of a layer, in which each of the layers has a
// column of one bit. Whether a fact may be with any of the 64 is the conjunction
// of as many words as the fact has places, where layers of their own would be 64
// lines of memory, each one a wait. It takes no more room.
//
//	layers of their own      slab
//	a: 0 1 1 0 …             place 0:  0 1 0 …
//	b: 1 1 0 0 …             place 1:  1 1 0 …
//	c: 0 0 0 1 …             place 2:  1 0 0 …
//	                         place 3:  0 0 1 …
//
// The layers of a slab have as many blocks and hashes as each other, so that a
// fact's places are in the same rows; filters come in few sizes (roundBlocks) for
// that. Rows of a block are together: 512 of them, a page of memory.
//
// A column is given to one layer and never to another, so that those who still
// look at a layer that was dropped see what was there. A slab that has lost a
// quarter of its layers is taken apart.
const (
	slabColumns = 64
	leastLive   = 48 // layers below which a slab is taken apart
	// maxSlabBlocks bounds the layers that share slabs to a megabyte, and so the
	// time that it takes to turn 64 of them around.
	maxSlabBlocks = 1 << 14
)

// plate is where the bits of a layer are. It is never changed, but bits are set.
type plate struct {
	words  []uint64 // of the layer alone if slab is nil, else of the slab
	blocks uint64
	slab   *slab
	hashes uint8
	column uint8
}

// slab is the places of 64 layers.
type slab struct {
	words []uint64 // read and written atomically

	// Under slabs.mu:
	seats    [slabColumns]*seat
	live     int
	doomed   bool // it is taken apart, or was
	finished bool // all layers have come that did

	// Under Index.tableMu: where it is in the table that is being made.
	made *table
	rows []int32
	base int32
}

// begin returns the index in words of a fact's block.
func (p *plate) begin(locs []uint64) uint64 {
	i := blockOf(locs[0], p.blocks)
	if p.slab != nil {
		return i * blockBits
	}
	return i * blockWords
}

func (p *plate) has(locs []uint64) bool {
	if p.slab != nil {
		block := (*[blockBits]uint64)(p.words[p.begin(locs):])
		for _, at := range locs[1 : 1+p.hashes] {
			if atomic.LoadUint64(&block[at%blockBits])>>p.column&1 == 0 {
				return false
			}
		}
		return true
	}
	block := (*[blockWords]uint64)(p.words[p.begin(locs):])
	for _, at := range locs[1 : 1+p.hashes] {
		if atomic.LoadUint64(&block[at/64%blockWords])&(1<<(at%64)) == 0 {
			return false
		}
	}
	return true
}

// row returns which columns of the slab have a fact. It does not stop early: so
// the processor fetches all that it reads at the same time.
func (p *plate) row(locs []uint64) uint64 {
	block := (*[blockBits]uint64)(p.words[p.begin(locs):])
	w := ^uint64(0)
	for _, at := range locs[1 : 1+p.hashes] {
		w &= atomic.LoadUint64(&block[at%blockBits])
	}
	return w
}

// touch reads of what has will look at.
func (p *plate) touch(locs []uint64) uint64 {
	return atomic.LoadUint64(&p.words[p.begin(locs)])
}

func (p *plate) add(locs []uint64) {
	from := p.begin(locs)
	if p.slab != nil {
		block := (*[blockBits]uint64)(p.words[from:])
		for _, at := range locs[1 : 1+p.hashes] {
			atomic.OrUint64(&block[at%blockBits], 1<<p.column)
		}
		return
	}
	block := (*[blockWords]uint64)(p.words[from:])
	for _, at := range locs[1 : 1+p.hashes] {
		atomic.OrUint64(&block[at/64%blockWords], 1<<(at%64))
	}
}

// same reports whether two plates are of one layer in one place.
func (p *plate) same(q *plate) bool {
	return &p.words[0] == &q.words[0] && p.column == q.column
}

// newSlab turns layers around, which may take additions meanwhile: of those, it
// has some. Of nil it has none.
func newSlab(layers []*plate, blocks uint64) *slab {
	s := &slab{words: make([]uint64, blocks*blockBits)}
	var square [slabColumns]uint64
	for word := range int(blocks * blockWords) {
		for i, p := range layers {
			square[i] = 0
			if p != nil {
				square[i] = atomic.LoadUint64(&p.words[word])
			}
		}
		transpose(&square)
		copy(s.words[word*64:], square[:])
	}
	return s
}

// apart turns a slab's layers around again. They have some of the additions that
// come meanwhile.
func (s *slab) apart() [slabColumns][]uint64 {
	var layers [slabColumns][]uint64
	for i := range layers {
		layers[i] = make([]uint64, len(s.words)/64)
	}
	var square [64]uint64
	for word := range len(s.words) / 64 {
		for i := range square {
			square[i] = atomic.LoadUint64(&s.words[word*64+i])
		}
		transpose(&square)
		for i := range layers {
			layers[i][word] = square[i]
		}
	}
	return layers
}

// transpose makes bit j of word i bit i of word j. It swaps halves of the square,
// then halves of these, and so on.
func transpose(square *[64]uint64) {
	mask := uint64(1)<<32 - 1
	for half := uint(32); half > 0; half >>= 1 {
		for i := uint(0); i < 64; i = (i + half + 1) &^ half {
			swapped := (square[i]>>half ^ square[i|half]) & mask
			square[i] ^= swapped << half
			square[i|half] ^= swapped
		}
		mask ^= mask << (half >> 1)
	}
}
