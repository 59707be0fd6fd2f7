// Package tier is what a zone and a root have in common: a Mixer over the
// children in a roster, pruned by their field hints.
//
//	t, err := tier.New(tier.Config{Identity: id, Limits: querytree.DefaultLimits(), …})
//	go t.Run(ctx)
//	t.Roster.Admit(…)   // children come
//	t.Mixer.Exec(…)     // queries are answered
//
// The invariant: a query sees one snapshot of the children, missing ones
// included, and a child is pruned by its hint only while that is complete and
// fresh.
//
// What it does not do: listen, dial or serve; and it does not know whether it
// is a zone or a root.
package tier

import (
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"github.com/pandometrics/pando/fieldhint"
	"github.com/pandometrics/pando/querytree"
	"github.com/pandometrics/pando/querytree/resultcache"
	"github.com/pandometrics/pando/querytree/roster"
)

// Config is what a Tier is made of.
type Config struct {
	// Identity of the tier. Children must carry its labels.
	Identity querytree.Identity
	// DataDir keeps what has to survive a restart: the known children. Empty
	// keeps them in memory only.
	DataDir string
	// ForgetAfter is how long a missing child is remembered; zero means for
	// ever.
	ForgetAfter time.Duration
	// Hints switches pruning by field hints on.
	Hints bool
	// HintSize bounds the fingerprints of one child's field hints; zero means
	// 1<<26. A child with more is always asked.
	HintSize int
	// Union, OnState and OnChange, as in fieldhint.IndexConfig and
	// roster.Config; each may be nil.
	Union    *fieldhint.Set
	OnState  func(child string, synced bool)
	OnChange func()
	// Cache configures the result cache; nil does without. Its Registerer is
	// the tier's.
	Cache *resultcache.Config
	// Rewriter answers from the tier's rollups; nil if it has none.
	Rewriter querytree.Rewriter
	// Own is what the tier holds under names of its own; nil if there is nothing.
	// Its Names are the tier's to tell: see SetOwnNames.
	Own *querytree.Own
	// Told returns what parents may know of restatements: the name they are
	// counted by, and the latest ones. Nil keeps the tier from saying that
	// anything is final.
	Told func() (string, []querytree.Restatement)
	// Limits, Lookback, SubqueryStep, StrictByDefault, as in
	// querytree.MixerConfig.
	Limits                 querytree.Limits
	Lookback, SubqueryStep time.Duration
	StrictByDefault        bool
	// Version is the build version.
	Version string
	// Loaded returns the revision of the configuration in effect, and whether a
	// later attempt to load one failed; nil if the tier has no configuration.
	Loaded     func() (revision string, failed bool)
	Logger     *slog.Logger
	Registerer prometheus.Registerer
}

// Tier is a Mixer with its children. It is safe for concurrent use.
type Tier struct {
	Mixer  *querytree.Mixer
	Roster *roster.Roster
	// Index holds the children's field hints; nil if hints are off.
	Index *fieldhint.Index

	cfg      Config
	cache    *resultcache.Cache // nil without one
	instance string
	started  time.Time
	met      atomic.Bool // a child has been seen connected
	// remembers: what was known of children was there at the start.
	remembers bool
	own       ownNames
}

// New returns a Tier without children, but for those that it knew before.
func New(cfg Config) (*Tier, error) {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	t := &Tier{cfg: cfg, instance: rand.Text(), started: time.Now()}
	if cfg.Hints {
		index, err := fieldhint.NewIndex(fieldhint.IndexConfig{
			MaxFingerprints: cfg.HintSize, Union: cfg.Union, OnState: cfg.OnState, Registerer: cfg.Registerer,
		})
		if err != nil {
			return nil, err
		}
		t.Index = index
	}
	if err := t.newRoster(); err != nil {
		return nil, err
	}
	return t, t.newMixer()
}

func (t *Tier) newRoster() error {
	c := roster.Config{
		Self: t.cfg.Identity, ForgetAfter: t.cfg.ForgetAfter, OnChange: t.cfg.OnChange,
		Logger: t.cfg.Logger, Registerer: t.cfg.Registerer,
	}
	if t.cfg.DataDir != "" {
		c.Path = filepath.Join(t.cfg.DataDir, "children.json")
		_, err := os.Stat(c.Path)
		t.remembers = err == nil
	}
	if t.Index != nil {
		c.Hints = hints{t.Index}
	}
	var err error
	t.Roster, err = roster.New(c)
	return err
}

func (t *Tier) newMixer() error {
	c := querytree.MixerConfig{
		Describe: t.Describe, Members: t.Roster.Members, Nodes: t.Roster.Nodes, Limits: t.cfg.Limits, Lookback: t.cfg.Lookback,
		Rewriter: t.cfg.Rewriter, Own: t.owned(), Childless: t.childless, SubqueryStep: t.cfg.SubqueryStep, StrictByDefault: t.cfg.StrictByDefault,
		Logger: t.cfg.Logger, Registerer: t.cfg.Registerer,
	}
	if t.Index != nil {
		c.Pruner = t.Index
	}
	if t.cfg.Cache != nil {
		cfg := *t.cfg.Cache
		cfg.Registerer = t.cfg.Registerer
		cache, err := resultcache.New(cfg)
		if err != nil {
			return fmt.Errorf("%s %q: %w", t.cfg.Identity.Tier, t.cfg.Identity.Name(), err)
		}
		t.cache, c.Cache = cache, cache
	}
	var err error
	t.Mixer, err = querytree.NewMixer(c)
	if err != nil {
		return fmt.Errorf("%s %q: %w", t.cfg.Identity.Tier, t.cfg.Identity.Name(), err)
	}
	return nil
}

