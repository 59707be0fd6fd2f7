package fieldhint

import (
	"maps"
	"regexp"
	"slices"
	"time"

	"github.com/cespare/xxhash/v2"
	"github.com/prometheus/prometheus/model/labels"
)

// keptNumber is that of the sections of what tiers keep of metrics themselves, less
// the day on which they were made. It is neither that of a leaf's generation nor that
// of names.
const keptNumber = -3

// AddKept says that the tier keeps an aggregate of a metric, with these labels,
// itself: points of it may be older than all series that are there. So parents do not
// rule the tier out for a selector of that metric by equality which asks for nothing
// but these labels, or the external ones, whatever time that looks at. Free are labels
// that the aggregate has not, and that may be asked by all the same. It must be called
// before the aggregate answers anything; what is known already costs little. It keeps
// nothing of what it is given, and is safe for concurrent use.
func (s *Set) AddKept(metric string, aggregate labels.Labels, free []string) {
	var room [64]uint64
	fps := appendKept(room[:0], metric, aggregate, free)
	s.cfg.External.Range(func(l labels.Label) { fps = appendKeptLabel(fps, xxhash.Sum64String(metric), l) })
	if s.keep(fps) {
		s.bell.ring()
	}
}

// keep adds facts to the sections of what is kept, and reports whether any is new.
func (s *Set) keep(fps []uint64) bool {
	s.mu.RLock()
	there := !slices.ContainsFunc(s.live(), func(g *generation) bool { return len(g.kept) == 0 })
	changed := there && s.keepIn(fps)
	s.mu.RUnlock()
	if there {
		return changed
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, g := range s.live() {
		if len(g.kept) == 0 {
			g.newKept(keptNumber)
		}
	}
	return s.keepIn(fps)
}

// keepIn adds facts to all sections of what is kept. mu must be held.
func (s *Set) keepIn(fps []uint64) (changed bool) {
	for _, g := range s.live() {
		for _, c := range g.kept {
			changed = c.keep(fps) || changed
		}
	}
	return changed
}

func (c *section) keep(fps []uint64) (changed bool) {
	wasFull := c.log.full.Load()
	for _, fp := range fps {
		changed = c.log.insert(fp) || changed
	}
	return changed || c.log.full.Load() != wasFull
}

// RenewKept replaces what AddKept has added by what it adds during scan: so what is
// kept no more is forgotten. If scan fails, nothing is. Day is the number of the day,
// which all children of a zone count alike: the zone forgets what was kept on one day
// once all have renewed it on another.
func (s *Set) RenewKept(day int64, scan func() error) error {
	s.renewing.Lock()
	defer s.renewing.Unlock()
	s.mu.Lock()
	var begun []*section
	for _, g := range s.live() {
		begun = append(begun, g.newKept(keptNumber-max(day, 0)))
	}
	s.mu.Unlock()
	err := scan()
	s.mu.Lock()
	for _, g := range s.live() {
		g.settleKept(begun, err == nil)
	}
	s.mu.Unlock()
	s.bell.ring()
	return err
}

// newKept adds a section of what is kept. Set.mu must be held for writing, unless
// nobody else knows g.
func (g *generation) newKept(number int64) *section {
	c := g.newSection(number, always, 0)
	g.kept = append(slices.Clone(g.kept), c)
	return c
}

// settleKept drops the sections that others are there instead of: those before
// these, or these. Set.mu must be held for writing.
func (g *generation) settleKept(begun []*section, done bool) {
	if !slices.ContainsFunc(g.kept, func(c *section) bool { return slices.Contains(begun, c) }) {
		return // it was made meanwhile, of what there was before
	}
	g.kept = slices.DeleteFunc(slices.Clone(g.kept), func(c *section) bool {
		gone := slices.Contains(begun, c) != done
		if gone {
			g.sections = slices.DeleteFunc(slices.Clone(g.sections), func(other *section) bool { return other == c })
			c.log.room.left.Add(int64(c.log.len()))
		}
		return gone
	})
}

// inherit has a generation keep what another one does. Set.mu must be held for writing.
func (g *generation) inherit(from *generation) {
	if len(from.kept) == 0 {
		return
	}
	all := from.kept[0] // which lacks nothing, unless it was full: a later one may be on its way
	c := g.newKept(all.number)
	c.keep(all.log.read(nil, 0, all.log.len()))
	if all.log.full.Load() {
		c.log.full.Store(true)
	}
}

// appendKept appends the facts of one aggregate: of which metric it is, which labels
// it has with which values, and by which it may be asked whatever they are.
func appendKept(dst []uint64, metric string, aggregate labels.Labels, free []string) []uint64 {
	of := xxhash.Sum64String(metric)
	dst = appendSure(dst, of, factKept)
	aggregate.Range(func(l labels.Label) { dst = appendKeptLabel(dst, of, l) })
	for _, label := range free {
		dst = append(dst, fact(of, factKeptFree, xxhash.Sum64String(label)))
	}
	return appendSure(dst, 0, factHoldsNames)
}

func appendKeptLabel(dst []uint64, of uint64, l labels.Label) []uint64 {
	label := xxhash.Sum64String(l.Name)
	return append(dst, fact(of, factKeptLabel, label), fact(of, factKeptValue, keptValue(label, l.Value)))
}

func keptValue(label uint64, value string) uint64 { return mix(label) + xxhash.Sum64String(value) }

// keptAggregates asks whether a tier keeps aggregates of what is selected. It is nil
// if no metric is named.
func keptAggregates(ms []*labels.Matcher, byLabel map[string][]*labels.Matcher) *expr {
	metric := metricOf(ms)
	if metric == "" {
		return nil
	}
	of := xxhash.Sum64String(metric)
	all := []*expr{newSure(atom{kind: factKept, value: metric}, of)}
	for _, label := range slices.Sorted(maps.Keys(byLabel)) {
		ms := byLabel[label]
		if label != labels.MetricName && slices.ContainsFunc(ms, func(m *labels.Matcher) bool { return !m.Matches("") }) {
			all = append(all, keptBy(of, label, ms))
		}
	}
	e := and(all...)
	e.locate()
	return e
}

// keptBy asks whether there are aggregates with a label that satisfies its matchers,
// or such as may be asked by it whatever its value.
func keptBy(of uint64, label string, ms []*labels.Matcher) *expr {
	name := xxhash.Sum64String(label)
	any := []*expr{newAtom(atom{kind: factKeptFree, label: label}, of, name)}
	listed, ok := listedValues(ms)
	if !ok {
		any = append(any, newAtom(atom{kind: factKeptLabel, label: label}, of, name))
	}
	for _, v := range listed {
		any = append(any, newAtom(atom{kind: factKeptValue, label: label, value: v}, of, keptValue(name, v)))
	}
	return or(any...)
}

// listedValues returns all values that satisfy the matchers of one label, and false
// if they cannot be listed, or are too many.
func listedValues(ms []*labels.Matcher) ([]string, bool) {
	for _, m := range ms {
		if m.Matches("") {
			continue
		}
		set, ok := values(m)
		if !ok || set.rest.op != opNone || set.fold || len(set.exact) > maxSureValues {
			continue
		}
		return slices.DeleteFunc(slices.Clone(set.exact), func(v string) bool {
			return v == "" || slices.ContainsFunc(ms, func(m *labels.Matcher) bool { return !m.Matches(v) })
		}), true
	}
	return nil, false
}

// metricOf returns the metric that a selector names, if it does: by equality, or by a
// regular expression that is nothing but the name.
func metricOf(ms []*labels.Matcher) string {
	for _, m := range ms {
		if !usable(m) || m.Name != labels.MetricName {
			continue
		}
		if m.Type == labels.MatchEqual || m.Type == labels.MatchRegexp && regexp.QuoteMeta(m.Value) == m.Value {
			return m.Value
		}
	}
	return ""
}

// holds reports whether a child that was ruled out may answer a query by itself: it
// holds series of the name, or keeps aggregates of the metric. Nearly all children
// are leaves, which seldom do: so this is asked apart from the rest, of those alone
// that have said that they do.
func (s *shown) holds(q *Query, now, maxAge time.Duration) bool {
	if q.name == nil && q.kept == nil || !s.names.Load() {
		return false
	}
	if !s.fresh(now, maxAge) {
		return true
	}
	v := s.view.Load()
	return v == nil || q.own(func(a *atom) bool { return v.has(a.locs, always.From, always.To) })
}

// own reports whether a tier with some facts may answer the query by itself.
func (q *Query) own(has func(*atom) bool) bool {
	return q.name != nil && q.name.there(has) || q.kept != nil && q.kept.holds(has)
}
