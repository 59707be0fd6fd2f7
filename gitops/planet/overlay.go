package planet

import (
	"maps"
	"path"
	"slices"
	"strings"

	yaml "go.yaml.in/yaml/v3"
)

// item is what has a name and is replaced or removed as a whole by later layers: a
// job, a rule group, a key of a section.
type item struct {
	kind Kind
	tier Tier
	// section is that of a setting; of aggregations, "delay" is one.
	section, name string
	// node is what it is; of a setting, the value.
	node *yaml.Node
	at   place
	// base is the name of the file that it is put into, without extension.
	base string
	// deleted says that what an earlier layer has is removed.
	deleted bool
	// words are the variables that it uses; substituted says that there is
	// something to substitute.
	words       []string
	substituted bool
	id          int
}

// key says what an item replaces.
type key struct {
	kind          Kind
	tier          Tier
	section, name string
}

func (it *item) key() key { return key{it.kind, it.tier, it.section, it.name} }

// title says what an item is, as people call it.
func (it *item) title() string {
	switch it.kind {
	case Scrape:
		return "job " + it.name
	case Rules:
		return "group " + it.name
	case Rollups:
		return "rollup " + it.name
	case Aggregations:
		if it.section == "" {
			return "aggregation " + it.name
		}
		return it.name
	case Settings:
		return it.section + "." + it.name
	default:
		return it.name
	}
}

// layer is what one folder has, in the order of files and lines.
type layer struct {
	items []*item
	by    map[key]*item
}

// stack is what a tier of one place has, all layers merged.
type stack struct {
	by map[Kind][]*item
	id int
}

// add notes the items of a file.
func (p *Planet) add(f file, doc *yaml.Node, next *int) {
	l := p.layers[f.layer]
	if l == nil {
		l = &layer{by: map[key]*item{}}
		p.layers[f.layer] = l
	}
	for _, it := range itemsOf(f, doc) {
		if other := l.by[it.key()]; other != nil {
			p.report.failf(it.at, "%s is in %s:%d too: names are unique in a layer", it.title(), other.at.file, other.at.line)
			continue
		}
		if !it.deleted && !p.scan(it) {
			continue
		}
		*next++
		it.id = *next
		l.by[it.key()] = it
		l.items = append(l.items, it)
	}
}

// scan finds the variables of an item, which must be those of its tier; if they are
// not, it says so.
func (p *Planet) scan(it *item) (ok bool) {
	var s scanned
	scan(it.node, false, &s)
	for _, n := range s.unknown {
		p.report.failf(place{it.at.file, n.Line, n.Column}, "%s", unknownText(n))
	}
	ok = len(s.unknown) == 0
	it.words, it.substituted = s.words, s.any
	slices.Sort(it.words)
	for _, word := range it.words {
		if it.tier != Leaf && word == clusterVar || it.tier == Root {
			p.report.failf(it.at, "%s uses ${%s}, which tier %s does not have", it.title(), word, it.tier)
			ok = false
		}
	}
	return ok
}

// itemsOf returns the items of a file, which fits its schema.
func itemsOf(f file, doc *yaml.Node) (out []*item) {
	add := func(n *yaml.Node, at *yaml.Node, section, name string) *item {
		it := &item{kind: f.kind, tier: f.tier, section: section, name: name, node: n, at: place{f.path, at.Line, at.Column}, base: f.base}
		out = append(out, it)
		return it
	}
	list := func(field, named string) {
		for _, n := range items(doc, field) {
			it := add(n, n, "", text(n, named))
			it.deleted = text(n, "delete") == "true"
		}
	}
	switch f.kind {
	case Scrape:
		list("scrape_configs", "job_name")
	case Rules:
		list("groups", "name")
	case Rollups:
		list("rollups", "name")
		for _, it := range out {
			if it.name == "" {
				it.name = text(it.node, "expr") + " every " + text(it.node, "interval")
			}
		}
	case Aggregations:
		list("rules", "name")
		if d := field(doc, "delay"); d != nil {
			add(d, d, "delay", "delay")
		}
	case LimitsKind:
		keys(doc, func(k, v *yaml.Node) { add(v, k, "", k.Value).deleted = v.ShortTag() == "!!null" })
	case Settings:
		keys(doc, func(section, below *yaml.Node) {
			keys(below, func(k, v *yaml.Node) { add(v, k, section.Value, k.Value).deleted = v.ShortTag() == "!!null" })
		})
	}
	return out
}

