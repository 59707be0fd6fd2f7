package fieldhint

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"weak"

	"github.com/cespare/xxhash/v2"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/prometheus/model/labels"
)

// IndexConfig configures an Index. The zero value is valid.
type IndexConfig struct {
	// MaxAge is how old a child's last frame may be for its hint to be used;
	// zero means 2 s.
	MaxAge time.Duration
	// FalsePositiveRate is that of one fingerprint in one child; zero means 0.01.
	FalsePositiveRate float64
	// MaxFingerprints bounds each generation of the hint of one child, of which two
	// are held while one takes the place of the other; zero means 1<<26. A child
	// with more is always asked.
	MaxFingerprints int
	// Trusted is for how many fingerprints a filter is made on a child's word; zero
	// means 1<<24. A child that has sent more gets a filter for as many as it sent.
	Trusted int
	// MaxChildren bounds the children remembered; zero means 16,384. Beyond it,
	// one without an open feed is forgotten for each new one.
	MaxChildren int
	// MaxSnapshots bounds the children whose snapshots arrive at the same time;
	// zero means 32. Others wait, and are asked.
	MaxSnapshots int
	// Keep is how long what a child has sent is kept when its connection has
	// ended, so that it can resume. It is of no other use meanwhile. Zero means
	// 15 min.
	Keep time.Duration
	// Union, if not nil, takes in all that children have, section by section,
	// before the index counts a child as synced by virtue of it.
	Union *Set
	// OnState, if not nil, is called when a child becomes synced or ceases to
	// be. Calls for one child come in order, from Feed.Apply, Feed.Close,
	// Index.Open, Index.Forget and Index.Expire. It must not call these.
	OnState func(child string, synced bool)
	// Now is time.Now unless a test says otherwise.
	Now func() time.Time
	// Registerer receives the index's metrics, if not nil.
	Registerer prometheus.Registerer
}

// Validate reports whether the configuration can be used, and what to change if
// not.
func (c IndexConfig) Validate() error {
	switch {
	case c.MaxAge < 0:
		return fmt.Errorf("field hint index: maximum age %v: use a positive duration", c.MaxAge)
	case c.FalsePositiveRate < 0 || c.FalsePositiveRate >= 1:
		return fmt.Errorf("field hint index: false-positive rate %v: use a rate between 0 and 1", c.FalsePositiveRate)
	case c.Trusted < 0:
		return fmt.Errorf("field hint index: filters for %d fingerprints on a child's word: use a positive number", c.Trusted)
	case c.MaxFingerprints < 0:
		return fmt.Errorf("field hint index: limit of %d fingerprints: use a positive number", c.MaxFingerprints)
	case c.MaxChildren < 0:
		return fmt.Errorf("field hint index: limit of %d children: use a positive number", c.MaxChildren)
	case c.MaxSnapshots < 0:
		return fmt.Errorf("field hint index: limit of %d snapshots: use a positive number", c.MaxSnapshots)
	}
	return nil
}

