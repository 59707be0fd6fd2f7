package keep

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/pandometrics/pando/rollup"
)

const (
	hourRule  = "rollups: [{name: r, expr: sum by (job) (x), interval: 10s, keep: {root: {for: 1h}}}]"
	otherRule = "rollups: [{name: other, expr: sum by (pod) (y), interval: 10s, keep: {root: {for: 1h}}}]"
	noRules   = "rollups: []"
)

// collected returns a tier with points of the last minutes.
func collected(t *testing.T, rules string) *tierOf {
	t.Helper()
	k := newTierOf(t, newWorld(), t.TempDir(), rules)
	k.must(k.collect())
	k.pass(5 * time.Minute)
	k.must(k.collect())
	if k.check("at first") < 20 {
		t.Fatal("there are no points")
	}
	return k
}

func (k *tierOf) must(err error) {
	k.tb.Helper()
	if err != nil {
		k.tb.Fatal(err)
	}
}

func (k *tierOf) setRules(text string) {
	k.tb.Helper()
	k.must(k.store.SetRules(mustRules(k.tb, text)))
}

// status is that of the rule at its finest distance.
func (k *tierOf) status() Status { return k.c.Status(10)[0] }

func (k *tierOf) rule() *rollup.Rule { return k.store.Rules().All()[0] }

// Distances that are kept for less long than others take no part in what is older.
func TestOlderThanTheShortest(t *testing.T) {
	k := collected(t, worldRule) // 1h, and 2h at 30s
	k.pass(2 * time.Hour)
	k.must(k.collect())
	k.backfill(3 * time.Hour)
	k.must(k.collect())
	k.must(k.restate(0, k.final))
	k.must(k.collect())
	k.check("backfilled and restated")
	for i, st := range k.c.Status(10) {
		if want := int64(3600/10*(i*2/3) + 300); st.Absent > 0 || st.Whole < min(want, 200) {
			t.Errorf("%v: %d whole, %d absent", st.Keep, st.Whole, st.Absent)
		}
	}
	if number := k.past.state.Applied; number != 1 {
		t.Errorf("applied %d restatements, want 1", number)
	}
}

// What is older than it is kept is not read, also if nobody had the time to forget
// it.
func TestTooOld(t *testing.T) {
	k := collected(t, hourRule)
	k.pass(59 * time.Minute)
	if points, _ := k.read(worldStep, false); len(points) == 0 || len(points) > 6 {
		t.Errorf("%d points, want those of a minute", len(points))
	}
	k.pass(2 * time.Minute)
	if points, _ := k.read(worldStep, false); len(points) > 0 {
		t.Errorf("%d points that are older than an hour", len(points))
	}
}

// Points that were owed while the tier did not run are made, also if the marker
// that says since when has become too old.
func TestSinceIsForgotten(t *testing.T) {
	k := collected(t, hourRule)
	for _, db := range k.store.dbs {
		k.must(db.Delete(t.Context(), math.MinInt64, math.MaxInt64, labels.MustNewMatcher(labels.MatchEqual, markerLabel, markSince)))
	}
	k.pass(10 * time.Minute)
	k.again(k.dir)
	k.must(k.collect())
	if st := k.status(); st.Whole < 88 || st.Absent > 0 {
		t.Errorf("%d whole and %d absent, want 90 whole", st.Whole, st.Absent)
	}
}

// A rule that comes back has no points that were restated meanwhile, be it over a
// restart, and none are read before that is known.
func TestRuleComesBack(t *testing.T) {
	for name, restart := range map[string]bool{"running": false, "restarted": true} {
		t.Run(name, func(t *testing.T) {
			k := collected(t, hourRule)
			from := k.now - 60_000
			k.rules = noRules
			k.setRules(noRules)
			k.must(k.collect())
			k.must(k.restate(from, k.final))
			k.must(k.collect())
			if restart {
				k.again(k.dir)
				k.must(k.collect())
			}
			k.setRules(hourRule)
			if points, _ := k.read(worldStep, false); len(points) > 0 {
				t.Errorf("%d points are read before it is known whether they are right", len(points))
			}
			k.must(k.c.Fresh(t.Context()))
			if n := k.check("back"); n < 20 {
				t.Errorf("only %d points are left", n)
			}
			k.must(k.collect())
			k.check("made again")
			if st := k.status(); st.Absent > 0 {
				t.Errorf("%d absent", st.Absent)
			}
		})
	}
}

