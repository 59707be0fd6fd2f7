package fieldhint

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/prometheus/model/labels"
)

// parent is an index with a clock of its own that notes what it tells others.
type parent struct {
	*Index
	clock  time.Time
	states []string
}

func newParent(t testing.TB, cfg IndexConfig) *parent {
	t.Helper()
	p := &parent{clock: time.Unix(1000, 0)}
	cfg.Now = func() time.Time { return p.clock }
	cfg.OnState = func(child string, synced bool) { p.states = append(p.states, fmt.Sprintf("%s:%v", child, synced)) }
	x, err := NewIndex(cfg)
	if err != nil {
		t.Fatal(err)
	}
	p.Index = x
	return p
}

// link is a stream from a set to a feed that moves only when told to.
type link struct {
	t    testing.TB
	feed *Feed
	st   *stream
}

// connect makes a link over which the parent resumes.
func connect(t testing.TB, s *Set, p *parent, child string) *link {
	l := &link{t: t, feed: p.Open(child)}
	l.st = s.newStream(l.feed.Cursor(), func(b []byte) error { return l.feed.Apply(b) })
	return l
}

// cut ends the connection, as the child sees it and as the parent does.
func (l *link) cut() {
	l.feed.Close()
	l.st.close()
}

// flow delivers all that is due, and a heartbeat.
func (l *link) flow() {
	l.t.Helper()
	l.st.due = true
	for sent := true; sent; {
		sent = l.step()
	}
}

func (l *link) step() bool {
	l.t.Helper()
	sent, err := l.st.step()
	if err != nil {
		l.t.Fatal(err)
	}
	return sent
}

func leafSet(t testing.TB, frameSize int, values ...string) *Set {
	s := newSet(t, SetConfig{FrameSize: frameSize})
	for _, v := range values {
		s.AddSeries(labels.FromStrings(labels.MetricName, "up", "pod", v))
	}
	return s
}

// expect checks which of the selectors are ruled out, given as "selector" or
// "!selector" for those that are not.
func (p *parent) expect(t *testing.T, when, child string, selectors ...string) {
	t.Helper()
	for _, text := range selectors {
		want := !strings.HasPrefix(text, "!")
		text = strings.TrimPrefix(text, "!")
		if got := p.RulesOut(child, selector(t, text), math.MinInt64, math.MaxInt64); got != want {
			t.Errorf("%s: rules out {%s}: %v, want %v", when, text, got, want)
		}
	}
}

