package keep

import (
	"testing"
	"time"
)

// counts returns how many points are partial and how many absent.
func (k *tierOf) counts() (partial, absent int64) {
	st := k.status()
	return st.Partial, st.Absent
}

// Who has just gone is waited for, however old the points are that are owed: the
// hold is counted from when they went, also if the tier is started anew meanwhile.
func TestHoldIsThatOfTheChild(t *testing.T) {
	k := collected(t, hourRule)
	k.away = true
	k.pass(10 * time.Second)
	k.backfill(30 * time.Minute)
	for waited := 10 * time.Second; waited < worldHold; waited += 40 * time.Second {
		k.must(k.collect())
		if partial, absent := k.counts(); partial != 0 || absent < 100 {
			t.Fatalf("away for %v of %v: %d partial points, %d absent", waited, worldHold, partial, absent)
		}
		k.again(k.dir)
		k.pass(40 * time.Second)
	}
	k.pass(worldHold)
	k.must(k.collect())
	if partial, absent := k.counts(); partial < 100 || absent != 0 {
		t.Errorf("away for longer: %d partial points, %d absent", partial, absent)
	}
	k.away = false
	k.pass(10 * time.Second)
	for range 10 {
		k.pass(time.Minute)
		k.must(k.collect())
	}
	k.check("back")
	if partial, absent := k.counts(); partial+absent != 0 {
		t.Errorf("back: %d partial points, %d absent", partial, absent)
	}
}

// Who comes back and goes again is waited for anew.
func TestHoldBeginsAnew(t *testing.T) {
	k := collected(t, hourRule)
	k.away = true
	k.must(k.collect())
	k.pass(worldHold - 10*time.Second)
	k.must(k.collect())
	k.away = false
	k.must(k.collect())
	k.away = true
	k.pass(time.Minute)
	k.backfill(30 * time.Minute)
	k.must(k.collect())
	if partial, _ := k.counts(); partial != 0 {
		t.Errorf("%d partial points a minute after it has gone", partial)
	}
	k.pass(worldHold)
	k.must(k.collect())
	if partial, _ := k.counts(); partial == 0 {
		t.Error("no partial points although it has been away for longer than the hold")
	}
}

// A child that goes between a round's look at who is there and the answer is
// waited for, too.
func TestGoneInTheMiddle(t *testing.T) {
	k := collected(t, hourRule)
	k.backfill(30 * time.Minute)
	k.fails = func(int64, int64) bool { k.away = true; return false }
	k.must(k.collect())
	if partial, _ := k.counts(); partial != 0 {
		t.Errorf("%d partial points of a child that has just gone", partial)
	}
}

// It is told who is waited for, since when, and until when.
func TestAwaited(t *testing.T) {
	k := collected(t, hourRule)
	if a := k.c.Awaited(); len(a) > 0 {
		t.Errorf("nobody is away, and it waits for %v", a)
	}
	k.away = true
	if a := k.c.Awaited(); len(a) != 1 || a[0].Name != "b" || !a[0].Since.IsZero() || !a[0].Released.IsZero() {
		t.Errorf("before that is noted: %v", a)
	}
	k.must(k.collect())
	since := time.UnixMilli(k.now)
	k.again(k.dir)
	k.pass(time.Minute)
	k.must(k.collect())
	if a := k.c.Awaited(); len(a) != 1 || !a[0].Since.Equal(since) || !a[0].Released.Equal(since.Add(worldHold)) {
		t.Errorf("away since %v: %v", since, a)
	}
}