// Rules may change while points are made.
func TestRulesChangeMeanwhile(t *testing.T) {
	k := collected(t, hourRule)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for range 30 {
			for _, text := range []string{otherRule, noRules, worldRule, hourRule} {
				if err := k.store.SetRules(mustRules(t, text)); err != nil {
					t.Error(err)
				}
			}
		}
	}()
	for running := true; running; {
		select {
		case <-done:
			running = false
		default:
		}
		k.must(k.collect())
	}
	k.pass(time.Minute)
	k.must(k.collect())
	k.check("after all")
	if st := k.status(); st.Absent > 0 {
		t.Errorf("%d absent", st.Absent)
	}
}

// A child that is away for longer than is waited for is named in what is made
// without it, which strict queries do not see; once it is back, all is whole. While
// it is connected and does not answer, what is there stays.
func TestPartialPoints(t *testing.T) {
	k := collected(t, hourRule)
	before := k.status().Whole
	k.away = true
	k.pass(worldHold / 2)
	k.must(k.collect())
	if st := k.status(); st.Partial > 0 || st.Whole != before {
		t.Errorf("%d partial and %d whole before the time", st.Partial, st.Whole)
	}
	k.pass(2 * worldHold)
	k.must(k.collect())
	partial := k.status().Partial
	if partial < 25 {
		t.Errorf("%d partial", partial)
	}
	k.check("away")
	if points, missing := k.read(worldStep, true); len(points) != int(before+partial) || !slices.Equal(missing, []string{"b"}) {
		t.Errorf("%d points without %q, want %d", len(points), missing, before+partial)
	}
	k.away, k.sick = false, true
	final := k.final
	for range 20 {
		k.pass(time.Minute / 2)
		k.final = final // nothing new is due
		k.must(k.collect())
	}
	if st := k.status(); st.Partial < partial {
		t.Errorf("%d partial points are left of %d", st.Partial, partial)
	}
	for _, sp := range k.store.kept[keptKey{k.rule().ID, k.rule().Keep[rollup.Root][0]}].spans {
		if sp.rev > 1 {
			t.Errorf("revision %d of %d..%d", sp.rev, sp.from, sp.to)
		}
	}
	k.sick = false
	for range 5 {
		k.pass(time.Minute)
		k.must(k.collect())
	}
	k.check("back")
	if st := k.status(); st.Partial+st.Absent > 0 {
		t.Errorf("%d partial, %d absent", st.Partial, st.Absent)
	}
}

// Nobody is away, and yet samples are not final: they may change without a word,
// so there is no point.
func TestNotFinalIsNotWhole(t *testing.T) {
	k := collected(t, hourRule)
	before := k.status().Whole
	final := k.final
	k.pass(3 * worldHold)
	k.final = final
	k.must(k.collect())
	if st := k.status(); st.Whole+st.Partial != before {
		t.Errorf("%d whole, %d partial, want %d", st.Whole, st.Partial, before)
	}
	k.pass(time.Minute)
	k.must(k.collect())
	if st := k.status(); st.Absent > 0 {
		t.Errorf("%d absent", st.Absent)
	}
}

