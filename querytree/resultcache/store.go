package resultcache

import (
	"container/list"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/pandometrics/pando/querytree"
)

// key names what extents may be put together: one query on one grid, no matter
// from when to when.
type key struct {
	// query is the text as it was given, since annotations tell positions in it.
	query    string
	ops      string
	stats    bool
	step     int64
	offset   int64 // of the grid, from the multiples of step
	lookback int64
}

// entry holds the extents of one key. Store.mu guards it.
type entry struct {
	key     key
	reads   reads
	extents []held // sorted by time; no two of them meet
	bytes   int64
	at      *list.Element
	// wanted and wantedBefore are the earliest steps asked for, since turned
	// and in the time before: what is older is cut off when there is more.
	wanted, wantedBefore int64
	turned               time.Time
}

type held struct {
	extent
	bytes int64
	used  uint64 // when it was last asked for, in the store's count
}

const (
	// maxExtents bounds the extents of a key.
	maxExtents = 16
	// maxShare is the part of all bytes that one key may hold.
	maxShare = 4
	// attention is how long steps are kept that nobody asks for, of a key that
	// grows: half of it at least.
	attention = 30 * time.Minute
)

// store is the memory of a Cache.
type store struct {
	max     int64
	metrics *metrics

	mu      sync.Mutex
	entries map[key]*entry
	lru     *list.List // of *entry, the latest used first
	bytes   int64
	uses    uint64
	// epochs are the latest that were obeyed.
	epochs []querytree.Epoch
}

func newStore(maxBytes int64, m *metrics) *store {
	return &store{max: maxBytes, metrics: m, entries: map[key]*entry{}, lru: list.New()}
}

// obey drops what the epochs say has changed. It may be called with epochs that
// are older than those of another call.
func (s *store) obey(epochs []querytree.Epoch) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.obeyLocked(epochs)
}

func (s *store) obeyLocked(epochs []querytree.Epoch) {
	seen := querytree.LastEpoch(s.epochs)
	if querytree.LastEpoch(epochs) <= seen {
		return
	}
	s.epochs = epochs
	for _, e := range epochs {
		if e.Number <= seen {
			continue
		}
		s.metrics.invalidations.WithLabelValues(e.Cause).Inc()
		for _, en := range s.entries {
			if en.reads.touches(e.Scope) {
				s.cut(en, math.MinInt64, en.reads.newest(sub(e.Mint, 1)))
			}
		}
	}
}

// cut keeps of an entry the steps within from and to.
func (s *store) cut(en *entry, from, to int64) {
	kept := en.extents[:0]
	for _, h := range en.extents {
		switch {
		case h.to < from || h.from > to:
			continue
		case h.from < from || h.to > to:
			h.extent = h.slice(en.key.ceil(from), en.key.floor(to))
			h.bytes = h.size()
		}
		kept = append(kept, h)
	}
	clear(en.extents[len(kept):])
	en.extents = kept
	s.weigh(en)
}

// floor returns the last step at or before t, ceil the first at or after it.
func (k key) floor(t int64) int64 {
	if t < math.MinInt64+2*k.step {
		return math.MinInt64
	}
	return t - mod(t-k.offset, k.step)
}

func (k key) ceil(t int64) int64 {
	f := k.floor(t)
	if f == t || f == math.MinInt64 {
		return f
	}
	return f + k.step
}

// mod returns the remainder of a/b that is not negative.
func mod(a, b int64) int64 { return ((a % b) + b) % b }

// weigh accounts for an entry whose extents have changed, and removes it if none
// are left.
func (s *store) weigh(en *entry) {
	s.bytes -= en.bytes
	en.bytes = int64(len(en.key.query)) + 500
	for _, h := range en.extents {
		en.bytes += h.bytes
	}
	if len(en.extents) == 0 {
		en.bytes = 0
		if en.at != nil {
			s.lru.Remove(en.at)
			en.at = nil
			delete(s.entries, en.key)
		}
	}
	s.bytes += en.bytes
	s.metrics.bytes.Set(float64(s.bytes))
	s.metrics.entries.Set(float64(len(s.entries)))
}

