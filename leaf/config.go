package leaf

import (
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"net/url"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/rules"

	"github.com/pandometrics/pando/querytree"
)

// Config is what an operator chooses for a leaf. DefaultConfig returns the
// values that Prometheus has by default.
type Config struct {
	// Identity is who the leaf is. Its labels are on every series it serves.
	Identity querytree.Identity
	// ShardKey names the labels by which series were spread over the shards of
	// the cluster, if Identity.Shard is set and all of them are spread alike.
	ShardKey []string
	// DataDir is the TSDB directory. That of a Prometheus is opened as it is.
	DataDir string
	// ConfigFile is a Prometheus configuration file: what to scrape, rules,
	// Alertmanagers, storage and OTLP settings. Empty means nothing of those.
	ConfigFile string
	// RulesOnly makes it a place for what rules record and for their alerts, as
	// zones and the root have one: the configuration file must not name anything
	// to scrape then.
	RulesOnly bool
	// AggregateFile has rules by which series are summed up before they are stored;
	// empty means none are.
	AggregateFile string
	// RefuseLinkLocal has scraping connect to no link-local address, and none
	// where clouds hand out credentials, wherever the address comes from: for
	// configurations that others may write. AllowLinkLocal are exceptions.
	RefuseLinkLocal bool
	AllowLinkLocal  []netip.Prefix
	// ExternalURL is where users reach the leaf's HTTP API; it is used in
	// alerts. May be nil.
	ExternalURL *url.URL

	// Retention is how long samples are kept. If zero and RetentionBytes is
	// zero too, it is 15 days; negative means for ever.
	Retention time.Duration
	// RetentionBytes is the most that blocks may take on disk; zero means any.
	RetentionBytes int64
	// OutOfOrderWindow is how far behind the newest sample of the head a sample
	// may be appended. The configuration file takes precedence.
	OutOfOrderWindow time.Duration
	// FinalDelay is the age from which on samples are said to be final, if no
	// samples came later than that of late and the out-of-order window is no
	// longer: rollups are made of them then.
	FinalDelay time.Duration
	// MaxExemplars is the number of exemplars kept in memory; zero means none.
	// The configuration file takes precedence.
	MaxExemplars int64
	// BlockDuration is the time range of the smallest blocks; MaxBlockDuration
	// that of the largest, zero meaning a tenth of the retention, at most 31
	// days.
	BlockDuration, MaxBlockDuration time.Duration
	// BlockReloadInterval is how often the directory is looked at for blocks
	// put there or removed by hand. At least a second.
	BlockReloadInterval time.Duration
	// NoLockfile leaves out the lock file in DataDir.
	NoLockfile bool
	// WALCompression is "snappy", "zstd" or "none".
	WALCompression string
	// Sharding makes series selectable by hash shard, at 8 bytes a head series.
	Sharding bool

	// HintWindow is the length of the windows of time by which field hints tell
	// series apart that come and go: they are made anew at each one's start.
	HintWindow time.Duration

	// Limits bound queries.
	Limits querytree.Limits
	// QueryParallelism is how many cores one query of a parent may use while
	// they are idle; zero means all, one that queries are never spread.
	QueryParallelism int
	// LookbackDelta is how far back an instant selector looks for a sample.
	LookbackDelta time.Duration

	// MaxBodyBytes bounds the body of a write request as it is sent,
	// MaxDecodedBytes after decompression; neither may exceed 32 MiB.
	MaxBodyBytes, MaxDecodedBytes int64
	// MaxConcurrentWrites bounds the write requests that are decoded and stored
	// at the same time; more wait, with their body as it was sent.
	MaxConcurrentWrites int
	// MaxMetadataFamilies bounds the metric families whose metadata is kept.
	MaxMetadataFamilies int
	// NotificationQueue is the number of alerts that wait for an Alertmanager.
	NotificationQueue int
}

// minHintWindow is the least HintWindow: hints are made anew once a window, which
// reads the indexes of all blocks.
const minHintWindow = 2 * time.Hour

// maxWriteBytes is the bound that Prometheus' own handlers have built in.
const maxWriteBytes = 32 << 20

// DefaultConfig returns the configuration of a leaf without identity and
// directory.
func DefaultConfig() Config {
	return Config{
		Identity:            querytree.Identity{Tier: querytree.TierLeaf},
		MaxExemplars:        100_000,
		FinalDelay:          time.Minute,
		BlockDuration:       2 * time.Hour,
		BlockReloadInterval: time.Minute,
		WALCompression:      "snappy",
		HintWindow:          24 * time.Hour,
		Limits:              querytree.DefaultLimits(),
		LookbackDelta:       5 * time.Minute,
		MaxBodyBytes:        maxWriteBytes,
		MaxDecodedBytes:     maxWriteBytes,
		MaxConcurrentWrites: 64,
		MaxMetadataFamilies: 100_000,
		NotificationQueue:   10_000,
	}
}

