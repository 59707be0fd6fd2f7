package querytree_test

import (
	"context"
	"fmt"
	"hash/fnv"
	"math/rand"
	"sync"
	"testing"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"

	"github.com/pandometrics/pando/querytree"
	"github.com/pandometrics/pando/querytree/treetest"
)

// rowTree is a tree that the rows of the planner's table are checked on, with
// what its expressions stand for there.
type rowTree struct {
	name string
	// key are the labels that tell the root's children apart; none if nothing
	// does. pin are matchers that one of them alone satisfies.
	key, pin string
	make     func() treetest.Config
	// filler are the leaves whose labels the series have, if not the tree's own.
	filler []treetest.Leaf
	tiers  int
	// replicas: leaves are there twice, and were down by turns.
	replicas bool
}

var rowTrees = []rowTree{
	{name: "two tiers", key: "cluster, zone", pin: `zone="eu",cluster="eu-1"`, make: twoTiers, tiers: 2},
	{name: "three tiers", key: "zone", pin: `zone="eu"`, make: threeTiers, tiers: 3},
	{name: "four tiers", key: "zone", pin: `zone="eu"`, make: fourTiers, tiers: 4},
	{name: "shards by key", key: "instance, job", make: func() treetest.Config { return unequalShards("instance", "job") }, filler: fourClusters(), tiers: 3},
	{name: "shards by hash", make: func() treetest.Config { return unequalShards() }, filler: fourClusters(), tiers: 3},
	{name: "replicas of shards", key: "instance, job", make: replicasOfShards, filler: fourClusters(), tiers: 3, replicas: true},
}

func fourClusters() []treetest.Leaf {
	leaves, _ := treetest.Clusters("eu", 3, "us", 1)
	return leaves
}

func twoTiers() treetest.Config {
	leaves := fourClusters()
	for i := range leaves {
		leaves[i].Zone = 0
	}
	return treetest.Config{Leaves: leaves}
}

func threeTiers() treetest.Config {
	leaves, zones := treetest.Clusters("eu", 3, "us", 1)
	return treetest.Config{Leaves: leaves, Zones: zones}
}

// fourTiers has zones of parts of clusters.
func fourTiers() treetest.Config {
	var c treetest.Config
	for i, part := range []struct {
		zone, name string
		clusters   int
	}{{"eu", "north", 2}, {"eu", "south", 1}, {"us", "all", 1}} {
		id := querytree.Identity{Tier: querytree.TierZone, Labels: labels.FromStrings("zone", part.zone, "part", part.name)}
		c.Zones = append(c.Zones, id)
		for n := range part.clusters {
			lset := labels.NewBuilder(id.Labels).Set("cluster", fmt.Sprintf("%s-%s-%d", part.zone, part.name, n)).Labels()
			c.Leaves = append(c.Leaves, treetest.Leaf{Zone: i, Identity: querytree.Identity{Tier: querytree.TierLeaf, Labels: lset}})
		}
	}
	for zone, parts := range [][]int{{0, 1}, {2}} {
		id := querytree.Identity{Tier: querytree.TierZone, Labels: labels.FromStrings("zone", []string{"eu", "us"}[zone])}
		c.Groups = append(c.Groups, treetest.Group{Identity: id, Zones: parts})
	}
	return c
}

// unequalShards has three shards in one zone and one in the other.
func unequalShards(key ...string) treetest.Config {
	c := treetest.Shards(4, key...)
	for i := range c.Leaves {
		c.Leaves[i].Zone = i / 3
	}
	if len(key) > 0 {
		c.Place = func(l labels.Labels) int {
			h := fnv.New32a()
			fmt.Fprintf(h, "%s\xff%s", l.Get("instance"), l.Get("job"))
			return int(h.Sum32() % 4)
		}
	}
	return c
}

// replicasOfShards are shards of two replicas each, which were down by turns.
func replicasOfShards() treetest.Config {
	c := unequalShards("instance", "job")
	c.Outages = treetest.Alternating(7*60_000, 60*60_000, 20_000)
	return c
}

// build makes the tree, with data of a seed in it, and what counts its traffic.
func (tree rowTree) build(t *testing.T, data treetest.Data, seed int64) (*treetest.Planet, *traffic) {
	t.Helper()
	cfg, counts := tree.make(), &traffic{replicas: tree.replicas}
	cfg.Connect = counts.connect
	counts.top = map[string]bool{}
	switch tree.tiers {
	case 2:
		for _, l := range cfg.Leaves {
			counts.top[l.Name()] = true
		}
	case 3:
		for _, z := range cfg.Zones {
			counts.top[z.Name()] = true
		}
	default:
		for _, g := range cfg.Groups {
			counts.top[g.Name()] = true
		}
	}
	p := treetest.New(t, cfg)
	filler := tree.filler
	if filler == nil {
		filler = cfg.Leaves
	}
	data.FillLeaves(t, p, rand.New(rand.NewSource(seed)), filler)
	return p, counts
}

// traffic counts what crosses the edges of a tree.
type traffic struct {
	top map[string]bool // names of the root's children

	mu sync.Mutex
	// pulls are requests for raw series at the root's children, pullsBelow
	// those on all other edges.
	pulls, pullsBelow int
	// asked are requests for expressions at the root's children, samples what
	// they answered with; below are the samples on all other edges.
	asked          int
	samples, below int64
	histograms     bool
	// opsKnown: the root's children answer several operators at once.
	opsKnown bool
	// replicas: what leaves answer is cut by steps, and so more than plans say.
	replicas bool
}

func (c *traffic) reset() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.pulls, c.pullsBelow, c.asked, c.samples, c.below, c.histograms = 0, 0, 0, 0, 0, false
}

func (c *traffic) connect(_ testing.TB, child querytree.Child) querytree.Child {
	if d := child.Describe(); c.top[d.Name()] {
		c.opsKnown = d.Has(querytree.FeatureOps)
	}
	return &counted{Child: child, to: c}
}

// counted is a Child whose requests and answers are counted.
type counted struct {
	querytree.Child
	to *traffic
}

func (c *counted) Exec(ctx context.Context, req querytree.ExecRequest) (querytree.ResultSet, error) {
	top := c.to.top[c.Describe().Name()]
	if top {
		c.to.mu.Lock()
		c.to.asked++
		c.to.mu.Unlock()
	}
	set, err := c.Child.Exec(ctx, req)
	if err != nil {
		return nil, err
	}
	return &countedSamples{ResultSet: set, to: c.to, top: top}, nil
}

func (c *counted) Select(ctx context.Context, req querytree.SelectRequest) querytree.SeriesSet {
	c.to.mu.Lock()
	if c.to.top[c.Describe().Name()] {
		c.to.pulls++
	} else {
		c.to.pullsBelow++
	}
	c.to.mu.Unlock()
	return c.Child.Select(ctx, req)
}

type countedSamples struct {
	querytree.ResultSet
	to  *traffic
	top bool
}

func (s *countedSamples) At() promql.Series {
	series := s.ResultSet.At()
	n := int64(len(series.Floats) + len(series.Histograms))
	s.to.mu.Lock()
	defer s.to.mu.Unlock()
	s.to.histograms = s.to.histograms || len(series.Histograms) > 0
	if s.top {
		s.to.samples += n
	} else {
		s.to.below += n
	}
	return series
}
