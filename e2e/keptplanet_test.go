package e2e_test

import (
	"context"
	"fmt"
	"math"
	"math/rand"
	"sync"
	"testing"
	"time"

	"github.com/Shopify/toxiproxy/v2"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/prompb"
	"github.com/prometheus/prometheus/tsdb/tsdbutil"

	"github.com/pandometrics/pando/querytree/treetest"
)

const (
	rollupDelay = 2 * time.Second
	// lateJob is the job of samples that come late on purpose: of it only what is
	// there in the end is compared.
	lateJob = "late"
	// longestWindow is that of rolledUp.
	longestWindow = 10 * time.Second
)

// rolledUp are expressions that are kept, or that are made of what is kept, with the
// distances of their points.
var rolledUp = map[string]time.Duration{
	`sum by (job) (rate(events_total[10s]))`:                                      time.Second,
	`avg by (job, zone) (last_over_time(level[4s]))`:                              2 * time.Second,
	`max without (instance) (max_over_time(level[8s]))`:                           2 * time.Second,
	`histogram_count(sum by (job) (rate(took_seconds[10s])))`:                     2 * time.Second,
	`histogram_quantile(0.93, sum by (job) (rate(took_seconds[10s])))`:            2 * time.Second,
	`histogram_quantile(0.93, sum by (le) (increase(waited_seconds_bucket[8s])))`: 2 * time.Second,
}

const rolledUpFile = `
rollups:
- name: job:events:rate10s
  expr: sum by (job) (rate(events_total[10s]))
  interval: 1s
  keep: {leaf: {for: 2h}, zone: {for: 2h}, root: {for: 2h}}
- name: job_zone:level
  expr: avg by (job, zone) (last_over_time(level[4s]))
  interval: 2s
  keep: {leaf: {for: 2h}, zone: {for: 2h}, root: [{for: 2h}, {every: 10s, for: 4h}]}
- name: job:took:rate10s
  expr: sum by (job) (rate(took_seconds[10s]))
  interval: 2s
  keep: {leaf: {for: 2h}, zone: {for: 2h}, root: {for: 2h}}
- name: job_le:waited:increase8s
  expr: sum by (job, le) (increase(waited_seconds_bucket[8s]))
  interval: 2s
  keep: {zone: {for: 2h}, root: {for: 2h}}
- name: level:max
  expr: max without (instance) (max_over_time(level[8s]))
  interval: 2s
  keep: {root: {for: 2h}}
`

// keptPlanet is a planet of processes that keep rollups.
type keptPlanet struct {
	t    *testing.T
	root *process
	// harmed is how long faults are done: PANDO_HARM_SECONDS, or else 45 seconds.
	harmed time.Duration
	tiers  []*process // root, zones, leaves
	leaves [][]string // base URLs of each leaf's replicas, which stay
	tops   []string   // those of root and zones
	begin  time.Time
	// links are the proxies between tiers and their parents, if there are any.
	links []*toxiproxy.Proxy
	// punctual: no samples come late on purpose.
	punctual bool

	mu sync.Mutex
	// tardy are the times of samples that may have been seen later than they
	// should.
	tardy []time.Time
	// seen are the values of each time, by tier and expression, as they were
	// first answered.
	seen map[string]map[int64]map[string]float64
	// changed says of times what was answered later and is something else.
	changed map[int64]string
	answers int
}

// keptOptions say what a keptPlanet is like.
type keptOptions struct {
	// proxied puts a proxy on each link.
	proxied bool
	// replicas of each leaf; zero means one that is not called a replica.
	replicas int
	// flags are those of root and zones.
	flags []string
}

