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
	prefixRegisters = 256  // of the prefixes of a pair; 6.5%
	seriesRegisters = 4096 // 1.6%
	exactValues     = 256
	recentValues    = 1 << 16
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
	added    int // series, each as often as it was added
	labels   map[string]*labelCount
	pairs    map[[2]string]*pairCounts
	outlines map[uint64]*outline
	outlined int      // weight of outlines
	recent   []uint64 // labels and pairs counted lately, by their hash
}

// pairCounts counts the pairs of values of two labels: alone, and with prefixes, of
// the second label with values of the first and the other way.
type pairCounts struct {
	values   *sketch
	prefixes [2]*sketch
	infixes  *sketch // with the metric's name; nil if that is neither label
	series   int     // with the two labels, each as often as it was added
}

// labelCount counts the values of a label.
type labelCount struct {
	values, trigrams, prefixes, infixes *sketch
}

// outline finds the sketches of all series that have labels of the same names.
type outline struct {
	names  []uint64
	labels []*labelCount // nil of those beyond the bound
	pairs  []pairCount
}

type pairCount struct {
	a, b       uint8 // places, a's name being the lesser
	base       uint64
	bases      [2]uint64 // of prefixes
	counts     *pairCounts
	metricLast bool // b is the metric's name
}

// NewCensus returns a census of series that are served with external labels,
// whether they are on what is added or not.
func NewCensus(external labels.Labels) *Census {
	c := &Census{
		external: external, outer: hashAll(external),
		series: newSketch(seriesRegisters, exactValues),
		labels: map[string]*labelCount{}, pairs: map[[2]string]*pairCounts{},
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
	for i := own; i < len(ls); i++ {
		c.external.Range(func(l labels.Label) {
			if xxhash.Sum64String(l.Name) == ls[i].name {
				values[i] = l.Value
			}
		})
	}
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
	c.added++
	for i, h := range ls[:own] {
		c.count(o.labels[i], h, values[i])
	}
	if s.n > maxPaired {
		return
	}
	for i := range o.pairs {
		c.countPair(&o.pairs[i], ls, &values)
	}
}

// countPair counts a pair of values, unless that was done lately.
func (c *Census) countPair(p *pairCount, ls []hashed, values *[maxPaired]string) {
	p.counts.series++
	a, b := ls[p.a], ls[p.b]
	id := mix(pairFact(p.base, a, b))
	slot := &c.recent[id&(recentValues-1)]
	if *slot == id {
		return
	}
	*slot = id
	p.counts.values.add(id)
	var room [len(rungs) + 1]uint64
	for _, fp := range appendPrefixPairs(room[:0], p.bases[0], a.value, values[p.b]) {
		p.counts.prefixes[0].add(mix(fp))
	}
	for _, fp := range appendPrefixPairs(room[:0], p.bases[1], b.value, values[p.a]) {
		p.counts.prefixes[1].add(mix(fp))
	}
	if p.counts.infixes == nil {
		return
	}
	other := values[p.b]
	if p.metricLast {
		a, b, other = b, a, values[p.a]
	}
	if len(other) <= maxGramValue {
		var room [maxRoomInfixes]uint64
		for _, fp := range appendInfixPairs(room[:0], a.value, b.name, other, true) {
			p.counts.infixes.add(mix(fp))
		}
	}
}

// count counts a value, its prefixes and its trigrams, unless that was done lately.
func (c *Census) count(to *labelCount, h hashed, value string) {
	id := mix(h.name ^ mix(h.value))
	slot := &c.recent[id&(recentValues-1)]
	if to == nil || *slot == id {
		return
	}
	*slot = id
	to.values.add(mix(h.value))
	var room [len(rungs)]uint64
	for _, fp := range appendPrefixes(room[:0], h.name, value) {
		to.prefixes.add(mix(fp))
	}
	if len(value) > maxGramValue {
		return
	}
	for g := range grams(value, true, true) {
		to.trigrams.add(mix(uint64(g)))
	}
	for f := range infixes(value) {
		to.infixes.add(f.payload())
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
			a, b := j, i
			if byHash[ls[b].name] < byHash[ls[a].name] {
				a, b = b, a
			}
			x, y := ls[a].name, ls[b].name
			if p := c.pair(byHash[x], byHash[y]); p != nil {
				o.pairs = append(o.pairs, pairCount{
					a: uint8(a), b: uint8(b), base: pairBase(x, y), bases: [2]uint64{prefixBase(x, y), prefixBase(y, x)}, counts: p,
					metricLast: byHash[y] == labels.MetricName,
				})
			}
		}
	}
	return o
}

func (c *Census) label(name string) *labelCount {
	l := c.labels[name]
	if l == nil && len(c.labels) < maxCensusLabels {
		l = &labelCount{values: newSketch(valueRegisters, exactValues), trigrams: newSketch(valueRegisters, 0), prefixes: newSketch(valueRegisters, 0), infixes: newSketch(valueRegisters, 0)}
		c.labels[name] = l
	}
	return l
}

func (c *Census) pair(a, b string) *pairCounts {
	key := pairKey(a, b)
	p := c.pairs[key]
	if p == nil && len(c.pairs) < maxCensusPairs && c.labels[a] != nil && c.labels[b] != nil && a != b {
		p = &pairCounts{values: newSketch(pairRegisters, 0)}
		p.prefixes = [2]*sketch{newSketch(prefixRegisters, 0), newSketch(prefixRegisters, 0)}
		if a == labels.MetricName || b == labels.MetricName {
			p.infixes = newSketch(prefixRegisters, 0)
		}
		c.pairs[key] = p
	}
	return p
}
