package planet

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
	yaml "go.yaml.in/yaml/v3"
)

// Version is the value of apiVersion that this package reads.
const Version = "pando/v1"

// Planet is a repository that was read. It is never changed.
type Planet struct {
	zones    map[string]*zone
	clusters []*cluster // as in the file
	byName   map[string]*cluster
	// misplaced are clusters that are left out, since there is no such zone.
	misplaced map[string]bool
	waves     []Wave
	gates     []*gate
	allow     allowed
	root      rootTier
	deploy    *yaml.Node
	layers    map[string]*layer
	stacks    map[string]*stack
	tests     []*testFile
	report    *report // of Load
	broken    bool    // something could not be read
	cache     *cache
	// templates are by the item's id.
	templates map[int]*template
}

// main is planet.yaml as it is written.
type mainYAML struct {
	Zones    []*zone    `yaml:"zones"`
	Root     rootTier   `yaml:"root"`
	Clusters []*cluster `yaml:"clusters"`
	Waves    []*wave    `yaml:"waves"`
	Gates    []*gate    `yaml:"gates"`
	Allow    allowed    `yaml:"allow"`
	Deploy   yaml.Node  `yaml:"deploy"`
	Ignore   []string   `yaml:"ignore"`
}

type zone struct {
	Name      string            `yaml:"name"`
	Parent    string            `yaml:"parent"`
	Labels    map[string]string `yaml:"labels"`
	Hosts     []string          `yaml:"hosts"`
	Addresses []string          `yaml:"addresses"`
	Deploy    yaml.Node         `yaml:"deploy"`

	node  *yaml.Node
	path  []*zone           // from the outermost to this one
	all   map[string]string // labels, those of the parents included
	above bool              // there are zones in it
}

type rootTier struct {
	Hosts     []string `yaml:"hosts"`
	Addresses []string `yaml:"addresses"`

	node *yaml.Node
}

type cluster struct {
	Name   string            `yaml:"name"`
	Zone   string            `yaml:"zone"`
	Labels map[string]string `yaml:"labels"`
	Deploy yaml.Node         `yaml:"deploy"`

	node *yaml.Node
	in   *zone
	all  map[string]string // labels, those of the zones included
}

type wave struct {
	Name   string         `yaml:"name"`
	Select []string       `yaml:"select"`
	Bake   model.Duration `yaml:"bake"`
	Gates  []string       `yaml:"gates"`

	node *yaml.Node
}

type gate struct {
	Name string         `yaml:"name"`
	Expr string         `yaml:"expr"`
	For  model.Duration `yaml:"for"`

	node *yaml.Node
}

// Wave is a set of clusters that take a change together.
type Wave struct {
	Name string
	// Clusters are sorted by name. Each cluster is in exactly one wave.
	Clusters []string
	// Bake is how long the wave must run a change before the next one begins.
	Bake time.Duration
	// Gates must hold for the next one to begin.
	Gates []Gate
}

// Gate is a condition, asked at the root. It holds if the answer is whole, is a
// scalar or has at least one sample, and no value of it is zero (or a NaN).
type Gate struct {
	Name, Expr string
	// For is how long it must have held.
	For time.Duration
}

// Place is where a cluster is.
type Place struct {
	Cluster, Zone string
	// Labels are those to select it by, the zones' included; zone and cluster are
	// not among them.
	Labels map[string]string
}

// Clusters returns all clusters, in the order of planet.yaml.
func (p *Planet) Clusters() []Place {
	out := make([]Place, len(p.clusters))
	for i, c := range p.clusters {
		out[i] = Place{Cluster: c.Name, Zone: c.Zone, Labels: maps.Clone(c.all)}
	}
	return out
}

// Waves returns the waves in order.
func (p *Planet) Waves() []Wave {
	out := slices.Clone(p.waves)
	for i := range out {
		out[i].Clusters, out[i].Gates = slices.Clone(out[i].Clusters), slices.Clone(out[i].Gates)
	}
	return out
}

// at returns where a node of planet.yaml is.
func at(n *yaml.Node) place {
	if n == nil {
		return place{file: mainFile}
	}
	return place{mainFile, n.Line, n.Column}
}

// near returns where a field of a node is, else where the node is.
func near(n *yaml.Node, name string) place {
	if f := field(n, name); f != nil {
		return at(f)
	}
	return at(n)
}

// entryAt returns where an element of a list with a value is, else the list.
func entryAt(n *yaml.Node, list, value string) place {
	for _, c := range items(n, list) {
		if c.Value == value {
			return at(c)
		}
	}
	return near(n, list)
}

