package fieldhint

import (
	"fmt"
	"time"
)

// Detail is what else is known of the field hint of one child, for people.
type Detail struct {
	// Unsynced says why the hint is not in use; empty if it is.
	Unsynced string
	// Fill is the share of the filter's room that is taken, over all its layers.
	Fill float64
}

// Detail describes the field hint of one child, and reports whether the index
// knows the child.
func (x *Index) Detail(name string) (Detail, bool) {
	c := x.child(name)
	if c == nil {
		return Detail{}, false
	}
	now := x.cfg.Now()
	c.mu.RLock()
	defer c.mu.RUnlock()
	d := Detail{Unsynced: c.unsynced(x, now)}
	if c.hint != nil && c.hint.filter != nil {
		d.Fill = c.hint.filter.Fill()
	}
	return d, true
}

// unsynced must be called with mu held.
func (c *child) unsynced(x *Index, now time.Time) string {
	age := now.Sub(c.last).Abs()
	switch {
	case c.fresh(now, x.cfg.MaxAge):
		return ""
	case c.feed == nil:
		return "not connected"
	case c.hint == nil:
		return "its hint has not arrived whole yet"
	case c.hint.filter == nil:
		return fmt.Sprintf("its hint has more than %d fingerprints", x.cfg.MaxFingerprints)
	case !c.isSynced:
		return "it says that it has more to tell: it is catching up, or something below it is not connected or not synced"
	default:
		return fmt.Sprintf("its last frame came %s ago, more than %s", age.Round(time.Millisecond), x.cfg.MaxAge)
	}
}

// Fill returns the share of the filter's room that is taken.
func (f *Filter) Fill() float64 {
	room := 0
	for _, l := range f.layers {
		room += l.capacity
	}
	return float64(f.n) / float64(room)
}
