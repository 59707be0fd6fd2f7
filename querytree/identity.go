package querytree

import (
	"fmt"
	"slices"
	"strings"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
)

// Names of the identity labels that Pando itself gives a meaning to.
const (
	ZoneLabel    = "zone"
	ClusterLabel = "cluster"
)

// Kinds of tier, as told in Identity.Tier.
const (
	TierLeaf = "leaf"
	TierZone = "zone"
	TierRoot = "root"
)

// Identity says which part of the planet a child answers for. Two live children
// of one parent never have equal identities.
type Identity struct {
	// Tier is TierLeaf, TierZone or TierRoot.
	Tier string
	// Labels are the external labels on every series that the child serves,
	// for a leaf zone, cluster and whatever else the operator adds.
	Labels labels.Labels
	// Shard names one of several leaves of a cluster that hold disjoint series;
	// empty if the leaf holds all of the cluster's series.
	Shard string
	// Replica names one of several children that hold the same series; empty
	// if there is just one.
	Replica string
}

// Name is the identity as people read and type it, for instance
// "zone=eu,cluster=eu-1" or "zone=eu,cluster=eu-1/shard=0": what errors, warnings,
// logs and reports call the child.
func (id Identity) Name() string {
	var parts []string
	for _, first := range []string{ZoneLabel, ClusterLabel} {
		if v := id.Labels.Get(first); v != "" {
			parts = append(parts, first+"="+v)
		}
	}
	id.Labels.Range(func(l labels.Label) {
		if l.Name != ZoneLabel && l.Name != ClusterLabel {
			parts = append(parts, l.Name+"="+l.Value)
		}
	})
	name := strings.Join(parts, ",")
	if name == "" {
		name = id.Tier
	}
	if id.Shard != "" {
		name += "/shard=" + id.Shard
	}
	if id.Replica != "" {
		name += "/replica=" + id.Replica
	}
	return name
}

// Validate reports whether the identity can be used, and what to change if not.
func (id Identity) Validate() error {
	if !slices.Contains([]string{TierLeaf, TierZone, TierRoot}, id.Tier) {
		return fmt.Errorf("identity: unknown tier %q", id.Tier)
	}
	var err error
	id.Labels.Range(func(l labels.Label) {
		switch {
		case err != nil:
		case !model.LegacyValidation.IsValidLabelName(l.Name) || strings.HasPrefix(l.Name, "__"):
			err = fmt.Errorf("identity: external label name %q is not allowed; use a valid label name that does not start with __", l.Name)
		case l.Value == "":
			err = fmt.Errorf("identity: external label %q has an empty value", l.Name)
		}
	})
	return err
}

// Fits reports whether a child of identity id may register with a parent whose
// external labels are those given: the child must carry all of them.
func (id Identity) Fits(parent Identity) error {
	var err error
	parent.Labels.Range(func(l labels.Label) {
		if err == nil && id.Labels.Get(l.Name) != l.Value {
			err = fmt.Errorf("child %q has %s=%q, its parent %q needs %s=%q on every series: change the child's --%s or connect it to another parent",
				id.Name(), l.Name, id.Labels.Get(l.Name), parent.Name(), l.Name, l.Value, flagOf(l.Name))
		}
	})
	return err
}

func flagOf(label string) string {
	switch label {
	case ZoneLabel, ClusterLabel:
		return label
	default:
		return "external-label"
	}
}

// MaxMissing bounds Description.Missing: if there are that many, there may be more.
const MaxMissing = 100

// Description is what a child tells of itself, when it registers and with every
// heartbeat.
type Description struct {
	Identity
	// Instance is a random name of the child's process, the same for as long as
	// it lives. It tells a reconnect from a duplicate.
	Instance string
	// ShardKey names the labels such that series agreeing on them live in the
	// same shard of a cluster. Empty means that nothing is known of how series
	// were spread over shards.
	ShardKey []string
	// Version is the child's build version.
	Version string
	// Mint is the time of the oldest sample that the child holds, in
	// milliseconds; math.MaxInt64 if it holds none. Maxt is that of the newest;
	// math.MinInt64 if it holds none.
	Mint, Maxt int64
	// Earliest is the time before which the child neither holds samples nor takes any
	// that come late, so that what a parent knows of it may be seconds old. Zero, or any
	// time before all queries, says nothing.
	Earliest int64
	// Series is the number of series in the head (of all leaves below).
	Series uint64
	// Samples is the number of samples appended since start (of all leaves below).
	Samples uint64
	// Leaves counts the leaves below that are connected; 1 for a leaf.
	Leaves int
	// Missing names the leaves and zones below that are known but not
	// connected, at most MaxMissing of them.
	Missing []string
	// Gaps are the times since Mint when the child was not there to take
	// samples, oldest first, so far as it knows: a gap may be told larger than
	// it was, and end in the future, but is never told smaller. Between two
	// replicas they decide who answers.
	Gaps []Interval
	// Features are those that the child has, see FeatureOps.
	Features []string
	// Epochs are the latest changes to what the child holds of settled times,
	// oldest first, if it has FeatureEpochs.
	Epochs []Epoch
	// Settled is the time, in milliseconds, before which all is settled: if
	// samples before it change after the child has said so, an Epoch tells of
	// it. It may go back only together with an Epoch that begins no later.
	Settled int64
	// Final is the time, in milliseconds, up to which samples are not expected to
	// change any more; zero if the child does not know. What changes all the same
	// is told as a Restatement.
	Final int64
	// Past names what restatements are counted by, the same for as long as the
	// child's data directory lives.
	Past string
	// Restatements are the latest ones, oldest first. The first stands for all
	// before it.
	Restatements []Restatement
	// Revision is that of the configuration in effect, as it was delivered; empty
	// if there is none.
	Revision string
	// ReloadFailed: the last attempt to load a configuration failed, and Revision
	// is an older one.
	ReloadFailed bool
}

// Restatement says that samples of times that were final have changed, or come.
// Unlike an Epoch it is kept over restarts, and it has an end.
type Restatement struct {
	// Number counts restatements from 1, as long as the data directory lives.
	Number uint64
	// Mint and Maxt bound the times, in milliseconds, both inclusive.
	Mint, Maxt int64
}

// Has reports whether the child has a feature.
func (d Description) Has(feature string) bool { return slices.Contains(d.Features, feature) }

// Interval is a span of time in milliseconds since the epoch, both ends
// inclusive.
type Interval struct{ Mint, Maxt int64 }

// Overlap returns how many milliseconds two intervals share.
func (i Interval) Overlap(j Interval) int64 {
	return max(0, min(i.Maxt, j.Maxt)-max(i.Mint, j.Mint)+1)
}
