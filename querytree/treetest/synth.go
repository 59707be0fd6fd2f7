package treetest

import (
	"context"
	"fmt"
	"math/rand"
	"slices"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/util/annotations"

	"github.com/pandometrics/pando/querytree"
)

// Case is an expression together with series made for it, over four leaves of
// two unequal zones.
type Case struct {
	Expr string
	// Bool is Expr with all comparisons as bool; equal to Expr if it has none.
	Bool   string
	Leaves []Leaf
	Zones  []querytree.Identity
	Series []SynthSeries
	// names of the metrics that it selects; nil if they are not known.
	names []string
}

// SynthSeries is one series of a Case.
type SynthSeries struct {
	Labels labels.Labels
	// Points are in the order of time.
	Points []SynthPoint
}

// Synthesizer makes series for expressions from what they select, group and
// match by. It is not safe for concurrent use.
type Synthesizer struct {
	rnd    *rand.Rand
	at     int64
	engine *promql.Engine
	parser parser.Parser
}

// NewSynthesizer returns a Synthesizer of series for queries at about the time
// given, in milliseconds. The same rnd makes the same series.
func NewSynthesizer(rnd *rand.Rand, at int64) *Synthesizer {
	p := querytree.NewParser()
	cfg := querytree.MixerConfig{Limits: querytree.DefaultLimits(), Lookback: Lookback, SubqueryStep: SubqueryStep, UseStartTimestamps: true}
	return &Synthesizer{rnd: rnd, at: at, parser: p, engine: promql.NewEngine(querytree.EngineOpts(cfg, p))}
}

// attempts bounds how often series are made anew for an expression whose answer
// is empty.
const attempts = 14

// Any returns a case for expr, whatever the answer.
func (s *Synthesizer) Any(expr string) (*Case, error) {
	c, o, err := s.newCase(expr)
	if err != nil {
		return nil, err
	}
	s.fill(c, o, s.rnd.Intn(attempts))
	return c, nil
}

// Answered returns a case for expr whose answer is not empty at s's time, both
// as written and with comparisons as bool, or comes closest of some attempts.
func (s *Synthesizer) Answered(expr string) (*Case, error) {
	c, o, err := s.newCase(expr)
	if err != nil {
		return nil, err
	}
	var best []SynthSeries
	bestScore := -1
	for i := range attempts {
		c.Series = nil
		s.fill(c, o, i)
		score := 0
		if s.answers(c, c.Bool) {
			score++
		}
		if score > 0 && s.answers(c, c.Expr) {
			score++
		}
		if score > bestScore {
			best, bestScore = c.Series, score
		}
		if score == 2 {
			break
		}
	}
	c.Series = best
	return c, nil
}

func (s *Synthesizer) answers(c *Case, expr string) bool {
	r := Run(context.Background(), s.engine, c, Query{Expr: expr, Start: s.at})
	return r.Err == nil && sizeOf(r.Value) > 0
}

func (s *Synthesizer) newCase(expr string) (*Case, *outline, error) {
	e, err := s.parser.ParseExpr(expr)
	if err != nil {
		return nil, nil, fmt.Errorf("synthesize series: %w", err)
	}
	o := outlineOf(e)
	c := &Case{Expr: expr, Bool: asBool(e, expr)}
	s.topology(c, o)
	for _, sel := range o.selections {
		if len(sel.names) != 1 || sel.names[0].Type != labels.MatchEqual {
			c.names = nil
			break
		}
		c.names = append(c.names, sel.names[0].Value)
	}
	return c, o, nil
}

// asBool changes comparisons between vectors into bool ones; it leaves e so
// changed.
func asBool(e parser.Expr, expr string) string {
	changed := false
	parser.Inspect(e, func(n parser.Node, _ []parser.Node) error {
		if b, ok := n.(*parser.BinaryExpr); ok && b.Op.IsComparisonOperator() && !b.ReturnBool {
			b.ReturnBool, changed = true, true
		}
		return nil
	})
	if !changed {
		return expr
	}
	return e.String()
}

