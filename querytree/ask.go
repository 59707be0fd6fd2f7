package querytree

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/util/annotations"
)

// ErrUnavailable is wrapped by errors that concern a child rather than the
// request: it is not connected, its connection broke, or it answered nonsense.
// A request that is not strict is answered without that child.
var ErrUnavailable = errors.New("unavailable")

// ErrLate is the cause of a context that ended because a child missed its soft
// deadline.
var ErrLate = fmt.Errorf("%w: soft deadline passed", ErrUnavailable)

// childsFault reports whether err says that a child is sick or busy, not that the
// request is wrong or too expensive: another child might well answer it.
func childsFault(err error) bool {
	var storageErr promql.ErrStorage
	return errors.Is(err, ErrUnavailable) || errors.As(err, &storageErr) || isTimeout(err) || IsBusy(err)
}

// asking accounts for all that one request asks of a Mixer's members. It is
// safe for concurrent use.
type asking struct {
	opts Options
	soft time.Duration
	// pulled counts samples of raw series.
	pulled atomic.Int64
	lost   *lost
	// budget is what the request may hold; nil sets no bounds.
	budget *Budget
	// streams is set if raw series are passed on as they come, rather than held
	// for a query; passed counts their bytes.
	streams bool
	passed  atomic.Int64
	limits  Limits
	trace   trace

	mu     sync.Mutex
	report Report
	warn   annotations.Annotations
	// unnamed are the most Report.Unnamed that a member told of in one answer: parts
	// of one query mostly miss the same.
	unnamed map[string]int
	// absent are those who had no part in points of rollups, whatever they answer.
	absent Report
	// torn names what answered a part of the query and failed in another.
	torn string
}

// lost are the members that failed during one query, over all attempts at it.
// They are not asked again, and what else they said is left out: an average must
// not divide the sum of some children by the count of others. It is safe for
// concurrent use.
type lost struct {
	mu   sync.Mutex
	errs map[string]error
	// replicas are those that failed while others of their set may not have,
	// switches how often the query was evaluated again because of them.
	replicas map[string]error
	switches int
	// torn: what goes on breaking off below children is put up with.
	torn bool
}

func (l *lost) add(name string, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.errs == nil {
		l.errs = map[string]error{}
	}
	l.errs[name] = err
}

// err returns what a member failed with, if it did.
func (l *lost) err(m Member) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.errs[m.name()]
}

// below returns the options for the children.
func (a *asking) below() Options {
	o := a.opts
	o.Budget = a.soft
	return o
}

// softDeadline returns how long children may take: own, or if that is shorter
// most of what the parent allows, the rest being for merging and the way back.
func softDeadline(own, budget time.Duration) time.Duration {
	if budget > 0 {
		own = min(own, budget-min(budget/5, time.Second))
	}
	return own
}

// within returns the options with a budget that ends no later than ctx does, so
// that a request with a short timeout is answered without a child that hangs
// rather than not at all.
func (o Options) within(ctx context.Context) Options {
	if end, ok := ctx.Deadline(); ok {
		if left := max(time.Until(end), time.Millisecond); o.Budget == 0 || left < o.Budget {
			o.Budget = left
		}
	}
	return o
}

// noAnswer is the error of a request that needs a child which does not answer.
func noAnswer(tier, name string, why error) error {
	return fmt.Errorf("%s %q did not answer: %w", tier, name, why)
}

// partialAnswer is the warning of an answer without a child. Programs read it, by
// the grammar of docs/api.md: it has this form wherever a part is missing.
func partialAnswer(tier, name string, why error) error {
	return fmt.Errorf("partial answer: %w", noAnswer(tier, name, why))
}

// UnnamedError is the warning of an answer in which more is missing than can be named.
// It does not go from tier to tier, as Report.Unnamed does.
type UnnamedError struct{ Children int }

func (e *UnnamedError) Error() string {
	return fmt.Sprintf("partial answer: and %d more did not answer, which are too many to name", e.Children)
}

// missing notes that a member's part is missing, as a warning or, if the
// request is strict or the fault is the request's, as the error returned.
func (a *asking) missing(ctx context.Context, m Member, err error) error {
	if ctx.Err() != nil {
		return contextError(ctx)
	}
	if !childsFault(err) {
		return err
	}
	d := m.Description
	if a.opts.Strict {
		return noAnswer(d.Tier, d.Name(), err)
	}
	a.lost.add(d.Name(), err)
	a.mu.Lock()
	defer a.mu.Unlock()
	a.warn.Add(partialAnswer(d.Tier, d.Name(), err))
	a.report.Add(d.Name(), ChildReport{Tier: d.Tier, Verdict: Asked, Requests: 1, Failed: err.Error(), Late: errors.Is(err, ErrLate)})
	return nil
}

