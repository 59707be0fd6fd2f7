package gitops

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/pandometrics/pando/gitops/wave"
)

// The commands of an operator.
const (
	CommandPause    = "pause"
	CommandResume   = "resume"
	CommandPromote  = "promote"
	CommandAbort    = "abort"
	CommandRollback = "rollback"
)

// Command is what an operator tells a loop. It becomes part of the state before
// it is answered, so it survives a crash.
type Command struct {
	// Name is one of the constants above.
	Name string `json:"-"`
	// Revision is what it is about; "" stands for the obvious one. The first
	// characters are enough for one that the loop knows.
	Revision string `json:"revision,omitempty"`
	// Why is for the history, and for those who ask what happened.
	Why string `json:"why,omitempty"`
}

// Do obeys a command, and returns what it will do. Pause, and abort, are heeded
// by all clusters as soon as the tree has told them; the others are for this
// cluster alone.
func (l *Loop) Do(_ context.Context, c Command) (string, error) {
	now := l.deps.Now()
	var said string
	var refusal error
	err := l.change(func(s *State) {
		if said, refusal = s.obey(c, now.UTC().Format("15:04:05")); refusal != nil {
			return
		}
		if c.Name == CommandAbort {
			revision, _ := s.subject(c)
			s.reject(revision, "aborted by command"+reason(c), now)
		}
		s.event(Event{now, c.Revision, "command", c.Name + reason(c)})
	})
	if err := errors.Join(refusal, err); err != nil {
		return "", fmt.Errorf("%s: %w", c.Name, err)
	}
	l.logger.Info("command obeyed", "command", c.Name, "revision", c.Revision, "why", c.Why)
	l.poke()
	return said, nil
}

func reason(c Command) string {
	if c.Why == "" {
		return ""
	}
	return ": " + clip(c.Why)
}

// obey changes the state, but for rejections, and says what follows.
func (s *State) obey(c Command, at string) (string, error) {
	revision, err := s.subject(c)
	if err != nil {
		return "", err
	}
	switch c.Name {
	case CommandPause:
		s.Paused = true
		return "paused: no cluster advances once the tree has told it; returning to good revisions goes on", nil
	case CommandResume:
		s.Paused, s.Pinned, s.Promoted = false, "", ""
		return "resumed at " + at, nil
	case CommandPromote:
		s.Promoted, s.Pinned = revision, ""
		s.Rejected, s.Heard = slices.DeleteFunc(s.Rejected, of(revision)), slices.DeleteFunc(s.Heard, of(revision))
		return "takes " + short(revision) + " without waiting for its turn", nil
	case CommandAbort:
		if s.Promoted == revision {
			s.Promoted = ""
		}
		return "rejects " + short(revision) + ": every cluster that runs it returns to its last good revision", nil
	case CommandRollback:
		s.Pinned, s.Promoted = revision, ""
		return "returns to " + short(revision) + " and stays there until it is resumed; the fleet is paused so long", nil
	}
	return "", fmt.Errorf("there is no such command: use %s, %s, %s, %s or %s", CommandPause, CommandResume, CommandPromote, CommandAbort, CommandRollback)
}

// subject finds the revision that a command is about.
func (s *State) subject(c Command) (string, error) {
	if c.Revision != "" {
		return s.known(c.Revision)
	}
	switch c.Name {
	case CommandPromote:
		if s.Newest == nil || s.Newest.Revision == s.Running {
			return "", errors.New("there is no newer revision to take: name one")
		}
		return s.Newest.Revision, nil
	case CommandAbort:
		if s.Pending != nil && !s.Pending.Back {
			return s.Pending.Revision, nil
		}
		if s.Running == "" {
			return "", errors.New("nothing runs that could be aborted: name a revision")
		}
		return s.Running, nil
	case CommandRollback:
		for _, g := range s.Good {
			if g != s.Running {
				return g, nil
			}
		}
		return "", errors.New("no earlier revision has proved itself here: name one")
	}
	return "", nil
}

// known completes a revision from its first characters; a full one needs not be
// known.
func (s *State) known(prefix string) (string, error) {
	if strings.Trim(prefix, "0123456789abcdef") != "" {
		return "", fmt.Errorf("%.60q is not the hash of a commit", prefix)
	}
	if len(prefix) == 40 {
		return prefix, nil
	}
	var found []string
	for _, e := range append([]Event{{Revision: s.Running}}, s.History...) {
		if len(prefix) >= 4 && strings.HasPrefix(e.Revision, prefix) && !slices.Contains(found, e.Revision) {
			found = append(found, e.Revision)
		}
	}
	if len(found) != 1 {
		return "", fmt.Errorf("%d revisions are known that begin with %q: give all 40 characters", len(found), prefix)
	}
	return found[0], nil
}

// waveOf returns the name of a cluster's wave.
func waveOf(waves []wave.Wave, cluster string) string {
	for _, w := range waves {
		if slices.Contains(w.Clusters, cluster) {
			return w.Name
		}
	}
	return ""
}
