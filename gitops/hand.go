package gitops

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// reached remembers that the workload has begun with what is delivered.
func (l *Loop) reached(p *Pending) error {
	if p.Reached {
		return nil
	}
	p.Reached = true
	return l.change(func(s *State) {
		if s.Pending != nil {
			s.Pending.Reached = true
		}
	})
}

// hand gives a bundle to the deliverer, unless it is what runs already, by
// another name.
func (l *Loop) hand(ctx context.Context, p *Pending, b *Bundle) error {
	same := false
	l.peek(func(s *State) { same = !p.Back && s.RunningHash == p.Hash && s.Running != "" })
	if same {
		if loaded, err := l.deps.Confirmer.Loaded(ctx); err == nil && loaded == p.Hash {
			return nil
		}
	}
	before := p.Handed
	if err := l.handed(p, true); err != nil {
		return err
	}
	l.store.crash("before delivery")
	defer l.store.crash("after delivery")
	err := l.deliver(ctx, p, b)
	if unwritten(err) && !before {
		return errors.Join(err, l.handed(p, false))
	}
	return err
}

// deliver has what is pending delivered. What a delivery has left that made way proved
// nothing, though what runs did.
func (l *Loop) deliver(ctx context.Context, p *Pending, b *Bundle) error {
	proven := false
	l.peek(func(s *State) { proven = slices.Contains(s.Good, s.Running) && !s.Partial })
	if r, ok := l.deps.Deliverer.(Replacer); ok && proven && !p.Back {
		return r.Replace(ctx, b)
	}
	return l.deps.Deliverer.Deliver(ctx, b)
}

// handed remembers whether what is pending was given to the deliverer.
func (l *Loop) handed(p *Pending, now bool) error {
	if p.Handed == now {
		return nil
	}
	p.Handed = now
	return l.change(func(s *State) {
		if s.Pending != nil {
			s.Pending.Handed = now
		}
	})
}

// again returns the bundle of what is pending, from the repository if the disk
// has lost it.
func (l *Loop) again(ctx context.Context, p *Pending) (*Bundle, error) {
	if b := l.store.bundle(p.Revision); b != nil {
		return b, nil
	}
	a, err := l.at(ctx, p.Revision, "")
	if err == nil {
		err = a.invalid
	}
	if err != nil {
		return nil, fmt.Errorf("the stored bundle of revision %.12s is gone: %w", p.Revision, err)
	}
	return a.bundle, l.store.keep(a.bundle)
}

// undelivered tries again for as long as a workload may take.
func (l *Loop) undelivered(ctx context.Context, p *Pending, err error) error {
	l.retries++
	took := l.deps.Now().Sub(l.tried.from)
	l.blocked = !progressing(err) || obstructed(err)
	if !unavailable(err) && !l.onItsWay(err) && took > l.cfg.ConfirmTimeout {
		return l.late(ctx, p, "it could not be delivered within "+took.Round(time.Second).String()+": "+err.Error())
	}
	again := fmt.Errorf("deliver revision %.12s: %w", p.Revision, err)
	if unavailable(err) || unwritten(err) {
		return again
	}
	return errors.Join(again, l.reached(p)) // what reloads may be what does not answer
}

// onItsWay tells whether the workload makes progress, and has time left for it.
func (l *Loop) onItsWay(err error) bool {
	return progressing(err) && l.deps.Now().Sub(l.tried.from) <= l.cfg.ProgressTimeout
}

// late gives up what a workload did not load in time, if that says something
// about the revision: where nothing ran before, the workload may just not be
// there yet, and the newest is tried again.
func (l *Loop) late(ctx context.Context, p *Pending, why string) error {
	first := false
	l.peek(func(s *State) { first = s.Running == "" })
	if !first {
		return l.giveUp(ctx, p, why)
	}
	l.retries++
	return errors.Join(fmt.Errorf("first revision %.12s: %s", p.Revision, why), l.change(func(s *State) { s.Pending = nil }))
}
