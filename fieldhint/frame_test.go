package fieldhint

import (
	"encoding/binary"
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/cespare/xxhash/v2"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

var sameFrame = cmp.Options{cmp.AllowUnexported(frame{}, record{}), cmpopts.EquateEmpty()}

// full returns as many fingerprints as fit a frame, sorted.
func full(r *rand.Rand) []uint64 {
	fps := make([]uint64, MaxFrameFingerprints)
	for i := range fps {
		fps[i] = r.Uint64() & fingerprintMask
	}
	slices.Sort(fps)
	return fps
}

func TestFrameRoundTrip(t *testing.T) {
	for _, want := range []frame{
		{first: true, epoch: 1},
		{complete: true, epoch: 1<<64 - 1, seq: 1<<64 - 1},
		{complete: true, first: true, epoch: 2, records: []record{
			{kind: recordOpen, id: 1, number: -5, span: always, total: 3},
			{kind: recordOpen, id: 1 << 60, number: math.MaxInt64, span: Span{-7, math.MaxInt64}, at: 5, total: 8},
			{kind: recordFingerprints, id: 1, fps: []uint64{0, 1, fingerprintMask}},
			{kind: recordFingerprints, id: 1 << 60, at: 5, fps: []uint64{7}},
			{kind: recordDrop, id: 9},
		}},
		{epoch: 3, seq: 1, records: []record{{kind: recordFingerprints, id: 3, fps: full(rand.New(rand.NewPCG(1, 1)))}}},
	} {
		b := want.append(nil)
		got, _, err := decodeFrame(b, nil)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got, sameFrame); diff != "" {
			t.Errorf("frame (-want +got):\n%s", diff)
		}
	}
}

func TestFullFrameIsSmall(t *testing.T) {
	f := frame{seq: 1, records: []record{{kind: recordFingerprints, id: 1, fps: full(rand.New(rand.NewPCG(1, 2)))}}}
	if bits := 8 * float64(len(f.append(nil))) / MaxFrameFingerprints; bits > 37 {
		t.Errorf("%.1f bits a fingerprint, want at most 37", bits)
	}
}

// The bytes of a frame are as documented: others depend on them.
func TestFrameLayout(t *testing.T) {
	f := frame{complete: true, first: true, epoch: 0x0807060504030201, records: []record{
		{kind: recordOpen, id: 3, number: -1, span: Span{From: 1, To: 2}, at: 0, total: 1},
		{kind: recordFingerprints, id: 3, fps: []uint64{5}},
		{kind: recordDrop, id: 2},
	}}
	want := []byte{
		2, 3, 1, 2, 3, 4, 5, 6, 7, 8, 0, 0, 0, 0, 0, 0, 0, 0,
		1, 6, 3, 1, 2, 4, 0, 1,
		2, 0x8a, 0x80, 0, 3, 0, 1, 0x0b, 0, 0, 0, 0, 0, 0,
		3, 1, 2,
	}
	want = binary.LittleEndian.AppendUint64(want, xxhash.Sum64(want))
	if diff := cmp.Diff(want, f.append(nil)); diff != "" {
		t.Errorf("frame (-want +got):\n%s", diff)
	}
}

// oldFrame makes a frame of version 1.
func oldFrame(complete bool, epoch, offset, total uint64, fps ...uint64) []byte {
	b := []byte{oldFrameVersion, 0}
	if complete {
		b[1] = 1
	}
	b = binary.LittleEndian.AppendUint64(b, epoch)
	b = binary.LittleEndian.AppendUint64(b, offset)
	b = binary.LittleEndian.AppendUint64(b, total)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(fps)))
	for _, fp := range fps {
		b = binary.LittleEndian.AppendUint64(b, fp)
	}
	return binary.LittleEndian.AppendUint64(b, xxhash.Sum64(b))
}

func someFrame() frame {
	return frame{complete: true, first: true, epoch: 2, records: []record{
		{kind: recordOpen, id: 1, span: always, total: 3},
		{kind: recordFingerprints, id: 1, fps: []uint64{3, 1, 2}},
		{kind: recordDrop, id: 1},
	}}
}

// Every single flipped bit is noticed.
func TestFrameChecksum(t *testing.T) {
	for _, b := range [][]byte{someFrame().append(nil), oldFrame(true, 2, 0, 3, 3, 1, 2)} {
		for i := range 8 * len(b) {
			b[i/8] ^= 1 << (i % 8)
			if _, _, err := decodeFrame(b, nil); err == nil {
				t.Errorf("bit %d flipped, and no error", i)
			}
			b[i/8] ^= 1 << (i % 8)
		}
		for n := range b {
			if _, _, err := decodeFrame(b[:n], nil); !errors.Is(err, ErrFrame) {
				t.Errorf("cut to %d bytes: %v", n, err)
			}
		}
	}
}

// Records of a kind that may be ignored are, others are not.
func TestUnknownRecords(t *testing.T) {
	for kind, want := range map[byte]error{recordOptional: nil, 0xff: nil, 4: ErrFrame, 0: ErrFrame} {
		b := frame{seq: 1}.append(nil)
		b = append(b[:len(b)-frameSumSize], kind, 2, 'h', 'i')
		b = binary.LittleEndian.AppendUint64(b, xxhash.Sum64(b))
		if f, _, err := decodeFrame(b, nil); !errors.Is(err, want) || len(f.records) > 0 {
			t.Errorf("kind %d: %v, %+v", kind, err, f)
		}
	}
}

// What can be decoded encodes to what is the same when decoded, and never panics
// a feed.
func FuzzFrame(f *testing.F) {
	f.Add([]byte{})
	f.Add(frame{first: true, epoch: 1}.append(nil))
	f.Add(someFrame().append(nil))
	f.Add(oldFrame(true, 2, 0, 3, 3, 1, 2))
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) > frameHeaderSize+frameSumSize { // let it through to what is behind the checksum
			body := slices.Clone(b[:len(b)-frameSumSize])
			b = binary.LittleEndian.AppendUint64(body, xxhash.Sum64(body))
		}
		got, _, err := decodeFrame(b, nil)
		if err == nil && !got.old {
			again, _, err := decodeFrame(got.append(nil), nil)
			if diff := cmp.Diff(got, again, sameFrame); err != nil || diff != "" {
				t.Errorf("frame %x is read as %+v, then %v:\n%s", b, got, err, diff)
			}
		}
		p := newParent(t, IndexConfig{MaxFingerprints: 1000})
		feed := p.Open("a")
		if applied := feed.Apply(b); applied == nil && err != nil && !errors.Is(err, errForeign) {
			t.Errorf("a feed takes bad frame %x", b)
		}
		feed.Apply(b)
	})
}
