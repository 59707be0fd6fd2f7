package keep

import (
	"testing"
	"time"
)

// Points that are later than now, since the clock was set back, are void too once their
// time is restated.
func TestClockIsSetBack(t *testing.T) {
	k := collected(t, worldRule)
	const back = 200_000
	k.now -= back
	k.must(k.restate(k.final-100_000, k.final))
	k.must(k.collect())
	k.now += back
	if n := k.check("the clock is right again"); n < 20 {
		t.Errorf("%d points are left", n)
	}
	k.must(k.collect())
	k.check("made again")
	if st := k.status(); st.Absent > 0 {
		t.Errorf("%d absent", st.Absent)
	}
}

// Who went while the clock was ahead is not waited for until that time comes, and the
// hold on top.
func TestWentWhileTheClockWasAhead(t *testing.T) {
	k := collected(t, hourRule)
	k.away = true
	const ahead = 3600_000
	k.now += ahead
	k.must(k.collect())
	k.now -= ahead
	k.must(k.collect())
	k.pass(2 * worldHold)
	k.must(k.collect())
	if partial, _ := k.counts(); partial == 0 {
		t.Error("no partial points although the child has been away for longer than the hold")
	}
}

// A clock that was ahead for longer than points are kept leaves nothing that was
// restated: points that were forgotten are written again as others.
func TestForgottenWhileTheClockWasAhead(t *testing.T) {
	for _, ahead := range []int64{20 * 60_000, 2 * 3600_000} {
		k := collected(t, hourRule)
		k.must(k.restate(0, k.final))
		k.must(k.collect())
		whole := k.check("restated")
		k.now += ahead
		k.must(k.c.Fresh(t.Context()))
		k.now -= ahead
		k.must(k.collect())
		if n := k.check("the clock is right again"); n < whole {
			t.Errorf("%d points after the clock was ahead by %d, %d before", n, ahead, whole)
		}
		k.again(k.dir)
		k.must(k.collect())
		k.check("started anew")
	}
}

// Who has just gone is waited for although the clock is set, and put right again.
func TestHoldWhileTheClockIsSet(t *testing.T) {
	for _, by := range []int64{-2 * worldHold.Milliseconds(), 2 * worldHold.Milliseconds()} {
		for _, right := range []bool{false, true} {
			k := collected(t, hourRule)
			k.away = true
			k.must(k.collect())
			k.now += by
			k.must(k.collect())
			if right {
				k.now -= by
			}
			k.pass(10 * time.Second)
			k.backfill(30 * time.Minute)
			k.must(k.collect())
			if partial, _ := k.counts(); partial > 0 {
				t.Errorf("set by %d ms, put right: %v: %d points are made without who has just gone", by, right, partial)
			}
			k.pass(worldHold)
			k.must(k.collect())
			if partial, _ := k.counts(); partial == 0 {
				t.Errorf("set by %d ms, put right: %v: no points are made without who has been away for the hold", by, right)
			}
		}
	}
}
