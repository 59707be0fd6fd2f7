package fieldhint

import (
	"math/bits"
	"slices"
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
// with them.
func (s *seriesHashes) complete(external []hashed) {
	own := s.all()
	for _, e := range external {
		if !slices.ContainsFunc(own, func(h hashed) bool { return h.name == e.name }) {
			s.add(e)
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
	of    [][]uint16 // by place of a label: the pairs that it is in
}

// pairOf is a pair of labels about which anything is kept.
type pairOf struct {
	a, b   uint8  // places of the labels in the series
	places uint64 // the bits of the two
	values bool   // pairs of values are kept
	base   uint64
	// prefixed says whether prefixes of b are kept with values of a, and the other
	// way; bases are those of these facts.
	prefixed [2]bool
	bases    [2]uint64
	// infixed says that one is the metric's name, and that infixes of the other are
	// kept with it.
	infixed bool
}

func (p *pairing) fits(ls []interned) bool {
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
	l.scheme, l.external, l.outer = scheme, external, nil
	external.Range(func(lb labels.Label) {
		if lb.Value != "" {
			l.outer = append(l.outer, l.known.name(lb))
		}
	})
	return l
}

// pairer adds facts about pairs to a log. The zero value works.
type pairer struct {
	once     sync.Once
	pairings []atomic.Pointer[pairing]
	shift    int
	size     atomic.Int64 // pairs in pairings
	// known remembers pairs of interned labels all of whose facts are in the log.
	known     []atomic.Uint64
	knownBits int
	unpaired  atomic.Int64 // fingerprints of what is not kept
	off       atomic.Bool  // the log is unpaired of everything
}

func (p *pairer) init(scheme *Scheme, cacheSize int) {
	p.once.Do(func() {
		p.shift = 64 - min(maxPairingBits, max(minPairingBits, bits.Len(uint(cacheSize/16))))
		p.pairings = make([]atomic.Pointer[pairing], 1<<(64-p.shift))
		if scheme.pairsKept() && cacheSize > 0 {
			p.knownBits = bits.Len(uint(cacheSize - 1))
			p.known = make([]atomic.Uint64, 1<<p.knownBits)
		}
	})
}

// pairing finds out which pairs of a series are kept. It adds that the others are
// not, and reports whether that is new. The label set is that of the series, for
// the names.
func (p *pairer) pairing(l *fpLog, ls []interned) (way *pairing, added bool) {
	p.init(l.scheme, l.known.size)
	key := uint64(len(ls))
	for i := range ls {
		key = (bits.RotateLeft64(key, 5) ^ ls[i].name) * 0x9e3779b97f4a7c15
	}
	slot := &p.pairings[key>>p.shift]
	if way = slot.Load(); !way.fits(ls) {
		way, added = l.pair(ls)
		p.remember(slot, way)
	}
	return way, added
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

// slots are the two places where it may be known that all facts about a pair of
// labels are there, in one line of the cache; nil if that is not remembered.
func (p *pairer) slots(id uint64) (latest, older *atomic.Uint64) {
	if len(p.known) < 2 {
		return nil, nil
	}
	at := id * 0x9e3779b97f4a7c15 >> (64 - p.knownBits)
	return &p.known[at], &p.known[at^1]
}

// knows reports whether all facts about a pair of labels are there.
func (p *pairer) knows(id uint64) bool {
	latest, older := p.slots(id)
	return latest != nil && (latest.Load() == id || older.Load() == id)
}

// know remembers that all facts about a pair of labels are there.
func (p *pairer) know(id uint64) {
	if latest, older := p.slots(id); latest != nil {
		older.Store(latest.Swap(id))
	}
}

// pair works out which pairs of a series are kept, and adds the facts that the
// others are not.
func (l *fpLog) pair(ls []interned) (_ *pairing, added bool) {
	way := &pairing{names: make([]uint64, len(ls)), of: make([][]uint16, len(ls))}
	var room [8]uint64
	for i := range ls {
		way.names[i] = ls[i].name
		for j := range i {
			p, lacks := l.pairOf(room[:0], &ls[j], &ls[i])
			if p.a, p.b, p.places = uint8(j), uint8(i), 1<<i|1<<j; p.values || p.prefixed[0] || p.prefixed[1] || p.infixed {
				way.of[j] = append(way.of[j], uint16(len(way.kept)))
				way.of[i] = append(way.of[i], uint16(len(way.kept)))
				way.kept = append(way.kept, p)
			}
			for _, fp := range lacks {
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

// pairOf says what is kept of two labels, and appends what is not.
func (l *fpLog) pairOf(dst []uint64, a, b *interned) (pairOf, []uint64) {
	x, y := a.label.Name, b.label.Name
	p := pairOf{
		values: l.scheme.keepsPair(x, y), base: pairBase(a.name, b.name),
		prefixed: [2]bool{l.scheme.keepsPrefixPair(x, y), l.scheme.keepsPrefixPair(y, x)},
		bases:    [2]uint64{prefixBase(a.name, b.name), prefixBase(b.name, a.name)},
	}
	if !p.values {
		dst = appendUnpaired(dst, a.name, b.name)
	}
	if !p.prefixed[0] {
		dst = appendUnprefixedPair(dst, a.name, b.name, !l.scheme.prefixes(x))
	}
	if !p.prefixed[1] {
		dst = appendUnprefixedPair(dst, b.name, a.name, !l.scheme.prefixes(y))
	}
	if _, other, ok := metricFirst(a, b, (*interned).labelName); ok {
		if p.infixed = l.scheme.keepsInfixPair(other.label.Name); !p.infixed {
			dst = appendSure(dst, other.name, factUninfixedPair)
		}
	}
	return p, dst
}

// unpairAll says that the log's pairs are good for nothing, and ends them.
func (l *fpLog) unpairAll() (added bool) {
	var room [6]uint64
	added = l.insertAll(AppendUninfixedOfAll(AppendUnprefixedOfAll(AppendUnpairedOfAll(room[:0]))))
	l.pairs.off.Store(true)
	return added
}
