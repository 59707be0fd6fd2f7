package e2e_test

import (
	"context"
	"errors"
	"math"
	"math/rand"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/pandometrics/pando/fieldhint"
	"github.com/pandometrics/pando/querytree"
	"github.com/pandometrics/pando/querytree/treetest"
)

// corpusTime is when corpus queries are asked, in milliseconds: soon after
// midnight, so that subqueries of any step have a point among the samples.
const corpusTime = 1_700_006_400_000 + 10*60_000

// corpusCases makes series for each expression with an answer, by a
// Synthesizer's Answered or Any.
func corpusCases(tb testing.TB, make func(s *treetest.Synthesizer, expr string) (*treetest.Case, error)) []*treetest.Case {
	tb.Helper()
	s := treetest.NewSynthesizer(rand.New(rand.NewSource(seed(tb))), corpusTime)
	var cases []*treetest.Case
	for _, expr := range treetest.Corpus(tb, "testdata/corpus") {
		c, err := make(s, expr)
		if err != nil {
			tb.Fatalf("%s: %v", expr, err)
		}
		cases = append(cases, c)
	}
	return cases
}

// seed returns PANDO_SEED, or 1.
func seed(tb testing.TB) int64 { return int64(treetest.FromEnv(tb, "PANDO_SEED", 1)) }

// spies count what a parent asked of its children.
type spies struct {
	mu      sync.Mutex
	pulls   int      // raw selects, of any tier
	queries []string // Exec requests of the root
}

func (s *spies) reset() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pulls, s.queries = 0, s.queries[:0]
}

// whole reports whether the root asked for the query itself, and nothing else.
func (s *spies) whole(query string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	same := func(q string) bool {
		return strings.Join(strings.Fields(q), "") == strings.Join(strings.Fields(query), "")
	}
	return s.pulls == 0 && len(s.queries) > 0 && !slices.ContainsFunc(s.queries, func(q string) bool { return !same(q) })
}

func (s *spies) raw() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.pulls > 0
}

// connect is a treetest.Config.Connect.
func (s *spies) connect(_ testing.TB, c querytree.Child) querytree.Child { return &spy{c, s} }

type spy struct {
	querytree.Child
	s *spies
}

func (c *spy) Exec(ctx context.Context, req querytree.ExecRequest) (querytree.ResultSet, error) {
	if c.Describe().Tier == querytree.TierZone {
		c.s.mu.Lock()
		c.s.queries = append(c.s.queries, req.Query)
		c.s.mu.Unlock()
	}
	return c.Child.Exec(ctx, req)
}

func (c *spy) Select(ctx context.Context, req querytree.SelectRequest) querytree.SeriesSet {
	c.s.mu.Lock()
	c.s.pulls++
	c.s.mu.Unlock()
	return c.Child.Select(ctx, req)
}

// hints are the field hints of a test tree: a set for each leaf and zone, an
// index for each zone and the root, and the frames between them.
type hints struct {
	leaves, zones []*fieldhint.Set
	cfg           treetest.Config
	// parents holds the index of each zone, then that of the root.
	parents []*fieldhint.Index
	seen    map[uint64]bool
	series  map[int][]labels.Labels // by leaf
}

// withHints adds field hints to a tree's config.
func withHints(tb testing.TB, cfg *treetest.Config) *hints {
	h := &hints{seen: map[uint64]bool{}, series: map[int][]labels.Labels{}}
	for _, l := range cfg.Leaves {
		h.leaves = append(h.leaves, newSet(tb, l.Labels))
	}
	for _, z := range cfg.Zones {
		h.zones = append(h.zones, newSet(tb, z.Labels))
	}
	cfg.OnSeries = func(lset labels.Labels, leaf, _ int) {
		if key := lset.Hash() ^ uint64(leaf); !h.seen[key] {
			h.seen[key] = true
			h.leaves[leaf].AddSeries(lset)
			h.series[leaf] = append(h.series[leaf], lset.Copy())
		}
	}
	cfg.Pruner = h.pruner // called for each zone, then for the root
	h.cfg = *cfg
	return h
}

func newSet(tb testing.TB, external labels.Labels) *fieldhint.Set {
	tb.Helper()
	s, err := fieldhint.NewSet(fieldhint.SetConfig{External: external})
	if err != nil {
		tb.Fatal(err)
	}
	return s
}

func (h *hints) pruner(tb testing.TB, _ []querytree.Child) querytree.Pruner {
	cfg := fieldhint.IndexConfig{MaxAge: math.MaxInt64} // no heartbeats here
	if zone := len(h.parents); zone < len(h.zones) {
		cfg.Union = h.zones[zone]
	}
	x, err := fieldhint.NewIndex(cfg)
	if err != nil {
		tb.Fatal(err)
	}
	h.parents = append(h.parents, x)
	return x
}

// sync brings all parents up to date: leaves to zones, zones to the root.
func (h *hints) sync(tb testing.TB) {
	tb.Helper()
	for i, l := range h.cfg.Leaves {
		h.scan(tb, i)
		h.leaves[i].SetComplete()
		pump(tb, h.leaves[i], h.parents[l.Zone], l.Name())
	}
	for i, z := range h.cfg.Zones {
		h.zones[i].SetComplete()
		pump(tb, h.zones[i], h.parents[len(h.zones)], z.Name())
	}
}

// scan has a leaf's set decide what to tell of the series that it has, as a leaf
// does.
func (h *hints) scan(tb testing.TB, leaf int) {
	tb.Helper()
	err := h.leaves[leaf].Rebuild(fieldhint.Layout{Window: 86_400_000, Current: math.MinInt64}, func(add func(labels.Labels, ...fieldhint.Span)) error {
		for _, lset := range h.series[leaf] {
			add(lset, fieldhint.Span{From: math.MinInt64, To: math.MaxInt64})
		}
		return nil
	})
	if err != nil {
		tb.Fatal(err)
	}
}

var errSynced = errors.New("synced")

// pump sends a set to a parent until the parent has it all.
func pump(tb testing.TB, set *fieldhint.Set, parent *fieldhint.Index, name string) {
	tb.Helper()
	feed := parent.Open(name)
	err := set.Stream(tb.Context(), func(frame []byte) error {
		if err := feed.Apply(frame); err != nil {
			return err
		}
		if parent.Synced(name) {
			return errSynced
		}
		return nil
	})
	if !errors.Is(err, errSynced) {
		tb.Fatalf("hint of %s: %v", name, err)
	}
}
