package demo

import (
	"fmt"
	"hash/fnv"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync"
	"time"

	dto "github.com/prometheus/client_model/go"
)

const (
	// drain is how long a pod still answers after it left service discovery, so
	// that a scrape under way meets no error.
	drain = 30 * time.Second
	// rolloutPause lies between two pods of a deploy.
	rolloutPause = 10 * time.Second
	// targetSeries is what a scraper adds to each target: up and four scrape_*.
	targetSeries = 5
	// maxPods bounds the pods of a cluster whatever the target is.
	maxPods = 20000
)

type clusterConfig struct {
	place           Place
	index           int
	zone, zones     int
	lastOfFirstZone bool
	seed            uint64
	series          int
	start           time.Time
	logger          *slog.Logger
	host            http.Handler
}

// Cluster is one simulated cluster, together with its real checkout service. All
// methods are safe for concurrent use.
type Cluster struct {
	clusterConfig
	specs    []*service
	checkout *checkout
	handler  http.Handler

	mu        sync.RWMutex
	rng       *rand.Rand
	now       time.Time
	events    []event // of this cycle and the one before
	planned   time.Time
	versions  map[string]int
	pods      []*pod    // ordered by service and ordinal
	rollouts  []rollout // pods to be replaced, in order of time
	leaving   []leaving
	addresses int // given out so far
}

// rollout is a pod's replacement that is due.
type rollout struct {
	at  time.Time
	pod *pod
}

// leaving is a pod that has left service discovery.
type leaving struct {
	until time.Time
	pod   *pod
}

func newCluster(cfg clusterConfig) (*Cluster, error) {
	hash := fnv.New64a()
	fmt.Fprintf(hash, "%s/%s", cfg.place.Zone, cfg.place.Cluster)
	c := &Cluster{
		clusterConfig: cfg, rng: rand.New(rand.NewPCG(cfg.seed, hash.Sum64())),
		now: cfg.start, planned: cfg.start, versions: map[string]int{},
	}
	for _, s := range services() {
		if c.runs(s.where) {
			c.specs = append(c.specs, &s)
			c.versions[s.name] = 1 + c.rng.IntN(20)
		}
	}
	var err error
	if c.checkout, err = newCheckout(c); err != nil {
		return nil, err
	}
	c.fill(cfg.series)
	c.handler = c.routes()
	return c, nil
}

func (c *Cluster) runs(w where) bool {
	switch w {
	case lastZone:
		return c.zone == c.zones-1
	case oneCluster:
		return c.lastOfFirstZone
	default:
		return true
	}
}

// fill gives every service a pod, and then pods by weight until the series are
// used up.
func (c *Cluster) fill(series int) {
	counts := make([]int, len(c.specs))
	left := series - checkoutSeries
	costs := make([]int, len(c.specs))
	for i, s := range c.specs {
		trial := newPod(s, identity{}, 0, rand.New(rand.NewPCG(0, 0)))
		costs[i] = seriesOf(trial.gather()) + kubeSeries + targetSeries
		counts[i], left = 1, left-costs[i]-deploymentSeries
	}
	for pods := len(counts); pods < maxPods; pods++ {
		i := neediest(c.specs, counts)
		if left < costs[i]/2 {
			break
		}
		counts[i]++
		left -= costs[i]
	}
	for i, s := range c.specs {
		for n := range counts[i] {
			c.pods = append(c.pods, c.start(s, n, c.now))
		}
	}
}

// neediest is the service that is furthest below its weight.
func neediest(specs []*service, counts []int) int {
	best := 0
	score := func(i int) float64 { return float64(counts[i]) / float64(specs[i].weight) }
	for i, s := range specs {
		if (s.maxPods == 0 || counts[i] < s.maxPods) && score(i) < score(best) {
			best = i
		}
	}
	return best
}

// start makes a new pod of the service's present version.
func (c *Cluster) start(s *service, ordinal int, now time.Time) *pod {
	version := c.versions[s.name]
	c.addresses++
	n := c.addresses
	id := identity{
		pod:       fmt.Sprintf("%s-%s-%s", s.name, replicaSet(s.name, version), c.suffix(5)),
		namespace: s.namespace, service: s.name, version: fmt.Sprintf("1.%d.0", version),
		ip:   fmt.Sprintf("10.%d.%d.%d", c.index%256, n/250%256, 1+n%250),
		node: fmt.Sprintf("%s-node-%d", c.place.Cluster, 1+n%4),
		uid:  fmt.Sprintf("%08x-%04x", c.rng.Uint32(), c.rng.Uint32()&0xffff), created: now,
	}
	return newPod(s, id, ordinal, c.rng)
}

