package querytree

import (
	"context"
	"time"

	"github.com/prometheus/prometheus/model/exemplar"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/metadata"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/util/annotations"
)

// Child answers for one part of the tree: a leaf over its TSDB, a Mixer over
// its own children, or a gRPC connection to either. A tier cannot tell which,
// so the tree may have any depth and may run in one process or in thousands.
//
// All methods are safe for concurrent use and honour ctx: they return soon
// after it ends. What is missing from an answer is never silent: it is either
// an error, or a warning together with an entry in the answer's Report.
type Child interface {
	// Describe returns the child's latest description. It is cheap and never
	// blocks.
	Describe() Description

	// Exec evaluates a PromQL expression over the child's part of the tree, on
	// the grid of the request. An error means that there is no answer at all;
	// errors in the middle of the answer are found in ResultSet.Err. The caller
	// must Close the set.
	Exec(ctx context.Context, req ExecRequest) (ResultSet, error)

	// Select returns raw series, sorted by labels, with identity labels
	// attached and each label set at most once. The caller must Close the set.
	Select(ctx context.Context, req SelectRequest) SeriesSet

	// Names returns label names or the values of one label, sorted.
	Names(ctx context.Context, req NamesRequest) (Names, error)

	// Metadata returns metric metadata by metric family.
	Metadata(ctx context.Context, req MetadataRequest) (Metadata, error)

	// Exemplars returns exemplars of the series that match any of the
	// request's selectors, sorted by series labels.
	Exemplars(ctx context.Context, req ExemplarsRequest) (Exemplars, error)

	// Tree returns the live tree below the child, sorted by name at each level;
	// a leaf has nothing below. Parts that do not answer are there without
	// their children.
	Tree(ctx context.Context) ([]Node, error)
}

// Options are the terms of a request that every tier below must keep to.
type Options struct {
	// ID names the query in the logs of every tier it reaches. May be empty.
	ID string
	// Strict asks for an error when any child that may hold matching series
	// does not answer whole. Otherwise its absence costs a warning.
	Strict bool
	// Detail asks for a Report that also lists the children that were pruned.
	Detail bool
	// NoHints asks for an answer without pruning by field hints, so that the
	// pruned answer can be checked against it.
	NoHints bool
	// NoPushdown asks for an answer from raw series alone, so that the
	// pushed-down answer can be checked against it.
	NoPushdown bool
	// NoCache asks for an answer that every tier evaluates anew.
	NoCache bool
	// NoRollup asks for an answer without rollups, so that the answer with them
	// can be checked against it.
	NoRollup bool
	// Align asks for the times of a range query to be moved to where rollups have
	// points. It is done once, by the tier that the user asks, and not told below.
	Align bool
	// Explain asks for an Explanation in the Report.
	Explain ExplainMode
	// Client names who asks, so that one client's queries wait for their turn
	// behind its own rather than behind another's. May be empty.
	Client string
	// MaxSeries, MaxSamples and MaxBytes bound what one request may return or
	// hold in one tier. Zero means that the tier's own limit applies; a tier
	// applies the lower of the two.
	MaxSeries  int
	MaxSamples int
	MaxBytes   int64
	// Budget is the time that the parent gives the child, from when the child
	// receives the request; a mixer gives its own children a little less, so
	// that it can still answer without those that are late. Zero means that
	// only the tier's own soft deadline applies.
	Budget time.Duration
}

// ExecRequest asks for an expression on a step grid.
type ExecRequest struct {
	Options
	// Query is a PromQL expression of type vector or scalar. Positions in
	// annotations refer to this text.
	Query string
	// Start and End are the first and last evaluation time, in milliseconds
	// since the epoch, both inclusive.
	Start, End int64
	// Step is the distance between evaluation times in milliseconds. Zero
	// asks for an instant query at Start; End is then equal to Start.
	Step int64
	// Lookback is the lookback delta in milliseconds. Zero means the child's
	// default.
	Lookback int64
	// Ops, if not empty, asks for several aggregations of one operand at once:
	// Query is an aggregation then, and is answered as if once for each of these
	// operators in place of its own. Each series of the answer has the operator
	// in OpLabel. Only children with FeatureOps understand it.
	Ops []string
	// Stats asks for native histograms as histogram_count and its like read
	// them: without buckets, and with counter resets told while samples are
	// read, of which the caller warns as it merges. Only children with
	// FeatureStats understand it.
	Stats bool
	// ByGroup, with Ops, asks for the series of each group one after the other,
	// so that a parent can merge a group as soon as it has come: the operator is
	// in GroupOpLabel then, unless the child does not understand it.
	ByGroup bool
	// Keeps are labels that all series of the answer have as they were stored, by
	// which the parent checks that they are the child's. Children are not told.
	Keeps []string
}

