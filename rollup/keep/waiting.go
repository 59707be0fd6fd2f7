package keep

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/pandometrics/pando/querytree"
)

// horizon is the time up to which points are made: what is final, or if somebody is
// away for whom nobody waits any more, so old that a point has been held for long
// enough. Of the points that are due then, those that lack somebody else who is still
// waited for stay absent: see owing. It waits if somebody is away and all of them are
// waited for. It looks at all children: once a round is enough.
func (c *Collector) horizon(now int64) (horizon int64, waits bool) {
	final := c.cfg.Final()
	if c.cfg.Missing == nil {
		return final, false
	}
	gone, held := c.cfg.Missing(), now-c.cfg.Hold.Milliseconds()
	switch {
	case len(gone) == 0:
		return final, false
	case c.cfg.Past.released(gone, held):
		return max(final, held), false
	default:
		return final, true
	}
}

// owing returns those who lack in an answer and are waited for: no point may be
// written without them. Each has a hold of its own. Who has been released holds up
// nothing, and who has not holds up those points alone that lack them, whoever else is
// away: a zone's rollup has the shares of leaves that have gone since.
func (c *Collector) owing(of querytree.Report) (out []string) {
	if c.cfg.Missing == nil {
		return nil
	}
	lack := of.Missing()
	if of.Unnamed > 0 {
		lack = append(lack, "others who are too many to name")
	}
	var gone []string
	held := c.cfg.Now().Add(-c.cfg.Hold).UnixMilli()
	for _, name := range lack {
		since, ok := c.cfg.Past.awaySince(name)
		if !ok && gone == nil {
			gone = append(c.cfg.Missing(), "") // who has just gone is not noted yet
		}
		switch {
		case ok && since.UnixMilli() <= held:
		case ok, slices.Contains(gone, name), c.lacks(name):
			out = append(out, name)
		}
	}
	return out
}

// lacked is since when, and when last, somebody lacked in an answer of whom nobody says
// that they are away, as how long this has been running.
type lacked struct{ since, last time.Duration }

// lackedFor is how long one who lacked is remembered who does not any more.
const lackedFor = 10 * time.Minute

// lacks notes that somebody lacks in an answer although nobody says that they are away,
// and reports whether they are waited for: they are sick, or have gone below a zone that
// has not said so yet, or were back before anybody looked. It begins anew with a
// restart. Of more than can be remembered all are waited for.
func (c *Collector) lacks(name string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	up := c.cfg.Uptime()
	maps.DeleteFunc(c.without, func(_ string, l lacked) bool { return up-l.last > lackedFor })
	l, ok := c.without[name]
	if !ok && len(c.without) >= maxUnnamed {
		return true
	}
	if !ok {
		l.since = up
	}
	l.last = up
	c.without[name] = l
	return up-l.since < c.cfg.Hold
}

// owedError says that points lack somebody who is waited for.
type owedError struct{ by []string }

func (e *owedError) Error() string { return fmt.Sprintf("%q did not answer", e.by) }

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

// absences is who is away, and what is known of how complete that is.
type absences struct {
	names []string
	// by says of those who are no children which child has told of them.
	by map[string]string
	// whole are the children who are connected and name all that are away below them;
	// known all children, nil if none is ever forgotten.
	whole map[string]bool
	known []string
}

// absences looks at who is away. What the children tell of comes first: who has been
// named by them since is among the names, too.
func (c *Collector) absences() absences {
	a := absences{by: map[string]string{}, whole: map[string]bool{}}
	if c.cfg.Children != nil {
		for _, d := range c.cfg.Children() {
			child := d.Name()
			a.whole[child] = len(d.Missing) < querytree.MaxMissing
			for _, name := range d.Missing {
				a.by[name] = child
			}
		}
	}
	if c.cfg.Known != nil {
		a.known = append([]string{}, c.cfg.Known()...)
	}
	a.names = c.cfg.Missing()
	return a
}

// mayBeAway reports whether somebody of whom that child told may still be away
// although nobody says so: the child is away itself, and what it told is lost with a
// restart, or it names no more.
func (a absences) mayBeAway(by string) bool {
	if by == "" || a.whole[by] {
		return false
	}
	return a.known == nil || slices.Contains(a.known, by)
}

// maxUnnamed bounds how many are remembered who may be away and are not named.
const maxUnnamed = 1000

// moment is a time by the clock, and by how long the process has been running.
type moment struct {
	clock time.Time
	up    time.Duration
}

// setSince returns by how much the clock was set since an earlier moment; zero if that
// is none, or it is no more than clocks are kept right by. The clock may be set for a
// moment alone: who has just gone must not count as away for long.
func (m moment) setSince(old moment) time.Duration {
	if old.clock.IsZero() {
		return 0
	}
	d := m.clock.Round(0).Sub(old.clock.Round(0)) - (m.up - old.up)
	if d.Abs() < time.Second {
		return 0
	}
	return d
}

// miss notes who is away now: since when, if they were not before. It is kept on
// disk, or each start of the tier would have them waited for anew.
func (p *Past) miss(a absences, at moment) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	set, now := at.setSince(p.looked), at.clock
	p.looked = at
	away, by := map[string]int64{}, map[string]string{}
	for _, name := range a.names {
		since, ok := p.state.Away[name]
		if !ok {
			since = now.UnixMilli() - set.Milliseconds()
		}
		// The clock may also have been set back while nobody looked.
		away[name] = min(since+set.Milliseconds(), now.UnixMilli())
		if teller := cmp.Or(a.by[name], p.state.AwayBy[name]); teller != "" {
			by[name] = teller
		}
	}
	for _, name := range p.unnamed(a, away) {
		away[name], by[name] = p.state.Away[name]+set.Milliseconds(), p.state.AwayBy[name]
	}
	if !p.unsaved && maps.Equal(away, p.state.Away) && maps.Equal(by, p.state.AwayBy) {
		return nil
	}
	// As long as it cannot be written, a restart has them waited for longer.
	p.state.Away, p.state.AwayBy = away, by
	err := p.save(p.state)
	if p.unsaved = err != nil; err != nil {
		return fmt.Errorf("note who is away: %w", err)
	}
	return nil
}

// unnamed returns those who were away, are not among those named now, and may be
// away all the same. If there are too many, those who went last are left out: they
// are waited for the longest anyway.
func (p *Past) unnamed(a absences, named map[string]int64) (out []string) {
	for name := range p.state.Away {
		if _, ok := named[name]; !ok && a.mayBeAway(p.state.AwayBy[name]) {
			out = append(out, name)
		}
	}
	slices.SortFunc(out, func(x, y string) int {
		return cmp.Or(cmp.Compare(p.state.Away[x], p.state.Away[y]), strings.Compare(x, y))
	})
	return out[:min(len(out), maxUnnamed)]
}

// released reports whether any of those names is away since a time in milliseconds or
// before.
func (p *Past) released(names []string, held int64) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.ContainsFunc(names, func(name string) bool {
		since, ok := p.state.Away[name]
		return ok && since <= held
	})
}
