package fieldhint

import (
	"math/bits"
	"sync"
	"sync/atomic"

	"github.com/cespare/xxhash/v2"
	"github.com/prometheus/prometheus/model/labels"
)

// Bounds on what is told of pairs. Beyond each of them, a log says that it is
// unpaired of everything, which is true of every log that holds less.
const (
	maxPaired   = 64      // labels of one series
	maxUnpaired = 1 << 14 // pairs of labels whose values are not kept
)

// hashed is a label by its hashes. Facts about pairs depend on nothing else, so
// that what is remembered of pairs may be found by hashes: labels that are
// mistaken for one another have the same facts.
type hashed struct{ name, value uint64 }

// before puts two labels in the order in which they make a pair, whichever is
// found first.
func (h hashed) before(o hashed) bool {
	return h.name < o.name || h.name == o.name && h.value < o.value
}

// pairName is the hash of the names of two labels, as a name for fact.
func pairName(a, b uint64) uint64 { return mix(mix(min(a, b)) ^ max(a, b)) }

// pairBase is what the facts pair(a=…, b=…) of two labels have in common.
func pairBase(a, b uint64) uint64 {
	return about(pairName(a, b), factPair)
}

func pairFact(base uint64, a, b hashed) uint64 {
	if b.before(a) {
		a, b = b, a
	}
	return mix(mix(base^a.value)^b.value) & fingerprintMask
}

// appendUnpaired appends the fact that the pair of values of two labels is not
// kept.
func appendUnpaired(dst []uint64, a, b uint64) []uint64 {
	return appendSure(dst, pairName(a, b), factUnpaired)
}

// AppendUnpairedOfAll appends the fact that the pairs of some series are not
// kept, whichever they are. A parent adds it to the hint of a child that knows
// of no pairs, such as one of an older release.
func AppendUnpairedOfAll(dst []uint64) []uint64 { return appendSure(dst, 0, factUnpairedAll) }

// seriesHashes are the labels of one series.
type seriesHashes struct {
	n      int // may be more than there is room for
	labels [maxPaired]hashed
}

func (s *seriesHashes) add(h hashed) {
	if s.n < maxPaired {
		s.labels[s.n] = h
	}
	s.n++
}

func (s *seriesHashes) all() []hashed { return s.labels[:min(s.n, maxPaired)] }

// complete adds the external labels that the series lacks, since it is served
// with them. It returns false if the series has another value of one: then it
// is not known with which it is served.
func (s *seriesHashes) complete(external []hashed) bool {
	ok := true
	own := s.all()
	for _, e := range external {
		found := false
		for _, h := range own {
			if h.name == e.name {
				found, ok = true, ok && h == e
			}
		}
		if !found {
			s.add(e)
		}
	}
	return ok
}

// override gives the series the external labels' values.
func (s *seriesHashes) override(external []hashed) {
	own := s.all()
	for _, e := range external {
		for i := range own {
			if own[i].name == e.name {
				own[i] = e
			}
		}
	}
}

func hashAll(lset labels.Labels) []hashed {
	out := make([]hashed, 0, lset.Len())
	lset.Range(func(l labels.Label) {
		if l.Value != "" {
			out = append(out, hashed{xxhash.Sum64String(l.Name), xxhash.Sum64String(l.Value)})
		}
	})
	return out
}

// pairing says which pairs of a series are kept, for all series that have labels
// of the same names: there are few of those.
type pairing struct {
	names []uint64
	kept  []pairOf
}

type pairOf struct {
	a, b uint8 // places of the labels in the series
	base uint64
}

func (p *pairing) of(ls []hashed) bool {
	if p == nil || len(p.names) != len(ls) {
		return false
	}
	for i := range ls {
		if p.names[i] != ls[i].name {
			return false
		}
	}
	return true
}

const (
	maxPairingBits = 12      // places for pairings, to a power of two
	minPairingBits = 6       // the same, of a log with a small cache
	maxPairings    = 1 << 18 // pairs in remembered pairings
)

// keep makes the log keep what scheme says of series that are served with
// external labels. It must be called before anything is added.
func (l *fpLog) keep(scheme *Scheme, external labels.Labels) *fpLog {
	l.scheme, l.external, l.outer = scheme, external, hashAll(external)
	return l
}

