// Package planetbench_test measures field hints on a simulated planet: zones of
// very different size, with real Sets, streams and indexes from leaf to root,
// and series with the labels of production. `make bench-planet` runs it.
package planetbench_test

import (
	"fmt"
	"math"
	"os"
	"testing"

	"github.com/pandometrics/pando/querytree/treetest"
)

const zoneCount = 40

// config is the size of a planet.
type config struct {
	leaves  int // PANDO_PLANET_LEAVES
	series  int // PANDO_PLANET_SERIES: of a leaf of middling size
	queries int // PANDO_PLANET_QUERIES: for each locality
	seed    uint64
	only    string // PANDO_PLANET_LOCALITY: the one locality; empty means all
}

// places reports whether series are to be placed so.
func (c config) places(l locality) bool { return c.only == "" || c.only == string(l) }

func configFromEnv(tb testing.TB) config {
	tb.Helper()
	return config{
		leaves:  treetest.FromEnv(tb, "PANDO_PLANET_LEAVES", 10_000),
		series:  treetest.FromEnv(tb, "PANDO_PLANET_SERIES", 1_000),
		queries: treetest.FromEnv(tb, "PANDO_PLANET_QUERIES", 480),
		seed:    uint64(treetest.FromEnv(tb, "PANDO_SEED", 1)),
		only:    os.Getenv("PANDO_PLANET_LOCALITY"),
	}
}

// zoneSizes deals leaves out to zones by a power law: of 10,000 leaves, the
// largest zone has nearly half, the smallest a few.
func zoneSizes(leaves int) []int {
	const exponent = 1.5
	weights, sum := make([]float64, zoneCount), 0.0
	for i := range weights {
		weights[i] = math.Pow(float64(i+1), -exponent)
		if i >= zoneCount-5 {
			weights[i] /= 5 // edge sites
		}
		sum += weights[i]
	}
	sizes, left := make([]int, zoneCount), leaves
	for i := range sizes {
		sizes[i] = max(1, int(float64(leaves)*weights[i]/sum))
		left -= sizes[i]
	}
	sizes[0] = max(1, sizes[0]+left)
	return sizes
}

// locality says by what labels decide where a series is.
type locality string

const (
	// byCluster: an application is in one cluster.
	byCluster locality = "cluster"
	// byTeam: a team's applications are spread over a third of the clusters.
	byTeam locality = "team"
	// byHash: every series is anywhere, as where a ring of hashes places it.
	byHash locality = "hash"
)

// place is where a leaf stands.
type place struct {
	zone          int
	zoneName, own string // names of the zone, and of the leaf, which is a cluster
}

func places(leaves int) []place {
	var out []place
	for z, n := range zoneSizes(leaves) {
		for range n {
			i := len(out)
			out = append(out, place{zone: z, zoneName: zoneName(z), own: fmt.Sprintf("%s-c%05d", zoneName(z), i)})
		}
	}
	return out
}

func zoneName(z int) string { return fmt.Sprintf("%s-%d", regions[z%len(regions)], z/len(regions)+1) }
