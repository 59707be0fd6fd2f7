package planet

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/common/model"
	yaml "go.yaml.in/yaml/v3"
)

// Role is what a workload does.
type Role string

// Roles.
const (
	RoleLeaf   Role = "leaf"
	RoleZone   Role = "zone"
	RoleRoot   Role = "root"
	RoleGitops Role = "gitops"
)

// Deploy says which workloads are to be kept in a cluster.
type Deploy struct {
	Namespace string `json:"namespace,omitempty"`
	// Workloads are those of the leaf, of zones by name, of the root, and of the
	// loop itself, in that order.
	Workloads []Workload `json:"workloads"`
}

// Workload is one set of replicas.
type Workload struct {
	Role Role `json:"role"`
	// Zone is the zone whose tier it is, for RoleZone.
	Zone string `json:"zone,omitempty"`
	// Name is leaf, zone-NAME, root or gitops.
	Name     string `json:"name"`
	Image    string `json:"image"`
	Replicas int    `json:"replicas"`
	// Storage is nil if nothing is to be kept.
	Storage *Storage `json:"storage,omitempty"`
	// Retention is how long a leaf keeps samples; zero means its default.
	Retention time.Duration `json:"retention,omitempty"`
	// Identity are the labels of all its series: --zone, --cluster and
	// --external-label.
	Identity map[string]string `json:"identity,omitempty"`
	// Parents are the addresses that it connects to, host:port.
	Parents   []string    `json:"parents,omitempty"`
	Resources Resources   `json:"resources"`
	Secrets   []SecretRef `json:"secrets,omitempty"`
	// TLS is nil for connections in the clear.
	TLS *TLS `json:"tls,omitempty"`
	// LinkLocal are addresses that a leaf may scrape though machines keep their
	// credentials at such: those of allow.hosts.
	LinkLocal []string `json:"linkLocal,omitempty"`
	// Files is the folder of its configuration in Bundle.Files, empty if it has none.
	Files string `json:"files,omitempty"`
}

// Storage is a volume.
type Storage struct {
	Size  string `yaml:"size" json:"size"`
	Class string `yaml:"class" json:"class,omitempty"`
}

// Resources are as in Kubernetes.
type Resources struct {
	Requests map[string]string `yaml:"requests" json:"requests,omitempty"`
	Limits   map[string]string `yaml:"limits" json:"limits,omitempty"`
}

// SecretRef names a secret of the cluster to mount. Its contents are never in git.
type SecretRef struct {
	Name string `yaml:"name" json:"name"`
	// Path is the folder to mount it at.
	Path string `yaml:"path" json:"path"`
}

// TLS names the secret of the cluster with tls.crt, tls.key and ca.crt that a
// workload has towards its parent, and towards those below it.
type TLS struct {
	Secret string `yaml:"secret" json:"secret"`
}

// workloadYAML is a workload as it is written.
type workloadYAML struct {
	Image     string         `yaml:"image"`
	Replicas  *int           `yaml:"replicas"`
	Storage   *Storage       `yaml:"storage"`
	Retention model.Duration `yaml:"retention"`
	External  []string       `yaml:"externalLabels"`
	Resources Resources      `yaml:"resources"`
	Secrets   []SecretRef    `yaml:"secrets"`
	TLS       *TLS           `yaml:"tls"`
}

// deployYAML is deploy: as it is written. A role that is nil is not deployed.
type deployYAML struct {
	Namespace string        `yaml:"namespace"`
	Image     string        `yaml:"image"`
	Leaf      *workloadYAML `yaml:"leaf"`
	Zone      *workloadYAML `yaml:"zone"`
	Root      *workloadYAML `yaml:"root"`
	Gitops    *workloadYAML `yaml:"gitops"`
}

// mergeDeploy merges what layers say: keys of a role are replaced as a whole.
func mergeDeploy(layers ...*yaml.Node) *yaml.Node {
	var out *yaml.Node
	for _, l := range layers {
		if l == nil || l.Kind != yaml.MappingNode {
			continue
		}
		if out == nil {
			out = &yaml.Node{Kind: yaml.MappingNode}
		}
		keys(l, func(k, v *yaml.Node) {
			if old := field(out, k.Value); old != nil && old.Kind == yaml.MappingNode && v.Kind == yaml.MappingNode {
				merged := &yaml.Node{Kind: yaml.MappingNode, Content: slices.Clone(old.Content)}
				keys(v, func(k, v *yaml.Node) { set(merged, k, v) })
				v = merged
			}
			set(out, k, v)
		})
	}
	return out
}

