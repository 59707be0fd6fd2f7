package gitops

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/pandometrics/pando/gitops/source"
	"github.com/pandometrics/pando/gitops/wave"
)

// sameProblem repeats what is still wrong with the revision that the repository
// names, so that it does not look solved.
func (l *Loop) sameProblem() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.view.stalled == nil {
		return nil
	}
	return errors.New(l.view.stalled.Message)
}

// stalls is implemented by errors that tell whether trying again is of use.
type stalls interface{ Stalled() bool }

func (l *Loop) notFetched(err error, now time.Time) error {
	var s stalls
	if !errors.As(err, &s) || !s.Stalled() {
		l.failures++
		l.fetchAt = now.Add(l.jittered(backoff(l.failures, l.cfg.Interval)))
		return err
	}
	l.failures, l.fetchAt = 0, now.Add(l.jittered(l.cfg.Interval))
	p := &Problem{Reason: "source", Message: clip(err.Error()), At: now}
	var e *source.Error
	if errors.As(err, &e) {
		p.Revision, p.Reason = e.Revision, string(e.Reason)
		if e.Revision != "" && aboutRevision(e.Reason) {
			l.seen = e.Revision // the same refusal needs not be paid for again
		}
	}
	l.stall(p)
	return err
}

// aboutRevision tells refusals of a commit from those that have to do with keys
// and credentials, which can change without it.
func aboutRevision(r source.Reason) bool {
	switch r {
	case source.ReasonTooLarge, source.ReasonTree, source.ReasonUnsigned, source.ReasonCorrupt:
		return true
	}
	return false
}

func (l *Loop) stall(p *Problem) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.view.stalled = p
}

// take makes a revision that was fetched the newest, if all of it is valid.
func (l *Loop) take(a *answer, now time.Time) error {
	rev, b, base := a.rev, a.bundle, a.base
	l.seen = rev.Hash
	if a.invalid != nil {
		l.stall(&Problem{Revision: rev.Hash, Reason: "invalid", Message: clip(a.invalid.Error()), At: now})
		return a.invalid
	}
	if err := l.store.keep(b); err != nil {
		l.seen = ""
		return err
	}
	err := l.change(func(s *State) {
		s.Newest = &Seen{Revision: rev.Hash, Ref: rev.Ref, When: rev.When, Author: rev.Author, Subject: rev.Subject, Signer: rev.Signer, Base: base, Waves: b.Waves}
		s.event(Event{now, rev.Hash, "seen", rev.Subject})
	})
	if err != nil {
		l.seen = ""
		return err
	}
	l.stall(nil)
	l.logger.Info("new revision", "revision", rev.Hash, "subject", rev.Subject, "signer", rev.Signer)
	return nil
}

func (l *Loop) render(ctx context.Context, rev *source.Revision) (*Bundle, error) {
	b, err := l.deps.Renderer.Render(ctx, rev.Hash, rev.Files)
	if err != nil {
		return nil, fmt.Errorf("revision %.12s is invalid: %w", rev.Hash, err)
	}
	b.Revision = rev.Hash
	return b, b.Validate()
}

// obey does what was decided.
func (l *Loop) obey(ctx context.Context, d wave.Decision) error {
	if d.To == "" || d.Do != wave.Advance && d.Do != wave.RollBack {
		return nil
	}
	if d.Do == wave.Advance && !l.healthy {
		// What it does not load now would say nothing of the revision.
		return fmt.Errorf("revision %.12s is not delivered while the workload cannot be asked", d.To)
	}
	b, err := l.obtain(ctx, d)
	if errors.Is(err, errAsked) {
		return nil // its turn is when the repository has answered
	}
	if err != nil {
		return err
	}
	now := l.deps.Now()
	err = l.change(func(s *State) {
		s.Pending = &Pending{Revision: b.Revision, Hash: b.Hash, Since: now, Why: d.Why, Back: d.Do == wave.RollBack, Newest: s.newest()}
		s.event(Event{now, b.Revision, string(d.Do), d.Why})
	})
	if err != nil {
		return err
	}
	return l.resume(ctx)
}

