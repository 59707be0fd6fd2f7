package leaf

import (
	"sync"
	"time"

	"github.com/pandometrics/pando/querytree"
)

// Restater keeps note of changes to samples that were final; keep.Past is one. It
// is safe for concurrent use.
type Restater interface {
	// Restate notes on disk that samples from mint to maxt are about to change,
	// in milliseconds. Seen must be called when the change can be seen.
	Restate(mint, maxt int64) (seen func(), err error)
	// Told returns what parents may know of.
	Told() (id string, restatements []querytree.Restatement)
}

// latenessSpan is how long a leaf remembers how late samples came.
const latenessSpan = time.Hour

// maxLateness bounds what a leaf waits for because samples once came so late. The
// TSDB takes none later than this in order, and what it takes out of order is in
// the delay already.
const maxLateness = 2 * time.Hour

// finality tells up to when samples are final: rollups are made of them. It goes
// by the delay that is configured, and by how late samples came during the last
// hour. What comes later all the same is restated before it is acknowledged. It
// is safe for concurrent use.
type finality struct {
	now      func() time.Time
	delay    func() time.Duration
	restater Restater

	mu   sync.Mutex
	told int64 // the latest time that was said to be final
	// before bounds what an earlier process may have said: it may have had a
	// shorter delay.
	before int64
	// open holds the oldest sample of each transaction that is being committed.
	open map[uint64]int64
	next uint64
	// late is the greatest lateness of this span and the one before.
	late  [2]time.Duration
	began time.Time
}

func newFinality(now func() time.Time, delay func() time.Duration, r Restater) *finality {
	f := &finality{now: now, delay: delay, restater: r, open: map[uint64]int64{}, began: now()}
	f.told, f.before = f.began.Add(-delay()).UnixMilli(), f.began.UnixMilli()
	return f
}

// final returns the time up to which samples are final, in milliseconds; zero if
// nobody would be told of changes. It never goes back.
func (f *finality) final() int64 {
	if f == nil || f.restater == nil {
		return 0
	}
	delay := f.delay()
	f.mu.Lock()
	defer f.mu.Unlock()
	now := f.now()
	f.turn(now)
	t := now.Add(-max(delay, f.late[0], f.late[1])).UnixMilli()
	for _, oldest := range f.open {
		if oldest <= f.told {
			return f.told
		}
		t = min(t, oldest-1) // it may become visible at any time
	}
	f.told = max(f.told, t)
	return f.told
}

// turn begins a new span of lateness when it is time.
func (f *finality) turn(now time.Time) {
	if now.Sub(f.began) >= latenessSpan {
		f.late, f.began = [2]time.Duration{0, f.late[0]}, now
	}
}

// commit notes that samples from mint to maxt are about to be committed. Done
// must be called once they can be seen, or have failed. If commit returns an
// error they must not be committed.
func (f *finality) commit(mint, maxt int64) (done func(), err error) {
	if f == nil || f.restater == nil {
		return func() {}, nil
	}
	f.mu.Lock()
	if mint <= f.told {
		now := f.now()
		f.turn(now)
		f.late[0] = max(f.late[0], min(now.Sub(time.UnixMilli(mint)), maxLateness))
	}
	f.mu.Unlock()
	return f.change(mint, maxt)
}

// deletion is commit for samples that are about to be deleted, which are not late.
func (f *finality) deletion(mint, maxt int64) (done func(), err error) {
	if f == nil || f.restater == nil {
		return func() {}, nil
	}
	return f.change(mint, maxt)
}

// change keeps samples from becoming final before done is called, and has those
// restated that are final already.
func (f *finality) change(mint, maxt int64) (done func(), err error) {
	f.mu.Lock()
	id := f.next
	f.next++
	f.open[id] = mint
	told := max(f.told, f.before)
	f.mu.Unlock()
	seen := func() {}
	if mint <= told {
		seen, err = f.restater.Restate(mint, min(maxt, told))
	}
	return func() {
		seen()
		f.mu.Lock()
		delete(f.open, id)
		f.mu.Unlock()
	}, err
}