// What warns is not used, and does not keep its neighbours from being used.
func TestUnfitPoints(t *testing.T) {
	w := newWorld()
	bad := map[int64]bool{w.now + 50_000: true, w.now + 60_000: true, w.now + 200_000: true}
	w.warns = bad
	k := newTierOf(t, w, t.TempDir(), hourRule)
	k.must(k.collect())
	k.pass(5 * time.Minute)
	k.must(k.collect())
	for _, when := range []string{"made", "opened again"} {
		points, _ := k.read(worldStep, true)
		for at := range bad {
			if points[at] != nil {
				t.Errorf("%s: %d is read", when, at)
			}
		}
		if st := k.status(); st.Unfit != 3 || st.Absent > 0 || len(points) != int(st.Whole) {
			t.Errorf("%s: %d unfit, %d absent, %d whole, %d read", when, st.Unfit, st.Absent, st.Whole, len(points))
		}
		k.check(when)
		k.again(k.dir)
		if points, _ := k.read(worldStep, true); len(points) > 0 {
			t.Errorf("%d points are read before it is known that they count", len(points))
		}
		k.must(k.collect())
	}
}

// A transaction that fails leaves nothing that is read, and what is made after it
// is right although its values are others.
func TestWriteFails(t *testing.T) {
	k := collected(t, hourRule)
	broken := errors.New("disk full")
	k.store.onStep = func(what string) error {
		if what == "points" {
			return broken
		}
		return nil
	}
	k.away = true
	k.pass(2 * worldHold)
	if err := k.collect(); !errors.Is(err, broken) {
		// MakeGood tells of it in the log only.
		if st := k.status(); err != nil || st.Partial > 0 {
			t.Errorf("%v, %d partial", err, st.Partial)
		}
	}
	k.store.onStep, k.away = nil, false
	for range 5 {
		k.pass(time.Minute)
		k.must(k.collect())
	}
	k.check("mended")
	if st := k.status(); st.Absent+st.Partial > 0 {
		t.Errorf("%d absent, %d partial", st.Absent, st.Partial)
	}
}

// A rule that is kept for another time, or at another distance, is owed as before
// while the tier runs, and from then on when it is opened again; nothing that is
// read is wrong.
func TestKeepListChanges(t *testing.T) {
	const longer = "rollups: [{name: r, expr: sum by (job) (x), interval: 10s, keep: {root: [{for: 1h, every: 30s}, {for: 2h}, {for: 2h, every: 1m}]}}]"
	for name, restart := range map[string]bool{"running": false, "restarted": true} {
		t.Run(name, func(t *testing.T) {
			k := collected(t, hourRule)
			k.rules = longer
			if restart {
				k.again(k.dir)
			} else {
				k.setRules(longer)
			}
			k.must(k.collect())
			k.check("changed")
			k.must(k.restate(k.now-60_000, k.final))
			k.pass(5 * time.Minute)
			k.must(k.collect())
			if n := k.check("later"); n < 60 {
				t.Errorf("only %d points", n)
			}
			for _, st := range k.c.Status(10) {
				if st.Absent > 0 || time.UnixMilli(k.now).Sub(st.Since) < 9*time.Minute {
					t.Errorf("%v: owed since %v, %d absent", st.Keep, st.Since, st.Absent)
				}
			}
			k.rules = hourRule
			k.again(k.dir)
			k.must(k.collect())
			k.check("as before")
			if st := k.status(); st.Absent > 0 {
				t.Errorf("%d absent", st.Absent)
			}
		})
	}
}

// A batch that cannot be made does not keep others from being made, older or newer.
func TestFailingBatch(t *testing.T) {
	k := newTierOf(t, newWorld(), t.TempDir(), hourRule)
	k.must(k.collect())
	k.pass(20 * time.Minute)
	begin := up(k.now-20*60_000, worldStep)
	k.fails = func(from, to int64) bool { return from <= begin+400_000 && begin+400_000 <= to }
	for range 60 {
		k.pass(40 * time.Second)
		k.must(k.collect())
		if st := k.status(); st.Whole == 0 {
			t.Fatal("fresh points wait for old ones")
		}
	}
	points, _ := k.read(worldStep, false)
	lack := 0
	for at := begin; at <= down(k.final, worldStep); at += worldStep {
		if points[at] == nil {
			lack++
		}
	}
	if st := k.status(); lack > 21 || lack == 0 || st.Failing == "" {
		t.Errorf("%d lack, want no more than one batch and the newest; failing: %q", lack, st.Failing)
	}
	k.fails = nil
	for range 5 {
		k.pass(time.Minute)
		k.must(k.collect())
	}
	k.check("mended")
	if st := k.status(); st.Absent > 0 || st.Failing != "" {
		t.Errorf("%d absent, failing: %q", st.Absent, st.Failing)
	}
}

