package keep

import (
	"fmt"
	"slices"
	"time"
)

// horizon is the time up to which points are made: what is final, or if somebody is
// away for whom nobody waits any more, so old that a point has been held for long
// enough. It looks at all children: once a round is enough.
func (c *Collector) horizon(now int64) (horizon int64, waits bool) {
	final := c.cfg.Final()
	if c.cfg.Missing == nil {
		return final, false
	}
	gone := c.cfg.Missing()
	if len(gone) == 0 {
		return final, false
	}
	if c.cfg.Past.waited(gone, now-c.cfg.Hold.Milliseconds()) {
		return final, true
	}
	return max(final, now-c.cfg.Hold.Milliseconds()), false
}

// waits reports whether somebody is away who is still waited for.
func (c *Collector) waits() bool {
	if c.cfg.Missing == nil {
		return false
	}
	return c.cfg.Past.waited(c.cfg.Missing(), c.cfg.Now().Add(-c.cfg.Hold).UnixMilli())
}

// Awaited is somebody away.
type Awaited struct {
	Name string
	// Since is from when on, Released from when on points are made without them; zero
	// if that is not known yet.
	Since, Released time.Time
}

// Awaited tells who is away now, by name; twenty at most. Until they are back or
// released, nothing newer than what they have delivered is due. It may be called while
// the Collector runs.
func (c *Collector) Awaited() (out []Awaited) {
	if c.cfg.Missing == nil {
		return nil
	}
	names := slices.Sorted(slices.Values(c.cfg.Missing()))
	for _, name := range names[:min(len(names), maxNamed)] {
		a := Awaited{Name: name}
		if since, ok := c.cfg.Past.awaySince(name); ok {
			a.Since = since
			a.Released = since.Add(c.cfg.Hold)
		}
		out = append(out, a)
	}
	return out
}

// awaySince returns from when on somebody is away, as far as that was noted.
func (p *Past) awaySince(name string) (time.Time, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	since, ok := p.state.Away[name]
	return time.UnixMilli(since), ok
}

// miss notes who is away now: since when, if they were not before. It is kept on
// disk, or each start of the tier would have them waited for anew.
func (p *Past) miss(names []string, now time.Time) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	next, changed := map[string]int64{}, false
	for _, name := range names {
		since, ok := p.state.Away[name]
		if !ok {
			since, changed = now.UnixMilli(), true
		}
		next[name] = since
	}
	if !changed && len(next) == len(p.state.Away) {
		return nil
	}
	// If it cannot be written, only a restart has them waited for longer.
	p.state.Away = next
	if err := p.save(p.state); err != nil {
		return fmt.Errorf("note who is away: %w", err)
	}
	return nil
}

// waited reports whether any of those names is away only since later than a time,
// in milliseconds, or since it is not known when.
func (p *Past) waited(names []string, released int64) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.ContainsFunc(names, func(name string) bool {
		since, ok := p.state.Away[name]
		return !ok || since > released
	})
}
