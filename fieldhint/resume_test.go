package fieldhint

import (
	"errors"
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/prometheus/model/labels"
)

// count returns a function that brings the link up to date and returns the number
// of bytes which that took.
func (l *link) count() (flow func() int) {
	size := 0
	send := l.st.send
	l.st.send = func(b []byte) error {
		size += len(b)
		return send(b)
	}
	return func() int {
		l.flow()
		n := size
		size = 0
		return n
	}
}

func addPods(s *Set, from, to int) {
	for i := from; i < to; i++ {
		s.AddSeries(labels.FromStrings(labels.MetricName, fmt.Sprint("metric_", i%100), "pod", fmt.Sprint("pod-", i)))
	}
}

// After a connection was lost, only what has changed since is sent, and the child is
// asked until all of it has arrived. A child or a parent that was restarted sends a
// snapshot.
func TestResumeSendsWhatIsNew(t *testing.T) {
	p := newParent(t, IndexConfig{})
	s := newSet(t, SetConfig{})
	addPods(s, 0, 5000)
	s.SetComplete()
	l := connect(t, s, p, "a")
	snapshot := l.count()()
	p.expect(t, "connected", "a", `pod="db-1"`)
	l.cut()
	p.expect(t, "disconnected", "a", `!pod="db-1"`)

	l = connect(t, s, p, "a")
	p.expect(t, "connected again, nothing said", "a", `!pod="db-1"`)
	if n := l.count()(); n > 100 {
		t.Errorf("nothing has changed, and %d bytes were sent", n)
	}
	p.expect(t, "resumed", "a", `pod="db-1"`, `!pod="pod-4999"`)
	l.cut()

	addPods(s, 5000, 5100)
	l = connect(t, s, p, "a")
	p.expect(t, "not caught up", "a", `!pod="pod-5050"`, `!pod="db-1"`)
	if n := l.count()(); n > snapshot/10 {
		t.Errorf("%d bytes for a fiftieth of what took %d", n, snapshot)
	}
	p.expect(t, "caught up", "a", `pod="db-1"`, `!pod="pod-5050"`, `!pod="pod-7"`)
	l.cut()

	restarted := newSet(t, SetConfig{})
	addPods(restarted, 0, 5100)
	restarted.SetComplete()
	l = connect(t, restarted, p, "a")
	if n := l.count()(); n < snapshot {
		t.Errorf("a restarted child has sent %d bytes, fewer than a snapshot's %d", n, snapshot)
	}
	p.expect(t, "child restarted", "a", `pod="db-1"`, `!pod="pod-5050"`)

	p = newParent(t, IndexConfig{})
	l = connect(t, restarted, p, "a")
	if n := l.count()(); n < snapshot {
		t.Errorf("a restarted parent was sent %d bytes, fewer than a snapshot's %d", n, snapshot)
	}
	p.expect(t, "parent restarted", "a", `pod="db-1"`, `!pod="pod-5050"`)
}

// A position fits one content only: another process' set, or another rebuild's
// section, may have the very same names and lengths.
func TestCursorFitsOneContentOnly(t *testing.T) {
	same := func() uint64 { return 1000 }
	p := newParent(t, IndexConfig{})
	s := newSet(t, SetConfig{Epoch: same})
	addPods(s, 0, 200)
	s.SetComplete()
	l := connect(t, s, p, "a")
	l.flow()
	l.cut()
	other := newSet(t, SetConfig{Epoch: same})
	addPods(other, 1000, 1300)
	other.SetComplete()
	connect(t, other, p, "a").flow()
	p.expect(t, "another process", "a", `!pod="pod-1000"`, `!pod="pod-1299"`, `pod="pod-7"`)

	// A rebuild of the same window has the generation's number, and other sections.
	scan := func(from, to int) func(func(labels.Labels)) {
		return func(add func(labels.Labels)) {
			for i := from; i < to; i++ {
				add(labels.FromStrings("pod", fmt.Sprint("pod-", i)))
			}
		}
	}
	rebuild(t, other, scan(0, 50))
	l = connect(t, other, p, "a")
	l.flow()
	at := l.feed.Cursor()
	rebuild(t, other, scan(50, 150))
	for _, c := range other.newest().sections {
		if n := at.next(other.Epoch(), c); n > 0 {
			t.Errorf("a cursor of before a rebuild is at %d of a section of after it", n)
		}
	}
	l.st.restart(at)
	l.flow()
	p.expect(t, "rebuilt", "a", `pod="pod-49"`, `!pod="pod-50"`, `!pod="pod-149"`)
}