func TestIndexFollowsAChild(t *testing.T) {
	zone := newSet(t, SetConfig{})
	p := newParent(t, IndexConfig{Union: zone})
	s := leafSet(t, 8, "web-1", "web-2")
	const absent, present, coming = `pod="db-1"`, `pod=~"web-.*"`, `pod=~"new-.*"`
	p.expect(t, "unknown child", "a", "!"+absent)

	l := connect(t, s, p, "a")
	p.expect(t, "no frame yet", "a", "!"+absent)
	l.flow()
	p.expect(t, "snapshot of a child that is not complete", "a", "!"+absent, "!"+present)
	s.SetComplete()
	l.flow()
	p.expect(t, "complete", "a", absent, coming, "!"+present, `__name__="down"`, `job=~".+"`, "!"+`pod!="web-1"`, "!")
	p.expect(t, "another child", "b", "!"+absent)

	s.AddSeries(labels.FromStrings(labels.MetricName, "up", "pod", "new-1"))
	l.flow()
	p.expect(t, "delta", "a", absent, "!"+coming)
	s.SetIncomplete()
	l.flow()
	p.expect(t, "incomplete again", "a", "!"+absent)
	s.SetComplete()
	l.flow()
	p.expect(t, "complete again", "a", absent)

	p.clock = p.clock.Add(2 * time.Second)
	p.expect(t, "just not too old", "a", absent)
	p.clock = p.clock.Add(time.Millisecond)
	p.expect(t, "too old", "a", "!"+absent)
	p.Expire()
	l.flow()
	p.expect(t, "heartbeat", "a", absent)
	l.feed.Close()
	p.expect(t, "closed", "a", "!"+absent)
	if err := l.feed.Apply(nil); !errors.Is(err, ErrClosed) {
		t.Errorf("frame after close: %v", err)
	}

	want := []string{"a:true", "a:false", "a:true", "a:false", "a:true", "a:false"}
	if diff := cmp.Diff(want, p.states); diff != "" {
		t.Errorf("states (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(contents(s), contents(zone)); diff != "" {
		t.Errorf("forwarded (-want +got):\n%s", diff)
	}
}

func TestReconnectResumesOrStartsOver(t *testing.T) {
	p := newParent(t, IndexConfig{})
	s := leafSet(t, 8, "web-1", "web-2", "web-3")
	s.SetComplete()
	first := connect(t, s, p, "a")
	first.flow()
	second := connect(t, s, p, "a")
	p.expect(t, "reconnected", "a", `!pod="db-1"`)
	if diff := cmp.Diff(Cursor{s.Epoch(), []Position{{2, uint64(s.Len()), s.newest().current.log.sum(s.Len())}}}, second.feed.Cursor()); diff != "" {
		t.Errorf("cursor (-want +got):\n%s", diff)
	}
	if _, err := first.st.step(); err != nil {
		t.Errorf("nothing to send: %v", err)
	}
	first.st.due = true
	if _, err := first.st.step(); !errors.Is(err, ErrClosed) {
		t.Errorf("superseded feed: %v, want ErrClosed", err)
	}
	first.feed.Close()
	second.flow()
	p.expect(t, "resumed", "a", `pod="db-1"`, `!pod="web-3"`)
	if st, _ := p.Child("a"); st.Fingerprints != uint64(s.Len()) {
		t.Errorf("after resuming, there are %d fingerprints of %d", st.Fingerprints, s.Len())
	}

	s.Reset() // as after a restart of the child
	second.feed.Close()
	third := connect(t, s, p, "a")
	third.flow()
	p.expect(t, "restarted, not complete", "a", `!pod="db-1"`)
	s.AddSeries(labels.FromStrings("pod", "db-1"))
	s.SetComplete()
	third.flow()
	p.expect(t, "restarted", "a", `!pod="db-1"`, `pod="web-3"`)
}

// While a new generation of sections arrives, the old one serves, and new series
// are known as ever. When it is whole, the old one goes, and with it what is gone.
func TestGenerationsChangeUnnoticed(t *testing.T) {
	zone := newSet(t, SetConfig{})
	p := newParent(t, IndexConfig{Union: zone})
	s := leafSet(t, 8, "web-1", "old-1")
	s.SetComplete()
	l := connect(t, s, p, "a")
	l.flow()
	rebuild(t, s, func(add func(labels.Labels)) {
		for i := range 4 {
			add(labels.FromStrings("pod", fmt.Sprintf("web-%d", i)))
		}
	})
	for i := 0; l.step(); i++ {
		p.expect(t, "in between", "a", `pod="db-1"`)
		if i < 3 {
			s.AddSeries(labels.FromStrings("b", fmt.Sprint(i)))
			l.step()
			p.expect(t, "in between", "a", fmt.Sprintf(`!b="%d"`, i))
		}
	}
	p.expect(t, "at last", "a", `pod="old-1"`, `!pod="web-3"`, `!b="0"`, `pod="db-1"`)
	if diff := cmp.Diff([]string{"a:true"}, p.states); diff != "" {
		t.Errorf("states (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(contents(s), contents(zone)); diff != "" {
		t.Errorf("the zone's set (-want +got):\n%s", diff)
	}
}

// A stream that begins anew is staged: the old hint is used until the new one is
// whole, but for no longer than if the child had fallen silent.
func TestRestartedStreamIsSwappedInWhole(t *testing.T) {
	p := newParent(t, IndexConfig{})
	s := leafSet(t, 4, "web-1", "old-1")
	s.SetComplete()
	l := connect(t, s, p, "a")
	l.flow()
	l.st.restart(Cursor{})
	l.step()
	p.expect(t, "under way", "a", `pod="db-1"`, `!pod="old-1"`)
	p.clock = p.clock.Add(3 * time.Second)
	l.step()
	p.expect(t, "frames of a staged hint do not renew the old one", "a", `!pod="db-1"`)
	l.flow()
	p.expect(t, "whole", "a", `pod="db-1"`, `!pod="old-1"`)
	if diff := cmp.Diff([]string{"a:true"}, p.states); diff != "" {
		t.Errorf("states (-want +got):\n%s", diff)
	}
}

// A zone's set forgets what no child holds any more: when the last child drops
// its section.
func TestZoneForgets(t *testing.T) {
	zone := newSet(t, SetConfig{})
	p := newParent(t, IndexConfig{Union: zone})
	var sets []*Set
	var links []*link
	for _, name := range []string{"a", "b"} {
		s := newSet(t, SetConfig{})
		rebuild(t, s, func(add func(labels.Labels)) {
			add(labels.FromStrings("pod", name+"-1"))
			add(labels.FromStrings("pod", name+"-gone"))
		})
		s.SetComplete()
		l := connect(t, s, p, name)
		l.flow()
		sets, links = append(sets, s), append(links, l)
	}
	gone := fingerprintsOf("pod", "a-gone")[1]
	const own, unions = 2, 1
	if !contents(zone)[gone] || zone.Sections() != own+unions {
		t.Fatalf("%d sections", zone.Sections())
	}
	next := func(i int, values ...string) {
		t.Helper()
		layout := Layout{Start: 24 * hour, Window: 24 * hour, Current: 23 * hour}
		if err := sets[i].Rebuild(layout, func(add func(labels.Labels, ...Span)) error {
			for _, v := range values {
				add(labels.FromStrings("pod", v), Span{24 * hour, math.MaxInt64})
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		links[i].flow()
	}
	next(0, "a-1")
	if !contents(zone)[gone] || zone.Sections() != own+2*unions {
		t.Error("forgotten while a child has the section")
	}
	next(1, "b-1")
	if zone.Sections() != own+unions {
		t.Errorf("%d sections", zone.Sections())
	}
	want := contents(sets[0])
	for fp := range contents(sets[1]) {
		want[fp] = true
	}
	if diff := cmp.Diff(want, contents(zone)); diff != "" || want[gone] {
		t.Errorf("the zone's set (-want +got):\n%s", diff)
	}
	p.Forget("a")
	if contents(zone)[fingerprintsOf("pod", "a-1")[1]] && zone.Sections() != own+unions {
		t.Errorf("%d sections", zone.Sections())
	}
	links[1].cut()
	p.Forget("b")
	if zone.Sections() != own || zone.Len() != 0 {
		t.Errorf("without children, there are %d sections with %d fingerprints", zone.Sections(), zone.Len())
	}
}

// The sections of a zone's set are bounded, however many its children have.
func TestUnionsAreBounded(t *testing.T) {
	zone := newSet(t, SetConfig{})
	p := newParent(t, IndexConfig{Union: zone})
	root := newParent(t, IndexConfig{})
	up := connect(t, zone, root, "zone")
	for i := range 2 * maxUnions {
		s := newSet(t, SetConfig{})
		layout := Layout{Start: int64(i) * hour, Window: int64(i+2) * hour, Current: int64(i) * hour}
		if err := s.Rebuild(layout, func(add func(labels.Labels, ...Span)) error {
			add(labels.FromStrings("pod", fmt.Sprint(i)), Span{layout.Start, layout.Start + 1})
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		s.SetComplete()
		connect(t, s, p, fmt.Sprint(i)).flow()
	}
	zone.SetComplete()
	up.flow()
	if n := zone.Sections(); n > maxUnions+3 {
		t.Errorf("%d sections", n)
	}
	for i := range 2 * maxUnions {
		at := int64(i) * hour
		if root.RulesOut("zone", selector(t, fmt.Sprintf(`pod="%d"`, i)), at, at) {
			t.Errorf("the root rules out the series of child %d", i)
		}
	}
	root.expect(t, "bounded", "zone", `pod="absent"`)
}

// While its children change from one generation to the next, a zone holds two whole
// ones, and each may be as large as one alone: the new one is complete although the
// old one fills its bound, and so is what comes after it.
func TestGenerationsHaveTheirOwnBounds(t *testing.T) {
	const size, pods = 4000, 700
	zone := newSet(t, SetConfig{MaxFingerprints: size})
	p := newParent(t, IndexConfig{Union: zone, MaxFingerprints: size})
	root := newParent(t, IndexConfig{MaxFingerprints: size})
	up := connect(t, zone, root, "zone")
	leaf := newSet(t, SetConfig{})
	var l *link
	for day := range int64(4) {
		layout := Layout{Start: day * 24 * hour, Window: 24 * hour, Current: day * 24 * hour}
		if err := leaf.Rebuild(layout, func(add func(labels.Labels, ...Span)) error {
			for i := range pods {
				add(labels.FromStrings("pod", fmt.Sprintf("%d-%d", day, i)), Span{layout.Start, math.MaxInt64})
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		if l == nil {
			leaf.SetComplete()
			l = connect(t, leaf, p, "leaf")
		}
		if n := leaf.Len(); n < size/2 {
			t.Fatalf("the leaf has %d fingerprints: two generations would fit one bound", n)
		}
		l.step() // both generations are there
		zone.SetComplete()
		up.flow()
		l.flow()
		up.flow()
		if !zone.IsComplete() {
			t.Fatalf("day %d: full, with %d fingerprints", day, zone.Len())
		}
		root.expect(t, "complete", "zone", fmt.Sprintf(`!pod="%d-1"`, day), `pod="absent"`)
	}
}

// A child without series has nothing to say but that it is so.
func TestEmptyChild(t *testing.T) {
	p := newParent(t, IndexConfig{})
	s := newSet(t, SetConfig{})
	s.SetComplete()
	l := connect(t, s, p, "a")
	l.flow()
	l.flow()
	p.expect(t, "empty", "a", `job="api"`, `!job!="api"`)
	s.AddSeries(labels.FromStrings("job", "api"))
	l.flow()
	p.expect(t, "no longer empty", "a", `!job="api"`, `job="db"`)
}

// Children of the release before are understood: what they hold is of all time.
func TestOldChild(t *testing.T) {
	zone := newSet(t, SetConfig{})
	p := newParent(t, IndexConfig{Union: zone})
	f := p.Open("a")
	apply := func(b []byte) {
		t.Helper()
		if err := f.Apply(b); err != nil {
			t.Fatal(err)
		}
	}
	apply(oldFrame(true, 7, 0, 0))
	apply(oldFrame(true, 7, 0, 0))
	p.expect(t, "empty", "a", `pod="a-1"`)
	facts := AppendFingerprints(nil, labels.FromStrings("pod", "a-1"))
	n := uint64(len(facts))
	apply(oldFrame(false, 7, 0, n, facts[:3]...))
	p.expect(t, "incomplete", "a", `!pod="db-1"`)
	apply(oldFrame(true, 7, 3, n, facts[3:]...))
	apply(oldFrame(true, 7, n, n))
	p.expect(t, "complete", "a", `!pod="a-1"`, `pod="db-1"`)
	apply(oldFrame(false, 8, 0, n, facts[0], facts[2], facts[3]))
	p.expect(t, "a new epoch under way", "a", `!pod="a-1"`, `pod="db-1"`)
	apply(oldFrame(true, 8, 3, 3))
	p.expect(t, "a new epoch", "a", `pod="a-1"`, `pod="db-1"`)
	if zone.Sections() != 3 {
		t.Errorf("%d sections", zone.Sections())
	}
	if err := f.Apply(oldFrame(true, 8, 4, 4)); !errors.Is(err, ErrGap) {
		t.Errorf("a gap: %v", err)
	}
	p.expect(t, "after a gap", "a", `!pod="db-1"`)
}

// A child of a release to come is asked, and said to be why; nothing is torn
// down, since it would be the same again.
func TestForeignFormat(t *testing.T) {
	p := newParent(t, IndexConfig{})
	s := leafSet(t, 0, "a-1")
	s.SetComplete()
	l := connect(t, s, p, "a")
	l.flow()
	p.expect(t, "before", "a", `pod="db-1"`)
	for range 3 {
		if err := l.feed.Apply([]byte{3, 1, 2, 3}); err != nil {
			t.Fatal(err)
		}
	}
	p.expect(t, "after", "a", `!pod="db-1"`)
	if st, _ := p.Child("a"); st.Reason != "unknown hint format 3" {
		t.Errorf("stats %+v", st)
	}
	l.st.due = true
	if _, err := l.st.step(); !errors.Is(err, ErrEpoch) {
		t.Errorf("a frame in the middle of a stream: %v, want ErrEpoch", err)
	}
	connect(t, s, p, "a").flow()
	p.expect(t, "connected anew", "a", `pod="db-1"`)
}

func TestBadFramesEndTheFeed(t *testing.T) {
	open := func(id, at, total uint64, span Span) record {
		return record{kind: recordOpen, id: id, span: span, at: at, total: total}
	}
	add := func(id, at uint64) record { return record{kind: recordFingerprints, id: id, at: at, fps: []uint64{4}} }
	good := frame{complete: true, first: true, epoch: 7, records: []record{
		open(1, 0, 3, always), {kind: recordFingerprints, id: 1, fps: []uint64{1, 2, 3}},
	}}
	next := func(records ...record) frame { return frame{complete: true, epoch: 7, seq: 1, records: records} }
	flip := func(b []byte, i int) []byte { b[i] ^= 0x10; return b }
	fine := next(add(1, 3))
	late, other := fine, fine
	late.seq, other.epoch = 2, 8
	for _, c := range []struct {
		name string
		b    []byte
		want error
	}{
		{"empty", nil, ErrFrame},
		{"truncated", fine.append(nil)[:20], ErrFrame},
		{"one byte short", fine.append(nil)[:len(fine.append(nil))-1], ErrFrame},
		{"one byte too many", append(fine.append(nil), 0), ErrFrame},
		{"too large", make([]byte, MaxFrameSize+1), ErrFrame},
		{"flags", flip(fine.append(nil), 1), ErrFrame},
		{"bit of a record", flip(fine.append(nil), 20), ErrFrame},
		{"gap between frames", late.append(nil), ErrGap},
		{"another epoch", other.append(nil), ErrEpoch},
		{"gap in a section", next(add(1, 4)).append(nil), ErrGap},
		{"repetition", next(add(1, 2)).append(nil), ErrGap},
		{"a section that is not open", next(add(2, 0)).append(nil), ErrGap},
		{"drop of one that is not open", next(record{kind: recordDrop, id: 2}).append(nil), ErrGap},
		{"a section that is open already", next(open(1, 0, 3, always)).append(nil), ErrGap},
		{"one that changes its end", next(open(1, 3, 3, Span{0, 5})).append(nil), ErrGap},
		{"one that resumes what is not there", next(open(2, 3, 3, always)).append(nil), ErrGap},
		{"one beyond its end", next(open(2, 4, 3, always)).append(nil), ErrFrame},
		{"one of no time", next(open(2, 0, 3, Span{5, 5})).append(nil), ErrFrame},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := newParent(t, IndexConfig{})
			f := p.Open("a")
			if err := f.Apply(good.append(nil)); err != nil {
				t.Fatal(err)
			}
			p.expect(t, "before", "a", `pod="db-1"`)
			if err := f.Apply(c.b); !errors.Is(err, c.want) {
				t.Errorf("error %v, want %v", err, c.want)
			}
			p.expect(t, "after", "a", `!pod="db-1"`)
			if err := f.Apply(fine.append(nil)); !errors.Is(err, ErrClosed) {
				t.Errorf("next frame: %v, want ErrClosed", err)
			}
		})
	}
}

func TestTooLargeAChildIsAlwaysAsked(t *testing.T) {
	p := newParent(t, IndexConfig{MaxFingerprints: 20})
	s := newSet(t, SetConfig{FrameSize: 8})
	s.Add(1, 2, 3)
	s.SetComplete()
	l := connect(t, s, p, "a")
	l.flow()
	p.expect(t, "small", "a", `pod="db-1"`)
	for i := range uint64(20) {
		s.Add(i)
	}
	l.flow()
	p.expect(t, "small", "a", `pod="db-1"`)
	s.Add(100)
	l.flow()
	p.expect(t, "too large", "a", `!pod="db-1"`)
	connect(t, s, p, "a").flow()
	p.expect(t, "too large from the start", "a", `!pod="db-1"`)
	if st, _ := p.Child("a"); st.Reason != "more than 20 fingerprints (--hints.max-fingerprints)" {
		t.Errorf("stats %+v", st)
	}
	rebuild(t, s, func(func(labels.Labels)) {})
	connect(t, s, p, "a").flow()
	p.expect(t, "small again", "a", `pod="db-1"`)
}

// A stream that resumes on the same connection shares sections with the hint in
// use. If it grows beyond the bound and then breaks off, the next one cannot
// resume there, and starts over.
func TestResumeAfterGivingUp(t *testing.T) {
	p := newParent(t, IndexConfig{MaxFingerprints: 20})
	s := newSet(t, SetConfig{FrameSize: 8})
	for i := range uint64(15) {
		s.Add(i)
	}
	s.SetComplete()
	l := connect(t, s, p, "a")
	l.flow()
	for i := range uint64(40) {
		s.Add(i)
	}
	l.st.restart(l.feed.Cursor())
	l.step()
	l.cut()
	connect(t, s, p, "a").flow()
	if st, _ := p.Child("a"); st.Reason != "more than 20 fingerprints (--hints.max-fingerprints)" {
		t.Errorf("stats %+v", st)
	}
	rebuild(t, s, func(func(labels.Labels)) {})
	connect(t, s, p, "a").flow()
	p.expect(t, "small again", "a", `pod="db-1"`)
}

// While a parent's wish to begin anew is on its way to the child, frames of the
// old stream still come.
func TestFramesBeforeAResume(t *testing.T) {
	zone := newSet(t, SetConfig{})
	p := newParent(t, IndexConfig{Union: zone})
	s := leafSet(t, 8, "web-1")
	s.SetComplete()
	l := connect(t, s, p, "a")
	l.flow()
	at := l.feed.Cursor()
	s.AddSeries(labels.FromStrings(labels.MetricName, "up", "pod", "web-2"))
	l.flow()
	l.st.restart(at)
	l.step()
	p.expect(t, "under way", "a", `!pod="web-2"`)
	s.AddSeries(labels.FromStrings(labels.MetricName, "up", "pod", "web-3"))
	l.flow()
	p.expect(t, "resumed", "a", `pod="db-1"`, `!pod="web-1"`, `!pod="web-2"`, `!pod="web-3"`)
	if diff := cmp.Diff(contents(s), contents(zone)); diff != "" {
		t.Errorf("the zone's set (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"a:true"}, p.states); diff != "" {
		t.Errorf("states (-want +got):\n%s", diff)
	}
}

// A filter that grew layer by layer while its child was filling is replaced by
// one of the right size.
func TestGrownFilterIsMadeAnew(t *testing.T) {
	p := newParent(t, IndexConfig{})
	s := newSet(t, SetConfig{})
	s.SetComplete()
	l := connect(t, s, p, "a")
	const n = 100_000
	for i := range uint64(n) {
		s.Add(mix(i))
		if i%5000 == 0 {
			l.flow()
		}
	}
	l.flow()
	grown, _ := p.Child("a")
	if !l.feed.NeedsResync() {
		t.Fatalf("no resync wanted: %+v", grown)
	}
	if diff := cmp.Diff(Cursor{Epoch: s.Epoch(), Sections: []Position{}}, l.feed.Cursor(), cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("cursor (-want +got):\n%s", diff)
	}
	l.st.restart(l.feed.Cursor())
	l.flow()
	anew, _ := p.Child("a")
	if l.feed.NeedsResync() || anew.Layers > 1 || anew.Bytes > n*135/100 || !anew.Synced {
		t.Errorf("after the resync: %+v; before: %+v", anew, grown)
	}
}

// A child's word for how much it holds is taken to a bound; once it has sent more,
// its filter is made for that.
func TestFilterOfALargeChildIsMadeForWhatItSent(t *testing.T) {
	const trusted, n = 40_000, 200_000
	p := newParent(t, IndexConfig{Trusted: trusted})
	s := newSet(t, SetConfig{})
	for i := range uint64(n) {
		s.Add(mix(i))
	}
	s.SetComplete()
	l := connect(t, s, p, "a")
	l.flow()
	believed, _ := p.Child("a")
	if believed.Layers < 2 || !l.feed.NeedsResync() {
		t.Fatalf("made for %d at once: %+v", n, believed)
	}
	l.st.restart(l.feed.Cursor())
	l.flow()
	sent, _ := p.Child("a")
	if l.feed.NeedsResync() || sent.Layers > 1 || sent.Bytes > n*135/100 || !sent.Synced {
		t.Errorf("after the resync: %+v; before: %+v", sent, believed)
	}
}

func TestIndexBoundsItsChildren(t *testing.T) {
	p := newParent(t, IndexConfig{MaxChildren: 2})
	p.Open("a").Close()
	b := p.Open("b")
	p.Open("c")
	var names []string
	for _, s := range p.Stats() {
		names = append(names, s.Name)
	}
	if diff := cmp.Diff([]string{"b", "c"}, names); diff != "" {
		t.Errorf("children (-want +got):\n%s", diff)
	}
	p.Forget("b")
	if _, ok := p.Child("b"); ok {
		t.Error("b is not forgotten")
	}
	if err := b.Apply(frame{first: true, epoch: 1}.append(nil)); !errors.Is(err, ErrClosed) {
		t.Errorf("feed of a forgotten child: %v", err)
	}
}

func TestRulesOutAllAndMetrics(t *testing.T) {
	reg := prometheus.NewPedanticRegistry()
	p := newParent(t, IndexConfig{Registerer: reg})
	for _, name := range []string{"a", "b"} {
		s := leafSet(t, 0, name+"-1")
		s.SetComplete()
		connect(t, s, p, name).flow()
	}
	ms := selector(t, `pod=~"a-.+"`)
	if diff := cmp.Diff([]bool{true, false, false}, p.RulesOutAll([]string{"b", "a", "unknown"}, ms, 0, 0)); diff != "" {
		t.Errorf("ruled out (-want +got):\n%s", diff)
	}
	if !p.RulesOut("b", ms, 0, 0) || p.Compile(ms).String() != Compile(ms).String() {
		t.Error("a remembered query differs from a fresh one")
	}
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]float64{}
	for _, f := range families {
		m := f.GetMetric()[0]
		got[f.GetName()] = m.GetCounter().GetValue() + m.GetGauge().GetValue()
	}
	delete(got, "pando_fieldhint_bytes")
	delete(got, "pando_fieldhint_fingerprints")
	delete(got, "pando_fieldhint_children_unused") // see TestReasonsAreCounted
	delete(got, "pando_fieldhint_streams_total")
	want := map[string]float64{
		"pando_fieldhint_checks_total": 4, "pando_fieldhint_ruled_out_total": 2, "pando_fieldhint_children": 2,
		"pando_fieldhint_children_synced": 2, "pando_fieldhint_frames_total": 2, "pando_fieldhint_frame_errors_total": 0,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("metrics (-want +got):\n%s", diff)
	}
}

func TestIndexConfigIsValidated(t *testing.T) {
	for _, cfg := range []IndexConfig{{MaxAge: -1}, {FalsePositiveRate: 1}, {FalsePositiveRate: -0.1}, {MaxSnapshots: -1}, {MaxFingerprints: -1}, {MaxChildren: -1}} {
		if _, err := NewIndex(cfg); err == nil {
			t.Errorf("configuration %+v was accepted", cfg)
		}
	}
}

// Frames, closes, expiry and questions at the same time: for the race detector.
func TestIndexIsSafeForConcurrentUse(t *testing.T) {
	x, err := NewIndex(IndexConfig{OnState: func(string, bool) {}})
	if err != nil {
		t.Fatal(err)
	}
	s := leafSet(t, 16)
	s.SetComplete()
	ms := selector(t, `pod=~"web-1.*"`)
	var wg sync.WaitGroup
	for w := range 3 {
		wg.Go(func() {
			for i := range 30 {
				f := x.Open("a")
				st := s.newStream(f.Cursor(), f.Apply)
				s.AddSeries(labels.FromStrings("pod", fmt.Sprintf("web-%d", i*3+w)))
				for range 10 {
					if sent, err := st.step(); err != nil || !sent {
						break
					}
				}
				x.RulesOut("a", ms, 0, 0)
				x.RulesOutAll([]string{"a", "b"}, ms, 0, 0)
				x.Expire()
				f.NeedsResync()
				x.Stats()
				f.Close()
				st.close()
				if i == 20 {
					x.Forget("a")
				}
			}
		})
	}
	wg.Wait()
	if x.Synced("a") {
		t.Error("synced without a feed")
	}
}
