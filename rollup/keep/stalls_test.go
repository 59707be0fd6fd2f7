package keep

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/pandometrics/pando/querytree"
)

// failingSource is one of which some requests fail.
type failingSource struct {
	sharedSource
	fails func(querytree.ExecRequest) bool
}

func (s *failingSource) Exec(ctx context.Context, req querytree.ExecRequest) (querytree.ResultSet, error) {
	if s.fails != nil && s.fails(req) {
		return nil, errors.New("too large")
	}
	return s.sharedSource.Exec(ctx, req)
}

func lacking(names ...string) func(int64) []string { return func(int64) []string { return names } }

// rounds has so much time pass, in rounds of the longest back-off.
func (k *tierOf) rounds(d time.Duration) {
	for ; d > 0; d -= maxBackoff {
		k.pass(maxBackoff)
		k.must(k.collect())
	}
}

// Missing points have their turn although partial ones, whose child is back, cannot be
// made whole for the sake of another one.
func TestMissingPointsDoNotWaitForPartialOnes(t *testing.T) {
	k := collected(t, hourRule)
	source, gone := &failingSource{}, []string{"b"}
	source.lacks = lacking("b")
	k.c.cfg.Source, k.c.cfg.Missing = source, func() []string { return gone }
	k.away = true
	k.must(k.c.Fresh(t.Context()))
	k.pass(5 * time.Minute)
	k.rounds(3 * time.Minute)
	if partial, _ := k.counts(); partial == 0 {
		t.Fatal("no partial points")
	}
	gone, source.lacks = []string{"c"}, lacking("c")
	k.must(k.c.Fresh(t.Context()))
	k.pass(5 * time.Minute) // c is released
	k.backfill(45 * time.Minute)
	k.rounds(15 * time.Minute)
	if _, absent := k.counts(); absent > 0 {
		t.Errorf("%d points are absent", absent)
	}
	if why := k.status().Failing; why == "" {
		t.Error("it is not told that partial points cannot be made whole")
	}
	gone, source.lacks = nil, lacking()
	k.rounds(10 * time.Minute)
	if st := k.status(); st.Partial > 0 || st.Failing != "" {
		t.Errorf("all are back: %d partial, failing %q", st.Partial, st.Failing)
	}
}

// If it cannot be told whether partial points lack the same, they are not written as if
// they did.
func TestPartialPointsAreLookedAt(t *testing.T) {
	k := collected(t, hourRule)
	middle, broken := k.now-20*60_000, true
	source := &failingSource{fails: func(req querytree.ExecRequest) bool { return broken && req.Start == req.End }}
	source.lacks = func(at int64) []string {
		if at > middle {
			return []string{"b"}
		}
		return nil
	}
	k.c.cfg.Source, k.c.cfg.Missing, k.c.cfg.Batch = source, func() []string { return []string{"b"} }, 1000
	k.must(k.c.Fresh(t.Context()))
	k.away = true
	k.pass(4 * time.Minute)
	k.backfill(40 * time.Minute)
	k.rounds(2 * time.Minute)
	if partial, _ := k.counts(); partial > 0 {
		t.Errorf("%d points are partial", partial)
	}
	broken = false
	k.rounds(5 * time.Minute)
	st := k.status()
	if st.Absent > 0 || st.Partial == 0 {
		t.Errorf("%d absent, %d partial", st.Absent, st.Partial)
	}
	for _, h := range st.Holes {
		if h.From.UnixMilli() <= middle {
			t.Errorf("hole %v, although nobody lacks up to %d", h, middle)
		}
	}
}

// A long run of points that somebody who is waited for lacks does not hold up what
// comes after it.
func TestNewerPointsDoNotWaitForALongRun(t *testing.T) {
	k := collected(t, hourRule)
	source, gone := &failingSource{}, []string{"x"}
	split := k.now - 20*60_000
	source.lacks = func(at int64) []string {
		if at < split {
			return []string{"x", "y"}
		}
		return []string{"x"}
	}
	k.c.cfg.Source, k.c.cfg.Missing = source, func() []string { return gone }
	k.away = true
	k.must(k.c.Fresh(t.Context()))
	k.pass(5 * time.Minute) // x is released
	gone = []string{"x", "y"}
	k.backfill(50 * time.Minute)
	for range 90 {
		k.pass(maxBackoff)
		k.past.mu.Lock()
		if _, ok := k.past.state.Away["y"]; ok {
			k.past.state.Away["y"] = k.now // goes again and again
		}
		k.past.mu.Unlock()
		k.must(k.collect())
	}
	partial, absent := int64(0), int64(0)
	for _, h := range k.status().Holes {
		n := (h.To.UnixMilli()-max(h.From.UnixMilli(), split))/worldStep + 1
		switch {
		case n <= 0:
		case h.State == markPartial:
			partial += n
		default:
			absent += n
		}
	}
	if partial < 100 || absent > 0 {
		t.Errorf("of the newer points %d are partial and %d absent", partial, absent)
	}
}

// Who lacks in answers although nobody says that they are away is waited for as well.
func TestWhoIsNotSaidToBeAwayIsWaitedFor(t *testing.T) {
	for _, unnamed := range []int{0, 5} {
		k := collected(t, hourRule)
		source := &failingSource{}
		source.lacks = lacking("zone=eu,cluster=1")
		k.c.cfg.Source, k.c.cfg.Missing = &unnamedSource{source, unnamed}, func() []string { return nil }
		if unnamed > 0 { // then those who are named have been released
			k.c.cfg.Missing = func() []string { return []string{"zone=eu,cluster=1"} }
			k.must(k.c.Fresh(t.Context()))
			k.pass(2 * worldHold)
		}
		k.backfill(30 * time.Minute)
		for range 3 {
			k.rounds(worldHold / 4)
			if partial, _ := k.counts(); partial > 0 {
				t.Fatalf("%d unnamed: %d points are made at once without somebody", unnamed, partial)
			}
		}
		k.rounds(worldHold)
		if partial, _ := k.counts(); partial == 0 {
			t.Errorf("%d unnamed: no points are made without who has lacked for the hold", unnamed)
		}
		source.lacks = lacking()
		k.rounds(lackedFor)
		source.lacks = lacking("zone=us,cluster=2")
		if l := k.c.owing(querytree.Report{Children: map[string]querytree.ChildReport{"zone=us,cluster=2": {Failed: "away"}}}); len(l) != 1 {
			t.Errorf("owing %q", l)
		}
		if n := len(k.c.without); n != 1 {
			t.Errorf("%d are remembered", n)
		}
	}
}

// unnamedSource has answers that lack more than are named.
type unnamedSource struct {
	*failingSource
	unnamed int
}

type unnamedSet struct {
	querytree.ResultSet
	unnamed int
}

func (s *unnamedSource) Exec(ctx context.Context, req querytree.ExecRequest) (querytree.ResultSet, error) {
	set, err := s.failingSource.Exec(ctx, req)
	if err != nil {
		return nil, err
	}
	return unnamedSet{set, s.unnamed}, nil
}

func (s unnamedSet) Report() querytree.Report {
	r := s.ResultSet.Report()
	if len(r.Missing()) > 0 {
		r.Unnamed = s.unnamed
	}
	return r
}
