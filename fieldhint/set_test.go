package fieldhint

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/prometheus/model/labels"
)

func newSet(t testing.TB, cfg SetConfig) *Set {
	t.Helper()
	s, err := NewSet(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// contents returns what is in the sections of the newest generation.
func contents(s *Set) map[uint64]bool {
	out := map[uint64]bool{}
	for _, c := range s.newest().sections {
		for _, fp := range c.log.read(nil, 0, c.log.len()) {
			out[fp] = true
		}
	}
	return out
}

// cutAll cuts fingerprints to what is kept of them.
func cutAll(fps []uint64) []uint64 {
	for i := range fps {
		fps[i] &= fingerprintMask
	}
	return fps
}

func factsOf(lset labels.Labels) []uint64 { return cutAll(AppendFingerprints(nil, lset)) }

// today is a layout of which the window began at time 0.
var today = Layout{Window: 24 * hour, Current: -hour}

const hour = 3600_000

// rebuild makes a generation of series that are there now.
func rebuild(t testing.TB, s *Set, scan func(add func(labels.Labels))) {
	t.Helper()
	err := s.Rebuild(today, func(add func(labels.Labels, ...Span)) error {
		scan(func(lset labels.Labels) { add(lset, Span{0, math.MaxInt64}) })
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// series numbers label sets of which neighbours share most labels.
func series(i int) labels.Labels {
	return labels.FromStrings(labels.MetricName, fmt.Sprintf("metric_%d", i%50), "job", fmt.Sprintf("job-%d", i%7), "pod", fmt.Sprintf("pod-%x", i/50))
}

func TestSetHoldsExactlyTheFingerprintsAdded(t *testing.T) {
	s := newSet(t, SetConfig{CacheSize: 64})
	want := map[uint64]bool{}
	for i := range 5000 {
		s.AddSeries(series(i))
		s.AddSeries(series(i))
		for _, fp := range s.Scheme().AppendFingerprints(nil, series(i)) {
			want[fp] = true
		}
	}
	if diff := cmp.Diff(want, contents(s)); diff != "" {
		t.Errorf("set (-want +got):\n%s", diff)
	}
	if s.Len() != len(want) {
		t.Errorf("Len is %d, want %d: no fingerprint twice", s.Len(), len(want))
	}
}

func TestSetIsCompact(t *testing.T) {
	s := newSet(t, SetConfig{})
	const n = 500_000
	for i := range uint64(n) {
		s.Add(mix(i))
	}
	s.Add(mix(1), mix(2))
	if s.Len() != n {
		t.Fatalf("Len is %d, want %d", s.Len(), n)
	}
	if each := float64(s.Bytes()) / n; each > 16 {
		t.Errorf("%.1f bytes a fingerprint, want at most 16", each)
	}
}

func TestSetIncludesExternalLabels(t *testing.T) {
	s := newSet(t, SetConfig{External: labels.FromStrings("zone", "eu")})
	if got := contents(s); !got[fingerprintsOf("zone", "eu")[1]] {
		t.Error("a new set lacks the external labels")
	}
	s.Reset()
	if got := contents(s); !got[fingerprintsOf("zone", "eu")[1]] {
		t.Error("a reset set lacks the external labels")
	}
}

func fingerprintsOf(name, value string) []uint64 {
	return factsOf(labels.FromStrings(name, value))
}

func TestFullSetIsIncomplete(t *testing.T) {
	s := newSet(t, SetConfig{MaxFingerprints: 100})
	s.SetComplete()
	for i := range uint64(100) {
		s.Add(i)
	}
	s.Add(7)
	if !s.IsComplete() {
		t.Error("a set at its limit is incomplete though nothing was dropped")
	}
	s.Add(1000)
	var r recorder
	st := s.newStream(Cursor{}, r.send)
	if _, err := st.step(); err != nil || r.frames[0].complete {
		t.Errorf("the stream of a full set says complete, or err %v", err)
	}
	if s.IsComplete() || s.Len() != 100 {
		t.Errorf("complete %v with %d fingerprints; want an incomplete set of 100", s.IsComplete(), s.Len())
	}
	rebuild(t, s, func(func(labels.Labels)) {})
	if !s.IsComplete() {
		t.Error("incomplete after a rebuild")
	}
	err := s.Rebuild(today, func(add func(labels.Labels, ...Span)) error {
		for i := range 100 {
			add(series(i), always)
		}
		return nil
	})
	if err != nil || s.IsComplete() {
		t.Errorf("after a rebuild that found more than there is room for, complete is %v, err %v", s.IsComplete(), err)
	}
}

func TestRebuildForgetsAndKeepsWhatComesMeanwhile(t *testing.T) {
	s := newSet(t, SetConfig{})
	s.AddSeries(labels.FromStrings("l", "old"))
	s.AddSeries(labels.FromStrings("l", "kept"))
	err := s.Rebuild(today, func(add func(labels.Labels, ...Span)) error {
		add(labels.FromStrings("l", "kept"), Span{0, 1})
		s.AddSeries(labels.FromStrings("l", "meanwhile"))
		s.AddSeriesAt(labels.FromStrings("l", "elsewhere"), Span{-30 * hour, -29 * hour})
		s.Add(42)
		got := contents(s)
		if !got[42] || !got[fingerprintsOf("l", "meanwhile")[1]] {
			t.Error("additions during a rebuild are missing from the old log")
		}
		if err := s.Rebuild(today, nil); !errors.Is(err, ErrRebuilding) {
			t.Errorf("second rebuild: %v, want ErrRebuilding", err)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	want := map[uint64]bool{42: true}
	for _, v := range []string{"kept", "meanwhile", "elsewhere"} {
		for _, fp := range s.Scheme().AppendFingerprints(nil, labels.FromStrings("l", v)) {
			want[fp] = true
		}
	}
	if diff := cmp.Diff(want, contents(s)); diff != "" {
		t.Errorf("rebuilt set (-want +got):\n%s", diff)
	}

	broken := errors.New("broken")
	if err := s.Rebuild(today, func(func(labels.Labels, ...Span)) error { return broken }); !errors.Is(err, broken) {
		t.Errorf("rebuild: %v, want the scan's error", err)
	}
	if diff := cmp.Diff(want, contents(s)); diff != "" {
		t.Errorf("after a rebuild that went wrong (-want +got):\n%s", diff)
	}
}

// recorder decodes the frames of a stream.
type recorder struct {
	mu     sync.Mutex
	frames []frame
}

func (r *recorder) send(b []byte) error {
	f, _, err := decodeFrame(b, nil)
	if err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.frames = append(r.frames, f)
	return nil
}

// take returns the frames since the last call, as text: what they open, as
// id[from position of length], bring, as id+count, and drop, as -id, with ^ for
// first and ! for complete.
func (r *recorder) take() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var out []string
	for _, f := range r.frames {
		var parts []string
		for _, rec := range f.records {
			switch rec.kind {
			case recordOpen:
				parts = append(parts, fmt.Sprintf("%d[%d of %d]", rec.id, rec.at, rec.total))
			case recordFingerprints:
				parts = append(parts, fmt.Sprintf("%d+%d", rec.id, len(rec.fps)))
			case recordDrop:
				parts = append(parts, fmt.Sprintf("-%d", rec.id))
			}
		}
		text := strings.Join(parts, " ")
		if f.first {
			text = "^" + text
		}
		if f.complete {
			text += "!"
		}
		out = append(out, text)
	}
	r.frames = nil
	return out
}

func counting() func() uint64 {
	var n uint64
	return func() uint64 { n++; return n }
}

// TestStream is one life of a stream, on synctest's clock.
func TestStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSet(t, SetConfig{FrameSize: 4, Epoch: counting()})
		s.Add(1, 2, 3, 4, 5, 6)
		var r recorder
		restart := make(chan Cursor)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() {
			done <- s.StreamWith(ctx, StreamOptions{Restart: restart}, r.send)
		}()
		step := func(what string, wait time.Duration, do func(), want ...string) {
			t.Helper()
			do()
			time.Sleep(wait) // advances the fake clock
			synctest.Wait()
			if diff := cmp.Diff(want, r.take()); diff != "" {
				t.Errorf("%s (-want +got):\n%s", what, diff)
			}
		}
		const soon = 5 * time.Millisecond
		nothing := func() {}
		step("snapshot of an incomplete set", soon, nothing, "^2[0 of 6] 2+4", "2+2")
		step("it becomes complete", soon, s.SetComplete, "!")
		step("a delta", soon, func() { s.Add(7); s.Add(8); s.Add(8, 1) }, "2+2!")
		step("nothing new", soon, func() { s.Add(1, 2, 3) })
		step("heartbeat", 500*time.Millisecond-3*soon, nothing, "!")
		step("more than a frame is not complete before its end", soon, func() { s.Add(11, 12, 13, 14, 15) }, "2+4", "2+1!")
		step("incomplete again", soon, s.SetIncomplete, "")
		step("complete again, with something new", soon, func() { s.Add(16); s.SetComplete() }, "2+1!")
		step("a rebuild: the old sections serve until the new ones are there", soon, func() {
			err := s.Rebuild(today, func(func(labels.Labels, ...Span)) error {
				s.Add(1, 2, 3, 4, 5, 6)
				return nil
			})
			if err != nil {
				t.Error(err)
			}
		}, "4[0 of 6] 4+4!", "4+2 -2!")
		step("a wider section", soon, func() { s.Widen(-5 * hour) }, "4[6 of 6]!")
		step("the parent asks to start over", soon, func() { restart <- Cursor{} }, "^4[0 of 6] 4+4", "4+2!")
		step("the parent asks to resume", soon, func() { restart <- Cursor{s.Epoch(), []Position{{4, 5, s.newest().current.log.sum(5)}, {2, 14, 0}}} }, "^4[5 of 6] 4+1!")
		step("reset", soon, s.Reset, "^")
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("stream ended with %v", err)
		}
	})
}

func TestStreamResumes(t *testing.T) {
	for _, c := range []struct {
		name string
		from Cursor
		want string
	}{
		{"where the parent is", Cursor{1000, []Position{{2, 2, sumOf([]uint64{1, 2})}}}, "^2[2 of 3] 2+1!"},
		{"at the end", Cursor{1000, []Position{{2, 3, sumOf([]uint64{2, 3, 1})}}}, "^2[3 of 3]!"},
		{"not beyond the end", Cursor{1000, []Position{{2, 4, sumOf([]uint64{1, 2, 3})}}}, "^2[0 of 3] 2+3!"},
		{"not where other contents are", Cursor{1000, []Position{{2, 2, sumOf([]uint64{1, 3})}}}, "^2[0 of 3] 2+3!"},
		{"not in another epoch", Cursor{1001, []Position{{2, 2, sumOf([]uint64{1, 2})}}}, "^2[0 of 3] 2+3!"},
		{"not in another section", Cursor{1000, []Position{{1, 2, sumOf([]uint64{1, 2})}, {3, 1, sumOf([]uint64{1})}}}, "^2[0 of 3] 2+3!"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newSet(t, SetConfig{Epoch: func() uint64 { return 1000 }})
			s.Add(1, 2, 3)
			s.SetComplete()
			var r recorder
			enough := errors.New("enough")
			parsed, err := ParseCursor(c.from.Append(nil))
			if err != nil {
				t.Fatal(err)
			}
			err = s.StreamWith(t.Context(), StreamOptions{From: parsed}, func(b []byte) error {
				if err := r.send(b); err != nil {
					return err
				}
				return enough
			})
			if !errors.Is(err, enough) {
				t.Fatal(err)
			}
			if diff := cmp.Diff([]string{c.want}, r.take()); diff != "" {
				t.Errorf("first frame (-want +got):\n%s", diff)
			}
		})
	}
}

func TestParseCursor(t *testing.T) {
	whole := Cursor{1, []Position{{1, 300, 5}, {2, 0, 0}}}.Append(nil)
	for n := 1; n < len(whole); n++ {
		if c, err := ParseCursor(whole[:n]); err == nil && n != 8 && n != 8+11 {
			t.Errorf("%d bytes of a cursor are read as %v", n, c)
		}
	}
	if c, err := ParseCursor(nil); err != nil || c.Epoch != 0 || c.Sections != nil {
		t.Errorf("no cursor is read as %v, %v", c, err)
	}
}

// Many writers, a rebuild, and several streams at their own pace: each stream
// ends up with all that was added.
func TestStreamsSeeAllOfConcurrentAdditions(t *testing.T) {
	s := newSet(t, SetConfig{FrameSize: 16, CacheSize: 128, Linger: -1})
	const writers, each = 4, 800
	var writing, streaming sync.WaitGroup
	for w := range writers {
		writing.Go(func() {
			for i := range each {
				s.AddSeries(series(w*each/2 + i))
			}
		})
	}
	writing.Go(func() {
		err := s.Rebuild(today, func(add func(labels.Labels, ...Span)) error {
			for i := range writers * each {
				add(series(i), Span{int64(-i) * hour, hour})
			}
			return nil
		})
		if err != nil {
			t.Error(err)
		}
	})
	got := make([]map[uint64]bool, 3)
	for i := range got {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		streaming.Go(func() {
			defer cancel()
			var sections map[uint64][]uint64
			defer func() {
				got[i] = map[uint64]bool{}
				for _, fps := range sections {
					for _, fp := range fps {
						got[i][fp] = true
					}
				}
			}()
			err := s.Stream(ctx, func(b []byte) error {
				f, _, err := decodeFrame(b, nil)
				if err != nil {
					return err
				}
				if f.first {
					sections = map[uint64][]uint64{}
				}
				for _, r := range f.records {
					switch r.kind {
					case recordFingerprints:
						sections[r.id] = append(sections[r.id], r.fps...)
					case recordDrop:
						delete(sections, r.id)
					}
				}
				if f.complete {
					cancel()
				}
				return nil
			})
			if !errors.Is(err, context.Canceled) {
				t.Errorf("stream %d: %v", i, err)
			}
		})
	}
	writing.Wait()
	s.SetComplete()
	streaming.Wait()
	for n := range got {
		for i := range each * (writers + 1) / 2 {
			for _, fp := range s.Scheme().AppendFingerprints(nil, series(i)) {
				if !got[n][fp] {
					t.Fatalf("stream %d lacks series %d", n, i)
				}
			}
		}
	}
}

func TestSetConfigIsValidated(t *testing.T) {
	for _, cfg := range []SetConfig{{FrameSize: MaxFrameFingerprints + 1}, {Heartbeat: -1}, {MaxFingerprints: -1}, {CacheSize: -1}} {
		if _, err := NewSet(cfg); err == nil {
			t.Errorf("configuration %+v was accepted", cfg)
		}
	}
}

func TestSetMetrics(t *testing.T) {
	reg := prometheus.NewPedanticRegistry()
	s := newSet(t, SetConfig{Registerer: reg})
	s.Add(1, 2, 3)
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, f := range families {
		names = append(names, f.GetName())
	}
	want := []string{
		"pando_fieldhint_set_bytes", "pando_fieldhint_set_complete", "pando_fieldhint_set_fingerprints", "pando_fieldhint_set_kind_bytes",
		"pando_fieldhint_set_kinds", "pando_fieldhint_set_rebuilds_total", "pando_fieldhint_set_sections",
	}
	if !slices.Equal(want, names) {
		t.Errorf("metrics %v, want %v", names, want)
	}
}
