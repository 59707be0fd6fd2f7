package querytree

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb/chunks"
	"github.com/prometheus/prometheus/util/annotations"
)

// replicaError is what one replica failed with, among others.
type replicaError struct {
	*replica
	err error
}

func (e *replicaError) Error() string {
	return fmt.Sprintf("replica %q: %v", e.Description.Name(), e.err)
}
func (e *replicaError) Unwrap() error { return e.err }

// rawSeries is a series read from one replica.
type rawSeries struct {
	lset  labels.Labels
	metas []chunks.Meta
}

// stream reads the raw series of one replica.
type stream struct {
	by     *replica
	cancel context.CancelFunc
	items  chan rawSeries
	// ended is closed at the end, of which err, warn and report tell.
	ended  chan struct{}
	err    error
	warn   annotations.Annotations
	report Report
	// pending was read ahead.
	pending *rawSeries
	// limit is how long the next series may take.
	limit time.Duration
	since time.Time
}

// openStream begins to read. The memory of what it returns is held until ctx
// ends.
func openStream(ctx context.Context, r *replica, req SelectRequest, limit time.Duration) *stream {
	asked, cancel := context.WithCancel(ctx)
	st := &stream{by: r, cancel: cancel, items: make(chan rawSeries, pullBuffer), ended: make(chan struct{}), limit: limit, since: time.Now()}
	go st.run(asked, ctx, req)
	return st
}

func (st *stream) run(ctx, held context.Context, req SelectRequest) {
	defer st.cancel()
	set := st.by.Child.Select(ctx, req)
	defer set.Close()
	st.err = st.read(ctx, set)
	if st.err == nil {
		st.warn, st.report = set.Warnings(), set.Report()
	}
	close(st.ended)
	<-held.Done()
}

