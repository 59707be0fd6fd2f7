package main

import (
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"sync/atomic"
)

const (
	// mixGCPercent is how much garbage a zone or root may have, as a part of what
	// lives. Almost all that they allocate is gone with the query, and what lives
	// holds few pointers: to collect twice as often as Go would costs little.
	mixGCPercent = 50
	// mixGarbage is how much garbage they may have in any case, in bytes: little
	// lives between queries, and a part of it would be collected after every few.
	mixGarbage = 32 << 20
	// mostGCPercent bounds what comes of mixGarbage.
	mostGCPercent = 1000
)

// collector sets how much garbage there may be after each collection, by what it
// has left.
type collector struct{ percent atomic.Int64 }

// collectOften has a zone or root collect garbage as it should, unless the
// environment says otherwise. Ready is to be called when the tier has been built:
// to build Prometheus' API makes 80 MB of garbage, the rendered documents of its
// OpenAPI, which a tier would keep the room of for good.
func collectOften() (ready func()) {
	if os.Getenv("GOGC") != "" {
		return func() {}
	}
	debug.SetGCPercent(mixGCPercent)
	return func() {
		debug.FreeOSMemory()
		c := &collector{}
		c.adjust()
	}
}

// adjust sets what is right now, and has itself called after the next
// collection, in which the token is found unused.
func (c *collector) adjust() {
	live := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	metrics.Read(live)
	// To set it stops the process for a moment, which small changes are not worth.
	old, p := c.percent.Load(), gcPercent(live[0].Value.Uint64())
	if p < old*4/5 || p > old*5/4 || p == mixGCPercent && p != old {
		c.percent.Store(p)
		debug.SetGCPercent(int(p))
	}
	runtime.AddCleanup(new([64]byte), (*collector).adjust, c)
}

// gcPercent returns how much garbage there may be, as a part of what lives.
func gcPercent(live uint64) int64 {
	return min(max(mixGCPercent, int64(mixGarbage*100/max(live, 1))), mostGCPercent)
}
