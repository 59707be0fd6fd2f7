package resultcache

import "slices"

// maxMissing is how many missing children a description names; if it names that
// many, there may be more.
const maxMissing = 100

// confirmed returns the extents in which none of the children called missing had
// a part. What is kept of a child that is not connected now may have changed
// without anyone here knowing. And if this tier told a part of it from memory
// and left out another, its parent would put together what does not fit: a sum
// with the child, say, and a count without.
func confirmed(have []extent, missing []string) []extent {
	switch {
	case len(missing) == 0:
		return have
	case len(missing) >= maxMissing:
		return nil
	}
	return slices.DeleteFunc(have, func(e extent) bool {
		return slices.ContainsFunc(e.who, func(c contributor) bool { return slices.Contains(missing, c.Value().name) })
	})
}
