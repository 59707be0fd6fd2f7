package fieldhint

import (
	"errors"
	"fmt"
	"math/rand/v2"
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
	// incomplete until it is rebuilt or reset, so that parents always ask.
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

// ErrRebuilding is the error of starting a rebuild while another one runs.
var ErrRebuilding = errors.New("field hint set is being rebuilt already")

// Set is the exact set of fingerprints that a tier offers upward: a leaf's of
// its series, a zone's the union of its children's. It only grows, until it is
// rebuilt under a new epoch. It is safe for concurrent use; adding what is
// known already is cheap.
type Set struct {
	cfg      SetConfig
	bell     bell
	rebuilds prometheus.Counter

	// mu is held for reading while something is added, so that after taking it
	// for writing, no addition is on its way to an old selection of logs.
	mu       sync.RWMutex
	log      *fpLog
	next     *fpLog // the log being rebuilt, nil if none
	complete bool
	scheme   *Scheme // of logs to come
}

// NewSet returns an empty, incomplete set.
func NewSet(cfg SetConfig) (*Set, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	s := &Set{cfg: cfg.withDefaults(), scheme: undecided(cfg.Budget.Drop)}
	s.log = s.newLog(s.scheme)
	reg := promauto.With(cfg.Registerer)
	s.rebuilds = reg.NewCounter(prometheus.CounterOpts{
		Name: "pando_fieldhint_set_rebuilds_total",
		Help: "Number of times the set of fingerprints offered upward began a new epoch.",
	})
	reg.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "pando_fieldhint_set_fingerprints",
		Help: "Number of fingerprints offered upward.",
	}, func() float64 { return float64(s.Len()) })
	reg.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "pando_fieldhint_set_bytes",
		Help: "Memory taken by the fingerprints offered upward.",
	}, func() float64 { return float64(s.Bytes()) })
	schemeMetrics(cfg.Registerer, s.Scheme)
	reg.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "pando_fieldhint_set_complete",
		Help: "Whether parents may rely on the fingerprints offered upward (1) or always ask (0).",
	}, func() float64 {
		if s.IsComplete() {
			return 1
		}
		return 0
	})
	return s, nil
}

// newLog returns a log that holds the external labels only. Fingerprints of the
// series alone would rule out a matcher on an external label.
func (s *Set) newLog(scheme *Scheme) *fpLog {
	l := newLog(s.cfg.Epoch(), s.cfg.MaxFingerprints, s.cfg.CacheSize).keep(scheme, s.cfg.External)
	l.addSeries(s.cfg.External)
	return l
}

// AddSeries adds the fingerprints of a series. To be in time for a rebuild, it
// must be called after the series can be found by the rebuild's scan. The set
// keeps nothing of lset.
func (s *Set) AddSeries(lset labels.Labels) {
	s.each(func(l *fpLog) bool { return l.addSeries(lset) })
}

// Add adds fingerprints, as a zone does with those of its children.
func (s *Set) Add(fps ...uint64) {
	s.each(func(l *fpLog) bool {
		added := false
		for _, fp := range fps {
			added = l.insert(fp) || added
		}
		return added
	})
}

// each lets add work on the log, and on the one being rebuilt.
func (s *Set) each(add func(*fpLog) bool) {
	s.mu.RLock()
	wasFull := s.log.full.Load()
	changed := add(s.log) || s.log.full.Load() != wasFull
	if s.next != nil {
		add(s.next)
	}
	s.mu.RUnlock()
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
	s.complete = complete
	s.mu.Unlock()
	if changed {
		s.bell.ring()
	}
}

// IsComplete reports whether parents may rely on the set.
func (s *Set) IsComplete() bool {
	l, complete := s.state()
	return complete && !l.full.Load()
}

// Len returns the number of distinct fingerprints.
func (s *Set) Len() int {
	l, _ := s.state()
	return l.len()
}

// Bytes returns the memory taken by the fingerprints.
func (s *Set) Bytes() int {
	l, _ := s.state()
	return l.bytes()
}

// Epoch returns the name of the current log.
func (s *Set) Epoch() uint64 {
	l, _ := s.state()
	return l.epoch
}

func (s *Set) state() (*fpLog, bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.log, s.complete
}