// keys calls f with the entries of a mapping.
func keys(n *yaml.Node, f func(key, value *yaml.Node)) {
	if n == nil || n.Kind != yaml.MappingNode {
		return
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		f(n.Content[i], n.Content[i+1])
	}
}

// chain returns the layers of a tier, outermost first; those that are not there
// are left out.
func (p *Planet) chain(in *zone, c *cluster) []string {
	all := []string{""}
	if in != nil {
		for _, z := range in.path {
			all = append(all, path.Join("zones", z.Name))
		}
	}
	if c != nil {
		all = append(all, path.Join("clusters", c.Name))
	}
	return slices.DeleteFunc(all, func(name string) bool { return p.layers[name] == nil })
}

// stackOf returns what a tier has; it was merged when the planet was loaded.
func (p *Planet) stackOf(t Tier, in *zone, c *cluster) *stack {
	return p.stacks[stackName(t, p.chain(in, c))]
}

func stackName(t Tier, chain []string) string { return string(t) + " " + strings.Join(chain, " ") }

// mergeAll merges the layers of every place once.
func (p *Planet) mergeAll() {
	p.merge(Root, p.chain(nil, nil))
	for _, z := range p.sortedZones() {
		p.merge(Zone, p.chain(z, nil))
	}
	for _, c := range p.clusters {
		p.merge(Leaf, p.chain(c.in, c))
	}
}

// checkOverlays refuses overlays of what is not there.
func (p *Planet) checkOverlays(names []string) {
	for _, name := range names {
		folder, of := path.Split(name)
		switch {
		case len(p.zones) == 0: // planet.yaml could not be read
		case folder == "zones/" && p.zones[of] == nil:
			p.report.failf(place{file: name}, "there is no zone %s in planet.yaml%s", of, meant(of, slices.Collect(maps.Keys(p.zones))))
		case folder == "clusters/" && p.byName[of] == nil && !p.misplaced[of]:
			p.report.failf(place{file: name}, "there is no cluster %s in planet.yaml%s", of, meant(of, slices.Collect(maps.Keys(p.byName))))
		}
	}
}

// merge puts the layers of a tier together: an item replaces that of the same key
// in its place, a new one comes after those that are there.
func (p *Planet) merge(t Tier, chain []string) {
	name := stackName(t, chain)
	if p.stacks[name] != nil {
		return
	}
	s := &stack{by: map[Kind][]*item{}, id: len(p.stacks) + 1}
	p.stacks[name] = s
	index := map[key]int{}
	for _, folder := range chain {
		for _, it := range p.layers[folder].items {
			if !usedBy(t, it) {
				continue
			}
			list := s.by[it.kind]
			i, there := index[it.key()]
			there = there && list[i] != nil
			switch {
			case it.deleted && !there:
				if !p.broken {
					p.report.failf(it.at, "%s is removed here, but no earlier layer has it", it.title())
				}
			case it.deleted:
				list[i] = nil
			case there:
				kept := *it
				kept.base = list[i].base
				list[i] = &kept
			default:
				index[it.key()] = len(list)
				s.by[it.kind] = append(list, it)
			}
		}
	}
	for k, list := range s.by {
		s.by[k] = slices.DeleteFunc(list, func(i *item) bool { return i == nil })
	}
}

// usedBy reports whether a tier has an item. Rollups are the same in all, and say
// themselves which tier keeps what.
func usedBy(t Tier, it *item) bool {
	switch it.kind {
	case Rules, LimitsKind:
		return it.tier == t
	case Rollups:
		return true
	case Settings:
		return t == Leaf || settingOf(t, it)
	default:
		return t == Leaf
	}
}

// settingOf reports whether a setting of prometheus.yml is also one of a zone's or
// the root's own rules: how they are evaluated and who hears of alerts. What is
// made of the name of a cluster is the leaves' alone.
func settingOf(t Tier, it *item) bool {
	if it.section != "global" && it.section != "alerting" {
		return false
	}
	return !slices.ContainsFunc(it.words, func(w string) bool { return t == Root || w != zoneVar })
}
