package gitops

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/pandometrics/pando/gitops/wave"
)

// input gathers what a decision is made of.
func (l *Loop) input(now time.Time) (wave.Input, wave.Memory) {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.state
	in := wave.Input{
		Now: now, Cluster: l.cfg.Cluster, Waves: s.Waves, Running: s.Running, Good: slices.Clone(s.Good),
		Rejected: s.rejected(), Older: l.older, Paused: s.Paused, Promoted: s.Promoted, Pinned: s.Pinned,
	}
	if s.Newest != nil {
		in.Newest, in.Waves = s.Newest.Revision, wave.Effective(s.Waves, s.Newest.Waves)
	}
	return in, s.Memory
}

// decide asks the fleet, decides, and does what was decided.
func (l *Loop) decide(ctx context.Context) error {
	in, memory := l.input(l.deps.Now())
	if in.Newest == "" && in.Running == "" {
		l.look(wave.Decision{Do: wave.Wait, Why: "no revision has been fetched yet"}, nil)
		return nil
	}
	var errs []error
	fleet, err := l.deps.Fleet.Fleet(ctx)
	if err != nil {
		in.FleetErr = err.Error()
		errs = append(errs, err)
	}
	in.Fleet = without(fleet, l.cfg.Cluster)
	if in.Fleet == nil {
		in.Fresh = in.Running == "" && l.fresh(ctx)
		in.Heard = l.hear(ctx)
	}
	d, next, err := l.consult(ctx, in, memory)
	errs = append(errs, err)
	l.look(d, fleet)
	now := l.deps.Now()
	err = l.change(func(s *State) {
		s.Memory = next
		s.Began = s.Began || in.Fresh && d.Do == wave.Advance
		s.reject(d.Reject, d.Why, now)
		for _, f := range []*wave.Fleet{in.Fleet, in.Heard} {
			if f != nil {
				s.hear(f.Rejected, now)
			}
		}
		if d.Good && l.healthy {
			s.good(s.Running, now)
			if b := l.store.bundle(s.Running); b != nil {
				s.Waves = b.Waves
			}
		}
	})
	if err != nil {
		return err
	}
	return errors.Join(append(errs, l.obey(ctx, d))...)
}

// consult decides, and asks the gates that this needs.
func (l *Loop) consult(ctx context.Context, in wave.Input, memory wave.Memory) (d wave.Decision, next wave.Memory, err error) {
	var errs []error
	for d, next = wave.Decide(in, memory); len(d.Need) > 0; d, next = wave.Decide(in, memory) {
		if in.Gates == nil {
			in.Gates = map[string]wave.Verdict{}
		}
		for key, g := range d.Need {
			a, err := l.deps.Fleet.Gate(ctx, g)
			if err != nil {
				errs = append(errs, fmt.Errorf("gate %q: %w", key, err))
				a.Verdict = a.ofPart(runsWith(in))
			}
			in.Gates[key] = a.Verdict
			l.noteGate(key, a, err)
		}
	}
	return d, next, errors.Join(errs...)
}

// runsWith tells which clusters run what this one does, or is about to.
func runsWith(in wave.Input) func(cluster string) bool {
	revision := in.Running
	if in.Pending != "" {
		revision = in.Pending
	}
	return func(c string) bool {
		if c == in.Cluster {
			return true
		}
		for _, f := range []*wave.Fleet{in.Fleet, in.Heard} {
			if f != nil && f.Clusters[c] == revision {
				return true
			}
		}
		return false
	}
}

// fresh tells whether nothing has ever run here: a workload that has loaded
// something, or has loaded nothing though something was delivered to it, tells of a
// loop whose state was lost, which has to wait its turn. What this loop began
// with before anything ran is not counted.
func (l *Loop) fresh(ctx context.Context) bool {
	began := false
	l.peek(func(s *State) { began = s.Began })
	if began {
		return true
	}
	loaded, err := l.deps.Confirmer.Loaded(ctx)
	if err == nil && loaded != "" {
		return false
	}
	target, ok := l.deps.Deliverer.(Blank)
	if !ok {
		return err == nil
	}
	blank, err := target.Blank(ctx)
	return err == nil && blank
}

// hear returns what a part of the fleet tells, nil if nobody does.
func (l *Loop) hear(ctx context.Context) *wave.Fleet {
	some, ok := l.deps.Fleet.(Hearsay)
	if !ok {
		return nil
	}
	f, err := some.Heard(ctx)
	if err != nil {
		return nil // why is told by the question to the whole
	}
	return without(f, l.cfg.Cluster)
}

// without leaves out what the own cluster tells: the loop knows that itself,
// and before the tree does. Its own rejections of a time before it was told to
// promote count no more.
func without(f *wave.Fleet, cluster string) *wave.Fleet {
	if f == nil {
		return nil
	}
	out := &wave.Fleet{Clusters: maps.Clone(f.Clusters), Moving: maps.Clone(f.Moving), Rejected: map[string]string{}}
	delete(out.Clusters, cluster)
	delete(out.Moving, cluster)
	for r, why := range f.Rejected {
		if !strings.HasPrefix(why, "by cluster "+cluster+":") {
			out.Rejected[r] = why
		}
	}
	paused := slices.DeleteFunc(strings.Split(f.Paused, pausedSeparator), func(c string) bool { return c == cluster })
	out.Paused = strings.Join(paused, pausedSeparator)
	return out
}

// look makes a decision visible.
func (l *Loop) look(d wave.Decision, fleet *wave.Fleet) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.view.decision.Do != d.Do || l.view.decision.Why != d.Why {
		l.logger.Info("decided", "do", d.Do, "to", d.To, "why", d.Why)
	}
	l.view.decision, l.view.fleet = d, fleet
}