func (c IndexConfig) withDefaults() IndexConfig {
	orDefault(&c.MaxAge, 2*time.Second)
	orDefault(&c.FalsePositiveRate, 0.01)
	orDefault(&c.MaxFingerprints, 1<<26)
	orDefault(&c.Trusted, 1<<24)
	orDefault(&c.MaxChildren, 1<<14)
	orDefault(&c.MaxSnapshots, 32)
	orDefault(&c.Keep, 15*time.Minute)
	if c.OnState == nil {
		c.OnState = func(string, bool) {}
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	return c
}

// Index is the parent's side: the field hints of all children, each kept up to
// date by a Feed. It is safe for concurrent use; those who ask wait for nobody.
type Index struct {
	cfg     IndexConfig
	start   time.Time // of the clock
	metrics *indexMetrics
	turns   turns
	recent  [recentQueries]atomic.Pointer[compiled]
	asked   [recentAsked]atomic.Pointer[resolved]

	slabs    slabs
	table    atomic.Pointer[table]
	tableMu  sync.Mutex // held while a table is made
	newViews atomic.Int64
	// names is set once any child has said that it holds series of some names, or
	// keeps aggregates of some metrics, itself.
	names atomic.Bool

	mu       sync.RWMutex
	children map[string]*child
	numbered []*child // by number; nil where there is none
	free     []int32  // numbers
	room     []shown  // not given away yet
	changes  uint64   // of children
}

// NewIndex returns an index without children: it rules nothing out.
func NewIndex(cfg IndexConfig) (*Index, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	x := &Index{cfg: cfg.withDefaults(), children: map[string]*child{}}
	x.start = x.cfg.Now()
	x.turns.limit, x.turns.feeds = x.cfg.MaxSnapshots, map[*Feed]time.Duration{}
	x.metrics = newIndexMetrics(x, cfg.Registerer)
	return x, nil
}

// clock is the time since the index was made.
func (x *Index) clock() time.Duration { return x.cfg.Now().Sub(x.start) }

// RulesOut reports whether a child cannot hold a series that satisfies all
// matchers and has a sample at one of the times from mint to maxt, both included,
// in milliseconds. It is false of a child that the index does not know, that is
// not synced, or that was not heard of within MaxAge.
func (x *Index) RulesOut(child string, ms []*labels.Matcher, mint, maxt int64) bool {
	out := false
	if c := x.child(child); c != nil {
		q, now := x.Compile(ms), x.clock()
		out = c.rulesOut(q.expr(), mint, maxt, now, x.cfg.MaxAge) && !c.holds(&q, now, x.cfg.MaxAge)
	}
	x.metrics.count(1, out)
	return out
}

// RulesOutAll is RulesOut for many children, in their order.
func (x *Index) RulesOutAll(children []string, ms []*labels.Matcher, mint, maxt int64) []bool {
	query, now := x.Compile(ms), x.clock()
	q := query.expr()
	out := make([]bool, len(children))
	asked := x.resolve(children)
	all := asked.children
	rest := x.sweep(out, asked, q, mint, maxt, now)
	first := q.firstAtoms(nil)
	for from := 0; from < len(rest); from += touchAhead {
		batch := rest[from:min(from+touchAhead, len(rest))]
		touch(batch, all, first)
		for _, i := range batch {
			out[i] = all[i].child.rulesOut(q, mint, maxt, now, x.cfg.MaxAge)
		}
	}
	ruledOut, names := 0, x.names.Load()
	for i, is := range out {
		if is && names && all[i].shown.holds(&query, now, x.cfg.MaxAge) {
			out[i] = false
		} else if is {
			ruledOut++
		}
	}
	x.metrics.checks.Add(float64(len(children)))
	x.metrics.ruledOut.Add(float64(ruledOut))
	return out
}

// touchAhead is the number of children whose filters are fetched at a time.
const touchAhead = 16

func touch(batch []int32, all []known, atoms []*atom) (sum uint64) {
	if len(atoms) == 0 {
		return 0
	}
	for _, i := range batch {
		if v := all[i].shown.view.Load(); v != nil {
			for _, a := range atoms {
				sum += v.touch(a)
			}
		}
	}
	return sum
}

// touchedAtoms is the number of atoms of a query that are fetched ahead.
const touchedAtoms = 4

// firstAtoms appends the atoms that are looked up first.
func (e *expr) firstAtoms(dst []*atom) []*atom {
	switch {
	case len(dst) == touchedAtoms:
	case e.op == opAtom:
		return append(dst, e.atom)
	case e.op == opOr:
		return e.subs[0].firstAtoms(dst)
	case e.op == opAnd:
		for _, sub := range e.subs {
			dst = sub.firstAtoms(dst)
		}
	}
	return dst
}

func (x *Index) child(name string) *child {
	x.mu.RLock()
	defer x.mu.RUnlock()
	return x.children[name]
}

// recentAsked is the number of lists of children that an index remembers.
const recentAsked = 8

// resolved is a list of names together with the children that it names.
type resolved struct {
	changes  uint64
	names    []string
	children []known
	places   atomic.Pointer[places]
}

// places are those of a list of children in a table; -1 of those that it has not.
type places struct {
	table weak.Pointer[table] // a list that is asked seldom keeps no old filters
	at    []int32
}

// in returns the places of the children in a table.
func (r *resolved) in(t *table) []int32 {
	p := r.places.Load()
	if p == nil || p.table.Value() != t {
		p = &places{weak.Make(t), make([]int32, len(r.children))}
		for i := range r.children {
			p.at[i] = t.place(&r.children[i])
		}
		r.places.Store(p)
	}
	return p.at
}

// known is what a question needs of a child; all is zero if there is none.
type known struct {
	child  *child
	shown  *shown
	number int32
}

// resolve looks children up by name. Queries are about the same children most of
// the time: comparing names with those of the last list is many times faster than
// looking each up.
func (x *Index) resolve(names []string) *resolved {
	if len(names) == 0 {
		return &resolved{}
	}
	slot := &x.asked[xxhash.Sum64String(names[len(names)-1])%recentAsked]
	last := slot.Load()
	x.mu.RLock()
	defer x.mu.RUnlock()
	if last != nil && last.changes == x.changes && slices.Equal(last.names, names) {
		return last
	}
	r := &resolved{changes: x.changes, names: slices.Clone(names), children: make([]known, len(names))}
	for i, name := range names {
		if c := x.children[name]; c != nil {
			r.children[i] = known{c, c.shown, c.number}
		}
	}
	slot.Store(r)
	return r
}

// Open starts a feed for a child that has connected. The child is un-synced
// until the feed has caught up. An older feed of the same child is superseded.
func (x *Index) Open(name string) *Feed {
	x.mu.Lock()
	c := x.children[name]
	var forgotten *child
	if c == nil {
		forgotten = x.makeRoom()
		c = x.newChild(name)
	}
	x.mu.Unlock()
	if forgotten != nil {
		forgotten.forget(x)
	}
	f := &Feed{index: x, child: c}
	c.state.Lock()
	defer c.state.Unlock()
	c.mu.Lock()
	c.feed, c.unused = f, unused{ReasonNeverSynced, "nothing was sent yet"}
	c.mu.Unlock()
	c.setSynced(x, false)
	return f
}

// makeRoom takes out a child without a feed if there are too many children.
func (x *Index) makeRoom() *child {
	if len(x.children) < x.cfg.MaxChildren {
		return nil
	}
	for _, c := range x.children {
		c.mu.RLock()
		idle := c.feed == nil
		c.mu.RUnlock()
		if idle {
			x.remove(c)
			return c
		}
	}
	return nil
}

// newChild adds a child. mu must be held.
func (x *Index) newChild(name string) *child {
	if len(x.room) == 0 {
		x.room = make([]shown, shownAtOnce)
	}
	c := &child{name: name, shown: &x.room[0], newViews: &x.newViews}
	x.room = x.room[1:]
	if n := len(x.free); n > 0 {
		c.number, x.free = x.free[n-1], x.free[:n-1]
	} else {
		c.number = int32(len(x.numbered))
		x.numbered = append(x.numbered, nil)
	}
	x.numbered[c.number] = c
	x.children[name] = c
	x.changes++
	return c
}

// remove takes a child out. Its number goes to another one: whoever still knows
// it by that compares the child. mu must be held.
func (x *Index) remove(c *child) {
	delete(x.children, c.name)
	x.numbered[c.number] = nil
	x.free = append(x.free, c.number)
	x.changes++
}

func (x *Index) all() []*child {
	x.mu.RLock()
	defer x.mu.RUnlock()
	all := make([]*child, 0, len(x.children))
	for _, c := range x.children {
		all = append(all, c)
	}
	slices.SortFunc(all, func(a, b *child) int { return strings.Compare(a.name, b.name) })
	return all
}

// Synced reports whether a child's hint is in use now.
func (x *Index) Synced(child string) bool {
	c := x.child(child)
	return c != nil && c.usable(x.clock(), x.cfg.MaxAge)
}

// Expire ends the sync of the children that were not heard of within MaxAge, so
// that OnState tells of them, takes turns from those that have fallen silent over
// their snapshots, and drops what was kept of those that are gone for longer than
// Keep. No answer depends on it: a hint that is too old is not used anyway. The
// owner calls it every now and then.
func (x *Index) Expire() {
	now := x.clock()
	x.turns.sweep(now)
	for _, c := range x.all() {
		c.state.Lock()
		if !c.usable(now, x.cfg.MaxAge) {
			c.setSynced(x, false)
		}
		c.outdated(now, x.cfg.Keep)
		c.state.Unlock()
	}
}

// Forget drops what is known of a child. Its feed, if one is open, is
// superseded.
func (x *Index) Forget(name string) {
	x.mu.Lock()
	c := x.children[name]
	if c != nil {
		x.remove(c)
	}
	x.mu.Unlock()
	if c != nil {
		c.forget(x)
	}
}

// recentQueries is the number of compiled queries that an index remembers.
const recentQueries = 32

// compiled is a query together with the matchers that it was made of.
type compiled struct {
	matchers []labels.Matcher
	query    Query
}

// Compile is the function Compile, remembering the latest queries: a selector is
// usually asked about one child after the other.
func (x *Index) Compile(ms []*labels.Matcher) Query {
	slot := &x.recent[hashMatchers(ms)%recentQueries]
	if c := slot.Load(); c != nil && c.of(ms) {
		return c.query
	}
	c := &compiled{matchers: make([]labels.Matcher, 0, len(ms)), query: Compile(ms)}
	for _, m := range ms {
		if m == nil {
			return c.query
		}
		c.matchers = append(c.matchers, labels.Matcher{Type: m.Type, Name: m.Name, Value: m.Value})
	}
	slot.Store(c)
	return c.query
}

func (c *compiled) of(ms []*labels.Matcher) bool {
	return slices.EqualFunc(c.matchers, ms, func(a labels.Matcher, b *labels.Matcher) bool {
		return b != nil && a.Type == b.Type && a.Name == b.Name && a.Value == b.Value
	})
}

func hashMatchers(ms []*labels.Matcher) uint64 {
	h := uint64(len(ms))
	for _, m := range ms {
		if m != nil {
			h = mix(h ^ xxhash.Sum64String(m.Name))
			h = mix(h ^ xxhash.Sum64String(m.Value) + uint64(m.Type))
		}
	}
	return h
}
