package e2e_test

import (
	"context"
	"fmt"
	"hash/fnv"
	"math"
	"math/rand"
	"sync"
	"testing"

	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb/chunkenc"

	"github.com/pandometrics/pando/querytree"
	"github.com/pandometrics/pando/querytree/treetest"
)

// shapes are trees to ask generated queries of. Each returns a tree with the
// series of data in it.
var shapes = []struct {
	name  string
	build func(t *testing.T, rnd *rand.Rand, data treetest.Data) (*treetest.Planet, []labels.Labels)
	// one is what $ONE stands for in directed queries, unless us-0 exists.
	one string
}{
	{"three zones of 1, 2 and 5 clusters", threeZones, ""},
	{"delayed name removal", delayedNames, ""},
	{"four tiers", fourTiers, `continent="asia",zone="z1",cluster="c0"`},
	{"shards by hash", func(t *testing.T, rnd *rand.Rand, data treetest.Data) (*treetest.Planet, []labels.Labels) {
		return shards(t, rnd, data, treetest.Shards(4))
	}, ""},
	{"shards by key", func(t *testing.T, rnd *rand.Rand, data treetest.Data) (*treetest.Planet, []labels.Labels) {
		return shards(t, rnd, data, treetest.Shards(4, "instance", "job"))
	}, ""},
	{"clusters of shards", clustersOfShards, ""},
}

// Generated queries over trees of many shapes, against one stock engine over
// the union. Every tenth is asked without push-down too.
func TestShapes(t *testing.T) {
	var generating sync.Mutex // generators share state
	for _, shape := range shapes {
		t.Run(shape.name, func(t *testing.T) {
			t.Parallel()
			rnd := rand.New(rand.NewSource(seed(t)))
			data := treetest.Data{Minutes: 40, Interval: 15_000}
			p, series := shape.build(t, rnd, data)
			generating.Lock()
			g := treetest.NewGenerator(rnd, data, series)
			generating.Unlock()
			total := &tally{}
			for i := range treetest.FromEnv(t, "PANDO_QUERIES", 500) {
				generating.Lock()
				q := g.Next()
				generating.Unlock()
				diff, found := p.Diff(t.Context(), q)
				total.add(t, data.Headed(seed(t), diff), found)
				if i%10 == 0 {
					diff, found = p.Diff(querytree.WithOptions(t.Context(), querytree.Options{NoPushdown: true}), q)
					total.add(t, data.Headed(seed(t), diff), found)
				}
			}
			t.Logf("%d comparisons, %.1f%% of the answers not empty, %d wrong; %s", total.compared, total.percent(total.nonEmpty), total.bad, g.Dropped())
			if total.percent(total.nonEmpty) < 25 {
				t.Error("hardly any answer holds anything")
			}
		})
	}
}

// Queries that once had a wrong answer, or that generated ones hardly reach, over
// trees of many shapes.
func TestShapesFound(t *testing.T) {
	for _, shape := range shapes {
		t.Run(shape.name, func(t *testing.T) {
			t.Parallel()
			one := `zone="us",cluster="us-0"`
			if shape.one != "" {
				one = shape.one
			}
			total := &tally{}
			for _, found := range treetest.ReadFound(t, "../querytree/testdata/found.txt") {
				p, _ := shape.build(t, rand.New(rand.NewSource(found.Seed)), found.Data)
				for _, q := range found.Queries(one) {
					diff, found := p.Diff(t.Context(), q)
					total.add(t, diff, found)
				}
			}
			t.Logf("%d comparisons, %.1f%% of the answers not empty, %d wrong", total.compared, total.percent(total.nonEmpty), total.bad)
		})
	}
}

func filled(t *testing.T, rnd *rand.Rand, data treetest.Data, cfg treetest.Config) (*treetest.Planet, []labels.Labels) {
	p := treetest.New(t, cfg)
	return p, data.Fill(t, p, rnd)
}

func threeZones(t *testing.T, rnd *rand.Rand, data treetest.Data) (*treetest.Planet, []labels.Labels) {
	leaves, zones := treetest.Clusters("af", 1, "eu", 2, "us", 5)
	return filled(t, rnd, data, treetest.Config{Leaves: leaves, Zones: zones})
}

func delayedNames(t *testing.T, rnd *rand.Rand, data treetest.Data) (*treetest.Planet, []labels.Labels) {
	leaves, zones := treetest.Clusters("eu", 2, "us", 1)
	return filled(t, rnd, data, treetest.Config{Leaves: leaves, Zones: zones, DelayedNameRemoval: true})
}

// fourTiers builds a root over continents over zones over leaves. Continents
// name their zones, and zones their clusters, alike.
func fourTiers(t *testing.T, rnd *rand.Rand, data treetest.Data) (*treetest.Planet, []labels.Labels) {
	var cfg treetest.Config
	var continents []querytree.Identity
	of := map[int]int{} // zone → continent
	for i, clusters := range [][]int{{2, 1}, {1, 1, 2}} {
		continent := labels.NewBuilder(labels.FromStrings("continent", []string{"asia", "europe"}[i]))
		continents = append(continents, querytree.Identity{Tier: querytree.TierZone, Labels: continent.Labels()})
		for j, n := range clusters {
			zone := labels.NewBuilder(continent.Labels()).Set("zone", fmt.Sprintf("z%d", j))
			of[len(cfg.Zones)] = i
			for k := range n {
				cluster := labels.NewBuilder(zone.Labels()).Set("cluster", fmt.Sprintf("c%d", k)).Labels()
				cfg.Leaves = append(cfg.Leaves, treetest.Leaf{Zone: len(cfg.Zones), Identity: querytree.Identity{Tier: querytree.TierLeaf, Labels: cluster}})
			}
			cfg.Zones = append(cfg.Zones, querytree.Identity{Tier: querytree.TierZone, Labels: zone.Labels()})
		}
	}
	cfg.Place = placeByIdentity(cfg.Leaves)
	p, series := filled(t, rnd, data, cfg)
	below := make([][]querytree.Child, len(continents))
	for i, z := range p.ZoneMixers {
		below[of[i]] = append(below[of[i]], z)
	}
	var top []querytree.Child
	for i, id := range continents {
		top = append(top, newMixer(t, id, below[i]))
	}
	p.Root = newMixer(t, querytree.Identity{Tier: querytree.TierRoot}, top)
	return p, series
}

