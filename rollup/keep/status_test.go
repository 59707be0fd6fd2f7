package keep

import (
	"context"
	"testing"
	"time"

	"github.com/pandometrics/pando/querytree"
)

// While older points are made good, those that are there are still told of.
func TestStatusDuringBackfill(t *testing.T) {
	k := collected(t, hourRule)
	before := k.status()
	if before.Due.IsZero() || !before.Due.Equal(before.Until) {
		t.Fatalf("all points are whole, and due up to %v, whole up to %v", before.Due, before.Until)
	}
	k.backfill(20 * time.Minute)
	st := k.status()
	if !st.Until.IsZero() || !st.Due.Equal(before.Due) {
		t.Errorf("whole up to %v, due up to %v, want zero and %v", st.Until, st.Due, before.Due)
	}
	if len(st.Holes) != 1 || st.Holes[0].State != absentText || !st.Holes[0].To.Before(st.Due) {
		t.Errorf("holes are %v, want the absent points before %v", st.Holes, before.Since)
	}
	if st.LeftOut != 0 {
		t.Errorf("%d holes are left out of %d", st.LeftOut, len(st.Holes))
	}
	if few := k.c.Status(0)[0]; len(few.Holes) != 0 || few.LeftOut != 1 {
		t.Errorf("%d holes, %d left out, want none and one", len(few.Holes), few.LeftOut)
	}
}

// backfill has the points of the last while be owed.
func (k *tierOf) backfill(ago time.Duration) Owed {
	k.tb.Helper()
	owed, err := k.c.Backfill(context.Background(), "r", time.UnixMilli(k.now).Add(-ago))
	k.must(err)
	return owed
}

// It is told from when on points are owed, and if they are not from when it was asked,
// why.
func TestBackfillTellsWhatItUses(t *testing.T) {
	k := collected(t, worldRule) // 1h, and 2h at 30s
	at := func(ago time.Duration, longest time.Duration) Owed {
		return Owed{From: time.UnixMilli(up(k.now-ago.Milliseconds(), worldStep)), Longest: longest}
	}
	for _, c := range []struct {
		ago  time.Duration
		want Owed
	}{
		{30 * time.Minute, at(30*time.Minute, 0)},
		{20 * time.Minute, at(30*time.Minute, 0)},
		{2 * time.Hour, at(2*time.Hour, 0)},
		{3 * time.Hour, at(2*time.Hour, 2*time.Hour)},
	} {
		if got := k.backfill(c.ago); got != c.want {
			t.Errorf("since %v ago: %v, want %v", c.ago, got, c.want)
		}
	}
	k.pass(time.Hour) // what was owed is too old
	if got, want := k.backfill(time.Hour), at(2*time.Hour, 0); got != want {
		t.Errorf("later: %v, want %v", got, want)
	}
}

// It is told if none of the points that were made has a series, and not if only the
// newest have none.
func TestEmpty(t *testing.T) {
	k := newTierOf(t, newWorld(), t.TempDir(), hourRule)
	k.c.cfg.Source = noSource{}
	k.must(k.collect())
	for i, want := range []bool{true, false, false} {
		if st := k.status(); st.Empty && i > 0 {
			t.Error("nothing is made since the start, and it is said to be empty")
		}
		k.pass(time.Minute)
		k.must(k.collect())
		if st := k.status(); st.Empty != want || st.Whole == 0 || st.Series > 0 != !want {
			t.Errorf("empty: %v, want %v; %d whole, %d series", st.Empty, want, st.Whole, st.Series)
		}
		k.again(k.dir)
	}
}

// noSource answers with no series.
type noSource struct{}

func (noSource) Exec(context.Context, querytree.ExecRequest) (querytree.ResultSet, error) {
	return &worldSet{}, nil
}
