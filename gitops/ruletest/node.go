package ruletest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/rulefmt"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/promql/promqltest"
	"github.com/prometheus/prometheus/rules"
	"github.com/prometheus/prometheus/storage"

	"github.com/pandometrics/pando/gitops/planet"
	"github.com/pandometrics/pando/querytree"
)

// node is one tier of a test: a storage, and rules that are evaluated over it or
// over the tree.
type node struct {
	name     string
	identity labels.Labels
	store    *promqltest.LazyLoader
	engine   *promql.Engine
	opts     promql.EngineOpts
	child    querytree.Child // of a tree
	query    rules.QueryFunc
	groups   []*rules.Group
	records  []string // names of what the rules record, sorted
}

// Bounds of one query of a test.
const (
	engineLimit  = 1_000_000 // samples that it may hold
	queryTimeout = 10 * time.Second
)

// bounds are the limits of queries, of all tiers of a test.
func bounds() querytree.Limits {
	l := querytree.DefaultLimits()
	l.MaxSamples, l.Timeout = engineLimit, queryTimeout
	return l
}

// newNode opens the storage of a tier and puts the input series into it.
func newNode(t planet.RuleTest, of planet.TestNode) (_ *node, err error) {
	n := &node{name: of.Name, identity: labels.FromMap(of.Identity)}
	input, err := n.input(t, of.Series)
	if err != nil {
		return nil, err
	}
	n.store, err = promqltest.NewLazyLoader(input, promqltest.LazyLoaderOpts{EnableAtModifier: true, EnableNegativeOffset: true, StartTime: t.Start})
	if err != nil {
		return nil, err
	}
	n.opts = querytree.EngineOpts(mixerConfig(t, bounds()), querytree.NewParser())
	n.engine = promql.NewEngine(n.opts)
	return n, nil
}

func mixerConfig(t planet.RuleTest, limits querytree.Limits) querytree.MixerConfig {
	return querytree.MixerConfig{Limits: limits, Lookback: 5 * time.Minute, SubqueryStep: t.Evaluation}
}

// input writes the series as promqltest reads them, with the identity.
func (n *node) input(t planet.RuleTest, series []planet.TestSeries) (string, error) {
	var b strings.Builder
	fmt.Fprintf(&b, "load %s\n", model.Duration(t.Interval))
	p := querytree.NewParser()
	for _, s := range series {
		if strings.ContainsAny(s.Series+s.Values, "\n\r") {
			return "", fmt.Errorf("series %q: it has several lines: write one", s.Series)
		}
		l, err := p.ParseMetric(s.Series)
		if err != nil {
			return "", fmt.Errorf("series %q: %w", s.Series, err)
		}
		fmt.Fprintf(&b, "  %s %s\n", n.identified(l), s.Values)
	}
	return b.String(), nil
}

// identified adds the identity to labels, as a leaf does to what it serves.
func (n *node) identified(l labels.Labels) labels.Labels {
	b := labels.NewBuilder(l)
	n.identity.Range(func(l labels.Label) { b.Set(l.Name, l.Value) })
	return b.Labels()
}

// close releases the storage.
func (n *node) close() error {
	return errors.Join(n.engine.Close(), n.store.Close())
}

// local makes the node a Child, under a shard of its own if it is not a leaf.
func (n *node) local(tier, shard string) (querytree.Child, error) {
	chunks, ok := n.store.Storage().(storage.ChunkQueryable)
	if !ok {
		return nil, errors.New("the test storage has no chunks")
	}
	return querytree.NewLocal(querytree.LocalConfig{
		Engine: n.engine, EngineOpts: &n.opts, Samples: n.store.Storage(), Chunks: chunks, Limits: bounds(),
		Describe: func() querytree.Description {
			return querytree.Description{
				Identity: querytree.Identity{Tier: tier, Labels: n.identity, Shard: shard}, Mint: math.MinInt64, Maxt: math.MaxInt64, Leaves: 1,
				Features: []string{querytree.FeatureOps, querytree.FeatureStats},
			}
		},
	})
}

