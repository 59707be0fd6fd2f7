package demo

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/prometheus/common/model"
)

const (
	// tick is the grain of the simulation: what happens within a tick becomes
	// visible at its end.
	tick = 5 * time.Second
	// maxCatchUp bounds the work of one Step after the machine slept: what lies
	// further back is skipped, as if the services had been idle.
	maxCatchUp = time.Hour

	defaultSeries = 20000
	maxSeries     = 2_000_000
	maxClusters   = 1000
)

// Place names one cluster of the planet.
type Place struct {
	// Zone and Cluster are the values of the leaf's external labels of those
	// names.
	Zone, Cluster string
}

// Places returns zones*perZone places with names of the kind eu/eu-1.
func Places(zones, perZone int) []Place {
	names := []string{"eu", "us", "ap", "sa", "af", "me"}
	var out []Place
	for z := range zones {
		zone := "zone" + strconv.Itoa(z+1)
		if z < len(names) {
			zone = names[z]
		}
		for c := range perZone {
			out = append(out, Place{Zone: zone, Cluster: zone + "-" + strconv.Itoa(c+1)})
		}
	}
	return out
}

// Config says what planet to simulate.
type Config struct {
	// Clusters are the clusters of the planet. Zones follow one another around
	// the day in the order of their first appearance.
	Clusters []Place
	// Seed chooses one of many planets of the same shape.
	Seed uint64
	// TargetSeries is about how many series all clusters expose together,
	// those included that a scraper adds to each target, the host's not. Zero
	// means 20,000. Every service has at least one pod, so about 650 series
	// a cluster is the least there is.
	TargetSeries int
	// Logger is told of deploys and incidents. Nil discards.
	Logger *slog.Logger
	// Now is the clock that Run follows. Nil means time.Now.
	Now func() time.Time
}

// Validate reports whether a planet can be made of the config, and what to
// change if not.
func (c Config) Validate() error {
	switch {
	case len(c.Clusters) == 0:
		return errors.New("demo: no clusters; name at least one zone and cluster")
	case len(c.Clusters) > maxClusters:
		return fmt.Errorf("demo: %d clusters; use at most %d", len(c.Clusters), maxClusters)
	case c.TargetSeries < 0 || c.TargetSeries > maxSeries:
		return fmt.Errorf("demo: target of %d series; use 0 (the default) to %d", c.TargetSeries, maxSeries)
	}
	seen := map[Place]bool{}
	for _, p := range c.Clusters {
		if p.Zone == "" || p.Cluster == "" || !model.LabelValue(p.Zone+p.Cluster).IsValid() {
			return fmt.Errorf("demo: zone %q, cluster %q: both must be non-empty valid UTF-8", p.Zone, p.Cluster)
		}
		if seen[p] {
			return fmt.Errorf("demo: cluster %q of zone %q is named twice", p.Cluster, p.Zone)
		}
		seen[p] = true
	}
	return nil
}

func (c Config) withDefaults() Config {
	if c.TargetSeries == 0 {
		c.TargetSeries = defaultSeries
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	return c
}

// Planet is a set of clusters that live on one clock. All methods are safe for
// concurrent use.
type Planet struct {
	cfg      Config
	clusters []*Cluster
	host     http.Handler

	mu   sync.Mutex
	last time.Time // the end of the last tick
}

// New returns a planet at the time of the config's clock, with all pods
// running. It starts nothing; Run does.
func New(cfg Config) (*Planet, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	cfg = cfg.withDefaults()
	start := cfg.Now()
	p := &Planet{cfg: cfg, last: start, host: hostHandler(cfg)}
	series, zones := budgets(cfg), zoneIndexes(cfg)
	for i, place := range cfg.Clusters {
		c, err := newCluster(clusterConfig{
			place: place, index: i, zone: zones[place.Zone], zones: len(zones),
			lastOfFirstZone: lastOfFirstZone(cfg) == i,
			seed:            cfg.Seed, series: series[i], start: start,
			logger: cfg.Logger.With("zone", place.Zone, "cluster", place.Cluster),
			host:   p.host,
		})
		if err != nil {
			return nil, fmt.Errorf("demo: cluster %q of zone %q: %w", place.Cluster, place.Zone, err)
		}
		p.clusters = append(p.clusters, c)
	}
	return p, nil
}

func hostHandler(cfg Config) http.Handler {
	reg := prometheus.NewRegistry()
	reg.MustRegister(NewHost(HostConfig{Logger: cfg.Logger, Now: cfg.Now}))
	return promhttp.HandlerFor(reg, handlerOpts())
}

// budgets divides the series among clusters, unevenly: real clusters differ.
func budgets(cfg Config) []int {
	var total float64
	weights := make([]float64, len(cfg.Clusters))
	for i := range weights {
		weights[i] = []float64{1.3, 0.8, 1, 1.15, 0.7, 1.05}[i%6]
		total += weights[i]
	}
	out := make([]int, len(weights))
	for i, w := range weights {
		out[i] = int(float64(cfg.TargetSeries) * w / total)
	}
	return out
}

func zoneIndexes(cfg Config) map[string]int {
	zones := map[string]int{}
	for _, p := range cfg.Clusters {
		if _, ok := zones[p.Zone]; !ok {
			zones[p.Zone] = len(zones)
		}
	}
	return zones
}

func lastOfFirstZone(cfg Config) int {
	last := 0
	for i, p := range cfg.Clusters {
		if p.Zone == cfg.Clusters[0].Zone {
			last = i
		}
	}
	return last
}

// Cluster returns the cluster of that name, or nil.
func (p *Planet) Cluster(zone, cluster string) *Cluster {
	for _, c := range p.clusters {
		if c.place == (Place{Zone: zone, Cluster: cluster}) {
			return c
		}
	}
	return nil
}

// Step advances the simulation to now, in whole ticks of five seconds. A time
// that is not later than the last is ignored. Run calls it; without Run, a
// caller with a clock of its own may.
func (p *Planet) Step(now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if now.Sub(p.last) > maxCatchUp {
		p.last = now.Add(-maxCatchUp)
	}
	for ; now.Sub(p.last) >= tick; p.last = p.last.Add(tick) {
		for _, c := range p.clusters {
			c.step(p.last.Add(tick))
		}
	}
}

// Run serves the checkout services on a loopback port, sends them their
// traffic, and advances the simulation until ctx ends. It returns nil then, and
// an error if the port cannot be opened or served. Run must not be called twice
// at a time.
func (p *Planet) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	shop, err := listenCheckout(p.clusters)
	if err != nil {
		return fmt.Errorf("demo: %w", err)
	}
	failed := make(chan error, 1)
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() {
		defer cancel()
		failed <- shop.run(ctx)
	})
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			if err := <-failed; err != nil {
				return fmt.Errorf("demo: %w", err)
			}
			return nil
		case <-ticker.C:
			p.Step(p.cfg.Now())
		}
	}
}
