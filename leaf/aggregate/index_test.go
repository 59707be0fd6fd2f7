package aggregate

import (
	"math/rand/v2"
	"testing"
)

// The index is compared with a map, over hashes that meet often.
func TestIndex(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	var (
		x      index
		inputs = make([]input, 500)
		free   []uint32
		want   = map[uint64]uint32{}
	)
	for i := range inputs {
		free = append(free, uint32(i))
	}
	for range 200_000 {
		hash := rnd.Uint64N(2000) * shards * (1 + rnd.Uint64N(2)<<20)
		idx, ok := x.find(inputs, hash)
		if have, known := want[hash]; ok != known || ok && idx != have {
			t.Fatalf("hash %d: found %v %d, want %v %d", hash, ok, idx, known, have)
		}
		switch {
		case ok:
			x.remove(inputs, idx)
			delete(want, hash)
			free = append(free, idx)
		case len(free) > 0:
			idx, free = free[len(free)-1], free[:len(free)-1]
			inputs[idx].hash = hash
			x.add(inputs, idx)
			want[hash] = idx
		}
		if x.n != len(want) {
			t.Fatalf("%d entries, want %d", x.n, len(want))
		}
	}
}