// over makes the node a tier over children, which answers itself what its rules
// record.
func (n *node) over(t planet.RuleTest, tier string, children []querytree.Child) (*querytree.Mixer, error) {
	own, err := n.local(tier, "rules")
	if err != nil {
		return nil, err
	}
	var members []querytree.Member
	for _, c := range children {
		members = append(members, querytree.Member{Child: c, Description: c.Describe(), Connected: true})
	}
	cfg := mixerConfig(t, bounds())
	cfg.StrictByDefault = true
	cfg.Members = func() []querytree.Member { return members }
	cfg.Own = &querytree.Own{Child: own, Names: func() []string { return n.records }}
	cfg.Describe = func() querytree.Description {
		return querytree.Description{
			Identity: querytree.Identity{Tier: tier, Labels: n.identity}, Mint: math.MinInt64, Maxt: math.MaxInt64,
			Leaves: len(children), Features: querytree.MixerFeatures(),
		}
	}
	m, err := querytree.NewMixer(cfg)
	n.child = m
	return m, err
}

// load makes the groups of rules, which write to the node's storage.
func (n *node) load(t planet.RuleTest, files map[string][]byte) error {
	logger := slog.New(slog.DiscardHandler)
	loader := inMemory{files: files, parser: querytree.NewParser(), logger: logger}
	m := rules.NewManager(&rules.ManagerOptions{
		QueryFunc: n.query, Appendable: identified{n}, Queryable: n.store.Storage(), Context: n.store.Context(),
		NotifyFunc: func(context.Context, string, ...*rules.Alert) {}, Logger: logger, Parser: loader.parser, GroupLoader: loader,
	})
	names := slices.Sorted(maps.Keys(files))
	groups, errs := m.LoadGroups(t.Interval, labels.FromMap(t.ExternalLabels), t.ExternalURL, nil, false, names...)
	if len(errs) > 0 {
		return errors.Join(errs...)
	}
	// As promtool does, but in an order that does not change from run to run.
	for _, k := range slices.Sorted(maps.Keys(groups)) {
		n.groups = append(n.groups, groups[k])
	}
	slices.SortStableFunc(n.groups, func(a, b *rules.Group) int {
		return max(0, slices.Index(t.GroupOrder, a.Name())) - max(0, slices.Index(t.GroupOrder, b.Name()))
	})
	for _, g := range n.groups {
		for _, r := range g.Rules() {
			if a, ok := r.(*rules.AlertingRule); ok {
				a.SetRestored(true)
			} else if !slices.Contains(n.records, r.Name()) {
				n.records = append(n.records, r.Name())
			}
		}
	}
	slices.Sort(n.records)
	return nil
}

// eval evaluates the rules once.
func (n *node) eval(ctx context.Context, at time.Time) (errs []error) {
	for _, g := range n.groups {
		g.Eval(ctx, at)
		for _, r := range g.Rules() {
			if err := r.LastError(); err != nil {
				errs = append(errs, fmt.Errorf("rule %s: %w", r.Name(), err))
			}
		}
	}
	return errs
}

// inMemory loads rule files that are not on disk.
type inMemory struct {
	files  map[string][]byte
	parser parser.Parser
	logger *slog.Logger
}

// Load implements rules.GroupLoader.
func (l inMemory) Load(name string, ignoreUnknown bool, scheme model.ValidationScheme) (*rulefmt.RuleGroups, []error) {
	return rulefmt.Parse(l.files[name], ignoreUnknown, scheme, l.parser, l.logger)
}

// Parse implements rules.GroupLoader.
func (l inMemory) Parse(query string) (parser.Expr, error) { return l.parser.ParseExpr(query) }

// identified is the storage of a node, which gives all series its identity.
type identified struct{ n *node }

// Appender implements storage.Appendable.
func (i identified) Appender(ctx context.Context) storage.Appender {
	return identifying{i.n.store.Storage().Appender(ctx), i.n}
}

type identifying struct {
	storage.Appender
	n *node
}

// Append implements storage.Appender.
func (i identifying) Append(_ storage.SeriesRef, l labels.Labels, t int64, v float64) (storage.SeriesRef, error) {
	return i.Appender.Append(0, i.n.identified(l), t, v)
}

// AppendHistogram implements storage.Appender.
func (i identifying) AppendHistogram(_ storage.SeriesRef, l labels.Labels, t int64, h *histogramT, fh *floatHistogramT) (storage.SeriesRef, error) {
	return i.Appender.AppendHistogram(0, i.n.identified(l), t, h, fh)
}