// Retune changes how the tier answers, and by cache what its result cache keeps, if
// it has one; see querytree.Mixer.Retune. Hints can be used only by a tier that was
// made with them.
func (t *Tier) Retune(to querytree.Tuning, cache resultcache.Config) error {
	if t.cache != nil {
		if err := t.cache.Retune(cache); err != nil {
			return err
		}
	}
	return t.Mixer.Retune(to)
}

// Run keeps the tier's own state in order until ctx ends.
func (t *Tier) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return t.Roster.Run(ctx) })
	if t.Index != nil {
		g.Go(func() error { return t.expire(ctx) })
	}
	return g.Wait()
}

// expire tells of children whose hints have become too old.
func (t *Tier) expire(ctx context.Context) error {
	tick := time.NewTicker(500 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			t.Index.Expire()
		}
	}
}

// Describe sums up the children. A missing child may hold samples of any age.
func (t *Tier) Describe() querytree.Description {
	d := querytree.Description{
		Settled: math.MaxInt64, Features: querytree.MixerFeatures(),
		Identity: t.cfg.Identity, Instance: t.instance, Version: t.cfg.Version, Mint: math.MaxInt64, Maxt: math.MinInt64,
		Earliest: math.MaxInt64,
	}
	// Before the children, since what is settled goes back only with an epoch.
	d.Epochs = t.Roster.Epochs()
	if t.cfg.Loaded != nil {
		d.Revision, d.ReloadFailed = t.cfg.Loaded()
	}
	tells, owns := true, len(t.OwnNames()) > 0
	if t.cfg.Told != nil {
		d.Final = t.toldFinal()
		d.Past, d.Restatements = t.cfg.Told()
	}
	// After what is restated: who knows of that knows from when on there are
	// samples.
	members := t.Roster.Members()
	for _, m := range members {
		c := m.Description
		if !m.Connected {
			d.Mint, d.Earliest = math.MinInt64, math.MinInt64
			if len(d.Missing) < querytree.MaxMissing {
				d.Missing = append(d.Missing, c.Name())
			}
			continue
		}
		mint := c.Mint
		if mint == math.MaxInt64 {
			mint = math.MinInt64 // it is empty, and its first sample may be old
		}
		d.Mint, d.Maxt, d.Earliest = min(d.Mint, mint), max(d.Maxt, c.Maxt), min(d.Earliest, c.Earliest)
		d.Series += c.Series
		d.Samples += c.Samples
		d.Leaves += c.Leaves
		d.Settled = min(d.Settled, c.Settled)
		tells = tells && c.Has(querytree.FeatureEpochs)
		owns = owns || c.Has(querytree.FeatureOwn)
		for _, name := range c.Missing {
			if len(d.Missing) < querytree.MaxMissing {
				d.Missing = append(d.Missing, name)
			}
		}
	}
	if tells {
		d.Features = append(d.Features, querytree.FeatureEpochs)
	}
	if owns {
		d.Features = append(d.Features, querytree.FeatureOwn)
	}
	return d
}

// Complete reports whether every known child is connected, answers and has its
// hint in use. A tier that knows of no child has yet to learn who its children
// are.
func (t *Tier) Complete() bool {
	if t.Index == nil {
		return false
	}
	members := t.Roster.Members()
	for _, m := range members {
		if !m.Connected || m.Stale || !t.Index.Synced(m.Description.Name()) {
			return false
		}
	}
	return len(members) > 0
}

const (
	// maxNamed bounds the children that an error names.
	maxNamed = 10
	// startupGrace is how long a tier that was restarted waits for its children
	// before it answers without them. They come back within seconds.
	startupGrace = 15 * time.Second
)

// Ready reports why the tier is not ready to answer: none of the children that
// it knew before it started has come back yet. Once one has, or after
// startupGrace, the tier stays ready: whoever is missing then is named in the
// answers.
func (t *Tier) Ready() error {
	if t.met.Load() || time.Since(t.started) > startupGrace {
		return nil
	}
	var missing []string
	for _, m := range t.Roster.Members() {
		if m.Connected {
			t.met.Store(true)
			return nil
		}
		missing = append(missing, m.Description.Name())
	}
	switch n := len(missing); {
	case n == 0:
		return nil
	case n > maxNamed:
		return fmt.Errorf("none of %d known children has connected yet: %s, …", n, strings.Join(missing[:maxNamed], "; "))
	default:
		return fmt.Errorf("no known child has connected yet: %s", strings.Join(missing, "; "))
	}
}

// hints is a fieldhint.Index as the roster wants it.
type hints struct{ index *fieldhint.Index }

func (h hints) Open(child string, turn func()) roster.Feed {
	f := feed{h.index.Open(child)}
	f.OnTurn(turn)
	return f
}

func (h hints) Forget(child string) { h.index.Forget(child) }

func (h hints) Status(child string) querytree.HintStatus {
	s, ok := h.index.Child(child)
	if !ok {
		return querytree.HintStatus{}
	}
	return querytree.HintStatus{
		Synced: s.Synced, Fingerprints: int(s.Fingerprints), Bytes: s.Bytes, Age: s.Age, FalsePositiveRate: s.FalsePositiveRate,
		Reason: string(s.Unused),
	}
}

// feed is a fieldhint.Feed as the roster wants it.
type feed struct{ *fieldhint.Feed }

// Why implements roster.Feed.
func (f feed) Why() string { return string(f.Unused()) }

// Cursor implements roster.Feed.
func (f feed) Cursor() []byte {
	c := f.Feed.Cursor()
	if len(c.Sections) == 0 {
		return nil
	}
	return c.Append(nil)
}
