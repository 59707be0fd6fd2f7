package planet

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"
	"sync"

	yaml "go.yaml.in/yaml/v3"
)

// Bundle is the configuration of one cluster.
type Bundle struct {
	Cluster, Zone string
	// Files are the contents by slash path: leaf/prometheus.yml, leaf/rules/NAME.yml,
	// leaf/rollups.yml, leaf/aggregations.yml and leaf/limits.yml; for each zone
	// whose tier the cluster hosts zone/NAME/prometheus.yml, zone/NAME/rules/…,
	// zone/NAME/rollups.yml and zone/NAME/limits.yml; likewise root/… if it hosts the root. All but those of
	// rules are always there, empty if need be. They must not be changed.
	Files map[string][]byte
	// Hash is the hex SHA-256 of Files and Deploy: what has an equal hash need not
	// be delivered again.
	Hash string
	// Deploy says which workloads are to be kept in the cluster; nil means none.
	Deploy *Deploy
}

// fragment is an item with values put in.
type fragment struct {
	item   *item
	values values
	// node is nil for what only one place has, until it is asked for.
	node *yaml.Node
	// text is the node as an element of a list; of settings and limits, nil.
	text []byte
	// key is the same for all places in which the item is the same.
	key string
}

// cache keeps fragments and files that do not depend on the cluster, or on its
// zone alone, so that there are no more than items times zones.
type cache struct {
	mu        sync.Mutex
	fragments map[string]*fragment
	files     map[string][]byte
}

func newCache() *cache { return &cache{fragments: map[string]*fragment{}, files: map[string][]byte{}} }

// key returns what tells apart what an item is in places of different values.
func (it *item) fragmentKey(v values) (_ string, shared bool) {
	b := strconv.AppendInt(nil, int64(it.id), 10)
	shared = true
	for _, word := range it.words {
		value, _ := v.get(word)
		b = append(append(append(append(b, 0), word...), '='), value...)
		shared = shared && word == zoneVar
	}
	return string(b), shared
}

// MissingError says that a cluster has no value for a variable.
type MissingError struct {
	// Item is what uses the Variable, and where it stands.
	Item, File string
	Line       int
	Variable   string
	// Place names the cluster, zone or root.
	Place string
}

// Error implements error.
func (e *MissingError) Error() string {
	return fmt.Sprintf("%s:%d: %s: %s", e.File, e.Line, e.Item, e.short())
}

func (e *MissingError) short() string {
	if e.Variable == clusterVar || e.Variable == zoneVar {
		return fmt.Sprintf("${%s} has no value in %s, which is to have it too: leave the variable out", e.Variable, e.Place)
	}
	return fmt.Sprintf("${%s} has no value in %s: give it that label, or leave the variable out", e.Variable, e.Place)
}

// place names where values are of.
func (v values) place() string {
	switch {
	case v.cluster != "":
		return "cluster " + v.cluster
	case v.zone != "":
		return "zone " + v.zone
	default:
		return "the root"
	}
}

// render puts values into an item.
func (p *Planet) render(it *item, v values) (*fragment, error) {
	k, shared := it.fragmentKey(v)
	if shared {
		p.cache.mu.Lock()
		f := p.cache.fragments[k]
		p.cache.mu.Unlock()
		if f != nil {
			return f, nil
		}
	}
	if word, missing := v.missing(it.words); missing {
		return nil, &MissingError{it.title(), it.at.file, it.at.line, word, v.place()}
	}
	f := &fragment{item: it, values: v, key: k}
	if shared {
		f.node = f.tree()
	}
	if it.listed() {
		var err error
		if f.text, err = p.text(f); err != nil {
			return nil, err
		}
	}
	if shared {
		p.cache.mu.Lock()
		p.cache.fragments[k] = f
		p.cache.mu.Unlock()
	}
	return f, nil
}