// placeByIdentity returns the index of the leaf all of whose labels a series
// has.
func placeByIdentity(leaves []treetest.Leaf) func(labels.Labels) int {
	return func(l labels.Labels) int {
		for i, leaf := range leaves {
			fits := true
			leaf.Labels.Range(func(own labels.Label) { fits = fits && l.Get(own.Name) == own.Value })
			if fits {
				return i
			}
		}
		return -1
	}
}

func newMixer(t *testing.T, id querytree.Identity, children []querytree.Child) *querytree.Mixer {
	t.Helper()
	var members []querytree.Member
	for _, c := range children {
		members = append(members, querytree.Member{Child: c, Description: c.Describe(), Connected: true})
	}
	m, err := querytree.NewMixer(querytree.MixerConfig{
		Members: func() []querytree.Member { return members },
		Describe: func() querytree.Description {
			return querytree.Description{Identity: id, Mint: math.MinInt64, Maxt: math.MaxInt64, Leaves: len(children)}
		},
		Limits: querytree.DefaultLimits(), Lookback: treetest.Lookback, SubqueryStep: treetest.SubqueryStep, UseStartTimestamps: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// shards builds a tree whose leaves have no identity labels: zone and cluster
// are labels like any other.
func shards(t *testing.T, rnd *rand.Rand, data treetest.Data, cfg treetest.Config) (*treetest.Planet, []labels.Labels) {
	leaves, zones := treetest.Clusters("eu", 2, "us", 2)
	donor, series := filled(t, rnd, data, treetest.Config{Leaves: leaves, Zones: zones})
	p := treetest.New(t, cfg)
	transplant(t, donor, p)
	return p, series
}

// clustersOfShards builds a tree one of whose clusters is spread over three
// leaves by key, one over two by hash, and one not at all.
func clustersOfShards(t *testing.T, rnd *rand.Rand, data treetest.Data) (*treetest.Planet, []labels.Labels) {
	leaves, zones := treetest.Clusters("eu", 2, "us", 1)
	donor, series := filled(t, rnd, data, treetest.Config{Leaves: leaves, Zones: zones})
	cfg := treetest.Config{Zones: zones}
	first := make([]int, len(leaves))
	for i, n := range []int{3, 2, 1} {
		first[i] = len(cfg.Leaves)
		for s := range n {
			l := leaves[i]
			if n > 1 {
				l.Shard = fmt.Sprint(s)
			}
			if n == 3 {
				l.ShardKey = []string{"instance", "job"}
			}
			cfg.Leaves = append(cfg.Leaves, l)
		}
	}
	whose := placeByIdentity(leaves)
	cfg.Place = func(l labels.Labels) int {
		switch i := whose(l); i {
		case 0:
			h := fnv.New32a()
			fmt.Fprintf(h, "%s\xff%s", l.Get("instance"), l.Get("job"))
			return first[0] + int(h.Sum32()%3)
		case 1:
			return first[1] + int(l.Hash()%2)
		default:
			return first[i]
		}
	}
	p := treetest.New(t, cfg)
	transplant(t, donor, p)
	return p, series
}

// transplant appends all samples of one tree to another.
func transplant(t *testing.T, from, to *treetest.Planet) {
	t.Helper()
	q, err := from.Querier(math.MinInt64, math.MaxInt64)
	if err != nil {
		t.Fatal(err)
	}
	defer q.Close()
	set := q.Select(context.Background(), true, nil, labels.MustNewMatcher(labels.MatchRegexp, labels.MetricName, ".+"))
	var it chunkenc.Iterator
	for set.Next() {
		app := to.AppenderV2(context.Background())
		s := set.At()
		it = s.Iterator(it)
		for kind := it.Next(); kind != chunkenc.ValNone; kind = it.Next() {
			if err := appendAt(app, s.Labels(), it, kind); err != nil {
				t.Fatal(err)
			}
		}
		if err := app.Commit(); err != nil {
			t.Fatal(err)
		}
	}
	if set.Err() != nil {
		t.Fatal(set.Err())
	}
}

// appendAt appends the sample that an iterator stands at.
func appendAt(app storage.AppenderV2, l labels.Labels, it chunkenc.Iterator, kind chunkenc.ValueType) error {
	var (
		at int64
		v  float64
		h  *histogram.Histogram
		fh *histogram.FloatHistogram
	)
	switch kind {
	case chunkenc.ValFloat:
		at, v = it.At()
	case chunkenc.ValHistogram:
		at, h = it.AtHistogram(nil)
	default:
		at, fh = it.AtFloatHistogram(nil)
	}
	_, err := app.Append(0, l, it.AtST(), at, v, h, fh, storage.AOptions{})
	return err
}
