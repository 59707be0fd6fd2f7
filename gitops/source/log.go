package source

import (
	"context"
	"time"
)

// Commit is one of a history. What it says of itself is not verified.
type Commit struct {
	Hash    string
	Parents []string
	// Author is NAME <EMAIL>, When it was committed, as the committer says.
	Author           string
	When             time.Time
	Subject, Message string
}

// History is the newest of what a reference names.
type History struct {
	// Ref is the reference.
	Ref string
	// Commits are the newest first. Truncated says that there are more.
	Commits   []Commit
	Truncated bool
}

// Log returns the newest commits of the reference, most of them at most. Trees and
// files are left out, if the server can do that; its answer is bounded as any.
func (s *Source) Log(ctx context.Context, most int) (History, error) {
	op := "list " + s.what()
	ctx, cancel := context.WithTimeout(ctx, s.cfg.Limits.Timeout)
	defer cancel()
	r, adv, t, err := s.open(ctx)
	if err != nil {
		return History{}, s.error(ctx, err, op, "")
	}
	defer r.close()
	o, err := s.get(ctx, r, adv, request{want: t.commit, depth: most + 1, commitsOnly: true})
	if err != nil {
		return History{}, s.error(ctx, err, op, t.commit)
	}
	h, err := o.history(t.commit, most)
	h.Ref = t.ref
	return h, s.error(ctx, err, op, t.commit)
}

// history lists commits from one on, as git log does: of those whose children
// were listed, the youngest is next.
func (o *objects) history(from string, most int) (History, error) {
	var h History
	known := map[string]bool{from: true}
	c, err := o.readCommit(from)
	if err != nil {
		return h, err
	}
	for next := []*commit{c}; len(next) > 0; {
		youngest := 0
		for i := range next {
			if next[i].when.After(next[youngest].when) {
				youngest = i
			}
		}
		c := next[youngest]
		next = append(next[:youngest], next[youngest+1:]...)
		if len(h.Commits) == most {
			h.Truncated = true
			break
		}
		h.Commits = append(h.Commits, Commit{Hash: c.hash, Parents: c.parents, Author: c.author, When: c.when, Subject: c.subject, Message: c.message})
		for _, p := range c.parents {
			if known[p] || !o.has(p) { // the end of what was asked for
				continue
			}
			known[p] = true
			parent, err := o.readCommit(p)
			if err != nil {
				return h, err
			}
			next = append(next, parent)
		}
	}
	return h, nil
}
