package gitops

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"time"

	"github.com/pandometrics/pando/gitops/source"
)

// Differ tells what differs between two revisions, in one cluster or, if that is
// "", in all: a list in JSON, whose form it knows. It must be a pure function of
// the files.
type Differ interface {
	Diff(ctx context.Context, from, to fs.FS, cluster string) (json.RawMessage, error)
}

// historian is implemented by Sources that can list commits.
type historian interface {
	Log(ctx context.Context, most int) (source.History, error)
}

// Commits is what the followed reference has in its history.
type Commits struct {
	Ref string `json:"ref"`
	// Commits are the newest first. Truncated says that there are more.
	Commits   []Commit `json:"commits"`
	Truncated bool     `json:"truncated"`
}

// Commit is one of the repository.
type Commit struct {
	Revision string    `json:"revision"`
	Parents  []string  `json:"parents"`
	Author   string    `json:"author"`
	When     time.Time `json:"when"`
	Subject  string    `json:"subject"`
	Message  string    `json:"message"`
}

// Difference is what differs between two revisions.
type Difference struct {
	From    string `json:"from"`
	To      string `json:"to"`
	Cluster string `json:"cluster,omitempty"`
	// Changes are in the form of the Differ.
	Changes json.RawMessage `json:"changes"`
}

// Bounds of what is kept of the past, and of one look at it.
const (
	maxCommits      = 500
	maxDifferences  = 16
	maxChangesBytes = 4 << 20
	commitsFresh    = 10 * time.Second
)

// archive answers questions about the past of the repository. Answers are kept,
// for a page asks again and again; one question is under way at a time, so that
// pages cost the repository no more than the loop does.
type archive struct {
	turn chan struct{} // holds a token while nobody asks

	// What follows belongs to who has the token.
	commits     Commits
	commitsAt   time.Time
	commitsFor  string // the newest revision when they were asked for
	commitsMost int
	differences []Difference // the latest last
}

func newArchive() archive {
	a := archive{turn: make(chan struct{}, 1)}
	a.turn <- struct{}{}
	return a
}

// enter waits for the token.
func (a *archive) enter(ctx context.Context) error {
	select {
	case <-a.turn:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("wait for another question to the repository: %w", ctx.Err())
	}
}

func (a *archive) leave() { a.turn <- struct{}{} }

// Commits lists the newest commits of the followed reference. It is safe for
// concurrent use.
func (l *Loop) Commits(ctx context.Context, most int) (Commits, error) {
	h, ok := l.deps.Source.(historian)
	if !ok {
		return Commits{}, errors.New("list commits: the repository cannot be asked for its history")
	}
	most = min(max(most, 1), maxCommits)
	a := &l.past
	if err := a.enter(ctx); err != nil {
		return Commits{}, err
	}
	defer a.leave()
	now, newest := l.deps.Now(), l.newestSeen()
	if a.commitsMost == most && a.commitsFor == newest && now.Sub(a.commitsAt) < commitsFresh {
		return a.commits, nil
	}
	got, err := h.Log(ctx, most)
	if err != nil {
		return Commits{}, err
	}
	out := Commits{Ref: got.Ref, Truncated: got.Truncated, Commits: []Commit{}}
	for _, c := range got.Commits {
		out.Commits = append(out.Commits, Commit{
			Revision: c.Hash, Parents: append([]string{}, c.Parents...), Author: c.Author, When: c.When, Subject: c.Subject, Message: c.Message,
		})
	}
	a.commits, a.commitsAt, a.commitsFor, a.commitsMost = out, now, newest, most
	return out, nil
}

// newestSeen names what the loop has seen of the repository last, used or not.
func (l *Loop) newestSeen() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	seen := l.state.newest()
	if l.view.stalled != nil {
		seen += " " + l.view.stalled.Revision
	}
	return seen
}

// Diff tells what differs between two revisions of the followed history, which
// are named in full, in one cluster or, if that is "", in all. It is safe for
// concurrent use.
func (l *Loop) Diff(ctx context.Context, from, to, cluster string) (Difference, error) {
	out := Difference{From: from, To: to, Cluster: cluster}
	if l.deps.Differ == nil {
		return out, errors.New("compare revisions: this loop does not know the format")
	}
	a := &l.past
	if err := a.enter(ctx); err != nil {
		return out, err
	}
	defer a.leave()
	same := func(d Difference) bool { return d.From == from && d.To == to && d.Cluster == cluster }
	if i := slices.IndexFunc(a.differences, same); i >= 0 {
		return a.differences[i], nil
	}
	var files [2]fs.FS
	for i, revision := range []string{from, to} {
		rev, err := l.deps.Source.At(ctx, revision, "")
		if err != nil {
			return out, err
		}
		files[i] = rev.Files
	}
	changes, err := l.deps.Differ.Diff(ctx, files[0], files[1], cluster)
	if err != nil {
		return out, fmt.Errorf("compare revisions %.12s and %.12s: %w", from, to, err)
	}
	if len(changes) > maxChangesBytes {
		return out, fmt.Errorf("compare revisions %.12s and %.12s: what differs takes %d bytes, more than %d: ask for one cluster", from, to, len(changes), maxChangesBytes)
	}
	out.Changes = changes
	a.differences = append(a.differences, out)
	a.differences = a.differences[max(0, len(a.differences)-maxDifferences):]
	return out, nil
}
