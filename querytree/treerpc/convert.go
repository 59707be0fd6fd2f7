package treerpc

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"google.golang.org/protobuf/proto"

	"github.com/pandometrics/pando/querytree"
	"github.com/pandometrics/pando/querytree/querytreepb"
)

// Bounds of what a description may hold.
const (
	maxMissing   = 100
	maxShardKey  = 100
	maxGaps      = 100
	maxFeatures  = 100
	maxLabelSets = 1000
	maxRevision  = 128
)

func labelSetToWire(ls labels.Labels) *querytreepb.LabelSet {
	w := &querytreepb.LabelSet{Pairs: make([][]byte, 0, 2*ls.Len())}
	ls.Range(func(l labels.Label) {
		w.Pairs = append(w.Pairs, []byte(l.Name), []byte(l.Value))
	})
	return w
}

func labelSetFromWire(w *querytreepb.LabelSet) (labels.Labels, error) {
	pairs := w.GetPairs()
	if len(pairs)%2 != 0 {
		return labels.EmptyLabels(), errors.New("label name without a value")
	}
	b := labels.NewScratchBuilder(len(pairs) / 2)
	prev := ""
	for i := 0; i < len(pairs); i += 2 {
		name := string(pairs[i])
		if name <= prev {
			return labels.EmptyLabels(), fmt.Errorf("label %q after %q", name, prev)
		}
		b.Add(name, string(pairs[i+1]))
		prev = name
	}
	return b.Labels(), nil
}

func descriptionToWire(d querytree.Description) *querytreepb.Description {
	return &querytreepb.Description{
		Tier:     utf8(d.Tier),
		Labels:   labelSetToWire(d.Labels),
		Shard:    []byte(d.Shard),
		Replica:  []byte(d.Replica),
		Instance: utf8(d.Instance),
		ShardKey: toBytes(d.ShardKey),
		Version:  utf8(d.Version),
		Mint:     d.Mint,
		Maxt:     d.Maxt,
		Earliest: d.Earliest,
		Series:   d.Series,
		Samples:  d.Samples,
		Leaves:   uint32(max(d.Leaves, 0)),
		Missing:  toBytes(d.Missing[:min(len(d.Missing), maxMissing)]),
		Gaps:     gapsToWire(d.Gaps),
		Features: d.Features,
		Epochs:   epochsToWire(d.Epochs),
		Settled:  d.Settled,

		Final: d.Final, Past: []byte(d.Past), Restatements: restatementsToWire(d.Restatements),
		Revision: []byte(d.Revision[:min(len(d.Revision), maxRevision)]), ReloadFailed: d.ReloadFailed,
	}
}

// gapsToWire keeps the newest gaps: what replicas are chosen by is mostly of
// late.
func gapsToWire(gaps []querytree.Interval) []*querytreepb.Interval {
	var out []*querytreepb.Interval
	for _, g := range gaps[max(0, len(gaps)-maxGaps):] {
		out = append(out, &querytreepb.Interval{Mint: g.Mint, Maxt: g.Maxt})
	}
	return out
}

