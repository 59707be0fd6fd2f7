package querytree

import (
	"context"
	"fmt"
	"io"
	"strconv"
	"sync"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/util/annotations"
)

const (
	// partSteps is how many series × steps are evaluated at once: few enough that
	// the points stay in the cache until they are aggregated, enough that what
	// each evaluation costs by itself does not count.
	partSteps = 32 << 10
	// minPart and maxPart bound the number of series of a part.
	minPart, maxPart = 8, 4096
	// spreadAfter is how many parts a query has to have gone through before it
	// may use more cores than one.
	spreadAfter = 8
)

// partLabel tells the series of a part apart while the engine evaluates it.
const partLabel = "__pando_part__"

// part is some series of a selector, in the order of the storage, and where
// they are among all: parts are numbered from zero.
type part struct {
	number int
	series []storage.Series
	value  promql.Matrix // of the expression over these series
	// of is which series each of value stems from, and nameless says that these
	// have lost their names; nil if the engine tells, by labels.
	of       []int32
	nameless bool
	warn     annotations.Annotations
	done     func() // gives the points of value back to the engine
}

// origin returns which of the part's series the k-th of its value stems from, and
// whether it has lost its metric name.
func (p *part) origin(k int) (i int, unnamed bool, err error) {
	if p.of != nil {
		return int(p.of[k]), p.nameless, nil
	}
	i, err = p.indexOf(p.value[k])
	return i, !p.value[k].Metric.Has(labels.MetricName), err
}

// indexOf reads it from the stand-in name.
func (p *part) indexOf(s promql.Series) (int, error) {
	i, err := strconv.Atoi(s.Metric.Get(partLabel))
	if err != nil || i < 0 || i >= len(p.series) {
		return 0, fmt.Errorf("part %d of %d series: unexpected result %s", p.number, len(p.series), s.Metric)
	}
	return i, nil
}

// partSink takes in the values of parts.
type partSink interface {
	// take is called with one part after the other, in their order. It calls
	// done as soon as it needs the points no more.
	take(p *part) error
	// bytes is about what the sink holds.
	bytes() int64
}

// partRun evaluates a series-wise expression part by part: the storage is
// selected from once, and the expression is evaluated over some of the series at
// a time, by as many workers as there are idle cores. The stock engine evaluates
// the parts, unless the expression is one of those that direct knows.
//
// To the engine, the series of a part are called 0, 1, 2, … under one metric
// name, which makes it cheap to tell them apart and keeps their order. So the
// expression must not look at labels, and all series must have that name.
type partRun struct {
	local *Local
	req   ExecRequest
	name  string
	// expr returns the expression; the engine leaves its marks in it, so that
	// each part needs one of its own.
	expr func() (parser.Expr, error)
	sink partSink
	// direct is nil if the engine has to evaluate the parts.
	direct *direct

	cancel context.CancelFunc
	feed   *partFeed
	names  *partNames // of the series of a part

	mu      sync.Mutex
	turn    *sync.Cond
	next    int               // the number of the part whose turn it is
	free    [][]promql.FPoint // to be used again by direct
	err     error
	warn    annotations.Annotations
	workers sync.WaitGroup
	// reserved is what was reserved in the query's budget.
	budget   *Budget
	reserved int64
}

// run evaluates all parts, and returns the annotations of all.
func (r *partRun) run(ctx context.Context) (annotations.Annotations, error) {
	r.budget = budgetFrom(ctx)
	ctx, r.cancel = context.WithCancel(ctx)
	defer r.cancel()
	size := min(max(r.local.partSteps/r.grid().steps(), minPart), maxPart)
	r.turn = sync.NewCond(&r.mu)
	r.feed = &partFeed{ctx: ctx, samples: r.local.cfg.Samples, sorted: orderMatters(r.req.Query), size: size}
	if r.local.cfg.Cores.limit.Load() > 1 && r.grid().steps() >= minFoldSteps {
		r.feed.chunks = r.local.cfg.Chunks
	}
	defer r.feed.close()
	r.names = newPartNames(r.name, size)
	if r.direct != nil {
		if err := r.feed.begin(r.direct); err != nil {
			return nil, err
		}
	}
	r.work(ctx, false)
	r.workers.Wait()
	return r.warn, r.err
}

func (r *partRun) grid() grid { return grid{r.req.Start, r.req.End, r.req.Step} }

