package querytree

import (
	"math"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/prometheus/model/labels"
)

// FeatureEpochs is that of a child that tells in Description.Epochs of all
// changes to what it said of settled times. A tier has it if all its connected
// children do.
const FeatureEpochs = "epochs"

// Epoch says that what a child holds of times before Description.Settled has
// changed: by a sample that came late, a deletion, a child of its own that came,
// came back or was forgotten, or a name of which the tier holds series itself now,
// or aggregates of which it can read points now.
type Epoch struct {
	// Number counts the changes, from 1, as long as the child's Instance lives.
	Number uint64
	// Mint is the time of the oldest sample that may have changed, in
	// milliseconds.
	Mint int64
	// Scope are labels that all the changed series have; empty if nothing is
	// known of them. It is told within a tier only.
	Scope labels.Labels
	// Cause says in a word what changed. It is told within a tier only.
	Cause string
	// Age is how long ago the tier noted the change, or the last of several. It
	// is told within a tier only.
	Age time.Duration
}

// Causes of an Epoch.
const (
	CauseLate      = "late"      // a late sample, or a deletion
	CauseJoined    = "joined"    // a child that was not known before
	CauseReturned  = "returned"  // a child that was away for a while
	CauseRestarted = "restarted" // a child's process is another one than before
	CauseForgotten = "forgotten" // a child is no longer missed
	CauseOwn       = "own"       // the tier holds series of another name itself, or reads points of more rollups
	CauseSeveral   = "several"
)

const (
	// maxEpochs bounds the epochs that are told; older ones are told as one.
	maxEpochs = 16
	// epochSpan is the time within which changes become one epoch, so that
	// those of some seconds fit, many heartbeats of which may get lost.
	epochSpan = 500 * time.Millisecond
)

// History keeps the latest epochs of one tier. It is safe for concurrent use.
type History struct {
	now func() time.Time

	mu     sync.Mutex
	epochs []Epoch
	noted  []time.Time // when the last change of each was
	opened time.Time   // when the last epoch was begun
}

// NewHistory returns an empty history; now may be nil for time.Now.
func NewHistory(now func() time.Time) *History {
	if now == nil {
		now = time.Now
	}
	return &History{now: now}
}

// Change notes that samples from mint on, of series that have all labels of
// scope, may have changed. It must be called after the change can be seen, or
// else an answer from before it passes for one from after it.
func (h *History) Change(mint int64, scope labels.Labels, cause string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	now := h.now()
	e := Epoch{Number: 1, Mint: mint, Scope: scope, Cause: cause}
	n := len(h.epochs)
	if n > 0 {
		e.Number = h.epochs[n-1].Number + 1
	}
	// Who has seen the older of two epochs that become one is told more than
	// need be, never less.
	switch {
	case n > 0 && now.Sub(h.opened) < epochSpan:
		h.epochs[n-1], h.noted[n-1] = h.epochs[n-1].and(e), now
		return
	case n == maxEpochs:
		h.epochs[1] = h.epochs[0].and(h.epochs[1])
		h.epochs, h.noted = slices.Delete(h.epochs, 0, 1), slices.Delete(h.noted, 0, 1)
	}
	h.epochs, h.noted, h.opened = append(h.epochs, e), append(h.noted, now), now
}

// and returns one epoch in place of two successive ones.
func (e Epoch) and(next Epoch) Epoch {
	next.Mint = min(e.Mint, next.Mint)
	b := labels.NewBuilder(labels.EmptyLabels())
	e.Scope.Range(func(l labels.Label) {
		if next.Scope.Get(l.Name) == l.Value {
			b.Set(l.Name, l.Value)
		}
	})
	next.Scope = b.Labels()
	if e.Cause != next.Cause {
		next.Cause = CauseSeveral
	}
	return next
}

// Epochs returns the epochs, oldest first. The first stands for all before it.
func (h *History) Epochs() []Epoch {
	now := h.now()
	h.mu.Lock()
	defer h.mu.Unlock()
	out := slices.Clone(h.epochs)
	for i := range out {
		out[i].Age = now.Sub(h.noted[i])
	}
	return out
}

// LastEpoch returns the number of the last epoch, zero if there is none.
func LastEpoch(epochs []Epoch) uint64 {
	if len(epochs) == 0 {
		return 0
	}
	return epochs[len(epochs)-1].Number
}

// LastEpochBefore returns the number of the last epoch of some age, zero if there
// is none.
func LastEpochBefore(epochs []Epoch, age time.Duration) uint64 {
	for _, e := range slices.Backward(epochs) {
		if e.Age >= age {
			return e.Number
		}
	}
	return 0
}

// Return notes that a child has connected, as Succeed does. While it was away
// the tier may have said of times that they are settled which are not by what
// the child says.
func (h *History) Return(old Description, known bool, d Description) {
	if !known {
		h.Change(min(d.Mint, d.Settled), d.Labels, CauseJoined)
		return
	}
	if old.Instance == d.Instance {
		h.Change(min(old.Settled, d.Settled), d.Labels, CauseReturned)
	}
	h.Succeed(old, d)
}

// Succeed notes what the new description d of a child says that old, the one
// before it, did not.
func (h *History) Succeed(old, d Description) {
	switch {
	case old.Instance != d.Instance || !old.Has(FeatureEpochs) && d.Has(FeatureEpochs) || LastEpoch(d.Epochs) < LastEpoch(old.Epochs):
		// What the process before last heard may never have been told.
		h.Change(math.MinInt64, d.Labels, CauseRestarted)
	default:
		seen := LastEpoch(old.Epochs)
		for _, e := range d.Epochs {
			if e.Number > seen {
				h.Change(e.Mint, d.Labels, CauseLate)
			}
		}
	}
}
