package aggregate

// index finds places by hash. It is an open hash table of places, plus one, 4 bytes
// each: the hashes themselves are with the inputs, where a map would keep them again.
type index struct {
	slots []uint32 // a power of two, at most three quarters in use
	n     int
}

// find returns the place of a hash.
func (x *index) find(inputs []input, hash uint64) (uint32, bool) {
	if len(x.slots) == 0 {
		return 0, false
	}
	mask := uint64(len(x.slots) - 1)
	for i := home(hash) & mask; x.slots[i] != 0; i = (i + 1) & mask {
		if idx := x.slots[i] - 1; inputs[idx].hash == hash {
			return idx, true
		}
	}
	return 0, false
}

// home is where a hash is looked for first. The lowest bits say the shard.
func home(hash uint64) uint64 { return hash / shards }

// add adds the place of an input that is not in the index.
func (x *index) add(inputs []input, idx uint32) {
	if 4*(x.n+1) > 3*len(x.slots) {
		old := x.slots
		x.slots, x.n = make([]uint32, max(16, 2*len(old))), 0
		for _, s := range old {
			if s != 0 {
				x.put(inputs, s-1)
			}
		}
	}
	x.put(inputs, idx)
}

func (x *index) put(inputs []input, idx uint32) {
	mask := uint64(len(x.slots) - 1)
	i := home(inputs[idx].hash) & mask
	for x.slots[i] != 0 {
		i = (i + 1) & mask
	}
	x.slots[i] = idx + 1
	x.n++
}

// remove removes the place of an input, whose hash is still there. What follows it
// closes the gap, so that it is found where it is looked for.
func (x *index) remove(inputs []input, idx uint32) {
	mask := uint64(len(x.slots) - 1)
	i := home(inputs[idx].hash) & mask
	for x.slots[i] != idx+1 {
		if x.slots[i] == 0 {
			return
		}
		i = (i + 1) & mask
	}
	x.n--
	for j := (i + 1) & mask; x.slots[j] != 0; j = (j + 1) & mask {
		// May what is at j be at i? Not if its home is after i, up to j.
		if h := home(inputs[x.slots[j]-1].hash) & mask; (j-h)&mask >= (j-i)&mask {
			x.slots[i] = x.slots[j]
			i = j
		}
	}
	x.slots[i] = 0
}