func descriptionFromWire(w *querytreepb.Description) (querytree.Description, error) {
	var d querytree.Description
	if w == nil {
		return d, errors.New("missing description")
	}
	ls, err := labelSetFromWire(w.GetLabels())
	switch {
	case err != nil:
		return d, fmt.Errorf("description: %w", err)
	case len(w.GetMissing()) > maxMissing || len(w.GetShardKey()) > maxShardKey || ls.Len() > maxLabelSets,
		len(w.GetGaps()) > maxGaps, len(w.GetFeatures()) > maxFeatures, len(w.GetRevision()) > maxRevision:
		return d, errors.New("description: too long a list, or revision")
	}
	d.Identity = querytree.Identity{
		Tier: w.GetTier(), Labels: ls, Shard: string(w.GetShard()), Replica: string(w.GetReplica()),
	}
	d.Instance = w.GetInstance()
	d.ShardKey = toStrings(w.GetShardKey())
	d.Version = w.GetVersion()
	d.Mint, d.Maxt, d.Earliest = w.GetMint(), w.GetMaxt(), w.GetEarliest()
	d.Series, d.Samples = w.GetSeries(), w.GetSamples()
	d.Leaves = int(w.GetLeaves())
	d.Missing = toStrings(w.GetMissing())
	d.Features = w.GetFeatures()
	if d.Epochs, err = epochsFromWire(w.GetEpochs()); err != nil {
		return d, err
	}
	d.Settled = w.GetSettled()
	d.Final, d.Past = w.GetFinal(), string(w.GetPast())
	if d.Restatements, err = restatementsFromWire(w.GetRestatements()); err != nil {
		return d, err
	}
	d.Revision, d.ReloadFailed = string(w.GetRevision()), w.GetReloadFailed()
	for _, g := range w.GetGaps() {
		if g.GetMint() <= g.GetMaxt() {
			d.Gaps = append(d.Gaps, querytree.Interval{Mint: g.GetMint(), Maxt: g.GetMaxt()})
		}
	}
	return d, nil
}

func optionsToWire(o querytree.Options) *querytreepb.Options {
	return &querytreepb.Options{
		Id: []byte(o.ID), Strict: o.Strict, Detail: o.Detail, NoHints: o.NoHints, NoPushdown: o.NoPushdown,
		MaxSeries: count(o.MaxSeries), MaxSamples: count(o.MaxSamples), Budget: int64(o.Budget),
		Client: []byte(o.Client), NoCache: o.NoCache, Explain: uint32(o.Explain), MaxBytes: uint64(max(o.MaxBytes, 0)), NoRollup: o.NoRollup,
	}
}

func optionsFromWire(w *querytreepb.Options) querytree.Options {
	return querytree.Options{
		ID: string(w.GetId()), Strict: w.GetStrict(), Detail: w.GetDetail(), NoHints: w.GetNoHints(), NoPushdown: w.GetNoPushdown(),
		MaxSeries: number(w.GetMaxSeries()), MaxSamples: number(w.GetMaxSamples()),
		Budget: max(time.Duration(w.GetBudget()), 0), Client: string(w.GetClient()), NoCache: w.GetNoCache(),
		Explain: querytree.ExplainMode(w.GetExplain()), MaxBytes: int64(min(w.GetMaxBytes(), math.MaxInt64)), NoRollup: w.GetNoRollup(),
	}
}

func matchersToWire(ms []*labels.Matcher) []*querytreepb.Matcher {
	out := make([]*querytreepb.Matcher, 0, len(ms))
	for _, m := range ms {
		out = append(out, &querytreepb.Matcher{
			Type: querytreepb.Matcher_Type(m.Type), Name: []byte(m.Name), Value: []byte(m.Value),
		})
	}
	return out
}

// matchersFromWire compiles the matchers. Its errors are the requester's
// fault.
func matchersFromWire(ws []*querytreepb.Matcher) ([]*labels.Matcher, error) {
	if len(ws) == 0 {
		return nil, nil
	}
	out := make([]*labels.Matcher, 0, len(ws))
	for _, w := range ws {
		if w.GetType() < 0 || w.GetType() > querytreepb.Matcher_NOT_REGEXP {
			return nil, fmt.Errorf("%w: matcher type %d", errBadData, w.GetType())
		}
		// The numbers of the wire are those of labels.MatchType.
		m, err := labels.NewMatcher(labels.MatchType(w.GetType()), string(w.GetName()), string(w.GetValue()))
		if err != nil {
			return nil, fmt.Errorf("%w: matcher on %q: %w", errBadData, w.GetName(), err)
		}
		out = append(out, m)
	}
	return out, nil
}

// maxReport is the size of a report from which on reasons are cut short, and
// fullReport that from which on children are only counted, so that it fits a frame.
const (
	maxReport   = 1 << 20
	fullReport  = 3 << 20
	shortReason = 64
	// rowFrame is what a row takes beside itself, and reportFrame what a report does.
	rowFrame    = 8
	reportFrame = 1 << 10
)