// nobody notes that there are no members to ask at all: an empty answer would
// look as if there were no series on the planet. Where it is known that there are
// none, it is the answer.
func (a *asking) nobody(m *Mixer, members int) error {
	if members > 0 || m.cfg.Childless != nil && m.cfg.Childless() {
		return nil
	}
	d := m.Describe()
	err := fmt.Errorf("%w: no child has registered with it yet", ErrUnavailable)
	if a.opts.Strict {
		return noAnswer(d.Tier, d.Name(), err)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.warn.Add(partialAnswer(d.Tier, d.Name(), err))
	a.report.Add(d.Name(), ChildReport{Tier: d.Tier, Verdict: Asked, Failed: err.Error()})
	return nil
}

// count adds to the samples that the request has pulled, and reports whether
// they are too many.
func (a *asking) count(samples int, tier string) error {
	total := a.pulled.Add(int64(samples))
	if limit := int64(a.opts.MaxSamples); limit > 0 && total > limit {
		return &LimitError{What: "samples of one query", Flag: flagMaxSamples, Limit: limit, Value: total, Tier: tier}
	}
	return nil
}

// hold accounts for raw series of so many bytes.
func (a *asking) hold(bytes int64, tier string) error {
	if err := a.budget.Reserve(bytes); err != nil || !a.streams {
		return err
	}
	return a.limits.checkResponse(a.passed.Add(bytes), tier)
}

// answered notes what a member contributed. The member's own report has an
// entry of its own name if it is a leaf; for a mixer one is added.
func (a *asking) answered(m Member, r Report, warn annotations.Annotations, series, samples int64) {
	d, self := m.Description, m.name()
	a.mu.Lock()
	defer a.mu.Unlock()
	for name, c := range r.Children {
		old, ok := a.report.Children[name]
		if ok && name != self && old.Verdict.sent() && c.Verdict.sent() && (old.Failed == "") != (c.Failed == "") {
			a.torn = name
		}
	}
	r.Unnamed = a.moreUnnamed(self, r.Unnamed)
	a.report.Merge(r)
	if _, ok := r.Children[self]; !ok {
		a.report.Add(self, ChildReport{Tier: d.Tier, Verdict: Asked, Requests: 1, Series: series, Samples: samples})
	}
	for _, err := range warn {
		// Those of this tier are counted anew, of all its children.
		if _, ok := errors.AsType[*UnnamedError](err); !ok {
			a.warn.Add(err)
		}
	}
}

// moreUnnamed returns by how many n is more than a member told of before.
func (a *asking) moreUnnamed(name string, n int) int {
	before := a.unnamed[name]
	if n <= before {
		return 0
	}
	if a.unnamed == nil {
		a.unnamed = map[string]int{}
	}
	a.unnamed[name] = n
	return n - before
}

// tear notes that raw series of a member are missing, of which other parts of
// the query may have had an answer.
func (a *asking) tear(m Member) {
	a.mu.Lock()
	defer a.mu.Unlock()
	name := m.name()
	if row := a.report.Children[name]; row.Verdict == Asked && row.Failed == "" {
		a.torn = name
	}
}

// tornBy returns a child, at any depth, that is in one part of what was asked and
// not in another: a ratio of the two would be that of no set of children.
func (a *asking) tornBy() string {
	a.lost.mu.Lock()
	accepted := a.lost.torn
	a.lost.mu.Unlock()
	a.mu.Lock()
	defer a.mu.Unlock()
	if accepted {
		return ""
	}
	return a.torn
}

func (a *asking) warnings() annotations.Annotations {
	a.mu.Lock()
	defer a.mu.Unlock()
	var w annotations.Annotations
	w.Merge(a.warn)
	if n := a.report.Unnamed; n > 0 {
		w.Add(&UnnamedError{Children: n})
	}
	return w
}

func (a *asking) snapshot() Report {
	a.mu.Lock()
	defer a.mu.Unlock()
	var r Report
	r.Merge(a.report)
	r.Merge(a.absent)
	return r
}

// clockDifference is how much sooner than its parent a child may find that its
// time is over.
const clockDifference = 50 * time.Millisecond

// watched runs f, which talks to one child, and returns its result, or ErrLate
// once the soft deadline has passed, whether f heeds its context or not.
func watched[T any](ctx context.Context, soft time.Duration, f func(context.Context) (T, error)) (T, error) {
	type result struct {
		v   T
		err error
	}
	ctx, cancel := context.WithTimeoutCause(ctx, soft, ErrLate)
	defer cancel()
	done := make(chan result, 1)
	go func() {
		v, err := f(ctx)
		done <- result{v, err}
	}()
	var r result
	select {
	case r = <-done:
	case <-ctx.Done():
		select {
		case r = <-done:
		default:
			r.err = context.Cause(ctx)
		}
	}
	return r.v, lateness(ctx, soft, r.err)
}
