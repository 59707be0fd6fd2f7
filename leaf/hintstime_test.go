package leaf

import (
	"errors"
	"math"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/pandometrics/pando/fieldhint"
)

// prunesAt returns a function that says whether a parent which has all of a set
// would leave the leaf out for a metric at a time.
func prunesAt(t *testing.T, set *fieldhint.Set) func(metric string, at time.Time) bool {
	t.Helper()
	index, err := fieldhint.NewIndex(fieldhint.IndexConfig{MaxAge: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	feed := index.Open("leaf")
	enough := errors.New("enough")
	err = set.Stream(t.Context(), func(frame []byte) error {
		if err := feed.Apply(frame); err != nil || !index.Synced("leaf") {
			return err
		}
		return enough
	})
	if !errors.Is(err, enough) {
		t.Fatal(err)
	}
	return func(metric string, at time.Time) bool {
		return index.RulesOut("leaf", []*labels.Matcher{eq("__name__", metric)}, at.UnixMilli(), at.UnixMilli())
	}
}

// A leaf is asked for what it held at the time that a query is about, whether
// that is in a block, in the head, or comes late.
func TestHintsKnowTime(t *testing.T) {
	dir := t.TempDir()
	midnight := time.Now().Truncate(24 * time.Hour)
	now := midnight.Add(4 * time.Hour)
	old := midnight.Add(-58 * time.Hour)
	writeBlock(t, dir, old.UnixMilli(), labels.FromStrings("__name__", "old"), labels.FromStrings("__name__", "always"))
	set, err := fieldhint.NewSet(fieldhint.SetConfig{})
	if err != nil {
		t.Fatal(err)
	}
	clock := now
	l := openLeaf(t, testConfig(dir), Deps{Hints: set, Now: func() time.Time { return clock }})
	appendStored(t, l.written, now.UnixMilli(), labels.FromStrings("__name__", "new"), labels.FromStrings("__name__", "always"))
	if err := l.indexing.update(t.Context(), l.store); err != nil {
		t.Fatal(err)
	}
	appendStored(t, l.written, now.Add(-50*time.Minute).UnixMilli(), labels.FromStrings("__name__", "late"))
	check := func(when string) {
		t.Helper()
		prunes := prunesAt(t, set)
		for _, c := range []struct {
			metric string
			at     time.Time
			want   bool
		}{
			{"old", old, false},
			{"old", now, true},
			{"new", now, false},
			{"new", old, true},
			{"always", old, false},
			{"always", now, false},
			{"late", now.Add(-50 * time.Minute), false},
			{"late", old, true},
		} {
			if got := prunes(c.metric, c.at); got != c.want {
				t.Errorf("%s: pruned for %s at %v: %t", when, c.metric, c.at, got)
			}
		}
	}
	check("at first")
	clock = now.Add(27 * time.Hour)
	if err := l.indexing.update(t.Context(), l.store); err != nil {
		t.Fatal(err)
	}
	check("a day later")
}

// The current section begins where the head accepts no older sample: without
// beginning while the head is empty, and earlier once a wider out-of-order window
// is accepted.
func TestHintsReachBackAsFarAsSamplesMay(t *testing.T) {
	now := time.Now().Truncate(24 * time.Hour).Add(4 * time.Hour)
	midnight := now.Add(-4 * time.Hour).UnixMilli()
	hints := &fakeIndexer{}
	clock := now
	l := openLeaf(t, testConfig(t.TempDir()), Deps{Hints: hints, Now: func() time.Time { return clock }})
	update := func() {
		t.Helper()
		if err := l.indexing.update(t.Context(), l.store); err != nil {
			t.Fatal(err)
		}
	}
	update()
	if hints.layout.Current != math.MinInt64 || hints.layout.Start != midnight {
		t.Errorf("layout of an empty leaf: %+v", hints.layout)
	}
	appendStored(t, l.written, now.UnixMilli(), labels.FromStrings("__name__", "up"))
	clock = now.Add(24*time.Hour + 4*time.Hour)
	update()
	day := (24 * time.Hour).Milliseconds()
	if got, ok := l.store.Head().AppendableMinValidTime(); !ok || hints.layout.Start != midnight+day || hints.layout.Current > got {
		t.Errorf("layout: %+v, but samples from %d on are accepted", hints.layout, got)
	}
	hints.widened = nil
	l.accept(48 * time.Hour)
	if oldest := now.Add(-48 * time.Hour).UnixMilli(); len(hints.widened) != 1 || hints.widened[0] > oldest {
		t.Errorf("with a window of 48h, hints reach back to %v, not to %d", hints.widened, oldest)
	}
	l.accept(time.Hour) // what was accepted before may have come
	clock = now.Add(52 * time.Hour)
	update()
	if late := hints.layout.Start - hints.layout.Current; late < 2*day {
		t.Errorf("layout: %+v reaches back %d ms", hints.layout, late)
	}
}

// An appender goes by what the head accepted when it began. If the head has moved
// on by days since, the current section still begins before what it may append.
func TestHintsReachBackToOpenAppenders(t *testing.T) {
	now := time.Now().Truncate(24 * time.Hour).Add(4 * time.Hour)
	hints := &fakeIndexer{}
	clock := now
	l := openLeaf(t, testConfig(t.TempDir()), Deps{Hints: hints, Now: func() time.Time { return clock }})
	old := now.Add(-72 * time.Hour).UnixMilli()
	appendStored(t, l.written, old, labels.FromStrings("__name__", "up"))
	rebuild := func(at time.Time) int64 {
		t.Helper()
		clock, l.indexing.rollover = at, time.Time{}
		if err := l.indexing.update(t.Context(), l.store); err != nil {
			t.Fatal(err)
		}
		return hints.layout.Current
	}
	rebuild(now)
	app := l.written.Appender(t.Context())
	appendStored(t, l.written, now.UnixMilli(), labels.FromStrings("__name__", "up"))
	current := rebuild(now.Add(time.Minute))
	if _, err := app.Append(0, labels.FromStrings("__name__", "late"), old, 1); err != nil {
		t.Fatal(err)
	}
	if err := app.Commit(); err != nil {
		t.Fatal(err)
	}
	if current > old {
		t.Errorf("the current section begins at %d, and a new series at %d", current, old)
	}
	for i := range 3 {
		current = rebuild(now.Add(time.Duration(i+1) * 2 * slowAppend))
	}
	if current <= old {
		t.Errorf("the current section still begins at %d", current)
	}
}
