package keep

import (
	"context"
	"math"
	"slices"
	"time"

	"github.com/pandometrics/pando/querytree"
)

// restate makes void the points that are not what they would be made of now: by
// what children restated, or since those who had no part in them are back.
func (c *Collector) restate(ctx context.Context) error {
	if c.cfg.Children != nil {
		if err := c.cfg.Past.Hear(c.cfg.Children()); err != nil {
			return err
		}
	}
	for _, r := range c.cfg.Past.unapplied() {
		if err := c.void(ctx, r); err != nil {
			return err
		}
		if err := c.cfg.Past.applied(r.Number); err != nil {
			return err
		}
		c.metrics.restatements.Inc()
	}
	return c.complete(ctx)
}

// void makes the points void that looked at times of a restatement.
func (c *Collector) void(ctx context.Context, r querytree.Restatement) error {
	now := c.cfg.Now().UnixMilli()
	for _, rule := range c.cfg.Store.Rules().All() {
		since, ok := c.cfg.Store.OwedSince(rule)
		if !ok {
			continue
		}
		window := rule.Window(time.Duration(c.cfg.Lookback) * time.Millisecond).Milliseconds()
		maxt := r.Maxt
		if maxt < math.MaxInt64-window {
			maxt += window
		}
		mint, maxt := max(r.Mint, c.cfg.Store.oldest(rule, now, since)), min(maxt, now)
		if mint > maxt {
			continue
		}
		if err := c.cfg.Store.Void(ctx, rule, mint, maxt); err != nil {
			return err
		}
	}
	return nil
}

// complete makes partial points void once all who had no part in them are back,
// so that they are made again.
func (c *Collector) complete(ctx context.Context) error {
	if c.cfg.Missing == nil {
		return nil
	}
	var gone []string
	for _, p := range c.cfg.Store.partials() {
		if gone == nil {
			gone = append(c.cfg.Missing(), "")
		}
		back := !slices.ContainsFunc(awayOf(p.missing), func(a away) bool { return slices.Contains(gone, a.name) })
		if !back {
			continue
		}
		if err := c.cfg.Store.Void(ctx, p.rule, p.from, p.to); err != nil {
			return err
		}
	}
	return nil
}