// Scheme returns what the set keeps of the series that are added to it.
func (s *Set) Scheme() *Scheme {
	l, _ := s.state()
	return l.scheme
}

// nextScheme is the scheme of logs to come.
func (s *Set) nextScheme() *Scheme {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.scheme
}

// Reset empties the set under a new epoch and makes it incomplete. A rebuild
// that runs goes on.
func (s *Set) Reset() {
	l := s.newLog(s.nextScheme())
	s.mu.Lock()
	s.log, s.complete = l, false
	s.mu.Unlock()
	s.rebuilds.Inc()
	s.bell.ring()
}

// Rebuild makes a new log of what scan adds and of what is added to the set in
// the meantime, and swaps it in under a new epoch, so that series that are gone
// are forgotten. If scan returns an error, the old log stays.
//
// The scan is also the census by which the set spends its Budget. The log is made
// by the decisions of the census before. If those of the new one are much
// different, as they are the first time, scan is called again: it adds all
// series each time that it is called.
func (s *Set) Rebuild(scan func(add func(labels.Labels)) error) error {
	r, err := s.StartRebuild()
	if err != nil {
		return err
	}
	defer r.Abort()
	census := NewCensus(s.cfg.External)
	first := func(lset labels.Labels) {
		census.Add(lset)
		if r.log.scheme.decided { // else the log will not be used
			r.AddSeries(lset)
		}
	}
	if err := scan(first); err != nil {
		return fmt.Errorf("rebuild field hint set: %w", err)
	}
	if r.reconsider(census.Plan(s.cfg.Budget)) {
		if err := scan(r.AddSeries); err != nil {
			return fmt.Errorf("rebuild field hint set: %w", err)
		}
	}
	r.Commit()
	return nil
}

// reconsider makes scheme that of logs to come, and reports whether it is so
// different from that of the rebuild that the rebuild starts over with it.
func (r *Rebuild) reconsider(scheme *Scheme) bool {
	again := r.log.scheme.differs(scheme)
	var l *fpLog
	if again {
		l = r.set.newLog(scheme)
	}
	s := r.set
	s.mu.Lock()
	defer s.mu.Unlock()
	s.scheme = scheme
	if again && s.next == r.log {
		s.next, r.log = l, l
	}
	return again
}

// StartRebuild begins a rebuild whose content arrives by and by: from now on
// all additions go to the new log too. A zone starts one, asks its children to
// send their logs again (Index.RequestResync), and commits it once they have.
func (s *Set) StartRebuild() (*Rebuild, error) {
	l := s.newLog(s.nextScheme())
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.next != nil {
		return nil, ErrRebuilding
	}
	s.next = l
	return &Rebuild{set: s, log: l}, nil
}

// Rebuild is a new log of a Set in the making. It is safe for concurrent use.
type Rebuild struct {
	set *Set
	log *fpLog
}

// AddSeries adds a series to the new log only.
func (r *Rebuild) AddSeries(lset labels.Labels) { r.log.addSeries(lset) }

// Commit puts the new log in the old one's place, under its new epoch. It does
// nothing after Commit or Abort.
func (r *Rebuild) Commit() { r.end(true) }

// Abort drops the new log. It does nothing after Commit or Abort.
func (r *Rebuild) Abort() { r.end(false) }

func (r *Rebuild) end(commit bool) {
	s := r.set
	s.mu.Lock()
	if s.next != r.log {
		s.mu.Unlock()
		return
	}
	s.next = nil
	if commit {
		s.log = r.log
	}
	s.mu.Unlock()
	if commit {
		s.rebuilds.Inc()
		s.bell.ring()
	}
}

// bell wakes everyone who listens. Ringing it while no one does costs one
// atomic load.
type bell struct {
	armed atomic.Bool
	mu    sync.Mutex
	ch    chan struct{}
}

// listen returns a channel that is closed by the next ring. Whoever listens
// first and looks at the state afterwards misses nothing.
func (b *bell) listen() <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.ch == nil {
		b.ch = make(chan struct{})
	}
	b.armed.Store(true)
	return b.ch
}

func (b *bell) ring() {
	if !b.armed.Load() {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.armed.Store(false)
	if b.ch != nil {
		close(b.ch)
		b.ch = nil
	}
}
