package querytree

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/prometheus/promql"
)

func gateOf(slots, queue, each int) *Gate {
	l := Limits{MaxConcurrent: slots, MaxQueue: queue, MaxQueuePerClient: each}
	return newGate(queryGate, l, func() string { return "root" }, newBoundsMetrics(nil))
}

func TestGate(t *testing.T) {
	g := gateOf(1, 0, 0)
	leave, err := g.Enter(t.Context(), "a")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var cancelled promql.ErrQueryCanceled
	if _, err := g.Enter(ctx, "a"); !errors.As(err, &cancelled) {
		t.Errorf("cancelled while waiting: %v", err)
	}
	ctx, cancel = context.WithDeadline(t.Context(), time.Now())
	defer cancel()
	var timeout promql.ErrQueryTimeout
	if _, err := g.Enter(ctx, "b"); !errors.As(err, &timeout) {
		t.Errorf("timed out while waiting: %v", err)
	}
	leave()
	leave() // once is enough, twice does no harm
	if leave, err = g.Enter(t.Context(), "a"); err != nil {
		t.Fatal(err)
	}
	if _, err := g.Enter(ctx, "b"); !errors.As(err, &timeout) {
		t.Errorf("leaving twice gave two slots: %v", err)
	}
	leave()
}

// line lets requests into a gate one after the other, and notes the order in
// which they are let in. Each leaves when the one before it is noted.
type line struct {
	g     *Gate
	mu    sync.Mutex
	order []string
}

func (l *line) wait(t *testing.T, wg *sync.WaitGroup, client, name string) {
	wg.Go(func() {
		leave, err := l.g.Enter(t.Context(), client)
		if err != nil {
			t.Error(err)
			return
		}
		l.mu.Lock()
		l.order = append(l.order, name)
		l.mu.Unlock()
		leave()
	})
	synctest.Wait()
}

// Clients are let in by turns, and each one's requests as they came.
func TestGateIsFair(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &line{g: gateOf(1, 0, 0)}
		leave, err := l.g.Enter(t.Context(), "a")
		if err != nil {
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		for _, r := range []string{"a1", "a2", "a3", "a4", "b1", "b2", "c1"} {
			l.wait(t, &wg, r[:1], r)
		}
		leave()
		wg.Wait()
		if d := cmp.Diff([]string{"a1", "b1", "c1", "a2", "b2", "a3", "a4"}, l.order); d != "" {
			t.Error(d)
		}
	})
}

// A client that floods the gate leaves a quarter of the slots to others, who do
// not wait for any of its requests.
func TestGateLeavesRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := gateOf(8, 0, 0)
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		in := make(chan struct{}, 100)
		for range 100 {
			wg.Go(func() {
				if leave, err := g.Enter(ctx, "flood"); err == nil {
					in <- struct{}{}
					<-ctx.Done()
					leave()
				}
			})
		}
		synctest.Wait()
		if n := len(in); n != 6 {
			t.Errorf("one client has %d of 8 slots, want 6", n)
		}
		begin := time.Now()
		for range 2 {
			if _, err := g.Enter(t.Context(), "other"); err != nil {
				t.Fatal(err)
			}
		}
		if took := time.Since(begin); took != 0 {
			t.Errorf("another client waited %s", took)
		}
		cancel()
		wg.Wait()
		if n := g.fair.queued(); n != 0 || g.fair.free != 6 || len(g.fair.queues)+len(g.fair.turns) != 0 {
			t.Errorf("left behind: %d waiting, %d free, %v", n, g.fair.free, g.fair.turns)
		}
	})
}

// What may not even wait is told what to change.
func TestGateIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := gateOf(1, 3, 2)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		if _, err := g.Enter(ctx, "a"); err != nil {
			t.Fatal(err)
		}
		for _, client := range []string{"a", "a", "b"} {
			go func() { _, _ = g.Enter(ctx, client) }()
			synctest.Wait()
		}
		var got []string
		for _, client := range []string{"a", "c"} {
			_, err := g.Enter(ctx, client)
			if !IsBusy(err) {
				t.Fatalf("want a limit of the tier, got %v", err)
			}
			got = append(got, err.Error())
		}
		want := []string{
			"waiting requests of client a: limit of 2 exceeded with 3 at root; send fewer at a time, or raise --query.max-queue-per-client",
			"waiting requests: limit of 3 exceeded with 4 at root; send fewer at a time, or raise --query.max-queue",
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Error(d)
		}
	})
}

// An overloaded child is a sick child: it costs its own part of the answer.
func TestBusyChild(t *testing.T) {
	busy := failing(us, &LimitError{What: "waiting requests", Flag: flagMaxQueue, Limit: 3, Tier: "zone=us"})
	m := rootOver(t, saying(eu, point(1, "zone", "eu")), busy)
	got := askInstant(t.Context(), m, "x", Options{})
	if !slices.Equal(got.Missing, []string{"zone=us"}) || len(got.Warnings) != 1 || !strings.Contains(got.Warnings[0], "--query.max-queue") {
		t.Errorf("want an answer without zone=us and a warning that names the limit, got %+v", got)
	}
	if got := askInstant(t.Context(), m, "x", Options{Strict: true}); !strings.Contains(got.Err, "waiting requests") {
		t.Errorf("strict: %+v", got)
	}
}
