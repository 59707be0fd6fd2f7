package fieldhint

import (
	"math/bits"
	"slices"
)

// placeSet is a set of children by their places in a table.
type placeSet []uint64

func newPlaceSet(n int) placeSet { return make(placeSet, (n+63)/64) }

func (s placeSet) add(n int32)      { s[n/64] |= 1 << (n % 64) }
func (s placeSet) has(n int32) bool { return s[n/64]>>(n%64)&1 != 0 }

func (s placeSet) len() (n int) {
	for _, w := range s {
		n += bits.OnesCount64(w)
	}
	return n
}

func (s placeSet) empty() bool {
	return !slices.ContainsFunc(s, func(w uint64) bool { return w != 0 })
}

// unite adds others.
func (s placeSet) unite(others placeSet) {
	for i, w := range others {
		s[i] |= w
	}
}

// less returns those of s that are not among others.
func (s placeSet) less(others placeSet) placeSet {
	left := slices.Clone(s)
	for i, w := range others {
		left[i] &^= w
	}
	return left
}

// or returns those of s and others.
func (s placeSet) or(others placeSet) placeSet {
	either := slices.Clone(s)
	either.unite(others)
	return either
}

// and returns those of s that are among others.
func (s placeSet) and(others placeSet) placeSet {
	both := slices.Clone(s)
	for i, w := range others {
		both[i] &= w
	}
	return both
}

func (s placeSet) each(f func(n int32)) {
	for i, w := range s {
		for ; w != 0; w &= w - 1 {
			f(int32(64*i + bits.TrailingZeros64(w)))
		}
	}
}
