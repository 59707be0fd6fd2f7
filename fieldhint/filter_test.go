package fieldhint

import (
	"math/rand/v2"
	"testing"
)

// measure returns how often a filter claims fingerprints that were never added.
func measure(f *Filter, r *rand.Rand) float64 {
	const probes = 200_000
	hits := 0
	for range probes {
		if f.Has(r.Uint64()) {
			hits++
		}
	}
	return float64(hits) / probes
}

func TestFilterKeepsAllAndItsRate(t *testing.T) {
	for _, c := range []struct {
		name            string
		capacity, added int
		layers          int
		bytesEach       float64
	}{
		{"of the right size", 100_000, 100_000, 1, 1.35}, // 1.28, rounded up to one of the sizes that there are
		{"a little too small", 100_000, 110_000, 2, 1.5},
		{"ten times too small", 10_000, 100_000, 8, 5.5},
		{"a hundred times too small", 3_000, 300_000, 12, 7},
		{"grown from nothing", 0, 300_000, 9, 6.5},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := rand.New(rand.NewPCG(5, uint64(c.added)))
			f := NewFilter(c.capacity, 0.01)
			added := make([]uint64, c.added)
			for i := range added {
				added[i] = r.Uint64()
				f.Add(added[i])
			}
			for _, fp := range added {
				if !f.Has(fp) {
					t.Fatalf("fingerprint %x was lost", fp)
				}
			}
			if f.Layers() > c.layers {
				t.Errorf("%d layers, want at most %d", f.Layers(), c.layers)
			}
			if each := float64(f.Bytes()) / float64(c.added); each > c.bytesEach {
				t.Errorf("%.2f bytes a fingerprint, want at most %.2f", each, c.bytesEach)
			}
			got, estimated := measure(f, r), f.FalsePositiveRate()
			if got > 0.0115 || estimated > 0.0105 {
				t.Errorf("false-positive rate %.4f, estimated %.4f; want at most 0.01", got, estimated)
			}
			if got < estimated/2 || got > estimated*2 {
				t.Errorf("false-positive rate %.4f is far from its estimate %.4f", got, estimated)
			}
		})
	}
}

func TestFilterCountsDistinct(t *testing.T) {
	f := NewFilter(0, 0.01)
	if !f.Add(1) || f.Add(1) || !f.Add(2) {
		t.Error("Add must tell what is new")
	}
	if f.Len() != 2 {
		t.Errorf("Len is %d, want 2", f.Len())
	}
	if NewFilter(0, 0.01).Has(1) {
		t.Error("an empty filter has something")
	}
}
