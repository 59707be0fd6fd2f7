package planet

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/prometheus/common/model"
	yaml "go.yaml.in/yaml/v3"
)

// Op says what became of something between two planets.
type Op string

// The ops, as they are shown.
const (
	Added   Op = "+"
	Removed Op = "-"
	Changed Op = "~"
)

// Change is one thing that differs between two planets, in one or more places.
type Change struct {
	Op   Op   `json:"op"`
	Kind Kind `json:"kind"`
	// Tier is where it is used; empty for what planet.yaml says.
	Tier Tier `json:"tier,omitempty"`
	// Title says what it is: "job node", "rule job:up:sum of group targets".
	Title string `json:"title"`
	// Details say how it differs, such as "expr: a → b" or "+ target x:80".
	Details []string `json:"details,omitempty"`
	// Places are the clusters, or the zones if Tier is Zone, sorted; empty if it is
	// not a matter of places.
	Places []string `json:"places,omitempty"`
	// Series is PromQL that gives, at the root, how many series it concerns: how many
	// a rule or rollup would record, or how many there are of what is removed. It is
	// empty if that cannot be asked.
	Series string `json:"series,omitempty"`
}

// Diff tells what differs between two planets, in one cluster (with the tiers that
// it hosts) or, if cluster is empty, in all. Changes are ordered by tier, kind and
// title. The error is an *UnknownError, or that of Render.
func Diff(from, to *Planet, cluster string) ([]Change, error) {
	if cluster != "" && from.byName[cluster] == nil && to.byName[cluster] == nil {
		return nil, &UnknownError{cluster}
	}
	d := &differ{index: map[string]*Change{}}
	if cluster == "" {
		d.planets(from, to)
	}
	before, err := from.elements(cluster)
	if err != nil {
		return nil, err
	}
	after, err := to.elements(cluster)
	if err != nil {
		return nil, err
	}
	for _, at := range union(before, after) {
		d.place(at, before[at], after[at])
	}
	return d.changes(), nil
}

// union returns the keys of two maps, sorted.
func union[V any](a, b map[string]V) []string {
	all := map[string]bool{}
	for k := range a {
		all[k] = true
	}
	for k := range b {
		all[k] = true
	}
	return slices.Sorted(maps.Keys(all))
}

// element is something that may differ: its fields by name.
type element struct {
	kind   Kind
	tier   Tier
	title  string
	fields map[string]string
	// targets are the static ones of a job.
	targets []string
	// recorded is the expression whose result is recorded, metric the name that it
	// gets; job is that of a job.
	recorded, metric, job string
}

// elements returns the elements of each place, by the place's name and their own.
func (p *Planet) elements(cluster string) (map[string]map[string]*element, error) {
	out := map[string]map[string]*element{}
	known := map[string][]*element{} // by fragment
	add := func(t Tier, name string, s *stack, v values) error {
		of := map[string]*element{}
		for _, k := range []Kind{Settings, Scrape, Rules, Rollups, Aggregations, LimitsKind} {
			fs, err := p.renderAll(s.by[k], v)
			if err != nil {
				return err
			}
			for _, f := range fs {
				id := string(t) + " " + f.key
				if known[id] == nil {
					known[id] = elementsOf(t, f)
				}
				for _, e := range known[id] {
					of[string(e.kind)+" "+e.title] = e
				}
			}
		}
		out[string(t)+" "+name] = of
		return nil
	}
	for _, c := range p.clusters {
		if cluster != "" && cluster != c.Name {
			continue
		}
		if err := add(Leaf, c.Name, p.stackOf(Leaf, c.in, c), c.values()); err != nil {
			return nil, err
		}
	}
	for _, z := range p.sortedZones() {
		if cluster != "" && !slices.Contains(z.Hosts, cluster) {
			continue
		}
		if err := add(Zone, z.Name, p.stackOf(Zone, z, nil), z.values()); err != nil {
			return nil, err
		}
	}
	if cluster != "" && !slices.Contains(p.root.Hosts, cluster) {
		return out, nil
	}
	return out, add(Root, "", p.stackOf(Root, nil, nil), values{})
}

