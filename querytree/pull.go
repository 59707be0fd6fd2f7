package querytree

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb/chunks"
	"github.com/prometheus/prometheus/util/annotations"
)

// pullBuffer is how many series of one child wait for the merge.
const pullBuffer = 16

// Select implements Child: it merges the children's raw series as they come.
func (m *Mixer) Select(ctx context.Context, req SelectRequest) SeriesSet {
	ask := m.asking(req.Options)
	req.Options = ask.opts
	members := m.members(req.Mint)
	prune := newPruning(members, m.pruner(req.Options), req.Mint, req.Maxt)
	ctx, cancel := context.WithCancel(ctx)
	set := m.pull(ctx, req, members, prune, ask)
	return &mixedSet{ChunkSeriesSet: set, cancel: cancel, ask: ask, prune: prune, detail: req.Detail}
}

// mixedSet is what Mixer.Select returns.
type mixedSet struct {
	storage.ChunkSeriesSet
	cancel context.CancelFunc
	ask    *asking
	prune  *pruning
	detail bool
}

func (s *mixedSet) Warnings() annotations.Annotations { return s.ask.warnings() }

func (s *mixedSet) Report() Report {
	r := s.ask.snapshot()
	r.Merge(s.prune.report(s.detail))
	return r
}

func (s *mixedSet) Close() { s.cancel() }

// pull asks the candidates for raw series, all at once, and merges the streams.
// What it started ends with ctx, and what it returned is valid until then.
func (m *Mixer) pull(ctx context.Context, req SelectRequest, members []Member, prune *pruning, ask *asking) storage.ChunkSeriesSet {
	var sets []storage.ChunkSeriesSet
	prune.candidates(req.Matchers).each(func(i int) {
		p := &puller{m: members[i], ask: ask, req: req, items: make(chan pulled, pullBuffer)}
		p.req.Options = ask.below()
		go p.run(ctx)
		sets = append(sets, &pulledSet{ctx: ctx, p: p})
	})
	merged := storage.NewMergeChunkSeriesSet(sets, req.Limit, storage.NewCompactingChunkSeriesMerger(storage.ChainedSeriesMerge))
	return &boundedSet{ChunkSeriesSet: merged, limit: req.Limit, maxSeries: ask.opts.MaxSeries, maxSamples: ask.opts.MaxSamples, tier: m.name()}
}

// puller reads the series of one child.
type puller struct {
	m     Member
	ask   *asking
	req   SelectRequest
	items chan pulled

	mu     sync.Mutex
	cancel context.CancelCauseFunc
	timer  *time.Timer
	left   time.Duration
	since  time.Time
}

// pulled is one series, or the error that ended the stream.
type pulled struct {
	series storage.ChunkSeries
	err    error
}

// run reads until the child has no more, it fails, its soft deadline passes or
// ctx ends. It keeps the child's set open until ctx ends, because chunks may
// live in memory that the set holds.
func (p *puller) run(ctx context.Context) {
	outer := ctx
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	p.cancel, p.left = cancel, p.ask.soft
	p.resume()
	set := p.m.Child.Select(ctx, p.req)
	defer set.Close()
	stats := ChildReport{}
	for set.Next() {
		series, n, err := readChunks(set.At())
		if err != nil {
			p.end(outer, ctx, err)
			return
		}
		stats.Series++
		stats.Samples += int64(n)
		p.pause()
		select {
		case p.items <- pulled{series: series}:
		case <-ctx.Done():
			p.end(outer, ctx, ctx.Err())
			return
		}
		p.resume()
	}
	p.pause()
	if err := set.Err(); err != nil {
		p.end(outer, ctx, err)
		return
	}
	p.ask.answered(p.m, set.Report(), set.Warnings(), stats.Series, stats.Samples)
	close(p.items)
	<-outer.Done()
}

// resume lets the soft deadline run, pause stops it while the reader is waited
// for: a child is not late because another one is.
func (p *puller) resume() {
	p.since = time.Now()
	p.timer = time.AfterFunc(p.left, func() { p.cancel(ErrLate) })
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
	if err = p.ask.missing(outer, p.m, err); err != nil {
		select {
		case p.items <- pulled{err: err}:
		case <-outer.Done():
		}
	}
	close(p.items)
	<-outer.Done()
}

// readChunks reads the chunks of a series, so that what is handed over no
// longer depends on the child's set.
func readChunks(s storage.ChunkSeries) (storage.ChunkSeries, int, error) {
	var (
		metas []chunks.Meta
		n     int
	)
	it := s.Iterator(nil)
	for it.Next() {
		metas = append(metas, it.At())
		n += it.At().Chunk.NumSamples()
	}
	return &storage.ChunkSeriesEntry{
		Lset: s.Labels(),
		ChunkIteratorFn: func(chunks.Iterator) chunks.Iterator {
			return storage.NewListChunkSeriesIterator(metas...)
		},
	}, n, it.Err()
}

// pulledSet is the reading end of a puller.
type pulledSet struct {
	ctx context.Context
	p   *puller
	cur storage.ChunkSeries
	err error
}

func (s *pulledSet) Next() bool {
	if s.err != nil {
		return false
	}
	select {
	case item, ok := <-s.p.items:
		s.cur, s.err = item.series, item.err
		return ok && s.err == nil
	case <-s.ctx.Done():
		s.err = contextError(s.ctx)
		return false
	}
}

func (s *pulledSet) At() storage.ChunkSeries           { return s.cur }
func (s *pulledSet) Err() error                        { return s.err }
func (s *pulledSet) Warnings() annotations.Annotations { return nil }

// boundedSet enforces the limits of a request over the merged series.
type boundedSet struct {
	storage.ChunkSeriesSet
	limit                 int
	maxSeries, maxSamples int
	series, samples       int
	tier                  string
	err                   error
}

func (s *boundedSet) Next() bool {
	if s.err != nil || (s.limit > 0 && s.series >= s.limit) || !s.ChunkSeriesSet.Next() {
		return false
	}
	s.series++
	if s.maxSeries > 0 && s.series > s.maxSeries {
		s.err = &LimitError{What: "series of one request", Flag: "query.max-series", Limit: int64(s.maxSeries), Tier: s.tier}
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

// sortMatchers renders matchers in a stable order, for messages.
func sortMatchers(ms []*labels.Matcher) string {
	parts := make([]string, len(ms))
	for i, m := range ms {
		parts[i] = m.String()
	}
	slices.Sort(parts)
	return "{" + strings.Join(parts, ",") + "}"
}
