package querytree

import (
	"context"
	"slices"

	"github.com/prometheus/prometheus/model/exemplar"
	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
	"github.com/prometheus/prometheus/util/annotations"
)

// Reads is the storage of a leaf within its bounds, for what its own users read
// of it beside queries: federation, the series API, remote read, names and
// exemplars. The Options of a request come with its context. What belongs to a
// query of Engine has been admitted already, and passes.
//
// Samples are read into memory, so reading them is admitted as a query is: it
// has a slot and takes turns until the series end, and what it holds counts
// until the querier is closed and the context of the request has ended. Chunks
// stream to a client that may be slow: they have a slot until they are found,
// like Local.Select. It is safe for concurrent use, its queriers are not.
type Reads struct{ l *Local }

var (
	_ storage.SampleAndChunkQueryable = Reads{}
	_ storage.ExemplarQueryable       = Reads{}
)

// Reads returns the storage within the bounds that requests through Select and
// Names have, shared with these.
func (l *Local) Reads() Reads { return Reads{l} }

// Querier implements storage.Queryable.
func (r Reads) Querier(mint, maxt int64) (storage.Querier, error) {
	r.l = r.l.now()
	q, err := r.l.cfg.Samples.Querier(mint, maxt)
	if err != nil {
		return nil, err
	}
	return &readQuerier{gatedLabels{q, r.l}, q, &reading{l: r.l}}, nil
}

// ChunkQuerier implements storage.ChunkQueryable.
func (r Reads) ChunkQuerier(mint, maxt int64) (storage.ChunkQuerier, error) {
	r.l = r.l.now()
	q, err := r.l.cfg.Chunks.ChunkQuerier(mint, maxt)
	if err != nil {
		return nil, err
	}
	return readChunkQuerier{gatedLabels{q, r.l}, q}, nil
}

// ExemplarQuerier implements storage.ExemplarQueryable.
func (r Reads) ExemplarQuerier(ctx context.Context) (storage.ExemplarQuerier, error) {
	return readExemplars{r.l, ctx}, nil
}

type readExemplars struct {
	l   *Local
	ctx context.Context
}

// Select implements storage.ExemplarQuerier.
func (q readExemplars) Select(mint, maxt int64, selectors ...[]*labels.Matcher) ([]exemplar.QueryResult, error) {
	o, _ := OptionsFrom(q.ctx)
	a, err := q.l.Exemplars(q.ctx, ExemplarsRequest{Options: o, Mint: mint, Maxt: maxt, Selectors: selectors})
	return a.Results, err
}

// gatedLabels has a slot while it looks up names.
type gatedLabels struct {
	storage.LabelQuerier
	l *Local
}

func (q gatedLabels) enter(ctx context.Context) (leave func(), err error) {
	if budgetFrom(ctx) != nil {
		return func() {}, nil
	}
	o, _ := OptionsFrom(ctx)
	return q.l.reads.Enter(ctx, o.Client)
}

// LabelValues implements storage.LabelQuerier.
func (q gatedLabels) LabelValues(ctx context.Context, name string, hints *storage.LabelHints, ms ...*labels.Matcher) ([]string, annotations.Annotations, error) {
	leave, err := q.enter(ctx)
	if err != nil {
		return nil, nil, err
	}
	defer leave()
	return q.LabelQuerier.LabelValues(ctx, name, hints, ms...)
}

// LabelNames implements storage.LabelQuerier.
func (q gatedLabels) LabelNames(ctx context.Context, hints *storage.LabelHints, ms ...*labels.Matcher) ([]string, annotations.Annotations, error) {
	leave, err := q.enter(ctx)
	if err != nil {
		return nil, nil, err
	}
	defer leave()
	return q.LabelQuerier.LabelNames(ctx, hints, ms...)
}

type readChunkQuerier struct {
	gatedLabels
	q storage.ChunkQuerier
}

// Select implements storage.ChunkQuerier.
func (q readChunkQuerier) Select(ctx context.Context, sorted bool, hints *storage.SelectHints, ms ...*labels.Matcher) storage.ChunkSeriesSet {
	leave, err := q.enter(ctx)
	if err != nil {
		return storage.ErrChunkSeriesSet(err)
	}
	defer leave()
	return q.q.Select(ctx, sorted, hints, ms...)
}

type readQuerier struct {
	gatedLabels
	q    storage.Querier
	read *reading
}

// Select implements storage.Querier.
func (q *readQuerier) Select(ctx context.Context, sorted bool, hints *storage.SelectHints, ms ...*labels.Matcher) storage.SeriesSet {
	if budgetFrom(ctx) != nil {
		return q.q.Select(ctx, sorted, hints, ms...)
	}
	if err := q.read.begin(ctx); err != nil {
		return storage.ErrSeriesSet(err)
	}
	return &readSet{SeriesSet: q.q.Select(q.read.ctx, sorted, hints, slices.Clone(ms)...), read: q.read}
}

// Close implements storage.LabelQuerier.
func (q *readQuerier) Close() error {
	q.read.close()
	return q.q.Close()
}

// reading is the admission of all that one querier selects: one slot at a time
// for all of it, since a request that waited for a second one with the first in
// its hands might wait for itself.
type reading struct {
	l       *Local
	request context.Context
	ctx     context.Context // within the bounds; nil before the first select
	cancel  context.CancelFunc
	budget  *Budget
	leave   func()
	turn    *Turn
	open    int // sets that have not ended
	seen    int // series
	err     error
}

