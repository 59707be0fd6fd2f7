package fieldhint

import (
	"context"
	"errors"
	"fmt"
	"slices"
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

func contents(s *Set) map[uint64]bool {
	l, _ := s.state()
	out := map[uint64]bool{}
	for _, fp := range l.read(nil, 0, l.len()) {
		out[fp] = true
	}
	return out
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
		for _, fp := range AppendFingerprints(nil, series(i)) {
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
	return AppendFingerprints(nil, labels.FromStrings(name, value))
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
	st := &stream{set: s, send: r.send, due: true}
	if _, err := st.step(); err != nil || r.frames[0].complete {
		t.Errorf("the stream of a full set says complete, or err %v", err)
	}
	if s.IsComplete() || s.Len() != 100 {
		t.Errorf("complete %v with %d fingerprints; want an incomplete set of 100", s.IsComplete(), s.Len())
	}
	if err := s.Rebuild(func(add func(labels.Labels)) error { return nil }); err != nil || !s.IsComplete() {
		t.Errorf("after a rebuild, complete is %v, err %v", s.IsComplete(), err)
	}
}

func TestRebuildForgetsAndKeepsWhatComesMeanwhile(t *testing.T) {
	s := newSet(t, SetConfig{})
	s.AddSeries(labels.FromStrings("l", "old"))
	s.AddSeries(labels.FromStrings("l", "kept"))
	old := s.Epoch()
	err := s.Rebuild(func(add func(labels.Labels)) error {
		add(labels.FromStrings("l", "kept"))
		s.AddSeries(labels.FromStrings("l", "meanwhile"))
		s.Add(42)
		got := contents(s)
		if !got[42] || !got[fingerprintsOf("l", "meanwhile")[1]] {
			t.Error("additions during a rebuild are missing from the old log")
		}
		if err := s.Rebuild(nil); !errors.Is(err, ErrRebuilding) {
			t.Errorf("second rebuild: %v, want ErrRebuilding", err)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	want := map[uint64]bool{42: true}
	for _, v := range []string{"kept", "meanwhile"} {
		for _, fp := range fingerprintsOf("l", v) {
			want[fp] = true
		}
	}
	if diff := cmp.Diff(want, contents(s)); diff != "" {
		t.Errorf("rebuilt set (-want +got):\n%s", diff)
	}
	if s.Epoch() == old {
		t.Error("the rebuilt set has the old epoch")
	}

	old = s.Epoch()
	broken := errors.New("broken")
	if err := s.Rebuild(func(func(labels.Labels)) error { return broken }); !errors.Is(err, broken) {
		t.Errorf("rebuild: %v, want the scan's error", err)
	}
	if s.Epoch() != old {
		t.Error("a rebuild that went wrong changed the epoch")
	}
}

// recorder decodes the frames of a stream.
type recorder struct {
	mu     sync.Mutex
	frames []frame
}

func (r *recorder) send(b []byte) error {
	f, err := decodeFrame(b, nil)
	if err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.frames = append(r.frames, f)
	return nil
}

// take returns the frames since the last call, as text: epoch:offset+count,
// with ! for complete.
func (r *recorder) take() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var out []string
	for _, f := range r.frames {
		text := fmt.Sprintf("%d:%d+%d", f.epoch, f.offset, len(f.fps))
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
		restart := make(chan struct{})
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
		step("snapshot of an incomplete set", soon, nothing, "1:0+4", "1:4+2")
		step("it becomes complete", soon, s.SetComplete, "1:6+0!")
		step("a delta", soon, func() { s.Add(7); s.Add(8); s.Add(8, 1) }, "1:6+2!")
		step("nothing new", soon, func() { s.Add(1, 2, 3) })
		step("heartbeat", 500*time.Millisecond-3*soon, nothing, "1:8+0!")
		step("more than a frame is not complete before its end", soon, func() { s.Add(11, 12, 13, 14, 15) }, "1:8+4", "1:12+1!")
		step("incomplete again", soon, s.SetIncomplete, "1:13+0")
		step("complete again, with something new", soon, func() { s.Add(16); s.SetComplete() }, "1:13+1!")
		step("a rebuild starts over", soon, func() {
			if err := s.Rebuild(func(func(labels.Labels)) error { s.Add(1, 2); return nil }); err != nil {
				t.Error(err)
			}
		}, "3:0+2!") // 2 was the log before the first census
		step("the parent asks to start over", soon, func() { restart <- struct{}{} }, "3:0+2!")
		step("reset", soon, s.Reset, "4:0+0")
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
		{"where the parent is", Cursor{Epoch: 1, Offset: 2}, "1:2+1!"},
		{"at the end", Cursor{Epoch: 1, Offset: 3}, "1:3+0!"},
		{"not beyond the end", Cursor{Epoch: 1, Offset: 4}, "1:0+3!"},
		{"not in another epoch", Cursor{Epoch: 2, Offset: 2}, "1:0+3!"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newSet(t, SetConfig{Epoch: counting()})
			s.Add(1, 2, 3)
			s.SetComplete()
			var r recorder
			enough := errors.New("enough")
			err := s.StreamWith(t.Context(), StreamOptions{From: c.from}, func(b []byte) error {
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

// Many writers, a rebuild, and several streams at their own pace: each stream
// ends up with exactly what the set holds.
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
		err := s.Rebuild(func(add func(labels.Labels)) error {
			for i := range writers * each {
				add(series(i))
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
			err := s.Stream(ctx, func(b []byte) error {
				f, err := decodeFrame(b, nil)
				if err != nil {
					return err
				}
				if f.offset == 0 {
					got[i] = map[uint64]bool{}
				}
				for _, fp := range f.fps {
					got[i][fp] = true
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
	want := contents(s)
	for i := range got {
		if diff := cmp.Diff(want, got[i]); diff != "" {
			t.Errorf("stream %d (-want +got):\n%s", i, diff)
		}
	}
	for i := range each * (writers + 1) / 2 {
		for _, fp := range s.Scheme().AppendFingerprints(nil, series(i)) {
			if !want[fp] {
				t.Fatalf("series %d is missing", i)
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
	want := []string{"pando_fieldhint_set_bytes", "pando_fieldhint_set_complete", "pando_fieldhint_set_fingerprints", "pando_fieldhint_set_kind_bytes", "pando_fieldhint_set_kinds", "pando_fieldhint_set_rebuilds_total"}
	if !slices.Equal(want, names) {
		t.Errorf("metrics %v, want %v", names, want)
	}
}
