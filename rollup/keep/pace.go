package keep

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/pandometrics/pando/querytree"
)

// pace is how attempts at points go.
type pace struct {
	// failed counts failures since the last success; not before until is the next
	// attempt.
	failed int
	until  time.Time
	// most bounds the points that are asked for at once, while somebody who is waited
	// for lacks in some of them; zero if that is not known.
	most int
}

func freshOf(j *job) *pace { return &j.fresh }

func goodOf(j *job) *pace { return &j.good }

// Back-off of rules whose points cannot be made.
const (
	minBackoff = time.Second
	maxBackoff = 30 * time.Second
)

// try makes a run of points, and notes how it went. Its error is that of ctx: what
// happens to one rule does not keep others from being made.
func (c *Collector) try(ctx context.Context, j *job, p *pace, run querytree.Interval) error {
	err := c.make(ctx, j, run)
	if err == nil {
		p.most = min(2*p.most, c.cfg.Batch)
		c.passed(j, p)
		return nil
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	next := j.after
	if owed := (*owedError)(nil); errors.As(err, &owed) {
		if run.Mint < run.Maxt {
			// Some of them may lack nobody but those who are released.
			next, p.most = run.Mint, int((run.Maxt-run.Mint)/j.step()+1)/2
		} else {
			next = run.Mint + c.stride()*j.step()
		}
	}
	if p == &j.good {
		j.cursor = next
	}
	c.backOff(j, p, run, err)
	return nil
}

// stride is how far to go on, in points, from one that lacks somebody who is waited
// for: those next to it mostly do too, and at one in each back-off they would hold up
// what comes after them for hours. It differs from round to round, so that no point is
// always passed over.
func (c *Collector) stride() int64 { return 1 + int64(c.round%uint64(c.cfg.Batch)) }

// rest notes that no points lack: what failed has been made meanwhile, or is too old.
func (c *Collector) rest(j *job, p *pace) {
	if p.failed > 0 {
		c.passed(j, p)
	}
}

// passed notes that points were made.
func (c *Collector) passed(j *job, p *pace) {
	if p.failed = 0; j.fresh.failed+j.good.failed+j.whole.failed == 0 {
		c.note(j, "")
	}
}

// batch is how many points of a rule are asked for at once.
func (c *Collector) batch(p pace) int64 {
	return int64(min(cmp.Or(p.most, c.cfg.Batch), c.cfg.Batch))
}

// backOff notes that points could not be made.
func (c *Collector) backOff(j *job, p *pace, run querytree.Interval, err error) {
	c.metrics.failures.Inc()
	c.note(j, err.Error())
	p.failed++
	p.until = c.cfg.Now().Add(min(maxBackoff, minBackoff<<min(p.failed-1, 5)))
	level := slog.LevelDebug
	if broken := (*storeError)(nil); errors.As(err, &broken) {
		level = slog.LevelError // of this tier's disk, not of somebody below
	}
	c.cfg.Logger.Log(context.Background(), level, "rollup cannot be made yet", "rule", j.rule.Name, "from", run.Mint, "to", run.Maxt, "error", err)
}

// note keeps why the last attempt of a rule failed.
func (c *Collector) note(j *job, why string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if key := (keptKey{j.rule.ID, j.keep}); why == "" {
		delete(c.failing, key)
	} else {
		c.failing[key] = why
	}
}
