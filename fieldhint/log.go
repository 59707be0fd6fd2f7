package fieldhint

import (
	"sync"
	"sync/atomic"

	"github.com/prometheus/prometheus/model/labels"
)

const (
	chunkBits = 13
	chunkLen  = 1 << chunkBits // fingerprints in a chunk of the log
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
// table to find them. A fingerprint takes 8 bytes in the list and 6.3 to 12.5 in
// the table, of a large log at most 7.8. It is safe for concurrent use.
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

// together is how many fingerprints are looked for at the same time.
const together = 16

// insertAll adds fingerprints and reports whether any is new. What has to be read of
// the tables is asked for beforehand, so that memory is waited for once and not for
// each.
func (l *fpLog) insertAll(fps []uint64) (added bool) {
	for len(fps) > 0 {
		n := min(len(fps), together)
		if n > 1 && l.marks == nil {
			l.touch(fps[:n])
		}
		for _, fp := range fps[:n] {
			added = l.insert(fp) || added
		}
		fps = fps[n:]
	}
	return added
}

// touch reads where fingerprints will be looked for.
func (l *fpLog) touch(fps []uint64) (sum uint64) {
	for _, fp := range fps {
		s, h := l.scatter(fp & fingerprintMask)
		sum += s.finder.Load().touch(h)
	}
	if l.base != nil {
		sum += l.base.touch(fps)
	}
	return sum
}

func (l *fpLog) has(fp uint64) bool {
	s, h := l.scatter(fp)
	_, found := s.finder.Load().find(l, h, fp)
	return found
}

// position returns where a fingerprint is in the log, to which it is added if it
// is new; ok is false if there was no room for it.
func (l *fpLog) position(fp uint64) (at uint32, added, ok bool) {
	s, h := l.scatter(fp)
	if at, ok = s.finder.Load().find(l, h, fp); ok {
		return at, false, true
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if at, ok = s.finder.Load().find(l, h, fp); ok {
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

// bytes is the memory taken by list and table.
func (l *fpLog) bytes() int {
	n := len(*l.chunks.Load()) * chunkLen * 8
	for i := range l.shards {
		n += l.shards[i].finder.Load().size() * 5
	}
	return n
}
