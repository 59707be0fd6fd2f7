package fieldhint

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

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
	// MaxFingerprints bounds the hint of one child; zero means 1<<26. A child
	// with more is always asked.
	MaxFingerprints int
	// MaxChildren bounds the children remembered; zero means 16,384. Beyond it,
	// one without an open feed is forgotten for each new one.
	MaxChildren int
	// Forward, if not nil, is called with all fingerprints that arrive from any
	// child, before the index counts the child as synced by virtue of them. It
	// must not keep the slice, and may be called concurrently.
	Forward func(fps []uint64)
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
	case c.MaxFingerprints < 0:
		return fmt.Errorf("field hint index: limit of %d fingerprints: use a positive number", c.MaxFingerprints)
	case c.MaxChildren < 0:
		return fmt.Errorf("field hint index: limit of %d children: use a positive number", c.MaxChildren)
	}
	return nil
}

func (c IndexConfig) withDefaults() IndexConfig {
	orDefault(&c.MaxAge, 2*time.Second)
	orDefault(&c.FalsePositiveRate, 0.01)
	orDefault(&c.MaxFingerprints, 1<<26)
	orDefault(&c.MaxChildren, 1<<14)
	if c.Forward == nil {
		c.Forward = func([]uint64) {}
	}
	if c.OnState == nil {
		c.OnState = func(string, bool) {}
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	return c
}

// Index is the parent's side: the field hints of all children, each kept up to
// date by a Feed. It is safe for concurrent use; readers wait for a writer of
// the same child only, and never longer than it takes to add a few hundred
// fingerprints.
type Index struct {
	cfg     IndexConfig
	metrics *indexMetrics
	recent  [recentQueries]atomic.Pointer[compiled]

	mu       sync.RWMutex
	children map[string]*child
}

// NewIndex returns an index without children: it rules nothing out.
func NewIndex(cfg IndexConfig) (*Index, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	x := &Index{cfg: cfg.withDefaults(), children: map[string]*child{}}
	x.metrics = newIndexMetrics(x, cfg.Registerer)
	return x, nil
}

// RulesOut reports whether a child cannot hold a series that satisfies all
// matchers. It is false of a child that the index does not know, that is not
// synced, or that was not heard of within MaxAge.
func (x *Index) RulesOut(child string, ms []*labels.Matcher) bool {
	return x.RulesOutQuery(child, x.Compile(ms))
}

// RulesOutQuery is RulesOut for a selector compiled beforehand.
func (x *Index) RulesOutQuery(child string, q Query) bool {
	out := x.rulesOut(child, q, x.cfg.Now())
	x.metrics.count(1, out)
	return out
}

// RulesOutAll is RulesOut for many children, in their order.
func (x *Index) RulesOutAll(children []string, ms []*labels.Matcher) []bool {
	q, now := x.Compile(ms), x.cfg.Now()
	out := make([]bool, len(children))
	ruledOut := 0
	for i, name := range children {
		if out[i] = x.rulesOut(name, q, now); out[i] {
			ruledOut++
		}
	}
	x.metrics.checks.Add(float64(len(children)))
	x.metrics.ruledOut.Add(float64(ruledOut))
	return out
}

func (x *Index) rulesOut(name string, q Query, now time.Time) bool {
	c := x.child(name)
	return c != nil && c.rulesOut(q, now, x.cfg.MaxAge)
}

func (x *Index) child(name string) *child {
	x.mu.RLock()
	defer x.mu.RUnlock()
	return x.children[name]
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
	return c != nil && c.usable(x.cfg.Now(), x.cfg.MaxAge)
}

// Expire ends the sync of the children that were not heard of within MaxAge, so
// that OnState tells of them. Nothing depends on it but OnState: a hint that is
// too old is not used anyway. The owner calls it every now and then.
func (x *Index) Expire() {
	now := x.cfg.Now()
	for _, c := range x.all() {
		c.state.Lock()
		if !c.usable(now, x.cfg.MaxAge) {
			c.setSynced(x, false)
		}
		c.state.Unlock()
	}
}

// Forget drops what is known of a child. Its feed, if one is open, is
// superseded.
func (x *Index) Forget(name string) {
	x.mu.Lock()
	c := x.children[name]
	delete(x.children, name)
	x.mu.Unlock()
	if c != nil {
		c.detach(x, nil)
	}
}

// RequestResync asks all children to send their logs again from the start:
// Feed.NeedsResync is true of each until it has. Children that are not
// connected are asked when they come back.
func (x *Index) RequestResync() {
	for _, c := range x.all() {
		c.mu.Lock()
		c.wanted++
		c.mu.Unlock()
	}
}

// Resynced reports whether all children that are connected have sent their logs
// from the start since RequestResync.
func (x *Index) Resynced() bool {
	return !slices.ContainsFunc(x.all(), (*child).wantsResync)
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
