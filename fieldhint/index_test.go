package fieldhint

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/prometheus/model/labels"
)

// parent is an index with a clock of its own that notes what it tells others.
type parent struct {
	*Index
	clock     time.Time
	states    []string
	forwarded map[uint64]bool
}

func newParent(t testing.TB, cfg IndexConfig) *parent {
	t.Helper()
	p := &parent{clock: time.Unix(1000, 0), forwarded: map[uint64]bool{}}
	cfg.Now = func() time.Time { return p.clock }
	cfg.OnState = func(child string, synced bool) { p.states = append(p.states, fmt.Sprintf("%s:%v", child, synced)) }
	cfg.Forward = func(fps []uint64) {
		for _, fp := range fps {
			p.forwarded[fp] = true
		}
	}
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

func connect(t testing.TB, s *Set, p *parent, child string) *link {
	l := &link{t: t, feed: p.Open(child)}
	l.st = &stream{set: s, due: true, send: l.feed.Apply}
	if from := l.feed.Cursor(); from.Epoch == s.Epoch() && from.Offset <= uint64(s.Len()) {
		l.st.log, _ = s.state()
		l.st.cursor = int(from.Offset)
	}
	return l
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
		if got := p.RulesOut(child, selector(t, text)); got != want {
			t.Errorf("%s: rules out {%s}: %v, want %v", when, text, got, want)
		}
	}
}

