package querytree

import (
	"runtime/metrics"
	"time"
)

// What queries reserve is an estimate, and some PromQL makes the engine hold
// much more than what it reads: count_values of values that differ at every
// step allocates a whole grid for each of them. So while queries run, the heap
// itself is watched too, and the biggest query fails before the process does.

// watchInterval is the time between looks at the heap, each of which takes a
// few microseconds.
const watchInterval = 5 * time.Millisecond

// crowded is the part of the process's memory that live objects may take.
const crowded = 0.8

// heapUse is what the runtime says of the heap.
type heapUse struct {
	live    uint64 // bytes that the last garbage collection found in use
	objects uint64 // bytes of objects, garbage included
	cycles  uint64 // collections so far
}

// readHeap asks the runtime. It does not stop the world.
func readHeap() heapUse {
	s := []metrics.Sample{
		{Name: "/gc/heap/live:bytes"},
		{Name: "/memory/classes/heap/objects:bytes"},
		{Name: "/gc/cycles/total:gc-cycles"},
	}
	metrics.Read(s)
	return heapUse{live: s[0].Value.Uint64(), objects: s[1].Value.Uint64(), cycles: s[2].Value.Uint64()}
}

// watch looks at the heap as long as there are queries.
func (m *Memory) watch() {
	tick := time.NewTicker(watchInterval)
	defer tick.Stop()
	var failedAt uint64
	for range tick.C {
		use := m.heap()
		m.mu.Lock()
		if len(m.open) == 0 {
			m.watching = false
			m.mu.Unlock()
			return
		}
		// What failed last is in the figures until it has been collected.
		if failedAt == 0 || use.cycles >= failedAt+2 {
			if m.rescue(use) {
				failedAt = use.cycles
			}
		}
		m.mu.Unlock()
	}
}

// rescue fails the biggest query if the heap is about to outgrow the process.
// The size of live objects counts only once it is of a collection that began
// after the query did; else a query would fail for the one before it.
func (m *Memory) rescue(use heapUse) bool {
	b, size, _ := m.biggest(nil)
	if b == nil || size <= smallQuery {
		return false
	}
	over := use.objects
	if over <= uint64(m.process) {
		over = use.live
		if float64(use.live) <= crowded*float64(m.process) || use.cycles < b.cycles+2 {
			return false
		}
	}
	b.fail(&LimitError{What: "memory of the process", Flag: flagProcess, Limit: m.process, Value: int64(over), Tier: b.tier})
	return true
}