// pairer adds facts about pairs to a log. The zero value works.
type pairer struct {
	once     sync.Once
	pairings []atomic.Pointer[pairing]
	shift    int
	size     atomic.Int64 // pairs in pairings
	// known remembers fingerprints that are in the log.
	known    []atomic.Uint64
	unpaired atomic.Int64 // fingerprints of factUnpaired
	off      atomic.Bool  // the log is unpaired of everything
}

func (p *pairer) init(scheme *Scheme, cacheSize int) {
	p.once.Do(func() {
		p.shift = 64 - min(maxPairingBits, max(minPairingBits, bits.Len(uint(cacheSize/16))))
		p.pairings = make([]atomic.Pointer[pairing], 1<<(64-p.shift))
		if scheme.pairsKept() && cacheSize > 0 {
			p.known = make([]atomic.Uint64, 1<<bits.Len(uint(cacheSize-1)))
		}
	})
}

// addPairs adds the facts about the pairs of a series, and reports whether any
// is new. The label set is that of the series, for the names.
func (l *fpLog) addPairs(s *seriesHashes, lset labels.Labels) (added bool) {
	p := &l.pairs
	if s.n < 2 || p.off.Load() {
		return false
	}
	if s.n > maxPaired {
		return l.unpairAll()
	}
	p.init(l.scheme, l.cache.size)
	ls := s.all()
	key := uint64(len(ls))
	for i := range ls {
		key = (bits.RotateLeft64(key, 5) ^ ls[i].name) * 0x9e3779b97f4a7c15
	}
	slot := &p.pairings[key>>p.shift]
	way := slot.Load()
	if !way.of(ls) {
		way, added = l.pair(ls, lset)
		p.remember(slot, way)
	}
	for i := range way.kept {
		k := &way.kept[i]
		added = l.insertKnown(pairFact(k.base, ls[k.a], ls[k.b])) || added
	}
	return added
}

// remember keeps a pairing for the next series like it, if there is room.
func (p *pairer) remember(slot *atomic.Pointer[pairing], way *pairing) {
	n := int64(len(way.kept))
	if p.size.Load()+n > maxPairings {
		return
	}
	p.size.Add(n)
	if old := slot.Swap(way); old != nil {
		p.size.Add(-int64(len(old.kept)))
	}
}

// insertKnown is insert for fingerprints that come again and again.
func (l *fpLog) insertKnown(fp uint64) bool {
	known := l.pairs.known
	if len(known) == 0 || fp == 0 {
		return l.insert(fp)
	}
	slot := &known[fp&uint64(len(known)-1)]
	if slot.Load() == fp {
		return false
	}
	added := l.insert(fp)
	slot.Store(fp)
	return added
}

// pair works out which pairs of a series are kept, and adds the facts that the
// others are not.
func (l *fpLog) pair(ls []hashed, lset labels.Labels) (_ *pairing, added bool) {
	names := l.names(ls, lset)
	way := &pairing{names: make([]uint64, len(ls))}
	var room [2]uint64
	for i := range ls {
		way.names[i] = ls[i].name
		for j := range i {
			if l.scheme.keepsPair(names[i], names[j]) {
				way.kept = append(way.kept, pairOf{a: uint8(j), b: uint8(i), base: pairBase(ls[i].name, ls[j].name)})
				continue
			}
			for _, fp := range appendUnpaired(room[:0], ls[i].name, ls[j].name) {
				if l.insert(fp) {
					added = true
					l.pairs.unpaired.Add(1)
				}
			}
		}
	}
	if l.pairs.unpaired.Load() > 2*maxUnpaired {
		added = l.unpairAll() || added
	}
	return way, added
}

// names are the names of the labels of a series, external ones included.
func (l *fpLog) names(ls []hashed, lset labels.Labels) []string {
	byHash := make(map[uint64]string, len(ls))
	name := func(l labels.Label) { byHash[xxhash.Sum64String(l.Name)] = l.Name }
	l.external.Range(name)
	lset.Range(name)
	names := make([]string, len(ls))
	for i := range ls {
		names[i] = byHash[ls[i].name]
	}
	return names
}

// unpairAll says that the log's pairs are good for nothing, and ends them.
func (l *fpLog) unpairAll() (added bool) {
	var room [2]uint64
	for _, fp := range AppendUnpairedOfAll(room[:0]) {
		added = l.insert(fp) || added
	}
	l.pairs.off.Store(true)
	return added
}