func TestIndexFollowsAChild(t *testing.T) {
	p := newParent(t, IndexConfig{})
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
	if diff := cmp.Diff(contents(s), p.forwarded); diff != "" {
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
	if got, want := second.feed.Cursor(), (Cursor{s.Epoch(), uint64(s.Len())}); got != want {
		t.Errorf("cursor is %v, want %v", got, want)
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

// A new epoch on a live feed is staged: the old hint is used until the new one
// is whole, but for no longer than if the child had fallen silent.
func TestNewEpochIsSwappedInWhole(t *testing.T) {
	p := newParent(t, IndexConfig{})
	s := leafSet(t, 4, "web-1", "old-1")
	s.SetComplete()
	l := connect(t, s, p, "a")
	l.flow()
	rebuild := func() {
		t.Helper()
		err := s.Rebuild(func(add func(labels.Labels)) error {
			for i := range 4 {
				add(labels.FromStrings("pod", fmt.Sprintf("web-%d", i)))
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	rebuild()
	for l.step() {
		st, _ := p.Child("a")
		if whole := st.Epoch == s.Epoch(); whole {
			p.expect(t, "new hint", "a", `pod="old-1"`, `!pod="web-3"`, `pod="db-1"`)
		} else {
			p.expect(t, "old hint", "a", `!pod="old-1"`, `pod="web-3"`, `pod="db-1"`)
		}
	}
	if st, _ := p.Child("a"); st.Epoch != s.Epoch() || !st.Synced {
		t.Errorf("after the swap: %+v", st)
	}
	rebuild()
	l.step()
	p.clock = p.clock.Add(3 * time.Second)
	l.step()
	p.expect(t, "frames of a staged hint do not renew the old one", "a", `!pod="db-1"`)
	l.flow()
	p.expect(t, "whole", "a", `pod="db-1"`)
	if diff := cmp.Diff([]string{"a:true"}, p.states); diff != "" {
		t.Errorf("states (-want +got):\n%s", diff)
	}
}

// The way a zone forgets: its set is rebuilt out of what its children send anew.
func TestZoneRebuildsItsUnion(t *testing.T) {
	zone := newSet(t, SetConfig{})
	x, err := NewIndex(IndexConfig{Forward: func(fps []uint64) { zone.Add(fps...) }})
	if err != nil {
		t.Fatal(err)
	}
	p := &parent{Index: x}
	a, b := leafSet(t, 8, "a-1", "gone-1"), leafSet(t, 8, "b-1")
	a.SetComplete()
	b.SetComplete()
	la, lb := connect(t, a, p, "a"), connect(t, b, p, "b")
	la.flow()
	lb.flow()
	if err := a.Rebuild(func(add func(labels.Labels)) error {
		add(labels.FromStrings("pod", "a-1"))
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	la.flow()
	gone := fingerprintsOf("pod", "gone-1")[1]
	if !contents(zone)[gone] {
		t.Fatal("the zone's set must only grow")
	}

	r, err := zone.StartRebuild()
	if err != nil {
		t.Fatal(err)
	}
	x.RequestResync()
	if x.Resynced() || !la.feed.NeedsResync() || la.feed.Cursor() != (Cursor{}) {
		t.Error("children are not asked to send anew")
	}
	la.st.log = nil // what StreamOptions.Restart does
	la.flow()
	if x.Resynced() || la.feed.NeedsResync() || !lb.feed.NeedsResync() {
		t.Error("one child has not sent anew yet")
	}
	lb.feed.Close() // or by a new connection
	lb = connect(t, b, p, "b")
	lb.flow()
	if !x.Resynced() {
		t.Fatal("both children have sent anew")
	}
	r.Commit()
	want := contents(a)
	for fp := range contents(b) {
		want[fp] = true
	}
	if diff := cmp.Diff(want, contents(zone)); diff != "" {
		t.Errorf("rebuilt union (-want +got):\n%s", diff)
	}
	if want[gone] {
		t.Fatal("the test does not show anything")
	}
}

// A child without series has nothing to send again but the word that it is so.
func TestResyncOfAnEmptyChild(t *testing.T) {
	p := newParent(t, IndexConfig{})
	s := newSet(t, SetConfig{})
	s.SetComplete()
	l := connect(t, s, p, "a")
	l.flow()
	p.expect(t, "empty", "a", `job="api"`, `!job!="api"`)
	p.RequestResync()
	l.flow()
	if !p.Resynced() {
		t.Error("an empty child does not resync")
	}
}

func TestBadFramesEndTheFeed(t *testing.T) {
	fps := []uint64{1, 2, 3}
	good := frame{complete: true, epoch: 7, total: 3, fps: fps}
	next := func(f frame) frame { f.offset, f.total, f.fps = 3, 4, []uint64{4}; return f }
	flip := func(b []byte, i int) []byte { b[i] ^= 0x10; return b }
	for _, c := range []struct {
		name string
		b    []byte
		want error
	}{
		{"empty", nil, ErrFrame},
		{"truncated", next(good).append(nil)[:20], ErrFrame},
		{"one byte short", next(good).append(nil)[:45], ErrFrame},
		{"one byte too many", append(next(good).append(nil), 0), ErrFrame},
		{"too large", make([]byte, MaxFrameSize+1), ErrFrame},
		{"version", flip(next(good).append(nil), 0), ErrFrame},
		{"flags", flip(next(good).append(nil), 1), ErrFrame},
		{"bit of a fingerprint", flip(next(good).append(nil), 33), ErrFrame},
		{"bit of the checksum", flip(next(good).append(nil), 45), ErrFrame},
		{"gap", frame{epoch: 7, offset: 4, total: 9, fps: fps}.append(nil), ErrGap},
		{"repetition", frame{epoch: 7, offset: 2, total: 9, fps: fps}.append(nil), ErrGap},
		{"another epoch from its middle", frame{epoch: 8, offset: 3, total: 9, fps: fps}.append(nil), ErrEpoch},
		{"complete before its end", frame{complete: true, epoch: 7, offset: 3, total: 9, fps: fps}.append(nil), ErrFrame},
		{"beyond its end", frame{epoch: 7, offset: 3, total: 4, fps: fps}.append(nil), ErrFrame},
		{"overflow", frame{epoch: 7, offset: 1<<64 - 2, total: 1<<64 - 1, fps: fps}.append(nil), ErrFrame},
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
			if err := f.Apply(next(good).append(nil)); !errors.Is(err, ErrClosed) {
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
	if err := s.Rebuild(func(func(labels.Labels)) error { return nil }); err != nil {
		t.Fatal(err)
	}
	connect(t, s, p, "a").flow()
	p.expect(t, "small again", "a", `pod="db-1"`)
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
	l.st.log = nil
	l.flow()
	anew, _ := p.Child("a")
	if l.feed.NeedsResync() || anew.Layers > 1 || anew.Bytes > n*13/10 || !anew.Synced {
		t.Errorf("after the resync: %+v; before: %+v", anew, grown)
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
	if err := b.Apply(frame{epoch: 1}.append(nil)); !errors.Is(err, ErrClosed) {
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
	if diff := cmp.Diff([]bool{true, false, false}, p.RulesOutAll([]string{"b", "a", "unknown"}, ms)); diff != "" {
		t.Errorf("ruled out (-want +got):\n%s", diff)
	}
	if !p.RulesOutQuery("b", p.Compile(ms)) || p.Compile(ms).String() != Compile(ms).String() {
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
	want := map[string]float64{
		"pando_fieldhint_checks_total": 4, "pando_fieldhint_ruled_out_total": 2, "pando_fieldhint_children": 2,
		"pando_fieldhint_children_synced": 2, "pando_fieldhint_frames_total": 2, "pando_fieldhint_frame_errors_total": 0,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("metrics (-want +got):\n%s", diff)
	}
}

func TestIndexConfigIsValidated(t *testing.T) {
	for _, cfg := range []IndexConfig{{MaxAge: -1}, {FalsePositiveRate: 1}, {FalsePositiveRate: -0.1}, {MaxFingerprints: -1}, {MaxChildren: -1}} {
		if _, err := NewIndex(cfg); err == nil {
			t.Errorf("configuration %+v was accepted", cfg)
		}
	}
}

// TestModel interleaves everything that may happen to two leaves and their
// zone at random. The model is the plain list of the leaves' series: whenever
// all has been delivered, no series of a leaf is ruled out, and in between none
// that was there at the last delivery.
func TestModel(t *testing.T) {
	pruned := map[string]int{}
	absent := selector(t, `job="never"`)
	defer func() {
		// A hint that is never used cannot be wrong, but is of no use.
		for _, name := range []string{"a", "b", "zone"} {
			if pruned[name] < 200 {
				t.Errorf("%s was ruled out %d times, want at least 200", name, pruned[name])
			}
		}
	}()
	for seed := range uint64(40) {
		r := rand.New(rand.NewPCG(9, seed))
		zone := newSet(t, SetConfig{FrameSize: 16})
		root := newParent(t, IndexConfig{})
		mid := newParent(t, IndexConfig{})
		mid.cfg.Forward = func(fps []uint64) { zone.Add(fps...) }
		up := connect(t, zone, root, "zone")
		leaves := []*modelLeaf{newModelLeaf(t, r, mid, "a"), newModelLeaf(t, r, mid, "b")}
		for range 150 {
			leaf := pick(r, leaves)
			leaf.act()
			if r.IntN(3) == 0 {
				for range r.IntN(4) {
					leaf.link.step()
				}
			} else if r.IntN(3) == 0 {
				leaf.link.flow()
				leaf.delivered = len(leaf.series)
			}
			leaf.check()
			if mid.Synced("a") && mid.Synced("b") {
				zone.SetComplete()
			} else {
				zone.SetIncomplete()
			}
			if r.IntN(20) == 0 {
				up.feed.Close()
				up = connect(t, zone, root, "zone")
			}
			up.flow()
			if root.RulesOut("zone", absent) {
				pruned["zone"]++
			}
			for _, l := range leaves {
				if mid.RulesOut(l.name, absent) {
					pruned[l.name]++
				}
				for _, lset := range l.series[:l.delivered] {
					if root.RulesOut("zone", equalities(l.t, lset)) {
						t.Fatalf("seed %d: the root rules out %s, which is in leaf %s", seed, lset, l.name)
					}
				}
			}
		}
	}
}

type modelLeaf struct {
	t         *testing.T
	r         *rand.Rand
	name      string
	parent    *parent
	set       *Set
	link      *link
	series    []labels.Labels
	delivered int // series that the parent must know of
}

func newModelLeaf(t *testing.T, r *rand.Rand, p *parent, name string) *modelLeaf {
	s := newSet(t, SetConfig{FrameSize: 16})
	return &modelLeaf{t: t, r: r, name: name, parent: p, set: s, link: connect(t, s, p, name)}
}

// act does one thing that happens to a leaf.
func (l *modelLeaf) act() {
	switch l.r.IntN(12) {
	case 0: // the leaf restarts and begins to scan
		l.link.feed.Close()
		l.set.Reset()
		l.link = connect(l.t, l.set, l.parent, l.name)
	case 1, 2: // the scan ends
		for _, lset := range l.series {
			l.set.AddSeries(lset)
		}
		l.set.SetComplete()
	case 3: // the connection breaks
		l.link.feed.Close()
		l.link = connect(l.t, l.set, l.parent, l.name)
	case 4: // the head is truncated
		if err := l.set.Rebuild(func(add func(labels.Labels)) error {
			for _, lset := range l.series {
				add(lset)
			}
			return nil
		}); err != nil {
			l.t.Fatal(err)
		}
	case 5: // the parent wants it all again
		l.link.st.log = nil
	case 6:
		l.parent.clock = l.parent.clock.Add(time.Duration(l.r.IntN(1500)) * time.Millisecond)
	default:
		lset := randomSeries(l.r)
		l.series = append(l.series, lset)
		l.set.AddSeries(lset)
	}
}

func (l *modelLeaf) check() {
	l.t.Helper()
	for _, lset := range l.series[:l.delivered] {
		if l.parent.RulesOut(l.name, equalities(l.t, lset)) {
			l.t.Fatalf("leaf %s holds %s, and is ruled out", l.name, lset)
		}
	}
}

func equalities(t *testing.T, lset labels.Labels) []*labels.Matcher {
	var ms []*labels.Matcher
	lset.Range(func(l labels.Label) { ms = append(ms, matcher(t, labels.MatchEqual, l.Name, l.Value)) })
	return ms
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
				st := &stream{set: s, send: f.Apply, due: true}
				s.AddSeries(labels.FromStrings("pod", fmt.Sprintf("web-%d", i*3+w)))
				for range 10 {
					if sent, err := st.step(); err != nil || !sent {
						break
					}
				}
				x.RulesOut("a", ms)
				x.RulesOutAll([]string{"a", "b"}, ms)
				x.Expire()
				x.RequestResync()
				x.Stats()
				x.Resynced()
				f.Close()
			}
		})
	}
	wg.Wait()
	if x.Synced("a") {
		t.Error("synced without a feed")
	}
}