// work evaluates parts until there are no more, or until the core that was
// borrowed for it is wanted by others.
func (r *partRun) work(ctx context.Context, borrowed bool) {
	cores, reader, turn := r.local.cfg.Cores, &reader{direct: r.direct}, turnFrom(ctx)
	for !r.feed.ended() && r.failure() == nil {
		if borrowed && cores.wanted() {
			return
		}
		if !borrowed {
			turn.PassNow(ctx)
			if turn.sinks() {
				turn.lowered(func() { r.work(ctx, false) })
				return
			}
		}
		evaluate := r.byEngine
		if r.direct != nil {
			evaluate = func(ctx context.Context) (*part, error) { return r.directly(ctx, reader) }
		}
		p, err := evaluate(ctx)
		if err != nil {
			r.fail(err)
			return
		}
		if !borrowed {
			turn.did(int64(len(p.series) * r.grid().steps()))
		}
		if !r.hand(p) {
			return
		}
		// Samples that come by chunks may be read side by side; those of a head's
		// querier may not.
		if r.feed.chunks != nil && p.number >= spreadAfter && !r.feed.ended() && cores.borrow() {
			r.workers.Go(func() {
				defer cores.leave()
				turn.helper().lowered(func() { r.work(ctx, true) })
			})
		}
	}
}

// directly takes the next part and evaluates the expression over it without the
// engine.
func (r *partRun) directly(ctx context.Context, reader *reader) (*part, error) {
	p, warn, err := r.feed.next()
	if err == nil {
		p.warn = warn
		if r.local.onPart != nil {
			defer r.local.onPart(p.number)()
		}
		points := r.buffer(len(p.series) * r.grid().steps())
		p.done = func() { r.free = append(r.free, points) } // the sink's turn is under the lock
		err = reader.evaluate(ctx, p, points)
	} else if ctx.Err() == nil {
		err = fmt.Errorf("%w: expanding series: %w", ErrUnavailable, err)
	}
	if ended := evaluationErr(ctx); err != nil && ended != nil {
		err = ended
	}
	return p, err
}

// buffer returns an empty slice for n points.
func (r *partRun) buffer(n int) []promql.FPoint {
	r.mu.Lock()
	defer r.mu.Unlock()
	if last := len(r.free) - 1; last >= 0 && cap(r.free[last]) >= n {
		b := r.free[last]
		r.free = r.free[:last]
		return b
	}
	return make([]promql.FPoint, 0, n)
}

// byEngine takes the next part and has the engine evaluate the expression over
// it.
func (r *partRun) byEngine(ctx context.Context) (*part, error) {
	expr, err := r.expr()
	if err != nil {
		return nil, err
	}
	source := &partQueryable{run: r}
	samples := &faultyQueryable{Queryable: source, unmetered: true}
	req := r.req
	req.Query = r.local.tickets.deposit(expr)
	q, err := newEngineQuery(ctx, r.local.engine, samples, req)
	if err != nil {
		return nil, err
	}
	res := q.Exec(ctx)
	if res.Err != nil {
		return nil, samples.fault(ctx, res.Err)
	}
	p := source.part
	m, ok := res.Value.(promql.Matrix)
	if !ok || p == nil {
		return nil, fmt.Errorf("evaluate part: %T instead of a matrix", res.Value)
	}
	p.value, p.warn, p.done = m, res.Warnings, q.Close
	return p, nil
}

// hand passes a part to the sink when it is its turn. It reports whether to go
// on.
func (r *partRun) hand(p *part) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	for r.next != p.number && r.err == nil {
		r.turn.Wait()
	}
	if r.err != nil {
		return false
	}
	r.warn.Merge(p.warn)
	if r.err = r.sink.take(p); r.err == nil {
		r.err = r.reserve()
	}
	if r.err != nil {
		r.cancel()
	}
	r.next++
	r.turn.Broadcast()
	return r.err == nil
}

// reserve accounts for what the sink has come to hold.
func (r *partRun) reserve() error {
	grown := r.sink.bytes() - r.reserved
	r.reserved += grown
	return r.budget.Reserve(grown)
}

func (r *partRun) failure() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.err
}

// fail ends all workers. Of several errors the first counts: the others may be
// those of having been cancelled.
func (r *partRun) fail(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.err == nil {
		r.err = err
	}
	r.turn.Broadcast()
	r.cancel()
}

