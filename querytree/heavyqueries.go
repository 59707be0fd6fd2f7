package querytree

import (
	"hash/maphash"
	"sync/atomic"
)

// heavyQueryBits is that of the number of queries which are known again.
const heavyQueryBits = 12

// heavyQueries knows queries again that were heavy when they ran last, so that
// they are from their first moment on: a dashboard asks the same again and again.
// What falls into the same place is forgotten; then a query becomes heavy as it
// runs. It is safe for concurrent use.
type heavyQueries struct {
	seed   maphash.Seed
	places [1 << heavyQueryBits]atomic.Uint64
}

func newHeavyQueries() *heavyQueries { return &heavyQueries{seed: maphash.MakeSeed()} }

func (h *heavyQueries) place(query string) (*atomic.Uint64, uint64) {
	hash := maphash.String(h.seed, query)
	return &h.places[hash>>(64-heavyQueryBits)], hash
}

// has reports whether a query is known to be heavy; one without text is not.
func (h *heavyQueries) has(query string) bool {
	if query == "" {
		return false
	}
	place, hash := h.place(query)
	return place.Load() == hash
}

// note keeps in mind whether a query was heavy.
func (h *heavyQueries) note(query string, heavy bool) {
	if query == "" {
		return
	}
	place, hash := h.place(query)
	if heavy {
		place.Store(hash)
		return
	}
	place.CompareAndSwap(hash, 0)
}