// A snapshot that was on its way when the connection was lost goes on from there.
func TestSnapshotGoesOn(t *testing.T) {
	zone := newSet(t, SetConfig{})
	p := newParent(t, IndexConfig{Union: zone})
	s := newSet(t, SetConfig{FrameSize: 100})
	addPods(s, 0, 2000)
	s.SetComplete()
	first := connect(t, s, p, "a")
	for range 20 {
		first.step()
	}
	if st, _ := p.Child("a"); st.Fingerprints != 0 {
		t.Fatalf("in use: %+v", st)
	}
	first.cut()
	p.expect(t, "broken off", "a", `!pod="db-1"`)
	had, _ := p.Child("a")
	if had.Fingerprints != 20*100 || had.Synced {
		t.Errorf("kept of the snapshot: %+v", had)
	}
	second := connect(t, s, p, "a")
	second.step()
	p.expect(t, "under way", "a", `!pod="db-1"`, `!pod="pod-1999"`)
	frames := 1
	for second.step() {
		frames++
	}
	if want := (s.Len() - 20*100 + 99) / 100; frames != want {
		t.Errorf("%d frames, want the %d that lacked", frames, want)
	}
	p.expect(t, "whole", "a", `pod="db-1"`, `!pod="pod-0"`, `!pod="pod-1999"`)
	if diff := cmp.Diff(contents(s), contents(zone)); diff != "" {
		t.Errorf("the zone's set (-want +got):\n%s", diff)
	}
}

// What is kept of a child that is gone is dropped after a while.
func TestKept(t *testing.T) {
	zone := newSet(t, SetConfig{})
	p := newParent(t, IndexConfig{Union: zone, Keep: time.Minute})
	s := leafSet(t, 0, "web-1")
	s.SetComplete()
	l := connect(t, s, p, "a")
	l.flow()
	p.clock = p.clock.Add(time.Hour)
	p.Expire()
	if st, _ := p.Child("a"); st.Fingerprints == 0 {
		t.Error("a hint is dropped while its child is connected")
	}
	l.cut()
	p.clock = p.clock.Add(time.Minute)
	p.Expire()
	if st, _ := p.Child("a"); st.Fingerprints == 0 || zone.Len() == 0 {
		t.Error("dropped early")
	}
	p.clock = p.clock.Add(time.Second)
	p.Expire()
	if st, _ := p.Child("a"); st.Fingerprints != 0 || zone.Len() != 0 {
		t.Errorf("kept: %+v, %d in the zone's set", st, zone.Len())
	}
	l = connect(t, s, p, "a")
	if at := l.feed.Cursor(); len(at.Sections) > 0 {
		t.Errorf("resumes at %v", at)
	}
	l.flow()
	p.expect(t, "anew", "a", `pod="db-1"`, `!pod="web-1"`)
}

// Why a hint is not in use is told by one word, and counted. A fault is told until
// the snapshot that it made necessary is there.
func TestReasons(t *testing.T) {
	reg := prometheus.NewPedanticRegistry()
	p := newParent(t, IndexConfig{MaxFingerprints: 1000, MaxSnapshots: 1, Registerer: reg})
	s := leafSet(t, 4, "web-1")
	l := connect(t, s, p, "a")
	check := func(when string, want Reason) {
		t.Helper()
		if st, _ := p.Child("a"); st.Unused != want || st.Synced != (want == "") || l.feed.Unused() != want {
			t.Errorf("%s: %+v, want %q", when, st, want)
		}
		families, err := reg.Gather()
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range families {
			for _, m := range f.GetMetric() {
				if f.GetName() != "pando_fieldhint_children_unused" {
					continue
				}
				if reason := Reason(m.GetLabel()[0].GetValue()); (m.GetGauge().GetValue() == 1) != (reason == want) {
					t.Errorf("%s: %v children unused: %s", when, m.GetGauge().GetValue(), reason)
				}
			}
		}
	}
	again := func() {
		l.cut()
		l = connect(t, s, p, "a")
	}
	check("connected", ReasonNeverSynced)
	l.flow()
	check("not complete, staged", ReasonNeverSynced)
	s.SetComplete()
	l.flow()
	check("complete", "")
	s.SetIncomplete()
	l.flow()
	check("not complete", ReasonIncomplete)
	s.SetComplete()
	l.flow()
	p.clock = p.clock.Add(3 * time.Second)
	check("silent", ReasonLate)
	l.flow()
	check("speaks", "")
	l.cut()
	check("disconnected", ReasonDisconnected)
	l = connect(t, s, p, "a")
	l.flow()

	good := frame{epoch: 5, seq: 1, records: []record{{kind: recordFingerprints, id: 1, fps: []uint64{1, 2, 3}}}}.append(nil)
	damaged := frame{epoch: 5, seq: 1, records: []record{{kind: recordFingerprints, id: 1, fps: []uint64{1, 2, 3}}}}.append(nil)
	damaged[5] ^= 1
	odd := frame{epoch: 5, seq: 1, records: []record{{kind: recordFingerprints, id: 1, at: math.MaxUint64, fps: []uint64{1}}}}.append(nil)
	for _, c := range []struct {
		frame []byte
		want  Reason
	}{
		{good, ReasonOutOfOrder},
		{damaged, ReasonChecksum},
		{odd, ReasonMalformed},
		{good[:len(good)-9], ReasonTruncated},
		{good[:10], ReasonTruncated},
		{oldFrame(true, 1, 0, 1, 1)[:40], ReasonTruncated},
	} {
		if err := l.feed.Apply(c.frame); err == nil {
			t.Fatalf("%s: no error", c.want)
		}
		check("at once", c.want)
		if err := l.feed.Apply(c.frame); !errors.Is(err, ErrClosed) {
			t.Error(err)
		}
		again()
		check("begins anew", c.want)
		if at := l.feed.Cursor(); len(at.Sections) > 0 {
			t.Errorf("%s: resumes at %v after a fault", c.want, at)
		}
		l.flow()
		check("begun anew", "")
	}
	if err := l.feed.Apply([]byte{frameVersion + 1, 0}); err != nil {
		t.Fatal(err)
	}
	check("another release", ReasonForeignVersion)

	other := leafSet(t, 4, "x")
	busy := connect(t, other, p, "a-2")
	busy.step()
	s.Reset()
	addPods(s, 0, 2)
	again()
	l.step()
	p.Forget("a-2")
	check("others come first", ReasonWaiting)
	busy.feed.Close()
	again()
	addPods(s, 0, 1000)
	s.SetComplete()
	l.flow()
	check("too large", ReasonTooLarge)
}

