package planetbench_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/prometheus/prometheus/model/labels"
)

const (
	metricCount   = 500
	teamCount     = 30
	teamApps      = 12
	hashedApps    = 2_000
	hashedPods    = 50 // of each application
	hashedNodes   = 20_000
	platformShare = 0.4 // of a leaf's series; the rest is the applications' own
)

// generator makes the series of each leaf, always the same ones.
type generator struct {
	cfg      config
	locality locality
	places   []place
	platform []platformMetric
	generic  []string // metrics that every application may have
	special  []string // metrics of a few applications
}

func newGenerator(cfg config, l locality, platform []platformMetric) *generator {
	g := &generator{cfg: cfg, locality: l, places: places(cfg.leaves), platform: platform}
	for i := range 60 {
		g.generic = append(g.generic, fmt.Sprintf("app_%s_%s_total", parts[i%len(parts)], nouns[i%len(nouns)]))
	}
	for i := 0; len(platform)+len(g.generic)+len(g.special) < metricCount-4; i++ {
		g.special = append(g.special, fmt.Sprintf("%s_%s_%s", domains[i%len(domains)], nouns[i*7%len(nouns)], []string{"total", "seconds", "bytes"}[i%3]))
	}
	return g
}

// leafSize is the number of series that a leaf is to have.
func (g *generator) leafSize(i int) int {
	factors := []int{1, 2, 4, 4, 4, 6, 7} // quarters
	return max(50, g.cfg.series*factors[i%len(factors)]/4)
}

// app is an application, with the labels that its series share.
type app struct {
	index          int
	namespace, job string
}

// nameOf spreads consecutive indexes over the combinations of words.
func nameOf(i int) (domain, part, adjective string, generation int) {
	combinations := len(domains) * len(parts) * len(adjectives)
	generation, i = i/combinations, i%combinations*7919%combinations
	return domains[i%len(domains)], parts[i/len(domains)%len(parts)], adjectives[i/len(domains)/len(parts)], generation
}

func newApp(index int, namespace string) app {
	d, p, a, generation := nameOf(index)
	job := d + "-" + a + "-" + p
	if generation > 0 {
		job += fmt.Sprintf("-v%d", generation+1)
	}
	return app{index: index, namespace: namespace, job: job}
}

func namespaceOf(index int) string {
	d, p, a, generation := nameOf(index * 3)
	return fmt.Sprintf("%s-%s-%s%s", a, p, d, strings.Repeat("-x", generation))
}

// apps are those of one leaf, in the localities where it has some of its own.
func (g *generator) apps(leaf int, rnd *rand.Rand) []app {
	var out []app
	if g.locality == byCluster {
		own := min(max(12, g.cfg.series/2_000), 200)
		for i := range own {
			index := leaf*own + i
			out = append(out, newApp(index, namespaceOf(index/3)))
		}
		return out
	}
	for team := range teamCount {
		if rnd.IntN(3) > 0 {
			continue
		}
		for range 2 {
			out = append(out, newApp(team*teamApps+rnd.IntN(teamApps), namespaceOf(team)))
		}
	}
	return out
}

// pod is one instance of an application, or an agent of the platform.
type pod struct {
	app
	name, instance, node string
}

func randomName(rnd *rand.Rand, n int) string {
	b := make([]byte, n)
	for i := range b {
		b[i] = shortAlphabet[rnd.IntN(len(shortAlphabet))]
	}
	return string(b)
}

func newPod(a app, node string, port int, rnd *rand.Rand) pod {
	return pod{
		app: a, node: node, name: a.job + "-" + randomName(rnd, 10) + "-" + randomName(rnd, 5),
		instance: fmt.Sprintf("10.%d.%d.%d:%d", rnd.IntN(256), rnd.IntN(256), 1+rnd.IntN(254), port),
	}
}

// series calls yield with the label sets of a leaf, identity included.
func (g *generator) series(leaf int, yield func(labels.Labels)) {
	rnd := rand.New(rand.NewPCG(g.cfg.seed, uint64(leaf)))
	m := &maker{place: g.places[leaf], yield: yield, left: g.leafSize(leaf)}
	if g.locality == byHash {
		g.hashed(m, rnd)
		return
	}
	ip := func() string { return fmt.Sprintf("10.%d.%d.%d", rnd.IntN(256), rnd.IntN(256), 1+rnd.IntN(254)) }
	nodes := make([]string, 2+m.left/1000)
	for i := range nodes {
		nodes[i] = ip()
	}
	var pods []pod
	apps := g.apps(leaf, rnd)
	for i := range max(len(apps), m.left/60) {
		pods = append(pods, newPod(apps[i%len(apps)], nodes[rnd.IntN(len(nodes))], 8080, rnd))
	}
	g.agents(m, nodes, pods, int(platformShare*float64(m.left)), rnd)
	for m.left > 0 {
		g.ofApp(m, pods[rnd.IntN(len(pods))], rnd)
	}
}

