package fieldhint

import (
	"math"
	"math/bits"
	"sync"
	"sync/atomic"

	"github.com/cespare/xxhash/v2"
	"github.com/prometheus/prometheus/model/labels"
)

// interned is a label all of whose facts are in a log. Labels with the same id,
// if that is not zero, are equal; the same label may have several ids.
type interned struct {
	hashed
	id    uint32
	label labels.Label
}

func (n *interned) labelName() string { return n.label.Name }

// interner remembers labels whose fingerprints are in the log, so that a label
// that many series share costs one lookup, and so that pairs of labels can be told
// by numbers. It compares whole strings, not hashes: two values with the same hash
// have different trigrams. Two slots per hash keep the latest two labels.
type interner struct {
	size  int
	once  sync.Once
	slots []atomic.Pointer[interned]
	ids   atomic.Uint64
}

// find returns the label, and false if it is not known.
func (c *interner) find(slot uint64, lb labels.Label) (interned, bool) {
	c.once.Do(func() { c.slots = make([]atomic.Pointer[interned], (c.size+1)&^1) })
	i, ok := c.slot(slot)
	if !ok {
		return interned{}, false
	}
	if a := c.slots[i].Load(); a != nil && a.label == lb {
		return *a, true
	}
	if b := c.slots[i+1].Load(); b != nil && b.label == lb {
		return *b, true
	}
	return interned{}, false
}

// put remembers a label, if it is not too long and there is any room.
func (c *interner) put(slot uint64, h hashed, lb labels.Label) interned {
	i, ok := c.slot(slot)
	if !ok || len(lb.Name)+len(lb.Value) > 2*maxGramValue {
		return interned{hashed: h, label: lb}
	}
	own := lb.Name + lb.Value // a copy: a label may keep a whole label set alive
	n := c.name(labels.Label{Name: own[:len(lb.Name)], Value: own[len(lb.Name):]})
	if a := c.slots[i].Load(); a != nil {
		c.slots[i+1].Store(a)
	}
	c.slots[i].Store(&n)
	return n
}

// name gives a label an id that no other one has, as long as there are any. The
// label is kept.
func (c *interner) name(lb labels.Label) interned {
	n := interned{hashed: hashed{xxhash.Sum64String(lb.Name), xxhash.Sum64String(lb.Value)}, label: lb}
	if id := c.ids.Add(1); id <= math.MaxUint32 {
		n.id = uint32(id)
	}
	return n
}

func (c *interner) slot(hash uint64) (int, bool) {
	hi, _ := bits.Mul64(hash, uint64(len(c.slots)/2))
	return int(hi) * 2, len(c.slots) > 0
}

// intern adds the fingerprints of one label, and reports whether any is new.
func (l *fpLog) intern(lb labels.Label) (n interned, added bool) {
	h := hashed{xxhash.Sum64String(lb.Name), xxhash.Sum64String(lb.Value)}
	slot := mix(h.name ^ mix(h.value))
	n, ok := l.known.find(slot, lb)
	if ok {
		return n, false
	}
	var room [128]uint64
	added = l.insertAll(appendLabel(room[:0], h.name, lb.Value, h.value, l.scheme.label(lb.Name)))
	return l.known.put(slot, h, lb), added
}