// set puts a value under a key.
func set(n, k, v *yaml.Node) {
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == k.Value {
			n.Content[i+1] = v
			return
		}
	}
	n.Content = append(n.Content, k, v)
}

// deployed reads what is said of a zone, and of a cluster if there is one.
func (p *Planet) deployed(in *zone, c *cluster) *deployYAML {
	layers := []*yaml.Node{p.deploy}
	if in != nil {
		for _, z := range in.path {
			layers = append(layers, field(z.node, "deploy"))
		}
	}
	if c != nil {
		layers = append(layers, field(c.node, "deploy"))
	}
	n := mergeDeploy(layers...)
	if n == nil {
		return nil
	}
	var d deployYAML
	if err := n.Decode(&d); err != nil {
		return nil // checkDeploys has told
	}
	return &d
}

// externalLabels returns which labels of a cluster its leaf has.
func (p *Planet) externalLabels(c *cluster) []string {
	if d := p.deployed(c.in, c); d != nil && d.Leaf != nil {
		return d.Leaf.External
	}
	return nil
}

// workload completes a workload.
func (w *workloadYAML) workload(role Role, name, image, files string) Workload {
	out := Workload{
		Role: role, Name: name, Image: w.Image, Replicas: 1, Storage: w.Storage, Retention: time.Duration(w.Retention),
		Resources: w.Resources, Secrets: w.Secrets, TLS: w.TLS, Files: files,
	}
	if out.Image == "" {
		out.Image = image
	}
	if w.Replicas != nil {
		out.Replicas = *w.Replicas
	}
	return out
}

// deployOf returns the workloads of a cluster.
func (p *Planet) deployOf(c *cluster) *Deploy {
	d := p.deployed(c.in, c)
	if d == nil {
		return nil
	}
	out := &Deploy{Namespace: d.Namespace, Workloads: []Workload{}}
	if d.Leaf != nil {
		w := d.Leaf.workload(RoleLeaf, "leaf", d.Image, "leaf")
		w.Identity, w.Parents, w.LinkLocal = p.identity(c), p.addressesAbove(c.in), p.allow.linkLocal()
		out.Workloads = append(out.Workloads, w)
	}
	for _, z := range p.sortedZones() {
		if !slices.Contains(z.Hosts, c.Name) {
			continue
		}
		if dz := p.deployed(z, nil); dz != nil && dz.Zone != nil {
			w := dz.Zone.workload(RoleZone, "zone-"+z.Name, dz.Image, "zone/"+z.Name)
			w.Zone, w.Identity, w.Parents = z.Name, z.identity(), p.addressesAbove(z.parent())
			out.Workloads = append(out.Workloads, w)
		}
	}
	if dr := p.deployed(nil, nil); dr != nil && dr.Root != nil && slices.Contains(p.root.Hosts, c.Name) {
		out.Workloads = append(out.Workloads, dr.Root.workload(RoleRoot, "root", dr.Image, "root"))
	}
	if d.Gitops != nil {
		out.Workloads = append(out.Workloads, d.Gitops.workload(RoleGitops, "gitops", d.Image, ""))
	}
	return out
}

// parent returns the zone that a zone is in, nil if that is the root.
func (z *zone) parent() *zone {
	if len(z.path) < 2 {
		return nil
	}
	return z.path[len(z.path)-2]
}

// addressesAbove returns where the nearest tier above listens, from a zone on:
// zones without addresses have no tier of their own.
func (p *Planet) addressesAbove(z *zone) []string {
	for ; z != nil; z = z.parent() {
		if len(z.Addresses) > 0 {
			return z.Addresses
		}
	}
	return p.root.Addresses
}

