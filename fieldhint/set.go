package fieldhint

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
	"github.com/prometheus/prometheus/model/labels"
)

// SetConfig configures a Set. The zero value is valid.
type SetConfig struct {
	// External labels are attached to every series when it is served, and so
	// belong to the hint of every set that holds any series.
	External labels.Labels
	// FrameSize is the number of fingerprints in a full frame; zero means
	// MaxFrameFingerprints.
	FrameSize int
	// Heartbeat is the interval of frames on an idle stream; zero means 500 ms.
	// It must be well below the parents' IndexConfig.MaxAge.
	Heartbeat time.Duration
	// Linger is how long a stream waits, after something new came, for more to
	// come with it; zero means 2 ms, a negative value not at all.
	Linger time.Duration
	// MaxFingerprints bounds the set; zero means 1<<26. A set that is full is
	// incomplete until it is rebuilt or reset, so that parents always ask. In a zone's
	// set it bounds the union of its children's sections for each of their last two
	// generations.
	MaxFingerprints int
	// CacheSize is the number of labels known to be in the set whole; zero
	// means 65,536. Each takes about 100 bytes.
	CacheSize int
	// Budget bounds what the set keeps of the series that are added to it. It is
	// spent by Rebuild.
	Budget Budget
	// After is time.After unless a test says otherwise.
	After func(time.Duration) <-chan time.Time
	// Epoch makes the random names of logs; nil means rand.Uint64.
	Epoch func() uint64
	// Registerer receives the set's metrics, if not nil.
	Registerer prometheus.Registerer
}

// Validate reports whether the configuration can be used, and what to change if
// not.
func (c SetConfig) Validate() error {
	switch {
	case c.FrameSize < 0 || c.FrameSize > MaxFrameFingerprints:
		return fmt.Errorf("field hint set: frame size %d: use 1 to %d", c.FrameSize, MaxFrameFingerprints)
	case c.Heartbeat < 0:
		return fmt.Errorf("field hint set: heartbeat %v: use a positive interval", c.Heartbeat)
	case c.MaxFingerprints < 0 || c.MaxFingerprints > 1<<31:
		return fmt.Errorf("field hint set: limit of %d fingerprints: use at most %d", c.MaxFingerprints, 1<<31)
	case c.CacheSize < 0:
		return fmt.Errorf("field hint set: cache size %d: use a positive number", c.CacheSize)
	}
	return c.Budget.Validate()
}

func (c SetConfig) withDefaults() SetConfig {
	orDefault(&c.FrameSize, MaxFrameFingerprints)
	orDefault(&c.Heartbeat, 500*time.Millisecond)
	orDefault(&c.Linger, 2*time.Millisecond)
	orDefault(&c.MaxFingerprints, 1<<26)
	orDefault(&c.CacheSize, 1<<16)
	if c.After == nil {
		c.After = time.After
	}
	if c.Epoch == nil {
		c.Epoch = rand.Uint64
	}
	return c
}

func orDefault[T comparable](v *T, def T) {
	var zero T
	if *v == zero {
		*v = def
	}
}

// Set is the exact set of fingerprints that a tier offers upward, by sections of
// time: a leaf's of its series, a zone's the union of its children's. Sections
// only grow, until all of a leaf's are made anew, or a zone's children drop
// theirs. It is safe for concurrent use; adding what is known already is cheap.
type Set struct {
	cfg      SetConfig
	bell     bell
	rebuilds prometheus.Counter
	ids      atomic.Uint64 // the last given to a section

	// mu is held for reading while something is added, so that after taking it
	// for writing, no addition is on its way to an old selection of logs.
	mu    sync.RWMutex
	epoch uint64
	// gens holds the newest generation and, as long as a stream relies on it, the
	// one before, which takes additions too: so parents can rely on the one until
	// they have all of the other. The older one is complete.
	gens     []*generation
	streams  map[*stream]struct{}
	scan     *scan // a rebuild that runs, nil if none
	widened  int64 // what Widen said since the scan began
	next     *generation
	complete bool
	scheme   *Scheme // of generations to come
	unions   map[unionKey]*joint
	rooms    map[int64]*room // of unions, by generation

	naming sync.Mutex // held over a change of names
	names  names

	renewing sync.Mutex // held over RenewKept
}

// NewSet returns an empty, incomplete set of one section for all time.
func NewSet(cfg SetConfig) (*Set, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	s := &Set{
		cfg: cfg.withDefaults(), streams: map[*stream]struct{}{}, unions: map[unionKey]*joint{}, rooms: map[int64]*room{},
		scheme: undecided(cfg.Budget.Drop),
	}
	s.epoch = s.cfg.Epoch()
	s.gens = []*generation{s.newGeneration(Layout{}, s.scheme)}
	s.register(cfg.Registerer)
	schemeMetrics(cfg.Registerer, s.Scheme)
	return s, nil
}