// begin waits for a slot, unless there is one already.
func (r *reading) begin(ctx context.Context) error {
	if r.err != nil {
		return r.err
	}
	o, _ := OptionsFrom(ctx)
	e := r.l.bounded
	if r.ctx == nil {
		r.request = ctx
		r.ctx, r.cancel = e.limits.timed(ctx, o, e.name())
		r.ctx, r.budget = e.memory.budget(r.ctx, o.Client, e.name(), lower(e.limits.MaxBytes, o.MaxBytes))
	}
	if r.open == 0 {
		if r.leave, r.err = r.l.reads.Enter(r.ctx, o.Client); r.err != nil {
			return r.err
		}
		_, r.turn = e.turns.begin(r.ctx, o.Client, "")
	}
	r.open++
	return nil
}

// ended is called once for each set that came to its end. After the last, the
// slot and the turn are given back: nobody knows how long it takes to write the
// answer to its reader.
func (r *reading) ended() {
	if r.open--; r.open == 0 {
		r.release()
	}
}

func (r *reading) release() {
	r.turn.end()
	r.leave()
}

// close accounts for what was read until the request has ended: the querier is
// closed before the answer is written.
func (r *reading) close() {
	if r.ctx == nil {
		return
	}
	if r.open > 0 {
		r.open = 0
		r.release()
	}
	r.cancel()
	if r.request.Done() == nil {
		r.budget.Close()
		return
	}
	context.AfterFunc(r.request, r.budget.Close)
}

// fail ends the reading, and notes which limit did.
func (r *reading) fail(err error) error {
	if r.err == nil && err != nil {
		r.err = err
		if limit := r.l.bounded.refusal(r.ctx, r.budget, err); limit != nil {
			r.l.bounded.memory.metrics.refuse(limit)
			r.err = limit
		}
	}
	return r.err
}

// reserve notes that the request is about to hold n bytes more.
func (r *reading) reserve(n int64) error { return r.fail(r.budget.Reserve(n)) }

// series notes another series.
func (r *reading) series(lset labels.Labels) error {
	r.turn.pass(r.ctx)
	r.seen++
	if limit := r.l.cfg.Limits.MaxSeries; limit > 0 && r.seen > limit {
		return r.fail(tooMany("series of one request", flagMaxSeries, limit, r.seen, r.l.name()))
	}
	if r.reserve(seriesBytes+labelBytes(lset)) != nil {
		return r.err
	}
	return r.fail(r.ctx.Err())
}

// readSet accounts for the series of a set.
type readSet struct {
	storage.SeriesSet
	read *reading
	over bool
}

// Next implements storage.SeriesSet.
func (s *readSet) Next() bool {
	if s.over {
		return false // and ended was called
	}
	if s.SeriesSet.Next() && s.read.series(s.SeriesSet.At().Labels()) == nil {
		return true
	}
	s.over = true
	s.read.ended()
	return false
}

// At implements storage.SeriesSet.
func (s *readSet) At() storage.Series { return readSeries{s.SeriesSet.At(), s.read} }

// Err implements storage.SeriesSet.
func (s *readSet) Err() error {
	if s.read.err != nil {
		return s.read.err
	}
	return s.SeriesSet.Err()
}

type readSeries struct {
	storage.Series
	read *reading
}

// Iterator implements storage.Series.
func (s readSeries) Iterator(it chunkenc.Iterator) chunkenc.Iterator {
	old, ok := it.(*readIterator)
	if !ok {
		return &readIterator{Iterator: s.Series.Iterator(it), read: s.read}
	}
	*old = readIterator{Iterator: s.Series.Iterator(old.Iterator), read: s.read}
	return old
}

// readStride is how many samples are reserved at a time.
const readStride = 128

// readIterator accounts for samples as if their reader kept them all.
type readIterator struct {
	chunkenc.Iterator
	read  *reading
	ahead int // samples that are reserved and not read
}

// Next implements chunkenc.Iterator.
func (i *readIterator) Next() chunkenc.ValueType {
	if i.ahead--; i.ahead < 0 {
		i.ahead = readStride - 1
		if i.read.reserve(readStride*pointBytes) != nil {
			return chunkenc.ValNone
		}
	}
	if i.read.err != nil {
		return chunkenc.ValNone
	}
	return i.Iterator.Next()
}

// AtHistogram implements chunkenc.Iterator.
func (i *readIterator) AtHistogram(h *histogram.Histogram) (int64, *histogram.Histogram) {
	t, h := i.Iterator.AtHistogram(h)
	i.histogram(8 * (len(h.PositiveBuckets) + len(h.NegativeBuckets) + len(h.PositiveSpans) + len(h.NegativeSpans)))
	return t, h
}

// AtFloatHistogram implements chunkenc.Iterator.
func (i *readIterator) AtFloatHistogram(h *histogram.FloatHistogram) (int64, *histogram.FloatHistogram) {
	t, h := i.Iterator.AtFloatHistogram(h)
	i.histogram(h.Size())
	return t, h
}

// histogram accounts for a histogram; if it is too much, the next sample fails.
func (i *readIterator) histogram(size int) { _ = i.read.reserve(int64(size)) }

// Err implements chunkenc.Iterator.
func (i *readIterator) Err() error {
	if i.read.err != nil {
		return i.read.err
	}
	return i.Iterator.Err()
}
