package rollouts

import (
	"sync"
	"time"
)

// kept is an answer that is told again while it is fresh, and asked for once at a
// time: who comes meanwhile gets what the first one gets. It is safe for
// concurrent use.
type kept[T any] struct {
	mu     sync.Mutex
	value  *T
	at     time.Time // when its last answer came
	flight *flight[T]
}

// flight is a question that is under way.
type flight[T any] struct {
	done  chan struct{}
	value *T
}

func (k *kept[T]) get(now func() time.Time, ask func() *T) *T {
	k.mu.Lock()
	if k.value != nil && now().Sub(k.at) < fresh {
		defer k.mu.Unlock()
		return k.value
	}
	if f := k.flight; f != nil {
		k.mu.Unlock()
		<-f.done
		return f.value
	}
	f := &flight[T]{done: make(chan struct{}), value: new(T)}
	k.flight = f
	k.mu.Unlock()
	var answer *T
	// Deferred, for who waits must not wait for ever if asking panics.
	defer func() {
		k.mu.Lock()
		defer k.mu.Unlock()
		if k.flight == f {
			k.value, k.at, k.flight = answer, now(), nil
		}
		close(f.done)
	}()
	answer = ask()
	f.value = answer
	return answer
}

// forget has the next one ask, even if an older question is under way.
func (k *kept[T]) forget() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.value, k.flight = nil, nil
}
