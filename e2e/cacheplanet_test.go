package e2e_test

import (
	"context"
	"fmt"
	"math/rand"
	"slices"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb/tsdbutil"
	"github.com/prometheus/prometheus/util/annotations"

	"github.com/pandometrics/pando/leaf"
	"github.com/pandometrics/pando/querytree"
	"github.com/pandometrics/pando/querytree/resultcache"
	"github.com/pandometrics/pando/querytree/roster"
	"github.com/pandometrics/pando/querytree/tier"
	"github.com/pandometrics/pando/root"
	"github.com/pandometrics/pando/zone"
)

// cachePlanet is a root, two zones and leaves with real storages, in one process
// and with one clock, whose data advances with it. Zones and root have a cache.
type cachePlanet struct {
	tb     testing.TB
	rnd    *rand.Rand
	now    time.Time
	root   *root.Root
	zones  []*cacheZone
	leaves []*cacheLeaf
}

type cacheZone struct {
	*zone.Zone
	name  string
	entry *roster.Entry // at the root; nil while it is away
}

type cacheLeaf struct {
	*leaf.Leaf
	zone   int
	entry  *roster.Entry // at its zone; nil while it is away
	series []*cacheSeries
	// skew is how far its clock is off.
	skew time.Duration
}

// cacheSeries is a series and the sender that delivers its samples.
type cacheSeries struct {
	lset labels.Labels
	gen  func(i int64) (float64, *histogram.FloatHistogram)
	// next is the index of the next sample, stuck until when none is delivered,
	// and lag how long each sample takes.
	next  int64
	stuck time.Time
	lag   time.Duration
}

// scrape is the time between samples.
const scrape = 15 * time.Second

// alive is the probe of connections that do not break by themselves.
func alive(context.Context) error { return nil }

func newCachePlanet(tb testing.TB, seed int64, perLeaf int, config resultcache.Config) *cachePlanet {
	tb.Helper()
	p := &cachePlanet{tb: tb, rnd: rand.New(rand.NewSource(seed)), now: time.UnixMilli(0)}
	// Time passes faster here than epochs grow old, and nobody sends hints.
	config.Now, config.HintDelay = p.clock, time.Nanosecond
	var err error
	p.root, err = root.New(root.Config{Tier: p.tier(querytree.Identity{Tier: querytree.TierRoot}, config)})
	if err != nil {
		tb.Fatal(err)
	}
	for i, name := range []string{"eu", "us"} {
		p.zones = append(p.zones, &cacheZone{name: name})
		p.startZone(i, config)
		for c := range 2 {
			p.leaves = append(p.leaves, p.openLeaf(i, fmt.Sprintf("%s-%d", name, c), perLeaf))
		}
	}
	for _, l := range p.leaves {
		p.connectLeaf(l)
	}
	for _, z := range p.zones {
		p.connectZone(z)
	}
	return p
}

func (p *cachePlanet) clock() time.Time { return p.now }

func (p *cachePlanet) tier(id querytree.Identity, cache resultcache.Config) tier.Config {
	return tier.Config{
		Identity: id, Cache: &cache, Limits: querytree.DefaultLimits(), Lookback: 5 * time.Minute, SubqueryStep: time.Minute,
		Registerer: prometheus.NewRegistry(),
	}
}

// startZone starts the zone's process, or another one in its place.
func (p *cachePlanet) startZone(i int, config resultcache.Config) {
	config.Now, config.HintDelay = p.clock, time.Nanosecond
	z := p.zones[i]
	id := querytree.Identity{Tier: querytree.TierZone, Labels: labels.FromStrings("zone", z.name)}
	var err error
	if z.Zone, err = zone.New(zone.Config{Tier: p.tier(id, config)}); err != nil {
		p.tb.Fatal(err)
	}
}

// openLeaf makes a leaf with some series of each kind.
func (p *cachePlanet) openLeaf(zone int, cluster string, pods int) *cacheLeaf {
	cfg := leaf.DefaultConfig()
	cfg.Identity.Labels = labels.FromStrings("zone", p.zones[zone].name, "cluster", cluster)
	cfg.DataDir, cfg.NoLockfile, cfg.OutOfOrderWindow = p.tb.TempDir(), true, time.Hour
	out := &cacheLeaf{zone: zone}
	l, err := leaf.Open(cfg, leaf.Deps{Registerer: prometheus.NewRegistry(), Now: func() time.Time { return p.now.Add(out.skew) }})
	if err != nil {
		p.tb.Fatal(err)
	}
	p.tb.Cleanup(func() {
		if err := l.Close(); err != nil {
			p.tb.Error(err)
		}
	})
	out.Leaf = l
	for pod := range pods {
		add := func(name string, gen func(int64) (float64, *histogram.FloatHistogram), extra ...string) {
			pairs := append([]string{"__name__", name, "job", []string{"api", "db"}[pod%2], "pod", fmt.Sprint("pod-", pod)}, extra...)
			out.series = append(out.series, &cacheSeries{lset: labels.FromStrings(pairs...), gen: gen})
		}
		reset, phase := 50+p.rnd.Int63n(300), p.rnd.Int63n(100)
		counter := func(i int64) (float64, *histogram.FloatHistogram) { return float64(i%reset) * 1.5, nil }
		add("http_requests_total", counter, "code", "200")
		add("http_requests_total", counter, "code", "500")
		add("temperature", func(i int64) (float64, *histogram.FloatHistogram) { return float64((i*7+phase)%40) - 20, nil })
		add("up", func(int64) (float64, *histogram.FloatHistogram) { return 1, nil })
		add("native_seconds", func(i int64) (float64, *histogram.FloatHistogram) {
			return 0, tsdbutil.GenerateTestFloatHistogram(i % reset)
		})
	}
	return out
}

