package gitops

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/pandometrics/pando/gitops/source"
)

// errands are questions to the repository. They run beside the turns, one at a
// time, for a repository may take as long to answer as a fetch may last, and what
// is decided meanwhile must not wait for it: until the answer is there, what was
// known before is what counts.
type errands struct {
	running sync.WaitGroup
	// answers has room for the one that is under way.
	answers  chan answer
	underWay bool
	// newest and at are answers that were not looked at yet.
	newest, at *answer
}

// answer is what the repository said, and what was rendered of it.
type answer struct {
	// hash is the revision that was asked for, "" for the newest.
	hash string
	// base is what it was to descend from.
	base   string
	sent   time.Time // by the machine, for spans
	asked  time.Time // by the loop
	rev    *source.Revision
	err    error // there is no revision
	bundle *Bundle
	// invalid says why there is no bundle.
	invalid error
}

// atUse is how long an answer about a revision of the past holds: who asked may
// have been paused meanwhile, and the branch been rewound.
const atUse = 10 * time.Minute

// errAsked says that the answer is to come.
var errAsked = errors.New("the repository is being asked")

// ask sends for something, unless that is under way already for something else.
func (l *Loop) ask(ctx context.Context, a answer, fetch func(context.Context) (*source.Revision, error)) {
	if l.errands.underWay {
		return
	}
	l.errands.underWay, a.sent, a.asked = true, time.Now(), l.deps.Now()
	l.spawn(func() {
		ctx, span := l.tracer.Start(ctx, "gitops errand")
		defer span.End()
		if a.rev, a.err = fetch(ctx); a.err == nil {
			a.bundle, a.invalid = l.render(ctx, a.rev)
		}
		l.errands.answers <- a
		l.poke()
	})
	l.receive()
}

// receive takes in the answer, if it is there.
func (l *Loop) receive() {
	select {
	case a := <-l.errands.answers:
		l.errands.underWay = false
		if a.hash == "" {
			l.errands.newest = &a
		} else {
			l.errands.at = &a
		}
	default:
	}
}

// due tells whether it is time to look at the repository.
func (l *Loop) due() bool {
	now := l.deps.Now()
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.errands.underWay || now.Before(l.fetchAt) && (!l.view.hurry || now.Sub(l.lookedAt) < hurryInterval) {
		return false
	}
	l.view.hurry = false
	return true
}

// fetch looks at the repository.
func (l *Loop) fetch(ctx context.Context) {
	a := answer{}
	l.peek(func(s *State) { a.base = s.Running })
	want := source.Want{Seen: l.seen, Base: a.base}
	l.ask(ctx, a, func(ctx context.Context) (*source.Revision, error) { return l.deps.Source.Fetch(ctx, want) })
}

// fetched takes in what a look at the repository gave.
func (l *Loop) fetched(a *answer) error {
	now := l.deps.Now() // the pause is between two, however long one takes
	l.lookedAt = now
	l.metrics.fetched(a.err)
	if a.err != nil && !errors.Is(a.err, source.ErrUnchanged) {
		return l.notFetched(a.err, now)
	}
	l.fetchAt, l.failures = now.Add(l.jittered(l.cfg.Interval)), 0
	if a.err != nil {
		return l.sameProblem()
	}
	return l.take(a, now)
}

// at returns a revision of the past, or errAsked.
func (l *Loop) at(ctx context.Context, hash, base string) (*answer, error) {
	for range 2 {
		if a := l.errands.at; a != nil && a.hash == hash && a.base == base && l.deps.Now().Sub(a.asked) < atUse {
			l.errands.at = nil
			return a, a.err
		}
		l.errands.at = nil // nobody wants it any more
		l.ask(ctx, answer{hash: hash, base: base}, func(ctx context.Context) (*source.Revision, error) {
			return l.deps.Source.At(ctx, hash, base)
		})
	}
	return nil, errAsked
}
