package fieldhint

import (
	"math/bits"
	"sync"
	"sync/atomic"
)

const (
	shardBits  = 6
	shardCount = 1 << shardBits
	groupLen   = 8 // places whose tags stand in one word
	minGroups  = 2
	largeShard = 1 << 13 // places: of a log of 400,000 fingerprints

	lowBits  = 0x0101010101010101 // of each tag in a word
	highBits = lowBits << 7
)

// shard is a part of the hash table that finds fingerprints in a log. Readers take
// no lock: nearly all that is added is there already.
type shard struct {
	mu     sync.Mutex // serializes additions
	n      int
	finder atomic.Pointer[finder] // nil if empty
}

// finder is an open-addressing hash table of positions in the log. A tag of eight
// bits stands for each position, zero meaning a free place, so that probing seldom
// looks into the log; eight of them are compared at once. A place is written once,
// its position before its tag.
type finder struct {
	tags  []atomic.Uint64 // of groupLen places each
	slots []atomic.Uint32
}

func newFinder(groups int) *finder {
	return &finder{tags: make([]atomic.Uint64, groups), slots: make([]atomic.Uint32, groups*groupLen)}
}

// find looks for fp, whose scattered hash is h, and returns its position in the
// log. It may miss what is being added.
func (p *finder) find(l *fpLog, h, fp uint64) (uint32, bool) {
	if p == nil {
		return 0, false
	}
	t := lowBits * tag(h)
	for g := p.home(h); ; g = p.next(g) {
		tags := p.tags[g].Load()
		// The lowest tag that is found is t; others may be its neighbours, which the log tells.
		for m := zeroBytes(tags ^ t); m != 0; m &= m - 1 {
			at := p.slots[g*groupLen+bits.TrailingZeros64(m)/8].Load()
			if l.at(at) == fp {
				return at, true
			}
		}
		if zeroBytes(tags) != 0 {
			return 0, false
		}
	}
}

// touch reads where a hash will be looked for.
func (p *finder) touch(h uint64) uint64 {
	if p == nil {
		return 0
	}
	g := p.home(h)
	return p.tags[g].Load() + uint64(p.slots[g*groupLen].Load())
}

// zeroBytes has the high bit of each byte that is zero, the lowest of them at least
// rightly.
func zeroBytes(x uint64) uint64 { return (x - lowBits) &^ x & highBits }

// put takes a place that is free. There must be one.
func (p *finder) put(h uint64, position uint32) {
	for g := p.home(h); ; g = p.next(g) {
		tags := p.tags[g].Load()
		if free := zeroBytes(tags); free != 0 {
			i := bits.TrailingZeros64(free) / 8
			p.slots[g*groupLen+i].Store(position)
			p.tags[g].Store(tags | tag(h)<<(8*i))
			return
		}
	}
}

func (p *finder) home(h uint64) int {
	hi, _ := bits.Mul64(h, uint64(len(p.tags)))
	return int(hi)
}

func (p *finder) next(g int) int {
	if g++; g < len(p.tags) {
		return g
	}
	return 0
}

// size is the number of places.
func (p *finder) size() int {
	if p == nil {
		return 0
	}
	return len(p.slots)
}

func tag(h uint64) uint64 { return max(1, h>>shardBits&0xff) }

// insert makes a position findable, of a fingerprint whose scattered hash is h.
// s.mu must be held.
func (s *shard) insert(l *fpLog, h uint64, position uint32) {
	p := s.finder.Load()
	if 5*(s.n+1) > 4*p.size() {
		p = s.grow(l, p)
	}
	p.put(h, position)
	s.n++
}

// grow makes the table twice as large; by a quarter if it is large already, since
// half of it would be empty at first.
func (s *shard) grow(l *fpLog, old *finder) *finder {
	groups := 2 * old.size() / groupLen
	if old.size() >= largeShard {
		groups = (old.size()*5/4 + groupLen - 1) / groupLen
	}
	p := newFinder(max(minGroups, groups))
	if old != nil {
		for g := range old.tags {
			for i, tags := 0, old.tags[g].Load(); i < groupLen && tags&0xff != 0; i, tags = i+1, tags>>8 {
				at := old.slots[g*groupLen+i].Load()
				_, h := l.scatter(l.at(at))
				p.put(h, at)
			}
		}
	}
	s.finder.Store(p)
	return p
}
