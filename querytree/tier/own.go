package tier

import (
	"slices"
	"sync"
	"sync/atomic"

	"github.com/pandometrics/pando/querytree"
)

// ownNames are the metric names of which a tier holds series itself.
type ownNames struct {
	changing sync.Mutex
	names    atomic.Pointer[[]string]
	// metrics are those of which aggregates are kept, sorted; nil before that is known.
	metrics []string
}

// OwnNames returns the metric names of which the tier holds series itself, sorted.
func (t *Tier) OwnNames() []string {
	if names := t.own.names.Load(); names != nil {
		return *names
	}
	return nil
}

// SetOwnNames says of which metric names the tier holds series itself. What it offers
// to its parents has new names before the tier answers for them, and names that are
// gone until it no longer does. It is safe for concurrent use, and keeps names.
func (t *Tier) SetOwnNames(names []string) {
	names = slices.Compact(slices.Sorted(slices.Values(names)))
	t.own.changing.Lock()
	defer t.own.changing.Unlock()
	old := t.OwnNames()
	if slices.Equal(old, names) {
		return
	}
	both := slices.Compact(slices.Sorted(slices.Values(slices.Concat(old, names))))
	t.offerNames(both)
	t.own.names.Store(&names)
	for _, name := range names {
		if _, had := slices.BinarySearch(old, name); !had {
			t.Roster.Owned(name)
		}
	}
	if len(both) > len(names) {
		t.offerNames(names)
	}
}

// SetKeptMetrics says of which metrics the tier keeps aggregates. Rules that come back
// may have points of times of which there are no samples any more: whoever keeps
// answers about a metric that is new drops them. What a tier begins with is not new,
// since nobody relies on what it said before it was started. It is safe for
// concurrent use, and keeps metrics.
func (t *Tier) SetKeptMetrics(metrics []string) {
	metrics = slices.Compact(slices.Sorted(slices.Values(metrics)))
	t.own.changing.Lock()
	defer t.own.changing.Unlock()
	old, known := t.own.metrics, t.own.metrics != nil
	t.own.metrics = append([]string{}, metrics...)
	for _, name := range metrics {
		if _, had := slices.BinarySearch(old, name); known && !had {
			t.Roster.Owned(name)
		}
	}
}

func (t *Tier) offerNames(names []string) {
	if t.cfg.Union != nil {
		t.cfg.Union.SetNames(names)
	}
}

// owned returns what the tier holds itself, by the names that it tells.
func (t *Tier) owned() *querytree.Own {
	if t.cfg.Own == nil {
		return nil
	}
	return &querytree.Own{Child: t.cfg.Own.Child, Names: t.OwnNames}
}
