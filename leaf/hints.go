package leaf

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/oklog/ulid/v2"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb"
	"github.com/prometheus/prometheus/tsdb/chunks"
	"github.com/prometheus/prometheus/tsdb/index"

	"github.com/pandometrics/pando/fieldhint"
)

const (
	// blockInterval is how often the list of blocks is looked at for new ones.
	blockInterval = 2 * time.Second
	// rebuildInterval is how often, at most, hints are built anew without what
	// retention deleted; plus up to half of it, so that leaves take turns.
	rebuildInterval = 2 * time.Hour
	// retryInterval is the time before a rebuild that failed is tried again.
	retryInterval = time.Minute
	// recountInterval is how often, at most, it is decided anew what is worth
	// telling, plus up to half of it, if there are more than growth times as many series as last time, or
	// as fewSeries.
	recountInterval = time.Minute
	growth          = 4
	fewSeries       = 64
	// jitterShare is the part of a window over which leaves spread the rebuilds
	// that are due at its start.
	jitterShare = 8
)

// Indexer takes in the label sets that a leaf serves and makes the field hint of
// them, by which parents skip the leaf: *fieldhint.Set does. It is called
// concurrently; AddSeries is called for every new series by whoever appends to
// it, so it must be cheap. Label sets have the identity labels, unless these are
// the external ones of the Indexer.
type Indexer interface {
	// External returns labels that the Indexer takes to be on all series.
	External() labels.Labels
	// AddSeries adds series of the head. It may be called again for a known one,
	// and keeps nothing of what it is given.
	AddSeries(series ...labels.Labels)
	// AddSeriesAt adds a series that has samples in some spans.
	AddSeriesAt(lset labels.Labels, spans ...fieldhint.Span)
	// Widen says that series of the head may have samples as old as from, in
	// milliseconds, from now on.
	Widen(from int64)
	// SetComplete says that every series the leaf holds was added, and that
	// new ones will be as they come.
	SetComplete()
	// Rebuild replaces what was added by what scan adds, with the spans in which
	// there are samples, and by what is added in the meantime. It may call scan
	// twice, once to count; each time, scan adds all series. Series of the head
	// have no sample before layout.Current later on. If scan fails, nothing
	// changes.
	Rebuild(layout fieldhint.Layout, scan func(add func(lset labels.Labels, spans ...fieldhint.Span)) error) error
}

// indexing feeds an Indexer. Series of the head come from the TSDB's callback,
// which is in place before the WAL is replayed; series of blocks from the
// blocks' indexes. Its methods may be called on nil.
type indexing struct {
	to     Indexer
	id     *identity
	bare   bool // to knows that series have the identity labels
	fresh  *creations
	logger *slog.Logger
	now    func() time.Time
	window time.Duration // of the hints' first era
	chunks time.Duration // the head's chunk range

	late *lateness

	seen     map[ulid.ULID]int64 // mint by block
	series   uint64              // of the head, when the hint was made
	recount  time.Time           // not before, if there are many more
	rebuild  time.Time           // not before, if blocks are gone
	rollover time.Time           // when the next window's sections are made
	complete bool
}

func newIndexing(to Indexer, id *identity, logger *slog.Logger, cfg Config, late *lateness) *indexing {
	if to == nil {
		return nil
	}
	x := &indexing{
		to: to, id: id, logger: logger, now: late.now, late: late, window: cfg.HintWindow, chunks: cfg.BlockDuration,
		seen: map[ulid.ULID]int64{}, rebuild: nextRebuild(late.now()), bare: labels.Equal(to.External(), id.lset),
	}
	x.fresh = &creations{add: x.add}
	return x
}

// add adds series of the head.
func (x *indexing) add(series []labels.Labels) {
	for i, lset := range series {
		series[i] = x.indexed(lset)
	}
	x.to.AddSeries(series...)
}

