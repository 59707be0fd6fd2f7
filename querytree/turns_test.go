package querytree

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// works is a query on a processor of its own: it reads series, each of which
// takes a millisecond.
func works(ctx context.Context, ts *turns, client string, series int, note func()) {
	ctx, u := ts.begin(ctx, client, "")
	defer u.end()
	for range series {
		for range turnStride {
			u.pass(ctx)
		}
		if ctx.Err() != nil {
			return
		}
		note()
		<-time.After(time.Millisecond)
	}
}

func turnsOf(tokens int) *turns {
	return newTurns(NewTurns(tokens, false), newBoundsMetrics(nil))
}

// A query that is short never waits, whatever the heavy ones do.
func TestLightQueryDoesNotWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ts := turnsOf(1)
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		for range 20 {
			wg.Go(func() { works(ctx, ts, "heavy", 100_000, func() {}) })
		}
		<-time.After(time.Second)
		for range 50 {
			begin := time.Now()
			works(t.Context(), ts, "light", 15, func() {})
			if took := time.Since(begin); took != 15*time.Millisecond {
				t.Fatalf("a query of 15 ms took %s", took)
			}
		}
		cancel()
		wg.Wait()
		if ts.tokens.free != 1 {
			t.Error("the token is lost")
		}
	})
}

// Heavy queries go on in turns: clients alternate however many queries each has,
// and those of one client take turns too.
func TestHeavyQueriesTakeTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ts := turnsOf(1)
		ctx, cancel := context.WithCancel(t.Context())
		var (
			wg   sync.WaitGroup
			mu   sync.Mutex
			work = map[string]int{}
			runs strings.Builder
		)
		for _, name := range []string{"a1", "a2", "a3", "b1"} {
			wg.Go(func() {
				works(ctx, ts, name[:1], 1_000_000, func() {
					mu.Lock()
					defer mu.Unlock()
					work[name]++
					runs.WriteString(name[:1])
				})
			})
		}
		<-time.After(12 * time.Second)
		cancel()
		wg.Wait()
		a, b := work["a1"]+work["a2"]+work["a3"], work["b1"]
		if b < 5800 || b > 6200 || a < 5800 || a > 6200 {
			t.Errorf("of 12,000 ms, client a had %d and client b %d", a, b)
		}
		for _, name := range []string{"a1", "a2", "a3"} {
			if work[name] < 1900 || work[name] > 2100 {
				t.Errorf("%s had %d ms, want a third of its client's", name, work[name])
			}
		}
		if most := strings.Repeat("a", 35); strings.Contains(runs.String()[1000:], most) {
			t.Error("client a had the processor for several turns on end")
		}
	})
}

// A query that waits for its turn ends with its context, and leaves no trace.
func TestTurnIsCancellable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ts := turnsOf(1)
		holder, release := context.WithCancel(t.Context())
		go works(holder, ts, "a", 1_000_000, func() {})
		<-time.After(100 * time.Millisecond)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			works(ctx, ts, "b", 1_000_000, func() {})
			close(done)
		}()
		<-time.After(30 * time.Millisecond)
		begin := time.Now()
		cancel()
		<-done
		if took := time.Since(begin); took > turnTime {
			t.Errorf("ended %s after it was cancelled", took)
		}
		release()
		synctest.Wait()
		<-time.After(time.Second)
		synctest.Wait()
		waiting := ts.tokens.queued()
		ts.tokens.mu.Lock()
		defer ts.tokens.mu.Unlock()
		if ts.tokens.free != 1 || waiting != 0 {
			t.Errorf("%d tokens, %d waiting", ts.tokens.free, waiting)
		}
	})
}

// A query that makes many points is heavy however quick it is, and one that did
// so before is from its first moment on. One that came to be light again is not.
func TestQueryIsHeavyByItsPoints(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ts := turnsOf(1)
		release := make(chan struct{})
		held := make(chan struct{})
		go func() {
			_ = ts.Heavy(t.Context(), "other", func(*Turn) error {
				close(held)
				<-release
				return nil
			})
		}()
		<-held
		query := func(points int64, waits bool) {
			t.Helper()
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			ctx, u := ts.begin(ctx, "a", "q")
			defer u.end()
			u.PassNow(ctx)
			if waited := ctx.Err() != nil; waited != waits {
				t.Fatalf("before it began, it waited: %v", waited)
			}
			u.did(points)
			u.PassNow(ctx)
			if waited := ctx.Err() != nil; waited != (points > lightPoints) && !waits {
				t.Fatalf("after %d points, it waited: %v", points, waited)
			}
		}
		query(lightPoints, false)
		query(lightPoints+1, false)
		query(lightPoints, true)
		query(lightPoints+1, false)
		close(release)
	})
}

// Work that is paused does not keep others waiting, and goes on when it is its
// turn again.
func TestHeavyWorkPauses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ts := NewTurns(1, true)
		var order []string
		err := ts.Heavy(t.Context(), "a", func(u *Turn) error {
			u.Pause()
			err := ts.Heavy(t.Context(), "b", func(*Turn) error {
				order = append(order, "b")
				return nil
			})
			u.PassNow(t.Context())
			order = append(order, "a")
			return err
		})
		if err != nil || strings.Join(order, " ") != "b a" || ts.tokens.free != 1 {
			t.Error(err, order, ts.tokens.free)
		}
	})
}

// Heavy work is not done once nobody waits for it.
func TestHeavyWorkIsCancellable(t *testing.T) {
	ts := NewTurns(1, false)
	ctx, cancel := context.WithCancel(t.Context())
	err := ts.Heavy(ctx, "a", func(*Turn) error {
		cancel()
		return ts.Heavy(ctx, "b", func(*Turn) error {
			t.Error("work was done without a turn")
			return nil
		})
	})
	if !errors.Is(err, context.Canceled) || ts.tokens.free != 1 {
		t.Error(err, ts.tokens.free)
	}
}

// What the account and the turns cost a query that has the leaf for itself: two
// calls a series, of which each takes a microsecond or more to evaluate.
func BenchmarkMeter(b *testing.B) {
	m := newMemory(Limits{MaxTotalBytes: 1 << 50}, newBoundsMetrics(nil))
	ctx, budget := m.budget(b.Context(), "", "leaf", 1<<50)
	defer budget.Close()
	ctx, u := turnsOf(1).begin(ctx, "a", "")
	defer u.end()
	meter := newMeter(ctx, nil, nil)
	s := &gridSeries{}
	b.ReportAllocs()
	for b.Loop() {
		if meter.matched(s) != nil || meter.read() != nil {
			b.Fatal("refused")
		}
	}
}
