package querytree

import "math/bits"

// bitset is a set of children, by their index in a plan. It is immutable once
// it is part of a plan.
type bitset []uint64

// with returns b with i added; it may reuse the memory of b.
func (b bitset) with(i int) bitset {
	for len(b) <= i>>6 {
		b = append(b, 0)
	}
	b[i>>6] |= 1 << (i & 63)
	return b
}

// or returns the union in memory of its own.
func (b bitset) or(c bitset) bitset {
	if len(b) < len(c) {
		b, c = c, b
	}
	out := append(bitset(nil), b...)
	for i, w := range c {
		out[i] |= w
	}
	return out
}

func (b bitset) count() int {
	n := 0
	for _, w := range b {
		n += bits.OnesCount64(w)
	}
	return n
}

// each calls f for every member in order.
func (b bitset) each(f func(i int)) {
	for w, word := range b {
		for ; word != 0; word &= word - 1 {
			f(w<<6 + bits.TrailingZeros64(word))
		}
	}
}
