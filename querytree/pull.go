package querytree

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb/chunks"
	"github.com/prometheus/prometheus/util/annotations"
)

// pullBuffer is how many series of one child wait for the merge.
const pullBuffer = 16

// Select implements Child: it merges the children's raw series as they come.
func (m *Mixer) Select(ctx context.Context, req SelectRequest) SeriesSet {
	m = m.now()
	ask := m.asking(req.Options.within(ctx))
	req.Options = ask.opts
	members := m.members(req.Mint, req.Maxt, nil)
	if err := ask.nobody(m, len(members)); err != nil {
		return errSeriesSet(err)
	}
	members = m.withOwn(members)
	prune := newPruning(members, m.pruner(req.Options), req.Mint, req.Maxt)
	prune.own = m.cfg.Own
	ctx, ask.budget = m.budget(ctx, req.Options)
	ask.streams = true
	set := m.pull(ctx, req, members, prune, ask)
	return &mixedSet{ChunkSeriesSet: set, ask: ask, prune: prune, detail: req.Detail, m: m, req: req}
}

// mixedSet is what Mixer.Select returns.
type mixedSet struct {
	storage.ChunkSeriesSet
	ask    *asking
	prune  *pruning
	detail bool
	m      *Mixer
	req    SelectRequest
	closed sync.Once
}

func (s *mixedSet) Warnings() annotations.Annotations { return s.ask.warnings() }

func (s *mixedSet) Report() Report {
	r := s.ask.snapshot()
	r.Merge(s.prune.report(s.detail))
	for _, u := range s.prune.ownUse(s.m.name(), grid{s.req.Maxt, s.req.Maxt, 0}) {
		r.addRollup(u)
	}
	if s.ask.opts.Explain == ExplainAnalyze {
		r.Explanation = s.m.explainSelect(s.req, s.ask, s.prune)
	}
	return r
}

// Err implements SeriesSet: the limit that ended the request, if one did.
func (s *mixedSet) Err() error {
	if err := s.ask.budget.Err(); err != nil {
		return err
	}
	return s.ChunkSeriesSet.Err()
}

func (s *mixedSet) Close() {
	s.closed.Do(func() { s.m.uses.observeSelect(&s.ask.trace, s.prune) })
	s.ask.budget.Close()
}

// pull asks the candidates for raw series, all at once, and merges the streams.
// What it started ends with ctx, and what it returned is valid until then.
func (m *Mixer) pull(ctx context.Context, req SelectRequest, members []Member, prune *pruning, ask *asking) storage.ChunkSeriesSet {
	var sets []storage.ChunkSeriesSet
	row := ask.trace.pull(req)
	prune.candidatesAt(req.Matchers, req.Mint, req.Maxt).each(func(i int) {
		p := &puller{m: members[i], ask: ask, req: req, row: row, tier: m.name(), items: make(chan pulled, pullBuffer), ended: make(chan struct{})}
		p.req.Options = ask.below()
		ask.trace.asks(p.m.name())
		go p.run(ctx)
		sets = append(sets, &pulledSet{ctx: ctx, p: p})
	})
	return &boundedSet{
		ChunkSeriesSet: &mergedSet{sets: sets, limit: req.Limit}, limit: req.Limit, maxSeries: ask.opts.MaxSeries, tier: m.name(),
	}
}

// mergedSet merges sets from the first Next on, since a merge waits for all of
// them: selects that are made one after the other shall not wait for each other.
type mergedSet struct {
	sets   []storage.ChunkSeriesSet
	limit  int
	merged storage.ChunkSeriesSet
}

func (s *mergedSet) Next() bool {
	if s.merged == nil {
		s.merged = storage.NewMergeChunkSeriesSet(s.sets, s.limit, storage.NewCompactingChunkSeriesMerger(storage.ChainedSeriesMerge))
	}
	return s.merged.Next()
}

func (s *mergedSet) At() storage.ChunkSeries { return s.merged.At() }

func (s *mergedSet) Err() error {
	if s.merged == nil {
		return nil
	}
	return s.merged.Err()
}

func (s *mergedSet) Warnings() annotations.Annotations { return nil }

// puller reads the series of one child.
type puller struct {
	m     Member
	ask   *asking
	req   SelectRequest
	tier  string // that asks
	row   string // of the trace
	begin time.Time
	items chan pulled

	// once guards the end, of which err tells; ended is closed then. The end
	// comes with the soft deadline also if the child heeds no context.
	once  sync.Once
	ended chan struct{}
	err   error

	late  func()
	timer *time.Timer
	left  time.Duration
	since time.Time
}