func (st *stream) read(ctx context.Context, set SeriesSet) error {
	vouched := st.by.Member.vouchesAll()
	for set.Next() {
		series := rawSeries{lset: set.At().Labels()}
		if err := vouched.check(series.lset); err != nil {
			return err
		}
		it := set.At().Iterator(nil)
		for it.Next() {
			series.metas = append(series.metas, it.At())
		}
		if err := it.Err(); err != nil {
			return err
		}
		select {
		case st.items <- series:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return set.Err()
}

// next returns the next series, and false at the end.
func (st *stream) next(ctx context.Context) (rawSeries, bool, error) {
	if st.pending != nil {
		s := *st.pending
		st.pending = nil
		return s, true, nil
	}
	select { // what is there is not late
	case s := <-st.items:
		return s, true, nil
	default:
	}
	timer := time.NewTimer(st.limit)
	defer timer.Stop()
	select {
	case s := <-st.items:
		return s, true, nil
	case <-st.ended:
		return st.rest()
	case <-ctx.Done():
		return rawSeries{}, false, context.Cause(ctx)
	case <-timer.C:
		st.cancel()
		return rawSeries{}, false, &replicaError{st.by, fmt.Errorf("%w (%s)", ErrLate, st.limit)}
	}
}

// rest returns what was sent before the end.
func (st *stream) rest() (rawSeries, bool, error) {
	select {
	case s := <-st.items:
		return s, true, nil
	default:
	}
	if st.err != nil {
		return rawSeries{}, false, &replicaError{st.by, st.err}
	}
	return rawSeries{}, false, nil
}

func (st *stream) told() (annotations.Annotations, Report) {
	var report Report
	report.Merge(st.report)
	if d := st.by.Description; d.Tier != TierLeaf {
		report.Add(d.Name(), ChildReport{Tier: d.Tier, Verdict: Asked, Requests: 1})
	}
	return st.warn, report
}

// source is a stream, or several that are merged.
type source interface {
	next(ctx context.Context) (rawSeries, bool, error)
	told() (annotations.Annotations, Report)
}

// Select implements Child. After a failure it goes on with another replica,
// from the last label set on.
func (s *replicaSet) Select(ctx context.Context, req SelectRequest) SeriesSet {
	ctx, cancel := context.WithCancel(ctx)
	return &replicaSeries{set: s.private(), ctx: ctx, cancel: cancel, req: req, span: clip(req.Mint, req.Maxt)}
}

// private returns a copy of the set, whose choices do not bind the others.
func (s *replicaSet) private() *replicaSet {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := &replicaSet{m: s.m, desc: s.desc, span: s.span, lost: s.lost}
	var preferred *replica
	for _, r := range s.replicas {
		c := *r
		p.replicas = append(p.replicas, &c)
		if len(s.view.order) > 0 && r == s.view.order[0] {
			preferred = &c
		}
	}
	p.view = newView(p.replicas, p.span, preferred)
	return p
}

// replicaSeries are the raw series of a replica set.
type replicaSeries struct {
	set    *replicaSet
	ctx    context.Context
	cancel context.CancelFunc
	req    SelectRequest
	span   Interval

	source source
	view   *view
	cur    rawSeries
	begun  bool // cur has been set
	n      int
	err    error
	warn   annotations.Annotations
	report Report
}

func (s *replicaSeries) Next() bool {
	if s.err != nil || (s.req.Limit > 0 && s.n >= s.req.Limit) {
		return false
	}
	for {
		if s.source == nil {
			if s.err = s.open(); s.err != nil {
				return false
			}
		}
		series, ok, err := s.source.next(s.ctx)
		switch {
		case err != nil:
			if s.err = s.failed(err); s.err != nil {
				return false
			}
		case !ok:
			return s.end()
		case s.begun && labels.Compare(series.lset, s.cur.lset) <= 0:
			// The replica before has told it.
		default:
			s.cur, s.begun = series, true
			s.n++
			return true
		}
	}
}

// open begins to read under the latest view.
func (s *replicaSeries) open() error {
	v, err := s.set.current()
	if err != nil {
		return err
	}
	if s.warn, s.report, err = v.absent(s.span, s.req.Strict); err != nil {
		return err
	}
	s.view = v
	if !v.covers(v.order[0], s.span) {
		s.source = s.set.openSplice(s.ctx, v, s.req)
		return nil
	}
	st := openStream(s.ctx, v.order[0], s.req, v.share(remaining(s.ctx, s.req.Budget)))
	s.source = st
	if twin := v.twin(s.span); twin != nil && !s.begun {
		s.source, err = s.race(st, twin)
	}
	return err
}

// race returns the stream that begins first.
func (s *replicaSeries) race(st *stream, twin *replica) (source, error) {
	l := s.set.m.latencies
	l.asked()
	hedge := time.NewTimer(hedgeDelay(st.by.latency, remaining(s.ctx, s.req.Budget)))
	defer hedge.Stop()
	if st.begins(s.ctx, hedge.C, nil) || s.ctx.Err() != nil || !l.mayHedge() {
		l.observe(st.by.Description.Name(), time.Since(st.since))
		return st, nil
	}
	s.report.Add(st.by.Description.Name(), ChildReport{Tier: st.by.Description.Tier, Verdict: Replaced, Hedged: true})
	l.observe(st.by.Description.Name(), time.Since(st.since))
	other := openStream(s.ctx, twin, s.req, st.limit)
	if st.begins(s.ctx, nil, other) || s.ctx.Err() != nil {
		other.cancel()
		return st, nil
	}
	l.observe(twin.Description.Name(), time.Since(other.since))
	st.cancel()
	return other, nil
}

// begins waits until the stream begins, or else one of the others happens: the
// time is up, or the other stream begins.
func (st *stream) begins(ctx context.Context, up <-chan time.Time, other *stream) bool {
	var items chan rawSeries
	var ended chan struct{}
	if other != nil {
		items, ended = other.items, other.ended
	}
	mine := st.ended
	for {
		select {
		case series := <-st.items:
			st.pending = &series
			return true
		case <-mine:
			if st.err == nil || other == nil || ended == nil {
				return true
			}
			mine = nil // the other one may still succeed
		case series := <-items:
			other.pending = &series
			return false
		case <-ended:
			if other.err == nil {
				return false
			}
			if ended = nil; mine == nil {
				return true
			}
		case <-up:
			return false
		case <-ctx.Done():
			return false
		}
	}
}

// failed gives up a replica, if it was its fault.
func (s *replicaSeries) failed(err error) error {
	var f *replicaError
	if !errors.As(err, &f) || s.ctx.Err() != nil {
		return err
	}
	if !childsFault(f.err) {
		return f.err
	}
	s.source = nil
	return s.set.fail(s.view, failure{f.replica, f.err})
}

// end notes what the replicas said at their end.
func (s *replicaSeries) end() bool {
	warn, report := s.source.told()
	s.warn.Merge(warn)
	s.report.Merge(report)
	s.report.Merge(s.set.failures())
	return false
}

func (s *replicaSeries) At() storage.ChunkSeries { return s.cur.chunks() }

func (r rawSeries) chunks() storage.ChunkSeries {
	return &storage.ChunkSeriesEntry{Lset: r.lset, ChunkIteratorFn: func(chunks.Iterator) chunks.Iterator {
		return storage.NewListChunkSeriesIterator(r.metas...)
	}}
}

func (s *replicaSeries) Err() error                        { return s.err }
func (s *replicaSeries) Warnings() annotations.Annotations { return s.warn }
func (s *replicaSeries) Report() Report                    { return s.report }
func (s *replicaSeries) Close()                            { s.cancel() }