// obtain returns the bundle of a revision to go to. One that is to be advanced
// to must descend from what runs, unless the operator wants it.
func (l *Loop) obtain(ctx context.Context, d wave.Decision) (*Bundle, error) {
	var running, base, promoted string
	l.peek(func(s *State) {
		running, promoted = s.Running, s.Promoted
		if s.Newest != nil && s.Newest.Revision == d.To {
			base = s.Newest.Base
		}
	})
	b := l.store.bundle(d.To)
	if b != nil && (d.Do == wave.RollBack || running == "" || promoted == d.To || base == running) {
		return b, nil
	}
	if d.Do == wave.RollBack || promoted == d.To {
		running = ""
	}
	a, err := l.at(ctx, d.To, running)
	var e *source.Error
	if errors.As(err, &e) && e.Reason == source.ReasonRewound {
		l.older[d.To] = true
	}
	if err != nil || b != nil {
		return b, err
	}
	if a.invalid != nil {
		return nil, a.invalid
	}
	return a.bundle, l.store.keep(a.bundle)
}

// resume delivers what is pending: for the first time, or again after an error
// or a crash.
func (l *Loop) resume(ctx context.Context) error {
	p := l.pending()
	if p == nil {
		return nil
	}
	if why := l.superseded(p); why != "" {
		return l.drop(p, why)
	}
	b, err := l.again(ctx, p)
	if errors.Is(err, errAsked) {
		return nil
	}
	if err != nil {
		return err
	}
	why, err := l.unwanted(ctx, p)
	if err != nil {
		// What it waits for may last. That is not held against it, and a newer
		// revision may be what ends it.
		l.retries++
		l.tried, l.blocked = attempts{}, true
		err = fmt.Errorf("revision %.12s is not delivered before the fleet is heard: %w", p.Revision, err)
		return errors.Join(err, l.restore(ctx))
	}
	if why == "" {
		why = l.failing(ctx, p)
	}
	if why != "" {
		return l.giveUp(ctx, p, why)
	}
	if l.tried.since != p.Since {
		l.tried = attempts{since: p.Since, from: l.deps.Now()}
	}
	err = l.hand(ctx, p, b)
	switch {
	case refused(err):
		return l.giveUp(ctx, p, err.Error())
	case err != nil:
		return l.undelivered(ctx, p, err)
	}
	// Before it is asked: it may take down what the loop runs beside, or hears by.
	if err := l.reached(p); err != nil {
		return err
	}
	if err := l.confirm(ctx, p); err != nil {
		return l.unconfirmed(ctx, p, err)
	}
	l.store.crash("confirmed")
	return l.settle(p, b)
}

// unconfirmed asks again for as long as a workload may take.
func (l *Loop) unconfirmed(ctx context.Context, p *Pending, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if !unavailable(err) && !l.onItsWay(err) {
		return l.late(ctx, p, err.Error())
	}
	l.retries++
	l.blocked = obstructed(err) // a newer revision lets one that rolls finish
	return fmt.Errorf("confirm revision %.12s: %w", p.Revision, err)
}

// failing says why the gates of the own wave reject what is being delivered, "" if
// they do not. They are asked as often as while it bakes; not for a return, nor where
// they did not count before: for a command, and for what replaces a bad revision that
// there is no way back from.
func (l *Loop) failing(ctx context.Context, p *Pending) string {
	now := l.deps.Now()
	if p.Back || now.Sub(p.Since) < l.cfg.RolloutInterval || now.Sub(l.gatesAt) < l.cfg.RolloutInterval {
		return ""
	}
	in, memory := l.input(now)
	if _, stuck := in.Rejected[in.Running]; stuck || in.Running == "" || in.Promoted == p.Revision {
		return ""
	}
	l.gatesAt = now
	in.Pending, in.Patience = p.Revision, l.cfg.ConfirmTimeout
	d, next, err := l.consult(ctx, in, memory)
	if err = errors.Join(err, l.change(func(s *State) { s.Memory = next })); err != nil {
		l.logger.Debug("gates not asked during a delivery", "revision", p.Revision, "err", err)
	}
	if d.Reject == "" {
		return ""
	}
	return d.Why
}