// elementsOf returns what is in a fragment.
func elementsOf(t Tier, f *fragment) []*element {
	it := f.item
	e := &element{kind: it.kind, tier: t, title: it.title(), fields: map[string]string{}}
	switch it.kind {
	case Settings, LimitsKind:
		e.fields[""] = flow(f.tree())
		return []*element{e}
	case Rules:
		return append([]*element{e}, ruleElements(t, f, e)...)
	case Scrape:
		e.job = it.name
		for _, group := range items(f.tree(), "static_configs") {
			for _, n := range items(group, "targets") {
				e.targets = append(e.targets, n.Value)
			}
		}
	case Rollups:
		if field(field(f.tree(), "keep"), string(t)) == nil {
			return nil // kept by other tiers
		}
		e.recorded, e.metric = text(f.tree(), "expr"), text(f.tree(), "name")
	}
	if f.tree().Kind != yaml.MappingNode {
		e.fields[""] = flow(f.tree())
	}
	keys(f.tree(), func(k, v *yaml.Node) { e.fields[k.Value] = flow(v) })
	return []*element{e}
}

// ruleElements returns the rules of a group, and puts the rest into the group's
// element.
func ruleElements(t Tier, f *fragment, group *element) (out []*element) {
	seen := map[string]int{}
	keys(f.tree(), func(k, v *yaml.Node) {
		if k.Value != "rules" {
			group.fields[k.Value] = flow(v)
		}
	})
	for _, n := range items(f.tree(), "rules") {
		e := &element{kind: Rules, tier: t, fields: map[string]string{}}
		e.title = fmt.Sprintf("alert %s of %s", text(n, "alert"), f.item.title())
		if name := text(n, "record"); name != "" {
			e.title, e.metric, e.recorded = fmt.Sprintf("rule %s of %s", name, f.item.title()), name, text(n, "expr")
		}
		if seen[e.title]++; seen[e.title] > 1 {
			e.title = fmt.Sprintf("%s (%d)", e.title, seen[e.title])
		}
		keys(n, func(k, v *yaml.Node) { e.fields[k.Value] = flow(v) })
		out = append(out, e)
	}
	return out
}

// flow writes a node on one line, mappings sorted by key.
func flow(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		var parts []string
		keys(n, func(k, v *yaml.Node) { parts = append(parts, k.Value+": "+flow(v)) })
		slices.Sort(parts)
		return "{" + strings.Join(parts, ", ") + "}"
	case yaml.SequenceNode:
		var parts []string
		for _, c := range n.Content {
			parts = append(parts, flow(c))
		}
		return "[" + strings.Join(parts, ", ") + "]"
	default:
		return strings.Join(strings.Fields(n.Value), " ")
	}
}

// differ collects changes. Those that are the same in several places are one.
type differ struct {
	all   []*Change
	index map[string]*Change
}

func (d *differ) add(c Change, at string) {
	k := fmt.Sprintf("%q", []string{string(c.Op), string(c.Kind), string(c.Tier), c.Title, strings.Join(c.Details, "\n")})
	have := d.index[k]
	if have == nil {
		have = &c
		d.index[k] = have
		d.all = append(d.all, have)
	}
	if at != "" && !slices.Contains(have.Places, at) {
		have.Places = append(have.Places, at)
	}
}

// place compares the elements of a place. A place that is new or gone has its own
// change, and none for each of its elements.
func (d *differ) place(at string, before, after map[string]*element) {
	if before == nil || after == nil {
		return
	}
	_, name, _ := strings.Cut(at, " ")
	for _, k := range union(before, after) {
		old, now := before[k], after[k]
		switch {
		case old == nil:
			d.add(Change{Op: Added, Kind: now.kind, Tier: now.tier, Title: now.title, Details: now.shown(), Series: now.predicted()}, name)
		case now == nil:
			d.add(Change{Op: Removed, Kind: old.kind, Tier: old.tier, Title: old.title, Series: old.existing()}, name)
		default:
			details := compare(old, now)
			if len(details) == 0 {
				continue
			}
			c := Change{Op: Changed, Kind: now.kind, Tier: now.tier, Title: now.title, Details: details}
			if old.recorded != now.recorded {
				c.Series = now.predicted()
			}
			d.add(c, name)
		}
	}
}

// shown says what something new is.
func (e *element) shown() []string {
	var out []string
	for _, name := range []string{"", "expr", "interval", "match"} {
		switch v, ok := e.fields[name]; {
		case ok && name == "":
			out = append(out, v)
		case ok:
			out = append(out, name+": "+v)
		}
	}
	for _, t := range e.targets {
		out = append(out, "+ target "+t)
	}
	return out
}