// Older points are made although the newest cannot be, however often that is tried.
func TestFreshPointsFail(t *testing.T) {
	k := newTierOf(t, newWorld(), t.TempDir(), hourRule)
	k.must(k.collect())
	k.pass(20 * time.Minute)
	k.fails = func(_, to int64) bool { return to > k.final-2*worldStep }
	for range 30 {
		k.pass(maxBackoff)
		k.must(k.collect())
	}
	if st := k.status(); st.Absent > 21 || st.Absent == 0 || st.Failing == "" {
		t.Errorf("%d absent, want no more than one batch; failing: %q", st.Absent, st.Failing)
	}
	k.fails = nil
	k.pass(maxBackoff)
	k.must(k.collect())
	k.must(k.collect())
	if st := k.status(); st.Absent > 0 || st.Failing != "" {
		t.Errorf("%d absent, failing: %q", st.Absent, st.Failing)
	}
}

// tierWithRules returns a tier that keeps points of so many rules.
func tierWithRules(t *testing.T, rules int) *tierOf {
	var text strings.Builder
	text.WriteString("rollups:\n")
	for i := range rules {
		fmt.Fprintf(&text, "  - {name: r%d, expr: sum by (job) (x%d), interval: 10s, keep: {root: {for: 1h}}}\n", i, i)
	}
	k := newTierOf(t, newWorld(), t.TempDir(), text.String())
	k.must(k.collect())
	return k
}

// Making points good ends after a while, so that fresh points are made and what was
// restated is heard between; all rules get their turn, none twice before the others.
func TestMakingGoodTakesTurns(t *testing.T) {
	const rules = 5
	k := tierWithRules(t, rules)
	k.pass(20 * time.Minute)
	k.must(k.c.Fresh(t.Context()))

	var spent atomic.Int64 // each batch takes so long
	k.c.cfg.Now = func() time.Time { return time.UnixMilli(k.now + spent.Load()) }
	k.fails = func(int64, int64) bool {
		spent.Add(600)
		return false
	}
	calls := 0
	for begin := int64(0); k.c.MakeGood(t.Context()); begin = spent.Load() {
		if took := spent.Load() - begin; took > 3*600 {
			t.Fatalf("%d ms without a fresh point", took)
		}
		least, most := int64(math.MaxInt64), int64(0)
		for _, st := range k.c.Status(10) {
			least, most = min(least, st.Absent), max(most, st.Absent)
		}
		if most-least > int64(k.c.cfg.Batch) {
			t.Fatalf("of one rule %d points lack, of another %d", least, most)
		}
		if calls++; calls > 100 {
			t.Fatal("no end")
		}
	}
	for _, st := range k.c.Status(10) {
		if st.Absent > 0 {
			t.Errorf("%+v", st)
		}
	}
	if want := 25 / 3; calls < want {
		t.Errorf("%d calls, want at least %d", calls, want)
	}
}

// Of a distance that was taken out of its rule no more points are written.
func TestDistanceIsTakenOut(t *testing.T) {
	k := collected(t, worldRule) // 1h, and 2h at 30s
	out := k.store.kept[keptKey{k.rule().ID, k.rule().Keep[rollup.Root][1]}]
	before, ok := out.last(whole)
	k.setRules(hourRule)
	k.pass(5 * time.Minute)
	k.must(k.collect())
	if after, _ := out.last(whole); !ok || after != before {
		t.Errorf("points up to %d, want %d", after, before)
	}
	if st := k.status(); st.Whole < 50 || st.Absent > 0 {
		t.Errorf("%d whole, %d absent", st.Whole, st.Absent)
	}
}
