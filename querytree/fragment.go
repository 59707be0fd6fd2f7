package querytree

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/util/annotations"
)

// notMergeable says that the children's answers to a fragment cannot be put
// together exactly; the query is planned again without that fragment.
type notMergeable struct {
	fragment *Fragment
	why      string
	// again: the same plan may do, now that it is known which members fail.
	again bool
	// torn: the same plan may do, now that what failed between two fragments is
	// either back or gone for all.
	torn bool
}

// tornError returns why answers do not belong together, if they do not.
func tornError(f *Fragment, ask *asking) error {
	if who := ask.tornBy(); who != "" {
		return &notMergeable{fragment: f, why: fmt.Sprintf("%q answered a part of the query and failed in another", who), torn: true}
	}
	return nil
}

func (e *notMergeable) Error() string {
	return fmt.Sprintf("fragment %s cannot be merged: %s", e.fragment.ID, e.why)
}

// fragmentRun evaluates one fragment over its children.
type fragmentRun struct {
	f       *Fragment
	members []Member
	req     ExecRequest
	ask     *asking
	// held counts the samples that the query holds, over all fragments.
	held *atomic.Int64
	name string // of this tier
	// targets narrow down info series.
	targets []*labels.Matcher
	// asked is done when all fragments of the query have been asked; nil for a
	// guard.
	asked *sync.WaitGroup
	// combine evaluates an expression over the parts of a fragment.
	combine func(ctx context.Context, f *Fragment, parts promql.Matrix) (promql.Matrix, annotations.Annotations, error)

	// mu guards into and folded: the merged answer so far, and which of the
	// fragment's children have a part in it already.
	mu     sync.Mutex
	into   merger
	folded map[string]bool
	// staged counts the bytes that wait for the ends of their answers.
	staged atomic.Int64

	// readOnce: the residual reads the result in one place, which lets go of each
	// series as it is read: what the engine makes of it takes as much.
	readOnce bool

	done   chan struct{}
	result promql.Matrix
	warn   annotations.Annotations
	err    error
}

// start asks all children at once, in the background.
func (r *fragmentRun) start(ctx context.Context) {
	r.done = make(chan struct{})
	go func() {
		defer close(r.done)
		r.result, r.err = r.run(ctx)
	}()
}

// wait returns the merged answer, sorted by labels.
func (r *fragmentRun) wait(ctx context.Context) (promql.Matrix, error) {
	select {
	case <-r.done:
		return r.result, r.err
	case <-ctx.Done():
		return nil, contextError(ctx)
	}
}

