package leaf

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/oklog/ulid/v2"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb"
	"github.com/prometheus/prometheus/tsdb/index"
)

const (
	// blockInterval is how often the list of blocks is looked at for new ones.
	blockInterval = 2 * time.Second
	// rebuildInterval is how often, at most, hints are built anew without what
	// retention deleted; plus up to half of it, so that leaves take turns.
	rebuildInterval = 2 * time.Hour
)

// Indexer takes in the label sets that a leaf serves and makes the field hint of
// them, by which parents skip the leaf: *fieldhint.Set does. It is called
// concurrently; AddSeries is called for every new series by whoever appends to
// it, so it must be cheap.
type Indexer interface {
	// AddSeries adds the label set of a series, identity labels included. It
	// may be called again for a known one.
	AddSeries(lset labels.Labels)
	// SetComplete says that every series the leaf holds was added, and that
	// new ones will be as they come.
	SetComplete()
	// Rebuild replaces what was added by what scan adds, and by what AddSeries
	// adds in the meantime. It may call scan twice, once to count; each time,
	// scan adds all series. If scan fails, nothing changes.
	Rebuild(scan func(add func(labels.Labels)) error) error
}

// indexing feeds an Indexer. Series of the head come from the TSDB's callback,
// which is in place before the WAL is replayed; series of blocks from the
// blocks' indexes. Its methods may be called on nil.
type indexing struct {
	to     Indexer
	id     *identity
	logger *slog.Logger
	now    func() time.Time

	seen     map[ulid.ULID]int64 // mint by block
	rebuild  time.Time           // not before
	complete bool
}

func newIndexing(to Indexer, id *identity, logger *slog.Logger, now func() time.Time) *indexing {
	if to == nil {
		return nil
	}
	return &indexing{to: to, id: id, logger: logger, now: now, seen: map[ulid.ULID]int64{}, rebuild: nextRebuild(now())}
}

func nextRebuild(now time.Time) time.Time {
	return now.Add(rebuildInterval + rand.N(rebuildInterval/2))
}

// created returns the function to call for each new series of the head.
func (x *indexing) created() func(labels.Labels) {
	if x == nil {
		return nil
	}
	return func(lset labels.Labels) { x.to.AddSeries(x.id.served(lset)) }
}

// run keeps the hint complete until ctx ends.
func (x *indexing) run(ctx context.Context, store *Store) {
	if x == nil {
		return
	}
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

// update adds the blocks that were not added yet, and rebuilds the hint when it
// is time to.
func (x *indexing) update(ctx context.Context, store *Store) error {
	if x.complete && x.expired(store.Blocks()) && x.now().After(x.rebuild) {
		x.rebuild = nextRebuild(x.now())
		return x.scanAnew(ctx, store)
	}
	if x.complete {
		return x.scanBlocks(ctx, store, x.seen, x.to.AddSeries)
	}
	// The callback has told of the series of the head. They are scanned as well,
	// since what is worth keeping of series is decided by all of them.
	if err := x.scanAnew(ctx, store); err != nil {
		return err
	}
	x.to.SetComplete()
	x.complete = true
	return nil
}

// scanAnew makes the hint of what there is now.
func (x *indexing) scanAnew(ctx context.Context, store *Store) error {
	var seen map[ulid.ULID]int64
	err := x.to.Rebuild(func(add func(labels.Labels)) error {
		seen = map[ulid.ULID]int64{}
		return x.scanAll(ctx, store, seen, add)
	})
	if err == nil {
		x.seen = seen
	}
	return err
}

// scanAll adds all series: of the head first, since what leaves it is in a block
// before.
func (x *indexing) scanAll(ctx context.Context, store *Store, seen map[ulid.ULID]int64, add func(labels.Labels)) error {
	ir, err := store.Head().Index()
	if err != nil {
		return fmt.Errorf("open index of head: %w", err)
	}
	if err := x.scan(ctx, ir, add); err != nil {
		return fmt.Errorf("scan head: %w", err)
	}
	return x.scanBlocks(ctx, store, seen, add)
}

// maxScanRounds bounds how often blocks may be replaced by others while they
// are scanned, before the rest is left for later.
const maxScanRounds = 10

// scanBlocks adds the blocks that were not seen yet, until there are none.
func (x *indexing) scanBlocks(ctx context.Context, store *Store, seen map[ulid.ULID]int64, add func(labels.Labels)) error {
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

// scan adds every series of an index, and closes it.
func (x *indexing) scan(ctx context.Context, ir tsdb.IndexReader, add func(labels.Labels)) (err error) {
	defer func() { err = errors.Join(err, ir.Close()) }()
	name, value := index.AllPostingsKey()
	p, err := ir.Postings(ctx, name, value)
	if err != nil {
		return err
	}
	var builder labels.ScratchBuilder
	for n := 0; p.Next(); n++ {
		if n%1000 == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		err := ir.Series(p.At(), &builder, nil)
		if errors.Is(err, storage.ErrNotFound) {
			continue // deleted from the head meanwhile
		}
		if err != nil {
			return err
		}
		add(x.id.served(builder.Labels()))
	}
	return p.Err()
}
