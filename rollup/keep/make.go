package keep

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/pandometrics/pando/querytree"
)

// storeError says that points could not be stored.
type storeError struct{ err error }

func (e *storeError) Error() string { return e.err.Error() }
func (e *storeError) Unwrap() error { return e.err }

// lateAfter is how long after its samples are final a point counts as made late. An
// outage of moments is not that.
const lateAfter = time.Hour

// make makes the points of a run: those for which nobody is waited any more apart
// from the others.
func (c *Collector) make(ctx context.Context, j *job, run querytree.Interval) error {
	if c.waiting {
		return c.evaluate(ctx, j, run, true)
	}
	held := down(c.cfg.Now().Add(-c.cfg.Hold).UnixMilli(), j.step())
	if run.Mint <= held && held < run.Maxt {
		return errors.Join(c.evaluate(ctx, j, querytree.Interval{Mint: run.Mint, Maxt: held}, false),
			c.evaluate(ctx, j, querytree.Interval{Mint: held + j.step(), Maxt: run.Maxt}, true))
	}
	return c.evaluate(ctx, j, run, run.Maxt > held)
}

// evaluate asks for the points and stores them. What warns is split until it is
// known of each point whether it does, and what lacks somebody so far as the older
// points lack less.
func (c *Collector) evaluate(ctx context.Context, j *job, run querytree.Interval, strict bool) error {
	final := c.cfg.Final() // before: what becomes final meanwhile may have been read too early
	b, fit, err := c.ask(ctx, j, run, strict)
	if err != nil {
		return err
	}
	split := !fit
	if fit && run.Mint < run.Maxt && b.state == partial {
		if split, err = c.differ(ctx, j, run, b); err != nil {
			return err
		}
	}
	if split && run.Mint < run.Maxt {
		middle := run.Mint + (run.Maxt-run.Mint)/j.step()/2*j.step()
		return errors.Join(c.evaluate(ctx, j, querytree.Interval{Mint: run.Mint, Maxt: middle}, strict),
			c.evaluate(ctx, j, querytree.Interval{Mint: middle + j.step(), Maxt: run.Maxt}, strict))
	}
	if !fit {
		b.state, b.series, b.missing = unfit, nil, ""
	}
	b.prompt = max(final, math.MinInt64+lateAfter.Milliseconds()) - lateAfter.Milliseconds()
	var early error
	if last := down(final, j.step()); b.state != partial && run.Maxt > last {
		// Nobody would tell of a change to a whole point that is not final.
		early = errors.New("samples are not final yet, although nobody is away")
		if b.to = last; b.to < b.from {
			return early
		}
	}
	if err := c.cfg.Store.write(ctx, j.rule, b); err != nil {
		return &storeError{err}
	}
	c.metrics.points.WithLabelValues(b.state.mark()).Add(float64((b.to-b.from)/b.step + 1))
	c.noteSeries(j, b)
	return early
}

// differ reports whether some of those partial points lack others than they do
// together: those who are away have gone since, and rollups below have its share of
// older points. Older ones lack less, so the first is looked at; and the one in the
// middle, since what a rollup below has may begin and end anywhere.
func (c *Collector) differ(ctx context.Context, j *job, run querytree.Interval, of batch) (bool, error) {
	for _, t := range []int64{run.Mint, run.Mint + (run.Maxt-run.Mint)/j.step()/2*j.step()} {
		b, _, err := c.ask(ctx, j, querytree.Interval{Mint: t, Maxt: t}, false)
		if err != nil {
			return false, fmt.Errorf("look whether its points lack the same: %w", err)
		}
		if b.missing != of.missing {
			return true, nil
		}
	}
	return false, nil
}

// made is how many series the newest batch of points of a rule has that was made
// since the start.
type made struct {
	to     int64
	series int
	// filled: points that were made had series.
	filled bool
}

// noteSeries keeps how many series a batch of points has, if there is no newer one.
func (c *Collector) noteSeries(j *job, b batch) {
	n := 0
	for _, s := range b.series {
		if op := s.Metric.Get(querytree.OpLabel); op == "" || op == j.rule.Ops[0] {
			n++
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	// Those of greater distances are among the points of smaller ones.
	if b.state == unfit {
		return
	}
	m := c.made[j.rule.ID]
	m.filled = m.filled || n > 0
	if b.to >= m.to {
		m.to, m.series = b.to, n
	}
	c.made[j.rule.ID] = m
}

// ask evaluates the rule. The points are not fit if there is more to say of them
// than a query would be told.
func (c *Collector) ask(ctx context.Context, j *job, run querytree.Interval, strict bool) (batch, bool, error) {
	b := batch{from: run.Mint, to: run.Maxt, step: j.step(), state: whole}
	req := querytree.ExecRequest{
		Options: querytree.Options{ID: "rollup " + j.rule.ID, Client: "rollups", Strict: strict, NoCache: true},
		Query:   j.rule.Text(), Start: run.Mint, End: run.Maxt, Step: j.step(), Lookback: c.cfg.Lookback,
	}
	if len(j.rule.Ops) > 1 {
		req.Ops = j.rule.Ops
	}
	set, err := c.cfg.Source.Exec(ctx, req)
	if err != nil {
		return b, false, err
	}
	defer set.Close()
	for set.Next() {
		b.series = append(b.series, set.At())
	}
	if err := set.Err(); err != nil {
		return b, false, err
	}
	if missing := set.Report().Missing(); len(missing) > 0 {
		if strict {
			return b, false, &owedError{missing}
		}
		if owing := c.owing(set.Report()); len(owing) > 0 {
			return b, false, &owedError{owing[:min(len(owing), maxNamed)]}
		}
		b.state, b.missing = partial, missingText(set.Report(), missing[:min(len(missing), maxNamed)])
	}
	for _, w := range set.Warnings() {
		if !j.rule.Foretold(w) && !strings.HasPrefix(w.Error(), "partial answer") {
			return b, false, nil
		}
	}
	return b, true, nil
}

// maxNamed bounds the names of who had no part in a point.
const maxNamed = 20
