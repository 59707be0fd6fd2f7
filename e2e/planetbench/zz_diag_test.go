package planetbench_test

import (
	"fmt"
	"os"
	"testing"
)

func BenchmarkDiag(b *testing.B) {
	cfg := configFromEnv(b)
	corpus := corpusSelectors(b)
	platform := platformMetrics(corpus, platformMetricCount)
	for range b.N {
		l := byCluster
		if v := os.Getenv("DIAG_LOCALITY"); v != "" {
			l = locality(v)
		}
		g := newGenerator(cfg, l, platform)
		r := newReport(os.Stdout)
		p := build(b, g, newAsker(g, corpus).queries(cfg.queries), planetOptions{kept: 3})
		p.sizes(r)
		p.pruning(r)
		r.flush()
		for i, q := range p.queries {
			o := &p.verdict.queries[i]
			if q.form != listed && q.form != pattern && q.form != nameless {
				continue
			}
			var s sums
			s.add(o, p.zones)
			if s.leavesAsked == s.leavesHeld && s.zonesAsked == s.zonesHeld {
				continue
			}
			fmt.Printf("DIAG %-12s %-10s %-9s leaves %d/%d zones %d/%d %s\n", o.scope(len(p.gen.places)), q.form, q.intent, s.leavesHeld, s.leavesAsked, s.zonesHeld, s.zonesAsked, q)
		}
		for _, s := range p.kept {
			fmt.Println(s.Scheme())
		}
		for _, m := range p.verdict.missed {
			b.Errorf("ruled out, but holds a match: %s", m)
		}
	}
}
