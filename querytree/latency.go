package querytree

import (
	"sync"
	"time"
)

// Terms of hedging: how long a replica may take to begin its answer before
// another one is asked as well, and how often that may be.
const (
	minHedgeDelay = 20 * time.Millisecond
	// newHedgeDelay is for replicas whose latency is not known.
	newHedgeDelay = 200 * time.Millisecond
	hedgeFactor   = 3
	// hedgeShare of all requests may be hedged, and hedgeBurst at once.
	hedgeShare = 0.1
	hedgeBurst = 3
	// latencyMemory is how long a latency counts that was not measured again.
	latencyMemory = time.Minute
	latencyWeight = 0.2
)

// latencies remembers how long the replicas of a tier take to begin an answer,
// and bounds how often they are raced. It is safe for concurrent use.
type latencies struct {
	mu     sync.Mutex
	byName map[string]latency
	tokens float64
}

type latency struct {
	mean time.Duration
	at   time.Time
}

func newLatencies() *latencies {
	return &latencies{byName: map[string]latency{}, tokens: hedgeBurst}
}

// observe notes how long a replica took to begin an answer.
func (l *latencies) observe(name string, d time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	old, ok := l.byName[name]
	if !ok || time.Since(old.at) > latencyMemory {
		old.mean = d
	}
	l.byName[name] = latency{old.mean + time.Duration(latencyWeight*float64(d-old.mean)), time.Now()}
}

// of returns the latency of a replica, zero if it is not known.
func (l *latencies) of(name string) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	if e, ok := l.byName[name]; ok && time.Since(e.at) <= latencyMemory {
		return max(e.mean, 1)
	}
	return 0
}

// keep forgets replicas that are not among those named, once they are as many
// as those that are.
func (l *latencies) keep(names map[string]bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.byName) <= 2*len(names) {
		return
	}
	for name := range l.byName {
		if !names[name] {
			delete(l.byName, name)
		}
	}
}

// asked counts a request that might be hedged.
func (l *latencies) asked() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.tokens = min(l.tokens+hedgeShare, hedgeBurst)
}

// mayHedge takes leave to race one request.
func (l *latencies) mayHedge() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.tokens < 1 {
		return false
	}
	l.tokens--
	return true
}

// hedgeDelay is how long a replica of that latency is waited for, if its answer
// has to be there after left.
func hedgeDelay(latency, left time.Duration) time.Duration {
	d := max(minHedgeDelay, hedgeFactor*latency)
	if latency == 0 {
		d = newHedgeDelay
	}
	return min(d, left/2)
}
