// Package root mixes the zones of the planet.
//
//	r, err := root.New(root.Config{Tier: tier.Config{…}})
//	go r.Run(ctx)
//
// The invariant: the root has no external labels and no parent; what it answers
// is for the whole planet, or says what is missing.
//
// What it does not do: keep raw series, or offer anything upward.
package root

import (
	"errors"
	"fmt"

	"github.com/pandometrics/pando/querytree"
	"github.com/pandometrics/pando/querytree/tier"
)

// Config is what a Root is made of.
type Config struct {
	Tier tier.Config
}

// Validate reports what cannot be used.
func (c Config) Validate() error {
	id := c.Tier.Identity
	switch {
	case id.Tier != querytree.TierRoot:
		return fmt.Errorf("root: identity is of a %s", id.Tier)
	case !id.Labels.IsEmpty():
		return errors.New("a root has no external labels: remove --zone and --external-label, or run it as a zone")
	}
	return nil
}

// Root is the planet's tier. It is safe for concurrent use.
type Root struct {
	*tier.Tier
}

// New returns a Root.
func New(cfg Config) (*Root, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	t, err := tier.New(cfg.Tier)
	if err != nil {
		return nil, err
	}
	return &Root{Tier: t}, nil
}