// run asks the children and merges what they say, unless a guard objects.
func (r *fragmentRun) run(ctx context.Context) (promql.Matrix, error) {
	if len(r.f.guards) == 0 && r.f.rollup == nil {
		return r.runAlone(ctx)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var guards []*fragmentRun
	for _, g := range r.f.guards {
		run := &fragmentRun{f: g, members: r.members, req: r.req, ask: r.ask, held: r.held, name: r.name}
		run.start(ctx)
		guards = append(guards, run)
	}
	rolled := r.startRollup(ctx)
	defer func() {
		cancel()
		rolled.wait()
	}()
	parts, err := r.askAll(ctx)
	if err != nil {
		return nil, err
	}
	for _, g := range guards {
		found, err := g.wait(ctx)
		if err != nil {
			return nil, &notMergeable{fragment: r.f, why: err.Error()}
		}
		if len(found) > 0 {
			return nil, &notMergeable{fragment: r.f, why: "a match has several series on its one side"}
		}
	}
	if parts, err = rolled.join(parts); err != nil {
		return nil, err
	}
	return r.merge(ctx, parts)
}

// merge puts the answers together, once it is known of all fragments which
// members failed.
func (r *fragmentRun) merge(ctx context.Context, parts []promql.Matrix) (promql.Matrix, error) {
	if r.asked != nil {
		r.asked.Wait()
	}
	if err := tornError(r.f, r.ask); err != nil {
		return nil, err
	}
	r.mu.Lock()
	folded := maps.Clone(r.folded)
	r.mu.Unlock()
	for i, member := range r.f.Children {
		if r.ask.lost.err(r.members[member]) == nil {
			continue
		}
		if folded[r.members[member].name()] {
			return nil, &notMergeable{fragment: r.f, why: "a child failed after a part of its answer had been merged", again: true}
		}
		parts[i] = nil
	}
	switch r.f.Merge {
	case MergeFold, MergeQuantile:
		return r.fold(ctx, parts)
	case MergeParts:
		return r.mergeParts(parts)
	case MergeOperand:
		m, err := r.concat(ctx, parts)
		return r.aggregateOperand(ctx, m, err)
	default:
		return r.ofTargets(r.concat(ctx, parts))
	}
}

// firstError prefers an error that says what happened over those of requests
// that were cancelled because of it.
func firstError(errs []error) error {
	var first error
	for _, err := range errs {
		var cancelled promql.ErrQueryCanceled
		if first == nil || errors.As(first, &cancelled) {
			first = cmpErr(err, first)
		}
	}
	return first
}

func cmpErr(err, old error) error {
	if err != nil {
		return err
	}
	return old
}

// answer is what one child said, whole.
type answer struct {
	// m is what was not merged early; series and samples count all.
	m               promql.Matrix
	series, samples int64

	warn   annotations.Annotations
	report Report
}

// unfit tells why an answer cannot be merged with those of other children.
func (r *fragmentRun) unfit(a answer) string {
	switch {
	case r.f.Merge != MergeConcat && r.f.Merge != MergeOperand && r.f.Merge != MergeQuantile && !benign(a.warn):
		return "a child warned that its part of the aggregation is not representative"
	case r.f.floatsOnly && slices.ContainsFunc(a.m, func(s promql.Series) bool { return len(s.Histograms) > 0 }):
		return "a scalar of native histograms"
	}
	return ""
}

func (r *fragmentRun) failed(ctx context.Context, m Member, err error) error {
	var nm *notMergeable
	switch {
	case errors.As(err, &nm):
		return err
	case isSameLabelset(err):
		return &notMergeable{fragment: r.f, why: "equal label sets within a child"}
	}
	return r.ask.missing(ctx, m, err)
}

// isSameLabelset recognises the engine's error for results with equal label
// sets. Inside a larger query, what a child refuses on its own may be fine.
func isSameLabelset(err error) bool {
	return strings.Contains(err.Error(), "metrics with the same labelset")
}

// collect reads one child's answers, to each part of the grid that it is asked
// for.
func (r *fragmentRun) collect(ctx context.Context, m Member, req ExecRequest) (a answer, err error) {
	for _, g := range r.f.grids() {
		req.Start, req.End = g.start, g.end
		if err := r.collectOne(ctx, m, req, &a); err != nil {
			return answer{}, err
		}
	}
	return a, nil
}

// collectOne adds to a what a child answers to one request. What can be merged
// before its end is known is, once there is much of it.
func (r *fragmentRun) collectOne(ctx context.Context, m Member, req ExecRequest, a *answer) error {
	set, err := r.exec(ctx, m, req)
	if err != nil {
		return err
	}
	defer set.Close()
	vouched, st, series := m.vouches(req.Keeps), r.newStaging(a), int64(0)
	for set.Next() {
		s := set.At()
		if err := vouched.check(s.Metric); err != nil {
			return err
		}
		if err := r.ask.budget.Reserve(sizeOfSeries(s)); err != nil {
			return err
		}
		if err := r.check(&s); err != nil {
			return err
		}
		n := int64(len(s.Floats) + len(s.Histograms))
		if err := r.hold(n); err != nil {
			return err
		}
		series, a.samples = series+1, a.samples+n
		a.series = max(a.series, series)
		if limit := int64(r.ask.opts.MaxSeries); limit > 0 && series > limit {
			return r.tooManySeries("in the answer of", m.name(), limit, series)
		}
		if err := r.stage(ctx, m, set, a, &st, s); err != nil {
			return err
		}
	}
	a.warn.Merge(set.Warnings())
	report := set.Report()
	a.report.MergePart(report)
	a.report.Explanation = report.Explanation
	return set.Err()
}

// tooManySeries says whose answer made the series more than the limit allows, alone
// or together with others: what its readers can do about a child that has gone
// astray is to leave it out.
func (r *fragmentRun) tooManySeries(how, child string, limit, n int64) error {
	return &LimitError{
		What: "series of one request, " + how + " " + strconv.Quote(child), Flag: flagMaxSeries,
		Limit: limit, Value: n, Tier: r.name,
	}
}

// check makes sure that a series can be put where it belongs.
func (r *fragmentRun) check(s *promql.Series) error {
	if len(r.f.Ops) > 1 && !slices.Contains(r.f.Ops, opOf(s.Metric)) {
		return fmt.Errorf("%w: an answer to operator %q, which was not asked for", ErrUnavailable, opOf(s.Metric))
	}
	if r.f.Merge == MergeFold || r.f.Merge == MergeQuantile {
		return r.f.grid.on(s)
	}
	return nil
}

// pointsOf counts points, each histogram as one.
func pointsOf(m promql.Matrix) (n int64) {
	for _, s := range m {
		n += int64(len(s.Floats) + len(s.Histograms))
	}
	return n
}

// hold counts samples that the query holds, within its limit; fewer than none
// are given back.
func (r *fragmentRun) hold(n int64) error {
	if limit, held := int64(r.ask.opts.MaxSamples), r.held.Add(n); n > 0 && limit > 0 && held > limit {
		return &LimitError{What: "samples of one query", Flag: "query.max-samples", Limit: limit, Value: held, Tier: r.name}
	}
	return nil
}

// benign reports whether no annotation says that a group was left out or
// altered: the sum of a child that met floats and histograms has no value, but
// the sum of all children has to know that it met both. What conflicts in a part
// only because of counter resets conflicts in the whole, and changes no value.
func benign(warn annotations.Annotations) bool {
	for _, err := range warn {
		switch {
		case isOf(err, annotations.HistogramCounterResetCollisionWarning):
		case errors.Is(err, annotations.PromQLWarning), isOf(err, annotations.MismatchedCustomBucketsHistogramsInfo):
			return false
		}
	}
	return true
}

// isOf reports whether an annotation is of a kind, whether or not it came over
// a wire.
func isOf(err, kind error) bool {
	return errors.Is(err, kind) || strings.Contains(err.Error(), kind.Error())
}

// onlyPartial keeps the annotations that speak of missing children.
func onlyPartial(warn annotations.Annotations) annotations.Annotations {
	var out annotations.Annotations
	for _, err := range warn {
		if !errors.Is(err, annotations.PromQLWarning) && !errors.Is(err, annotations.PromQLInfo) {
			out.Add(err)
		}
	}
	return out
}

// checkSeries enforces the limit over all children together.
func (r *fragmentRun) checkSeries(parts []promql.Matrix) error {
	n := 0
	for _, p := range parts {
		n += len(p)
	}
	if limit := r.ask.opts.MaxSeries; limit > 0 && n > limit {
		return &LimitError{What: "series of one request", Flag: "query.max-series", Limit: int64(limit), Value: int64(n), Tier: r.name}
	}
	return nil
}

// mergeParts puts the parts of an aggregation together, told apart by
// childLabel. The parts of one group are neighbours, in the order of the
// children.
func (r *fragmentRun) mergeParts(parts []promql.Matrix) (promql.Matrix, error) {
	if err := r.checkSeries(parts); err != nil {
		return nil, err
	}
	var out promql.Matrix
	for i, p := range parts {
		child := strconv.Itoa(i)
		for _, s := range p {
			out = append(out, promql.Series{Metric: s.Metric, Floats: s.Floats, Histograms: s.Histograms})
			b := labels.NewBuilder(s.Metric)
			out[len(out)-1].Metric = b.Set(childLabel, child).Labels()
		}
	}
	if why := r.lossy(parts); why != "" {
		return nil, &notMergeable{fragment: r.f, why: why}
	}
	if r.f.final != "" && slices.ContainsFunc(out, notANumber) {
		return nil, &notMergeable{fragment: r.f, why: errNotANumber.Error()}
	}
	sortSeries(out)
	return out, nil
}
