package fieldhint

import (
	"fmt"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"
)

// After a restart of their parent, a thousand children connect at once. A few
// send their snapshots at a time; the others wait, are asked, and take no memory.
// In the end all have sent theirs.
func TestSnapshotsTakeTurns(t *testing.T) {
	const children, limit = 1000, 8
	p := newParent(t, IndexConfig{MaxSnapshots: limit})
	links := make([]*link, children)
	for i := range links {
		s := leafSet(t, 4, fmt.Sprintf("web-%d", i))
		s.SetComplete()
		links[i] = connect(t, s, p, fmt.Sprint(i))
		links[i].step() // the first of several frames
	}
	staged := 0
	for i, l := range links {
		if l.feed.staged != nil {
			staged++
		} else if st, _ := p.Child(fmt.Sprint(i)); st.Bytes > 0 || st.Reason == "" {
			t.Fatalf("a child that waits: %+v", st)
		}
	}
	if staged != limit {
		t.Errorf("%d snapshots are under way, want %d", staged, limit)
	}
	p.expect(t, "waiting", "999", `!pod="db-1"`)
	rounds := 0
	for done := 0; done < children; rounds++ {
		if rounds > children {
			t.Fatalf("%d of %d children are done after %d rounds", done, children, rounds)
		}
		done = 0
		for i, l := range links {
			if p.Synced(fmt.Sprint(i)) {
				done++
				continue
			}
			l.flow()
			if l.feed.NeedsResync() {
				l.st.restart(l.feed.Cursor())
			}
		}
	}
	p.expect(t, "done", "999", `pod="db-1"`, `!pod="web-999"`)
}

// A child that falls silent over its snapshot loses its turn.
func TestSilentChildLosesItsTurn(t *testing.T) {
	p := newParent(t, IndexConfig{MaxSnapshots: 1})
	s := leafSet(t, 8, "web-1")
	s.SetComplete()
	silent, waits := connect(t, s, p, "silent"), connect(t, s, p, "waits")
	silent.step()
	waits.flow()
	if waits.feed.NeedsResync() {
		t.Fatal("two have a turn")
	}
	p.clock = p.clock.Add(turnTimeout + time.Second)
	waits.flow()
	if !waits.feed.NeedsResync() {
		t.Fatal("nobody has a turn")
	}
	waits.st.restart(Cursor{})
	waits.flow()
	p.expect(t, "after its turn", "waits", `pod="db-1"`)
	silent.flow() // it may go on if it is not too late
	p.expect(t, "late", "silent", `pod="db-1"`)
	s.AddSeries(labels.FromStrings("pod", "web-2"))
	silent.flow()
	p.expect(t, "late", "silent", `!pod="web-2"`)
}