func (p *cachePlanet) connectLeaf(l *cacheLeaf) {
	p.tb.Helper()
	var err error
	if l.entry, err = p.zones[l.zone].Roster.Admit(p.tb.Context(), l.Describe(), l.Child(), alive); err != nil {
		p.tb.Fatal(err)
	}
}

func (p *cachePlanet) connectZone(z *cacheZone) {
	p.tb.Helper()
	var err error
	if z.entry, err = p.root.Roster.Admit(p.tb.Context(), z.Describe(), z.Mixer, alive); err != nil {
		p.tb.Fatal(err)
	}
}

// advance lets time pass: senders deliver what is due.
func (p *cachePlanet) advance(d time.Duration) {
	p.tb.Helper()
	p.now = p.now.Add(d)
	for _, l := range p.leaves {
		app := l.APIParts().AppendableV2.AppenderV2(p.tb.Context())
		for _, s := range l.series {
			due := time.UnixMilli(s.next * scrape.Milliseconds())
			if p.now.Before(s.stuck) || !p.reachable(l) && p.now.Sub(due) > leaf.SettleAfter {
				continue
			}
			for t := s.next * scrape.Milliseconds(); t <= p.now.Add(-s.lag).UnixMilli(); t += scrape.Milliseconds() {
				s.append(p.tb, app, t, s.next)
				s.next++
			}
		}
		if err := app.Commit(); err != nil {
			p.tb.Fatal(err)
		}
	}
}

func (s *cacheSeries) append(tb testing.TB, app storage.AppenderV2, t, i int64) {
	f, h := s.gen(i)
	if _, err := app.Append(0, s.lset, 0, t, f, nil, h, storage.AOptions{}); err != nil {
		tb.Fatal(err)
	}
}

// late appends a sample between two others, some time back.
func (p *cachePlanet) late(l *cacheLeaf, back time.Duration) {
	p.tb.Helper()
	s := l.series[p.rnd.Intn(len(l.series))]
	app := l.APIParts().AppendableV2.AppenderV2(p.tb.Context())
	t := p.now.Add(-back).UnixMilli()
	s.append(p.tb, app, t-t%scrape.Milliseconds()+1+p.rnd.Int63n(10_000), p.rnd.Int63n(40))
	if err := app.Commit(); err != nil {
		p.tb.Fatal(err)
	}
}

// heartbeat has all tell their parents of themselves.
func (p *cachePlanet) heartbeat() {
	for _, l := range p.leaves {
		if l.entry != nil {
			l.entry.Update(l.Describe())
		}
	}
	for _, z := range p.zones {
		if z.entry != nil {
			z.entry.Update(z.Describe())
		}
	}
}

// reachable reports whether what the leaf says arrives at the root.
func (p *cachePlanet) reachable(l *cacheLeaf) bool {
	return l.entry != nil && p.zones[l.zone].entry != nil
}

// whole reports whether everyone is connected.
func (p *cachePlanet) whole() bool {
	return !slices.ContainsFunc(p.leaves, func(l *cacheLeaf) bool { return l.entry == nil }) &&
		!slices.ContainsFunc(p.zones, func(z *cacheZone) bool { return z.entry == nil })
}

// reply is an answer as it was received.
type reply struct {
	matrix promql.Matrix
	warn   annotations.Annotations
	report querytree.Report
	err    error
}

func askRange(ctx context.Context, c querytree.Child, req querytree.ExecRequest) (r reply) {
	set, err := c.Exec(ctx, req)
	if err != nil {
		return reply{err: err}
	}
	defer set.Close()
	for set.Next() {
		r.matrix = append(r.matrix, set.At())
	}
	r.err, r.warn, r.report = set.Err(), set.Warnings(), set.Report()
	return r
}

func (r reply) result() *promql.Result { return &promql.Result{Value: r.matrix, Err: r.err} }