// reportToWire tells as much of a report as fits into room. Children that failed
// come first; the same ones each time, so that the parts of a query name the same.
func reportToWire(r querytree.Report, room int) *querytreepb.Report {
	w := &querytreepb.Report{Explanation: explanationToWire(r.Explanation), Rollups: rollupsToWire(r.Rollups)}
	for v, n := range r.Pruned {
		w.Pruned = append(w.Pruned, &querytreepb.PrunedCount{Verdict: utf8(string(v)), Count: count(n)})
	}
	room = min(room-proto.Size(w)-reportFrame, fullReport)
	unlisted, unnamed := r.Unlisted, r.Unnamed
	size := 0
	for _, name := range failedFirst(r) {
		c := r.Children[name]
		if size > maxReport {
			c.Failed = c.Failed[:min(len(c.Failed), shortReason)]
		}
		row := childReportToWire(name, c)
		switch n := proto.Size(row) + rowFrame; {
		case size+n <= room:
			size += n
			w.Children = append(w.Children, row)
		case c.Failed != "":
			unnamed++
		case c.Verdict == querytree.Asked || c.Verdict == querytree.Replaced:
			unlisted++
		}
	}
	w.Unlisted, w.Unnamed = count(unlisted), count(unnamed)
	return w
}

// failedFirst returns the names of a report's children, of those that failed before
// others, each sorted.
func failedFirst(r querytree.Report) []string {
	names := r.Missing()
	failed := len(names)
	for name, c := range r.Children {
		if c.Failed == "" {
			names = append(names, name)
		}
	}
	slices.Sort(names[failed:])
	return names
}

func childReportToWire(name string, c querytree.ChildReport) *querytreepb.ChildReport {
	return &querytreepb.ChildReport{
		Name: clip(name), Tier: utf8(c.Tier), Verdict: utf8(string(c.Verdict)), Requests: count(c.Requests),
		Failed: clip(c.Failed), Late: c.Late, Series: uint64(max(c.Series, 0)), Samples: uint64(max(c.Samples, 0)),
		Hedged: c.Hedged, Cached: c.Cached, Evidence: clip(c.Evidence), Bytes: uint64(max(c.Bytes, 0)), Time: int64(c.Time),
	}
}

func reportFromWire(w *querytreepb.Report) querytree.Report {
	r := querytree.Report{Explanation: explanationFromWire(w.GetExplanation())}
	for _, c := range w.GetChildren() {
		r.Add(string(c.GetName()), querytree.ChildReport{
			Tier: c.GetTier(), Verdict: querytree.Verdict(c.GetVerdict()), Requests: number(c.GetRequests()),
			Failed: string(c.GetFailed()), Late: c.GetLate(), Series: int64(c.GetSeries()), Samples: int64(c.GetSamples()),
			Hedged: c.GetHedged(), Cached: c.GetCached(), Evidence: string(c.GetEvidence()), Bytes: int64(c.GetBytes()), Time: time.Duration(c.GetTime()),
		})
	}
	for _, p := range w.GetPruned() {
		if r.Pruned == nil {
			r.Pruned = map[querytree.Verdict]int{}
		}
		r.Pruned[querytree.Verdict(p.GetVerdict())] += number(p.GetCount())
	}
	r.Rollups = rollupsFromWire(w.GetRollups())
	r.Unlisted += number(w.GetUnlisted())
	r.Unnamed += number(w.GetUnnamed())
	return r
}

func toBytes(ss []string) [][]byte {
	out := make([][]byte, 0, len(ss))
	for _, s := range ss {
		out = append(out, []byte(s))
	}
	return out
}

func toStrings(bs [][]byte) []string {
	if len(bs) == 0 {
		return nil
	}
	out := make([]string, 0, len(bs))
	for _, b := range bs {
		out = append(out, string(b))
	}
	return out
}

// utf8 returns s as protobuf demands it.
func utf8(s string) string { return strings.ToValidUTF8(s, "\ufffd") }

func count(n int) uint64 { return uint64(max(n, 0)) }

func number(n uint64) int { return int(min(n, math.MaxInt)) }
