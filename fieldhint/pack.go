package fieldhint

import (
	"encoding/binary"
	"fmt"
	"math/bits"
	"slices"
)

const (
	// fingerprintBits is how much of a fingerprint counts. Two facts of one child
	// in ten million share one with a chance of 1 in 30 million, which a bloom
	// filter's does not notice, and the fewer bits there are, the better they pack.
	fingerprintBits = 48
	fingerprintMask = 1<<fingerprintBits - 1
)

// packParameter is the number of bits of each gap that are written as they are.
func packParameter(count int) int {
	return min(bits.Len64(fingerprintMask/uint64(count)), fingerprintBits)
}

// appendPacked appends fingerprints, which it sorts: their gaps in Golomb-Rice
// code, the quotient in unary, as zeros and a one, then the remainder, from the
// lowest bit on. That takes 37 bits each in a full frame.
func appendPacked(dst []byte, fps []uint64) []byte {
	if len(fps) == 0 {
		return dst
	}
	slices.Sort(fps)
	k := packParameter(len(fps))
	w := bitWriter{dst: dst}
	last := uint64(0)
	for _, fp := range fps {
		gap := fp - last
		last = fp
		for q := gap >> k; q > 0; {
			n := min(q, 32)
			w.write(0, int(n))
			q -= n
		}
		w.write(1, 1)
		w.write(gap&(1<<k-1), k)
	}
	return w.end()
}

// unpack appends count fingerprints, sorted, from what appendPacked made.
func unpack(dst []uint64, b []byte, count int) ([]uint64, error) {
	if count == 0 && len(b) == 0 {
		return dst, nil
	}
	if count < 1 || count > MaxFrameFingerprints {
		return dst, fmt.Errorf("%w: %d fingerprints", ErrFrame, count)
	}
	k := packParameter(count)
	r := bitReader{src: b}
	last := uint64(0)
	for range count {
		gap := r.unary()<<k | r.read(k)
		last += gap
		if r.short || last > fingerprintMask || gap > fingerprintMask {
			return dst, fmt.Errorf("%w: fingerprints cut short or out of range", ErrFrame)
		}
		dst = append(dst, last)
	}
	if len(r.src) > 0 || r.n >= 8 || r.word != 0 {
		return dst, fmt.Errorf("%w: something follows the fingerprints", ErrFrame)
	}
	return dst, nil
}

type bitWriter struct {
	dst  []byte
	word uint64
	n    int // bits in word, below 8 between calls
}

// write appends the lowest n bits of v, at most 56.
func (w *bitWriter) write(v uint64, n int) {
	w.word |= v << w.n
	for w.n += n; w.n >= 8; w.n -= 8 {
		w.dst = append(w.dst, byte(w.word))
		w.word >>= 8
	}
}

func (w *bitWriter) end() []byte {
	if w.n > 0 {
		w.dst = append(w.dst, byte(w.word))
	}
	return w.dst
}

type bitReader struct {
	src   []byte
	word  uint64
	n     int // bits in word
	short bool
}

// fill takes in bytes as long as there is room.
func (r *bitReader) fill() {
	if r.n == 0 && len(r.src) >= 8 {
		r.word, r.n, r.src = binary.LittleEndian.Uint64(r.src), 64, r.src[8:]
		return
	}
	for r.n <= 56 && len(r.src) > 0 {
		r.word |= uint64(r.src[0]) << r.n
		r.n += 8
		r.src = r.src[1:]
	}
}

func (r *bitReader) unary() (q uint64) {
	for {
		r.fill()
		if r.word != 0 {
			zeros := bits.TrailingZeros64(r.word)
			r.drop(zeros + 1)
			return q + uint64(zeros)
		}
		if r.n == 0 {
			r.short = true
			return 0
		}
		q += uint64(r.n)
		r.n = 0
	}
}

// read returns the next n bits, at most 56.
func (r *bitReader) read(n int) uint64 {
	if r.n < n {
		r.fill()
	}
	if r.n < n {
		r.short = true
		return 0
	}
	v := r.word & (1<<n - 1)
	r.drop(n)
	return v
}

func (r *bitReader) drop(n int) {
	r.word >>= n
	r.n -= n
}
