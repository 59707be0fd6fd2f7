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

// Readable notes that aggregates of these metrics can be read since a moment ago, and
// could not before: of times of which there may be no samples any more. Whoever keeps
// answers about the metrics drops them. It is safe for concurrent use.
func (t *Tier) Readable(metrics []string) {
	for _, name := range metrics {
		t.Roster.Owned(name)
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
