package gitops

import (
	"context"
	"slices"
	"time"
)

// attempts are those at one delivery.
type attempts struct{ since, from time.Time }

// unwanted tells why a delivery that was interrupted is not to be taken up: the
// operator or the fleet has rejected the revision meanwhile. An error says that
// the fleet could not be asked. The first of all revisions does not need it, nor
// does one that the workload has begun with: it may be what keeps a leaf, and so
// the root, from a whole answer, and only going on ends it.
func (l *Loop) unwanted(ctx context.Context, p *Pending) (why string, err error) {
	promoted, first := false, false
	l.peek(func(s *State) {
		why, promoted, first = s.rejected()[p.Revision], s.Promoted == p.Revision, s.Running == ""
	})
	if p.Back {
		return "", nil
	}
	if why != "" || promoted || l.deps.Now().Sub(p.Since) < l.cfg.RolloutInterval {
		return why, nil
	}
	f, err := l.deps.Fleet.Fleet(ctx)
	if err == nil {
		return without(f, l.cfg.Cluster).Rejected[p.Revision], nil
	}
	if some := l.hear(ctx); some != nil && some.Rejected[p.Revision] != "" {
		return some.Rejected[p.Revision], nil
	}
	if first || p.Reached || l.begun(ctx, p) {
		return "", nil
	}
	return "", err
}

// begun tells whether the workload says that it, or a part of it, runs what is
// pending, or is on its way: the loop was killed before it noted that. A workload that
// does not answer at all may be down for reasons of its own, and one that has loaded
// nothing, or what nobody gave it, has not begun.
func (l *Loop) begun(ctx context.Context, p *Pending) bool {
	loaded, err := l.deps.Confirmer.Loaded(ctx)
	return err == nil && loaded == p.Hash || slices.Contains(mixed(err), p.Hash) || progressing(err) && !unavailable(err)
}

// restore gives the workload what runs, if it says that it has loaded something else,
// while a delivery waits for the fleet: that may wait for the workload.
func (l *Loop) restore(ctx context.Context) error {
	hash := ""
	l.peek(func(s *State) { hash = s.RunningHash })
	if loaded, err := l.deps.Confirmer.Loaded(ctx); err != nil || loaded == hash {
		return nil
	}
	return l.correct(ctx)
}

// superseded tells why a delivery that does not come to an end makes way: the
// operator wants something else, or there is a newer revision, which may be what
// removes the obstacle.
func (l *Loop) superseded(p *Pending) (why string) {
	if l.deps.Now().Sub(p.Since) <= l.cfg.ConfirmTimeout {
		return ""
	}
	l.peek(func(s *State) {
		switch {
		case s.Pinned != "" && s.Pinned != p.Revision:
			why = "a command to return to " + short(s.Pinned)
		case s.Promoted != "" && s.Promoted != p.Revision:
			why = "a command to take " + short(s.Promoted)
		case l.blocked && s.newest() != p.Newest && s.newest() != p.Revision:
			why = "the newer revision " + short(s.newest())
		}
	})
	return why
}

// drop forgets a delivery, without a word on its revision. What it has left is
// replaced by what is decided next, or by what runs.
func (l *Loop) drop(p *Pending, why string) error {
	l.retries, l.blocked = 0, false
	now := l.deps.Now()
	l.logger.Warn("delivery makes way", "revision", p.Revision, "for", why)
	return l.change(func(s *State) {
		if s.Pending = nil; p.Handed || p.Reached { // else what runs was left as it was
			s.Memory.Return(now, slices.Contains(s.Good, s.Running))
			s.Partial = true
		}
		s.event(Event{now, p.Revision, "superseded", "by " + why})
	})
}