// hashed draws series from those of the whole planet.
func (g *generator) hashed(m *maker, rnd *rand.Rand) {
	for m.left > 0 {
		a := newApp(rnd.IntN(hashedApps), "")
		a.namespace = namespaceOf(a.index / 8)
		p := newPod(a, "", 8080, rand.New(rand.NewPCG(uint64(a.index), uint64(rnd.IntN(hashedPods)))))
		p.node = nodeAddress(rnd.IntN(hashedNodes))
		if rnd.Float64() < platformShare {
			g.platform[rnd.IntN(len(g.platform))].series(m, p.node, p, rnd)
			continue
		}
		g.appMetric(m, p, rnd.IntN(20), rnd)
	}
}

func nodeAddress(i int) string { return fmt.Sprintf("10.%d.%d.10", i/250, i%250) }

// agents makes the series of the agents that every cluster runs: of each node,
// and of each pod.
func (g *generator) agents(m *maker, nodes []string, pods []pod, budget int, rnd *rand.Rand) {
	floor := m.left - budget
	for round := 0; m.left > floor; round++ {
		node, p := nodes[round%len(nodes)], pods[round%len(pods)]
		for i := range g.platform {
			if m.left <= floor {
				return
			}
			// Not all nodes and pods have every metric.
			if g.platform[i].perPod || round < len(nodes) {
				g.platform[i].series(m, node, p, rnd)
			}
		}
	}
}

// ofApp makes the series of one pod.
func (g *generator) ofApp(m *maker, p pod, rnd *rand.Rand) {
	for kind := range 20 {
		if m.left > 0 {
			g.appMetric(m, p, kind, rnd)
		}
	}
}

// appMetric makes a series of one of an application's metrics. Which it has, and
// which paths it serves, depends on the application.
func (g *generator) appMetric(m *maker, p pod, kind int, rnd *rand.Rand) {
	path := fmt.Sprintf("/%s/%s", domains[(p.index*5+rnd.IntN(6))%len(domains)], nouns[(p.index+rnd.IntN(4))%len(nouns)])
	switch {
	case kind < 4:
		m.add(p, "http_requests_total", "code", codes[rnd.IntN(len(codes))], "method", methods[rnd.IntN(len(methods))], "path", path)
	case kind < 8:
		m.add(p, "http_request_duration_seconds_bucket", "le", bounds[rnd.IntN(len(bounds))], "method", methods[rnd.IntN(len(methods))], "path", path)
	case kind == 8:
		m.add(p, "up")
	case kind == 9:
		m.add(p, "process_resident_memory_bytes")
	case kind < 16:
		m.add(p, g.generic[(p.index*3+kind)%len(g.generic)])
	default:
		m.add(p, g.special[(p.index*4+kind)%len(g.special)])
	}
}

// maker builds label sets for one leaf until it has enough.
type maker struct {
	place place
	yield func(labels.Labels)
	left  int
	b     labels.ScratchBuilder
}

// add makes a series of a pod; more are further labels, names and values.
func (m *maker) add(p pod, metric string, more ...string) {
	m.put(append([]string{
		labels.MetricName, metric, "container", p.job, "instance", p.instance, "job", p.job,
		"namespace", p.namespace, "pod", p.name,
	}, more...))
}

func (m *maker) put(pairs []string) {
	m.b.Reset()
	m.b.Add("cluster", m.place.own)
	m.b.Add("region", m.place.zoneName)
	for i := 0; i < len(pairs); i += 2 {
		m.b.Add(pairs[i], pairs[i+1])
	}
	m.b.Sort()
	m.yield(m.b.Labels())
	m.left--
}

// platformMetric is a metric of an agent, taken from the corpus.
type platformMetric struct {
	name, job string
	port      int
	perPod    bool // its series tell of pods, not of nodes
	label     string
	values    []string // of label, as the corpus asks for them
}

func (pm *platformMetric) series(m *maker, node string, p pod, rnd *rand.Rand) {
	pairs := []string{labels.MetricName, pm.name, "job", pm.job, "instance", fmt.Sprintf("%s:%d", node, pm.port)}
	if pm.perPod {
		pairs = append(pairs, "namespace", p.namespace, "pod", p.name, "container", p.job, "node", "ip-"+strings.ReplaceAll(node, ".", "-"))
	} else {
		pairs = append(pairs, "namespace", "monitoring")
	}
	if pm.label != "" && !slices.Contains(pairs, pm.label) {
		pairs = append(pairs, pm.label, pm.values[rnd.IntN(len(pm.values))])
	}
	m.put(pairs)
}