// podLetters are those that Kubernetes makes random names of.
const podLetters = "bcdfghjklmnpqrstvwxz2456789"

func (c *Cluster) suffix(n int) string {
	b := make([]byte, n)
	for i := range b {
		b[i] = podLetters[c.rng.IntN(len(podLetters))]
	}
	return string(b)
}

func replicaSet(service string, version int) string {
	hash := fnv.New32a()
	fmt.Fprintf(hash, "%s %d", service, version)
	return fmt.Sprintf("%08x", hash.Sum32())
}

// step lives through the tick that ends now.
func (c *Cluster) step(now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.plan(now)
	for _, e := range c.events {
		if e.at.After(c.now) && !e.at.After(now) {
			c.begin(e)
		}
	}
	c.replaceDue(now)
	c.leaving = slices.DeleteFunc(c.leaving, func(l leaving) bool { return l.until.Before(now) })
	demand := load(now, c.zone, c.zones, c.index)
	for _, s := range c.specs {
		e := effectOn(c.events, s.name, now)
		for _, p := range c.pods {
			if p.spec == s {
				p.step(now, demand, e, c.rng)
			}
		}
	}
	c.now = now
}

// plan draws the next cycle's events when it begins, and forgets old ones.
func (c *Cluster) plan(now time.Time) {
	if now.Before(c.planned) {
		return
	}
	names := []string{checkoutName}
	for _, s := range c.specs {
		names = append(names, s.name)
	}
	c.events = slices.DeleteFunc(c.events, func(e event) bool { return e.until.Before(now) })
	c.events = append(c.events, plan(c.rng, now, c.planned.Equal(c.clusterConfig.start), names)...)
	c.planned = now.Add(cycle)
}

func (c *Cluster) begin(e event) {
	pods := c.podsOf(e.service)
	if len(pods) == 0 && (e.kind == deploy || e.kind == restart) {
		return // checkout is real: it is not replaced
	}
	c.logger.Info("demo event", "kind", e.kind.String(), "service", e.service)
	switch e.kind {
	case deploy:
		c.versions[e.service]++
		for i, p := range pods {
			c.rollouts = append(c.rollouts, rollout{at: e.at.Add(time.Duration(i) * rolloutPause), pod: p})
		}
	case restart:
		pods[c.rng.IntN(len(pods))].restart(e.at)
	}
}

func (c *Cluster) podsOf(service string) []*pod {
	var out []*pod
	for _, p := range c.pods {
		if p.service == service {
			out = append(out, p)
		}
	}
	return out
}

// replaceDue swaps the pods whose turn it is for new ones.
func (c *Cluster) replaceDue(now time.Time) {
	c.rollouts = slices.DeleteFunc(c.rollouts, func(r rollout) bool {
		if r.at.After(now) {
			return false
		}
		if i := slices.Index(c.pods, r.pod); i >= 0 {
			c.pods[i] = c.start(r.pod.spec, r.pod.ordinal, now)
			c.leaving = append(c.leaving, leaving{until: now.Add(drain), pod: r.pod})
		}
		return true
	})
}

// effect is what is happening to a service now.
func (c *Cluster) effect(service string) (effect, float64) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return effectOn(c.events, service, c.now), load(c.now, c.zone, c.zones, c.index)
}

// identities lists the pods that exist, checkout's included.
func (c *Cluster) identities() []identity {
	c.mu.RLock()
	defer c.mu.RUnlock()
	out := []identity{c.checkout.identity}
	for _, p := range c.pods {
		out = append(out, p.identity)
	}
	return out
}

// gatherPod returns the exposition of a pod, and whether there is such a pod.
func (c *Cluster) gatherPod(name string) ([]*dto.MetricFamily, bool) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	for _, p := range c.pods {
		if p.pod == name {
			return p.gather(), true
		}
	}
	for _, l := range c.leaving {
		if l.pod.pod == name {
			return l.pod.gather(), true
		}
	}
	return nil, false
}