// OpLabel holds the operator of a series in an answer to a request with Ops. It
// never leaves the tier that asked.
const OpLabel = "__pando_op__"

// GroupOpLabel takes the place of OpLabel in answers to requests ByGroup. Its name
// comes after those of other labels: sorted by labels, the series of a group are
// neighbours.
const GroupOpLabel = "~pando_op~"

// Features that a child may have, as told in its Description: a parent does not
// ask a child for what it does not know.
const (
	// FeatureOps: the child answers requests with ExecRequest.Ops.
	FeatureOps = "ops"
	// FeatureStats: the child answers requests with ExecRequest.Stats.
	FeatureStats = "stats"
	// FeatureExplain: the child answers requests with Options.Explain.
	FeatureExplain = "explain"
)

// ExplainMode says whether a request is to be explained.
type ExplainMode int

// Modes of explanation.
const (
	// ExplainOff: the answer is all that matters.
	ExplainOff ExplainMode = iota
	// ExplainPlan: tell the plan of every tier, and evaluate nothing.
	ExplainPlan
	// ExplainAnalyze: evaluate, and tell the plan and what each part took.
	ExplainAnalyze
)

// ResultSet streams the series of an Exec answer, each label set at most once:
// those of a range query sorted by labels, those of an instant query in the
// order that the expression gives them (sort, topk). A scalar is one series
// without labels. All points lie on the grid of the request; an absent point is
// a step without a result.
type ResultSet interface {
	// Next advances to the next series. It returns false at the end and upon
	// an error.
	Next() bool
	// At returns the current series. The caller owns it.
	At() promql.Series
	// Err returns the error that ended the set early, if any.
	Err() error
	// Warnings returns the annotations. They are complete once Next returned
	// false.
	Warnings() annotations.Annotations
	// Report returns the completeness of the answer, once Next returned false.
	Report() Report
	// Close releases what the set holds. It may be called at any time, more
	// than once.
	Close()
}

// Recycler is a ResultSet that can put the points of series in the place of
// earlier ones: most of what a tier allocates are points that it has no use for
// once they are merged.
type Recycler interface {
	// Recycle gives back series that At returned. The caller no longer uses
	// their points; labels and histograms remain its own.
	Recycle(series []promql.Series)
}

// SelectRequest asks for raw series.
type SelectRequest struct {
	Options
	// Mint and Maxt are inclusive bounds in milliseconds.
	Mint, Maxt int64
	// Matchers select the series; they may also match identity labels.
	Matchers []*labels.Matcher
	// WholeChunks allows chunks that also hold samples outside of the bounds,
	// which spares the child to encode them anew and keeps the counter reset
	// hints of histograms as they were stored.
	WholeChunks bool
	// LabelsOnly asks for label sets without samples (the series API).
	LabelsOnly bool
	// Limit bounds the number of series returned, zero meaning no limit. What
	// is cut off is not an error; MaxSeries is the limit that fails.
	Limit int
}

// SeriesSet streams raw series as chunks, sorted by labels.
type SeriesSet interface {
	storage.ChunkSeriesSet
	// Report returns the completeness of the answer, once Next returned false.
	Report() Report
	// Close releases what the set holds. It may be called at any time, more
	// than once.
	Close()
}

// NamesRequest asks for label names or values.
type NamesRequest struct {
	Options
	// Label is the label whose values are asked for; if empty, label names are
	// asked for.
	Label string
	// Mint and Maxt are inclusive bounds in milliseconds.
	Mint, Maxt int64
	// Matchers restrict the series looked at.
	Matchers []*labels.Matcher
	// Limit bounds the number of names returned, zero meaning no limit.
	Limit int
}

// Names is the answer to a NamesRequest.
type Names struct {
	Names    []string
	Warnings annotations.Annotations
	Report   Report
}

// MetadataRequest asks for metric metadata.
type MetadataRequest struct {
	Options
	// Metric restricts the answer to one metric family, if not empty.
	Metric string
	// Limit bounds the number of families, LimitPerMetric the number of
	// distinct entries of each; zero means no limit.
	Limit, LimitPerMetric int
}

// Metadata is the answer to a MetadataRequest: the distinct metadata entries of
// each metric family.
type Metadata struct {
	Families map[string][]metadata.Metadata
	Warnings annotations.Annotations
	Report   Report
}

// ExemplarsRequest asks for exemplars.
type ExemplarsRequest struct {
	Options
	// Mint and Maxt are inclusive bounds in milliseconds.
	Mint, Maxt int64
	// Selectors is a union of selectors, each an intersection of matchers.
	Selectors [][]*labels.Matcher
}

// Exemplars is the answer to an ExemplarsRequest.
type Exemplars struct {
	Results  []exemplar.QueryResult
	Warnings annotations.Annotations
	Report   Report
}
