package fieldhint

import (
	"encoding/binary"
	"fmt"

	"github.com/cespare/xxhash/v2"
)

// Children of the release before sections send frames of version 1. All numbers
// are little-endian:
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
// The log is one section of all time. A frame at position 0 begins a stream.
const (
	oldFrameVersion    = 1
	oldFrameHeaderSize = 30
)

// decodeOldFrame makes a frame of version 1 one of this version, of which seq is
// the number of fingerprints before.
func decodeOldFrame(b []byte, fps []uint64) (frame, []uint64, error) {
	if len(b) < oldFrameHeaderSize+frameSumSize {
		return frame{}, fps, fmt.Errorf("%w to %d bytes", errTruncated, len(b))
	}
	body := b[:len(b)-frameSumSize]
	if xxhash.Sum64(body) != binary.LittleEndian.Uint64(b[len(body):]) {
		if count := uint64(binary.LittleEndian.Uint32(b[26:])); count <= MaxFrameFingerprints && uint64(len(body)) < oldFrameHeaderSize+8*count {
			return frame{}, fps, errTruncated
		}
		return frame{}, fps, errChecksum
	}
	offset, total := binary.LittleEndian.Uint64(b[10:]), binary.LittleEndian.Uint64(b[18:])
	count := uint64(binary.LittleEndian.Uint32(b[26:]))
	if b[1]&^flagComplete != 0 || uint64(len(body)) != oldFrameHeaderSize+8*count || count > MaxFrameFingerprints {
		return frame{}, fps, fmt.Errorf("%w: flags %#x, %d fingerprints in %d bytes", ErrFrame, b[1], count, len(b))
	}
	f := frame{complete: b[1] == flagComplete, first: offset == 0, epoch: binary.LittleEndian.Uint64(b[2:])}
	if end := offset + count; end < offset || end > total || f.complete && end != total {
		return frame{}, fps, fmt.Errorf("%w: offset %d and count %d do not fit a log of %d", ErrFrame, offset, count, total)
	}
	f.old, f.seq = true, offset
	if f.first {
		f.records = append(f.records, record{kind: recordOpen, span: always, total: total})
	}
	for p := body[oldFrameHeaderSize:]; len(p) > 0; p = p[8:] {
		fps = append(fps, binary.LittleEndian.Uint64(p)&fingerprintMask)
	}
	if count > 0 {
		f.records = append(f.records, record{kind: recordFingerprints, at: offset, fps: fps})
	}
	return f, fps, nil
}