// run reads until the child has no more, it fails, its soft deadline passes or
// ctx ends. It keeps the child's set open until ctx ends, because chunks may
// live in memory that the set holds.
func (p *puller) run(ctx context.Context) {
	outer := ctx
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	if err := p.ask.lost.err(p.m); err != nil {
		p.end(outer, ctx, err)
		return
	}
	p.begin = time.Now()
	p.left, p.late = p.ask.soft, func() {
		cancel(ErrLate)
		p.end(outer, ctx, ErrLate)
	}
	p.resume()
	set := p.m.Child.Select(ctx, p.req)
	defer set.Close()
	stats, vouched := ChildReport{}, p.m.vouchesAll()
	for set.Next() {
		series, n, err := readChunks(set.At())
		if err == nil {
			err = vouched.check(series.Labels())
		}
		if err == nil {
			stats.Bytes += series.bytes
			err = p.account(&stats, n, series.bytes)
		}
		if err != nil {
			p.fail(outer, ctx, err)
			return
		}
		p.pause()
		select {
		case p.items <- series:
		case <-ctx.Done():
			p.fail(outer, ctx, ctx.Err())
			return
		}
		p.resume()
	}
	p.pause()
	if err := set.Err(); err != nil {
		p.fail(outer, ctx, err)
		return
	}
	p.once.Do(func() {
		r := set.Report()
		p.ask.answered(p.m, r, set.Warnings(), stats.Series, stats.Samples)
		p.ask.traced(p.row, p.m, r, stats, nil, p.ask.soft-p.left)
		close(p.ended)
	})
	<-outer.Done()
}

// account counts a series of n samples, within the limits of the request.
func (p *puller) account(stats *ChildReport, n int, bytes int64) error {
	stats.Series++
	stats.Samples += int64(n)
	stats.Bytes += bytes
	if err := p.ask.hold(bytes, p.tier); err != nil {
		return err
	}
	return p.ask.count(n, p.tier)
}

// fail ends the stream, and keeps the child's set open until it is not needed.
func (p *puller) fail(outer, ctx context.Context, err error) {
	p.timer.Stop()
	p.end(outer, ctx, err)
	<-outer.Done()
}

// resume lets the soft deadline run, pause stops it while the reader is waited
// for: a child is not late because another one is.
func (p *puller) resume() {
	p.since = time.Now()
	p.timer = time.AfterFunc(p.left, p.late)
}

func (p *puller) pause() {
	p.timer.Stop()
	p.left -= time.Since(p.since)
}

// end passes on why the child's series are not whole.
func (p *puller) end(outer, ctx context.Context, err error) {
	if cause := context.Cause(ctx); cause != nil && outer.Err() == nil {
		err = fmt.Errorf("%w (%s)", cause, p.ask.soft)
	}
	p.once.Do(func() {
		p.ask.tear(p.m)
		if !p.begin.IsZero() {
			p.ask.traced(p.row, p.m, Report{}, ChildReport{}, err, time.Since(p.begin))
		}
		p.err = p.ask.missing(outer, p.m, err)
		close(p.ended)
	})
}

// pulled is a series that was pulled, and its size.
type pulled struct {
	storage.ChunkSeries
	bytes int64
}

// chunkBytes is what a chunk takes besides its samples.
const chunkBytes = 80

// sizeOfChunks estimates what chunks take.
func sizeOfChunks(metas []chunks.Meta) (n int64) {
	for _, m := range metas {
		n += chunkBytes + int64(len(m.Chunk.Bytes()))
	}
	return n
}

// readChunks reads the chunks of a series, so that what is handed over no
// longer depends on the child's set.
func readChunks(s storage.ChunkSeries) (pulled, int, error) {
	var (
		metas []chunks.Meta
		n     int
	)
	it := s.Iterator(nil)
	for it.Next() {
		metas = append(metas, it.At())
		n += it.At().Chunk.NumSamples()
	}
	bytes := seriesBytes + labelBytes(s.Labels()) + sizeOfChunks(metas)
	return pulled{&storage.ChunkSeriesEntry{
		Lset: s.Labels(),
		ChunkIteratorFn: func(chunks.Iterator) chunks.Iterator {
			return storage.NewListChunkSeriesIterator(metas...)
		},
	}, bytes}, n, it.Err()
}

// pulledSet is the reading end of a puller.
type pulledSet struct {
	ctx context.Context
	p   *puller
	cur pulled
	err error
}

func (s *pulledSet) Next() bool {
	if s.err != nil {
		return false
	}
	if s.p.ask.streams {
		// The reader is done with it. In a query, the engine keeps it.
		s.p.ask.budget.Release(s.cur.bytes)
		s.cur.bytes = 0
	}
	select {
	case s.cur = <-s.p.items:
		return true
	case <-s.p.ended:
		return s.rest()
	case <-s.ctx.Done():
		s.err = contextError(s.ctx)
		return false
	}
}

// rest returns what was sent before the end.
func (s *pulledSet) rest() bool {
	select {
	case s.cur = <-s.p.items:
		return true
	default:
		s.err = s.p.err
		return false
	}
}

func (s *pulledSet) At() storage.ChunkSeries           { return s.cur }
func (s *pulledSet) Err() error                        { return s.err }
func (s *pulledSet) Warnings() annotations.Annotations { return nil }

// boundedSet enforces the limits of a request over the merged series.
type boundedSet struct {
	storage.ChunkSeriesSet
	limit, maxSeries int
	series           int
	tier             string
	err              error
}

func (s *boundedSet) Next() bool {
	if s.err != nil || (s.limit > 0 && s.series >= s.limit) || !s.ChunkSeriesSet.Next() {
		return false
	}
	s.series++
	if s.maxSeries > 0 && s.series > s.maxSeries {
		s.err = tooMany("series of one request", flagMaxSeries, s.maxSeries, s.series, s.tier)
		return false
	}
	return true
}

func (s *boundedSet) Err() error {
	if s.err != nil {
		return s.err
	}
	return s.ChunkSeriesSet.Err()
}
