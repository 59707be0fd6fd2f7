package fieldhint

import (
	"math"
	"math/bits"
)

// sketch estimates how many distinct hashes it was shown. Up to exact it knows;
// beyond, it is a HyperLogLog (Flajolet, Fusy, Gandouet and Meunier, 2007) with
// an error of 104% over the root of its size. Which hashes came first, and how
// often, makes no difference.
type sketch struct {
	exact     int
	seen      map[uint64]struct{} // nil once there are too many
	registers []uint8
	shift     uint
}

// newSketch returns a sketch with size registers of a byte, a power of two.
func newSketch(size, exact int) *sketch {
	s := &sketch{exact: exact, registers: make([]uint8, size), shift: uint(64 - bits.Len(uint(size-1)))}
	if exact > 0 {
		s.seen = map[uint64]struct{}{}
	}
	return s
}

// add shows the sketch a hash, whose bits must be well mixed.
func (s *sketch) add(h uint64) {
	r := &s.registers[h>>s.shift]
	// The low bit set ends the run of zeros.
	if rank := uint8(bits.TrailingZeros64(h|1<<(s.shift-1)) + 1); *r < rank {
		*r = rank
	}
	if s.seen == nil {
		return
	}
	s.seen[h] = struct{}{}
	if len(s.seen) > s.exact {
		s.seen = nil
	}
}

func (s *sketch) count() int {
	if s.seen != nil {
		return len(s.seen)
	}
	m := float64(len(s.registers))
	sum, empty := 0.0, 0
	for _, r := range s.registers {
		sum += math.Ldexp(1, -int(r))
		if r == 0 {
			empty++
		}
	}
	estimate := 0.7213 / (1 + 1.079/m) * m * m / sum
	if estimate <= 2.5*m && empty > 0 {
		estimate = m * math.Log(m/float64(empty))
	}
	return int(math.Round(estimate))
}
