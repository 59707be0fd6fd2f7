// Package zone mixes the leaves of a region, or the zones of a larger one, and
// offers the union of their field hints upward.
//
//	z, err := zone.New(zone.Config{Tier: tier.Config{Identity: …}})
//	go z.Run(ctx)
//
// The invariant: what a zone offers upward is complete only while every child
// that it knows is connected and complete itself; so a parent that prunes by it
// never misses a series that any child below holds.
//
// What it does not do: keep raw series.
package zone

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/pandometrics/pando/fieldhint"
	"github.com/pandometrics/pando/querytree"
	"github.com/pandometrics/pando/querytree/tier"
)

// Config is what a Zone is made of.
type Config struct {
	// Tier is the common part. Its callbacks must be nil.
	Tier tier.Config
}

// Validate reports what cannot be used.
func (c Config) Validate() error {
	id := c.Tier.Identity
	switch {
	case id.Tier != querytree.TierZone:
		return fmt.Errorf("zone: identity is of a %s", id.Tier)
	case id.Labels.IsEmpty():
		return errors.New("a zone needs a --zone, or an --external-label that all its children carry")
	}
	return id.Validate()
}

// Zone is a region's tier. It is safe for concurrent use.
type Zone struct {
	*tier.Tier
	// Union is the set of fingerprints offered upward; nil if hints are off.
	Union *fieldhint.Set

	// mu guards gen, which counts the reasons to doubt that the union is
	// complete.
	mu   sync.Mutex
	gen  uint64
	wake chan struct{}
}

// New returns a Zone.
func New(cfg Config) (*Zone, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	z := &Zone{wake: make(chan struct{}, 1)}
	if cfg.Tier.Hints {
		if err := z.newUnion(&cfg); err != nil {
			return nil, err
		}
	}
	var err error
	z.Tier, err = tier.New(cfg.Tier)
	return z, err
}

func (z *Zone) newUnion(cfg *Config) error {
	var err error
	z.Union, err = fieldhint.NewSet(fieldhint.SetConfig{
		External:        cfg.Tier.Identity.Labels,
		MaxFingerprints: cfg.Tier.HintSize,
		Registerer:      cfg.Tier.Registerer,
	})
	if err != nil {
		return fmt.Errorf("zone %q: %w", cfg.Tier.Identity.Name(), err)
	}
	cfg.Tier.Union = z.Union
	cfg.Tier.OnState = func(_ string, synced bool) { z.doubt(!synced) }
	cfg.Tier.OnChange = func() { z.doubt(true) }
	return nil
}

// doubt has the completeness of the union looked at again; certain says that it
// is not complete now.
func (z *Zone) doubt(certain bool) {
	z.mu.Lock()
	z.gen++
	if certain {
		z.Union.SetIncomplete()
	}
	z.mu.Unlock()
	select {
	case z.wake <- struct{}{}:
	default:
	}
}

// Run keeps the zone's state in order until ctx ends.
func (z *Zone) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return z.Tier.Run(ctx) })
	if z.Union != nil {
		g.Go(func() error { return z.settle(ctx) })
	}
	return g.Wait()
}

// settle declares the union complete once it is.
//
// A connection that falls silent announces nothing, so the children are looked
// at now and then too.
func (z *Zone) settle(ctx context.Context) error {
	tick := time.NewTicker(300 * time.Millisecond)
	defer tick.Stop()
	for {
		z.mu.Lock()
		gen := z.gen
		z.mu.Unlock()
		complete := z.Complete()
		z.mu.Lock()
		switch {
		case !complete:
			z.Union.SetIncomplete()
		case gen == z.gen:
			z.Union.SetComplete()
		}
		z.mu.Unlock()
		select {
		case <-ctx.Done():
			return nil
		case <-z.wake:
		case <-tick.C:
		}
	}
}
