package fieldhint

import (
	"bytes"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestFrameRoundTrip(t *testing.T) {
	for _, want := range []frame{
		{epoch: 1, fps: []uint64{}},
		{complete: true, epoch: 1<<64 - 1, offset: 5, total: 5, fps: []uint64{}},
		{complete: true, epoch: 2, offset: 5, total: 8, fps: []uint64{3, 1, 2}},
		{epoch: 3, total: MaxFrameFingerprints, fps: make([]uint64, MaxFrameFingerprints)},
	} {
		got, err := decodeFrame(want.append(nil), nil)
		if err != nil {
			t.Fatal(err)
		}
		if got.fps == nil {
			got.fps = []uint64{}
		}
		if diff := cmp.Diff(want, got, cmp.AllowUnexported(frame{})); diff != "" {
			t.Errorf("frame (-want +got):\n%s", diff)
		}
	}
}

// Every single flipped bit is noticed.
func TestFrameChecksum(t *testing.T) {
	b := frame{complete: true, epoch: 2, offset: 5, total: 8, fps: []uint64{3, 1, 2}}.append(nil)
	for i := range 8 * len(b) {
		b[i/8] ^= 1 << (i % 8)
		if _, err := decodeFrame(b, nil); err == nil {
			t.Errorf("bit %d flipped, and no error", i)
		}
		b[i/8] ^= 1 << (i % 8)
	}
}

// What can be decoded encodes to the same bytes again, and never panics a feed.
func FuzzFrame(f *testing.F) {
	f.Add([]byte{})
	f.Add(frame{epoch: 1}.append(nil))
	f.Add(frame{complete: true, epoch: 2, offset: 5, total: 8, fps: []uint64{3, 1, 2}}.append(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		got, err := decodeFrame(b, nil)
		if err == nil && !bytes.Equal(got.append(nil), b) {
			t.Errorf("frame %x is read as %+v", b, got)
		}
		p := newParent(t, IndexConfig{MaxFingerprints: 1000})
		if feed := p.Open("a"); (feed.Apply(b) == nil) && err != nil {
			t.Errorf("a feed takes bad frame %x", b)
		}
	})
}
