package leaf

import (
	"math"
	"sync"
	"sync/atomic"
	"time"
)

// slowAppend is how long an appender may take: what it accepts depends on how old a
// sample could be when it began.
const slowAppend = 15 * time.Minute

// lateness knows how old the samples may be that come from now on. It is safe for
// concurrent use.
type lateness struct {
	now func() time.Time
	// outOfOrder is the widest window that the head has accepted since the start,
	// in milliseconds.
	outOfOrder atomic.Int64
	lately     lately
}

func newLateness(now func() time.Time, outOfOrder time.Duration) *lateness {
	l := &lateness{now: now}
	l.outOfOrder.Store(outOfOrder.Milliseconds())
	return l
}

// widen must be called before the head accepts samples of an out-of-order window. It
// reports whether that is wider than those before.
func (l *lateness) widen(window time.Duration) bool {
	for old := l.outOfOrder.Load(); window.Milliseconds() > old; old = l.outOfOrder.Load() {
		if l.outOfOrder.CompareAndSwap(old, window.Milliseconds()) {
			return true
		}
	}
	return false
}

// oldest returns the time before which no sample comes, now and later: what the
// head accepts, and what it accepted of late, since an appender goes by what held
// when it began, and a leaf that was away for days may have caught up since.
func (l *lateness) oldest(store *Store) int64 {
	return l.lately.least(l.now(), l.acceptable(store))
}

// acceptable returns the time of the oldest sample that the head accepts.
func (l *lateness) acceptable(store *Store) int64 {
	head := store.Head()
	oldest, ok := head.AppendableMinValidTime()
	if !ok {
		return math.MinInt64 // the first sample may be of any time
	}
	if window := l.outOfOrder.Load(); window > 0 {
		oldest = min(oldest, head.MaxTime()-window)
	}
	return oldest - slowAppend.Milliseconds()
}

// lately remembers the least of the values of the last slowAppend at least, which
// must never decrease for long: so one that was noted holds until the next one is. It
// is safe for concurrent use.
type lately struct {
	mu          sync.Mutex
	since       time.Time // of now
	before, now int64
	begun       bool
}

// least notes a value, and returns the least.
func (l *lately) least(at time.Time, v int64) int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case !l.begun:
		l.before, l.now, l.since, l.begun = math.MaxInt64, v, at, true
	case at.Sub(l.since) > slowAppend:
		l.before, l.now, l.since = l.now, v, at
	}
	l.now = min(l.now, v)
	return min(l.before, l.now)
}
