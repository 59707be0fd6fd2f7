package fieldhint

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/cespare/xxhash/v2"
)

// A frame is a piece of a stream that brings a parent up to date with a child's
// Set. Numbers of fixed size are little-endian, the others varints as in
// encoding/binary, of which the signed ones are zigzag:
//
//	offset  size     content
//	0       1        version, 2
//	1       1        flags: bit 0 complete, bit 1 first; the others are zero
//	2       8        epoch: the random name of the set
//	10      8        number of the frame in its stream, from 0
//	18      …        records
//	        8        xxhash64 of everything before
//
// The flag complete says: with this frame, the parent has all that the child
// had when the frame was made, and the child knows of all its series. A frame
// without records tells the flag alone, and that the child lives. The flag first
// is that of the frame which begins a stream: the parent forgets sections that
// no record of the frame opens, once a frame is complete.
//
// A record is a byte for its kind, the length of its body, and the body:
//
//	1 open          id, generation (signed), begin and end in ms (signed), position, length
//	2 fingerprints  id, position, count, then the packed fingerprints
//	3 drop          id
//	0x80 words      reserved for exact names and values
//	0x81 facts      how many of the later additions to the kinds of facts the
//	                child knows; in a first frame only; none if it is missing
//
// Open tells of a section of the set: a span of time, begin ≤ t < end, without
// end if end is the largest number there is. The parent has the fingerprints
// before position from an earlier stream; the section had length of them when
// the frame was made. Of a section that is open already, the record lowers begin.
// Fingerprints are those of the section from position on. Drop ends the section:
// all that is in it and still needed is in others that were sent before.
//
// A kind from 0x80 on may be ignored by who does not know it, others may not. A
// frame has at most 8,192 fingerprints. See appendPacked for how they are packed:
// sorted and cut to 48 bits they take 37 each in full frames, where 64 plain
// ones took 64, and sorting alone saves 13 of these.
const (
	frameVersion    = 2
	flagComplete    = 1
	flagFirst       = 2
	frameHeaderSize = 18
	frameSumSize    = 8

	recordOpen         = 1
	recordFingerprints = 2
	recordDrop         = 3
	recordOptional     = 0x80
	recordFacts        = 0x81

	// factsPrefixes is the number of additions of a child that knows prefixes.
	factsPrefixes = 1
	// factsInfixes is that of one that knows infixes, too: what this release knows.
	factsInfixes = 2

	// MaxFrameFingerprints is the largest number of fingerprints in a frame.
	MaxFrameFingerprints = 8192
	// MaxFrameSize is the size in bytes of the largest frame.
	MaxFrameSize = 96 << 10
)

var (
	// ErrFrame is the error of a frame that cannot be read: it was damaged or cut
	// short.
	ErrFrame = errors.New("bad field hint frame")
	// errTruncated and errChecksum are the errors of frames that were cut short,
	// and that were damaged otherwise.
	errTruncated = fmt.Errorf("%w: cut short", ErrFrame)
	errChecksum  = fmt.Errorf("%w: checksum does not match", ErrFrame)
	// errForeign is the error of a frame in another version's format.
	errForeign = errors.New("unknown hint format")
)

// frame is a frame, or what an older version's frame amounts to.
type frame struct {
	complete bool
	first    bool
	epoch    uint64
	seq      uint64
	old      bool   // of version 1: seq is the position in the only section
	facts    uint64 // of a first frame: see recordFacts
	records  []record
}

// record is one record of a frame.
type record struct {
	kind   byte
	id     uint64
	number int64 // of open: the generation
	span   Span  // of open
	at     uint64
	total  uint64   // of open, and of facts
	fps    []uint64 // of fingerprints
}

func (fr frame) append(dst []byte) []byte {
	start := len(dst)
	var flags byte
	if fr.complete {
		flags |= flagComplete
	}
	if fr.first {
		flags |= flagFirst
	}
	dst = append(dst, frameVersion, flags)
	dst = binary.LittleEndian.AppendUint64(dst, fr.epoch)
	dst = binary.LittleEndian.AppendUint64(dst, fr.seq)
	if fr.facts > 0 {
		body := binary.AppendUvarint(nil, fr.facts)
		dst = append(binary.AppendUvarint(append(dst, recordFacts), uint64(len(body))), body...)
	}
	for _, r := range fr.records {
		dst = r.append(dst)
	}
	return binary.LittleEndian.AppendUint64(dst, xxhash.Sum64(dst[start:]))
}

// append appends the record. It sorts the fingerprints.
func (r record) append(dst []byte) []byte {
	var room [80]byte
	head := binary.AppendUvarint(room[:0], r.id)
	switch r.kind {
	case recordOpen:
		head = binary.AppendVarint(head, r.number)
		head = binary.AppendVarint(head, r.span.From)
		head = binary.AppendVarint(head, r.span.To)
		head = binary.AppendUvarint(head, r.at)
		head = binary.AppendUvarint(head, r.total)
	case recordFingerprints:
		head = binary.AppendUvarint(head, r.at)
		head = binary.AppendUvarint(head, uint64(len(r.fps)))
	}
	dst = append(dst, r.kind)
	if r.kind != recordFingerprints {
		return append(binary.AppendUvarint(dst, uint64(len(head))), head...)
	}
	// The length comes before what it is the length of: of two bytes, padded.
	at := len(dst)
	dst = append(dst, 0x80, 0x80, 0)
	dst = append(dst, head...)
	dst = appendPacked(dst, r.fps)
	n := len(dst) - at - 3
	dst[at], dst[at+1], dst[at+2] = byte(n)|0x80, byte(n>>7)|0x80, byte(n>>14)
	return dst
}