// build reads planet.yaml into p. What refers to something that is not there is
// told of, and left out.
func (p *Planet) build(doc *yaml.Node) {
	var f mainYAML
	if err := doc.Decode(&f); err != nil {
		line, text := lineOf(err.Error())
		p.report.failf(place{file: mainFile, line: line}, "%s", text)
		return
	}
	for i, n := range items(doc, "zones") {
		f.Zones[i].node = n
	}
	for i, n := range items(doc, "clusters") {
		f.Clusters[i].node = n
	}
	for i, n := range items(doc, "waves") {
		f.Waves[i].node = n
	}
	for i, n := range items(doc, "gates") {
		f.Gates[i].node = n
	}
	p.root, p.root.node = f.Root, field(doc, "root")
	p.allow, p.deploy = f.Allow, field(doc, "deploy")
	p.buildZones(f.Zones)
	p.buildClusters(f.Clusters)
	p.buildGates(f.Gates)
	p.buildWaves(f.Waves)
	p.checkHosts()
	p.checkDeploys()
}

func (p *Planet) buildZones(all []*zone) {
	for _, z := range all {
		if other := p.zones[z.Name]; other != nil {
			p.report.failf(near(z.node, "name"), "zone %s is in line %d too: zones have names of their own", z.Name, other.node.Line)
			continue
		}
		p.zones[z.Name] = z
	}
	for _, z := range all {
		p.placeZone(z)
	}
}

// placeZone finds the zones that a zone is in.
func (p *Planet) placeZone(z *zone) {
	z.path, z.all = []*zone{z}, map[string]string{}
	for at := z; at.Parent != ""; {
		up := p.zones[at.Parent]
		switch {
		case up == nil:
			p.report.failf(near(at.node, "parent"), "there is no zone %s%s", at.Parent, meant(at.Parent, slices.Collect(maps.Keys(p.zones))))
		case slices.Contains(z.path, up):
			p.report.failf(near(at.node, "parent"), "zone %s is in itself: take one parent away", at.Name)
			up = nil
		}
		if up == nil {
			break
		}
		up.above = true
		z.path = append([]*zone{up}, z.path...)
		at = up
	}
	for _, outer := range z.path {
		p.inherit(z.all, outer.Labels, outer.node, "zone "+outer.Name)
	}
}

// inherit adds labels, which must not contradict those that are there.
func (p *Planet) inherit(to, from map[string]string, n *yaml.Node, what string) {
	for _, name := range slices.Sorted(maps.Keys(from)) {
		old, ok := to[name]
		switch {
		case name == clusterVar || name == zoneVar:
			p.report.failf(near(field(n, "labels"), name), "the label %s is what %s is named by: leave it out", name, what)
		case ok && old != from[name]:
			p.report.failf(near(field(n, "labels"), name), "%s has %s=%s, and the zone that it is in has %s=%s: what is in a zone has the zone's labels", what, name, from[name], name, old)
		default:
			to[name] = from[name]
		}
	}
}

func (p *Planet) buildClusters(all []*cluster) {
	for _, c := range all {
		if other := p.byName[c.Name]; other != nil {
			p.report.failf(near(c.node, "name"), "cluster %s is in line %d too: clusters have names of their own, whatever zone they are in", c.Name, other.node.Line)
			continue
		}
		c.in = p.zones[c.Zone]
		if c.in == nil {
			p.misplaced[c.Name] = true
			p.report.failf(near(c.node, "zone"), "cluster %s is in zone %s, which is not in zones%s", c.Name, c.Zone, meant(c.Zone, slices.Collect(maps.Keys(p.zones))))
			continue
		}
		c.all = maps.Clone(c.in.all)
		p.inherit(c.all, c.Labels, c.node, "cluster "+c.Name)
		p.byName[c.Name] = c
		p.clusters = append(p.clusters, c)
	}
}

func (p *Planet) buildGates(all []*gate) {
	for i, g := range all {
		if j := slices.IndexFunc(all[:i], func(o *gate) bool { return o.Name == g.Name }); j >= 0 {
			p.report.failf(near(g.node, "name"), "gate %s is in line %d too: gates have names of their own", g.Name, all[j].node.Line)
			continue
		}
		p.gates = append(p.gates, g)
	}
}

// gate returns the gate of a name.
func (p *Planet) gate(name string) *gate {
	if i := slices.IndexFunc(p.gates, func(g *gate) bool { return g.Name == name }); i >= 0 {
		return p.gates[i]
	}
	return nil
}

