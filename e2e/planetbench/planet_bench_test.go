package planetbench_test

import (
	"fmt"
	"os"
	"testing"
	"time"
)

// BenchmarkPlanet builds a planet for each locality and writes a report. The
// benchmark's own figure is the time that all of it took.
func BenchmarkPlanet(b *testing.B) {
	cfg := configFromEnv(b)
	corpus := corpusSelectors(b)
	platform := platformMetrics(corpus, platformMetricCount)
	for range b.N {
		for i, l := range []locality{byCluster, byTeam, byHash} {
			if !cfg.places(l) {
				continue
			}
			start := time.Now()
			c := cfg
			if l == byHash {
				c.leaves /= 5 // every series brings facts that the leaf has not seen
			}
			g := newGenerator(c, l, platform)
			r := newReport(os.Stdout)
			p := build(b, g, newAsker(g, corpus).queries(cfg.queries), planetOptions{flat: i == 0, kept: 1000 * (1 - min(i, 1))})
			r.title("== Planet, locality by %s: %d leaves in %d zones, built in %v", l, c.leaves, zoneCount, time.Since(start).Round(time.Second))
			p.sizes(r)
			p.pruning(r)
			if i == 0 {
				p.decisions(b, r)
				p.falsePositives(r)
			}
			p.restarts(b, r)
			r.flush()
			for _, m := range p.verdict.missed {
				b.Errorf("ruled out, but holds a match: %s", m)
			}
		}
	}
}

// sizes writes what hints take.
func (p *planet) sizes(r report) {
	leafBytes, leafFps := 0, uint64(0)
	for _, z := range p.zones {
		n, fps := filterBytes(z.index)
		leafBytes, leafFps = leafBytes+n, leafFps+fps
	}
	rootBytes, rootFps := filterBytes(p.root)
	largest := p.zones[0]
	largestBytes, largestFps := filterBytes(largest.index)
	series := p.cost.series
	r.title("Sizes, locality by %s: %d series, %d fingerprints in leaves (%.1f a series)", p.gen.locality, series, leafFps, float64(leafFps)/float64(series))
	r.row("filters of leaves, bytes a fingerprint", atMost(float64(leafBytes)/float64(leafFps), targetFingerprintBytes, ""))
	r.row("filters of zones, bytes a fingerprint", atMost(float64(rootBytes)/float64(rootFps), targetFingerprintBytes, ""))
	r.row("filters of leaves, bytes a series", fmt.Sprintf("%.3g", float64(leafBytes)/float64(series)))
	r.row("sets in leaves, bytes a series", fmt.Sprintf("%.3g", float64(p.cost.setBytes)/float64(series)))
	r.row("filters at the root", megabytes(rootBytes), fmt.Sprintf("%.3g bytes a series, %d fingerprints", float64(rootBytes)/float64(series), rootFps))
	r.row("largest zone", fmt.Sprintf("%d leaves", largest.leaves), "filters "+megabytes(largestBytes), fmt.Sprintf("%d fingerprints", largestFps),
		"its own set "+megabytes(largest.set.Bytes()), fmt.Sprintf("%d fingerprints (%.1f%% of its leaves')", largest.set.Len(), percent(largest.set.Len(), int(largestFps))))
	c := &p.cost
	r.row("adding series to leaves' sets", fmt.Sprintf("%.0f ns a series", float64(c.adding.Nanoseconds())/float64(c.series)))
	r.row("leaf → zone index → zone set, while building", fmt.Sprintf("%.2f M fingerprints/s and worker", float64(c.fingerprints)/c.streaming.Seconds()/1e6))
}

func megabytes(n int) string { return fmt.Sprintf("%.1f MB", float64(n)/1e6) }
