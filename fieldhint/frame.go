package fieldhint

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/cespare/xxhash/v2"
)

// A frame is a piece of a child's log of fingerprints on its way to a parent.
// All numbers are little-endian:
//
//	offset  size     content
//	0       1        version, 1
//	1       1        flags: bit 0 complete; the others are zero
//	2       8        epoch: the random name of the log
//	10      8        position in the log of the frame's first fingerprint
//	18      8        length of the log when the frame was made
//	26      4        count: the number of fingerprints that follow, up to 8,192
//	30      8×count  fingerprints, in the order of the log
//	        8        xxhash64 of everything before
//
// The flag complete says: with this frame, the parent has all that the child
// had when the frame was made, and the child knows of all its series. A frame
// without fingerprints tells the flag alone, and that the child lives.
//
// Fingerprints are hashes, so there is nothing to gain from sorting or packing
// them: the differences within a full frame still take 51 of 64 bits.
const (
	frameVersion    = 1
	flagComplete    = 1
	frameHeaderSize = 30
	frameSumSize    = 8

	// MaxFrameFingerprints is the largest number of fingerprints in a frame.
	MaxFrameFingerprints = 8192
	// MaxFrameSize is the size in bytes of the largest frame.
	MaxFrameSize = frameHeaderSize + 8*MaxFrameFingerprints + frameSumSize
)

// ErrFrame is the error of a frame that cannot be read: it was damaged, cut
// short, or made by another version.
var ErrFrame = errors.New("bad field hint frame")

type frame struct {
	complete bool
	epoch    uint64
	offset   uint64
	total    uint64
	fps      []uint64
}

// end is the position in the log after the frame.
func (f frame) end() uint64 { return f.offset + uint64(len(f.fps)) }

func (f frame) append(dst []byte) []byte {
	start := len(dst)
	var flags byte
	if f.complete {
		flags |= flagComplete
	}
	dst = append(dst, frameVersion, flags)
	dst = binary.LittleEndian.AppendUint64(dst, f.epoch)
	dst = binary.LittleEndian.AppendUint64(dst, f.offset)
	dst = binary.LittleEndian.AppendUint64(dst, f.total)
	dst = binary.LittleEndian.AppendUint32(dst, uint32(len(f.fps)))
	for _, fp := range f.fps {
		dst = binary.LittleEndian.AppendUint64(dst, fp)
	}
	return binary.LittleEndian.AppendUint64(dst, xxhash.Sum64(dst[start:]))
}

// decodeFrame reads a frame. Fingerprints are appended to fps[:0].
func decodeFrame(b []byte, fps []uint64) (frame, error) {
	if len(b) < frameHeaderSize+frameSumSize || len(b) > MaxFrameSize {
		return frame{}, fmt.Errorf("%w: length %d", ErrFrame, len(b))
	}
	if b[0] != frameVersion {
		return frame{}, fmt.Errorf("%w: version %d, want %d: run the same release of pando on child and parent", ErrFrame, b[0], frameVersion)
	}
	body := b[:len(b)-frameSumSize]
	if xxhash.Sum64(body) != binary.LittleEndian.Uint64(b[len(body):]) {
		return frame{}, fmt.Errorf("%w: checksum does not match", ErrFrame)
	}
	f := frame{
		complete: b[1] == flagComplete,
		epoch:    binary.LittleEndian.Uint64(b[2:]),
		offset:   binary.LittleEndian.Uint64(b[10:]),
		total:    binary.LittleEndian.Uint64(b[18:]),
		fps:      fps[:0],
	}
	count := binary.LittleEndian.Uint32(b[26:])
	if b[1]&^flagComplete != 0 || uint64(len(body)) != frameHeaderSize+8*uint64(count) {
		return frame{}, fmt.Errorf("%w: flags %#x, %d fingerprints in %d bytes", ErrFrame, b[1], count, len(b))
	}
	if end := f.offset + uint64(count); end < f.offset || end > f.total || f.complete && end != f.total {
		return frame{}, fmt.Errorf("%w: offset %d and count %d do not fit a log of %d", ErrFrame, f.offset, count, f.total)
	}
	for p := body[frameHeaderSize:]; len(p) > 0; p = p[8:] {
		f.fps = append(f.fps, binary.LittleEndian.Uint64(p))
	}
	return f, nil
}