// A section whose log is full does not keep another that is gone at the parent.
func TestFullSetDropsSections(t *testing.T) {
	zone := newSet(t, SetConfig{MaxFingerprints: 60})
	p := newParent(t, IndexConfig{Union: zone})
	root := newParent(t, IndexConfig{})
	up := connect(t, zone, root, "zone")
	small := newSet(t, SetConfig{})
	rebuild(t, small, func(add func(labels.Labels)) { add(labels.FromStrings("pod", "gone")) })
	small.SetComplete()
	a := connect(t, small, p, "a")
	a.flow()
	large := newSet(t, SetConfig{})
	addPods(large, 0, 100)
	large.SetComplete()
	connect(t, large, p, "b").flow()
	zone.SetComplete()
	up.flow()
	root.expect(t, "full", "zone", `!pod="absent"`)
	before, _ := root.Child("zone")
	staged := len(up.feed.staged.sections)
	a.cut()
	p.Forget("a")
	up.flow()
	if n := len(up.feed.staged.sections); n != staged-1 {
		t.Errorf("%d sections at the root, were %d; %+v", n, staged, before)
	}
}

// While parents rely on an older generation, it is not dropped because the new one
// is full.
func TestFullGenerationKeepsTheOneBefore(t *testing.T) {
	p := newParent(t, IndexConfig{})
	s := newSet(t, SetConfig{MaxFingerprints: 50})
	s.AddSeries(labels.FromStrings("pod", "web-1"))
	s.SetComplete()
	l := connect(t, s, p, "a")
	l.flow()
	rebuild(t, s, func(add func(labels.Labels)) {
		for i := range 100 {
			add(labels.FromStrings("pod", fmt.Sprint("new-", i)))
		}
	})
	l.flow()
	p.expect(t, "old generation", "a", `pod="db-1"`, `!pod="web-1"`)
	s.AddSeries(labels.FromStrings("pod", "db-1"))
	l.flow()
	p.expect(t, "an addition", "a", `!pod="db-1"`)
}

// A set that becomes full by a series of the past says so at once.
func TestAddSeriesAtRingsWhenFull(t *testing.T) {
	s := newSet(t, SetConfig{MaxFingerprints: 20})
	rebuild(t, s, func(func(labels.Labels)) {})
	for i := uint64(0); s.newest().room.left.Load() > 0; i++ {
		s.Add(i)
	}
	s.SetComplete()
	wake := s.bell.listen()
	s.AddSeriesAt(labels.FromStrings("pod", "late"), Span{0, math.MaxInt64})
	if s.IsComplete() {
		t.Fatal("not full")
	}
	select {
	case <-wake:
	default:
		t.Error("streams are not told")
	}
}

// A turn that ends goes to who has waited longest, who is told; and one who says
// nothing new loses his.
func TestTurnIsHandedOver(t *testing.T) {
	p := newParent(t, IndexConfig{MaxSnapshots: 1})
	told := map[string]int{}
	links := map[string]*link{}
	for _, name := range []string{"a", "b", "c"} {
		s := leafSet(t, 4, "web-"+name)
		if name != "b" {
			s.SetComplete()
		}
		l := connect(t, s, p, name)
		l.feed.OnTurn(func() { told[name]++ })
		l.step()
		links[name] = l
		if l.feed.Waiting() != (name != "a") {
			t.Errorf("%s waits: %t", name, l.feed.Waiting())
		}
	}
	links["a"].flow()
	if diff := cmp.Diff(map[string]int{"b": 1}, told); diff != "" || !links["b"].feed.NeedsResync() {
		t.Errorf("told (-want +got):\n%s", diff)
	}
	links["b"].st.restart(links["b"].feed.Cursor())
	links["b"].flow() // all that it has, but it is not complete
	for range 3 {
		p.clock = p.clock.Add(turnTimeout / 2)
		links["b"].flow()
		p.Expire()
	}
	if diff := cmp.Diff(map[string]int{"b": 1, "c": 1}, told); diff != "" {
		t.Errorf("told (-want +got):\n%s", diff)
	}
	links["c"].st.restart(links["c"].feed.Cursor())
	links["c"].flow()
	p.expect(t, "its turn", "c", `pod="db-1"`)
}
