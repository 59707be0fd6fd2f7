package aggregate

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/metadata"
	"github.com/prometheus/prometheus/storage"
)

// Config is what is chosen for an Aggregator.
type Config struct {
	// Dir is where state is kept.
	Dir string
	// Rules are those in use at first.
	Rules Rules
	// SnapshotBytes is how much journal is written before state is written whole
	// and the journal begun anew; 64 MiB if zero.
	SnapshotBytes int64
}

// Validate reports the first setting that cannot be used.
func (c Config) Validate() error {
	if c.Dir == "" {
		return errors.New("aggregate: no directory")
	}
	if c.SnapshotBytes < 0 {
		return errors.New("aggregate: the size of the journal cannot be negative")
	}
	return c.Rules.Validate()
}

// Stored is the last value that is stored of a series, stale markers left aside.
type Stored struct {
	Labels labels.Labels
	Time   int64 // milliseconds
	Value  float64
	Hist   *histogram.FloatHistogram // if it is one
}

// Deps are what an Aggregator is given. All but Out may be left out.
type Deps struct {
	// Out takes the outputs.
	Out storage.AppendableV2
	// Last returns the last value between two times, in milliseconds, of each series
	// that matches, as it was given to Out.
	Last func(ctx context.Context, mint, maxt int64, ms ...*labels.Matcher) ([]Stored, error)
	// Rename returns the labels by which rules know a series that comes in. It keeps
	// the metric's name.
	Rename func(labels.Labels) labels.Labels
	// Metadata returns what is known of a metric family.
	Metadata func(family string) (metadata.Metadata, bool)
	// Describe is told the metadata of outputs.
	Describe func(family string, m metadata.Metadata)

	Logger     *slog.Logger
	Registerer prometheus.Registerer
	Now        func() time.Time
}

// Aggregator takes in samples of series and sums them up, as rules say. Its methods
// are safe for concurrent use.
type Aggregator struct {
	cfg     Config
	deps    Deps
	metrics *metrics
	rules   atomic.Pointer[ruleSet]
	delay   atomic.Int64 // milliseconds
	journal *journal
	shards  [shards]*shard
	known   known
	txs     sync.Pool
	up      int64 // since when inputs can have been seen, in milliseconds

	flushing sync.Mutex // held by Flush; taken before mu
	unstored []output   // outputs that may not have been stored before the process was killed, while opening
	number   uint64     // of the last snapshot

	// mu guards what follows, and the inputs of shards, which are changed under their
	// own lock too. It is not taken to append samples of known inputs. It is taken
	// before the mu of shards.
	mu       sync.Mutex
	groups   []*group // nil where free
	freed    []uint32
	byOutput map[uint64]uint32 // group by hash of an output's labels
	since    map[string]int64  // since when there is a rule, by id
	sealed   map[int64]int64   // T of the last outputs, by interval
	// Scratch space: samples being taken in, the newest of each input of a shard.
	batch  []sample
	hbatch []histSample
	newest []int64
}

// Open restores the state in a directory. The caller must Close the Aggregator.
func Open(cfg Config, deps Deps) (*Aggregator, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if deps.Out == nil {
		return nil, errors.New("aggregate: nowhere to store outputs")
	}
	if cfg.SnapshotBytes == 0 {
		cfg.SnapshotBytes = 64 << 20
	}
	if deps.Logger == nil {
		deps.Logger = slog.New(slog.DiscardHandler)
	}
	if deps.Registerer == nil {
		deps.Registerer = prometheus.NewRegistry()
	}
	if deps.Now == nil {
		deps.Now = time.Now
	}
	if deps.Rename == nil {
		deps.Rename = func(l labels.Labels) labels.Labels { return l }
	}
	a := &Aggregator{cfg: cfg, deps: deps, journal: &journal{dir: cfg.Dir}, up: deps.Now().UnixMilli()}
	a.metrics = newMetrics(deps.Registerer, a)
	a.clear()
	if err := a.recover(); err != nil {
		return nil, err
	}
	if err := a.useRules(cfg.Rules, 1); err != nil {
		return nil, err
	}
	// Those that were stored are refused as duplicates, to the bit.
	if err := a.store(context.Background(), a.unstored); err != nil {
		deps.Logger.Error("aggregation outputs of before not stored", "err", err)
	}
	a.unstored = nil
	// What comes from now on follows a whole state, whatever was found.
	if err := a.snapshot(); err != nil {
		return nil, errors.Join(err, a.journal.close())
	}
	return a, nil
}