// decodeFrame reads a frame of this version or an older one. Fingerprints are
// appended to fps[:0], which is returned.
func decodeFrame(b []byte, fps []uint64) (frame, []uint64, error) {
	fps = fps[:0]
	if len(b) == 0 {
		return frame{}, fps, errTruncated
	}
	if len(b) > MaxFrameSize {
		return frame{}, fps, fmt.Errorf("%w: length %d", ErrFrame, len(b))
	}
	switch b[0] {
	case frameVersion:
	case oldFrameVersion:
		return decodeOldFrame(b, fps)
	default:
		return frame{}, fps, fmt.Errorf("%w %d", errForeign, b[0])
	}
	if len(b) < frameHeaderSize+frameSumSize {
		return frame{}, fps, fmt.Errorf("%w to %d bytes", errTruncated, len(b))
	}
	body := b[:len(b)-frameSumSize]
	if xxhash.Sum64(body) != binary.LittleEndian.Uint64(b[len(body):]) {
		return frame{}, fps, damage(body[frameHeaderSize:])
	}
	if b[1]&^(flagComplete|flagFirst) != 0 {
		return frame{}, fps, fmt.Errorf("%w: flags %#x", ErrFrame, b[1])
	}
	f := frame{
		complete: b[1]&flagComplete != 0,
		first:    b[1]&flagFirst != 0,
		epoch:    binary.LittleEndian.Uint64(b[2:]),
		seq:      binary.LittleEndian.Uint64(b[10:]),
	}
	if f.first != (f.seq == 0) {
		return frame{}, fps, fmt.Errorf("%w: flags %#x of frame %d", ErrFrame, b[1], f.seq)
	}
	for rest := body[frameHeaderSize:]; len(rest) > 0; {
		kind := rest[0]
		size, n := binary.Uvarint(rest[1:])
		if n <= 0 || size > uint64(len(rest)-1-n) {
			return frame{}, fps, fmt.Errorf("%w in record %d", errTruncated, kind)
		}
		r, more, err := decodeRecord(kind, rest[1+n:][:size], fps)
		if err != nil {
			return frame{}, fps, err
		}
		fps, rest = more, rest[1+n:][size:]
		switch {
		case kind < recordOptional:
			f.records = append(f.records, r)
		case kind == recordFacts:
			f.facts = r.total
		}
	}
	if len(fps) > MaxFrameFingerprints {
		return frame{}, fps, fmt.Errorf("%w: %d fingerprints", ErrFrame, len(fps))
	}
	return f, fps, nil
}

// damage tells what became of a frame whose checksum does not match: it was cut
// short if its last record says that there should be more.
func damage(records []byte) error {
	for rest := records; len(rest) > 0; {
		size, n := binary.Uvarint(rest[1:])
		if n < 0 {
			return errChecksum
		}
		if n == 0 || size > uint64(len(rest)-1-n) {
			return errTruncated
		}
		rest = rest[1+n:][size:]
	}
	return errChecksum
}

// decodeRecord reads the body of a record; its fingerprints are appended to fps.
func decodeRecord(kind byte, b []byte, fps []uint64) (record, []uint64, error) {
	r := record{kind: kind}
	p := numbers{b: b}
	switch kind {
	case recordOpen:
		r.id, r.number = p.uvarint(), p.varint()
		r.span.From, r.span.To = p.varint(), p.varint()
		r.at, r.total = p.uvarint(), p.uvarint()
		if r.span.To <= r.span.From || r.at > r.total {
			p.bad = true
		}
	case recordFingerprints:
		r.id, r.at = p.uvarint(), p.uvarint()
		count := p.uvarint()
		if p.bad || count == 0 || count > uint64(MaxFrameFingerprints-len(fps)) || r.at+count < r.at {
			p.bad = true
			break
		}
		start := len(fps)
		var err error
		if fps, err = unpack(fps, p.b, int(count)); err != nil {
			return r, fps, err
		}
		r.fps, p.b = fps[start:len(fps):len(fps)], nil
	case recordDrop:
		r.id = p.uvarint()
	case recordFacts:
		r.total = p.uvarint()
	default:
		if kind < recordOptional {
			return r, fps, fmt.Errorf("%w: record of unknown kind %d", ErrFrame, kind)
		}
		return r, fps, nil
	}
	if p.bad || len(p.b) > 0 {
		return r, fps, fmt.Errorf("%w: record of kind %d", ErrFrame, kind)
	}
	return r, fps, nil
}

// numbers reads numbers, and notes if there is none.
type numbers struct {
	b   []byte
	bad bool
}

func (p *numbers) uvarint() uint64 {
	v, n := binary.Uvarint(p.b)
	return take(p, v, n)
}

func (p *numbers) varint() int64 {
	v, n := binary.Varint(p.b)
	return take(p, v, n)
}

// fixed reads a number of eight bytes.
func (p *numbers) fixed() (v uint64) {
	if len(p.b) < 8 {
		p.bad, p.b = true, nil
		return 0
	}
	v, p.b = binary.LittleEndian.Uint64(p.b), p.b[8:]
	return v
}

func take[T any](p *numbers, v T, n int) T {
	var zero T
	if n <= 0 {
		p.bad, p.b = true, nil
		return zero
	}
	p.b = p.b[n:]
	return v
}