// lookup returns what is kept of the steps from one to another, sorted by time.
func (s *store) lookup(k key, from, to int64, now time.Time) []extent {
	s.mu.Lock()
	defer s.mu.Unlock()
	en := s.entries[k]
	if en == nil {
		return nil
	}
	s.lru.MoveToFront(en.at)
	en.want(from, now)
	s.uses++
	var out []extent
	for i, h := range en.extents {
		if h.to < from || h.from > to {
			continue
		}
		en.extents[i].used = s.uses
		out = append(out, h.slice(from, to))
	}
	return out
}

// want notes that steps from one on were asked for.
func (en *entry) want(from int64, now time.Time) {
	if now.Sub(en.turned) > attention/2 {
		en.wantedBefore, en.wanted, en.turned = en.wanted, from, now
		return
	}
	en.wanted = min(en.wanted, from)
}

// insert keeps an answer that was evaluated after the epoch since: as much of it
// as has not changed according to the epochs given. The store owns it from then
// on.
//
// from is the first step of the whole request.
func (s *store) insert(k key, r reads, e extent, from int64, since uint64, epochs []querytree.Epoch, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.obeyLocked(epochs)
	to := e.to
	for _, x := range s.epochs {
		if x.Number > since && r.touches(x.Scope) {
			to = min(to, r.newest(sub(x.Mint, 1)))
		}
	}
	if to = k.floor(to); to < e.from {
		return
	}
	en := s.entries[k]
	if en == nil {
		en = &entry{key: k, reads: r, wanted: from, wantedBefore: math.MaxInt64, turned: now}
	}
	en.want(from, now)
	e = e.slice(e.from, to).clip()
	size := e.size()
	if en.bytes+size > s.max/maxShare {
		s.metrics.tooLarge.Inc()
		return
	}
	if en.at == nil {
		en.at = s.lru.PushFront(en)
		s.entries[k] = en
	}
	s.uses++
	en.put(held{e, size, s.uses})
	s.cut(en, min(en.wanted, en.wantedBefore, e.from), math.MaxInt64)
	s.shrink()
}

// resize changes how much is kept.
func (s *store) resize(maxBytes int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.max = maxBytes
	s.shrink()
}

// shrink drops what was not used for longest while it is too much.
func (s *store) shrink() {
	for s.bytes > s.max {
		oldest := s.lru.Back().Value.(*entry)
		oldest.extents = nil
		s.weigh(oldest)
		s.metrics.evictions.Inc()
	}
}

// put adds an extent, in place of what there was of its steps.
func (en *entry) put(h held) {
	step := en.key.step
	var left, right []held
	for _, old := range en.extents {
		switch {
		case old.to < h.from:
			left = append(left, old)
		case old.from > h.to:
			right = append(right, old)
		default:
			if old.from < h.from {
				left = append(left, resized(old, old.slice(old.from, h.from-step)))
			}
			if old.to > h.to {
				right = append(right, resized(old, old.slice(h.to+step, old.to)))
			}
		}
	}
	if n := len(left); n > 0 && left[n-1].to+step == h.from {
		h = resized(h, join(left[n-1].extent, h.extent))
		left = left[:n-1]
	}
	if len(right) > 0 && h.to+step == right[0].from {
		h = resized(h, join(h.extent, right[0].extent))
		right = right[1:]
	}
	en.extents = append(append(left, h), right...)
	for len(en.extents) > maxExtents {
		oldest := 0
		for i, h := range en.extents {
			if h.used < en.extents[oldest].used {
				oldest = i
			}
		}
		en.extents = slices.Delete(en.extents, oldest, oldest+1)
	}
}

func resized(h held, e extent) held { return held{e, e.size(), h.used} }