// Validate reports the first setting that cannot be used, and what to change.
func (c Config) Validate() error {
	if err := c.Identity.Validate(); err != nil {
		return err
	}
	if c.Identity.Tier != querytree.TierLeaf {
		return fmt.Errorf("leaf: identity has tier %q; it must be %q", c.Identity.Tier, querytree.TierLeaf)
	}
	for _, name := range []string{model.MetricNameLabel, model.InstanceLabel, model.JobLabel, model.BucketLabel, model.QuantileLabel} {
		if c.Identity.Labels.Has(name) {
			return fmt.Errorf("leaf: %q cannot be an external label, since scraped series have it; choose another name", name)
		}
	}
	if c.DataDir == "" {
		return errors.New("leaf: no data directory; set --storage.tsdb.path")
	}
	switch c.WALCompression {
	case "snappy", "zstd", "none":
	default:
		return fmt.Errorf("leaf: unknown WAL compression %q; use snappy, zstd or none", c.WALCompression)
	}
	for _, b := range []struct {
		what  string
		value int64
	}{{"bound of a request body", c.MaxBodyBytes}, {"bound of a decoded request body", c.MaxDecodedBytes}} {
		if b.value <= 0 || b.value > maxWriteBytes {
			return fmt.Errorf("leaf: the %s is %d; it must be between 1 and %d", b.what, b.value, maxWriteBytes)
		}
	}
	for _, v := range []struct {
		what  string
		value int64
	}{
		{"lookback delta", int64(c.LookbackDelta)},
		{"delay until samples are final", int64(c.FinalDelay)},
		{"block duration", int64(c.BlockDuration)},
		{"block reload interval", int64(c.BlockReloadInterval)},
		{"number of concurrent writes", int64(c.MaxConcurrentWrites)},
		{"number of metadata families", int64(c.MaxMetadataFamilies)},
		{"notification queue", int64(c.NotificationQueue)},
	} {
		if v.value <= 0 {
			return fmt.Errorf("leaf: the %s must be greater than zero", v.what)
		}
	}
	if c.HintWindow < minHintWindow {
		return fmt.Errorf("leaf: windows of field hints of %v are too short; set --hints.window to at least %v", c.HintWindow, minHintWindow)
	}
	if c.QueryParallelism < 0 {
		return errors.New("leaf: the parallelism of queries cannot be negative; set --query.leaf-parallelism to 1 to keep each query on one core")
	}
	if c.OutOfOrderWindow < 0 || c.MaxExemplars < 0 || c.RetentionBytes < 0 {
		return errors.New("leaf: out-of-order window, exemplars and retention size cannot be negative")
	}
	return c.Limits.Validate()
}

// Deps are what a leaf is given by the process it runs in. All may be left out.
type Deps struct {
	// Logger takes the leaf's log.
	Logger *slog.Logger
	// Registerer takes the metrics of the leaf and of the Prometheus parts in
	// it. Two leaves of one process need registerers that tell them apart.
	Registerer prometheus.Registerer
	// Hints takes in the label sets that the leaf serves.
	Hints Indexer
	// Parser parses PromQL; querytree.NewParser() if nil.
	Parser parser.Parser
	// Version is the build version, for Description.
	Version string
	// Cores counts the evaluations of all leaves of this process, so that a query
	// takes idle cores only; nil makes one of Config.QueryParallelism.
	Cores *querytree.Cores
	// RuleQuery evaluates the expressions of rules; nil has them evaluated over
	// the leaf's own series.
	RuleQuery rules.QueryFunc
	// AlertSeries is the name of the series that tell of alerts; ALERTS if empty.
	AlertSeries string
	// OnRecorded, if not nil, is called when RecordedNames may have changed. It must
	// not call the leaf for more than these.
	OnRecorded func()
	// Restater keeps note of changes to what was final; nil keeps the leaf from
	// saying that anything is.
	Restater Restater
	// Beside, if not nil, reads what else is of the revision of the configuration file,
	// whenever Reload reads that, and returns what has it take effect. An error of it
	// is one of the configuration: nothing changes then.
	Beside func() (use func(), err error)
	// Turns are those of the process; nil makes some of the leaf's own.
	Turns *querytree.Turns
	// Now is the clock; time.Now if nil.
	Now func() time.Time
}

func (d Deps) withDefaults() Deps {
	if d.Logger == nil {
		d.Logger = slog.New(slog.DiscardHandler)
	}
	if d.Registerer == nil {
		d.Registerer = prometheus.NewRegistry()
	}
	if d.Parser == nil {
		d.Parser = querytree.NewParser()
	}
	if d.Now == nil {
		d.Now = time.Now
	}
	return d
}
