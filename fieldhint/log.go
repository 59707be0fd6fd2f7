package fieldhint

import (
	"math/bits"
	"sync"
	"sync/atomic"

	"github.com/prometheus/prometheus/model/labels"
)

const (
	chunkBits  = 13
	chunkLen   = 1 << chunkBits // fingerprints in a chunk of the log
	shardBits  = 6
	shardCount = 1 << shardBits
	minSlots   = 16
)

// chunk is a piece of the log. What is below the log's length never changes.
type chunk [chunkLen]uint64

// room bounds the fingerprints of several logs together.
type room struct{ left atomic.Int64 }

func newRoom(size int) *room {
	r := &room{}
	r.left.Store(int64(size))
	return r
}

func (r *room) take() bool {
	if r.left.Add(-1) >= 0 {
		return true
	}
	r.left.Add(1)
	return false
}

// fpLog is the append-only list of distinct fingerprints of one section, with a
// table to find them. A fingerprint takes 8 bytes in the list and 6.3 to 7.8 in
// the table. It is safe for concurrent use.
type fpLog struct {
	epoch  uint64 // a random number
	room   *room
	base   *fpLog // what it has is left out here; nil if none
	marks  *marks // if not nil, additions go there, as mark
	mark   uint32
	full   atomic.Bool // an addition was dropped for want of room
	n      atomic.Int64
	mu     sync.Mutex // serializes appends
	chunks atomic.Pointer[[]*chunk]
	shards [shardCount]shard
	known  interner

	scheme   *Scheme       // which kinds of facts are kept
	external labels.Labels // that all series are served with
	outer    []interned    // external
	pairs    pairer
	adders   sync.Pool // of *adder
}

// shard is an open-addressing hash table of positions in the log. A tag of
// eight bits stands beside each position, zero meaning a free slot, so that
// probing seldom looks into the log.
type shard struct {
	mu    sync.RWMutex
	tags  []uint8
	slots []uint32
	n     int
}

func newLog(epoch uint64, room *room, cacheSize int) *fpLog {
	l := &fpLog{epoch: epoch, room: room}
	l.known.size = cacheSize
	l.chunks.Store(&[]*chunk{})
	return l
}

func (l *fpLog) len() int { return int(l.n.Load()) }

func (l *fpLog) at(i uint32) uint64 {
	return (*l.chunks.Load())[i>>chunkBits][i&(chunkLen-1)]
}

// read appends the fingerprints from position from up to position to, which
// must not be beyond len.
func (l *fpLog) read(dst []uint64, from, to int) []uint64 {
	chunks := *l.chunks.Load()
	for from < to {
		c := chunks[from>>chunkBits]
		lo := from & (chunkLen - 1)
		hi := min(chunkLen, lo+to-from)
		dst = append(dst, c[lo:hi]...)
		from += hi - lo
	}
	return dst
}

// sum returns the sum of the first n fingerprints, which must not be more than len.
func (l *fpLog) sum(n int) (sum uint64) {
	for _, c := range *l.chunks.Load() {
		if n <= 0 {
			break
		}
		sum += sumOf(c[:min(n, chunkLen)])
		n -= chunkLen
	}
	return sum
}

// scatter places a fingerprint in the tables. The epoch is random, so that
// whoever chooses fingerprints cannot choose long probes.
func (l *fpLog) scatter(fp uint64) (s *shard, h uint64) {
	h = mix(fp ^ l.epoch)
	return &l.shards[h>>(64-shardBits)], h << shardBits
}

// insert adds a fingerprint and reports whether it is new.
func (l *fpLog) insert(fp uint64) bool {
	fp &= fingerprintMask
	if l.marks != nil {
		return l.marks.add(fp, l.mark)
	}
	if l.base != nil && l.base.has(fp) {
		return false
	}
	_, added, _ := l.position(fp)
	return added
}

func (l *fpLog) has(fp uint64) bool {
	s, h := l.scatter(fp)
	s.mu.RLock()
	defer s.mu.RUnlock()
	_, found := s.find(l, h, fp)
	return found
}

// position returns where a fingerprint is in the log, to which it is added if it
// is new; ok is false if there was no room for it.
func (l *fpLog) position(fp uint64) (at uint32, added, ok bool) {
	s, h := l.scatter(fp)
	s.mu.RLock()
	at, ok = s.find(l, h, fp)
	s.mu.RUnlock()
	if ok {
		return at, false, true
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if at, ok = s.find(l, h, fp); ok {
		return at, false, true
	}
	if at, ok = l.append(fp); ok {
		s.insert(l, h, at)
	}
	return at, ok, ok
}

func (l *fpLog) append(fp uint64) (uint32, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := l.len()
	if !l.room.take() {
		l.full.Store(true)
		return 0, false
	}
	chunks := *l.chunks.Load()
	if n>>chunkBits == len(chunks) {
		grown := make([]*chunk, len(chunks)+1)
		copy(grown, chunks)
		grown[len(chunks)] = new(chunk)
		l.chunks.Store(&grown)
		chunks = grown
	}
	chunks[n>>chunkBits][n&(chunkLen-1)] = fp
	l.n.Store(int64(n) + 1) // readers see the entry only from here on
	return uint32(n), true
}

// find looks in the table for fp, whose scattered hash is h, and returns its
// position in the log.
func (s *shard) find(l *fpLog, h, fp uint64) (uint32, bool) {
	if len(s.tags) == 0 {
		return 0, false
	}
	t := tag(h)
	for i := s.home(h); s.tags[i] != 0; i = s.next(i) {
		if s.tags[i] == t && l.at(s.slots[i]) == fp {
			return s.slots[i], true
		}
	}
	return 0, false
}

func (s *shard) insert(l *fpLog, h uint64, position uint32) {
	if 5*(s.n+1) > 4*len(s.tags) {
		s.grow(l)
	}
	s.put(h, position)
	s.n++
}

func (s *shard) put(h uint64, position uint32) {
	i := s.home(h)
	for s.tags[i] != 0 {
		i = s.next(i)
	}
	s.tags[i], s.slots[i] = tag(h), position
}

// grow makes the table larger by a quarter.
func (s *shard) grow(l *fpLog) {
	tags, slots := s.tags, s.slots
	n := max(minSlots, len(tags)*5/4)
	s.tags, s.slots = make([]uint8, n), make([]uint32, n)
	for i, t := range tags {
		if t != 0 {
			_, h := l.scatter(l.at(slots[i]))
			s.put(h, slots[i])
		}
	}
}

func (s *shard) home(h uint64) int {
	hi, _ := bits.Mul64(h, uint64(len(s.tags)))
	return int(hi)
}

func (s *shard) next(i int) int {
	if i++; i < len(s.tags) {
		return i
	}
	return 0
}

func tag(h uint64) uint8 { return max(1, uint8(h>>shardBits)) }

// bytes is the memory taken by list and table.
func (l *fpLog) bytes() int {
	n := len(*l.chunks.Load()) * chunkLen * 8
	for i := range l.shards {
		s := &l.shards[i]
		s.mu.RLock()
		n += len(s.tags) * 5
		s.mu.RUnlock()
	}
	return n
}