// buildWaves puts every cluster into the first wave that selects it.
func (p *Planet) buildWaves(all []*wave) {
	waveOf := map[string]string{}
	used := map[string]bool{}
	for i, w := range all {
		if j := slices.IndexFunc(all[:i], func(o *wave) bool { return o.Name == w.Name }); j >= 0 {
			p.report.failf(near(w.node, "name"), "wave %s is in line %d too: waves have names of their own", w.Name, all[j].node.Line)
		}
		out := Wave{Name: w.Name, Bake: time.Duration(w.Bake)}
		selects, ok := p.selectors(w)
		for _, c := range p.clusters {
			if waveOf[c.Name] == "" && selects(c) {
				waveOf[c.Name] = w.Name
				out.Clusters = append(out.Clusters, c.Name)
			}
		}
		if ok && len(out.Clusters) == 0 {
			p.report.failf(near(w.node, "select"), "wave %s has no cluster: what it selects is in earlier waves, if there is any; change its select, or remove it", w.Name)
		}
		slices.Sort(out.Clusters)
		for _, name := range w.Gates {
			g := p.gate(name)
			if g == nil {
				p.report.failf(entryAt(w.node, "gates", name), "there is no gate %s%s", name, meant(name, p.gateNames()))
				continue
			}
			used[name] = true
			out.Gates = append(out.Gates, Gate{g.Name, g.Expr, time.Duration(g.For)})
		}
		p.waves = append(p.waves, out)
	}
	for _, c := range p.clusters {
		if waveOf[c.Name] == "" {
			p.report.failf(at(c.node), "cluster %s is in no wave, and would never change: select it, or add a last wave without select", c.Name)
		}
	}
	for _, g := range p.gates {
		if !used[g.Name] {
			p.report.warnf(at(g.node), "no wave has the gate %s", g.Name)
		}
	}
}

func (p *Planet) gateNames() (out []string) {
	for _, g := range p.gates {
		out = append(out, g.Name)
	}
	return out
}

// selectors returns what a wave selects, and whether all of it could be read.
func (p *Planet) selectors(w *wave) (_ func(*cluster) bool, ok bool) {
	if len(w.Select) == 0 {
		return func(*cluster) bool { return true }, true
	}
	ok = true
	var all [][]*labels.Matcher
	for i, text := range w.Select {
		n := items(w.node, "select")[i]
		ms, err := parser.NewParser(parser.Options{}).ParseMetricSelector(text)
		if err != nil {
			p.report.failf(at(n), "the selector is not one, such as {stage=\"canary\"}: %v", err)
			ok = false
			continue
		}
		if !slices.ContainsFunc(p.clusters, func(c *cluster) bool { return c.matches(ms) }) {
			p.report.failf(at(n), "the selector %s matches no cluster", text)
			ok = false
		}
		all = append(all, ms)
	}
	return func(c *cluster) bool {
		return slices.ContainsFunc(all, c.matches)
	}, ok
}

// matches reports whether a cluster has labels that all matchers match.
func (c *cluster) matches(ms []*labels.Matcher) bool {
	return !slices.ContainsFunc(ms, func(m *labels.Matcher) bool {
		value := c.all[m.Name]
		switch m.Name {
		case clusterVar:
			value = c.Name
		case zoneVar:
			value = c.Zone
		}
		return !m.Matches(value)
	})
}

// checkHosts checks who runs the tiers above the leaves.
func (p *Planet) checkHosts() {
	hosts := func(n *yaml.Node, names []string, what string) {
		for _, name := range names {
			if p.byName[name] == nil && !p.misplaced[name] {
				p.report.failf(entryAt(n, "hosts", name), "%s is hosted by cluster %s, which is not in clusters%s", what, name, meant(name, slices.Collect(maps.Keys(p.byName))))
			}
		}
	}
	hosts(p.root.node, p.root.Hosts, "the root")
	for _, z := range p.sortedZones() {
		hosts(z.node, z.Hosts, "zone "+z.Name)
		if z.above && len(z.Hosts) > 0 && len(z.Labels) == 0 {
			p.report.failf(at(z.node), "zone %s has zones in it and runs a tier, but no label of its own that all its series have: the label zone is that of the innermost zone; add labels, such as {region: %s}", z.Name, z.Name)
		}
	}
}

// sortedZones returns the zones by name.
func (p *Planet) sortedZones() []*zone {
	var out []*zone
	for _, name := range slices.Sorted(maps.Keys(p.zones)) {
		out = append(out, p.zones[name])
	}
	return out
}

// values returns what a cluster puts into its configuration.
func (c *cluster) values() values { return values{c.Name, c.Zone, c.all} }

// values returns what a zone puts into that of its own tier.
func (z *zone) values() values { return values{"", z.Name, z.all} }

// identity returns the labels that all series of the cluster have.
func (p *Planet) identity(c *cluster) map[string]string {
	out := maps.Clone(c.in.all)
	for _, name := range p.externalLabels(c) {
		if v, ok := c.all[name]; ok {
			out[name] = v
		}
	}
	out[zoneVar], out[clusterVar] = c.Zone, c.Name
	return out
}

// identity returns the labels of a zone's own tier. Of one with zones in it,
// series differ in the label zone.
func (z *zone) identity() map[string]string {
	out := maps.Clone(z.all)
	if !z.above {
		out[zoneVar] = z.Name
	}
	return out
}

// UnknownError says that there is no cluster of a name.
type UnknownError struct{ Cluster string }

// Error implements error.
func (e *UnknownError) Error() string {
	return fmt.Sprintf("there is no cluster %q in planet.yaml", e.Cluster)
}