// confirm waits until the workload says that it has loaded what was delivered.
func (l *Loop) confirm(ctx context.Context, p *Pending) error {
	deadline := l.deps.Now().Add(l.cfg.ConfirmTimeout)
	for wait := 50 * time.Millisecond; ; wait = min(2*wait, 2*time.Second) {
		loaded, err := l.deps.Confirmer.Loaded(ctx)
		if err == nil && loaded == p.Hash {
			return nil
		}
		if !l.deps.Now().Before(deadline) {
			if err != nil {
				return fmt.Errorf("whether it was loaded was not to be learned within %s: %w", l.cfg.ConfirmTimeout, err)
			}
			return fmt.Errorf("the workload did not load it within %s", l.cfg.ConfirmTimeout)
		}
		if why := l.failing(ctx, p); why != "" {
			return errors.New(why)
		}
		if err := l.sleep(ctx, wait); err != nil {
			return err
		}
	}
}

// settle records that a revision runs.
func (l *Loop) settle(p *Pending, b *Bundle) error {
	now := l.deps.Now()
	l.retries, l.blocked, l.older = 0, false, map[string]bool{}
	err := l.change(func(s *State) {
		if p.Back || p.Revision == s.Running {
			s.Memory.Return(now, slices.Contains(s.Good, p.Revision))
		}
		// Those of what proved itself count, until this does; and those of what is
		// returned to, for the waves of a rejected revision must not outlive it.
		if len(s.Waves) == 0 || p.Back && (p.Revision != s.Running || slices.Contains(s.Good, p.Revision)) {
			s.Waves = b.Waves
		}
		if s.Promoted == s.Running && s.Promoted != p.Revision {
			s.Promoted = "" // it was obeyed; one that came meanwhile is still to be
		}
		s.Running, s.RunningHash, s.RunningAt, s.Pending = p.Revision, p.Hash, now, nil
		s.Partial = false
		s.event(Event{now, p.Revision, "running", p.Why})
	})
	if err != nil {
		return err
	}
	l.metrics.settled(p.Back)
	l.logger.Info("revision runs", "revision", p.Revision, "hash", p.Hash, "why", p.Why)
	l.peek(func(s *State) { err = l.store.prune(s.keeps) })
	l.poke() // there may be more to do, and others to tell of it
	return err
}

// giveUp rejects a revision that could not be made to run, and returns to what
// ran before. That itself cannot be given up, only tried again.
func (l *Loop) giveUp(ctx context.Context, p *Pending, why string) error {
	refusal := fmt.Errorf("revision %.12s given up: %s", p.Revision, why)
	now := l.deps.Now()
	again := false
	err := l.change(func(s *State) {
		if again = p.Revision == s.Running; again {
			return
		}
		s.reject(p.Revision, why, now)
		if s.Promoted == p.Revision {
			s.Promoted = ""
		}
		if s.Pinned == p.Revision {
			s.Pinned, s.Paused = "", true // the operator has to look
		}
		s.Pending = nil
		if s.Running != "" && (p.Handed || p.Reached) { // else it runs as it did
			s.Pending = &Pending{
				Revision: s.Running, Hash: s.RunningHash, Since: now, Why: "after " + short(p.Revision) + " was given up", Back: true, Newest: s.newest(),
				Handed: true, // what is given up was, and must be put right
			}
			s.event(Event{now, s.Running, string(wave.RollBack), s.Pending.Why})
		}
	})
	if again {
		l.retries++
		l.blocked = true
		return refusal
	}
	l.metrics.gaveUp.Inc()
	if err != nil {
		return errors.Join(refusal, err)
	}
	return errors.Join(refusal, l.resume(ctx))
}

func short(revision string) string { return fmt.Sprintf("%.12s", revision) }
