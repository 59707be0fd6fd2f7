package aggregate

import (
	"hash/crc32"
	"sync"

	"github.com/cespare/xxhash/v2"
	"github.com/prometheus/prometheus/storage"
)

// known finds inputs by their labels as they were sent, so that these need not be
// decoded: a sender sends the same bytes each time. It is a hash table of entries of
// 16 bytes, 80 bits of which say that the bytes are the same. Inputs that are kept, and
// histograms, are not in it. It is safe for concurrent use.
type known struct {
	parts [shards]knownPart
}

type knownPart struct {
	mu    sync.RWMutex
	slots []knownInput // a power of two, at most three quarters in use
	n     int
}

// knownInput is where an input is, and which use of the place is meant.
type knownInput struct {
	hash   uint64
	place  uint32 // plus one, the shard in the highest four bits
	gen    uint16
	verify uint16
}

// knownPlaces is how many places of a shard fit in an entry.
const knownPlaces = 1<<28 - 1

// noPlace is the place, plus one, of an empty slot.
const noPlace = 0

// Key stands for the labels of a series in some form: 80 bits of hashes of them. Forms
// that differ must not have equal hashes.
type Key struct {
	Hash   uint64
	Verify uint16
}

// keyOf is the key of labels as they were sent.
func keyOf(raw []byte) Key {
	return Key{xxhash.Sum64(raw), uint16(crc32.Checksum(raw, castagnoli))}
}

// find returns an entry.
func (k *known) find(hash uint64, verify uint16) (knownInput, bool) {
	p := &k.parts[hash%shards]
	p.mu.RLock()
	defer p.mu.RUnlock()
	if len(p.slots) == 0 {
		return knownInput{}, false
	}
	s := p.slots[p.slot(hash)]
	return s, s.place != noPlace && s.verify == verify
}

// slot returns where the entry of a hash is, or would be.
func (p *knownPart) slot(hash uint64) uint64 {
	mask := uint64(len(p.slots) - 1)
	i := home(hash) & mask
	for p.slots[i].place != noPlace && p.slots[i].hash != hash {
		i = (i + 1) & mask
	}
	return i
}

// add adds or replaces an entry. Most is how many there may be: entries of inputs that
// were forgotten stay until there are more, and then all go.
func (k *known) add(s knownInput, most int) {
	p := &k.parts[s.hash%shards]
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.n > most {
		p.slots, p.n = nil, 0
	}
	if 4*(p.n+1) > 3*len(p.slots) {
		old := p.slots
		p.slots = make([]knownInput, max(16, 2*len(old)))
		for _, o := range old {
			if o.place != noPlace {
				p.slots[p.slot(o.hash)] = o
			}
		}
	}
	i := p.slot(s.hash)
	if p.slots[i].place == noPlace {
		p.n++
	}
	p.slots[i] = s
}

// AppendKnown appends a sample to the input whose labels were learned in that form. It
// returns false if there is none: then the labels must be decoded. It is a method of
// the appenders that Appendable.Appender returns.
func (p *appender) AppendKnown(labels []byte, t int64, v float64) bool {
	return p.AppendKey(keyOf(labels), 0, t, v)
}

// AppendKey is AppendKnown for labels that are known by a key of another form. st is
// the start timestamp of the sample, 0 if there is none.
func (p *appender) AppendKey(k Key, st, t int64, v float64) bool { return p.tx.known(k, st, t, v) }

// Learn notes that labels in that form are those of a reference that the appender
// returned.
func (p *appender) Learn(labels []byte, ref storage.SeriesRef) {
	if p.tx.learns(ref) {
		p.tx.learn(keyOf(labels), ref)
	}
}

// Learns reports whether it is of any use to learn labels of a reference.
func (p *appender) Learns(ref storage.SeriesRef) bool { return p.tx.learns(ref) }

// LearnKey is Learn for a key.
func (p *appender) LearnKey(k Key, ref storage.SeriesRef) { p.tx.learn(k, ref) }

// AppendKey is that of appender.
func (p *appenderV2) AppendKey(k Key, st, t int64, v float64) bool { return p.tx.known(k, st, t, v) }

// Learns is that of appender.
func (p *appenderV2) Learns(ref storage.SeriesRef) bool { return p.tx.learns(ref) }

// LearnKey is that of appender.
func (p *appenderV2) LearnKey(k Key, ref storage.SeriesRef) { p.tx.learn(k, ref) }

// known takes a sample of an input that is known by a key, if there is one.
func (t *tx) known(k Key, st, at int64, v float64) bool {
	s, ok := t.a.known.find(k.Hash, k.Verify)
	if !ok {
		return false
	}
	r := route{input: true, shard: int((s.place - 1) >> 28), idx: (s.place - 1) & knownPlaces, gen: s.gen}
	sh := t.a.shards[r.shard]
	sh.mu.RLock()
	ok = sh.used(r.idx)
	var in input
	if ok {
		in = sh.inputs[r.idx]
	}
	sh.mu.RUnlock()
	if !ok || in.gen != s.gen || in.epoch != uint32(t.rules.epoch) || in.keep || in.kind.histogram() {
		return false
	}
	t.float(r, st, at, v)
	return true
}

// learns reports whether a reference is that of an input that can be known.
func (t *tx) learns(ref storage.SeriesRef) bool {
	return ref&refInput != 0 && ref&(refKeep|refHistogram) == 0 && epochOf(ref) == t.rules.epoch&refEpoch
}

// learn notes the key of an input.
func (t *tx) learn(k Key, ref storage.SeriesRef) {
	if !t.learns(ref) {
		return
	}
	s, idx := int(ref>>30&(shards-1)), uint32(ref&(refPlaces-1))
	if idx >= knownPlaces-1 {
		return
	}
	sh := t.a.shards[s]
	sh.mu.RLock()
	ok := sh.used(idx)
	var gen uint16
	if ok {
		gen = sh.inputs[idx].gen
	}
	most := minPending + 2*len(sh.inputs)
	sh.mu.RUnlock()
	if !ok || uint64(gen&refGen) != uint64(ref)>>34&refGen {
		return
	}
	t.a.known.add(knownInput{hash: k.Hash, verify: k.Verify, place: (uint32(s)<<28 | idx) + 1, gen: gen}, most)
}
