package fieldhint

import (
	"sync"
	"sync/atomic"
)

// bell wakes everyone who listens. Ringing it while no one does costs one
// atomic load.
type bell struct {
	armed atomic.Bool
	mu    sync.Mutex
	ch    chan struct{}
}

// listen returns a channel that is closed by the next ring. Whoever listens
// first and looks at the state afterwards misses nothing.
func (b *bell) listen() <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.ch == nil {
		b.ch = make(chan struct{})
	}
	b.armed.Store(true)
	return b.ch
}

func (b *bell) ring() {
	if !b.armed.Load() {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.armed.Store(false)
	if b.ch != nil {
		close(b.ch)
		b.ch = nil
	}
}
