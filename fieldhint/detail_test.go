package fieldhint

import (
	"strings"
	"testing"
	"time"
)

// Why a hint is not in use is told, and ceases to be when it is.
func TestDetailTellsWhyAHintIsNotInUse(t *testing.T) {
	p := newParent(t, IndexConfig{MaxFingerprints: 1000})
	check := func(when, want string) {
		t.Helper()
		d, ok := p.Detail("leaf")
		if !ok || (want == "") != (d.Unsynced == "") || !strings.Contains(d.Unsynced, want) {
			t.Errorf("%s: %q, known %t; want %q", when, d.Unsynced, ok, want)
		}
		if s, _ := p.Child("leaf"); s.Synced != (d.Unsynced == "") {
			t.Errorf("%s: synced %t, but %q", when, s.Synced, d.Unsynced)
		}
	}
	if _, ok := p.Detail("leaf"); ok {
		t.Error("a child that nobody has heard of is known")
	}
	s := leafSet(t, 64, "a", "b")
	s.SetComplete()
	l := connect(t, s, p, "leaf")
	check("connected", "nothing was sent yet")
	l.flow()
	check("synced", "")
	if d, _ := p.Detail("leaf"); d.Fill <= 0 || d.Fill > 1 {
		t.Errorf("fill %v", d.Fill)
	}
	s.SetIncomplete()
	l.flow()
	check("incomplete", "has not sent all of it")
	s.SetComplete()
	l.flow()
	p.clock = p.clock.Add(time.Minute)
	check("silent", "the last frame is too old")
	l.feed.Close()
	check("gone", "not connected")
	l = connect(t, s, p, "leaf")
	for i := range 1000 {
		s.Add(uint64(i))
	}
	l.flow()
	check("too large", "more than 1000 fingerprints (--hints.max-fingerprints)")
}
