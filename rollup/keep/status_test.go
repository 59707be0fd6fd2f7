package keep

import (
	"testing"
	"time"
)

// While older points are made good, those that are there are still told of.
func TestStatusDuringBackfill(t *testing.T) {
	k := collected(t, hourRule)
	before := k.status()
	if before.Due.IsZero() || !before.Due.Equal(before.Until) {
		t.Fatalf("all points are whole, and due up to %v, whole up to %v", before.Due, before.Until)
	}
	k.must(k.c.Backfill(t.Context(), "r", time.UnixMilli(k.now).Add(-20*time.Minute)))
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