// compare says how two elements of one name differ.
func compare(old, now *element) (out []string) {
	for _, t := range old.targets {
		if !slices.Contains(now.targets, t) {
			out = append(out, "- target "+t)
		}
	}
	for _, t := range now.targets {
		if !slices.Contains(old.targets, t) {
			out = append(out, "+ target "+t)
		}
	}
	targets := len(out) > 0
	for _, name := range union(old.fields, now.fields) {
		a, was := old.fields[name]
		b, is := now.fields[name]
		label := name + ": "
		if name == "" {
			label = ""
		}
		switch {
		case a == b && was == is || name == "static_configs" && targets:
		case !was:
			out = append(out, "+ "+label+b)
		case !is:
			out = append(out, "- "+label+a)
		default:
			out = append(out, label+a+" → "+b)
		}
	}
	return out
}

// planets compares what planet.yaml says.
func (d *differ) planets(from, to *Planet) {
	a, b := from.said(), to.said()
	for _, k := range union(a, b) {
		old, was := a[k]
		now, is := b[k]
		c := Change{Kind: Main, Title: k}
		switch {
		case was && is && old == now:
			continue
		case !was:
			c.Op, c.Details = Added, []string{now}
		case !is:
			c.Op, c.Details = Removed, []string{old}
		default:
			c.Op, c.Details = Changed, []string{old + " → " + now}
		}
		c.Details = slices.DeleteFunc(c.Details, func(s string) bool { return s == "" })
		d.add(c, "")
	}
}

// said returns what planet.yaml says, by what it is about.
func (p *Planet) said() map[string]string {
	out := map[string]string{}
	for _, c := range p.clusters {
		out["cluster "+c.Name] = "zone " + c.Zone + labelPairs(c.all)
		if deploy := p.deployOf(c); deploy != nil {
			for _, w := range deploy.Workloads {
				text, err := json.Marshal(w)
				if err == nil {
					out["workload "+w.Name+" of cluster "+c.Name] = string(text)
				}
			}
		}
	}
	for _, z := range p.zones {
		out["zone "+z.Name] = strings.TrimSpace(strings.Join([]string{labelPairs(z.all), about("in", z.Parent), about("hosted by", strings.Join(z.Hosts, ", ")), about("at", strings.Join(z.Addresses, ", "))}, " "))
	}
	out["root"] = strings.TrimSpace(about("hosted by", strings.Join(p.root.Hosts, ", ")) + " " + about("at", strings.Join(p.root.Addresses, ", ")))
	for i, w := range p.waves {
		var gates []string
		for _, g := range w.Gates {
			gates = append(gates, g.Name)
		}
		out["wave "+w.Name] = fmt.Sprintf("number %d, %s, bake %s%s", i+1, strings.Join(w.Clusters, " "), model.Duration(w.Bake), about(", gates", strings.Join(gates, ", ")))
	}
	for _, g := range p.gates {
		out["gate "+g.Name] = g.Expr + about(" for", g.For.String())
	}
	out["allow"] = fmt.Sprintf("discovery %v, files %v, hosts %v", p.allow.discovery(), p.allow.Files, p.allow.Hosts)
	return out
}

func about(word, value string) string {
	if value == "" {
		return ""
	}
	return word + " " + value
}

// labelPairs writes labels.
func labelPairs(of map[string]string) string {
	var out strings.Builder
	for _, name := range names(of) {
		fmt.Fprintf(&out, " %s=%s", name, of[name])
	}
	return out.String()
}

// changes returns the changes in order, with what to ask of their places.
func (d *differ) changes() []Change {
	order := func(c *Change) string {
		return fmt.Sprintf("%d %d %s %s", slices.Index([]Tier{"", Leaf, Zone, Root}, c.Tier), slices.Index(Kinds(), c.Kind), c.Title, c.Op)
	}
	slices.SortStableFunc(d.all, func(a, b *Change) int { return strings.Compare(order(a), order(b)) })
	out := []Change{}
	for _, c := range d.all {
		slices.Sort(c.Places)
		c.Series = inPlaces(c.Series, c.Tier, c.Places)
		out = append(out, *c)
	}
	return out
}
