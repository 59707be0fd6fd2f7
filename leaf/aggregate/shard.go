package aggregate

import (
	"hash/crc32"
	"math"
	"sync"

	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
)

// shards is the number of parts of the inputs, so that appenders seldom meet. A
// power of two, and at most 16 for refs to hold it.
const shards = 16

// input is what is needed of an input to find it: 24 bytes.
type input struct {
	hash   uint64 // of the labels
	verify uint32 // another hash of them
	group  uint32 // noGroup if the place is free
	epoch  uint32 // of the rules that it was last found to match, cut
	gen    uint16 // how often the place was used
	kind   kind
	keep   bool // stored raw too
}

// last is what is known of the samples of an input: 16 bytes. The value is that
// of the last sample; before there is one, the time since when it is waited for.
type last struct {
	v  float64
	at int64 // twice the time of the last sample, plus one if a stale marker came after
}

// unseen is the time of no sample.
const unseen = math.MinInt64

func (l last) time() int64 { return l.at >> 1 }
func (l last) ended() bool { return l.at&1 != 0 }
func (l last) seen() bool  { return l.at != unseen }

// sample is a sample that waits to be taken in: 24 bytes.
type sample struct {
	idx uint32
	age uint32 // the start timestamp is that much before t; 0 if unknown
	t   int64
	v   float64
}

// histSample is a sample of a histogram that waits.
type histSample struct {
	sample
	h *histogram.FloatHistogram
}

// shard is a part of the inputs. Its mu guards what appenders use. Inputs are
// changed under Aggregator.mu too, so either is enough to read them; lasts and hists
// are used under Aggregator.mu only.
type shard struct {
	mu      sync.RWMutex
	index   index
	inputs  []input
	free    []uint32
	raw     map[uint32]storage.SeriesRef // of inputs that are kept
	pending []sample
	hpend   []histSample

	lasts []last
	hists map[uint32]*histogram.FloatHistogram
}

func newShard() *shard {
	return &shard{raw: map[uint32]storage.SeriesRef{}, hists: map[uint32]*histogram.FloatHistogram{}}
}

// hashes returns two hashes of labels: to find an input, and to make sure.
func hashes(lset labels.Labels, buf []byte) (hash uint64, verify uint32, _ []byte) {
	buf = lset.Bytes(buf[:0])
	return lset.Hash(), crc32.Checksum(buf, castagnoli), buf
}

// probe changes when labels are hashed in another way than before.
func probe() uint64 {
	hash, verify, _ := hashes(labels.FromStrings(labels.MetricName, "probe", "a", "b", "le", "0.1"), nil)
	return hash ^ uint64(verify)<<17
}

// find returns the place of an input. The caller holds mu or Aggregator.mu.
func (sh *shard) find(hash uint64, verify uint32) (idx uint32, clash, ok bool) {
	idx, ok = sh.index.find(sh.inputs, hash)
	if !ok {
		return 0, false, false
	}
	clash = sh.inputs[idx].verify != verify
	return idx, clash, !clash
}

// has reports whether there is an input with that hash.
func (sh *shard) has(hash uint64) bool {
	sh.mu.RLock()
	defer sh.mu.RUnlock()
	_, ok := sh.index.find(sh.inputs, hash)
	return ok
}

// place returns a place for a new input, to be put there.
func (sh *shard) place() uint32 {
	n := len(sh.free)
	if n == 0 {
		return uint32(len(sh.inputs))
	}
	idx := sh.free[n-1]
	sh.free = sh.free[:n-1]
	return idx
}

// put puts an input at a place, which place returned or where it is already. The
// caller holds both locks. Now is the time from which a new one is waited for.
func (sh *shard) put(idx uint32, in input, now int64) {
	for uint32(len(sh.inputs)) <= idx {
		sh.inputs = append(sh.inputs, input{group: noGroup})
		sh.lasts = append(sh.lasts, last{})
	}
	if sh.inputs[idx].group != noGroup {
		sh.inputs[idx] = in
		return
	}
	in.gen = sh.inputs[idx].gen
	sh.inputs[idx], sh.lasts[idx] = in, last{v: float64(now), at: unseen}
	sh.index.add(sh.inputs, idx)
}

// findFree lists the free places, which recovery does not keep account of.
func (sh *shard) findFree() {
	sh.free = sh.free[:0]
	for i := range sh.inputs {
		if sh.inputs[i].group == noGroup {
			sh.free = append(sh.free, uint32(i))
		}
	}
}

// forget frees a place. The caller holds both locks.
func (sh *shard) forget(idx uint32) {
	in := &sh.inputs[idx]
	sh.index.remove(sh.inputs, idx)
	delete(sh.raw, idx)
	delete(sh.hists, idx)
	*in = input{group: noGroup, gen: in.gen + 1}
	sh.free = append(sh.free, idx)
}

// full reports whether so much waits that it should be taken in before its time.
func (sh *shard) full() bool {
	return len(sh.pending)+len(sh.hpend) > minPending+maxPending*len(sh.inputs)
}

// How many samples wait, at most, for each input, and for a shard with few.
const (
	maxPending = 8
	minPending = 4096
)

// Refs of series, as appenders return them and are given them again. Of an input:
//
//	63: 1 | 62: histogram | 61: kept | 48-60: epoch | 34-47: gen | 30-33: shard | 0-29: place
//
// Of a series that is no input, so that nobody looks again before rules change:
//
//	63: 0 | 62: 1 | 48-60: epoch | 0-47: the TSDB's own ref
const (
	refInput, refHistogram, refKeep = 1 << 63, 1 << 62, 1 << 61
	refPassed                       = 1 << 62
	refEpoch                        = 1<<13 - 1
	refGen                          = 1<<14 - 1
	refPlaces                       = 1 << 30
	refOwn                          = 1<<48 - 1
)

func inputRef(in *input, s int, idx uint32, epoch uint64) storage.SeriesRef {
	ref := uint64(refInput) | (epoch&refEpoch)<<48 | uint64(in.gen&refGen)<<34 | uint64(s)<<30 | uint64(idx)
	if in.kind.histogram() {
		ref |= refHistogram
	}
	if in.keep {
		ref |= refKeep
	}
	return storage.SeriesRef(ref)
}

// passedRef marks the TSDB's ref of a series that is no input.
func passedRef(ref storage.SeriesRef, epoch uint64) storage.SeriesRef {
	if ref == 0 || ref > refOwn {
		return ref
	}
	return ref | refPassed | storage.SeriesRef((epoch&refEpoch)<<48)
}

// ownRef returns the TSDB's ref, or 0 if there is none in it.
func ownRef(ref storage.SeriesRef) storage.SeriesRef {
	if ref&refInput != 0 {
		return 0
	}
	return ref & refOwn
}

func epochOf(ref storage.SeriesRef) uint64 { return uint64(ref) >> 48 & refEpoch }
