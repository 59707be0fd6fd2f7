package fieldhint

import (
	"slices"
	"sync"
	"testing"
)

// Who adds fingerprints while others do, and while tables grow, finds each of them
// once, at one position.
func TestLogOfManyAdders(t *testing.T) {
	const adders, each, overlap = 4, 30_000, 20_000
	l := newLog(7, newRoom(1<<20), 0)
	fingerprint := func(i int) uint64 { return mix(uint64(i)) & fingerprintMask }
	var wg sync.WaitGroup
	for g := range adders {
		wg.Go(func() {
			for i := range each {
				fps := []uint64{fingerprint(g*(each-overlap) + i), fingerprint(i)}
				before := l.has(fps[0])
				if l.insert(fps[0]) {
					if before {
						t.Errorf("fingerprint %x was there and is new", fps[0])
					}
				}
				l.insertAll(fps)
				if !l.has(fps[0]) || !l.has(fps[1]) {
					t.Errorf("fingerprint %x or %x not found by who added it", fps[0], fps[1])
				}
			}
		})
	}
	wg.Wait()
	want := (adders-1)*(each-overlap) + each
	if l.len() != want {
		t.Errorf("%d fingerprints, want %d", l.len(), want)
	}
	all := l.read(nil, 0, l.len())
	slices.Sort(all)
	if n := len(slices.Compact(all)); n != want {
		t.Errorf("%d distinct fingerprints, want %d", n, want)
	}
	for i := range want {
		if at, isNew, ok := l.position(fingerprint(i)); isNew || !ok || l.at(at) != fingerprint(i) {
			t.Fatalf("fingerprint %x: at %d, new %v, found %v", fingerprint(i), at, isNew, ok)
		}
	}
}

// The lowest zero byte of a word is told rightly, whatever the others are.
func TestZeroBytes(t *testing.T) {
	for _, x := range []uint64{0, 1, 0x0100, 0xff00, 0x00ff_00ff_00ff_00ff, 0x0101_0101_0101_0101, 0x8000_0000_0000_0080, ^uint64(0)} {
		low := 8
		for i := 7; i >= 0; i-- {
			if x>>(8*i)&0xff == 0 {
				low = i
			}
		}
		m := zeroBytes(x)
		if got := (m != 0); got != (low < 8) {
			t.Errorf("%016x: zero byte found: %v", x, got)
		}
		if m != 0 && m&-m != 0x80<<(8*low) {
			t.Errorf("%016x: lowest zero byte at %016x, want byte %d", x, m&-m, low)
		}
	}
}
