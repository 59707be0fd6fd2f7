package keep

import (
	"context"
	"math"
	"slices"
	"time"

	"github.com/prometheus/common/model"

	"github.com/pandometrics/pando/querytree"
	"github.com/pandometrics/pando/rollup"
)

// restate makes void the points that are not what they would be made of now, by
// what was restated.
func (c *Collector) restate(ctx context.Context) error {
	if c.cfg.Children != nil {
		children := c.cfg.Children()
		var known []string
		if c.cfg.Known != nil {
			known = append([]string{}, c.cfg.Known()...)
		}
		if err := c.cfg.Past.Hear(children, known); err != nil {
			return err
		}
	}
	kinds := c.cfg.Store.kindsOf(c.cfg.Store.Rules())
	if err := c.check(ctx, kinds); err != nil {
		return err
	}
	for _, r := range c.cfg.Past.unapplied() {
		for key, rule := range kinds {
			if err := c.void(ctx, rule, key.keep, r); err != nil {
				return err
			}
		}
		if err := c.cfg.Past.applied(r.Number); err != nil {
			return err
		}
		c.metrics.restatements.Inc()
	}
	c.cfg.Store.check(kinds)
	return nil
}

// check makes void the points that are kept again, so far as they were restated
// while they were not.
func (c *Collector) check(ctx context.Context, kinds map[keptKey]*rollup.Rule) error {
	names, keys := make([]string, 0, len(kinds)), map[string]keptKey{}
	for key, r := range kinds {
		name := storedAs(r, key.keep) + " " + model.Duration(key.keep.For).String()
		names, keys[name] = append(names, name), key
	}
	slices.Sort(names)
	for name, number := range c.cfg.Past.back(names) {
		for _, r := range c.cfg.Past.since(number) {
			if err := c.void(ctx, kinds[keys[name]], keys[name].keep, r); err != nil {
				return err
			}
		}
	}
	return c.cfg.Past.keeps(names)
}

// void makes the points of a rule at one distance void that looked at times of a restatement.
func (c *Collector) void(ctx context.Context, rule *rollup.Rule, k rollup.Keep, r querytree.Restatement) error {
	now := c.cfg.Now().UnixMilli()
	since, ok := c.cfg.Store.OwedSince(rule)
	if !ok {
		return nil
	}
	window := rule.Window(time.Duration(c.cfg.Lookback) * time.Millisecond).Milliseconds()
	maxt := r.Maxt
	if maxt < math.MaxInt64-window {
		maxt += window
	}
	mint, maxt := max(r.Mint, since), min(maxt, now)
	if mint > maxt {
		return nil
	}
	return c.cfg.Store.void(ctx, rule, []rollup.Keep{k}, mint, maxt)
}

// complete makes a batch of the partial points of each rule void once all who had
// no part in them are back and take part, so that they are made again.
func (c *Collector) complete(ctx context.Context) error {
	if c.cfg.Missing == nil {
		return nil
	}
	var gone []string
	for _, p := range c.cfg.Store.partials() {
		if gone == nil {
			gone = append(c.cfg.Missing(), "")
		}
		j := c.jobs[p.key]
		if j == nil || c.cfg.Now().Before(j.until) ||
			slices.ContainsFunc(awayOf(p.missing), func(a away) bool { return slices.Contains(gone, a.name) }) {
			continue
		}
		run := querytree.Interval{Mint: p.from, Maxt: min(p.to, p.from+int64(c.cfg.Batch-1)*j.step())}
		if _, _, err := c.ask(ctx, j, run, true); err != nil {
			// What is there is better than nothing, and than another revision of it.
			if ctx.Err() != nil {
				return ctx.Err()
			}
			c.backOff(j, run, err)
			continue
		}
		if err := c.cfg.Store.void(ctx, p.rule, []rollup.Keep{p.key.keep}, run.Mint, run.Maxt); err != nil {
			return err
		}
	}
	return nil
}