func (s *Set) register(registerer prometheus.Registerer) {
	reg := promauto.With(registerer)
	s.rebuilds = reg.NewCounter(prometheus.CounterOpts{
		Name: "pando_fieldhint_set_rebuilds_total",
		Help: "Number of times the set of fingerprints offered upward was made anew.",
	})
	gauge := func(name, help string, value func() float64) {
		reg.NewGaugeFunc(prometheus.GaugeOpts{Name: "pando_fieldhint_set_" + name, Help: help}, value)
	}
	gauge("fingerprints", "Number of fingerprints offered upward.", func() float64 { return float64(s.Len()) })
	gauge("bytes", "Memory taken by the fingerprints offered upward.", func() float64 { return float64(s.Bytes()) })
	gauge("sections", "Number of sections of time of the fingerprints offered upward.", func() float64 { return float64(s.Sections()) })
	gauge("complete", "Whether parents may rely on the fingerprints offered upward (1) or always ask (0).", func() float64 {
		if s.IsComplete() {
			return 1
		}
		return 0
	})
}

// External returns the labels that are attached to every series when it is served:
// what is added may lack them.
func (s *Set) External() labels.Labels { return s.cfg.External }

// AddSeries adds series that are there now, to the current section. To be in
// time for a rebuild, it must be called after the series can be found by the
// rebuild's scan. The set keeps nothing of series.
func (s *Set) AddSeries(series ...labels.Labels) {
	s.each(func(l *fpLog) bool { return l.addSeries(series...) })
}

// AddSeriesAt adds a series that has samples in some spans, which may be of the
// past.
func (s *Set) AddSeriesAt(lset labels.Labels, spans ...Span) {
	changed := false
	s.mu.Lock()
	for _, g := range s.live() {
		for _, c := range g.of(spans) {
			wasFull := c.log.full.Load()
			changed = c.log.addSeries(lset) || c.log.full.Load() != wasFull || changed
		}
	}
	if s.scan != nil && s.next == nil {
		s.scan.add(lset, spans...)
	}
	s.mu.Unlock()
	if changed {
		s.bell.ring()
	}
}

// Add adds fingerprints to the current section.
func (s *Set) Add(fps ...uint64) {
	s.each(func(l *fpLog) bool { return l.insertAll(fps) })
}

// each lets add work on the current sections, and on those being made.
func (s *Set) each(add func(*fpLog) bool) {
	s.mu.RLock()
	changed := false
	for _, g := range s.gens {
		l := g.current.log
		wasFull := l.full.Load()
		changed = add(l) || l.full.Load() != wasFull || changed
	}
	if s.next != nil {
		add(s.next.current.log)
	} else if s.scan != nil {
		add(s.scan.now)
	}
	s.mu.RUnlock()
	if changed {
		s.bell.ring()
	}
}

// live returns the generations that take additions, including one that is about
// to take its place. mu must be held.
func (s *Set) live() []*generation {
	if s.next == nil {
		return s.gens
	}
	return append(slices.Clone(s.gens), s.next)
}

// Widen says that from now on, samples as old as from may come: current sections
// begin there if they began later. It must be called before such a sample comes.
func (s *Set) Widen(from int64) {
	s.mu.Lock()
	s.widened = min(s.widened, from)
	changed := false
	for _, g := range s.live() {
		if g.layout.Window > 0 {
			to := Layout{Start: g.layout.Start, Window: g.layout.Window, Current: min(from, g.layout.Start)}
			changed = g.current.widen(to.round().Current) || changed
		}
	}
	s.mu.Unlock()
	if changed {
		s.bell.ring()
	}
}

// SetComplete says that the set covers all series: a leaf has scanned its
// storage, all children of a zone are synced. What was added before is at the
// parent before the parent learns of it.
func (s *Set) SetComplete() { s.setComplete(true) }

// SetIncomplete says that the set may lack series, so that parents always ask.
func (s *Set) SetIncomplete() { s.setComplete(false) }

func (s *Set) setComplete(complete bool) {
	s.mu.Lock()
	changed := s.complete != complete
	if s.complete = complete; !complete {
		s.gens = s.gens[len(s.gens)-1:]
	}
	s.mu.Unlock()
	if changed {
		s.bell.ring()
	}
}

// IsComplete reports whether parents may rely on the set.
func (s *Set) IsComplete() bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.complete && !s.newest().full()
}

// Len returns the number of fingerprints, each counted once a section.
func (s *Set) Len() (n int) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	for _, g := range s.gens {
		n += g.len()
	}
	return n
}

// Bytes returns the memory taken by the fingerprints.
func (s *Set) Bytes() (n int) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	for _, g := range s.gens {
		n += g.bytes()
	}
	return n
}

// Scheme returns what the set keeps of the series that are added to it.
func (s *Set) Scheme() *Scheme {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.newest().scheme
}

// nextScheme is the scheme of generations to come.
func (s *Set) nextScheme() *Scheme {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.scheme
}

// Sections returns the number of sections.
func (s *Set) Sections() (n int) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	for _, g := range s.gens {
		n += len(g.sections)
	}
	return n
}

// Epoch returns the random name of the set, which changes with Reset.
func (s *Set) Epoch() uint64 {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.epoch
}

// newest returns the newest generation. mu must be held.
func (s *Set) newest() *generation { return s.gens[len(s.gens)-1] }

// Reset empties the set under a new epoch and makes it incomplete. A rebuild
// that runs goes on.
func (s *Set) Reset() {
	g := s.newGeneration(Layout{}, s.nextScheme())
	s.mu.Lock()
	g.inherit(s.newest())
	s.epoch, s.gens, s.complete = s.cfg.Epoch(), []*generation{g}, false
	s.mu.Unlock()
	s.rebuilds.Inc()
	s.bell.ring()
}