// checkDeploys checks what is said of workloads.
func (p *Planet) checkDeploys() {
	for _, c := range p.clusters {
		own := field(c.node, "deploy")
		for _, role := range []Role{RoleZone, RoleRoot} {
			if n := field(own, string(role)); n != nil {
				p.report.failf(at(n), "%s of a cluster: what a %s runs as is said in deploy: of the zone or of the planet, wherever it is hosted", role, role)
			}
		}
		d := p.deployed(c.in, c)
		if d == nil {
			continue
		}
		for role, w := range map[Role]*workloadYAML{RoleLeaf: d.Leaf, RoleGitops: d.Gitops} {
			p.checkWorkload(c, role, w, d.Image)
		}
		if d.Leaf != nil {
			p.checkLeaf(c, d.Leaf)
		}
	}
	p.checkTiers()
}

func (p *Planet) checkWorkload(c *cluster, role Role, w *workloadYAML, image string) {
	if w != nil && w.Image == "" && image == "" {
		p.fail(at(p.deploy), c.Name, "deploy: %s has no image: say which, of all or of this one", role)
	}
	if w != nil && role == RoleGitops {
		p.checkLoop(c, w, image)
	}
}

// checkLoop refuses what would end the loop that could undo it.
func (p *Planet) checkLoop(c *cluster, w *workloadYAML, image string) {
	if w.TLS != nil {
		p.fail(at(p.deploy), c.Name, "deploy: gitops has tls, which is for the tiers: leave it out")
	}
	if w.Replicas != nil && *w.Replicas < 1 {
		p.fail(at(p.deploy), c.Name, "deploy: gitops has no replicas, and without the loop no commit would bring it back: give it 1")
	}
	if w.Image != "" && w.Image != image {
		p.report.add(at(p.deploy), Warning, "loop-image", "deploy: gitops has an image of its own, so that nothing has run with it when the loop replaces itself by it; leave it out to have it the image of all, which the loop takes last", c.Name)
	}
}

// checkLeaf checks that a leaf has a parent, and the labels that it is to have.
func (p *Planet) checkLeaf(c *cluster, w *workloadYAML) {
	if len(p.addressesAbove(c.in)) == 0 {
		p.fail(at(c.in.node), "", "zone %s and those above have no addresses, so that leaves would have no parent: add addresses to the zone or to root", c.Zone)
	}
	for _, name := range w.External {
		if _, ok := c.all[name]; !ok {
			p.fail(at(c.node), c.Name, "deploy: externalLabels has %s, which is not a label of the cluster", name)
		}
	}
	if w.Replicas != nil && *w.Replicas > 1 && w.Storage == nil {
		p.report.add(at(p.deploy), Warning, "storage", "deploy: leaves have no storage, so that what a replica has is lost with its pod", c.Name)
	}
}

// checkTiers checks the workloads of zones and root.
func (p *Planet) checkTiers() {
	for _, z := range p.sortedZones() {
		d := p.deployed(z, nil)
		if d == nil || d.Zone == nil || len(z.Hosts) == 0 {
			continue
		}
		if d.Zone.Image == "" && d.Image == "" {
			p.report.failf(at(p.deploy), "deploy: zone has no image: say which, of all or of this one")
		}
		if len(z.Addresses) == 0 {
			p.report.failf(at(z.node), "zone %s runs a tier without addresses: nobody would connect to it", z.Name)
		}
		if parent := z.parent(); len(p.addressesAbove(parent)) == 0 {
			p.report.failf(at(z.node), "nothing above zone %s has addresses, so that it would have no parent: add addresses to root", z.Name)
		}
	}
	d := p.deployed(nil, nil)
	if d != nil && d.Root != nil && len(p.root.Hosts) > 0 && d.Root.Image == "" && d.Image == "" {
		p.report.failf(at(p.deploy), "deploy: root has no image: say which, of all or of this one")
	}
}

// fail notes an error that may show in many clusters.
func (p *Planet) fail(at place, cluster, format string, args ...any) {
	v := values{cluster: cluster}
	text := fmt.Sprintf(format, args...)
	p.report.add(at, Error, v.masked(text), text, cluster)
}

// masked takes out of a text what differs between places, so that what is wrong
// in many is told once.
func (v values) masked(text string) string {
	for _, s := range append(slices.Sorted(maps.Values(v.labels)), v.cluster, v.zone) {
		if len(s) > 1 {
			text = strings.ReplaceAll(text, s, "…")
		}
	}
	return text
}
