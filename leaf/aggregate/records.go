package aggregate

import (
	"errors"
	"fmt"
	"math"

	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/tsdb/encoding"
	"github.com/prometheus/prometheus/tsdb/record"
)

// Records begin with a byte that says what they are. Numbers are varints, floats 8
// bytes, strings have their length before them.
const (
	// Of a journal: events, in the order in which they happened to each shard.
	recBegin   byte = iota + 1 // version, whether what follows is of no use, hash of the probe
	recRule                    // id, since; 0 if it is gone
	recGroup                   // number, group it replaces, spec, outputs
	recInput                   // shard, place, hashes, group, kept, now
	recFloats                  // shard, samples
	recHists                   // shard, samples
	recSeal                    // shard, interval, T: what is due was taken in
	recDrain                   // shard: all was taken in
	recResume                  // group, what is stored of it
	recForget                  // shard, places
	recUngroup                 // group
	recLastly                  // interval, T of its last outputs, or before its first
	recSealed                  // interval, T: outputs of T follow from the state
	recCatchUp                 // interval, T: inputs of groups that are ahead of them begin anew

	// Of a snapshot.
	recTotals // group, its totals and flags, what has taken its place
	recLasts  // shard, place of the first, lasts
	recHist   // shard, place, the last histogram
	recEnd    // the snapshot is whole
)

// version is that of the form of records.
const version = 1

// maxBatch is how many samples or lasts are put in a record.
const maxBatch = 1 << 16

var errRecord = errors.New("record not understood")

func newRecord(what byte) encoding.Encbuf {
	var e encoding.Encbuf
	e.PutByte(what)
	return e
}

func encodeBegin(useless bool) []byte {
	e := newRecord(recBegin)
	e.PutUvarint(version)
	putBool(&e, useless)
	e.PutBE64(probe())
	return e.Get()
}

func putBool(e *encoding.Encbuf, b bool) {
	e.PutByte(map[bool]byte{true: 1}[b])
}

func encodeRule(id string, since int64) []byte {
	e := newRecord(recRule)
	e.PutUvarintStr(id)
	e.PutVarint64(since)
	return e.Get()
}

func encodeGroup(gid, old uint32, g *group) []byte {
	e := newRecord(recGroup)
	e.PutUvarint32(gid)
	e.PutUvarint32(old)
	e.PutUvarintStr(g.rule)
	e.PutUvarintStr(g.metric)
	e.PutByte(byte(g.kind))
	for _, n := range []int64{g.interval, g.staleness, g.forget, g.since} {
		e.PutVarint64(n)
	}
	e.PutUvarint(len(g.ops))
	for i, op := range g.ops {
		e.PutUvarintStr(string(op))
		e.PutUvarint(g.outputs[i].Len())
		g.outputs[i].Range(func(l labels.Label) {
			e.PutUvarintStr(l.Name)
			e.PutUvarintStr(l.Value)
		})
	}
	return e.Get()
}

func decodeGroup(d *encoding.Decbuf) (gid, old uint32, g *group) {
	gid, old = uint32(d.Uvarint()), uint32(d.Uvarint())
	g = &group{next: noGroup}
	g.rule, g.metric, g.kind = d.UvarintStr(), d.UvarintStr(), kind(d.Byte())
	for _, n := range []*int64{&g.interval, &g.staleness, &g.forget, &g.since} {
		*n = d.Varint64()
	}
	var b labels.ScratchBuilder
	for n := d.Uvarint(); n > 0 && d.Err() == nil; n-- {
		g.ops = append(g.ops, Op(d.UvarintStr()))
		b.Reset()
		for k := d.Uvarint(); k > 0 && d.Err() == nil; k-- {
			b.Add(d.UvarintStr(), d.UvarintStr())
		}
		g.outputs = append(g.outputs, b.Labels())
	}
	return gid, old, g
}

func encodeInput(s int, idx uint32, in input, now int64) []byte {
	e := newRecord(recInput)
	e.PutByte(byte(s))
	e.PutUvarint32(idx)
	e.PutBE64(in.hash)
	e.PutBE32(in.verify)
	e.PutUvarint32(in.group)
	e.PutByte(byte(in.kind))
	putBool(&e, in.keep)
	e.PutVarint64(now)
	return e.Get()
}

func decodeInput(d *encoding.Decbuf) (s int, idx uint32, in input, now int64) {
	s, idx = int(d.Byte()), uint32(d.Uvarint())
	in = input{hash: d.Be64(), verify: d.Be32(), group: uint32(d.Uvarint()), kind: kind(d.Byte()), keep: d.Byte() == 1}
	return s, idx, in, d.Varint64()
}

// putSample puts a sample but for its value; t is that of the sample before.
func putSample(e *encoding.Encbuf, s sample, t int64) {
	e.PutUvarint32(s.idx)
	e.PutUvarint32(s.age)
	e.PutVarint64(s.t - t)
}