func newKeptPlanet(t *testing.T, o keptOptions) *keptPlanet {
	file := "--rollup.file=" + writeFile(t, "rollups.yml", rolledUpFile)
	p := &keptPlanet{t: t, seen: map[string]map[int64]map[string]float64{}, changed: map[int64]string{}, punctual: o.replicas > 0}
	p.harmed = time.Duration(treetest.FromEnv(t, "PANDO_HARM_SECONDS", 45)) * time.Second
	flags := append([]string{file}, o.flags...)
	parent := func(of *process) string {
		if !o.proxied {
			return of.grpc
		}
		link := newProxy(t, of.grpc)
		p.links = append(p.links, link)
		return link.Listen
	}
	p.root = startRoot(t, flags...)
	zones := []*process{startZone(t, parent(p.root), append(flags, "--zone=eu")...), startZone(t, parent(p.root), append(flags, "--zone=us")...)}
	p.tiers = append([]*process{p.root}, zones...)
	for i := range 4 {
		var urls []string
		for r := range max(1, o.replicas) {
			own := []string{file, "--rollup.delay=" + rollupDelay.String()}
			if o.replicas > 0 {
				own = append(own, fmt.Sprint("--replica=", r))
			}
			leaf := startLeaf(t, parent(zones[i/2]), []string{"eu", "us"}[i/2], fmt.Sprint("c", i), own...)
			urls, p.tiers = append(urls, leaf.http), append(p.tiers, leaf)
		}
		p.leaves = append(p.leaves, urls)
	}
	for _, tier := range p.tiers[:3] {
		p.tops = append(p.tops, tier.http)
	}
	awaitLeaves(t, p.root, 4*max(1, o.replicas))
	p.begin = time.Now().Truncate(10 * time.Second)
	return p
}

// post sends samples to all replicas of a leaf at once: what one of them takes later
// than another is late there.
func (p *keptPlanet) post(ctx context.Context, leaf int, series ...prompb.TimeSeries) {
	var wg sync.WaitGroup
	body := encodeSeries(series...)
	for _, base := range p.leaves[leaf] {
		wg.Go(func() { _, _, _ = post(ctx, base, body) })
	}
	wg.Wait()
}

// write sends samples of the present to a leaf until ctx ends, and some of the
// past. What is not taken is not sent again.
func (p *keptPlanet) write(ctx context.Context, leaf int) {
	tick := time.NewTicker(250 * time.Millisecond)
	defer tick.Stop()
	rnd := rand.New(rand.NewSource(int64(leaf)))
	for i := 0; ctx.Err() == nil; i++ {
		now := time.Now()
		var series []prompb.TimeSeries
		for s := range 4 {
			series = append(series, samplesOf(rnd, leaf, s, i, now)...)
		}
		p.post(ctx, leaf, series...)
		if time.Since(now) > rollupDelay/2 {
			p.mu.Lock()
			p.tardy = append(p.tardy, now)
			p.mu.Unlock()
		}
		if i%12 == 0 && !p.punctual {
			p.post(ctx, leaf, sampled(now.Add(-time.Duration(3+rnd.Intn(20))*time.Second), float64(i), "__name__", "level", "job", lateJob, "instance", fmt.Sprint(i)))
		}
		select {
		case <-ctx.Done():
		case <-tick.C:
		}
	}
}

// samplesOf are those of one instance at a time, the i-th: of counters, which begin
// anew now and then, of a gauge, which one instance gives up now and then, and of
// histograms, native and classic.
func samplesOf(rnd *rand.Rand, leaf, instance, i int, at time.Time) []prompb.TimeSeries {
	of := []string{"job", string(rune('a' + instance%2)), "instance", fmt.Sprint(instance)}
	count := i % (90 + 7*leaf) * (instance + 1)
	took := prompb.TimeSeries{
		Labels:     prompb.FromLabels(labels.FromStrings(append(of, "__name__", "took_seconds")...), nil),
		Histograms: []prompb.Histogram{prompb.FromIntHistogram(at.UnixMilli(), tsdbutil.GenerateTestHistogram(int64(count)))},
	}
	out := []prompb.TimeSeries{took, sampled(at, float64(count+leaf), append(of, "__name__", "events_total")...)}
	for b, le := range []string{"0.1", "1.0", "10.0", "+Inf"} {
		out = append(out, sampled(at, float64(count*(b+1)/4), append(of, "__name__", "waited_seconds_bucket", "le", le)...))
	}
	level := float64(rnd.Intn(100))
	switch phase := i % 50; {
	case instance == 3 && phase == 40:
		level = math.Float64frombits(value.StaleNaN)
	case instance == 3 && phase > 40:
		return out
	}
	return append(out, sampled(at, level, append(of, "__name__", "level")...))
}

// sampled is one sample of a series.
func sampled(at time.Time, v float64, lset ...string) prompb.TimeSeries {
	return prompb.TimeSeries{
		Labels: prompb.FromLabels(labels.FromStrings(lset...), nil), Samples: []prompb.Sample{{Value: v, Timestamp: at.UnixMilli()}},
	}
}