// clear forgets all state.
func (a *Aggregator) clear() {
	for i := range a.shards {
		a.shards[i] = newShard()
	}
	a.groups, a.freed = nil, nil
	a.byOutput, a.since, a.sealed = map[uint64]uint32{}, map[string]int64{}, map[int64]int64{}
	a.unstored = nil
}

// Use replaces the rules. Series that are no input any more are stored from their
// next sample on; groups that follow from the new rules too go on.
func (a *Aggregator) Use(rules Rules) error {
	if err := rules.Validate(); err != nil {
		return err
	}
	a.flushing.Lock()
	defer a.flushing.Unlock()
	if reflect.DeepEqual(rules, a.cfg.Rules) {
		return nil
	}
	a.cfg.Rules = rules
	if err := a.useRules(rules, a.rules.Load().epoch+1); err != nil {
		return err
	}
	return a.journal.flush()
}

func (a *Aggregator) useRules(rules Rules, epoch uint64) error {
	if epoch&refEpoch == 0 {
		epoch++
	}
	rs, err := newRuleSet(rules, epoch)
	if err != nil {
		return err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	now := a.now()
	ids := map[string]bool{}
	for _, r := range rs.rules {
		ids[r.id] = true
		if _, ok := a.since[r.id]; !ok {
			a.setSince(r.id, now)
			a.journal.add(encodeRule(r.id, now))
		}
		r.since = a.since[r.id]
	}
	for id := range a.since {
		if !ids[id] {
			a.setSince(id, 0)
			a.journal.add(encodeRule(id, 0))
		}
	}
	a.countInputs(rs)
	a.delay.Store(time.Duration(rules.Delay).Milliseconds())
	a.rules.Store(rs)
	return nil
}

func (a *Aggregator) now() int64 { return a.deps.Now().UnixMilli() }

func (a *Aggregator) setSince(id string, since int64) {
	if since == 0 {
		delete(a.since, id)
		return
	}
	a.since[id] = since
}

// countInputs tells rules how many inputs they have.
func (a *Aggregator) countInputs(rs *ruleSet) {
	n := map[string]int64{}
	for _, sh := range a.shards {
		for i := range sh.inputs {
			if gid := sh.inputs[i].group; gid != noGroup {
				n[a.groups[gid].rule]++
			}
		}
	}
	for _, r := range rs.rules {
		r.inputs.Store(n[r.Name])
	}
}

// series is a series that comes in.
type series struct {
	lset   labels.Labels
	hash   uint64
	verify uint32
	meta   metadata.Metadata
	h      *histogram.Histogram
	fh     *histogram.FloatHistogram
}

// enter makes a series an input of the rule that matches it, if one does. The
// journal has it then.
func (a *Aggregator) enter(rs *ruleSet, info *nameInfo, s series) (idx uint32, in input, ok bool) {
	s.lset = a.deps.Rename(s.lset)
	r := info.match(s.lset)
	if r == nil {
		return 0, in, false
	}
	metric := s.lset.Get(model.MetricNameLabel)
	if s.meta.IsEmpty() && r.Type == TypeAuto {
		s.meta, _ = a.metadataOf(metric)
	}
	k, ok := r.kind(metric, s.meta.Type, s.h, s.fh)
	if !ok {
		return 0, in, false
	}
	which := int(s.hash % shards)
	sh := a.shards[which]
	if r.full() && !sh.has(s.hash) { // without waiting for anyone
		a.refuse(r)
		return 0, in, false
	}
	outputs, ops := r.outputs(s.lset, k)
	sp := spec{
		rule: r.Name, metric: metric, kind: k, ops: ops, since: r.since,
		interval: time.Duration(r.Interval).Milliseconds(), staleness: time.Duration(r.Staleness).Milliseconds(), forget: time.Duration(r.Forget).Milliseconds(),
	}

	a.mu.Lock()
	defer a.mu.Unlock()
	if a.rules.Load() != rs {
		return 0, in, false // the next appender has the new ones
	}
	idx, clash, found := sh.find(s.hash, s.verify)
	switch {
	case clash, found && sh.inputs[idx].kind.histogram() != k.histogram():
		a.metrics.refused("clash")
		return 0, in, false
	case !found && (r.full() || len(sh.inputs) >= refPlaces):
		a.refuse(r)
		return 0, in, false
	}
	gid, ok := a.groupFor(rs.epoch, sp, outputs)
	if !ok {
		a.metrics.refused("output")
		return 0, in, false
	}
	if g := a.groups[gid]; g.meta.IsEmpty() {
		g.meta = s.meta
	}
	in = input{hash: s.hash, verify: s.verify, group: gid, epoch: uint32(rs.epoch), kind: k, keep: r.Raw == RawKeep}
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if found {
		in.gen = sh.inputs[idx].gen
	} else {
		idx = sh.place()
		r.inputs.Add(1)
	}
	now := a.now()
	sh.put(idx, in, now)
	a.journal.add(encodeInput(which, idx, in, now))
	return idx, sh.inputs[idx], true
}

// refuse tells that a rule has as many inputs as it may.
func (a *Aggregator) refuse(r *rule) {
	a.metrics.refused("max_inputs")
	if !r.told.Swap(true) {
		a.deps.Logger.Warn("aggregation rule has as many inputs as it may; further series are stored raw", "rule", r.Name, "max_inputs", r.MaxInputs)
	}
}

// metadataOf returns what is known of a metric's family.
func (a *Aggregator) metadataOf(metric string) (metadata.Metadata, bool) {
	if a.deps.Metadata == nil {
		return metadata.Metadata{}, false
	}
	return a.deps.Metadata(metric)
}

// groupFor returns the group with the outputs, which it makes if there is none. If
// there is one that is another, it takes its place, unless that one follows from the
// rules of the same epoch too.
func (a *Aggregator) groupFor(epoch uint64, sp spec, outputs []labels.Labels) (uint32, bool) {
	old := uint32(noGroup)
	for _, lset := range outputs {
		gid, ok := a.byOutput[lset.Hash()]
		if !ok {
			continue
		}
		g := a.groups[gid]
		if old != noGroup && old != gid || !slices.ContainsFunc(g.outputs, func(o labels.Labels) bool { return labels.Equal(o, lset) }) {
			return 0, false
		}
		old = gid
	}
	if old != noGroup {
		g := a.groups[old]
		if g.spec.equal(sp) && len(g.outputs) == len(outputs) {
			g.epoch = epoch
			return old, true
		}
		if g.epoch == epoch {
			return 0, false
		}
	}
	gid := uint32(len(a.groups))
	if n := len(a.freed); n > 0 {
		gid, a.freed = a.freed[n-1], a.freed[:n-1]
	}
	g := &group{spec: sp, outputs: outputs, next: noGroup, epoch: epoch}
	a.define(gid, old, g)
	a.journal.add(encodeGroup(gid, old, g))
	return gid, true
}

// define puts a group in its place, and in that of an old one. What was added up in
// the old one goes on, if it was added up alike.
func (a *Aggregator) define(gid, old uint32, g *group) {
	for uint32(len(a.groups)) <= gid {
		a.groups = append(a.groups, nil)
	}
	a.groups[gid] = g
	g.refs = make([]storage.SeriesRef, len(g.outputs))
	g.fresh = true
	if old != noGroup {
		o := a.groups[old]
		o.next = gid
		g.fresh = o.kind != g.kind || o.fresh
		g.lost = o.lost
		a.handOver(o)
		g.emitted = o.emitted
		for _, lset := range o.outputs {
			delete(a.byOutput, lset.Hash())
			if o.emitted && !slices.ContainsFunc(g.outputs, func(n labels.Labels) bool { return labels.Equal(n, lset) }) {
				g.ended = append(g.ended, lset)
			}
		}
	}
	for _, lset := range g.outputs {
		a.byOutput[lset.Hash()] = gid
	}
}

// ungroup forgets a group.
func (a *Aggregator) ungroup(gid uint32) {
	for _, lset := range a.groups[gid].outputs {
		if h := lset.Hash(); a.byOutput[h] == gid {
			delete(a.byOutput, h)
		}
	}
	a.groups[gid] = nil
}

// Run stores outputs when they are due, until ctx ends. What is not due then is kept
// for the next start.
func (a *Aggregator) Run(ctx context.Context) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-timer.C:
		}
		if err := a.Flush(ctx); err != nil && ctx.Err() == nil {
			a.deps.Logger.Error("aggregation outputs not stored", "err", err)
		}
		timer.Reset(a.untilDue())
	}
}

// Close writes state to disk. Nothing may be appended any more.
func (a *Aggregator) Close() error {
	a.flushing.Lock()
	defer a.flushing.Unlock()
	if err := errors.Join(a.snapshot(), a.journal.close()); err != nil {
		return fmt.Errorf("close aggregation: %w", err)
	}
	return nil
}