func getSample(d *encoding.Decbuf, t int64) sample {
	return sample{idx: uint32(d.Uvarint()), age: uint32(d.Uvarint()), t: t + d.Varint64()}
}

// encodeFloats encodes samples into a buffer that is used again.
func encodeFloats(e *encoding.Encbuf, s int, samples []sample) []byte {
	e.Reset()
	e.PutByte(recFloats)
	e.PutByte(byte(s))
	e.PutUvarint(len(samples))
	var t int64
	for i := range samples {
		putSample(e, samples[i], t)
		t = samples[i].t
		e.PutBE64(math.Float64bits(samples[i].v))
	}
	return e.Get()
}

func decodeFloats(d *encoding.Decbuf, out []sample) (int, []sample) {
	s := int(d.Byte())
	var t int64
	for n := d.Uvarint(); n > 0 && d.Err() == nil; n-- {
		x := getSample(d, t)
		x.v = math.Float64frombits(d.Be64())
		t = x.t
		out = append(out, x)
	}
	return s, out
}

func encodeHists(s int, samples []histSample) []byte {
	e := newRecord(recHists)
	e.PutByte(byte(s))
	e.PutUvarint(len(samples))
	for _, x := range samples {
		putSample(&e, x.sample, 0)
		record.EncodeFloatHistogram(&e, x.h)
	}
	return e.Get()
}

func decodeHists(d *encoding.Decbuf, out []histSample) (int, []histSample) {
	s := int(d.Byte())
	for n := d.Uvarint(); n > 0 && d.Err() == nil; n-- {
		x := histSample{sample: getSample(d, 0), h: &histogram.FloatHistogram{}}
		record.DecodeFloatHistogram(d, x.h)
		out = append(out, x)
	}
	return s, out
}

func encodeSeal(s int, interval, t int64) []byte {
	e := newRecord(recSeal)
	e.PutByte(byte(s))
	e.PutVarint64(interval)
	e.PutVarint64(t)
	return e.Get()
}

func encodeDrain(s int) []byte {
	e := newRecord(recDrain)
	e.PutByte(byte(s))
	return e.Get()
}

func encodeTimes(what byte, interval, t int64) []byte {
	e := newRecord(what)
	e.PutVarint64(interval)
	e.PutVarint64(t)
	return e.Get()
}

func putTotals(e *encoding.Encbuf, v float64, h *histogram.FloatHistogram) {
	e.PutBE64(math.Float64bits(v))
	putBool(e, h != nil)
	if h != nil {
		record.EncodeFloatHistogram(e, h)
	}
}

func getTotals(d *encoding.Decbuf) (float64, *histogram.FloatHistogram) {
	v := math.Float64frombits(d.Be64())
	if d.Byte() == 0 {
		return v, nil
	}
	h := &histogram.FloatHistogram{}
	record.DecodeFloatHistogram(d, h)
	return v, h
}

func encodeResume(gid uint32, s Stored) []byte {
	e := newRecord(recResume)
	e.PutUvarint32(gid)
	e.PutVarint64(s.Time)
	putTotals(&e, s.Value, s.Hist)
	return e.Get()
}

func decodeResume(d *encoding.Decbuf) (gid uint32, s Stored) {
	gid, s.Time = uint32(d.Uvarint()), d.Varint64()
	s.Value, s.Hist = getTotals(d)
	return gid, s
}

func encodeTotals(gid uint32, g *group) []byte {
	e := newRecord(recTotals)
	e.PutUvarint32(gid)
	putTotals(&e, g.total, g.hist)
	putBool(&e, g.fresh)
	putBool(&e, g.emitted)
	e.PutUvarint32(g.next)
	e.PutVarint64(g.lost)
	return e.Get()
}

func encodeForget(s int, places []uint32) []byte {
	e := newRecord(recForget)
	e.PutByte(byte(s))
	e.PutUvarint(len(places))
	for _, idx := range places {
		e.PutUvarint32(idx)
	}
	return e.Get()
}

func encodeUngroup(gid uint32) []byte {
	e := newRecord(recUngroup)
	e.PutUvarint32(gid)
	return e.Get()
}

func encodeLasts(s, from int, lasts []last) []byte {
	e := newRecord(recLasts)
	e.PutByte(byte(s))
	e.PutUvarint(from)
	e.PutUvarint(len(lasts))
	for _, l := range lasts {
		e.PutVarint64(l.at)
		e.PutBE64(math.Float64bits(l.v))
	}
	return e.Get()
}

func encodeHist(s int, idx uint32, h *histogram.FloatHistogram) []byte {
	e := newRecord(recHist)
	e.PutByte(byte(s))
	e.PutUvarint32(idx)
	record.EncodeFloatHistogram(&e, h)
	return e.Get()
}

func notUnderstood(what byte) error { return fmt.Errorf("%w: type %d", errRecord, what) }