// indexed returns the label set by which the hint knows a stored series.
func (x *indexing) indexed(lset labels.Labels) labels.Labels {
	if x.bare {
		return x.id.rename(lset)
	}
	return x.id.served(lset)
}

func nextRebuild(now time.Time) time.Time {
	return now.Add(rebuildInterval + rand.N(rebuildInterval/2))
}

// windowStart returns the start of the window that a time is in, in UTC.
func (x *indexing) windowStart(t time.Time) time.Time {
	since := t.UnixMilli() % x.window.Milliseconds()
	return time.UnixMilli(t.UnixMilli() - since)
}

// created returns what takes the new series of the head.
func (x *indexing) created() *creations {
	if x == nil {
		return nil
	}
	return x.fresh
}

// committing must be called before a transaction that may have created series is
// committed.
func (x *indexing) committing() func() {
	if x == nil {
		return nil
	}
	return x.fresh.flush
}

// widen must be called before the head accepts samples of a wider out-of-order
// window: hints must not say that there is nothing so old.
func (x *indexing) widen(store *Store) {
	if x != nil {
		x.to.Widen(x.late.oldest(store))
	}
}

// layout divides time into sections: the current one begins before the window, by
// as much as samples may be late, so that it holds all that comes.
func (x *indexing) layout(store *Store) fieldhint.Layout {
	start := x.windowStart(x.now()).UnixMilli()
	late := max((x.chunks/2).Milliseconds(), x.late.outOfOrder.Load()) + slowAppend.Milliseconds()
	return fieldhint.Layout{Start: start, Window: x.window.Milliseconds(), Current: min(start-late, x.late.oldest(store))}
}

