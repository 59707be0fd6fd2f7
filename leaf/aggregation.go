package leaf

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/prometheus/config"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/metadata"
	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb/chunkenc"

	"github.com/pandometrics/pando/leaf/aggregate"
	"github.com/pandometrics/pando/querytree"
)

// aggregationDir is where the state of ingest aggregation is kept, beside the
// TSDB's own files, which ignores it.
const aggregationDir = "pando-aggregation"

// loadAggregations reads and checks the aggregation rules, if there are to be any.
func loadAggregations(cfg Config, conf *config.Config) (aggregate.Rules, error) {
	if cfg.AggregateFile == "" {
		return aggregate.Rules{}, nil
	}
	r, err := aggregate.Load(cfg.AggregateFile, time.Duration(conf.GlobalConfig.ScrapeInterval))
	if err != nil {
		return r, err
	}
	place := aggregate.Place{
		Sharded: cfg.Identity.Shard != "", ShardKey: cfg.ShardKey, Replicated: cfg.Identity.Replica != "",
	}
	cfg.Identity.Labels.Range(func(l labels.Label) { place.Identity = append(place.Identity, l.Name) })
	if err := r.Fit(place); err != nil {
		return r, fmt.Errorf("aggregation rules %q: %w", cfg.AggregateFile, err)
	}
	return r, nil
}

// CheckAggregations checks a file of aggregation rules as a leaf would before using
// it, but for what depends on the leaf, and sums up what is in it.
func CheckAggregations(file string) (summary string, err error) {
	if file == "" {
		return "", errors.New("no file of aggregation rules is named")
	}
	cfg := DefaultConfig()
	cfg.AggregateFile = file
	conf, err := loadConfig(cfg, querytree.NewParser(), slog.New(slog.DiscardHandler))
	if err != nil {
		return "", err
	}
	r, err := loadAggregations(cfg, conf)
	if err != nil {
		return "", err
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s is valid: %d rules\n", file, len(r.Rules))
	for _, rule := range r.Rules {
		fmt.Fprintf(&b, "%s: %s, every %v, inputs: %s\n", rule.Name, strings.Join(rule.Outputs(), ", "), rule.Interval, rule.Raw)
	}
	for _, note := range r.Overlaps() {
		fmt.Fprintf(&b, "note: %s\n", note)
	}
	return b.String(), nil
}

// openAggregation puts ingest aggregation between what comes in and the storage.
func (l *Leaf) openAggregation(rules aggregate.Rules) (err error) {
	if l.cfg.AggregateFile == "" {
		return nil
	}
	out := *l.written
	out.metadata = nil // outputs are described when they are first stored
	l.aggregator, err = aggregate.Open(aggregate.Config{Dir: filepath.Join(l.cfg.DataDir, aggregationDir), Rules: rules}, aggregate.Deps{
		Out: &out, Last: l.lastStored, Metadata: l.metadataOf, Describe: l.metadata.add, Rename: l.id.rename,
		Logger: l.logger.With("component", "aggregation"), Registerer: l.reg, Now: l.now,
	})
	if err != nil {
		return fmt.Errorf("open aggregation: %w", err)
	}
	l.in = l.aggregate(l.written)
	return nil
}

// intake is what scraping and receiving write to.
type intake interface {
	storage.Appendable
	storage.AppendableV2
}

// aggregate puts ingest aggregation before an appendable, if there is any.
func (l *Leaf) aggregate(to *appendable) intake {
	if l.aggregator == nil {
		return to
	}
	return l.aggregator.Appendable(to, to)
}

// useAggregations applies rules that were loaded.
func (l *Leaf) useAggregations(rules aggregate.Rules) error {
	if l.aggregator == nil {
		return nil
	}
	if err := l.aggregator.Use(rules); err != nil {
		return fmt.Errorf("apply aggregation rules: %w", err)
	}
	return nil
}

// runAggregation stores what is aggregated until ctx ends.
func (l *Leaf) runAggregation(ctx context.Context) {
	if l.aggregator != nil {
		l.ended("aggregation", l.aggregator.Run(ctx))
	}
}

// metadataOf returns what is known of the family of a metric.
func (l *Leaf) metadataOf(metric string) (metadata.Metadata, bool) {
	families := []string{metric}
	for _, suffix := range []string{"_total", "_bucket", "_count", "_sum"} {
		if base, ok := strings.CutSuffix(metric, suffix); ok {
			families = append(families, base)
		}
	}
	for _, family := range families {
		if found := l.metadata.get(family)[family]; len(found) > 0 {
			return found[len(found)-1], true
		}
	}
	return metadata.Metadata{}, false
}

// lastStored returns the last values of series as they are stored, without the
// identity.
func (l *Leaf) lastStored(ctx context.Context, mint, maxt int64, ms ...*labels.Matcher) (out []aggregate.Stored, err error) {
	q, err := l.served.Querier(mint, maxt)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, q.Close()) }()
	set := q.Select(ctx, false, &storage.SelectHints{Start: mint, End: maxt}, slices.Clone(ms)...)
	var it chunkenc.Iterator
	for set.Next() {
		it = set.At().Iterator(it)
		s := aggregate.Stored{Labels: l.id.strip(set.At().Labels())}
		for kind := it.Next(); kind != chunkenc.ValNone; kind = it.Next() {
			if kind == chunkenc.ValFloat {
				if t, v := it.At(); !value.IsStaleNaN(v) {
					s.Time, s.Value, s.Hist = t, v, nil
				}
			} else if t, h := it.AtFloatHistogram(nil); !value.IsStaleNaN(h.Sum) {
				s.Time, s.Value, s.Hist = t, 0, h
			}
		}
		if err := it.Err(); err != nil {
			return nil, err
		}
		if s.Time != 0 {
			out = append(out, s)
		}
	}
	return out, set.Err()
}
