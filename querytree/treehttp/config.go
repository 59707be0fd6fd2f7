package treehttp

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"time"

	"github.com/grafana/regexp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/prometheus/config"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/storage"
	apiv1 "github.com/prometheus/prometheus/web/api/v1"
	"go.opentelemetry.io/otel/trace"

	"github.com/pandometrics/pando/querytree"
)

// Config is what a tier serves and how. Fields said to be optional may be left
// at their zero value.
type Config struct {
	// Engine evaluates PromQL.
	Engine promql.QueryEngine
	// Queryable gives raw series, with identity labels attached.
	Queryable storage.SampleAndChunkQueryable
	// Exemplars is optional: without it there are none.
	Exemplars storage.ExemplarQueryable
	// Metadata returns the metric metadata of the tier.
	Metadata func(context.Context, querytree.MetadataRequest) (querytree.Metadata, error)
	// Describe returns the tier's description. It must be cheap.
	Describe func() querytree.Description
	// Tree is optional: without it the tree shown is the tier alone.
	Tree TreeSource
	// Hints is optional: without it there is nothing to tell of field hints.
	Hints HintSource
	// Rollups is optional: without it the tier keeps none.
	Rollups Rollups
	// Delivery tells of configuration. Optional.
	Delivery Delivery
	// Below answers for the tiers below, and for this one. Optional: without it
	// they have to be asked at their own addresses.
	Below querytree.StatusReader
	// Parts are what only some tiers have.
	Parts Parts

	// Limits bound the length and nesting of queries, and MaxSeries what one
	// federation request may return.
	Limits querytree.Limits
	// Turns are those of the process, in which large answers are written. Optional:
	// without it they are written at once.
	Turns *querytree.Turns
	// Defaults are the options of requests that do not name their own. Only
	// Strict, NoHints, NoPushdown, NoCache, NoRollup and Align are used.
	Defaults querytree.Options
	// Authenticated is set if requests come here only with a user name and
	// password that were checked, or from whoever need not have any. The user is
	// the client then whose queries take turns with others'; without it the
	// address that the request came from is.
	Authenticated bool
	// Lookback is the lookback delta, for federation. Zero means 5 minutes.
	Lookback time.Duration

	// ExplainSlowerThan keeps the explanation of queries that take longer, for
	// /pando/api/v1/queries. Zero keeps none.
	ExplainSlowerThan time.Duration
	// QueryLog is optional: it gets a line for each query that has ended.
	QueryLog *slog.Logger

	// Ready returns nil once the tier can answer, and why not before. Optional:
	// without it the tier is always ready.
	Ready func() error
	// Reload applies the configuration again. Optional: without it the endpoint
	// refuses.
	Reload func() error

	// Flags are shown under /api/v1/status/flags.
	Flags map[string]string
	// BuildInfo is shown under /api/v1/status/buildinfo. Dashboards switch
	// features by its Version, so an empty Version stands for that of the
	// Prometheus whose API is served; Pando's own belongs in Description.Version.
	BuildInfo apiv1.PrometheusVersion
	// Runtime adds what the tier knows to /api/v1/status/runtimeinfo. Optional.
	Runtime func(*apiv1.RuntimeInfo)
	// ExternalURL is how users reach the tier, ListenAddress what it listens on.
	// Both are optional; they make links to targets on localhost usable.
	ExternalURL   *url.URL
	ListenAddress string
	// Links are shown on the front page, the other tiers for instance. Optional.
	Links func() []Link
	// Console serves the browser's pages and their files, at every path that has no
	// other handler. Optional: without it / is a plain page, which is at /plain in
	// any case.
	Console http.Handler
	// CORSOrigin is anchored and matched against the Origin header. Optional:
	// without it any origin may read, as with Prometheus.
	CORSOrigin *regexp.Regexp

	// Gatherer holds the tier's own metrics.
	Gatherer prometheus.Gatherer
	// Registerer receives the metrics of this package; each Handler needs one of
	// its own.
	Registerer prometheus.Registerer
	// TracerProvider is optional: without it the global one is used.
	TracerProvider trace.TracerProvider
	Logger         *slog.Logger
	// Now is optional: without it time.Now is used.
	Now func() time.Time
}

// Parts are what a leaf has and other tiers mostly have not. Each is optional:
// without it its endpoints answer that there are none, or which tier to ask.
type Parts struct {
	ScrapePools   apiv1.ScrapePoolsRetriever
	Targets       apiv1.TargetRetriever
	Alertmanagers apiv1.AlertmanagerRetriever
	Rules         apiv1.RulesRetriever
	// TSDB is the tier's own storage and TSDBDir its folder.
	TSDB    apiv1.TSDBAdminStats
	TSDBDir string
	// EnableAdmin allows the endpoints that delete series and make snapshots.
	EnableAdmin bool
	// Config returns the configuration in use. Without it one is shown that has
	// the external labels alone.
	Config func() config.Config
	// Write and OTLP receive samples. They bound their request bodies themselves.
	Write http.Handler
	OTLP  http.Handler
}

// Link is an entry of the front page.
type Link struct {
	// Text is shown, URL where it leads: absolute, or relative to the page.
	Text, URL string
}

// Validate reports the first field that is missing or cannot be used.
func (c *Config) Validate() error {
	switch {
	case c.Engine == nil:
		return errors.New("http api: Engine is required")
	case c.Queryable == nil:
		return errors.New("http api: Queryable is required")
	case c.Metadata == nil:
		return errors.New("http api: Metadata is required")
	case c.Describe == nil:
		return errors.New("http api: Describe is required")
	case c.Gatherer == nil || c.Registerer == nil:
		return errors.New("http api: Gatherer and Registerer are required")
	case c.Logger == nil:
		return errors.New("http api: Logger is required")
	case c.Parts.EnableAdmin && c.Parts.TSDB == nil:
		return errors.New("http api: the admin endpoints need a TSDB; set EnableAdmin on a leaf only")
	case c.ExplainSlowerThan < 0:
		return errors.New("--query.explain-slower-than must not be negative")
	case c.Lookback < 0:
		return errors.New("http api: Lookback must not be negative")
	}
	return c.Limits.Validate()
}

// withDefaults fills in the optional fields, so that no code after it has to
// check for them.
func (c Config) withDefaults() Config {
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Lookback == 0 {
		c.Lookback = 5 * time.Minute
	}
	if c.Ready == nil {
		c.Ready = func() error { return nil }
	}
	if c.Links == nil {
		c.Links = func() []Link { return nil }
	}
	if c.CORSOrigin == nil {
		c.CORSOrigin = regexp.MustCompile("^(?:.*)$")
	}
	if c.Flags == nil {
		c.Flags = map[string]string{}
	}
	if c.Tree == nil {
		c.Tree = loneTier(c.Describe)
	}
	if c.Hints == nil {
		c.Hints = noHints(c.Describe)
	}
	if c.Exemplars == nil {
		c.Exemplars = noExemplars{}
	}
	if c.BuildInfo.Version == "" {
		c.BuildInfo.Version = prometheusVersion()
	}
	c.Parts = c.Parts.withDefaults(c.Describe)
	return c
}