// run keeps the hint complete until ctx ends.
func (x *indexing) run(ctx context.Context, store *Store) {
	if x == nil {
		return
	}
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() { x.fresh.run(ctx) })
	tick := time.NewTicker(blockInterval)
	defer tick.Stop()
	for {
		if err := x.update(ctx, store); err != nil && ctx.Err() == nil {
			x.logger.Error("field hint not up to date", "err", err)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// due reports whether it is time to make the hint anew: at first, when a window
// has begun, when blocks are gone, and when there are several times as many
// series as when it was decided what is worth telling of them, as there are soon
// after a leaf has been started for the first time.
func (x *indexing) due(store *Store, now time.Time) bool {
	switch {
	case !x.complete || now.After(x.rollover):
		return true
	case now.After(x.recount) && store.Head().NumSeries() > growth*max(x.series, fewSeries):
		return true
	default:
		return now.After(x.rebuild) && x.expired(store.Blocks())
	}
}

// update adds the blocks that were not added yet, and rebuilds the hint when it
// is time to.
func (x *indexing) update(ctx context.Context, store *Store) error {
	now := x.now()
	x.late.oldest(store) // is remembered
	if !x.due(store, now) {
		return x.scanBlocks(ctx, store, x.seen, x.to.AddSeriesAt)
	}
	series := store.Head().NumSeries()
	next := x.windowStart(now).Add(x.window + rand.N(x.window/jitterShare))
	var seen map[ulid.ULID]int64
	err := x.to.Rebuild(x.layout(store), func(add func(labels.Labels, ...fieldhint.Span)) error {
		x.to.Widen(x.late.oldest(store)) // the window may have become wider just now
		seen = map[ulid.ULID]int64{}
		return x.scanAll(ctx, store, seen, add)
	})
	if err != nil {
		x.rollover, x.rebuild, x.recount = now.Add(retryInterval), now.Add(retryInterval), now.Add(retryInterval)
		return err
	}
	x.seen, x.rollover, x.rebuild = seen, next, nextRebuild(now)
	x.series, x.recount = series, now.Add(recountInterval+rand.N(recountInterval/2))
	if !x.complete {
		x.to.SetComplete()
		x.complete = true
	}
	return nil
}

// scanAll adds all series: of the head first, since what leaves it is in a block
// before.
func (x *indexing) scanAll(ctx context.Context, store *Store, seen map[ulid.ULID]int64, add func(labels.Labels, ...fieldhint.Span)) error {
	const ever, forever = math.MinInt64, math.MaxInt64
	ir := tsdb.NewHeadAndOOOIndexReader(store.Head(), ever, ever, forever, 0)
	head := func(lset labels.Labels, spans ...fieldhint.Span) {
		// The next sample of a series of the head rings no bell, and may make its
		// chunk span what lies between.
		all := fieldhint.Span{From: forever - 1, To: forever}
		for _, s := range spans {
			all.From = min(all.From, s.From)
		}
		add(lset, all)
	}
	if err := x.scan(ctx, ir, head); err != nil {
		return fmt.Errorf("scan head: %w", err)
	}
	return x.scanBlocks(ctx, store, seen, add)
}

// maxScanRounds bounds how often blocks may be replaced by others while they
// are scanned, before the rest is left for later.
const maxScanRounds = 10

// scanBlocks adds the blocks that were not seen yet, until there are none.
func (x *indexing) scanBlocks(ctx context.Context, store *Store, seen map[ulid.ULID]int64, add func(labels.Labels, ...fieldhint.Span)) error {
	for range maxScanRounds {
		// The list is the TSDB's own: not to be changed.
		unseen := slices.DeleteFunc(slices.Clone(store.Blocks()), func(b *tsdb.Block) bool {
			_, ok := seen[b.Meta().ULID]
			return ok
		})
		if len(unseen) == 0 {
			return nil
		}
		for _, b := range unseen {
			ir, err := b.Index()
			if errors.Is(err, tsdb.ErrClosing) {
				continue // its series are in another block, if anywhere
			}
			if err == nil {
				err = x.scan(ctx, ir, add)
			}
			if err != nil {
				return fmt.Errorf("scan block %s: %w", b.Meta().ULID, err)
			}
			seen[b.Meta().ULID] = b.Meta().MinTime
		}
	}
	return errors.New("scan blocks: they are replaced faster than they can be read")
}

// expired reports whether the past that a block held is gone with it. Compaction deletes blocks too, but holds
// their range in another.
func (x *indexing) expired(blocks []*tsdb.Block) bool {
	live := make(map[ulid.ULID]struct{}, len(blocks))
	oldest := int64(0)
	for i, b := range blocks {
		meta := b.Meta()
		live[meta.ULID] = struct{}{}
		if i == 0 || meta.MinTime < oldest {
			oldest = meta.MinTime
		}
	}
	for id, mint := range x.seen {
		if _, ok := live[id]; !ok && (len(blocks) == 0 || mint < oldest) {
			return true
		}
	}
	return false
}

// scan adds every series of an index, with the spans of its chunks, and closes it.
func (x *indexing) scan(ctx context.Context, ir tsdb.IndexReader, add func(labels.Labels, ...fieldhint.Span)) (err error) {
	defer func() { err = errors.Join(err, ir.Close()) }()
	name, value := index.AllPostingsKey()
	p, err := ir.Postings(ctx, name, value)
	if err != nil {
		return err
	}
	var (
		builder labels.ScratchBuilder
		metas   []chunks.Meta
		spans   []fieldhint.Span
	)
	for n := 0; p.Next(); n++ {
		if n%1000 == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		err := ir.Series(p.At(), &builder, &metas)
		if errors.Is(err, storage.ErrNotFound) {
			continue // deleted from the head meanwhile
		}
		if err != nil {
			return err
		}
		spans = spans[:0]
		for _, c := range metas {
			end := c.MaxTime
			if end < math.MaxInt64 {
				end++
			}
			spans = append(spans, fieldhint.Span{From: c.MinTime, To: end})
		}
		add(x.indexed(builder.Labels()), spans...)
	}
	return p.Err()
}
