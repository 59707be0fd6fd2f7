package treerpc

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/pandometrics/pando/querytree/querytreepb"
)

// A child sends one frame, and no other before the parent has applied it; then as
// much as may be unacknowledged, and no more.
func TestHintFlowIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newHintFlow(true)
		f.begin(7)
		ctx, cancel := context.WithCancel(t.Context())
		sent, done := 0, make(chan error)
		const size = 64 << 10
		go func() {
			for {
				if err := f.admit(ctx, size); err != nil {
					done <- err
					return
				}
				sent++
			}
		}()
		check := func(when string, want, unacknowledged int, age time.Duration) {
			t.Helper()
			synctest.Wait()
			s := f.status()
			if sent != want || s.Unacknowledged != unacknowledged*size || s.Age != age {
				t.Errorf("%s: %d frames sent, want %d; %+v", when, sent, want, s)
			}
		}
		const window = maxUnacknowledged / size
		check("begun", 1, 1, 0)
		time.Sleep(time.Second) // of the fake clock
		check("a second later", 1, 1, time.Second)
		f.acknowledge(&querytreepb.Applied{Run: 7, Frames: 1, Reason: "incomplete"})
		check("the first is applied", 1+window, window, 0)
		f.acknowledge(&querytreepb.Applied{Run: 6, Frames: 9})
		f.acknowledge(&querytreepb.Applied{Run: 7, Frames: 1000})
		check("of another run, and of what was not sent", 1+window, window, 0)
		f.acknowledge(&querytreepb.Applied{Run: 7, Frames: 4, Reason: "incomplete"})
		check("three more", 4+window, window, 0)
		if s := f.status(); s.Unused != "incomplete" {
			t.Errorf("%+v", s)
		}
		if !f.acknowledge(&querytreepb.Applied{Run: 7, Frames: 5, Hold: true, Reason: "waiting"}) {
			t.Error("need not wait")
		}
		check("held", 4+window, 0, 0)
		f.begin(8)
		f.acknowledge(&querytreepb.Applied{Run: 7, Frames: 6, Hold: true})
		if f.held {
			t.Error("held for an older run")
		}
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	})
}

// A parent that acknowledges nothing is sent all.
func TestHintFlowOfAnOldParent(t *testing.T) {
	f := newHintFlow(false)
	f.begin(1)
	for range 3 * maxUnacknowledgedFrames {
		if err := f.admit(t.Context(), maxUnacknowledged); err != nil {
			t.Fatal(err)
		}
	}
	if s := f.status(); s != (HintStatus{}) {
		t.Errorf("%+v", s)
	}
}

// cursors is a HintSource that notes what it goes on from, and sends that first.
type cursors chan string

func (c cursors) StreamFrom(ctx context.Context, cursor []byte, send func([]byte) error) error {
	c <- string(cursor)
	for _, frame := range []string{"from " + string(cursor), "second", "third"} {
		if err := send([]byte(frame)); err != nil {
			return err
		}
	}
	<-ctx.Done()
	return ctx.Err()
}

func hintsOf(t *testing.T, s *fakeSession, want ...string) {
	t.Helper()
	for _, w := range want {
		if got := string(receive(t, "hint "+w, s.hints)); got != w {
			t.Fatalf("hint %q, want %q", got, w)
		}
	}
}

// What the parent has is told with each request for the stream: upon connection, and
// when it begins anew.
func TestHintCursor(t *testing.T) {
	registry := newFakeRegistry()
	at := []string{"here", "there"}
	registry.begin = func(s *fakeSession) { s.cursor.Store(&at[0]) }
	addr, _ := startServer(t, nil, ServerConfig{Registry: registry})
	source, moved := make(cursors, 10), make(chan struct{})
	hints := hintFunc(func(ctx context.Context, cursor []byte, send func([]byte) error) error {
		if string(cursor) == "here" {
			source <- "here"
			select {
			case <-moved:
				return send([]byte("bad"))
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		return source.StreamFrom(ctx, cursor, send)
	})
	reg := prometheus.NewPedanticRegistry()
	link, _ := startLink(t, LinkConfig{
		Child: &fakeChild{description: leafDescription()}, Hints: hints, Parents: []string{addr}, MinBackoff: time.Millisecond, Registerer: reg,
	})
	s := receive(t, "session", registry.sessions)
	if got := receive(t, "cursor", source); got != "here" {
		t.Fatalf("begins at %q", got)
	}
	s.cursor.Store(&at[1])
	close(moved)
	if got := receive(t, "cursor", source); got != "there" {
		t.Errorf("goes on at %q", got)
	}
	hintsOf(t, s, "bad", "from there", "second", "third")
	eventually(t, "all acknowledged", func() bool {
		st := link.Status()
		return len(st) == 1 && st[0].Hints == HintStatus{Acknowledges: true}
	})
	if n, err := testutil.GatherAndCount(reg, "pando_tree_link_hints_unacknowledged_bytes", "pando_tree_link_hints_unacknowledged_seconds"); n != 2 || err != nil {
		t.Errorf("%d metrics, error %v", n, err)
	}
}

// A child whose turn is still to come sends no more than one frame, and goes on when
// the parent says so.
func TestHintsWaitForTheirTurn(t *testing.T) {
	registry := newFakeRegistry()
	at := "here"
	registry.begin = func(s *fakeSession) { s.waits.Store(true) }
	addr, _ := startServer(t, nil, ServerConfig{Registry: registry})
	source := make(cursors, 10)
	link, _ := startLink(t, LinkConfig{Child: &fakeChild{description: leafDescription()}, Hints: source, Parents: []string{addr}})
	s := receive(t, "session", registry.sessions)
	hintsOf(t, s, "from ")
	eventually(t, "the child waits", func() bool { return link.Status()[0].Hints.Unused == "waiting" })
	for range 3 {
		receive(t, "update", s.updates)
	}
	if len(s.hints) > 0 {
		t.Errorf("%q was sent out of turn", <-s.hints)
	}
	s.cursor.Store(&at)
	s.unhold.Store(true)
	s.turn <- struct{}{}
	hintsOf(t, s, "from here", "second", "third")
	if runs := fmt.Sprint(<-source, ",", <-source); runs != ",here" || len(source) > 0 {
		t.Errorf("runs begin at %s", runs)
	}
}
