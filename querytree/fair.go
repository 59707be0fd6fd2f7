package querytree

import (
	"context"
	"slices"
	"sync"
)

// fair hands out slots: to waiting clients in turn, and to the requests of one
// client in the order of their arrival. However many requests a client has
// waiting, another's first one waits behind one of them at most. It is safe for
// concurrent use.
type fair struct {
	mu sync.Mutex
	// slots is how many there are, most how many of them one client may have,
	// so that there are some left when another client comes.
	slots, most int
	// maxWaiting and maxWaitingEach bound the requests that wait, of all clients
	// and of each; zero means no bound.
	maxWaiting, maxWaitingEach int
	// free is below zero while more have a slot than there are, since it was resized.
	free    int
	held    map[string]int
	queues  map[string][]chan struct{} // waiting requests, by client
	turns   []string                   // clients with waiting requests, next one first
	waiting int
}

func newFair(slots, most int) *fair {
	return &fair{slots: slots, most: most, free: slots, held: map[string]int{}, queues: map[string][]chan struct{}{}}
}

// enter waits for a slot until ctx ends. It reports whether it had to wait. The
// error is a *LimitError without its names if too many wait already.
func (f *fair) enter(ctx context.Context, client string) (waited bool, err error) {
	f.mu.Lock()
	if f.free > 0 && f.held[client] < f.most {
		f.take(client)
		f.mu.Unlock()
		return false, nil
	}
	if err := f.full(client); err != nil {
		f.mu.Unlock()
		return false, err
	}
	ready := f.enqueue(client)
	f.mu.Unlock()
	return true, f.wait(ctx, client, ready)
}

// again gives a slot back and waits for the next one. Unlike leaving and
// entering, it keeps the client's place among the clients that wait.
func (f *fair) again(ctx context.Context, client string) error {
	f.mu.Lock()
	ready := f.enqueue(client)
	f.give(client)
	f.mu.Unlock()
	return f.wait(ctx, client, ready)
}

func (f *fair) wait(ctx context.Context, client string, ready chan struct{}) error {
	select {
	case <-ready:
		return nil
	case <-ctx.Done():
		f.giveUp(client, ready)
		return ctx.Err()
	}
}

func (f *fair) enqueue(client string) chan struct{} {
	ready := make(chan struct{})
	if len(f.queues[client]) == 0 {
		f.turns = append(f.turns, client)
	}
	f.queues[client] = append(f.queues[client], ready)
	f.waiting++
	return ready
}

func (f *fair) take(client string) {
	f.free--
	f.held[client]++
}

// full reports whether a request may not even wait.
func (f *fair) full(client string) error {
	if n := f.maxWaitingEach; n > 0 && len(f.queues[client]) >= n {
		return &LimitError{What: "waiting requests of client " + display(client), Flag: flagMaxQueueEach, Limit: int64(n), Value: int64(len(f.queues[client])) + 1}
	}
	if n := f.maxWaiting; n > 0 && f.waiting >= n {
		return &LimitError{What: "waiting requests", Flag: flagMaxQueue, Limit: int64(n), Value: int64(f.waiting) + 1}
	}
	return nil
}

func display(client string) string {
	if client == "" {
		return "(unnamed)"
	}
	return client
}

// giveUp forgets a waiting request, or its slot if it was just given one.
func (f *fair) giveUp(client string, ready chan struct{}) {
	f.mu.Lock()
	defer f.mu.Unlock()
	i := slices.Index(f.queues[client], ready)
	if i < 0 {
		f.give(client)
		return
	}
	f.dequeue(client, i)
}

// dequeue removes a client's i-th waiting request.
func (f *fair) dequeue(client string, i int) {
	f.waiting--
	f.queues[client] = slices.Delete(f.queues[client], i, i+1)
	if len(f.queues[client]) == 0 {
		delete(f.queues, client)
		f.turns = slices.DeleteFunc(f.turns, func(c string) bool { return c == client })
	}
}

// leave gives a slot back.
func (f *fair) leave(client string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.give(client)
}

func (f *fair) give(client string) {
	f.free++
	if f.held[client]--; f.held[client] == 0 {
		delete(f.held, client)
	}
	f.admit()
}

// admit gives free slots to those that wait.
func (f *fair) admit() {
	for f.free > 0 && f.next() {
	}
}

// resize changes how many slots there are, and how many requests may wait.
func (f *fair) resize(slots, most, maxWaiting, maxWaitingEach int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.free += slots - f.slots
	f.slots, f.most, f.maxWaiting, f.maxWaitingEach = slots, most, maxWaiting, maxWaitingEach
	f.admit()
}

// size returns how many slots there are.
func (f *fair) size() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.slots
}

// next gives a free slot to the client whose turn it is, and reports whether
// there is one. The client goes to the end of the line.
func (f *fair) next() bool {
	i := slices.IndexFunc(f.turns, func(c string) bool { return f.held[c] < f.most })
	if i < 0 {
		return false
	}
	client := f.turns[i]
	f.turns = append(slices.Delete(f.turns, i, i+1), client)
	ready := f.queues[client][0]
	f.dequeue(client, 0)
	f.take(client)
	close(ready)
	return true
}

// wanted reports whether a request of any client waits.
func (f *fair) wanted() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.waiting > 0
}

// running returns the number of requests that have a slot.
func (f *fair) running() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.slots - f.free
}

// queued returns the number of requests that wait.
func (f *fair) queued() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.waiting
}