// topology makes the leaves, named so that matchers on identity labels find
// some. Two clusters of different zones may share a name.
func (s *Synthesizer) topology(c *Case, o *outline) {
	want := func(label string) []string {
		var out []string
		for _, m := range o.candidates[label] {
			if v, ok := example(s.rnd, "", []*labels.Matcher{m}); ok && v != "" && !slices.Contains(out, v) {
				out = append(out, v)
			}
		}
		return append(out, label+"-a", label+"-b", label+"-c", label+"-d")
	}
	zones, clusters := want(querytree.ZoneLabel), want(querytree.ClusterLabel)
	other := clusters[3]
	if s.rnd.Intn(2) == 0 {
		other = clusters[0]
	}
	for i, zone := range zones[:2] {
		c.Zones = append(c.Zones, querytree.Identity{Tier: querytree.TierZone, Labels: labels.FromStrings(querytree.ZoneLabel, zone)})
		names := clusters[:3]
		if i == 1 {
			names = []string{other}
		}
		for _, cluster := range names {
			c.Leaves = append(c.Leaves, Leaf{Zone: i, Identity: querytree.Identity{
				Tier: querytree.TierLeaf, Labels: labels.FromStrings(querytree.ZoneLabel, zone, querytree.ClusterLabel, cluster),
			}})
		}
	}
}

// Key is equal for cases with equal leaves.
func (c *Case) Key() string {
	key := ""
	for _, l := range c.Leaves {
		key += l.Name() + "\n"
	}
	return key
}

// Spread returns the number of leaves that have series of the case.
func (c *Case) Spread() int {
	used := map[string]bool{}
	for _, s := range c.Series {
		used[s.Labels.Get(querytree.ZoneLabel)+"\xff"+s.Labels.Get(querytree.ClusterLabel)] = true
	}
	return len(used)
}

// Batch puts cases together whose series do not get in each other's way: those
// of one batch have equal leaves and no metric in common. Few trees then serve
// many expressions.
func Batch(cases []*Case) [][]*Case {
	type batch struct {
		cases []*Case
		names map[string]bool
	}
	byKey := map[string][]*batch{}
	var all []*batch
	for _, c := range cases {
		var to *batch
		for _, b := range byKey[c.Key()] {
			if c.names != nil && !slices.ContainsFunc(c.names, func(n string) bool { return b.names[n] }) {
				to = b
				break
			}
		}
		if to == nil {
			to = &batch{names: map[string]bool{}}
			all = append(all, to)
			if c.names != nil { // else the batch is its own
				byKey[c.Key()] = append(byKey[c.Key()], to)
			}
		}
		to.cases = append(to.cases, c)
		for _, n := range c.names {
			to.names[n] = true
		}
	}
	out := make([][]*Case, len(all))
	for i, b := range all {
		out[i] = b.cases
	}
	return out
}

// Querier implements storage.Queryable over the series of the case alone.
func (c *Case) Querier(int64, int64) (storage.Querier, error) { return caseQuerier{c: c}, nil }

type caseQuerier struct {
	storage.LabelQuerier
	c *Case
}

func (q caseQuerier) Close() error { return nil }

// Select implements storage.Querier.
func (q caseQuerier) Select(_ context.Context, _ bool, _ *storage.SelectHints, ms ...*labels.Matcher) storage.SeriesSet {
	var out []storage.Series
	for _, s := range q.c.Series {
		if !slices.ContainsFunc(ms, func(m *labels.Matcher) bool { return !m.Matches(s.Labels.Get(m.Name)) }) {
			out = append(out, storage.NewListSeries(s.Labels, samplesOf(s.Points)))
		}
	}
	slices.SortFunc(out, func(a, b storage.Series) int { return labels.Compare(a.Labels(), b.Labels()) })
	return &listSet{series: out, at: -1}
}

// listSet is a storage.SeriesSet of series in memory.
type listSet struct {
	series []storage.Series
	at     int
}

func (l *listSet) Next() bool                        { l.at++; return l.at < len(l.series) }
func (l *listSet) At() storage.Series                { return l.series[l.at] }
func (l *listSet) Err() error                        { return nil }
func (l *listSet) Warnings() annotations.Annotations { return nil }

// synthesized series have samples within these bounds around the time of the
// queries, less the offset of their selector.
const (
	synthBefore   = 16 * time.Minute
	synthAfter    = 4 * time.Minute
	synthInterval = 20 * time.Second
)
