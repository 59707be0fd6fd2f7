package keep

import (
	"cmp"
	"context"
	"maps"
	"math"
	"slices"
	"strings"
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
	blocked, err := c.check(ctx, kinds)
	if err != nil {
		return err
	}
	for _, r := range c.cfg.Past.unapplied() {
		var behind []string
		for key, rule := range kinds {
			if blocked[key] != nil {
				continue
			}
			if err := c.voidOrBlock(ctx, rule, key, r, blocked); err != nil {
				return err
			}
			if blocked[key] != nil {
				behind = append(behind, kindName(rule, key.keep))
			}
		}
		if err := c.cfg.Past.applied(r.Number, behind); err != nil {
			return err
		}
		c.metrics.restatements.Inc()
	}
	c.block(kinds, blocked)
	return nil
}

// kindName is what the file of restatements calls points of a rule.
func kindName(r *rollup.Rule, k rollup.Keep) string {
	return storedAs(r, k) + " " + model.Duration(k.For).String()
}

// check makes void the points that are kept again, so far as they were restated
// while they were not, and those that could not be made void before. It returns
// those that cannot be now.
func (c *Collector) check(ctx context.Context, kinds map[keptKey]*rollup.Rule) (map[keptKey]error, error) {
	names, keys, blocked := make([]string, 0, len(kinds)), map[string]keptKey{}, map[keptKey]error{}
	for key, r := range kinds {
		name := kindName(r, key.keep)
		names, keys[name] = append(names, name), key
	}
	slices.Sort(names)
	for name, number := range c.cfg.Past.back(names) {
		key := keys[name]
		for _, r := range c.cfg.Past.since(number) {
			if err := c.voidOrBlock(ctx, kinds[key], key, r, blocked); err != nil {
				return nil, err
			}
		}
	}
	names = slices.DeleteFunc(names, func(name string) bool { return blocked[keys[name]] != nil })
	return blocked, c.cfg.Past.keeps(names)
}

// voidOrBlock makes points void. If that cannot be stored, they are not read from
// now on, so that others need not wait and those above can be told. The error is
// that of ctx.
func (c *Collector) voidOrBlock(ctx context.Context, rule *rollup.Rule, key keptKey, r querytree.Restatement, blocked map[keptKey]error) error {
	err := c.void(ctx, rule, key.keep, r)
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	c.cfg.Store.doubtOne(key)
	blocked[key] = err
	return nil
}

// block has points be read but for those that are blocked, and tells of these.
func (c *Collector) block(kinds map[keptKey]*rollup.Rule, blocked map[keptKey]error) {
	clear := map[keptKey]*rollup.Rule{}
	for key, r := range kinds {
		if blocked[key] == nil {
			clear[key] = r
		}
	}
	if readable := c.cfg.Store.check(clear); len(readable) > 0 && c.cfg.Readable != nil {
		c.cfg.Readable(readable)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for key, err := range blocked {
		if c.blocked[key] == "" {
			c.cfg.Logger.Error("rollup is not read: its points cannot be made void", "rule", kinds[key].Name, "error", err)
		}
		c.blocked[key] = err.Error()
	}
	for key := range c.blocked {
		if blocked[key] == nil {
			delete(c.blocked, key)
		}
	}
}

// void makes the points of a rule at one distance void that looked at times of a restatement.
func (c *Collector) void(ctx context.Context, rule *rollup.Rule, k rollup.Keep, r querytree.Restatement) error {
	since, ok := c.cfg.Store.OwedSince(rule)
	if !ok {
		return nil
	}
	window := rule.Window(time.Duration(c.cfg.Lookback) * time.Millisecond).Milliseconds()
	maxt := r.Maxt
	if maxt < math.MaxInt64-window {
		maxt += window
	}
	// Not up to now: there are later points if the clock was set back.
	mint := max(r.Mint, since)
	if mint > maxt {
		return nil
	}
	return c.cfg.Store.void(ctx, rule, []rollup.Keep{k}, mint, maxt)
}

// complete makes a batch of the partial points of each rule void once all who had
// no part in them are back and take part, so that they are made again. Its error
// is that of ctx.
func (c *Collector) complete(ctx context.Context) error {
	if c.cfg.Missing == nil {
		return nil
	}
	var gone []string
	begin, tried := c.cfg.Now(), map[*job]bool{}
	for _, p := range c.inTurn(c.cfg.Store.partials()) {
		if c.cfg.Now().Sub(begin) >= slice {
			return nil // the others are next
		}
		j := c.jobs[p.key]
		c.turn, j.partial = p.key, p.from
		if gone == nil {
			gone = append(c.cfg.Missing(), "")
		}
		if slices.ContainsFunc(awayOf(p.missing), func(a away) bool { return slices.Contains(gone, a.name) }) {
			continue
		}
		if tried[j] = true; c.cfg.Now().Before(j.whole.until) {
			continue
		}
		run := querytree.Interval{Mint: p.from, Maxt: min(p.to, p.from+int64(c.cfg.Batch-1)*j.step())}
		if _, _, err := c.ask(ctx, j, run, true); err != nil {
			// What is there is better than nothing, and than another revision of it.
			if ctx.Err() != nil {
				return ctx.Err()
			}
			c.backOff(j, &j.whole, run, err)
			continue
		}
		if err := c.cfg.Store.void(ctx, p.rule, []rollup.Keep{p.key.keep}, run.Mint, run.Maxt); err != nil {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			c.backOff(j, &j.whole, run, &storeError{err})
			continue
		}
		c.rest(j, &j.whole)
	}
	for _, j := range c.jobs {
		if !tried[j] {
			c.rest(j, &j.whole) // what failed is whole, too old, or waits for somebody who is away
		}
	}
	return nil
}

// inTurn puts partial runs in the order in which they are looked at: one of each kind
// of points after another, from the kind on that follows the one looked at last, and of
// each kind from the run on that follows its last one. Which these were is known by
// name and time, since runs come and go meanwhile.
func (c *Collector) inTurn(all []partialRun) (out []partialRun) {
	runs := map[keptKey][]partialRun{}
	for _, p := range all {
		if c.jobs[p.key] != nil {
			runs[p.key] = append(runs[p.key], p)
		}
	}
	kinds := after(slices.SortedFunc(maps.Keys(runs), keptKey.compare), func(k keptKey) bool { return k.compare(c.turn) > 0 })
	for key, of := range runs { // oldest first
		runs[key] = after(of, func(p partialRun) bool { return p.from > c.jobs[key].partial })
	}
	for len(kinds) > 0 {
		kinds = slices.DeleteFunc(kinds, func(key keptKey) bool {
			of := runs[key]
			out, runs[key] = append(out, of[0]), of[1:]
			return len(of) == 1
		})
	}
	return out
}

// after turns what is in order so that it begins with the first that is next.
func after[T any](s []T, next func(T) bool) []T {
	i := max(0, slices.IndexFunc(s, next))
	return slices.Concat(s[i:], s[:i])
}

func (k keptKey) compare(o keptKey) int {
	return cmp.Or(strings.Compare(k.rule, o.rule), cmp.Compare(k.keep.Every, o.keep.Every), cmp.Compare(k.keep.For, o.keep.For))
}
