package leaf

import (
	"context"
	"fmt"
	"log/slog"
	"math"
	"os"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/prometheus/config"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/tsdb"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
	"github.com/prometheus/prometheus/tsdb/chunks"
	"github.com/prometheus/prometheus/util/compression"
)

const (
	defaultRetention = 15 * 24 * time.Hour
	maxRetention     = 100 * 365 * 24 * time.Hour
	maxBlockDuration = 31 * 24 * time.Hour
)

// tsdbOptions are the options that Prometheus would choose for the same
// configuration. conf must have been through settle.
func tsdbOptions(cfg Config, conf *config.Config, created *creations) *tsdb.Options {
	ts := conf.StorageConfig.TSDBConfig
	opts := tsdb.DefaultOptions()
	opts.RetentionDuration = time.Duration(ts.Retention.Time).Milliseconds()
	opts.MaxBytes = int64(ts.Retention.Size)
	opts.MaxPercentage = ts.Retention.Percentage
	opts.NoLockfile = cfg.NoLockfile
	opts.WALCompression = compression.None
	if cfg.WALCompression != "none" {
		opts.WALCompression = cfg.WALCompression
	}
	opts.MinBlockDuration = cfg.BlockDuration.Milliseconds()
	opts.MaxBlockDuration = blockRange(cfg, time.Duration(ts.Retention.Time)).Milliseconds()
	opts.HeadChunksWriteQueueSize = 0
	opts.BlockReloadInterval = cfg.BlockReloadInterval
	opts.OutOfOrderTimeWindow = ts.OutOfOrderTimeWindow
	opts.StaleSeriesCompactionThreshold = ts.StaleSeriesCompactionThreshold
	opts.EnableSharding = cfg.Sharding
	opts.EnableExemplarStorage = true
	opts.MaxExemplars = conf.StorageConfig.ExemplarsConfig.MaxExemplars
	if ts.ChunkEncoding.Floats == config.FloatChunkEncodingXOR2 {
		opts.FloatChunkEncoding = chunkenc.EncXOR2
	}
	opts.SeriesLifecycleCallback = lifecycle{created: created}
	return opts
}

func blockRange(cfg Config, retention time.Duration) time.Duration {
	d := cfg.MaxBlockDuration
	if d == 0 {
		d = maxBlockDuration
		if retention != 0 && retention/10 < d {
			d = retention / 10
		}
	}
	return max(d, cfg.BlockDuration)
}

// lifecycle passes on the series that the head creates.
type lifecycle struct {
	created *creations // nil without hints
}

// PreCreation implements tsdb.SeriesLifecycleCallback.
func (l lifecycle) PreCreation(lset labels.Labels) error {
	if l.created != nil {
		l.created.announce(lset)
	}
	return nil
}

// PostCreation implements tsdb.SeriesLifecycleCallback.
func (l lifecycle) PostCreation(lset labels.Labels) {
	if l.created != nil {
		l.created.push(lset)
	}
}

// PostDeletion implements tsdb.SeriesLifecycleCallback.
func (lifecycle) PostDeletion(map[chunks.HeadSeriesRef]labels.Labels) {}

// Store is the leaf's TSDB, with the methods that Prometheus' HTTP API wants of
// it. Its series are as stored, without the identity labels, except where noted.
type Store struct {
	*tsdb.DB
	stats *tsdb.DBStats
	id    *identity
	// deleted is told of deletions. May be nil.
	deleted func(mint int64)
	// final is told of deletions before they are made. May be nil.
	final     *finality
	deletions *deletions
}

func openStore(cfg Config, opts *tsdb.Options, id *identity, logger *slog.Logger, reg prometheus.Registerer) (*Store, error) {
	if err := os.MkdirAll(cfg.DataDir, 0o777); err != nil {
		return nil, fmt.Errorf("create data directory %q: %w", cfg.DataDir, err)
	}
	stats := tsdb.NewDBStats()
	db, err := tsdb.Open(cfg.DataDir, logger.With("component", "tsdb"), reg, opts, stats)
	if err != nil {
		return nil, fmt.Errorf("open storage in %q: %w", cfg.DataDir, err)
	}
	return &Store{DB: db, stats: stats, id: id, deletions: newDeletions(db)}, nil
}

// Stats returns statistics of the head, as stored.
func (s *Store) Stats(statsByLabelName string, limit int) (*tsdb.Stats, error) {
	return s.Head().Stats(statsByLabelName, limit), nil
}

// WALReplayStatus returns how far the replay of the WAL has come.
func (s *Store) WALReplayStatus() (tsdb.WALReplayStatus, error) {
	return s.stats.Head.WALReplayStatus.GetWALReplayStatus(), nil
}

// BlockMetas returns the metadata of the persisted blocks.
func (s *Store) BlockMetas() ([]tsdb.BlockMeta, error) { return s.DB.BlockMetas(), nil }

// Delete deletes samples of the series that match, as they are served: matchers
// on identity labels are decided against the identity. A matcher on a label
// that has a name like exported_<identity label> refers to the stored label of
// just that name.
func (s *Store) Delete(ctx context.Context, mint, maxt int64, ms ...*labels.Matcher) error {
	rest, ok := s.id.resolve(ms)
	if !ok {
		return nil
	}
	if err := s.deletions.begin(ctx); err != nil {
		return fmt.Errorf("delete series: wait for the queries that began before: %w", err)
	}
	done, err := s.final.deletion(mint, maxt)
	defer done()
	if err != nil {
		return fmt.Errorf("delete series: %w", err)
	}
	if s.deleted != nil {
		defer s.deleted(mint) // Also if it failed: some blocks may be done.
	}
	return s.DB.Delete(ctx, mint, maxt, selecting(rest)...)
}

// bounds returns the times of the oldest and the newest sample, or
// math.MaxInt64 and math.MinInt64 if there is none.
func (s *Store) bounds() (mint, maxt int64) {
	head := s.Head()
	mint, maxt = math.MaxInt64, math.MinInt64
	if head.NumSeries() > 0 {
		mint = min(head.MinTime(), head.MinOOOTime())
		maxt = max(head.MaxTime(), head.MaxOOOTime())
	}
	for _, b := range s.Blocks() {
		meta := b.Meta()
		mint, maxt = min(mint, meta.MinTime), max(maxt, meta.MaxTime-1)
	}
	return mint, maxt
}
