package fieldhint

import (
	"math/bits"
	"sync"

	"github.com/cespare/xxhash/v2"
	"github.com/prometheus/prometheus/model/labels"
)

// Bounds on what a census counts. Labels and pairs beyond are unknown to the
// scheme that it makes.
const (
	maxCensusLabels = 1024
	maxCensusPairs  = 4096 // labels paired
	valueRegisters  = 1024 // of a label's sketches; an error of 3%
	pairRegisters   = 1024 // of a pair's
	seriesRegisters = 4096 // 1.6%
	exactValues     = 256
	recentValues    = 1 << 14
	maxOutlined     = 1 << 18 // weight of outlines
)

// Census counts what a Scheme is decided by: series, values, trigrams and pairs
// of values. It takes a few megabytes, and at most about 20, however many series
// there are. It is safe for concurrent use.
type Census struct {
	external labels.Labels
	outer    []hashed

	mu       sync.Mutex
	series   *sketch
	labels   map[string]*labelCount
	pairs    map[[2]string]*sketch
	outlines map[uint64]*outline
	outlined int      // weight of outlines
	recent   []uint64 // labels counted lately, by their hash
}

// labelCount counts the values of a label.
type labelCount struct {
	values, trigrams *sketch
}

// outline finds the sketches of all series that have labels of the same names.
type outline struct {
	names  []uint64
	labels []*labelCount // nil of those beyond the bound
	pairs  []pairCount
}

type pairCount struct {
	a, b   uint8
	base   uint64
	sketch *sketch
}

// NewCensus returns a census of series that are served with external labels,
// whether they are on what is added or not.
func NewCensus(external labels.Labels) *Census {
	c := &Census{
		external: external, outer: hashAll(external),
		series: newSketch(seriesRegisters, exactValues),
		labels: map[string]*labelCount{}, pairs: map[[2]string]*sketch{},
		outlines: map[uint64]*outline{}, recent: make([]uint64, recentValues),
	}
	for _, h := range c.outer {
		external.Range(func(l labels.Label) {
			if xxhash.Sum64String(l.Name) == h.name {
				c.count(c.label(l.Name), h, l.Value)
			}
		})
	}
	return c
}

// Add counts a series. It may be added again.
func (c *Census) Add(lset labels.Labels) {
	var s seriesHashes
	var values [maxPaired]string
	lset.Range(func(l labels.Label) {
		if l.Value == "" {
			return
		}
		if s.n < maxPaired {
			values[s.n] = l.Value
		}
		s.add(hashed{xxhash.Sum64String(l.Name), xxhash.Sum64String(l.Value)})
	})
	own := len(s.all())
	s.complete(c.outer)
	ls := s.all()
	c.mu.Lock()
	defer c.mu.Unlock()
	key, id := uint64(s.n), uint64(0)
	for _, h := range ls {
		key = (bits.RotateLeft64(key, 5) ^ h.name) * 0x9e3779b97f4a7c15
		id = mix(id ^ h.name + mix(h.value))
	}
	o := c.outlines[key]
	if o == nil || !o.of(ls) {
		o = c.outline(ls, lset)
		if c.outlined += o.weight(); c.outlined > maxOutlined {
			clear(c.outlines)
			c.outlined = o.weight()
		}
		c.outlines[key] = o
	}
	c.series.add(mix(id))
	for i, h := range ls[:own] {
		c.count(o.labels[i], h, values[i])
	}
	if s.n > maxPaired {
		return
	}
	for i := range o.pairs {
		p := &o.pairs[i]
		p.sketch.add(mix(pairFact(p.base, ls[p.a], ls[p.b])))
	}
}

// count counts a value and its trigrams, unless that was done lately.
func (c *Census) count(to *labelCount, h hashed, value string) {
	id := mix(h.name ^ mix(h.value))
	slot := &c.recent[id&(recentValues-1)]
	if to == nil || *slot == id {
		return
	}
	*slot = id
	to.values.add(mix(h.value))
	if len(value) > maxGramValue {
		return
	}
	for g := range grams(value, true, true) {
		to.trigrams.add(mix(uint64(g)))
	}
}

// weight is the memory taken by the outline, in pairs.
func (o *outline) weight() int { return len(o.pairs) + len(o.names) + 4 }

func (o *outline) of(ls []hashed) bool {
	if len(o.names) != len(ls) {
		return false
	}
	for i := range ls {
		if o.names[i] != ls[i].name {
			return false
		}
	}
	return true
}

func (c *Census) outline(ls []hashed, lset labels.Labels) *outline {
	byHash := make(map[uint64]string, len(ls))
	name := func(l labels.Label) { byHash[xxhash.Sum64String(l.Name)] = l.Name }
	c.external.Range(name)
	lset.Range(name)
	o := &outline{}
	for i, h := range ls {
		o.names = append(o.names, h.name)
		o.labels = append(o.labels, c.label(byHash[h.name]))
		for j := range i {
			if p := c.pair(byHash[h.name], byHash[ls[j].name]); p != nil {
				o.pairs = append(o.pairs, pairCount{a: uint8(j), b: uint8(i), base: pairBase(h.name, ls[j].name), sketch: p})
			}
		}
	}
	return o
}

func (c *Census) label(name string) *labelCount {
	l := c.labels[name]
	if l == nil && len(c.labels) < maxCensusLabels {
		l = &labelCount{values: newSketch(valueRegisters, exactValues), trigrams: newSketch(valueRegisters, 0)}
		c.labels[name] = l
	}
	return l
}

func (c *Census) pair(a, b string) *sketch {
	key := pairKey(a, b)
	p := c.pairs[key]
	if p == nil && len(c.pairs) < maxCensusPairs && c.labels[a] != nil && c.labels[b] != nil && a != b {
		p = newSketch(pairRegisters, 0)
		c.pairs[key] = p
	}
	return p
}