// tree returns the node with values put in. It is made when it is first asked for,
// which must not be done by several goroutines at once; but where fragments are
// shared it is there.
func (f *fragment) tree() *yaml.Node {
	if f.node == nil {
		f.node = f.item.node
		if f.item.substituted {
			f.node = f.values.apply(f.item.node)
		}
	}
	return f.node
}

// listed reports whether an item is an element of a list.
func (it *item) listed() bool {
	return it.kind != Settings && it.kind != LimitsKind && it.section == ""
}

// text encodes a fragment.
func (p *Planet) text(f *fragment) ([]byte, error) {
	if t := p.templates[f.item.id]; t != nil {
		return t.fill(f.values), nil
	}
	return encodeItem(f.tree())
}

// prepare makes the templates of items that differ from place to place.
func (p *Planet) prepare() {
	for _, l := range p.layers {
		for _, it := range l.items {
			if it.deleted || len(it.words) == 0 || !it.listed() {
				continue
			}
			t, err := newTemplate(it.node)
			if err != nil {
				p.report.failf(it.at, "%v", err)
			}
			p.templates[it.id] = t
		}
	}
}

// renderAll puts values into items.
func (p *Planet) renderAll(of []*item, v values) ([]*fragment, error) {
	out := make([]*fragment, 0, len(of))
	for _, it := range of {
		f, err := p.render(it, v)
		if err != nil {
			return nil, err
		}
		out = append(out, f)
	}
	return out, nil
}

// Render returns the configuration of a cluster. The error is an *UnknownError, or
// a *MissingError if something has a variable that the cluster has no value for.
func (p *Planet) Render(cluster string) (*Bundle, error) {
	c := p.byName[cluster]
	if c == nil {
		return nil, &UnknownError{cluster}
	}
	b := &Bundle{Cluster: c.Name, Zone: c.Zone, Files: map[string][]byte{}, Deploy: p.deployOf(c)}
	if err := p.files(b.Files, Leaf, "leaf", p.stackOf(Leaf, c.in, c), c.values()); err != nil {
		return nil, err
	}
	for _, z := range p.sortedZones() {
		if slices.Contains(z.Hosts, cluster) {
			if err := p.files(b.Files, Zone, path.Join("zone", z.Name), p.stackOf(Zone, z, nil), z.values()); err != nil {
				return nil, err
			}
		}
	}
	if slices.Contains(p.root.Hosts, cluster) {
		if err := p.files(b.Files, Root, "root", p.stackOf(Root, nil, nil), values{}); err != nil {
			return nil, err
		}
	}
	var err error
	b.Hash, err = b.hash()
	return b, err
}

func (b *Bundle) hash() (string, error) {
	h := sha256.New()
	add := func(data []byte) {
		_, _ = h.Write(binary.AppendUvarint(nil, uint64(len(data)))) // a hash does not fail
		_, _ = h.Write(data)
	}
	for _, name := range slices.Sorted(maps.Keys(b.Files)) {
		add([]byte(name))
		add(b.Files[name])
	}
	deploy, err := json.Marshal(b.Deploy)
	if err != nil {
		return "", fmt.Errorf("hash of workloads: %w", err)
	}
	add(deploy)
	return hex.EncodeToString(h.Sum(nil)), nil
}

// files adds the files of one tier, below a folder.
func (p *Planet) files(to map[string][]byte, t Tier, folder string, s *stack, v values) error {
	rules, err := p.ruleFiles(s, v)
	if err != nil {
		return err
	}
	for name, fs := range rules {
		to[path.Join(folder, "rules", name+".yml")] = p.list("groups", fs)
	}
	rollups, err := p.renderAll(s.by[Rollups], v)
	if err != nil {
		return err
	}
	to[path.Join(folder, "rollups.yml")] = p.list("rollups", rollups)
	if to[path.Join(folder, "limits.yml")], err = p.sections(s.by[LimitsKind], v); err != nil {
		return err
	}
	if to[path.Join(folder, "prometheus.yml")], err = p.prometheus(t, s, v); err != nil || t != Leaf {
		return err
	}
	to[path.Join(folder, "aggregations.yml")], err = p.aggregations(s, v)
	return err
}