// partFeed selects once from the storage, and hands the series out in parts. It
// is safe for concurrent use.
type partFeed struct {
	ctx     context.Context // of the run: the set outlives each evaluation
	samples storage.Queryable
	chunks  storage.ChunkQueryable // in place of samples, if there may be several workers
	sorted  bool
	size    int // of series of a part

	mu      sync.Mutex
	querier io.Closer
	set     storage.SeriesSet
	taken   int
	end     bool
}

func (f *partFeed) ended() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.end
}

// begin selects what an expression reads, as the engine would. Nobody trims what
// is read: the readers look at nothing outside of their windows.
func (f *partFeed) begin(d *direct) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	hints := d.hints()
	if err := f.open(hints.Start, hints.End, hints, d.matchers); err != nil {
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	return nil
}

// take is next after a select, if there was none yet.
func (f *partFeed) take(mint, maxt int64, hints *storage.SelectHints, ms []*labels.Matcher) (*part, annotations.Annotations, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.set == nil {
		if err := f.open(mint, maxt, hints, ms); err != nil {
			return nil, nil, err
		}
	}
	return f.part()
}

// open selects. What several workers read comes as chunks, which are fetched
// here: the iterators of one querier share a cache of the head's chunks, and
// must not be used at the same time.
func (f *partFeed) open(mint, maxt int64, hints *storage.SelectHints, ms []*labels.Matcher) error {
	if f.chunks == nil {
		q, err := f.samples.Querier(mint, maxt)
		if err != nil {
			return err
		}
		f.querier, f.set = q, q.Select(f.ctx, f.sorted, hints, ms...)
		return nil
	}
	q, err := f.chunks.ChunkQuerier(mint, maxt)
	if err != nil {
		return err
	}
	whole := *hints
	whole.DisableTrimming = true
	f.querier, f.set = q, newSampleSet(q.Select(f.ctx, f.sorted, &whole, ms...), hints.Start, hints.End)
	return nil
}

// next returns the next part, and the annotations of the storage with the last.
func (f *partFeed) next() (*part, annotations.Annotations, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.part()
}

func (f *partFeed) part() (*part, annotations.Annotations, error) {
	p := &part{number: f.taken}
	f.taken++
	for !f.end && len(p.series) < f.size {
		if !f.set.Next() {
			f.end = true
			return p, f.set.Warnings(), f.set.Err()
		}
		p.series = append(p.series, f.set.At())
	}
	return p, nil, nil
}

func (f *partFeed) close() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.querier != nil {
		_ = f.querier.Close() // as the engine does
	}
}

// partQueryable is the storage of one part's evaluation, which selects once.
type partQueryable struct {
	run  *partRun
	part *part
}

// Querier implements storage.Queryable.
func (q *partQueryable) Querier(mint, maxt int64) (storage.Querier, error) {
	return &partQuerier{LabelQuerier: storage.NoopQuerier(), q: q, mint: mint, maxt: maxt}, nil
}

type partQuerier struct {
	storage.LabelQuerier
	q          *partQueryable
	mint, maxt int64
}

// Select implements storage.Querier.
func (q *partQuerier) Select(_ context.Context, _ bool, hints *storage.SelectHints, ms ...*labels.Matcher) storage.SeriesSet {
	p, warn, err := q.q.run.feed.take(q.mint, q.maxt, hints, ms)
	if err != nil {
		return storage.ErrSeriesSet(err)
	}
	q.q.part = p
	return &partSet{part: p, names: q.q.run.names.first(len(p.series)), warn: warn}
}

// partSet is a part's series under their stand-in names.
type partSet struct {
	part  *part
	names []labels.Labels
	warn  annotations.Annotations
	at    int
}

func (s *partSet) Next() bool {
	s.at++
	return s.at <= len(s.part.series)
}

func (s *partSet) At() storage.Series {
	return &partSeries{Series: s.part.series[s.at-1], name: s.names[s.at-1]}
}
func (s *partSet) Err() error                        { return nil }
func (s *partSet) Warnings() annotations.Annotations { return s.warn }

type partSeries struct {
	storage.Series
	name labels.Labels
}

// Labels implements storage.Series.
func (s *partSeries) Labels() labels.Labels { return s.name }