// ruleFiles returns the groups of each rule file.
func (p *Planet) ruleFiles(s *stack, v values) (map[string][]*fragment, error) {
	fs, err := p.renderAll(s.by[Rules], v)
	if err != nil {
		return nil, err
	}
	out := map[string][]*fragment{}
	for _, f := range fs {
		out[f.item.base] = append(out[f.item.base], f)
	}
	return out, nil
}

// list writes a file that is one list. Files that are the same in several places
// share their bytes.
func (p *Planet) list(name string, of []*fragment) []byte {
	shared := true
	var k strings.Builder
	k.WriteString(name)
	for _, f := range of {
		k.WriteByte('\n')
		k.WriteString(f.key)
		shared = shared && !slices.ContainsFunc(f.item.words, func(w string) bool { return w != zoneVar })
	}
	if shared {
		p.cache.mu.Lock()
		defer p.cache.mu.Unlock()
		if data := p.cache.files[k.String()]; data != nil {
			return data
		}
	}
	data := listOf(name, of)
	if shared {
		p.cache.files[k.String()] = data
	}
	return data
}

// listOf writes a mapping of one key, whose value is a list.
func listOf(name string, of []*fragment) []byte {
	if len(of) == 0 {
		return []byte(name + ": []\n")
	}
	size := len(name) + 2
	for _, f := range of {
		size += len(f.text)
	}
	out := make([]byte, 0, size)
	out = append(append(out, name...), ":\n"...)
	for _, f := range of {
		out = append(out, f.text...)
	}
	return out
}

// prometheus writes the configuration file of a tier. Only leaves scrape.
func (p *Planet) prometheus(t Tier, s *stack, v values) ([]byte, error) {
	settings, err := p.sections(s.by[Settings], v)
	if err != nil {
		return nil, err
	}
	jobs, err := p.renderAll(s.by[Scrape], v)
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	if len(s.by[Settings]) > 0 {
		b.Write(settings)
	}
	if len(s.by[Rules]) > 0 {
		b.WriteString("rule_files:\n- rules/*.yml\n")
	}
	if t == Leaf {
		b.Write(p.list("scrape_configs", jobs))
	}
	return b.Bytes(), nil
}

// aggregations writes a leaf's rules for ingest aggregation.
func (p *Planet) aggregations(s *stack, v values) ([]byte, error) {
	var settings, rules []*item
	for _, it := range s.by[Aggregations] {
		if it.section == "" {
			rules = append(rules, it)
		} else {
			settings = append(settings, &item{kind: LimitsKind, name: it.name, node: it.node, at: it.at, id: it.id})
		}
	}
	fs, err := p.renderAll(rules, v)
	if err != nil {
		return nil, err
	}
	data := p.list("rules", fs)
	if len(settings) == 0 {
		return data, nil
	}
	delay, err := p.sections(settings, v)
	return append(delay, data...), err
}

// sections writes settings by section, or limits, which have none.
func (p *Planet) sections(of []*item, v values) ([]byte, error) {
	if len(of) == 0 {
		return []byte("{}\n"), nil
	}
	doc := &yaml.Node{Kind: yaml.MappingNode}
	bySection := map[string]*yaml.Node{"": doc}
	for _, it := range of {
		f, err := p.render(it, v)
		if err != nil {
			return nil, err
		}
		to := bySection[it.section]
		if to == nil {
			to = &yaml.Node{Kind: yaml.MappingNode}
			bySection[it.section] = to
			doc.Content = append(doc.Content, word(it.section), to)
		}
		to.Content = append(to.Content, word(it.name), f.tree())
	}
	return encode(doc)
}

// word is a key.
func word(s string) *yaml.Node { return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: s} }
